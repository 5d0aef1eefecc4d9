//! Two clocks of a run: the time that passed, which evidence tells, and the time that this process was awake to see
//! pass, which deadlines count. A coordinator that was stopped (SIGSTOP, a suspended laptop, a starved virtual machine)
//! has heard nobody meanwhile; that is its own silence, and no probe is given up for it.

use std::time::Duration;

/// A moment by the coordinator's monotonic clock, counted from the start of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Moment(Duration);

impl Moment {
    /// The moment this long after the start.
    pub(crate) fn after_start(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// Milliseconds since the start.
    pub(crate) fn ms(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Time that the coordinator was awake since the start of the run: what deadlines are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Awake(Duration);

impl Awake {
    /// The moment this much awake time later.
    pub(super) fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// Awake time since an earlier moment; zero if that is later.
    pub(super) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Tells awake time from time that was slept through, by the gaps between the moments that it is shown.
#[derive(Debug, Default)]
pub(super) struct AwakeClock {
    last: Moment,
    slept: Duration,
}

impl AwakeClock {
    /// Takes note of `now`. A moment before the last one counts as the last one.
    pub(super) fn observe(&mut self, now: Moment) -> Awake {
        let now = now.max(self.last);
        let gap = now.0.saturating_sub(self.last.0);
        if gap > LONGEST_WAKING_GAP {
            self.slept = self.slept.saturating_add(gap);
        }
        self.last = now;
        self.awake()
    }

    /// The last moment that was shown.
    pub(super) fn last(&self) -> Moment {
        self.last
    }

    /// Awake time at the last moment that was shown.
    pub(super) fn awake(&self) -> Awake {
        Awake(self.last.0.saturating_sub(self.slept))
    }
}

/// The driver ticks four times a second; a machine that is busy is late by some of that, one that stood still by more.
const LONGEST_WAKING_GAP: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::after_start(Duration::from_millis(ms))
    }

    #[test]
    fn ten_seconds_of_being_stopped_do_not_count_as_awake() {
        let mut clock = AwakeClock::default();
        let before = clock.observe(at(1_000));
        clock.observe(at(1_250));
        let after = clock.observe(at(11_250));
        assert_eq!(after.since(before), Duration::from_millis(250));
        assert_eq!(clock.last().ms(), 11_250);
    }

    #[test]
    fn a_clock_that_runs_backwards_stands_still() {
        let mut clock = AwakeClock::default();
        let before = clock.observe(at(1_500));
        assert_eq!(clock.observe(at(200)), before);
    }
}
