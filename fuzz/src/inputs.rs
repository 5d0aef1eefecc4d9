//! The administrator's files and words, and the JSON of evidence and reports.

use std::{fmt::Display, str::FromStr, sync::LazyLock};

use plumbline_model::{
    canonical, cluster,
    evidence::{Entry, Parameters, Payload},
    firewall::{Packet, Ruleset},
    id::{NodeId, RunId},
    inventory::Inventory,
    plan::Plan,
    port::{PortRange, PortSet, Protocol},
    profile::{self, Condition, Profile},
    report::{self, Report},
    source::{Refused, SourceText},
    version::{Minor, Version},
};
use plumbline_probe::{facts, guard::Policy};
use serde::{Serialize, de::DeserializeOwned};

use crate::Reading;

/// A cluster file, and what is planned from it.
///
/// # Panics
/// If a complaint does not stand within the text, or the plan disagrees with its own size.
pub fn cluster_file(data: &[u8]) -> Reading {
    let Some(source) = source("cluster.yaml", data) else {
        return Reading::Refused;
    };
    let read = cluster::read(&source);
    match &read {
        Err(refused) => check_complaints(&source, refused),
        Ok(cluster) => {
            assert_eq!(
                cluster::read(&source).as_ref(),
                Ok(cluster),
                "the same text reads the same"
            );
            let inventory = Inventory::derive(&cluster.cluster);
            assert!(
                inventory.nodes.windows(2).all(|pair| pair[0].id < pair[1].id),
                "nodes ascend, each once"
            );
            check_plan(&inventory, &[]);
        }
    }
    Reading::of(&read)
}

/// A profile, and what it asks of a cluster.
///
/// # Panics
/// If a complaint does not stand within the text, or the plan disagrees with its own size.
pub fn profile(data: &[u8]) -> Reading {
    let Some(source) = source("profile.yaml", data) else {
        return Reading::Refused;
    };
    let read = profile::read(&source);
    match &read {
        Err(refused) => check_complaints(&source, refused),
        Ok(profile) => {
            for version in &profile.versions {
                for row in profile.rows(*version, None) {
                    assert!(
                        row.first_port != Some(0) && row.first_port <= row.last_port,
                        "{row:?}"
                    );
                    assert_eq!(row.first_port.is_some(), row.last_port.is_some(), "{row:?}");
                }
            }
            check_plan(&CLUSTER, std::slice::from_ref(profile));
        }
    }
    Reading::of(&read)
}

/// Everything that is written in one word: ids, versions, protocols, ports, conditions, numbers of octets.
///
/// # Panics
/// If a word that was read is not read again as it is written.
pub fn word(data: &[u8]) -> Reading {
    let Ok(text) = std::str::from_utf8(data) else {
        return Reading::Refused;
    };
    let read = [
        again::<NodeId>(text),
        again::<RunId>(text),
        again::<Version>(text),
        again::<Minor>(text),
        again::<Protocol>(text),
        again::<PortRange>(text),
        again::<PortSet>(text),
        again::<plumbline_model::firewall::Octets>(text),
        Condition::from_str(text).is_ok_and(|condition| {
            assert_eq!(condition.text, text);
            condition.holds_for(&CLUSTER);
            true
        }),
    ];
    if read.contains(&true) {
        Reading::Accepted
    } else {
        Reading::Refused
    }
}

/// The policy file of a probe.
///
/// # Panics
/// If a refusal has no words.
pub fn policy_file(data: &[u8]) -> Reading {
    let Ok(text) = std::str::from_utf8(data) else {
        return Reading::Refused;
    };
    let read = Policy::parse(text);
    if let Err(words) = &read {
        assert!(!words.is_empty());
    }
    Reading::of(&read)
}

/// One payload of evidence, before and after its signature was checked: the same for report.json and every other canonical
/// JSON.
///
/// # Panics
/// If what is canonical is not written back octet by octet.
pub fn evidence_payload(data: &[u8]) -> Reading {
    canonical_json::<Payload>(data)
}

/// A report.
///
/// # Panics
/// As [`evidence_payload`].
pub fn report_json(data: &[u8]) -> Reading {
    canonical_json::<Report>(data)
}

/// A packet filter as a probe testifies to it: whatever it holds is walked through for every kind of packet that tests send.
///
/// # Panics
/// As [`evidence_payload`], and if a judgement cannot be written.
pub fn ruleset(data: &[u8]) -> Reading {
    let read = canonical_json::<Ruleset>(data);
    if let Ok(ruleset) = serde_json::from_slice::<Ruleset>(data) {
        judge(&ruleset);
    }
    read
}

/// Whole evidence, one payload a line: the run record, then what the swarm and its probes say. Lines that do not read are
/// left out; runs, numbers and chains are made good, since signatures and order are other bodies' matter: here every sentence
/// of a probe is as good as signed.
///
/// # Panics
/// If the report is not the same twice, or not canonical.
pub fn evidence(data: &[u8]) -> Reading {
    let payloads = data
        .split(|octet| *octet == b'\n')
        .filter_map(|line| serde_json::from_slice::<Payload>(line).ok());
    let entries = in_order(payloads);
    let report = report::report(&entries);
    if let Ok(report) = &report {
        let bytes = canonical::encode(report);
        assert_eq!(
            canonical::decode::<Report>(&bytes).as_ref().ok(),
            Some(report),
            "a report survives its own encoding"
        );
        let again = report::report(&entries).expect("the same evidence gives a report again");
        assert_eq!(
            canonical::encode(&again),
            bytes,
            "the same evidence gives the same report"
        );
    }
    Reading::of(&report)
}

/// Walks packets of every kind through a packet filter, and finds the Services in it.
pub(crate) fn judge(ruleset: &Ruleset) {
    for found in facts::node_ports(ruleset) {
        assert!(!found.ports.is_empty());
    }
    let (ours, theirs) = ([10, 77, 0, 2].into(), [10, 77, 0, 1].into());
    let question = Packet::incoming_syn("eth0", theirs, ours, 10_250);
    let six = Packet::outgoing_syn(
        "eth0",
        [0xfd00, 0x77, 0, 0, 0, 0, 0, 1].into(),
        [0xfd00, 0x77, 0, 0, 0, 0, 0, 2].into(),
        22,
    );
    for packet in [&question, &question.answer(), &six, &six.answer()] {
        let judgement = ruleset.evaluate(packet);
        if let Some(place) = judgement.stopped_at() {
            assert!(!judgement.accepts());
            assert!(!place.to_string().is_empty());
        }
    }
}

fn source(name: &str, data: &[u8]) -> Option<SourceText> {
    Some(SourceText {
        name: name.to_owned(),
        text: std::str::from_utf8(data).ok()?.to_owned(),
    })
}

/// Complaints stand in the text that they are about.
fn check_complaints(source: &SourceText, refused: &Refused) {
    assert!(!refused.0.is_empty(), "who refuses says why");
    // A carriage return alone ends a line, too (YAML 1.2, section 5.4). One more: what is missing is missing at the end.
    let lines = source.text.split(['\n', '\r']).count() + 1;
    for complaint in &refused.0 {
        assert_eq!(complaint.file, source.name);
        assert!(complaint.line >= 1 && complaint.column >= 1, "{complaint}");
        assert!(complaint.line as usize <= lines, "{complaint}: of {lines} lines");
        assert!(!complaint.message.is_empty());
    }
}

/// The plan for clusters that are small enough to count.
fn check_plan(inventory: &Inventory, profiles: &[Profile]) {
    if inventory.nodes.len() > MOST_PLANNED {
        return;
    }
    let plan = Plan::new(inventory, profiles, &PARAMETERS);
    let counted: u64 = plan
        .participants
        .iter()
        .flat_map(|node| plan.targets_from(*node))
        .map(|target| u64::from(target.ports.count()) * target.destinations.len() as u64)
        .sum();
    assert_eq!(plan.size().tests, counted);
}

fn again<T: FromStr + Display + PartialEq + std::fmt::Debug>(text: &str) -> bool
where
    T::Err: Display,
{
    match text.parse::<T>() {
        Err(refused) => {
            assert!(!refused.to_string().is_empty());
            false
        }
        Ok(value) => {
            assert_eq!(value.to_string().parse::<T>().ok().as_ref(), Some(&value));
            true
        }
    }
}

fn canonical_json<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(data: &[u8]) -> Reading {
    let read = canonical::decode::<T>(data);
    match &read {
        Ok(value) => assert_eq!(canonical::encode(value), data),
        // Written otherwise it is refused; what it says can be said canonically all the same.
        Err(_) => {
            if let Ok(value) = serde_json::from_slice::<T>(data) {
                let bytes = canonical::encode(&value);
                assert_eq!(canonical::decode::<T>(&bytes).ok().as_ref(), Some(&value));
            }
        }
    }
    Reading::of(&read)
}

/// Entries as they stand in a file whose signatures and order hold.
pub(crate) fn in_order(payloads: impl Iterator<Item = Payload>) -> Vec<Entry> {
    let mut chains = std::collections::BTreeMap::<NodeId, (u64, String)>::new();
    let mut run: Option<RunId> = None;
    let mut entries: Vec<Entry> = Vec::new();
    for mut payload in payloads {
        match (&mut payload, &run) {
            (Payload::Run(record), None) => {
                record.analysis = plumbline_model::evidence::ANALYSIS_VERSION;
                run = Some(record.run.clone());
            }
            (Payload::Run(_), Some(_)) | (_, None) => continue,
            (Payload::Swarm(record), Some(run)) => record.run.clone_from(run),
            (Payload::Batch(batch), Some(run)) => {
                let chain = chains.entry(batch.node).or_default();
                batch.run.clone_from(run);
                batch.seq = chain.0 + 1;
                batch.previous.clone_from(&chain.1);
            }
        }
        if let Payload::Batch(batch) = &payload {
            chains.insert(batch.node, (batch.seq, payload.digest()));
        }
        let line = u32::try_from(entries.len() + 1).unwrap_or(u32::MAX);
        entries.push(Entry { line, payload });
    }
    entries
}

/// A cluster to hold conditions and profiles against.
static CLUSTER: LazyLock<Inventory> = LazyLock::new(|| {
    let text = include_str!("../corpus/cluster_file/hybrid-two-nodes.yaml").to_owned();
    let name = "hybrid-two-nodes.yaml".to_owned();
    let cluster = cluster::read(&SourceText { name, text }).unwrap_or_else(|refused| panic!("{refused}"));
    Inventory::derive(&cluster.cluster)
});

/// What an audit asks for: what the run record of the sample says.
static PARAMETERS: LazyLock<Parameters> = LazyLock::new(|| {
    let lines = include_str!("../corpus/evidence/clean").lines();
    let mut payloads = lines.map(serde_json::from_str::<Payload>);
    match payloads.next() {
        Some(Ok(Payload::Run(record))) => record.parameters,
        other => panic!("the sample starts with a run record: {other:?}"),
    }
});

/// Nodes of the largest cluster that is planned: the plan grows with their square.
const MOST_PLANNED: usize = 24;
