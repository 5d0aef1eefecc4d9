//! Errands: given at their moment, waited for once the first tests are over.

use plumbline_model::errand;
use plumbline_proto::convert::Work;

use super::{Conductor, Phase, budget, clock::Awake};

/// Whether a phase may wait for it: an errand that ends by itself.
pub(super) fn ends(work: &Work) -> bool {
    matches!(work, Work::Errand(errand) if !errand.is_open_ended())
}

impl Conductor {
    /// Gives everybody the errands of a moment.
    pub(super) fn give_errands(&mut self, moment: errand::Moment) {
        for (node, errand) in self.duties.errands(moment) {
            self.assign(node, Work::Errand(errand));
        }
    }

    /// Gives what had to wait for the port matrix, and waits for every errand.
    pub(super) fn begin_examining(&mut self, now: Awake) {
        self.give_errands(errand::Moment::After);
        let tasks = self.seats.values().filter(|seat| seat.takes_part());
        let errands = tasks.flat_map(|seat| seat.tasks.values());
        let longest = errands
            .filter_map(|task| match &task.work {
                Work::Errand(errand) => Some(budget::errand(errand)),
                _ => None,
            })
            .max();
        self.enter(now, Phase::Examining, longest.unwrap_or_default());
    }

    /// The next errand of those that are done one at a time, or what comes after all of them.
    pub(super) fn next_turn(&mut self, now: Awake) {
        let in_turn = self
            .in_turn
            .get_or_insert_with(|| self.duties.errands(errand::Moment::InTurn).into());
        match in_turn.pop_front() {
            Some((node, errand)) => {
                self.enter(now, Phase::InTurn, budget::errand(&errand));
                self.assign(node, Work::Errand(errand));
            }
            None => self.begin_looking(now),
        }
    }
}
