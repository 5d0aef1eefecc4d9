//! How fast strangers are asked: one pace for all dial errands of a probe, however many a coordinator gives.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use plumbline_measure::{
    pacer::{Pacer, Permit},
    time::Timestamp,
};
use plumbline_model::errand::MAX_DIALS_A_SECOND;

/// The pace of connections and questions. Clones share it.
#[derive(Debug, Clone)]
pub struct DialPace {
    origin: Instant,
    pacer: Arc<Mutex<Pacer>>,
}

impl DialPace {
    /// Nothing asked so far.
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
            pacer: Arc::new(Mutex::new(Pacer::new(MAX_DIALS_A_SECOND, MAX_DIALS_A_SECOND))),
        }
    }

    /// Waits until one more may be asked.
    pub(super) async fn wait(&self) {
        loop {
            let now =
                Timestamp::from_nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX));
            let permit = self
                .pacer
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(now);
            match permit {
                Permit::Granted => return,
                Permit::At(at) => tokio::time::sleep(at.since(now)).await,
            }
        }
    }
}

impl Default for DialPace {
    fn default() -> Self {
        Self::new()
    }
}
