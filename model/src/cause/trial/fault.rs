//! The grammar of faults.

use std::{collections::BTreeMap, fmt};

use crate::{
    cause::CauseKind,
    firewall::{
        Base, Chain, CompareOp, Expression, Hook, InterfaceIndex, Octets, PayloadBase, Policy, RejectWith,
        Rule, Ruleset, Table, TableFamily, Verdict,
    },
    id::NodeId,
    port::{Family, PortSet, Protocol},
    report::stage::address_of,
};

use super::world::{Test, World};

/// Something that is wrong.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) what: What,
    /// Only in this family.
    pub(super) family: Option<Family>,
}

/// Some traffic by its ports.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) protocol: Option<Protocol>,
    pub(super) ports: Option<PortSet>,
}

impl fmt::Debug for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = self
            .protocol
            .map_or_else(|| "all".to_owned(), |protocol| protocol.to_string());
        let ports = self
            .ports
            .as_ref()
            .map_or_else(String::new, |ports| format!(" {ports}"));
        write!(f, "{protocol}{ports}")
    }
}

/// One side of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whom {
    Anybody,
    Subnet(usize),
    Outside(usize),
    Node(NodeId),
}

/// What is wrong.
#[derive(Debug, Clone)]
pub(super) enum What {
    /// A host's packet filter stops questions of these peers, or its own questions to them, or its answers.
    Filter {
        node: NodeId,
        way: Hooked,
        peers: Whom,
        traffic: Traffic,
        rejects: bool,
        /// Whether the probe could read it.
        told: bool,
    },
    /// Between two sides questions are dropped, or rejected.
    Path {
        from: Whom,
        to: Whom,
        traffic: Traffic,
        rejects: bool,
    },
    /// Answers are dropped on their way back.
    Return { from: Whom, to: Whom, traffic: Traffic },
    /// Packets are lost by chance.
    Lossy { node: NodeId },
    /// The probe is lost.
    LostProbe { node: NodeId },
    /// Somebody else listens.
    PortTaken {
        node: NodeId,
        protocol: Protocol,
        ports: PortSet,
    },
    /// A live node serves all but these.
    NoListener { node: NodeId, ports: PortSet },
    /// A node has no route to others.
    NoRoute { node: NodeId, to: Whom },
    /// Two neighbours do not hear each other.
    Isolated { a: NodeId, b: NodeId },
}

/// Where a rule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hooked {
    In,
    Out,
    AnswerOut,
}

impl Whom {
    pub(super) fn has(self, world: &World, node: NodeId) -> bool {
        match self {
            Self::Anybody => true,
            Self::Subnet(index) => world.subnet_of(node) == index,
            Self::Outside(index) => world.subnet_of(node) != index,
            Self::Node(own) => own == node,
        }
    }
}

impl Traffic {
    fn has(&self, test: Test) -> bool {
        self.protocol.is_none_or(|protocol| protocol == test.protocol)
            && self.ports.as_ref().is_none_or(|ports| ports.contains(test.port))
    }
}

impl Fault {
    fn is_of(&self, family: Family) -> bool {
        self.family.is_none_or(|own| own == family)
    }

    /// The kind and the node of the finding that it must give.
    pub(super) fn expected(&self) -> (CauseKind, Option<NodeId>) {
        match &self.what {
            What::Filter { node, .. } => (CauseKind::HostFirewall, Some(*node)),
            What::Path { rejects: true, .. } => (CauseKind::PathReject, None),
            What::Path { .. } => (CauseKind::PathFilter, None),
            What::Return { .. } => (CauseKind::ReturnPathFilter, None),
            What::Lossy { .. } => (CauseKind::LossyPath, None),
            What::LostProbe { node } => (CauseKind::ProbeLost, Some(*node)),
            What::PortTaken { node, .. } => (CauseKind::PortTaken, Some(*node)),
            What::NoListener { node, .. } => (CauseKind::NoListener, Some(*node)),
            What::NoRoute { node, .. } => (CauseKind::HostSetting, Some(*node)),
            What::Isolated { .. } => (CauseKind::NotAdjacent, None),
        }
    }

    pub(super) fn no_route(&self, world: &World, src: NodeId, dst: NodeId, family: Family) -> bool {
        matches!(self.what, What::NoRoute { node, to } if node == src && to.has(world, dst))
            && self.is_of(family)
    }

    pub(super) fn isolates(&self, src: NodeId, dst: NodeId) -> bool {
        matches!(self.what, What::Isolated { a, b } if (a, b) == (src, dst) || (b, a) == (src, dst))
    }

    /// Whether a question is stopped between the nodes; true if its sender is told.
    pub(super) fn on_the_way(&self, world: &World, test: Test) -> Option<bool> {
        let What::Path {
            from,
            to,
            traffic,
            rejects,
        } = &self.what
        else {
            return None;
        };
        let crosses = world.subnet_of(test.src) != world.subnet_of(test.dst);
        let is_under = crosses
            && self.is_of(test.family)
            && traffic.has(test)
            && from.has(world, test.src)
            && to.has(world, test.dst);
        is_under.then_some(*rejects)
    }

    /// Whether an answer is lost between the nodes.
    pub(super) fn on_the_way_back(&self, world: &World, test: Test) -> bool {
        let crosses = world.subnet_of(test.src) != world.subnet_of(test.dst);
        let between = |asks: Whom, is_asked: Whom| asks.has(world, test.src) && is_asked.has(world, test.dst);
        let is_under = match &self.what {
            // A filter that asks for no port stops answers, too.
            What::Path {
                from, to, traffic, ..
            } => traffic.ports.is_none() && traffic.has(test) && between(*to, *from),
            What::Return { from, to, traffic } => traffic.has(test) && between(*from, *to),
            _ => false,
        };
        crosses && is_under && self.is_of(test.family)
    }

    /// Whether not even an ICMP error of the destination comes back.
    pub(super) fn stops_all_back(&self, world: &World, test: Test) -> bool {
        let of_all = |traffic: &Traffic| traffic.protocol.is_none() && traffic.ports.is_none();
        matches!(&self.what, What::Path { traffic, .. } | What::Return { traffic, .. } if of_all(traffic))
            && self.on_the_way_back(world, test)
    }

    pub(super) fn loses(&self, world: &World, test: Test) -> bool {
        // While the link was down only some tests were under way.
        let at = world
            .nodes()
            .iter()
            .position(|node| *node == test.src || *node == test.dst);
        matches!(self.what, What::Lossy { node } if node == test.src || node == test.dst)
            && (usize::from(test.port) + at.unwrap_or(0)).is_multiple_of(2)
            && self.is_of(test.family)
    }
}

/// The packet filter of a node, with the fault that each rule belongs to by its handle; `told_only` as the probe tells it,
/// which is nothing if a fault on the node is not told.
pub(super) fn rules_of(
    world: &World,
    node: NodeId,
    told_only: bool,
) -> Option<(Ruleset, BTreeMap<u64, usize>)> {
    let own = || {
        world
            .faults
            .iter()
            .enumerate()
            .filter_map(|(index, fault)| match &fault.what {
                What::Filter {
                    node: on,
                    way,
                    peers,
                    traffic,
                    rejects,
                    told,
                } if *on == node => Some((index, fault, *way, *peers, traffic, *rejects, *told)),
                _ => None,
            })
    };
    if told_only && own().any(|(.., told)| !told) {
        return None;
    }
    let mut owners = BTreeMap::new();
    let mut chains: BTreeMap<&str, Vec<Rule>> = BTreeMap::new();
    let mut handle = 0;
    for (index, fault, way, peers, traffic, rejects, _) in own() {
        let chain = if way == Hooked::In { "input" } else { "output" };
        handle += 1;
        owners.insert(handle, index);
        let mut expressions = conditions(world, fault.family, way, peers, traffic);
        expressions.push(if rejects {
            Expression::Reject {
                with: RejectWith::Icmpx { code: 3 },
            }
        } else {
            Expression::Verdict {
                verdict: Verdict::Drop,
            }
        });
        chains.entry(chain).or_default().push(Rule {
            handle,
            expressions,
            comment: None,
        });
    }
    Some((ruleset(chains), owners))
}

/// A ruleset of one table, with a base chain for each hook.
fn ruleset(chains: BTreeMap<&str, Vec<Rule>>) -> Ruleset {
    let chains = chains
        .into_iter()
        .map(|(name, rules)| Chain {
            name: name.to_owned(),
            base: Some(Base {
                hook: if name == "input" {
                    Hook::Input
                } else {
                    Hook::Output
                },
                priority: 0,
                kind: "filter".to_owned(),
                policy: Policy::Accept,
                devices: Vec::new(),
            }),
            rules,
        })
        .collect();
    let table = Table {
        family: TableFamily::Inet,
        name: "trial".to_owned(),
        dormant: false,
        chains,
        sets: Vec::new(),
    };
    Ruleset {
        generation: 1,
        tables: vec![table],
        interfaces: vec![InterfaceIndex {
            index: 2,
            name: "eth0".to_owned(),
        }],
        legacy_tables: Vec::new(),
    }
}

/// The conditions of one rule: one range of ports at most, peers of one prefix at most and so one family if any.
fn conditions(
    world: &World,
    family: Option<Family>,
    way: Hooked,
    peers: Whom,
    traffic: &Traffic,
) -> Vec<Expression> {
    let load = |base, offset, length| Expression::Payload {
        base,
        offset,
        length,
        to: 1,
    };
    let is = |data: Vec<u8>| Expression::Compare {
        from: 1,
        op: CompareOp::Eq,
        data: Octets(data),
    };
    let mut out = Vec::new();
    if let Some(family) = family {
        let nfproto = if family == Family::Ipv4 { 2 } else { 10 };
        out.extend([Expression::Meta { key: 15, to: 1 }, is(vec![nfproto])]);
    }
    if let Some((address, octets)) = prefix(world, family, peers) {
        let offset = match (family.unwrap_or(Family::Ipv4), way) {
            (Family::Ipv4, Hooked::In) => 12,
            (Family::Ipv4, _) => 16,
            (Family::Ipv6, Hooked::In) => 8,
            (Family::Ipv6, _) => 24,
        };
        out.extend([load(PayloadBase::Network, offset, octets), is(address)]);
    }
    if let Some(protocol) = traffic.protocol {
        let number = if protocol == Protocol::Tcp { 6 } else { 17 };
        out.extend([Expression::Meta { key: 16, to: 1 }, is(vec![number])]);
    }
    if let Some(range) = traffic.ports.as_ref().and_then(|ports| ports.ranges().first()) {
        let offset = if way == Hooked::AnswerOut { 0 } else { 2 };
        out.push(load(PayloadBase::Transport, offset, 2));
        out.push(Expression::Range {
            from: 1,
            inverted: false,
            first: Octets(range.first().to_be_bytes().to_vec()),
            last: Octets(range.last().to_be_bytes().to_vec()),
        });
    }
    out
}

/// The octets of a prefix that all of these peers and no others have, if the rule names peers.
fn prefix(world: &World, family: Option<Family>, peers: Whom) -> Option<(Vec<u8>, u32)> {
    let of = |node: NodeId, octets: usize| {
        let all = match address_of(node, family.unwrap_or(Family::Ipv4)) {
            std::net::IpAddr::V4(address) => address.octets().to_vec(),
            std::net::IpAddr::V6(address) => address.octets().to_vec(),
        };
        (all[..octets].to_vec(), u32::try_from(octets).unwrap())
    };
    let (net, host) = match family {
        Some(Family::Ipv6) => (8, 16),
        _ => (3, 4),
    };
    match peers {
        Whom::Anybody | Whom::Outside(_) => None,
        Whom::Subnet(index) => {
            let first = *world.subnets[index].first()?;
            Some(of(first, net))
        }
        Whom::Node(peer) => Some(of(peer, host)),
    }
}
