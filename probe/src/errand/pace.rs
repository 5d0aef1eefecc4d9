//! How fast this node sends ARP and ND: one pace for all that its probe does, since a switch that counts them sees one port.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use plumbline_measure::{pacer::Pacer, time::Timestamp};
use plumbline_model::errand::MAX_LINK_PACKETS_A_SECOND;

/// The pace of ARP and ND packets. Clones share it.
#[derive(Debug, Clone)]
pub struct LinkPace {
    origin: Instant,
    pacer: Arc<Mutex<Pacer>>,
}

impl LinkPace {
    /// Nothing sent so far.
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
            // No burst: whatever second is looked at has no more than the rate.
            pacer: Arc::new(Mutex::new(Pacer::new(MAX_LINK_PACKETS_A_SECOND, 1))),
        }
    }

    /// The time by which it is kept.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Lets somebody look at the pacer, and take of it.
    pub fn with<T>(&self, work: impl FnOnce(&mut Pacer) -> T) -> T {
        // The pacer is one number, which nobody leaves half written.
        work(&mut self.pacer.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for LinkPace {
    fn default() -> Self {
        Self::new()
    }
}
