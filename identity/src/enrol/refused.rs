//! Why a claim was refused.

use std::fmt;

use plumbline_model::id::NodeId;

use super::PROTOCOL;

/// Why a claim was refused. The words go to the probe and into the coordinator's log; none of them is secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinRefused {
    /// It speaks another protocol version.
    #[error(
        "join: the probe speaks protocol {theirs}, the coordinator {PROTOCOL}; use the plumbline-probe of the coordinator's version"
    )]
    Protocol {
        /// The probe's version.
        theirs: u32,
    },
    /// It is for another run.
    #[error("join: the join string belongs to another run; use one of this run's join file")]
    OtherRun,
    /// Nobody waits for this node.
    #[error("join: node {node} is not part of this run")]
    UnknownNode {
        /// What it called itself.
        node: String,
    },
    /// It came from an address that is not the node's.
    #[error(
        "join: node {node} came from {peer}, its join string is good from {allowed} only (is its traffic translated on the way?)"
    )]
    FromElsewhere {
        /// Who.
        node: NodeId,
        /// From where it came.
        peer: String,
        /// From where it may come.
        allowed: String,
    },
    /// Its string was used by another probe.
    #[error("join: the join string of node {node} was used before; each is good for one probe")]
    AlreadyUsed {
        /// Who.
        node: NodeId,
    },
    /// Its string is too old.
    #[error("join: the join string of node {node} expired {ago_s} s ago by the coordinator's clock")]
    Expired {
        /// Who.
        node: NodeId,
        /// For how long, in seconds.
        ago_s: u64,
    },
    /// One of its keys is no key, or is another member's.
    #[error("join: the {which} key of node {node} {fault}")]
    BadKey {
        /// Who.
        node: NodeId,
        /// Which key.
        which: KeyKind,
        /// What is wrong.
        fault: KeyFault,
    },
    /// A signature does not hold.
    #[error("join: the proof of node {node}'s {which} key does not verify for this session")]
    BadProof {
        /// Who.
        node: NodeId,
        /// Which key's signature.
        which: KeyKind,
    },
}

impl JoinRefused {
    /// The node as which it came, if that is somebody who is expected. Nothing proves it.
    pub fn node(&self) -> Option<NodeId> {
        match self {
            Self::Protocol { .. } | Self::OtherRun | Self::UnknownNode { .. } => None,
            Self::FromElsewhere { node, .. }
            | Self::AlreadyUsed { node }
            | Self::Expired { node, .. }
            | Self::BadKey { node, .. }
            | Self::BadProof { node, .. } => Some(*node),
        }
    }
}

/// A probe's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// From the join string.
    OneTime,
    /// Of its sessions.
    Tls,
    /// Of its testimony.
    Signing,
    /// Of its pair keys.
    Agreement,
}

/// What is wrong with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFault {
    /// Not a key at all.
    Malformed,
    /// Another member has it: two nodes with one key could speak for each other.
    Taken,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneTime => "one-time",
            Self::Tls => "TLS",
            Self::Signing => "signing",
            Self::Agreement => "agreement",
        })
    }
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "is not a key",
            Self::Taken => "is already another member's",
        })
    }
}
