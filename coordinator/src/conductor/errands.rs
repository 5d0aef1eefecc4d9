//! Errands: given at their moment, waited for once the first tests are over; those in turn when the ports are free again.
//!
//! ```text
//!  a turn:   lead 1 is given --> it is ready --> who follows is given     (once, with the first lead that gets ready)
//!                 |                                    |
//!            it is done --> lead 2 is given --> ... the last is done --> who follows is released --> the turn is over
//! ```
//!
//! So a VIP moves from one node to the next under the eyes of those who ask for it all the time, and one end of a tunnel is
//! there before the other sends.

use std::collections::{BTreeMap, VecDeque};

use plumbline_model::{
    errand::{self, Errand, Lead, PathErrand},
    id::NodeId,
    port::Protocol,
};
use plumbline_proto::convert::{ProgressState, Work};

use super::{Conductor, Phase, budget, clock::Awake};

/// Whether a phase may wait for it: an errand that ends by itself.
pub(super) fn ends(work: &Work) -> bool {
    matches!(work, Work::Errand(errand) if !errand.is_open_ended())
}

/// Errands that are begun together.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Who lead and have not begun, the next one first.
    leads: VecDeque<(NodeId, Errand)>,
    /// Who follow and have not begun.
    follows: Vec<(NodeId, Errand)>,
    /// The lead under way.
    under_way: Option<(NodeId, u32)>,
    /// Whether every lead is done.
    is_ending: bool,
}

impl Conductor {
    /// Gives everybody the errands of a moment.
    pub(super) fn give_errands(&mut self, moment: errand::Moment) {
        for (node, mut errand) in self.duties.errands(moment) {
            if let Errand::Path(paths) = &mut errand {
                self.keep_bound_ports(paths);
            }
            self.assign(node, Work::Errand(errand));
        }
    }

    /// Leaves of the ports at which paths may be measured those that responders of ours hold: a datagram to any other would be
    /// a word to somebody's service. Echo is what is left where none does.
    fn keep_bound_ports(&self, errand: &mut PathErrand) {
        for path in &mut errand.paths {
            let bound = self.responders.bound(path.node, (path.family, Protocol::Udp));
            path.ports
                .retain(|port| bound.is_some_and(|bound| bound.contains(*port)));
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

    /// The next turn, or what comes after all of them. A turn in which somebody would lead, or be the other end of a tunnel, on
    /// whose host Kubernetes runs is not begun: its probe would refuse, and the others would wait for nothing.
    pub(super) fn next_turn(&mut self, now: Awake) {
        let mut turns = match self.turns.take() {
            Some(turns) => turns,
            None => turns(self.duties.errands(errand::Moment::InTurn)),
        };
        let is_live = |(node, _): &(NodeId, Errand)| self.seats.get(node).is_some_and(|seat| seat.is_live);
        let is_end = |(_, errand): &&(NodeId, Errand)| !errand.is_open_ended();
        turns.retain(|turn| {
            let ends = turn.follows.iter().filter(is_end);
            !turn.leads.iter().chain(ends).any(is_live)
        });
        let next = turns.pop_front();
        self.turns = Some(turns);
        match next {
            Some(turn) => {
                self.enter(now, Phase::InTurn, budget::RELEASING);
                self.turn = turn;
                self.go_on_with_turn(now);
            }
            None => self.begin_surveying(now),
        }
    }

    /// Gives what is due in the present turn.
    pub(super) fn go_on_with_turn(&mut self, now: Awake) {
        if let Some((node, assignment)) = self.turn.under_way {
            match self.told_of(node, assignment) {
                Some(Some(ProgressState::Ready)) => {
                    for (node, errand) in std::mem::take(&mut self.turn.follows) {
                        let _ = self.assign(node, Work::Errand(errand));
                    }
                    return;
                }
                Some(_) => return,
                None => self.turn.under_way = None,
            }
        }
        while let Some((node, errand)) = self.turn.leads.pop_front() {
            let time = budget::errand(&errand);
            if let Some(assignment) = self.assign(node, Work::Errand(errand)) {
                self.turn.under_way = Some((node, assignment));
                self.phase_deadline = now.plus(time);
                return;
            }
        }
        if !self.turn.is_ending {
            self.turn.is_ending = true;
            // Who follows and ends by itself has as long as it takes; nobody begins any more.
            self.turn.follows.clear();
            self.phase_deadline = now.plus(budget::FOLLOWING);
            let in_turn = |work: &Work| matches!(work, Work::Errand(errand) if errand.is_open_ended());
            self.release(in_turn);
        }
    }

    /// Whether nobody does anything in the present turn any more.
    pub(super) fn turn_is_over(&self) -> bool {
        let is_errand = |work: &Work| matches!(work, Work::Errand(_));
        let mut seats = self.seats.values().filter(|seat| seat.takes_part());
        self.turn.is_ending && seats.all(|seat| !seat.tasks.values().any(|task| is_errand(&task.work)))
    }

    /// What a probe said last of an assignment: nothing at all if it is over.
    fn told_of(&self, node: NodeId, assignment: u32) -> Option<Option<ProgressState>> {
        let task = self.seats.get(&node)?.tasks.get(&assignment)?;
        Some(task.told)
    }
}

/// Errands by their turns, leads in the order of those who do them.
fn turns(errands: Vec<(NodeId, Errand)>) -> VecDeque<Turn> {
    let mut turns: BTreeMap<u32, Turn> = BTreeMap::new();
    for (node, errand) in errands {
        match errand.turn() {
            Some((turn, Lead::Leads)) => turns.entry(turn).or_default().leads.push_back((node, errand)),
            Some((turn, Lead::Follows)) => turns.entry(turn).or_default().follows.push((node, errand)),
            None => {}
        }
    }
    turns.into_values().collect()
}
