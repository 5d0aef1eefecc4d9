//! The engine's time.

use std::{sync::Arc, time::Duration};

use plumbline_measure::time::Timestamp;

use super::asking::{Shared, nanos};

/// The monotonic clock, less the time for which the whole thread did not run. A machine that stands still for a second
/// must not turn answers that wait in its sockets, or in its peers' on the same machine, into losses.
pub(super) struct Clock {
    shared: Arc<Shared>,
    stalled: Duration,
}

impl Clock {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            stalled: Duration::ZERO,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_nanos(nanos(self.shared.started.elapsed())) - self.stalled
    }

    /// A wait of at most `timeout`, begun at `since`, has ended.
    pub(super) fn waited(&mut self, since: Timestamp, timeout: Duration) {
        let overslept = self.now().since(since).saturating_sub(timeout);
        if overslept > STALL_FLOOR {
            self.stalled += overslept;
        }
    }
}

/// How late a wait may end before the thread counts as having been stopped; a busy machine is late by a few
/// milliseconds.
const STALL_FLOOR: Duration = Duration::from_millis(50);
