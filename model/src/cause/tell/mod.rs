//! A cause told to a person: one sentence of what and where, and what mends it.

mod absent;
mod between;
mod chance;
mod filter;
mod service;
mod setting;
mod swallowed;
mod twin;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    firewall::{Judgement, Ruleset},
    id::NodeId,
    inventory::Inventory,
    ledger::Ledger,
    observation::Life,
    plan::Plan,
    port::{Family, Protocol},
    profile::Severity,
    report::{Affect, Finding, FindingSeverity, MAX_AFFECTS, MAX_EVIDENCE, Status, check},
    verdict::Way,
};

use super::{
    Cause, CauseKind, Fix,
    blame::{Local, Tests},
    filter::{FilterCase, HostCase},
    fix::said_list,
    group::Group,
    host::{address_of, judge},
    span::said_spans,
    subnet::Subnets,
    twin::Twin,
};

/// Knows the names of things.
pub(super) struct Teller<'a> {
    inventory: &'a Inventory,
    plan: &'a Plan,
    ledger: &'a Ledger<'a>,
    subnets: &'a Subnets,
    /// How many nodes call themselves so: a name that several have (clones, containers) tells nothing.
    hostnames: BTreeMap<&'a str, u32>,
}

/// What is said of a cause.
pub(super) struct Told {
    pub(super) check: &'static str,
    pub(super) kind: CauseKind,
    pub(super) node: Option<NodeId>,
    pub(super) detail: String,
    pub(super) fix: Fix,
    /// Caps the weight that the tests' rules give.
    pub(super) most: Status,
}

impl<'a> Teller<'a> {
    pub(super) fn new(
        inventory: &'a Inventory,
        plan: &'a Plan,
        ledger: &'a Ledger<'a>,
        subnets: &'a Subnets,
    ) -> Self {
        let mut hostnames = BTreeMap::new();
        for facts in ledger.nodes.values().filter_map(|log| log.facts) {
            *hostnames.entry(facts.what.hostname.as_str()).or_insert(0) += 1;
        }
        hostnames.remove("");
        Self {
            inventory,
            plan,
            ledger,
            subnets,
            hostnames,
        }
    }

    /// The finding of a cause at a node (or nowhere in particular), its id still empty.
    pub(super) fn at_node(&self, local: &Local, tests: &Tests) -> Finding {
        let told = match local {
            Local::HostSetting { node, setting } | Local::Routes { node, setting, .. } => {
                self.host_setting(*node, *setting, tests)
            }
            Local::NoAddress { node, family } => self.no_address(*node, *family, tests),
            Local::PortTaken {
                node,
                process,
                pid,
                alone,
            } => self.port_taken(*node, process.as_deref(), *pid, *alone, tests),
            Local::PortsTaken { node, holders } => self.ports_taken(*node, *holders, tests),
            Local::NoListener { node } => self.no_listener(*node, tests),
            Local::ProbeLost { node } => self.probe_lost(*node, tests),
            Local::WrongResponder { node } => self.wrong_responder_on(*node, tests),
            Local::Exposure { node } => self.exposure(*node, tests),
            Local::Unmeasured { why, node } => self.unmeasured(*why, *node, tests),
            Local::DuplicateAddress { owner, twin } => self.duplicate_address(*owner, twin, tests),
            Local::ProxyArp { mac } => self.proxy_arp(mac, tests),
        };
        let between = match local {
            Local::DuplicateAddress {
                owner,
                twin: Twin::Member(twin),
            } => Some([vec![*owner], vec![*twin]]),
            Local::ProxyArp { .. } => Some([tests.sources(), tests.destinations()]),
            _ => None,
        };
        finding(told, tests, between)
    }

    /// The finding of a setting of a node by which packets end there, its id still empty.
    pub(super) fn on_host(&self, case: &HostCase) -> Finding {
        finding(self.swallowed(case), &case.tests, None)
    }

    /// The finding of a packet filter, its id still empty.
    pub(super) fn in_filter(&self, case: &FilterCase) -> Finding {
        finding(self.host_firewall(case), &case.tests, None)
    }

    /// The finding of a cause between nodes, its id still empty.
    pub(super) fn between_nodes(&self, kind: CauseKind, how: &str, group: &Group) -> Finding {
        finding(
            self.between(kind, how, group),
            &group.tests,
            Some(group.sides.clone()),
        )
    }

    /// `10.0.0.3 (lb-1)`.
    pub(super) fn name(&self, node: NodeId) -> String {
        let facts = self.ledger.node(node).and_then(|log| log.facts);
        match facts.map(|told| told.what.hostname.as_str()) {
            Some(hostname) if self.hostnames.get(hostname) == Some(&1) => {
                format!("{} ({hostname})", in_sentence(node))
            }
            _ => in_sentence(node),
        }
    }

    /// Nodes as a person says them: a whole subnet by its prefix (in the family of these tests), everybody as everybody, else
    /// by name.
    pub(super) fn side(&self, nodes: &[NodeId], tests: &Tests) -> String {
        if nodes.len() > 1
            && !self.is_retest()
            && let Some(whole) = self.whole(nodes, tests)
        {
            return whole;
        }
        if let [node] = nodes {
            return self.name(*node);
        }
        // Hostnames of several nodes make a sentence that nobody reads to its end.
        let names: Vec<String> = nodes.iter().map(|node| in_sentence(*node)).collect();
        said_list(&names, MAX_SAID_NODES)
    }

    /// What these nodes are all of, if they are.
    fn whole(&self, nodes: &[NodeId], tests: &Tests) -> Option<String> {
        if nodes.len() == self.plan.participants.len() {
            return Some("every participant".to_owned());
        }
        let families = tests.families().into_iter();
        let subnets = families.filter_map(|family| {
            let subnet = self.subnets.all_of(nodes, family)?;
            Some(subnet.to_string())
        });
        let subnets: Vec<String> = subnets.collect();
        match subnets.as_slice() {
            [subnet] => Some(subnet.clone()),
            [v4, v6] => Some(format!("{v4} ({v6})")),
            _ => None,
        }
    }

    /// Whether only what failed before was asked again: what these tests have in common says nothing of others, since nobody
    /// asked them.
    pub(super) fn is_retest(&self) -> bool {
        self.ledger.run.parameters.retest.is_some()
    }

    /// Ports as a person says them; where the cluster has both families, with those in which they fail.
    pub(super) fn ports(&self, tests: &Tests) -> String {
        let ports = said_spans(self.plan, tests);
        let mut planned = self.plan.blocks.iter().map(|block| block.family);
        let families = tests.families();
        let mut own = families.iter();
        match (own.next(), own.next()) {
            (Some(family), None) if *family == Family::Ipv6 || planned.any(|other| other != *family) => {
                format!("{ports} over {family}")
            }
            (Some(one), Some(other)) => {
                format!("{ports} over {one} and {other}")
            }
            _ => ports,
        }
    }

    pub(super) fn count(&self, tests: &Tests) -> String {
        let total = tests.total();
        // Each direction between two nodes once, over however many transports.
        let pairs: BTreeSet<(NodeId, NodeId)> =
            tests.by_pair.keys().map(|(src, dst, _)| (*src, *dst)).collect();
        let pairs = pairs.len();
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        let pair_count = u64::try_from(pairs).unwrap_or(u64::MAX);
        format!(
            "{total} test{} over {pairs} pair{}",
            plural(total),
            plural(pair_count)
        )
    }

    /// Why no rule of a node's packet filter is named.
    pub(super) fn unread(&self, node: NodeId, way: Way, tests: &Tests) -> String {
        let Some(log) = self.ledger.node(node) else {
            return "its packet filter is not known".to_owned();
        };
        let reason = log.facts.and_then(|told| told.what.ruleset_unread.as_deref());
        match (log.ruleset, reason) {
            (Some(_), _) => self.undecided(way, tests),
            (None, Some(reason)) => format!("its packet filter could not be read ({reason})"),
            (None, None) => "its packet filter was not read".to_owned(),
        }
    }

    /// What keeps a packet filter that was read from being judged, by the first test.
    fn undecided(&self, way: Way, tests: &Tests) -> String {
        let first = tests.by_pair.iter().find_map(|((src, dst, transport), ports)| {
            let port = ports.ranges().first()?.first();
            judge(self.ledger, *src, *dst, *transport, port, way)
        });
        match first {
            Some(Judgement::Unknown {
                place: Some(place),
                why,
            }) => format!("its packet filter was read and cannot be judged, since {why} (in {place})"),
            Some(Judgement::Unknown { place: None, why }) => {
                format!("its packet filter was read and cannot be judged, since {why}")
            }
            _ => "its packet filter was read and no single rule could be named".to_owned(),
        }
    }

    /// The address of one of a node's peers in these tests, for a command.
    pub(super) fn a_peer(&self, node: NodeId, tests: &Tests) -> String {
        let peers = tests.by_pair.keys().filter_map(|(src, dst, (family, _))| {
            let peer = if *src == node { *dst } else { *src };
            address_of(self.ledger, peer, *family)
        });
        peers
            .map(|address| address.to_string())
            .next()
            .unwrap_or_default()
    }

    /// The packet filter of a node, if it was read.
    pub(super) fn ruleset(&self, node: NodeId) -> Option<&Ruleset> {
        Some(self.ledger.node(node)?.ruleset?.what)
    }

    pub(super) fn is_live(&self, node: NodeId) -> bool {
        let facts = self.ledger.node(node).and_then(|log| log.facts);
        facts.is_some_and(|told| told.what.life == Life::Live)
    }

    /// The interface that has a node's data address.
    pub(super) fn data_interface(&self, node: NodeId) -> Option<&str> {
        let facts = self.ledger.node(node)?.facts?.what;
        let address = node.address()?.to_string();
        let has = |with_length: &String| with_length.split('/').next() == Some(address.as_str());
        let mut interfaces = facts.interfaces.iter();
        let own = interfaces.find(|interface| interface.addresses.iter().any(has))?;
        Some(&own.name)
    }

    /// The data interface, if firewalld runs there.
    pub(super) fn firewalld_interface(&self, node: NodeId) -> Option<&str> {
        let facts = self.ledger.node(node)?.facts?.what;
        self.data_interface(node).filter(|_| facts.firewalld)
    }
}

/// The check that fails: of reachability the one of these tests' transport, TCP's if they have both.
fn check_of(told: &Told, tests: &Tests) -> &'static str {
    let is_udp = tests.protocols().iter().eq(&[Protocol::Udp]);
    match told.check {
        check if check == check::REACH_TCP.id && is_udp => check::REACH_UDP.id,
        check => check,
    }
}

fn finding(mut told: Told, tests: &Tests, between: Option<[Vec<NodeId>; 2]>) -> Finding {
    // Several tests, families or places may ask for the same command: it is typed once.
    let mut known = BTreeSet::new();
    told.fix.commands.retain(|command| known.insert(command.clone()));
    let by_rules = match tests.severity {
        Some(Severity::Info) => FindingSeverity::Info,
        Some(Severity::Warn) => FindingSeverity::Warn,
        Some(Severity::Fail) | None => FindingSeverity::Fail,
    };
    let (status, severity) = match (told.most, by_rules) {
        (Status::NotMeasured, _) => (Status::NotMeasured, by_rules.min(FindingSeverity::Warn)),
        (Status::Fail, FindingSeverity::Fail) => (Status::Fail, FindingSeverity::Fail),
        _ => (Status::Warn, by_rules.min(FindingSeverity::Warn)),
    };
    Finding {
        nodes: Vec::new(),
        places: Vec::new(),
        id: String::new(),
        check: check_of(&told, tests).to_owned(),
        status,
        severity,
        cause: Cause {
            kind: told.kind,
            node: told.node,
            between,
            detail: told.detail,
        },
        affects: affects(tests),
        affects_total: tests.total(),
        attempts: tests.attempts,
        evidence: evidence(tests),
        fix: told.fix,
        waived: None,
    }
}

/// The failing tests one by one: if they are too many, the same number from each pair.
fn affects(tests: &Tests) -> Vec<Affect> {
    let within = |quota: usize| -> usize {
        tests
            .by_pair
            .values()
            .map(|ports| usize::try_from(ports.count()).map_or(quota, |count| count.min(quota)))
            .sum()
    };
    let (mut low, mut high) = (1, usize::from(u16::MAX));
    while low < high {
        let middle = usize::midpoint(low, high + 1);
        if within(middle) <= MAX_AFFECTS {
            low = middle
        } else {
            high = middle - 1
        }
    }
    let all = tests
        .by_pair
        .iter()
        .flat_map(|((src, dst, (family, protocol)), ports)| {
            let affect = |port| Affect {
                src: *src,
                dst: *dst,
                family: *family,
                protocol: *protocol,
                port,
            };
            ports.iter().take(low).map(affect)
        });
    all.take(MAX_AFFECTS).collect()
}

/// Lines that show it: if they are too many, every n-th.
fn evidence(tests: &Tests) -> Vec<u32> {
    let step = tests.lines.len().div_ceil(MAX_EVIDENCE).max(1);
    tests.lines.iter().copied().step_by(step).collect()
}

/// More nodes than this in one sentence are not read by anybody; cause.between has them all.
const MAX_SAID_NODES: usize = 6;

/// A participant as a sentence names it.
fn in_sentence(node: NodeId) -> String {
    match node {
        NodeId::Coordinator => "the coordinator".to_owned(),
        NodeId::Address(address) => address.to_string(),
    }
}
