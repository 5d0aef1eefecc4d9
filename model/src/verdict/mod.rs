//! Both sides' testimony joined: what became of each planned test.

mod busy;
mod decide;
mod infer;
mod loss;
mod pair;
mod services;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub(crate) use busy::{Filter, Way, judge_busy};
pub use decide::is_live_service;
pub(crate) use infer::{infer_rejections, recognise_lateness, share_unresolved_neighbours};
pub(crate) use loss::recognise_loss;
pub(crate) use pair::{Cell, PairVerdict, Verdicts, pairs_of};
pub use services::served_ports;

use serde::{Deserialize, Serialize};

/// What became of a test. In JSON the bare word stands alone and the details beside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The peer's responder proved itself.
    Open,
    /// A live service accepted; who it is was not proven.
    OpenUnverified,
    /// Something accepted or answered that is not the peer, or not as the peer.
    IdentityMismatch {
        /// How.
        how: Mismatch,
    },
    /// RST, and nothing of ours listened there.
    Closed,
    /// An ICMP error, or an RST although the peer listened.
    Rejected {
        /// Type and code, unless it was an RST.
        icmp: Option<(u8, u8)>,
        /// Who sent it.
        offender: Option<IpAddr>,
        /// Concluded from other ports of the pair, where the offender's rate limit hid the rest.
        inferred: bool,
    },
    /// Silence, and the question did not arrive.
    FilteredForward,
    /// Silence, and the answer left the destination.
    FilteredReturn,
    /// Silence, the place unknown.
    Filtered,
    /// The question never left the source.
    LocalBlocked,
    /// The source has no route.
    NoRoute,
    /// The destination's (or gateway's) link address did not resolve.
    NeighborUnresolved,
    /// Some attempts were answered.
    Lossy {
        /// How many were.
        answered: u32,
    },
    /// The prober ran out of something.
    Resource {
        /// The errno.
        errno: u32,
    },
    /// It was not measured.
    NotMeasured(Why),
}

/// In which way somebody is not who he should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mismatch {
    /// Whoever accepted did not prove to be the peer.
    Unproven,
    /// Whoever accepted said nothing, and the peer's responder told of no connection.
    Mute,
    /// The peer answered from another of its own addresses (UDP): a setting of that host.
    OwnAddress {
        /// From which.
        address: IpAddr,
    },
    /// The peer's answer came from an address that it does not have (UDP): it was translated on the way.
    ForeignAddress {
        /// From which.
        address: IpAddr,
    },
    /// The peer's responder received the source's datagrams and could verify none: altered on the way, or another key.
    Unverified,
}

/// Why a test was not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The source never joined, or was lost before it reported.
    SourceLost,
    /// The destination never joined, or was lost; what failed toward it says nothing about the network.
    DestinationLost,
    /// The destination's responder could not bind the port (the finding tells who holds it).
    NotArmed,
    /// A live node without this listener, or one whose port is not disturbed.
    LiveNode,
    /// One of the two ends has no address of the family.
    NoAddress,
    /// A live node's port that only a Service would serve, and none does: nothing is missed. It is counted apart and makes
    /// no report incomplete.
    NoService,
    /// A UDP port of a live node, to which nothing is sent, and about which the packet filters could not be asked or do not
    /// tell.
    BusyUdp,
    /// The source's local policy refused it.
    Policy,
    /// The run was interrupted first.
    Interrupted,
    /// The probe did not report it, although it says that it finished: a bug or a liar.
    Unreported,
    /// This build cannot test it.
    Unsupported,
}

/// Where a failing test ended, as far as captures and errors tell. An open one with a place was answered late: one of
/// the two hosts was slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Spot {
    /// Nobody saw it.
    Unknown,
    /// On the source, before the question left.
    SourceOut,
    /// Between the nodes, on the way there.
    Forward,
    /// On the destination, after the question had arrived.
    Destination,
    /// Between the nodes, on the way back.
    Return,
    /// On the source, after the answer had arrived.
    SourceIn,
}

impl Outcome {
    /// The bare word of report.json.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::OpenUnverified => "open_unverified",
            Self::IdentityMismatch { .. } => "identity_mismatch",
            Self::Closed => "closed",
            Self::Rejected { .. } => "rejected",
            Self::FilteredForward => "filtered_forward",
            Self::FilteredReturn => "filtered_return",
            Self::Filtered => "filtered",
            Self::LocalBlocked => "local_blocked",
            Self::NoRoute => "no_route",
            Self::NeighborUnresolved => "neighbor_unresolved",
            Self::Lossy { .. } => "lossy",
            Self::Resource { .. } => "resource",
            Self::NotMeasured(_) => "not_measured",
        }
    }

    /// Whether the peer answered every attempt.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open | Self::OpenUnverified)
    }

    /// Whether something answered, if only at times: what must not answer is exposed then.
    pub fn answers(&self) -> bool {
        self.is_open() || matches!(self, Self::Lossy { .. })
    }

    /// Whether it says something about the network: a prober that ran out of sockets has measured nothing.
    pub fn is_measured(&self) -> bool {
        !matches!(self, Self::NotMeasured(_) | Self::Resource { .. })
    }
}

impl Why {
    /// The word of report.json.
    pub fn word(self) -> &'static str {
        match self {
            Self::SourceLost => "source_lost",
            Self::DestinationLost => "destination_lost",
            Self::NotArmed => "not_armed",
            Self::LiveNode => "live_node",
            Self::NoAddress => "no_address",
            Self::NoService => "no_service",
            Self::BusyUdp => "busy_udp",
            Self::Policy => "policy",
            Self::Interrupted => "interrupted",
            Self::Unreported => "unreported",
            Self::Unsupported => "unsupported",
        }
    }
}
