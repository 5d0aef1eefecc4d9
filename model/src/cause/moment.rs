//! What was so for a moment only: a link that went down and came back.

use std::collections::BTreeSet;

use crate::{
    id::NodeId,
    port::Family,
    verdict::{Cell, Outcome, PairVerdict},
};

/// Who is known to have got an answer from whom.
pub(super) struct Heard(BTreeSet<(NodeId, NodeId, Family)>);

impl Heard {
    pub(super) fn of(pairs: &[PairVerdict]) -> Self {
        let answered = pairs
            .iter()
            .filter(|pair| pair.cells.iter().any(|cell| cell.outcome.answers()));
        Self(
            answered
                .map(|pair| (pair.src, pair.dst, pair.transport.0))
                .collect(),
        )
    }

    /// Whether what kept a question from leaving its host was so for a moment only: routes and link addresses know no ports,
    /// and another one was answered.
    pub(super) fn is_moment(&self, pair: &PairVerdict, cell: &Cell) -> bool {
        let family = pair.transport.0;
        let there = self.0.contains(&(pair.src, pair.dst, family));
        match cell.outcome {
            Outcome::NoRoute => there,
            // Who answers has resolved the other's address.
            Outcome::NeighborUnresolved => there || self.0.contains(&(pair.dst, pair.src, family)),
            _ => false,
        }
    }
}
