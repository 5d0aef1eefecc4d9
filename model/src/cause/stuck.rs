//! Hosts that can send nothing at all to another: neither questions nor answers.

use std::collections::BTreeMap;

use crate::{
    id::NodeId,
    ledger::Ledger,
    port::Family,
    verdict::{Cell, Outcome, PairVerdict, Way},
};

use super::{
    blame::{Blame, Local, Proof, Rule, Setting},
    host::{Opinion, ask},
    pattern::{Pattern, Place},
};

/// Pairs whose source can send nothing at all to the destination: its answers do not leave either.
pub(super) struct Stuck(BTreeMap<(NodeId, NodeId, Family), Setting>);

impl Stuck {
    pub(super) fn of(ledger: &Ledger<'_>, pairs: &[PairVerdict]) -> Self {
        Self(stuck(ledger, pairs))
    }

    /// Answers that do not leave have the cause of the questions in the same direction that do not leave.
    pub(super) fn explain(&self, pair: &PairVerdict, blame: &Blame) -> Option<Blame> {
        let family = pair.transport.0;
        let setting = *self.0.get(&(pair.dst, pair.src, family))?;
        let node = match blame {
            Blame::Pattern(Pattern {
                place:
                    Place::Host {
                        node,
                        setting: Setting::Unanswered,
                    }
                    | Place::Filter {
                        node,
                        way: Way::In | Way::AnswerOut,
                        proof: Proof::Capture,
                    },
                ..
            }) => *node,
            // The way is sought before the packet filter is asked.
            Blame::Rule(Rule {
                node,
                way: Way::AnswerOut,
                ..
            }) if setting == Setting::NoRoute => *node,
            _ => return None,
        };
        let routes = Local::Routes {
            node,
            family,
            setting,
        };
        Some(routes.into())
    }
}

/// Directions in which every question ends at its source for want of a way, and by no rule: rules are asked about answers
/// themselves.
fn stuck(ledger: &Ledger<'_>, pairs: &[PairVerdict]) -> BTreeMap<(NodeId, NodeId, Family), Setting> {
    let lets_out = |pair: &PairVerdict, cell: &Cell| {
        let port = cell.ports.ranges().first().map(|range| range.first());
        port.is_some_and(|port| {
            ask(ledger, pair.src, pair.dst, pair.transport, port, Way::Out) == Opinion::Accepts
        })
    };
    let setting = |pair: &PairVerdict, cell: &Cell| match cell.outcome {
        Outcome::NoRoute => Some(Setting::NoRoute),
        Outcome::LocalBlocked if lets_out(pair, cell) => Some(Setting::NothingLeaves),
        _ => None,
    };
    // What was not measured contradicts nothing.
    let ends = |pair: &PairVerdict| (pair.src, pair.dst, pair.transport.0);
    let told = |pair: &PairVerdict| -> Vec<Option<Setting>> {
        let measured = pair.cells.iter().filter(|cell| cell.outcome.is_measured());
        measured.map(|cell| setting(pair, cell)).collect()
    };
    let mut found: BTreeMap<(NodeId, NodeId, Family), Setting> = BTreeMap::new();
    for pair in pairs {
        let is_kept = |cell: &Cell| matches!(cell.outcome, Outcome::NoRoute | Outcome::LocalBlocked);
        if pair.cells.iter().any(is_kept)
            && let Some(first) = told(pair).into_iter().flatten().next()
        {
            found.insert(ends(pair), first);
        }
    }
    if !found.is_empty() {
        for pair in pairs {
            let is_other = |known: &mut Setting| told(pair).into_iter().any(|told| told != Some(*known));
            if found.get_mut(&ends(pair)).is_some_and(is_other) {
                found.remove(&ends(pair));
            }
        }
    }
    found
}
