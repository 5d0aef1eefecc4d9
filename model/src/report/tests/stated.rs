//! Whatever part of the evidence there is, each test of an exhaustive plan is stated, and none passes that nobody made.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::{
    evidence::{Batch, LostWhy, Payload, SwarmEvent, SwarmRecord},
    id::NodeId,
    ledger::Transport,
    observation::Record,
    port::{
        Family, PortSet,
        Protocol::{Tcp, Udp},
    },
    report::stage::{CP, LB, Stage, W1, W2, batches, node, numbered, ports, run_id},
};

/// Where a probe's testimony ends: after so many batches, of which the last one tells of no port above this one. Whether the
/// coordinator noticed is another matter.
#[derive(Debug, Clone, Copy)]
struct Death {
    batches: usize,
    last_port: u16,
    is_told: bool,
}

fn death() -> impl Strategy<Value = Option<Death>> {
    let of = (0..=4usize, 30_000..=30_199u16, any::<bool>());
    prop::option::of(of.prop_map(|(batches, last_port, is_told)| Death {
        batches,
        last_port,
        is_told,
    }))
}

fn stage(range: &str) -> Stage {
    Stage::of(&[CP, LB, W1, W2])
        .rule("node.kubelet", "10250", &[CP, LB], &[W1, W2])
        .rule("w.nodeport", range, &[CP, LB, W1, W2], &[W1, W2])
        .through_services()
        .over(Family::Ipv4, Udp)
        .rule("w.nodeport.udp", range, &[CP, LB, W1, W2], &[W1, W2])
}

/// A test: source, destination, transport, port.
type Test = (NodeId, NodeId, Transport, u16);

fn tests_of(records: &[Record], src: NodeId) -> impl Iterator<Item = Test> {
    records.iter().flat_map(move |record| match record {
        Record::Reach(reach) => {
            let transport = (reach.family, reach.protocol);
            let tests = reach.ports.iter().map(|port| (src, reach.dst, transport, port));
            tests.collect::<Vec<Test>>()
        }
        _ => Vec::new(),
    })
}

/// What is left of the evidence if probes die, and which tests are reported in it.
fn truncated(payloads: Vec<Payload>, deaths: &BTreeMap<NodeId, Death>) -> (Vec<Payload>, BTreeSet<Test>) {
    let mut told: BTreeMap<NodeId, Vec<Vec<Record>>> = BTreeMap::new();
    let (mut events, mut reported) = (Vec::new(), BTreeSet::new());
    for payload in payloads {
        match payload {
            Payload::Batch(Batch { node, records, .. }) => told.entry(node).or_default().push(records),
            event => events.push(event),
        }
    }
    let end = events.pop();
    let mut out = events;
    for (node, mut records) in told {
        if let Some(death) = deaths.get(&node) {
            let until = PortSet::from_iter(1..=death.last_port);
            records.truncate(death.batches);
            for record in records.last_mut().into_iter().flatten() {
                if let Record::Reach(reach) = record {
                    reach.ports = reach.ports.intersection(&until);
                }
            }
            for batch in &mut records {
                batch.retain(|record| !matches!(record, Record::Reach(reach) if reach.ports.is_empty()));
            }
        }
        reported.extend(records.iter().flat_map(|records| tests_of(records, node)));
        out.extend(batches(node, records).into_iter().map(Payload::Batch));
    }
    for (node, _) in deaths.iter().filter(|(_, death)| death.is_told) {
        out.push(Payload::Swarm(SwarmRecord {
            run: run_id(),
            at_ms: 9_000,
            event: SwarmEvent::Lost {
                node: *node,
                why: LostWhy::StreamEnded,
            },
        }));
    }
    out.extend(end);
    (out, reported)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_port_of_an_exhaustive_range_is_left_unstated_and_none_passes_that_nobody_asked(
        deaths in prop::collection::vec(death(), 4),
        is_live in any::<bool>(),
    ) {
        let mut stage = stage("30000-30199");
        if is_live {
            stage = stage.over(Family::Ipv4, Tcp).serves(W2, "10250", "kubelet").has_services(W2, "30080,30100-30110");
        }
        let nodes = [CP, LB, W1, W2].map(node);
        let deaths: BTreeMap<NodeId, Death> =
            nodes.into_iter().zip(deaths).filter_map(|(node, death)| Some((node, death?))).collect();
        let (payloads, reported) = truncated(stage.payloads(), &deaths);
        let report = stage.judge(&numbered(payloads)).unwrap();
        let mut planned: BTreeSet<Test> = BTreeSet::new();
        for block in &stage.plan.blocks {
            for src in &block.sources {
                for dst in block.destinations.iter().filter(|dst| *dst != src) {
                    let asked = block.ports_for(*src, *dst);
                    prop_assert_eq!(&asked, &block.ports);
                    let transport = (block.family, block.protocol);
                    planned.extend(asked.iter().map(|port| (*src, *dst, transport, port)));
                }
            }
        }
        let mut stated: BTreeSet<Test> = BTreeSet::new();
        for row in &report.reachability {
            for port in row.ports.iter() {
                let test = (row.src, row.dst, (row.family, row.protocol), port);
                prop_assert!(stated.insert(test), "{:?} stands twice", test);
                match row.outcome.as_str() {
                    "open" | "open_unverified" => prop_assert!(reported.contains(&test), "{:?}", row),
                    "not_measured" => prop_assert!(row.why.is_some(), "{:?}", row),
                    _ => prop_assert!(false, "{:?}", row),
                }
            }
        }
        prop_assert_eq!(stated.len(), planned.len());
        prop_assert_eq!(stated, planned);
        let coverage = &report.coverage;
        prop_assert!(coverage.measured <= coverage.planned && coverage.inferred == 0, "{:?}", coverage);
    }
}

#[test]
fn of_a_range_whose_source_died_halfway_what_it_reported_counts_and_the_rest_says_why() {
    let deaths = BTreeMap::from([(
        node(LB),
        Death {
            batches: 3,
            last_port: 31_000,
            is_told: true,
        },
    )]);
    let stage = stage("30000-32767");
    let (payloads, _) = truncated(stage.payloads(), &deaths);
    let report = stage.judge(&numbered(payloads)).unwrap();
    let rows = report
        .reachability
        .iter()
        .filter(|row| (row.src, row.dst, row.rule.as_str()) == (node(LB), node(W1), "w.nodeport"));
    let told: Vec<(PortSet, &str, Option<&str>)> = rows
        .map(|row| (row.ports.clone(), row.outcome.as_str(), row.why.as_deref()))
        .collect();
    let expected = [
        (ports("30000-31000"), "open", None),
        (ports("31001-32767"), "not_measured", Some("source_lost")),
    ];
    assert_eq!(told, expected);
}
