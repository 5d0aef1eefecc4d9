//! A token bucket: at most so many events a second, with a small burst.

use std::time::Duration;

use crate::time::Timestamp;

/// A token bucket that takes the time as an argument.
///
/// It is kept as the theoretical arrival time of the next event (the generic cell rate algorithm of ITU-T I.371), which
/// needs no timer and no division after its making: one number says everything.
#[derive(Debug, Clone, Copy)]
pub struct Pacer {
    /// The time that one event costs; zero if there is no limit.
    interval: Duration,
    /// How far the bucket may run ahead: `burst` - 1 intervals.
    tolerance: Duration,
    /// When the bucket is full again.
    full_at: Timestamp,
}

/// Whether an event may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// Now; the token is taken.
    Granted,
    /// Not before this time; no token is taken.
    At(Timestamp),
}

impl Pacer {
    /// At most `per_second` events a second, and `burst` at once (at least 1); a rate of 0 means no limit. Begins full.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let interval = match per_second {
            0 => Duration::ZERO,
            rate => Duration::from_secs(1) / rate,
        };
        Self {
            interval,
            tolerance: interval * burst.max(1).saturating_sub(1),
            full_at: Timestamp::ZERO,
        }
    }

    /// Takes a token if there is one.
    pub fn take(&mut self, now: Timestamp) -> Permit {
        match self.ready_at(now) {
            Permit::Granted => {
                self.full_at = self.full_at.max(now) + self.interval;
                Permit::Granted
            }
            wait => wait,
        }
    }

    /// Whether there is a token, without taking it.
    pub fn ready_at(&self, now: Timestamp) -> Permit {
        if now + self.tolerance >= self.full_at {
            Permit::Granted
        } else {
            Permit::At(self.full_at - self.tolerance)
        }
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
}
