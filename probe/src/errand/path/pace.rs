//! How fast packets of path measurements leave, and when an errand is over.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use plumbline_measure::{
    pacer::{Level, Permit, Rate},
    time::Timestamp,
};

use plumbline_model::errand::{MAX_PATH_DATAGRAMS, MAX_PATH_PACKETS_A_SECOND};

use crate::errand::Stop;

/// What all path errands of a probe sent so far: one account, however many a coordinator gives. Clones share it.
#[derive(Debug, Clone)]
pub struct PathPace {
    origin: Instant,
    level: Arc<Mutex<Level>>,
}

impl PathPace {
    /// Nothing sent so far.
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
            level: Arc::default(),
        }
    }

    /// A packet at this rate: `None` if it may leave now, else how long to wait until asking again.
    fn take(&self, rate: &Rate) -> Option<Duration> {
        let now = Timestamp::from_nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX));
        // The level is one number, which nobody leaves half written.
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        match level.ready_at(now, rate) {
            Permit::Granted => {
                level.spend(now, rate);
                None
            }
            Permit::At(at) => Some(at.since(now)),
        }
    }
}

impl Default for PathPace {
    fn default() -> Self {
        Self::new()
    }
}

/// How fast one errand's packets may leave, and when it is over.
pub(super) struct Pace<'a> {
    shared: &'a PathPace,
    rate: Rate,
    started: Instant,
    pub(super) stop: &'a Stop,
    /// Datagrams of the largest size for each path.
    pub(super) datagrams: u32,
}

impl<'a> Pace<'a> {
    /// Of an errand over so many paths; a rate of 0 is that of the probe alone ([`MAX_PATH_PACKETS_A_SECOND`]).
    pub(super) fn new(max_rate: u32, paths: usize, shared: &'a PathPace, stop: &'a Stop) -> Self {
        let paths = u32::try_from(paths.max(1)).unwrap_or(u32::MAX);
        let rate = match max_rate {
            0 => MAX_PATH_PACKETS_A_SECOND,
            rate => rate.min(MAX_PATH_PACKETS_A_SECOND),
        };
        let affordable = rate.saturating_mul(DATAGRAM_SECONDS) / paths;
        Self {
            shared,
            rate: Rate::new(rate, (rate / BURST_SHARE).max(1)),
            started: Instant::now(),
            stop,
            datagrams: affordable.clamp(FEWEST_DATAGRAMS, MAX_PATH_DATAGRAMS),
        }
    }

    /// Waits until a packet may leave. False if it is over before that.
    pub(super) fn wait(&self) -> bool {
        loop {
            if self.is_over() {
                return false;
            }
            match self.shared.take(&self.rate) {
                None => return true,
                Some(wait) => thread::sleep(wait.min(LONGEST_NAP)),
            }
        }
    }

    /// Whether everything has to end.
    pub(super) fn is_over(&self) -> bool {
        self.stop.is_asked_for() || self.started.elapsed() > ERRAND_TIME
    }
}

/// The whole errand takes no longer, whatever the peers do: what the coordinator waits for (`budget::errand`) is a minute.
const ERRAND_TIME: Duration = Duration::from_secs(50);

/// Fewer than [`MAX_PATH_DATAGRAMS`], where all paths' would take the rate longer than this; but so many that every source port has two.
const DATAGRAM_SECONDS: u32 = 10;
const FEWEST_DATAGRAMS: u32 = 32;

/// So much of a second's packets may leave at once.
const BURST_SHARE: u32 = 20;

/// How soon a worker notices that it has to stop.
const LONGEST_NAP: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    /// How long two errands at once take for so many packets each.
    fn took(max_rate: u32, packets: u32) -> Duration {
        let (shared, stop) = (PathPace::new(), Stop::default());
        let began = Instant::now();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let pace = Pace::new(max_rate, 1, &shared, &stop);
                    assert!((0..packets).all(|_| pace.wait()));
                });
            }
        });
        began.elapsed()
    }

    #[test]
    fn several_errands_together_keep_the_rate_of_one() {
        // Of forty packets at a hundred a second five leave at once; each errand alone would be done after 150 ms.
        let took = took(100, 20);
        assert!(took >= Duration::from_millis(340), "{took:?}");
    }

    #[test]
    fn who_asks_for_no_limit_has_that_of_the_probe() {
        let took = took(0, 200);
        assert!(took >= Duration::from_millis(140), "{took:?}");
    }
}
