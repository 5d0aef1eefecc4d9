//! What one run of failing ports of one pair is put down to, before pairs are gathered into causes.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    firewall::Place,
    id::NodeId,
    ledger::Transport,
    port::{Family, PortSet, Protocol},
    profile::Severity,
    verdict::{PairVerdict, Way, Why},
};

use super::{pattern::Pattern, twin::Twin};

/// A cause in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Blame {
    /// At a node, or nowhere in particular, and known as such.
    Local(Local),
    /// A rule of a packet filter.
    Rule(Rule),
    /// Something that failing tests share; whom it concerns is found by [`super::cover`].
    Pattern(Pattern),
}

impl From<Local> for Blame {
    fn from(local: Local) -> Self {
        Self::Local(local)
    }
}

impl From<Rule> for Blame {
    fn from(rule: Rule) -> Self {
        Self::Rule(rule)
    }
}

impl From<Pattern> for Blame {
    fn from(pattern: Pattern) -> Self {
        Self::Pattern(pattern)
    }
}

/// A rule of a node's packet filter, and the way through it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rule {
    pub(super) node: NodeId,
    pub(super) place: Place,
    pub(super) way: Way,
}

/// A cause at a node. Equal ones are one finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Local {
    /// A setting of a node.
    HostSetting { node: NodeId, setting: Setting },
    /// A setting of a node that each family has for itself.
    Routes {
        node: NodeId,
        family: Family,
        setting: Setting,
    },
    /// No data address of a family.
    NoAddress { node: NodeId, family: Family },
    /// Another process where a responder should have stood. Without a process id each port stands alone.
    PortTaken {
        node: NodeId,
        process: Option<String>,
        pid: Option<u32>,
        alone: Option<(Protocol, u16)>,
    },
    /// So many others where responders should have stood that each by itself is not read by anybody.
    PortsTaken { node: NodeId, holders: usize },
    /// Nothing listens.
    NoListener { node: NodeId },
    /// A probe was not there.
    ProbeLost { node: NodeId },
    /// Something on this node, but not its responder, answers.
    WrongResponder { node: NodeId },
    /// A port answers that must not.
    Exposure { node: NodeId },
    /// Somebody else has a node's address.
    DuplicateAddress { owner: NodeId, twin: Twin },
    /// A gateway, by its link address, answers for others.
    ProxyArp { mac: String },
    /// Not measured for another reason; at a node if one is to be looked at.
    Unmeasured { why: Why, node: Option<NodeId> },
}

/// How a packet filter was convicted of which no rule is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Proof {
    /// The host itself rejected.
    Rejection,
    /// By captures: the packet was seen before the filter and nothing came after it.
    Capture,
    /// The host's kernel refused to send.
    Denied,
}

/// What is wrong with a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Setting {
    /// No route to the destinations.
    NoRoute,
    /// The data address is not on the host.
    AddressMissing,
    /// Low ports may not be bound.
    Privilege,
    /// Too few open files for the responders.
    OpenFiles,
    /// A port could not be bound for another reason.
    Bind(u32),
    /// The local policy does not allow the responders.
    Policy,
    /// The prober ran out of something.
    Exhausted(u32),
    /// Questions arrive, the packet filter accepts them, and no answer leaves.
    Unanswered,
    /// Answers arrive, the packet filter accepts them, and they get no further.
    Unheard,
    /// Answers leave from another of the node's addresses than the one that was asked.
    AnswersFrom(IpAddr),
    /// Some packets are lost on the host, for want of room.
    Overrun,
    /// The kernel refuses to send what the packet filter would let out.
    NothingLeaves,
}

impl Setting {
    /// Whether it shows on the node's own questions, rather than on those of others.
    pub(super) fn is_at_source(self) -> bool {
        matches!(
            self,
            Self::NoRoute | Self::NothingLeaves | Self::Unheard | Self::Exhausted(_)
        )
    }
}

/// Failing tests under one cause.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tests {
    /// By source, destination and transport, ascending.
    pub(super) by_pair: BTreeMap<(NodeId, NodeId, Transport), PortSet>,
    pub(super) attempts: u64,
    pub(super) lines: BTreeSet<u32>,
    /// The worst of their rules; absent while there is no test.
    pub(super) severity: Option<Severity>,
    /// What is tested between their pairs at all.
    planned: BTreeMap<Transport, PortSet>,
}

impl Tests {
    pub(super) fn add(
        &mut self,
        pair: &PairVerdict,
        ports: &PortSet,
        attempts_each: u32,
        lines: &[u32],
        severity: Severity,
    ) {
        let key = (pair.src, pair.dst, pair.transport);
        self.by_pair.entry(key).or_default().extend(ports);
        self.attempts = self
            .attempts
            .saturating_add(u64::from(attempts_each) * u64::from(ports.count()));
        self.lines.extend(lines);
        self.severity = self.severity.max(Some(severity));
        self.planned
            .entry(pair.transport)
            .or_default()
            .extend(&pair.planned);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (pair, ports) in &other.by_pair {
            self.by_pair.entry(*pair).or_default().extend(ports);
        }
        self.attempts = self.attempts.saturating_add(other.attempts);
        self.lines.extend(&other.lines);
        self.severity = self.severity.max(other.severity);
        for (transport, ports) in &other.planned {
            self.planned.entry(*transport).or_default().extend(ports);
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.by_pair.values().map(|ports| u64::from(ports.count())).sum()
    }

    /// Every port of a protocol, in whichever family.
    pub(super) fn ports_of(&self, protocol: Protocol) -> PortSet {
        let mut out = PortSet::new();
        for ((_, _, (_, own)), ports) in &self.by_pair {
            if *own == protocol {
                out.extend(ports);
            }
        }
        out
    }

    /// Every port of a protocol that is tested between its pairs.
    pub(super) fn planned_of(&self, protocol: Protocol) -> PortSet {
        let mut out = PortSet::new();
        for ((_, own), ports) in &self.planned {
            if *own == protocol {
                out.extend(ports);
            }
        }
        out
    }

    /// Whether both name the same ports, where both tested them: what one does not ask of its pairs says nothing.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let mut agree_on_some = false;
        for protocol in self.protocols().union(&other.protocols()) {
            let ours = self
                .ports_of(*protocol)
                .intersection(&other.planned_of(*protocol));
            let theirs = other
                .ports_of(*protocol)
                .intersection(&self.planned_of(*protocol));
            if ours != theirs {
                return false;
            }
            agree_on_some |= !ours.is_empty();
        }
        agree_on_some
    }

    pub(super) fn protocols(&self) -> BTreeSet<Protocol> {
        self.by_pair
            .keys()
            .map(|(_, _, (_, protocol))| *protocol)
            .collect()
    }

    pub(super) fn families(&self) -> BTreeSet<Family> {
        self.by_pair.keys().map(|(_, _, (family, _))| *family).collect()
    }

    pub(super) fn transports(&self) -> Vec<Transport> {
        let all: BTreeSet<Transport> = self.by_pair.keys().map(|(_, _, own)| *own).collect();
        all.into_iter().collect()
    }

    pub(super) fn sources(&self) -> Vec<NodeId> {
        let all: BTreeSet<NodeId> = self.by_pair.keys().map(|(src, _, _)| *src).collect();
        all.into_iter().collect()
    }

    /// Whoever the tests are with, seen from a node.
    pub(super) fn peers_of(&self, node: NodeId) -> Vec<NodeId> {
        let all: BTreeSet<NodeId> = self
            .by_pair
            .keys()
            .flat_map(|(src, dst, _)| [*src, *dst])
            .filter(|end| *end != node)
            .collect();
        all.into_iter().collect()
    }

    pub(super) fn destinations(&self) -> Vec<NodeId> {
        let all: BTreeSet<NodeId> = self.by_pair.keys().map(|(_, dst, _)| *dst).collect();
        all.into_iter().collect()
    }
}
