//! From failing tests to the fewest causes that explain them, each with the node to touch and the command that mends it.

mod adjacency;
mod attribute;
mod blame;
mod candidate;
mod chance;
mod counted;
mod cover;
mod crowd;
mod explain;
mod filter;
mod fix;
mod group;
mod host;
mod join;
mod minimal;
mod moment;
mod pattern;
mod place;
mod scope;
mod span;
mod stuck;
mod subnet;
mod tell;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trial;
mod twin;

use serde::{Deserialize, Serialize};

use crate::id::NodeId;

pub(crate) use explain::explain;
pub(crate) use host::{Opinion, ask_range, drops_silently};
pub(crate) use place::place_unsampled;

/// What kind of thing is wrong (report.json, `findings[].cause.kind`). More may join; none is renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    /// The destination's (or source's own) packet filter, with its ruleset or a capture as evidence.
    HostFirewall,
    /// Something between the nodes drops.
    PathFilter,
    /// Something between the nodes rejects with ICMP.
    PathReject,
    /// Answers are dropped on their way back.
    ReturnPathFilter,
    /// A probe never joined or was lost.
    ProbeLost,
    /// A live node without the expected listener.
    NoListener,
    /// Another process holds a port of the tables.
    PortTaken,
    /// Something else answered in the peer's place.
    WrongResponder,
    /// Addresses are translated between nodes.
    SourceNat,
    /// One address on two hosts.
    DuplicateAddress,
    /// One MAC on two hosts.
    DuplicateMac,
    /// A router answers ARP for others.
    ProxyArp,
    /// Not in one layer 2 domain.
    NotAdjacent,
    /// The VIP is in use.
    VipTaken,
    /// A VIP is not reached on a node that has it, or not soon.
    VipUnreachable,
    /// What travels through a tunnel does not arrive whole.
    TunnelBroken,
    /// A virtual router of others (VRRP) where the cluster announces its VIPs.
    ForeignVrrp,
    /// A router does not speak BGP as the file has it.
    BgpPeer,
    /// Large packets vanish without an ICMP error.
    PmtudBlackHole,
    /// The path's MTU is too small.
    MtuTooSmall,
    /// Interfaces of one network have different MTUs.
    MtuMismatch,
    /// Some packets are lost.
    LossyPath,
    /// One member of an ECMP or LAG bundle fails.
    EcmpMember,
    /// Latency above the limit.
    Latency,
    /// Latency under load above the limit.
    LoadedLatency,
    /// Throughput below the limit.
    LowThroughput,
    /// Clocks differ.
    Clock,
    /// Address ranges overlap.
    AddressOverlap,
    /// A table or limit is too small.
    Capacity,
    /// A port answers that must not.
    Exposure,
    /// A setting of the host: missing address, route, privilege.
    HostSetting,
    /// The cluster file.
    Config,
    /// A server outside is not reached.
    ExternalUnreachable,
    /// The proxy is not reached, or denies.
    ProxyRefuses,
    /// Somebody else answers in a server's place, with a certificate of its own.
    TlsIntercepted,
    /// A name server does not answer, or not as it should.
    NameServer,
    /// Not measured for another reason.
    Unmeasured,
}

impl CauseKind {
    /// Every kind, in the order in which they were made known.
    pub const ALL: [Self; 37] = [
        Self::HostFirewall,
        Self::PathFilter,
        Self::PathReject,
        Self::ReturnPathFilter,
        Self::ProbeLost,
        Self::NoListener,
        Self::PortTaken,
        Self::WrongResponder,
        Self::SourceNat,
        Self::DuplicateAddress,
        Self::DuplicateMac,
        Self::ProxyArp,
        Self::NotAdjacent,
        Self::VipTaken,
        Self::PmtudBlackHole,
        Self::MtuTooSmall,
        Self::MtuMismatch,
        Self::LossyPath,
        Self::EcmpMember,
        Self::Latency,
        Self::LoadedLatency,
        Self::LowThroughput,
        Self::Clock,
        Self::AddressOverlap,
        Self::Capacity,
        Self::Exposure,
        Self::HostSetting,
        Self::Config,
        Self::Unmeasured,
        Self::VipUnreachable,
        Self::TunnelBroken,
        Self::ForeignVrrp,
        Self::BgpPeer,
        Self::ExternalUnreachable,
        Self::ProxyRefuses,
        Self::TlsIntercepted,
        Self::NameServer,
    ];

    /// Its word, as report.json has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::HostFirewall => "host_firewall",
            Self::PathFilter => "path_filter",
            Self::PathReject => "path_reject",
            Self::ReturnPathFilter => "return_path_filter",
            Self::ProbeLost => "probe_lost",
            Self::NoListener => "no_listener",
            Self::PortTaken => "port_taken",
            Self::WrongResponder => "wrong_responder",
            Self::SourceNat => "source_nat",
            Self::DuplicateAddress => "duplicate_address",
            Self::DuplicateMac => "duplicate_mac",
            Self::ProxyArp => "proxy_arp",
            Self::NotAdjacent => "not_adjacent",
            Self::VipTaken => "vip_taken",
            Self::VipUnreachable => "vip_unreachable",
            Self::TunnelBroken => "tunnel_broken",
            Self::ForeignVrrp => "foreign_vrrp",
            Self::BgpPeer => "bgp_peer",
            Self::PmtudBlackHole => "pmtud_black_hole",
            Self::MtuTooSmall => "mtu_too_small",
            Self::MtuMismatch => "mtu_mismatch",
            Self::LossyPath => "lossy_path",
            Self::EcmpMember => "ecmp_member",
            Self::Latency => "latency",
            Self::LoadedLatency => "loaded_latency",
            Self::LowThroughput => "low_throughput",
            Self::Clock => "clock",
            Self::AddressOverlap => "address_overlap",
            Self::Capacity => "capacity",
            Self::Exposure => "exposure",
            Self::HostSetting => "host_setting",
            Self::Config => "config",
            Self::ExternalUnreachable => "external_unreachable",
            Self::ProxyRefuses => "proxy_refuses",
            Self::TlsIntercepted => "tls_intercepted",
            Self::NameServer => "name_server",
            Self::Unmeasured => "unmeasured",
        }
    }
}

/// Why something fails, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// What kind.
    pub kind: CauseKind,
    /// The node to touch; a cause between nodes has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// The two sides of a cause between nodes: sources, destinations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub between: Option<[Vec<NodeId>; 2]>,
    /// One sentence for a person: what, where, by which evidence.
    pub detail: String,
}

/// What mends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fix {
    /// What to do, one or two sentences.
    pub text: String,
    /// Commands to type, in order: on the node that the cause names, or those that begin with `ssh` at the admin workstation.
    /// Where no node is named, or another one is meant, they begin so.
    pub commands: Vec<String>,
}
