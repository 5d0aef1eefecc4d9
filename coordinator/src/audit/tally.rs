//! How far the tests of a phase are, how fast they go, and how long they will take. The total is what was assigned, so that it
//! stands from the first moment of a phase; it shrinks if a probe is given up and grows with rounds that follow.
//!
//! Pure: takes the time since the start of the run.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use plumbline_model::id::NodeId;

use super::progress::Pace;
use crate::conductor::Phase;

/// The tests of the present phase.
#[derive(Debug)]
pub(super) struct Tally {
    phase: Phase,
    began: Duration,
    /// Made and to be made, by assignment.
    tests: BTreeMap<(NodeId, u32), (u64, u64)>,
    changed: bool,
    /// How many were made at moments of the last while.
    samples: VecDeque<(Duration, u64)>,
}

impl Tally {
    /// A phase begins.
    pub(super) fn begin(now: Duration, phase: Phase) -> Self {
        Self {
            phase,
            began: now,
            tests: BTreeMap::new(),
            changed: false,
            samples: VecDeque::new(),
        }
    }

    /// Tests were assigned. An assignment that is given again after a reconnection is no news.
    pub(super) fn assigned(&mut self, node: NodeId, assignment: u32, total: u64) {
        self.tests.entry((node, assignment)).or_insert((0, total));
        self.changed = true;
    }

    /// A probe says how far it is. What its policy excludes is not in its total.
    pub(super) fn told(&mut self, node: NodeId, assignment: u32, done: u64, total: u64) {
        if let Some(tests) = self.tests.get_mut(&(node, assignment)) {
            *tests = (done.min(total), total);
            self.changed = true;
        }
    }

    /// A probe is done with an assignment, or refuses it.
    pub(super) fn over(&mut self, node: NodeId, assignment: u32) {
        if let Some((done, total)) = self.tests.get_mut(&(node, assignment)) {
            *done = *total;
            self.changed = true;
        }
    }

    /// A probe was given up: what it has not made will not be made.
    pub(super) fn gone(&mut self, node: NodeId) {
        for (_, (done, total)) in self.tests.iter_mut().filter(|((of, _), _)| *of == node) {
            *total = *done;
            self.changed = true;
        }
    }

    /// How far it is, if that has changed since it was asked last.
    pub(super) fn news(&mut self, now: Duration) -> Option<Pace> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let (done, total) = self.sum();
        if total == 0 {
            return None;
        }
        let rate_per_s = self.rate(now, done);
        let left = total.saturating_sub(done);
        // A rate of nothing lasts for ever, which is nothing to tell.
        let eta_s = rate_per_s.and_then(|rate| match rate {
            0.. if left == 0 => Some(0),
            0 => None,
            rate => Some(left.div_ceil(rate)),
        });
        Some(Pace {
            phase: self.phase,
            done,
            total,
            rate_per_s,
            eta_s,
        })
    }

    /// How many tests the phase had and how long they took, once it is over; nothing if it had none.
    pub(super) fn end(&self, now: Duration) -> Option<(Phase, u64, Duration)> {
        let (done, total) = self.sum();
        (total > 0).then(|| (self.phase, done, now.saturating_sub(self.began)))
    }

    fn sum(&self) -> (u64, u64) {
        // The numbers are the probes' own, and may be anything.
        let sum = |(done, total): (u64, u64), (more_done, more): &(u64, u64)| {
            (done.saturating_add(*more_done), total.saturating_add(*more))
        };
        self.tests.values().fold((0, 0), sum)
    }

    /// Tests a second over the last while; nothing before there was a while.
    fn rate(&mut self, now: Duration, done: u64) -> Option<u64> {
        // Whoever starts again begins with nothing made: what was counted before is no measure of what comes.
        if self.samples.back().is_some_and(|(_, before)| *before > done) {
            self.samples.clear();
        }
        if self.samples.is_empty() {
            self.samples.push_back((self.began, 0));
        }
        self.samples.push_back((now, done));
        while self.samples.len() > 2 && self.samples[1].0 + WINDOW <= now {
            self.samples.pop_front();
        }
        let (from, before) = *self.samples.front()?;
        let span = now.saturating_sub(from);
        (span >= SHORTEST_SPAN).then(|| {
            let per_second = u128::from(done.saturating_sub(before)) * 1_000 / span.as_millis().max(1);
            u64::try_from(per_second).unwrap_or(u64::MAX)
        })
    }
}

/// Over how long a rate is taken: shorter and a silent port's attempts make it jump, longer and it is not of now.
const WINDOW: Duration = Duration::from_secs(10);

/// What was made in less tells nothing of what comes.
const SHORTEST_SPAN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn node(last: u8) -> NodeId {
        NodeId::Address(Ipv4Addr::new(10, 0, 0, last).into())
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn pace(done: u64, total: u64, rate_per_s: Option<u64>, eta_s: Option<u64>) -> Pace {
        Pace {
            phase: Phase::Asking,
            done,
            total,
            rate_per_s,
            eta_s,
        }
    }

    fn asking() -> Tally {
        let mut tally = Tally::begin(at(5_000), Phase::Asking);
        tally.assigned(node(1), 1, 600);
        tally.assigned(node(2), 2, 400);
        tally
    }

    #[test]
    fn the_total_stands_before_any_probe_has_said_a_word() {
        let mut tally = asking();
        assert_eq!(tally.news(at(5_000)), Some(pace(0, 1_000, None, None)));
        assert_eq!(tally.news(at(5_250)), None);
    }

    #[test]
    fn rate_and_time_left_are_those_of_the_last_while() {
        let mut tally = asking();
        tally.told(node(1), 1, 100, 600);
        assert_eq!(tally.news(at(7_000)), Some(pace(100, 1_000, Some(50), Some(18))));
        // It gets slower: after half a minute the quick start is forgotten.
        for s in 1..=30 {
            tally.told(node(1), 1, 100 + s * 10, 600);
            tally.news(at(7_000 + s * 1_000));
        }
        tally.told(node(1), 1, 410, 600);
        assert_eq!(tally.news(at(38_000)), Some(pace(410, 1_000, Some(10), Some(59))));
    }

    #[test]
    fn a_phase_that_stands_still_has_no_time_left_to_tell() {
        let mut tally = asking();
        tally.told(node(1), 1, 0, 600);
        assert_eq!(tally.news(at(8_000)), Some(pace(0, 1_000, Some(0), None)));
    }

    #[test]
    fn what_a_lost_probe_leaves_undone_is_not_waited_for() {
        let mut tally = asking();
        tally.told(node(1), 1, 200, 600);
        tally.over(node(2), 2);
        tally.gone(node(1));
        let pace = tally.news(at(7_000)).unwrap();
        assert_eq!((pace.done, pace.total, pace.eta_s), (600, 600, Some(0)));
        assert_eq!(tally.end(at(7_000)), Some((Phase::Asking, 600, at(2_000))));
    }

    #[test]
    fn an_assignment_that_is_given_again_is_not_counted_again() {
        let mut tally = asking();
        tally.told(node(1), 1, 200, 600);
        tally.assigned(node(1), 1, 600);
        assert_eq!(
            tally.news(at(5_500)).map(|pace| (pace.done, pace.total)),
            Some((200, 1_000))
        );
        // What nobody assigned in this phase is not of it.
        tally.told(node(3), 9, 7, 7);
        assert_eq!(tally.news(at(5_750)), None);
    }
}
