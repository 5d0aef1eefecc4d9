use std::{collections::BTreeSet, net::Ipv4Addr};

use plumbline_model::{
    evidence::Batch,
    id::RunId,
    observation::{Reach, Record, Signal},
    port::{Family, Protocol},
    profile::Severity,
};
use plumbline_proto::convert::ArmPorts;
use proptest::prelude::*;

use super::*;
use crate::conductor::{
    Duties,
    duties::{Duty, Transport},
};

const TCP4: Transport = (Family::Ipv4, Protocol::Tcp);

fn node(last: u8) -> NodeId {
    NodeId::Address(Ipv4Addr::new(10, 0, 0, last).into())
}

fn ports(text: &str) -> PortSet {
    text.parse().unwrap()
}

/// One range that `size` nodes share, with a network of which it is known which tests fail.
struct Range {
    shared: SharedRanges,
    duties: Duties,
    bound: PortSet,
    failures: Failures,
    asked: Asked,
    rounds: Vec<Asked>,
}

impl Range {
    fn new(size: u8, range: &str) -> Self {
        let nodes: Vec<NodeId> = (1..=size).map(node).collect();
        let duty = Duty {
            arm: vec![ArmPorts {
                family: TCP4.0,
                protocol: TCP4.1,
                ports: ports(range),
            }],
            ..Duty::default()
        };
        Self {
            shared: SharedRanges(vec![Block {
                rule: "range".to_owned(),
                family: TCP4.0,
                protocol: TCP4.1,
                ports: ports(range),
                sharing: Sharing::Strata,
                sources: nodes.clone(),
                destinations: nodes.clone(),
                expect: Expect::Open,
                severity: Severity::Warn,
                through_services: true,
                purpose: String::new(),
            }]),
            duties: Duties(nodes.into_iter().map(|of| (of, duty.clone())).collect()),
            bound: ports(range),
            failures: Failures::default(),
            asked: Asked::new(),
            rounds: Vec::new(),
        }
    }

    fn tell(&mut self, (src, dst, transport): Pair, ports: PortSet, signal: Signal) {
        let reach = Reach {
            dst,
            family: transport.0,
            protocol: transport.1,
            ports,
            signal,
            attempts: 3,
            answered: 0,
            second_look: false,
            from: None,
        };
        let batch = Batch {
            run: RunId::from_bytes([7; 8]),
            node: src,
            seq: 1,
            previous: String::new(),
            roster_sha256: String::new(),
            assignment: 0,
            closed_unix_ms: 0,
            records: vec![Record::Reach(reach)],
        };
        self.failures.note(&batch, &self.duties);
    }

    /// Plays the first look and every round.
    fn play(&mut self, fails: impl Fn(NodeId, NodeId, u16) -> bool) {
        let block = self.shared.0[0].clone();
        let mut round = Asked::new();
        for src in &block.sources {
            for dst in &block.destinations {
                round.insert((*src, *dst, TCP4), block.ports_for(*src, *dst));
            }
        }
        loop {
            for (pair, asked) in round {
                let failed: PortSet = asked.iter().filter(|port| fails(pair.0, pair.1, *port)).collect();
                self.tell(pair, failed, Signal::Silence);
            }
            round = self.next();
            if round.is_empty() {
                return;
            }
            for (pair, ports) in &round {
                let before = self.asked.entry(*pair).or_default();
                assert!(
                    before.intersection(ports).is_empty(),
                    "{pair:?} is asked {ports} again"
                );
                before.extend(ports);
            }
            self.rounds.push(round.clone());
            assert!(self.rounds.len() <= MOST_ROUNDS as usize);
        }
    }

    fn next(&self) -> Asked {
        self.shared.next_round(&Sight {
            failures: &self.failures,
            asked: &self.asked,
            bound: &|_, _| Some(&self.bound),
            can_ask: &|_| true,
        })
    }

    /// What a pair knows: its share and what it was asked later.
    fn known(&self, pair: Pair) -> PortSet {
        let mut known = self.shared.0[0].ports_for(pair.0, pair.1);
        if let Some(asked) = self.asked.get(&pair) {
            known.extend(asked);
        }
        known
    }
}

#[test]
fn an_edge_is_found_by_halves() {
    let mut range = Range::new(6, "30000-30299");
    range.play(|src, dst, port| (src, dst) == (node(1), node(2)) && port < 30_123);
    let known = range.known((node(1), node(2), TCP4));
    assert!(known.contains(30_122) && known.contains(30_123), "{known}");
    // Five sources: gaps of four ports, three rounds at most. Nobody else is asked anything.
    assert!(range.rounds.len() <= 3, "{:?}", range.rounds);
    assert!(range.asked.keys().all(|pair| *pair == (node(1), node(2), TCP4)));
}

#[test]
fn a_pair_of_which_every_port_fails_has_no_edge() {
    let mut range = Range::new(6, "30000-30299");
    range.play(|src, dst, _| (src, dst) == (node(1), node(2)));
    assert!(range.rounds.is_empty(), "{:?}", range.rounds);
}

#[test]
fn a_clean_range_needs_no_round() {
    let mut range = Range::new(6, "30000-30299");
    range.play(|_, _, _| false);
    assert!(range.rounds.is_empty());
}

#[test]
fn a_port_that_fails_alone_is_asked_by_one_other_source() {
    for everybody in [true, false] {
        let mut range = Range::new(6, "30000-30299");
        let owner = (1..=6)
            .map(node)
            .find(|src| range.shared.0[0].tests(*src, node(2), 30_101))
            .unwrap();
        range.play(|src, dst, port| dst == node(2) && port == 30_101 && (everybody || src == owner));
        let witnesses: Vec<NodeId> = range
            .asked
            .iter()
            .filter(|((src, dst, _), ports)| *dst == node(2) && *src != owner && ports.contains(30_101))
            .map(|((src, _, _), _)| *src)
            .collect();
        assert_eq!(witnesses.len(), 1, "{:?}", range.asked);
        let known = range.known((owner, node(2), TCP4));
        for port in 30_100..=30_102 {
            assert!(known.contains(port), "{port} of {known}");
        }
    }
}

#[test]
fn ports_without_a_responder_of_ours_are_no_edge() {
    let mut range = Range::new(6, "30000-30299");
    range.bound = ports("30000-30099,30200-30299");
    range.play(|_, dst, port| dst == node(2) && (30_100..30_200).contains(&port));
    assert!(range.rounds.is_empty(), "{:?}", range.rounds);
}

#[test]
fn what_was_not_tried_is_not_tried_again_and_hides_no_edge() {
    let mut range = Range::new(3, "30000-30009");
    let pair = (node(1), node(2), TCP4);
    // Of two sources node 1 has the even ports.
    let not_tried = Signal::Exhausted { errno: 24 };
    range.tell(pair, ports("30004"), not_tried);
    range.tell(pair, ports("30006,30008"), Signal::Silence);
    let round = range.next();
    // Between 30002 and 30006 stand 30003, 30004 and 30005.
    assert_eq!(round.get(&pair), Some(&ports("30005")), "{round:?}");
}

#[test]
fn a_round_is_bounded_and_goes_on_with_what_it_began() {
    let mut range = Range::new(80, "30000-30999");
    // Everybody has an edge toward everybody: 80 x 79 pairs.
    range.play(|_, _, port| port < 30_500);
    // A gap of 78 ports has 79 places for its edge, of which each round leaves half.
    assert!((1..=7).contains(&range.rounds.len()), "{}", range.rounds.len());
    for round in &range.rounds {
        let tests: u32 = round.values().map(PortSet::count).sum();
        assert!(tests <= MOST_TESTS_A_ROUND, "{tests}");
    }
    let sources: BTreeSet<NodeId> = range.asked.keys().map(|(src, _, _)| *src).collect();
    let destinations: BTreeSet<NodeId> = range.asked.keys().map(|(_, dst, _)| *dst).collect();
    assert!(sources.len() > 40 && destinations.len() > 40);
}

proptest! {
    #[test]
    fn whatever_fails_every_edge_that_a_source_sees_becomes_exact(
        size in 3..9u8,
        failing in prop::collection::btree_set((1..9u8, 1..9u8, 30_000..30_128u16), 0..40),
        whole in prop::collection::btree_set((1..9u8, 1..9u8), 0..4),
    ) {
        let mut range = Range::new(size, "30000-30127");
        let fails = |src: NodeId, dst: NodeId, port: u16| {
            let last = |node: NodeId| (1..9u8).find(|last| self::node(*last) == node).unwrap_or(0);
            let (src, dst) = (last(src), last(dst));
            whole.contains(&(src, dst)) || failing.contains(&(src, dst, port))
        };
        range.play(fails);
        for ((src, dst, _), _) in range.failures.pairs() {
            let known: Vec<u16> = range.known((src, dst, TCP4)).iter().collect();
            for edge in known.windows(2) {
                if fails(src, dst, edge[0]) != fails(src, dst, edge[1]) {
                    prop_assert_eq!(edge[0] + 1, edge[1], "{} -> {}", src, dst);
                }
            }
        }
    }
}
