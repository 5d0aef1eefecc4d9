//! What one run of failing ports of one pair is put down to, before pairs are gathered into causes.

use crate::{
    cause::CauseKind, firewall::Place, id::NodeId, ledger::Transport, port::PortSet, profile::Severity,
    verdict::Why,
};

/// A cause in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Blame {
    /// At a node, or nowhere in particular.
    Local(Local),
    /// Between nodes; who exactly is found by [`super::cover`].
    Between(Between),
}

impl From<Local> for Blame {
    fn from(local: Local) -> Self {
        Self::Local(local)
    }
}

/// A cause at a node. Equal ones are one finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Local {
    /// A node's packet filter.
    HostFirewall {
        node: NodeId,
        side: Side,
        by: FilterProof,
    },
    /// A setting of a node.
    HostSetting { node: NodeId, setting: Setting },
    /// Another process where a responder should have stood. Without a process id each port stands alone.
    PortTaken {
        node: NodeId,
        transport: Transport,
        process: Option<String>,
        pid: Option<u32>,
        alone: Option<u16>,
    },
    /// Nothing listens.
    NoListener { node: NodeId },
    /// A probe was not there.
    ProbeLost { node: NodeId },
    /// Something on this node, but not its responder, answers.
    WrongResponder { node: NodeId },
    /// A port answers that must not.
    Exposure { node: NodeId },
    /// Not measured for another reason; at a node if one is to be looked at.
    Unmeasured { why: Why, node: Option<NodeId> },
}

/// What happens between nodes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Between {
    pub(super) kind: CauseKind,
    pub(super) transport: Transport,
    /// How it is rejected; empty for other kinds.
    pub(super) how: String,
}

/// Which way through a node's packet filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// Questions that arrive.
    In,
    /// Questions that leave.
    Out,
    /// Answers that leave.
    AnswerOut,
    /// Answers that arrive.
    AnswerIn,
}

/// How a packet filter was convicted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FilterProof {
    /// By its own rules.
    Rule(Place),
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
    /// The kernel refuses to send what the packet filter would let out.
    NothingLeaves,
}

/// Failing tests under one cause.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tests {
    /// By source, destination and transport, ascending.
    pub(super) by_pair: std::collections::BTreeMap<(NodeId, NodeId, Transport), PortSet>,
    pub(super) attempts: u64,
    pub(super) lines: std::collections::BTreeSet<u32>,
    /// The worst of their rules; absent while there is no test.
    pub(super) severity: Option<Severity>,
}

impl Tests {
    pub(super) fn add(
        &mut self,
        pair: (NodeId, NodeId, Transport),
        ports: &PortSet,
        attempts_each: u32,
        lines: &[u32],
        severity: Severity,
    ) {
        self.by_pair.entry(pair).or_default().extend(ports);
        self.attempts = self
            .attempts
            .saturating_add(u64::from(attempts_each) * u64::from(ports.count()));
        self.lines.extend(lines);
        self.severity = self.severity.max(Some(severity));
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (pair, ports) in &other.by_pair {
            self.by_pair.entry(*pair).or_default().extend(ports);
        }
        self.attempts = self.attempts.saturating_add(other.attempts);
        self.lines.extend(&other.lines);
        self.severity = self.severity.max(other.severity);
    }

    pub(super) fn total(&self) -> u64 {
        self.by_pair.values().map(|ports| u64::from(ports.count())).sum()
    }

    /// Every port, over all pairs of a transport.
    pub(super) fn ports(&self, transport: Transport) -> PortSet {
        let mut out = PortSet::new();
        for ((_, _, own), ports) in &self.by_pair {
            if *own == transport {
                out.extend(ports);
            }
        }
        out
    }

    pub(super) fn transports(&self) -> Vec<Transport> {
        let all: std::collections::BTreeSet<Transport> =
            self.by_pair.keys().map(|(_, _, own)| *own).collect();
        all.into_iter().collect()
    }

    pub(super) fn sources(&self) -> Vec<NodeId> {
        let all: std::collections::BTreeSet<NodeId> = self.by_pair.keys().map(|(src, _, _)| *src).collect();
        all.into_iter().collect()
    }

    /// Whoever the tests are with, seen from a node.
    pub(super) fn peers_of(&self, node: NodeId) -> Vec<NodeId> {
        let all: std::collections::BTreeSet<NodeId> = self
            .by_pair
            .keys()
            .flat_map(|(src, dst, _)| [*src, *dst])
            .filter(|end| *end != node)
            .collect();
        all.into_iter().collect()
    }

    pub(super) fn destinations(&self) -> Vec<NodeId> {
        let all: std::collections::BTreeSet<NodeId> = self.by_pair.keys().map(|(_, dst, _)| *dst).collect();
        all.into_iter().collect()
    }
}
