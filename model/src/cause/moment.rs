//! What was so for a moment only: a link that went down and came back, a host that stood still.
//!
//! Routes and link addresses know no ports: if another port was answered, what was missing was missing for a moment. And
//! where every silent test of a pair that was asked again was answered then, those of which nobody asked again would have
//! been, too: a sampled second look speaks for what failed beside it ([`super::place`]). Neither speaks for
//! a port that failed in a second look, too, be it from another source or at another destination.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    id::NodeId,
    ledger::{Ledger, Look, Transport},
    observation::Signal,
    port::{Family, PortSet},
    verdict::{Cell, Outcome, PairVerdict},
};

/// What is known to have got through, and what failed again.
pub(super) struct Moments {
    /// Who is known to have got an answer from whom.
    heard: BTreeSet<(NodeId, NodeId, Family)>,
    /// Pairs of which all silent tests that were asked again were answered.
    recovered: BTreeSet<(NodeId, NodeId, Transport)>,
    /// Ports that failed in a second look, too, by their destination, and by their source.
    failed_at: BTreeMap<(NodeId, Transport), PortSet>,
    failed_from: BTreeMap<(NodeId, Transport), PortSet>,
}

impl Moments {
    pub(super) fn of(ledger: &Ledger<'_>, pairs: &[PairVerdict]) -> Self {
        let answered = pairs
            .iter()
            .filter(|pair| pair.cells.iter().any(|cell| cell.outcome.answers()));
        let mut moments = Self {
            heard: answered
                .map(|pair| (pair.src, pair.dst, pair.transport.0))
                .collect(),
            recovered: BTreeSet::new(),
            failed_at: BTreeMap::new(),
            failed_from: BTreeMap::new(),
        };
        for pair in pairs {
            if pair.cells.iter().any(|cell| !cell.outcome.is_open()) {
                moments.look_again(ledger, pair);
            }
        }
        moments
    }

    fn look_again(&mut self, ledger: &Ledger<'_>, pair: &PairVerdict) {
        let looks = [Look::First, Look::Second]
            .map(|look| ledger.node(pair.src)?.reach(pair.dst, pair.transport, look));
        let [Some(first), Some(second)] = looks else {
            return;
        };
        let (mut is_answered, mut failed) = (false, PortSet::new());
        for (range, told) in second.runs() {
            let before = first.get(range.first()).map(|told| &told.what.signal);
            match (before, &told.what.signal) {
                (Some(Signal::Silence), Signal::Verified) => is_answered = true,
                (_, Signal::Verified | Signal::Connected | Signal::NotTried { .. }) => {}
                _ => failed.insert(*range),
            }
        }
        if !failed.is_empty() {
            let at = self.failed_at.entry((pair.dst, pair.transport)).or_default();
            at.extend(&failed);
            let from = self.failed_from.entry((pair.src, pair.transport)).or_default();
            from.extend(&failed);
        } else if is_answered {
            self.recovered.insert((pair.src, pair.dst, pair.transport));
        }
    }

    /// Which of these failing ports failed for a moment only.
    pub(super) fn part(&self, pair: &PairVerdict, cell: &Cell, ports: &PortSet) -> PortSet {
        let family = pair.transport.0;
        let there = self.heard.contains(&(pair.src, pair.dst, family));
        let is_moment = match cell.outcome {
            Outcome::NoRoute => there,
            // Who answers has resolved the other's address.
            Outcome::NeighborUnresolved => there || self.heard.contains(&(pair.dst, pair.src, family)),
            Outcome::Filtered | Outcome::FilteredForward | Outcome::FilteredReturn => {
                self.recovered.contains(&(pair.src, pair.dst, pair.transport))
            }
            _ => false,
        };
        if !is_moment {
            return PortSet::new();
        }
        let stubborn = [
            self.failed_at.get(&(pair.dst, pair.transport)),
            self.failed_from.get(&(pair.src, pair.transport)),
        ];
        let stubborn = stubborn.into_iter().flatten();
        stubborn.fold(ports.clone(), |ports, stubborn| ports.difference(stubborn))
    }
}
