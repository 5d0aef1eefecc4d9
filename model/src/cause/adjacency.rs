//! Hosts of one link that do not find each other's link address.
//!
//! A link that swallows frames between two hosts swallows the resolution of their addresses, too, but what a host has
//! resolved it keeps for a while, and a host that is asked for its own address learns that of the one who asks. So of the
//! tests between the two some end unresolved, others leave and are lost, and all of it is one fault.

use std::collections::BTreeSet;

use crate::{
    cause::CauseKind,
    id::NodeId,
    port::Family,
    verdict::{Outcome, PairVerdict},
};

use super::{
    blame::Blame,
    pattern::{Pattern, Place},
};

/// Who did not find whom.
pub(super) struct Adjacency {
    /// In both orders.
    apart: BTreeSet<(NodeId, NodeId, Family)>,
}

impl Adjacency {
    pub(super) fn of(pairs: &[PairVerdict]) -> Self {
        let mut apart = BTreeSet::new();
        for pair in pairs {
            let is_unresolved = |outcome: &Outcome| *outcome == Outcome::NeighborUnresolved;
            if pair.cells.iter().any(|cell| is_unresolved(&cell.outcome)) {
                let family = pair.transport.0;
                apart.extend([(pair.src, pair.dst, family), (pair.dst, pair.src, family)]);
            }
        }
        Self { apart }
    }

    /// What is lost between two that do not find each other, if nothing gets through in that direction, is lost by that.
    pub(super) fn explain(&self, pair: &PairVerdict, blame: &Blame) -> Option<Blame> {
        let Blame::Pattern(pattern) = blame else {
            return None;
        };
        let is_lost = matches!(
            pattern.place,
            Place::Between(CauseKind::PathFilter | CauseKind::ReturnPathFilter)
        );
        let is_apart = self.apart.contains(&(pair.src, pair.dst, pair.transport.0));
        let answers = |outcome: &Outcome| {
            outcome.is_open() || matches!(outcome, Outcome::Lossy { .. } | Outcome::Closed)
        };
        (is_lost && is_apart && !pair.cells.iter().any(|cell| answers(&cell.outcome)))
            .then(|| Blame::Pattern(Pattern::between(CauseKind::NotAdjacent, "")))
    }
}
