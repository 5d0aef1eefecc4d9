//! Which packets have been received before: STAMP's HMAC alone lets a recorded packet pass again.
//!
//! ```text
//!                     highest - 63                              highest
//!     too old        |<----------------- 64 entries ----------------->|        ahead
//!  ... --+-----+-----+-----+-----+-----+-- ... --+-----+-----+-----+-----+-----+-----+-- ...
//!        | refused   | a bit each: received before, or not            | fresh, and the window moves
//!  ... --+-----+-----+-----+-----+-----+-- ... --+-----+-----+-----+-----+-----+-----+-- ...
//! ```
//!
//! Sequence numbers do not wrap: a source that has used them up needs another key.

/// The window of one session. Begins empty: the first number is fresh, whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplayWindow {
    highest: u32,
    /// Bit n: `highest` - n was received. Bit 0 is set unless nothing was received at all.
    received: u64,
}

/// What a sequence number is to a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Not received before.
    Fresh,
    /// Received before.
    Replayed,
    /// Further behind the highest than anybody remembers.
    TooOld,
}

impl ReplayWindow {
    /// Judges a number without taking it.
    pub fn judge(&self, sequence: u32) -> Freshness {
        if self.received == 0 || sequence > self.highest {
            return Freshness::Fresh;
        }
        match 1u64.checked_shl(self.highest - sequence) {
            None => Freshness::TooOld,
            Some(bit) if self.received & bit != 0 => Freshness::Replayed,
            Some(_) => Freshness::Fresh,
        }
    }

    /// Judges a number and, if it is fresh, remembers it. To be called only for packets whose proof was checked, or anybody
    /// could move the window.
    pub fn take(&mut self, sequence: u32) -> Freshness {
        let freshness = self.judge(sequence);
        if freshness == Freshness::Fresh {
            if self.received == 0 {
                self.highest = sequence;
            }
            let ahead = sequence.saturating_sub(self.highest);
            self.received = self.received.checked_shl(ahead).unwrap_or(0);
            self.highest = self.highest.max(sequence);
            self.received |= 1 << (self.highest - sequence);
        }
        freshness
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{Freshness::*, *};

    #[test]
    fn the_first_number_is_fresh_whatever_it_is_and_only_once() {
        for first in [0, 1, 63, 64, u32::MAX] {
            let mut window = ReplayWindow::default();
            assert_eq!((window.take(first), window.take(first)), (Fresh, Replayed));
        }
    }

    #[test]
    fn what_was_overtaken_is_fresh_as_long_as_the_window_reaches() {
        let mut window = ReplayWindow::default();
        window.take(1000);
        assert_eq!(window.take(1000 - 63), Fresh);
        assert_eq!(window.take(1000 - 64), TooOld);
        assert_eq!(window.take(1000 - 63), Replayed);
    }

    #[test]
    fn a_leap_forgets_the_window_but_not_that_it_was_passed() {
        let mut window = ReplayWindow::default();
        window.take(5);
        assert_eq!(window.take(5 + 64), Fresh);
        assert_eq!(window.take(5), TooOld);
        assert_eq!(window.take(6), Fresh);
        assert_eq!(window.take(u32::MAX), Fresh);
        assert_eq!(window.take(7), TooOld);
    }

    #[test]
    fn judging_takes_nothing() {
        let mut window = ReplayWindow::default();
        assert_eq!(
            (window.judge(3), window.judge(3), window.take(3)),
            (Fresh, Fresh, Fresh)
        );
    }

    proptest! {
        /// Against the plain definition: a set of everything received.
        #[test]
        fn no_number_is_ever_taken_twice_and_none_within_reach_is_refused(
            numbers in prop::collection::vec(prop_oneof![0u32..200, any::<u32>()], 0..400)
        ) {
            let (mut window, mut received) = (ReplayWindow::default(), BTreeSet::new());
            for number in numbers {
                let highest = received.last().copied();
                let expected = match highest {
                    Some(highest) if u64::from(number) + 64 <= u64::from(highest) => TooOld,
                    _ if received.contains(&number) => Replayed,
                    _ => Fresh,
                };
                prop_assert_eq!(window.take(number), expected);
                if expected == Fresh {
                    received.insert(number);
                }
            }
        }
    }
}
