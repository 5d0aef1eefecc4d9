//! What is to be said beside testimony: how far assignments are, and what became of them. Unlike a batch, a message that is
//! lost with its session is not sent again as it was; the present state is said anew on the next one.

use std::collections::{BTreeMap, VecDeque};

use plumbline_proto::convert::{FromProbe, Progress, ProgressState};

/// What of which the latest says everything that the earlier ones would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replaced {
    /// How far a running assignment is.
    Progress(u32),
    /// What time it is.
    Clock,
}

/// Messages for the present session, and the assignments that are over.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Bounded: of several reports on a running assignment, and of several questions for the time, only the latest waits; everything else is said once.
    waiting: VecDeque<FromProbe>,
    /// So that an assignment that is given again is answered and not done again.
    settled: BTreeMap<u32, Settled>,
}

/// What became of an assignment.
#[derive(Debug, Clone)]
pub(super) enum Settled {
    /// It was done; its batches go up to this sequence number.
    Done { last_seq: u64 },
    /// It was not done.
    Refused { reason: String },
}

impl Queue {
    /// A new session: nothing of the old one waits, and what became of every assignment is said again.
    pub(super) fn restate(&mut self, running: Vec<Progress>) {
        self.waiting = running.into_iter().map(FromProbe::Progress).collect();
        self.waiting
            .extend(self.settled.iter().map(|(id, settled)| settled.message(*id)));
    }

    /// No session: nothing waits.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    pub(super) fn push(&mut self, message: FromProbe) {
        let replaced = |message: &FromProbe| match message {
            FromProbe::Progress(Progress {
                assignment,
                state: ProgressState::Running,
                ..
            }) => Some(Replaced::Progress(*assignment)),
            FromProbe::ClockAnswer(_) => Some(Replaced::Clock),
            _ => None,
        };
        let same = replaced(&message).and_then(|kind| {
            self.waiting
                .iter_mut()
                .find(|waiting| replaced(waiting) == Some(kind))
        });
        match same {
            Some(waiting) => *waiting = message,
            None => self.waiting.push_back(message),
        }
    }

    pub(super) fn pop(&mut self) -> Option<FromProbe> {
        self.waiting.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Remembers what became of an assignment and says it.
    pub(super) fn settle(&mut self, assignment: u32, settled: Settled) {
        self.push(settled.message(assignment));
        self.settled.insert(assignment, settled);
        if self.settled.len() > MAX_SETTLED {
            self.settled.pop_first();
        }
    }

    /// Says again what became of an assignment. Whether it is over at all.
    pub(super) fn repeat(&mut self, assignment: u32) -> bool {
        let message = self
            .settled
            .get(&assignment)
            .map(|settled| settled.message(assignment));
        let is_settled = message.is_some();
        message.into_iter().for_each(|message| self.push(message));
        is_settled
    }
}

impl Settled {
    fn message(&self, assignment: u32) -> FromProbe {
        match self {
            Self::Done { last_seq } => FromProbe::Progress(Progress {
                assignment,
                state: ProgressState::Done { last_seq: *last_seq },
                done: 0,
                total: 0,
            }),
            Self::Refused { reason } => FromProbe::Refusal {
                assignment,
                reason: reason.clone(),
            },
        }
    }
}

/// Assignments that are remembered after their end. A run gives each probe a handful.
const MAX_SETTLED: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn running(assignment: u32, done: u64) -> FromProbe {
        FromProbe::Progress(Progress {
            assignment,
            state: ProgressState::Running,
            done,
            total: 9,
        })
    }

    #[test]
    fn of_several_reports_on_a_running_assignment_the_latest_waits() {
        let mut queue = Queue::default();
        for message in [running(1, 1), running(2, 1), running(1, 5)] {
            queue.push(message);
        }
        assert_eq!(
            (queue.pop(), queue.pop(), queue.pop()),
            (Some(running(1, 5)), Some(running(2, 1)), None)
        );
    }

    #[test]
    fn a_new_session_hears_the_present_state_and_nothing_stale() {
        let mut queue = Queue::default();
        queue.push(running(1, 1));
        queue.settle(2, Settled::Done { last_seq: 4 });
        queue.restate(vec![Progress {
            assignment: 3,
            state: ProgressState::Ready,
            done: 0,
            total: 0,
        }]);
        let said: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert!(matches!(
            said.as_slice(),
            [
                FromProbe::Progress(Progress {
                    assignment: 3,
                    state: ProgressState::Ready,
                    ..
                }),
                FromProbe::Progress(Progress {
                    assignment: 2,
                    state: ProgressState::Done { last_seq: 4 },
                    ..
                }),
            ]
        ));
        assert!(queue.repeat(2) && !queue.repeat(1));
    }
}
