//! A small network in which things are wrong, and what honest probes in it report.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use crate::{
    evidence::{LostWhy, SwarmEvent},
    firewall::{Judgement, Packet, Ruleset},
    id::NodeId,
    observation::{BindFailure, End, Signal},
    port::{Family, PortSet, Protocol},
    report::stage::{Stage, address_of},
};

use super::fault::{Fault, What, rules_of};

/// One test: who asks whom for which port, over what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Test {
    pub(super) src: NodeId,
    pub(super) dst: NodeId,
    pub(super) family: Family,
    pub(super) protocol: Protocol,
    pub(super) port: u16,
}

/// Where a test ends, and by which fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) by: usize,
    pub(super) how: How,
}

/// How a test ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// The question never leaves.
    NotSent,
    NoRoute,
    NoNeighbor,
    /// The question leaves and does not arrive.
    LostForward,
    Rejected {
        by_host: bool,
    },
    /// The question arrives and no answer leaves.
    Swallowed,
    /// The answer leaves and does not arrive.
    LostBack,
    /// The answer arrives and gets no further.
    Unheard,
    /// First nothing, later an answer.
    Lossy,
    NotArmed,
    NotMeasured,
    /// Nothing listens on a live node.
    Closed,
}

/// The network.
#[derive(Clone)]
pub(super) struct World {
    /// The nodes of each subnet.
    pub(super) subnets: Vec<Vec<NodeId>>,
    pub(super) dual: bool,
    pub(super) faults: Vec<Fault>,
}

impl fmt::Debug for World {
    /// One line: proptest spreads what it shows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<usize> = self.subnets.iter().map(Vec::len).collect();
        write!(f, "subnets of {sizes:?} nodes")?;
        if self.dual {
            write!(f, ", dual stack")?;
        }
        self.faults
            .iter()
            .try_for_each(|fault| write!(f, "\n  {fault:?}"))
    }
}

/// A rule of the port tables: protocol, ports, and who is asked (everybody asks).
type Rule = (&'static str, Protocol, &'static str, fn(&World) -> Vec<NodeId>);

const RULES: [Rule; 6] = [
    ("node.kubelet", Protocol::Tcp, "10250", World::nodes),
    ("node.health", Protocol::Tcp, "4240", World::nodes),
    ("cp.api", Protocol::Tcp, "6444", World::control_plane),
    ("worker.ports", Protocol::Tcp, "30000-30003", World::workers),
    ("node.overlay", Protocol::Udp, "6081", World::nodes),
    ("lb.members", Protocol::Udp, "7946", World::workers),
];

impl World {
    pub(super) fn nodes(&self) -> Vec<NodeId> {
        self.subnets.iter().flatten().copied().collect()
    }

    fn control_plane(&self) -> Vec<NodeId> {
        self.subnets[0].iter().copied().take(2).collect()
    }

    fn workers(&self) -> Vec<NodeId> {
        self.subnets.last().unwrap().clone()
    }

    pub(super) fn subnet_of(&self, node: NodeId) -> usize {
        self.subnets
            .iter()
            .position(|nodes| nodes.contains(&node))
            .unwrap()
    }

    pub(super) fn families(&self) -> &'static [Family] {
        if self.dual {
            &[Family::Ipv4, Family::Ipv6]
        } else {
            &[Family::Ipv4]
        }
    }

    pub(super) fn tests(&self) -> Vec<Test> {
        let mut out = Vec::new();
        for &family in self.families() {
            for (_, protocol, ports, asked) in RULES {
                for dst in asked(self) {
                    for src in self.nodes().into_iter().filter(|src| *src != dst) {
                        let ports: PortSet = ports.parse().unwrap();
                        out.extend(ports.iter().map(|port| Test {
                            src,
                            dst,
                            family,
                            protocol,
                            port,
                        }));
                    }
                }
            }
        }
        out.sort_unstable();
        out
    }

    /// The packet filter of a node as its kernel has it, with the fault that each rule (by handle) belongs to.
    fn ruleset(&self, node: NodeId, told_only: bool) -> Option<(Ruleset, BTreeMap<u64, usize>)> {
        rules_of(self, node, told_only)
    }

    /// Where a test ends; nothing if it is answered.
    pub(super) fn end_of(&self, test: Test) -> Option<Ended> {
        let faults = || self.faults.iter().enumerate();
        let end = |by, how| Some(Ended { by, how });
        for (by, fault) in faults() {
            match &fault.what {
                What::PortTaken {
                    node,
                    protocol,
                    ports,
                } if *node == test.dst && *protocol == test.protocol && ports.contains(test.port) => {
                    return end(by, How::NotArmed);
                }
                _ => {}
            }
        }
        for (by, fault) in faults() {
            if let What::LostProbe { node } = fault.what
                && (node == test.src || node == test.dst)
            {
                return end(by, How::NotMeasured);
            }
        }
        for (by, fault) in faults() {
            if fault.no_route(self, test.src, test.dst, test.family) {
                return end(by, How::NoRoute);
            }
        }
        if let Some(by) = self.filtered(test.src, |packet| packet.question(self, test, true)) {
            return end(by.0, How::NotSent);
        }
        for (by, fault) in faults() {
            if fault.isolates(test.src, test.dst) {
                return end(by, How::NoNeighbor);
            }
        }
        for (by, fault) in faults() {
            match fault.on_the_way(self, test) {
                Some(true) => return end(by, How::Rejected { by_host: false }),
                Some(false) => return end(by, How::LostForward),
                None => {}
            }
        }
        if let Some((by, rejects)) = self.filtered(test.dst, |packet| packet.question(self, test, false)) {
            // The ICMP error has to find its way, too.
            let comes_back = |fault: &Fault| {
                !fault.no_route(self, test.dst, test.src, test.family) && !fault.stops_all_back(self, test)
            };
            let is_told = rejects && self.faults.iter().all(comes_back);
            let how = if is_told {
                How::Rejected { by_host: true }
            } else {
                How::Swallowed
            };
            return end(by, how);
        }
        self.end_of_answer(test)
    }

    /// Where the answer to a question that arrived ends; nothing if it is heard.
    fn end_of_answer(&self, test: Test) -> Option<Ended> {
        let faults = || self.faults.iter().enumerate();
        let end = |by, how| Some(Ended { by, how });
        for (by, fault) in faults() {
            if fault.no_route(self, test.dst, test.src, test.family) {
                return end(by, How::Swallowed);
            }
        }
        if let Some((by, _)) = self.filtered(test.dst, |packet| packet.answer(self, test, true)) {
            return end(by, How::Swallowed);
        }
        for (by, fault) in faults() {
            if fault.on_the_way_back(self, test) {
                return end(by, How::LostBack);
            }
        }
        if let Some((by, _)) = self.filtered(test.src, |packet| packet.answer(self, test, false)) {
            return end(by, How::Unheard);
        }
        for (by, fault) in faults() {
            // The refusal comes back as an answer would.
            if let What::NoListener { node, ports } = &fault.what
                && *node == test.dst
                && test.protocol == Protocol::Tcp
                && ports.contains(test.port)
            {
                return end(by, How::Closed);
            }
        }
        for (by, fault) in faults() {
            if fault.loses(self, test) {
                return end(by, How::Lossy);
            }
        }
        None
    }

    /// The fault whose rule on a node stops a packet, and whether it says so to the sender.
    fn filtered(&self, node: NodeId, packet: impl Fn(Maker) -> Packet) -> Option<(usize, bool)> {
        let (ruleset, owners) = self.ruleset(node, false)?;
        let judgement = ruleset.evaluate(&packet(Maker));
        let place = judgement.stopped_at()?;
        let rejects = matches!(judgement, Judgement::Rejects { .. });
        Some((owners[&place.handle.unwrap()], rejects))
    }

    /// What the probes report.
    pub(super) fn stage(&self) -> Stage {
        let nodes = self.nodes();
        let names: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut stage = Stage::of(&names);
        if self.dual {
            stage = stage.dual();
        }
        for &family in self.families() {
            for (id, protocol, ports, asked) in RULES {
                let to: Vec<String> = asked(self).iter().map(ToString::to_string).collect();
                let to: Vec<&str> = to.iter().map(String::as_str).collect();
                stage = stage.over(family, protocol).rule(id, ports, &names, &to);
            }
        }
        for &node in &nodes {
            if let Some((ruleset, _)) = self.ruleset(node, true) {
                stage = stage.filters(&node.to_string(), ruleset);
            }
        }
        for fault in &self.faults {
            stage = self.plant(stage, fault);
        }
        for test in self.tests() {
            if self.is_lost(test.src) {
                continue;
            }
            if let Some(end) = self.end_of(test) {
                stage = report(stage, test, end.how);
            } else if self.is_live(test.dst) && test.protocol == Protocol::Tcp {
                let stage_of = stage.over(test.family, test.protocol);
                let (src, dst) = (test.src.to_string(), test.dst.to_string());
                stage = stage_of.looks(&src, &dst, &test.port.to_string(), Signal::Connected, 1, 1, false);
            }
        }
        stage
    }

    pub(super) fn is_live(&self, node: NodeId) -> bool {
        self.faults
            .iter()
            .any(|fault| matches!(&fault.what, What::NoListener { node: own, .. } if *own == node))
    }

    fn is_lost(&self, node: NodeId) -> bool {
        self.faults
            .iter()
            .any(|fault| matches!(fault.what, What::LostProbe { node: own } if own == node))
    }

    /// What a fault changes beside the ends of tests.
    fn plant(&self, mut stage: Stage, fault: &Fault) -> Stage {
        match &fault.what {
            What::LostProbe { node } => stage.reports_nothing(&node.to_string()).event(SwarmEvent::Lost {
                node: *node,
                why: LostWhy::Silent,
            }),
            What::PortTaken {
                node,
                protocol,
                ports,
            } => {
                for &family in self.families() {
                    let held = BindFailure::Taken {
                        process: Some("nginx".to_owned()),
                        pid: Some(77),
                    };
                    stage = stage.over(family, *protocol).cannot_bind(
                        &node.to_string(),
                        &ports.to_string(),
                        held,
                    );
                }
                stage
            }
            What::NoListener { node, ports } => {
                let mut all = PortSet::new();
                for test in self
                    .tests()
                    .iter()
                    .filter(|test| test.dst == *node && test.protocol == Protocol::Tcp)
                {
                    all.insert_port(test.port);
                }
                let served = all.difference(ports).to_string();
                let absent = all.intersection(ports).to_string();
                for &family in self.families() {
                    let service = BindFailure::Service {
                        process: Some("kubelet".to_owned()),
                        pid: Some(7),
                    };
                    stage =
                        stage
                            .over(family, Protocol::Tcp)
                            .cannot_bind(&node.to_string(), &served, service);
                    stage = stage.cannot_bind(&node.to_string(), &absent, BindFailure::NoListener);
                }
                stage
            }
            _ => stage,
        }
    }
}

/// Makes the packets of a test as a host sees them.
pub(super) struct Maker;

impl Maker {
    fn question(&self, world: &World, test: Test, leaves: bool) -> Packet {
        let (source, destination) = world.addresses(test);
        if leaves {
            Packet::outgoing("eth0", test.protocol, source, destination, test.port)
        } else {
            Packet::incoming("eth0", test.protocol, source, destination, test.port)
        }
    }

    fn answer(&self, world: &World, test: Test, leaves: bool) -> Packet {
        self.question(world, test, !leaves).answer()
    }
}

impl World {
    fn addresses(&self, test: Test) -> (IpAddr, IpAddr) {
        (
            address_of(test.src, test.family),
            address_of(test.dst, test.family),
        )
    }
}

/// What both ends report of a test that ends so.
fn report(stage: Stage, test: Test, how: How) -> Stage {
    let stage = stage.over(test.family, test.protocol);
    let (src, dst, port) = (test.src.to_string(), test.dst.to_string(), test.port.to_string());
    let (src, dst, port) = (src.as_str(), dst.as_str(), port.as_str());
    let silent = |stage: Stage, at_source, at_destination| {
        stage.silent(src, dst, port, Some(at_source), Some(at_destination))
    };
    let icmp = |offender: IpAddr| match test.family {
        Family::Ipv4 => Signal::Icmp {
            icmp_type: 3,
            code: 13,
            offender: Some(offender),
        },
        Family::Ipv6 => Signal::Icmp {
            icmp_type: 1,
            code: 1,
            offender: Some(offender),
        },
    };
    let router: IpAddr = match test.family {
        Family::Ipv4 => [10, 0, 250, 254].into(),
        Family::Ipv6 => "fd00:fa::fe".parse().unwrap(),
    };
    match how {
        How::NotSent => silent(stage, (0, 0), (0, 0)),
        How::NoRoute => stage.sees(src, dst, port, Signal::NoRoute),
        How::NoNeighbor => stage.sees(src, dst, port, Signal::NeighborUnresolved),
        How::LostForward => silent(stage, (1, 0), (0, 0)),
        How::Rejected { by_host } => {
            let offender = if by_host {
                address_of(test.dst, test.family)
            } else {
                router
            };
            let arrives = u32::from(by_host);
            stage
                .sees(src, dst, port, icmp(offender))
                .sees_again(src, dst, port, icmp(offender))
                .captures(src, End::Source, dst, port, 1, 0, 0)
                .captures(dst, End::Destination, src, port, arrives, 0, 0)
        }
        How::Swallowed => silent(stage, (1, 0), (1, 0)),
        How::LostBack => silent(stage, (1, 0), (1, 1)),
        How::Unheard => silent(stage, (1, 1), (1, 1)),
        How::Lossy => {
            stage
                .sees(src, dst, port, Signal::Silence)
                .sees_again(src, dst, port, Signal::Verified)
        }
        How::NotArmed => stage.sees(src, dst, port, Signal::Refused),
        How::Closed => stage.sees(src, dst, port, Signal::Refused),
        // A source that is lost reported nothing; a destination that is lost answered nobody.
        How::NotMeasured => stage.sees(src, dst, port, Signal::Silence),
    }
}
