//! Outcomes of tests, kept small while they come in and turned into records at the end.

use std::{collections::BTreeMap, net::IpAddr};

use plumbline_measure::attempt::Tally;
use plumbline_model::{
    observation::{Reach, Record, Signal},
    port::{Family, PortSet, Protocol},
};

use super::asking::AskTask;

/// Ports by equal outcome, for each target.
#[derive(Debug)]
pub(super) struct Ledger(Vec<BTreeMap<Key, Vec<u16>>>);

/// What became of one test.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) signal: Signal,
    pub(super) tally: Tally,
    /// The local address that it left from, if it left.
    pub(super) from: Option<IpAddr>,
}

/// Signal, attempts, answered attempts, local address.
type Key = (Signal, u32, u32, Option<IpAddr>);

impl Outcome {
    /// A test of which no attempt was made.
    pub(super) fn never_tried(signal: Signal) -> Self {
        Self {
            signal,
            tally: Tally {
                attempts: 0,
                answered: 0,
            },
            from: None,
        }
    }
}

impl Ledger {
    /// A ledger for so many targets.
    pub(super) fn new(targets: usize) -> Self {
        Self(vec![BTreeMap::new(); targets])
    }

    /// Notes the outcome of one test.
    pub(super) fn note(&mut self, target: usize, port: u16, outcome: Outcome) {
        let Tally { attempts, answered } = outcome.tally;
        self.0[target]
            .entry((outcome.signal, attempts, answered, outcome.from))
            .or_default()
            .push(port);
    }

    /// One record for each target and equal outcome, in the order of the targets.
    pub(super) fn into_records(self, task: &AskTask, protocol: Protocol) -> Vec<Record> {
        let mut records = Vec::new();
        for (outcomes, target) in self.0.into_iter().zip(&task.targets) {
            let family = Family::of(target.peer.address);
            let expected = task.data_addresses.iter().find(|own| Family::of(**own) == family);
            let record = |((signal, attempts, answered, from), ports): (Key, Vec<u16>)| {
                Record::Reach(Reach {
                    dst: target.peer.node,
                    family,
                    protocol,
                    ports: ports.into_iter().collect::<PortSet>(),
                    signal,
                    attempts,
                    answered,
                    second_look: task.second_look,
                    from: from.filter(|from| expected.is_some_and(|expected| from != expected)),
                })
            };
            records.extend(outcomes.into_iter().map(record));
        }
        records
    }
}
