//! Outcomes of tests, kept small while they come in and turned into records at the end.

use std::collections::BTreeMap;

use plumbline_measure::attempt::Tally;
use plumbline_model::{
    observation::{Reach, Record, Signal},
    port::{Family, PortSet, Protocol},
};

use super::AskTarget;

/// Ports by equal outcome, for each target.
#[derive(Debug)]
pub(super) struct Ledger(Vec<BTreeMap<(Signal, u32, u32), Vec<u16>>>);

impl Ledger {
    /// A ledger for so many targets.
    pub(super) fn new(targets: usize) -> Self {
        Self(vec![BTreeMap::new(); targets])
    }

    /// Notes the outcome of one test.
    pub(super) fn note(&mut self, target: usize, port: u16, signal: Signal, tally: Tally) {
        self.0[target]
            .entry((signal, tally.attempts, tally.answered))
            .or_default()
            .push(port);
    }

    /// One record for each target and equal outcome, in the order of the targets.
    pub(super) fn into_records(self, targets: &[AskTarget], second_look: bool) -> Vec<Record> {
        let mut records = Vec::new();
        for (outcomes, target) in self.0.into_iter().zip(targets) {
            records.extend(outcomes.into_iter().map(|((signal, attempts, answered), ports)| {
                Record::Reach(Reach {
                    dst: target.peer.node,
                    family: Family::of(target.peer.address),
                    protocol: Protocol::Tcp,
                    ports: ports.into_iter().collect::<PortSet>(),
                    signal,
                    attempts,
                    answered,
                    second_look,
                    from: None,
                })
            }));
        }
        records
    }
}
