//! A token bucket: at most so many events a second, with a small burst.

use std::time::Duration;

use crate::time::Timestamp;

/// How often something may happen: what a bucket is filled and emptied by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The time that one event costs; zero if there is no limit.
    interval: Duration,
    /// How far the bucket may run ahead: `burst` - 1 intervals.
    tolerance: Duration,
}

/// How full a bucket is, apart from its rate: several users with rates of their own may share one level. An event costs the
/// interval of whoever lets it happen, so that each keeps its own rate, and all together never exceed the fastest.
///
/// It is kept as the theoretical arrival time of the next event (the generic cell rate algorithm of ITU-T I.371), which
/// needs no timer and no division: one number says everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Level {
    /// When the bucket is full again.
    full_at: Timestamp,
}

/// A token bucket of one user, which takes the time as an argument.
#[derive(Debug, Clone, Copy)]
pub struct Pacer {
    rate: Rate,
    level: Level,
}

/// Whether an event may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// Now.
    Granted,
    /// Not before this time.
    At(Timestamp),
}

// === impl Rate ===

impl Rate {
    /// At most `per_second` events a second, and `burst` at once (at least 1); a rate of 0 means no limit.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let interval = match per_second {
            0 => Duration::ZERO,
            rate => Duration::from_secs(1) / rate,
        };
        Self {
            interval,
            tolerance: interval * burst.max(1).saturating_sub(1),
        }
    }

    /// Whether everything is granted at once.
    pub fn is_unlimited(&self) -> bool {
        self.interval.is_zero()
    }
}

// === impl Level ===

impl Level {
    /// Whether an event may happen at this rate, without spending anything. Who has no limit waits for nobody.
    pub fn ready_at(&self, now: Timestamp, rate: &Rate) -> Permit {
        if rate.is_unlimited() || now + rate.tolerance >= self.full_at {
            Permit::Granted
        } else {
            Permit::At(self.full_at - rate.tolerance)
        }
    }

    /// An event happens; call it after [`Level::ready_at`] has granted it.
    pub fn spend(&mut self, now: Timestamp, rate: &Rate) {
        if !rate.is_unlimited() {
            self.full_at = self.full_at.max(now) + rate.interval;
        }
    }
}

// === impl Pacer ===

impl Pacer {
    /// At most `per_second` events a second, and `burst` at once (at least 1); a rate of 0 means no limit. Begins full.
    pub fn new(per_second: u32, burst: u32) -> Self {
        Self {
            rate: Rate::new(per_second, burst),
            level: Level::default(),
        }
    }

    /// Takes a token if there is one.
    pub fn take(&mut self, now: Timestamp) -> Permit {
        let permit = self.ready_at(now);
        if permit == Permit::Granted {
            self.level.spend(now, &self.rate);
        }
        permit
    }

    /// Whether there is a token, without taking it.
    pub fn ready_at(&self, now: Timestamp) -> Permit {
        self.level.ready_at(now, &self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted_within(pacer: &mut Pacer, span: Duration) -> u32 {
        let (mut now, end) = (
            Timestamp::from_nanos(5_000_000_000),
            Timestamp::from_nanos(5_000_000_000) + span,
        );
        let mut granted = 0;
        loop {
            match pacer.take(now) {
                Permit::Granted => granted += 1,
                Permit::At(next) => {
                    assert!(next > now, "a refused bucket must name a later time");
                    now = next;
                }
            }
            if now >= end {
                return granted;
            }
        }
    }

    #[test]
    fn a_bucket_gives_its_burst_at_once_and_then_its_rate() {
        assert_eq!(
            granted_within(&mut Pacer::new(20, 5), Duration::from_secs(10)),
            5 + 200 - 1
        );
    }

    #[test]
    fn tokens_are_not_saved_beyond_the_burst() {
        let mut pacer = Pacer::new(20, 2);
        let later = Timestamp::from_nanos(3_600_000_000_000);
        assert_eq!(pacer.take(later), Permit::Granted);
        assert_eq!(pacer.take(later), Permit::Granted);
        assert_eq!(pacer.take(later), Permit::At(later + Duration::from_millis(50)));
    }

    #[test]
    fn asking_does_not_take_a_token() {
        let mut pacer = Pacer::new(1, 1);
        for _ in 0..3 {
            assert_eq!(pacer.ready_at(Timestamp::ZERO), Permit::Granted);
        }
        assert_eq!(pacer.take(Timestamp::ZERO), Permit::Granted);
        assert_ne!(pacer.take(Timestamp::ZERO), Permit::Granted);
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        let mut pacer = Pacer::new(0, 1);
        assert!((0..10_000).all(|_| pacer.take(Timestamp::ZERO) == Permit::Granted));
    }

    #[test]
    fn two_users_of_one_level_keep_their_own_rates_and_together_the_faster_one() {
        let (fast, slow) = (Rate::new(20, 1), Rate::new(1, 1));
        let (mut level, mut now) = (Level::default(), Timestamp::from_nanos(1));
        let end = now + Duration::from_secs(10);
        let (mut of_fast, mut of_slow) = (0, 0);
        while now < end {
            // The slow one is asked first: nothing but the level holds it back.
            for (rate, count) in [(&slow, &mut of_slow), (&fast, &mut of_fast)] {
                if level.ready_at(now, rate) == Permit::Granted {
                    level.spend(now, rate);
                    *count += 1;
                }
            }
            now = now + Duration::from_millis(1);
        }
        assert!(of_slow <= 10, "{of_slow}");
        assert!(of_slow + of_fast <= 200, "{of_slow} and {of_fast}");
    }

    #[test]
    fn whoever_has_no_limit_neither_waits_nor_makes_others_wait() {
        let (unlimited, slow) = (Rate::new(0, 1), Rate::new(1, 1));
        let mut level = Level::default();
        level.spend(Timestamp::ZERO, &unlimited);
        assert_eq!(level.ready_at(Timestamp::ZERO, &slow), Permit::Granted);
        level.spend(Timestamp::ZERO, &slow);
        assert_eq!(level.ready_at(Timestamp::ZERO, &unlimited), Permit::Granted);
    }
}
