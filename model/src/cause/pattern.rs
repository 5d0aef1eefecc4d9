//! What failing tests may have in common before it is known whom it concerns.

use crate::{
    cause::CauseKind,
    id::NodeId,
    verdict::{Cell, Outcome, Spot, Way},
};

use super::{
    blame::{Proof, Setting},
    scope::Anchor,
};

/// A way of failing, at a place of a kind. Tests of one pattern are covered together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pattern {
    pub(super) place: Place,
    /// What tells it from others of its kind: the code of a rejection, that datagrams were altered; else empty.
    pub(super) how: String,
}

/// Where tests of a pattern end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Between nodes.
    Between(CauseKind),
    /// In a node's packet filter, of which no rule can be named.
    Filter { node: NodeId, way: Way, proof: Proof },
    /// On a node whose packet filter is not to blame.
    Host { node: NodeId, setting: Setting },
}

/// When a candidate may explain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// No test that it predicts to fail is known to have got through.
    EveryTest,
    /// Enough of its pairs show it: chance decides which packets are lost.
    Chance,
}

impl Pattern {
    pub(super) fn between(kind: CauseKind, how: &str) -> Self {
        Self {
            place: Place::Between(kind),
            how: how.to_owned(),
        }
    }

    pub(super) fn at(place: Place) -> Self {
        Self {
            place,
            how: String::new(),
        }
    }

    pub(super) fn admission(&self) -> Admission {
        match self.place {
            Place::Between(CauseKind::LossyPath) => Admission::Chance,
            _ => Admission::EveryTest,
        }
    }

    /// The node that it speaks of, if it is at one.
    pub(super) fn node(&self) -> Option<NodeId> {
        match self.place {
            Place::Between(_) => None,
            Place::Filter { node, .. } | Place::Host { node, .. } => Some(node),
        }
    }

    pub(super) fn anchor(&self) -> Anchor {
        match self.place {
            Place::Between(_) => Anchor::None,
            Place::Filter { node, way, .. } => match way {
                Way::In | Way::AnswerOut => Anchor::To(node),
                Way::Out | Way::AnswerIn => Anchor::From(node),
            },
            Place::Host { node, setting } => match setting.is_at_source() {
                true => Anchor::From(node),
                false => Anchor::To(node),
            },
        }
    }

    /// Whether what is known of a test's end contradicts that it failed so: its packets came further than that.
    pub(super) fn is_contradicted_by(&self, cell: &Cell) -> bool {
        // An answer came back, whatever it said.
        let answered =
            cell.outcome.is_open() || matches!(cell.outcome, Outcome::Lossy { .. } | Outcome::Closed);
        answered || cell.outcome.is_measured() && self.is_behind(cell)
    }

    /// Whether a failing test ended further on its way than this pattern's tests do.
    fn is_behind(&self, cell: &Cell) -> bool {
        use Spot::{Destination, Forward, Return, SourceIn};
        let beyond: &[Spot] = match self.place {
            Place::Between(CauseKind::ReturnPathFilter) => &[SourceIn],
            Place::Between(_) => &[Destination, Return, SourceIn],
            Place::Filter { way, .. } => match way {
                Way::In | Way::AnswerOut => &[Return, SourceIn],
                Way::Out => &[Forward, Destination, Return, SourceIn],
                Way::AnswerIn => &[],
            },
            Place::Host { setting, .. } => match setting.is_at_source() {
                true => &[],
                false => &[Return, SourceIn],
            },
        };
        // A reset from the destination comes from the port that an answer would come from; an ICMP error does not.
        let came_back = matches!(cell.outcome, Outcome::Rejected { icmp: None, .. })
            && cell.spot == Destination
            && matches!(self.place, Place::Between(CauseKind::ReturnPathFilter));
        came_back || beyond.contains(&cell.spot)
    }

    /// Whether a test that failed so would have failed by a cause between nodes just as well.
    pub(super) fn may_hide_behind(&self, cell: &Cell) -> bool {
        let is_unplaced = matches!(cell.spot, Spot::Unknown | Spot::Forward);
        let is_firm = matches!(self.place, Place::Between(_)) && self.admission() == Admission::EveryTest;
        is_firm && is_unplaced && cell.outcome.is_measured() && !self.is_contradicted_by(cell)
    }
}
