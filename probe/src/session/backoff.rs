//! How long to wait before the coordinator is dialled again.

use std::time::Duration;

/// Doubling waits with a random part, so that a swarm does not come back as one.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The next wait: between half and all of the present step, by `random`.
    pub(super) fn step(&mut self, random: u32) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(LONGEST);
        step / 2 + (step / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    /// The coordinator was there.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }
}

/// A coordinator that was restarted by its user is back within a second.
const FIRST: Duration = Duration::from_millis(250);

/// Dialling costs a SYN; a node that waits longer than this keeps an admin waiting.
const LONGEST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_longest_and_start_anew_after_a_success() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..7).map(|_| backoff.step(u32::MAX).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        backoff.reset();
        assert_eq!(backoff.step(0), FIRST / 2);
    }
}
