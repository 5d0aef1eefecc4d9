//! What probes saw, before anybody judged it. Ports are run-length encoded by equal observation.

mod dialled;
mod firewalls;
mod held;
mod host;
mod link;
mod overheard;
mod path;
mod tunnel;

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::{
    errand,
    firewall::Ruleset,
    id::NodeId,
    port::{Family, PortSet, Protocol},
};

pub use self::{
    dialled::{
        Answered, Asking, Connected, Dialled, Issued, MAX_CHAIN, MAX_DNS_ANSWERS, MAX_SITE_ADDRESSES,
        NameSeen, NoConnection, PeerOutcome, PeerSeen, PeerWord, Resolver, ResponseCode, SiteOutcome,
        SiteSeen, TlsFailure, Unasked, Unresolved, Untrusted,
    },
    firewalls::{
        Backend, FirewallManager, FirewallSettings, Firewalld, InstalledManager, Opened, Policy, Target,
        Unread, Zone,
    },
    held::{Answer, CallerHeard, Comparison, Held, HeldSeen, InUse, Kept, Reached, Stretch},
    host::{
        Bond, BondMember, Busiest, ClockState, Device, DeviceCounters, HostSettings, Machine, ModuleState,
        NeighborEntries, PersistedSysctl, RouteEntry, RouteHop, TimeSource, Way,
    },
    link::{Asked, LinkSeen, MAX_ANSWERS, Subject},
    overheard::{Advert, MAX_ADVERTISED, MAX_ADVERTS, MAX_STRANGERS, Overheard, Speaker, Speech},
    path::{EchoSeen, FlowsSeen, Hops, MAX_SIZES, MAX_TOLD, PathMethod, PathSeen, SizeSeen, TooBig},
    tunnel::{Transfer, Tried, TunnelSeen},
};

/// One record of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Record {
    /// What the host is, gathered once when the probe joins and, for its ruleset, again when the run ends.
    Facts(Box<HostFacts>),
    /// What the responders could bind.
    Armed(Armed),
    /// What a source saw of a destination's ports.
    Reach(Reach),
    /// What a destination heard from a source.
    Heard(Heard),
    /// What a capture saw of tests that were made again: the second look.
    Seen(Seen),
    /// An errand that was not done.
    Undone(Undone),
    /// How the host is set up (errand inspect).
    Host(Box<HostSettings>),
    /// How the managers of the host's packet filter are set up (errand inspect).
    Firewalls(Box<FirewallSettings>),
    /// What was heard on the link while the run went on (errand listen).
    Overheard(Overheard),
    /// What came of asking on the link (errand link).
    Link(LinkSeen),
    /// What came of asking somebody outside the roster (errand dial).
    Dialled(Dialled),
    /// What a path to a member carries (errand path).
    Path(PathSeen),
    /// What came of taking a VIP (errand hold).
    Held(Held),
    /// What came of a transfer through a tunnel (errand tunnel).
    Tunnel(TunnelSeen),
}

/// What is known of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct HostFacts {
    /// The kernel's node name.
    pub hostname: String,
    /// `uname -r`.
    pub kernel: String,
    /// `PRETTY_NAME` of os-release.
    pub os: String,
    /// The probe's version.
    pub probe_version: String,
    /// Whether Kubernetes runs here already.
    pub life: Life,
    /// What the probe may do here.
    pub capabilities: Capabilities,
    /// Interfaces that are up or have an address.
    pub interfaces: Vec<Interface>,
    /// Every address of a default route's gateway.
    pub gateways: Vec<IpAddr>,
    /// The packet filter, if it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ruleset: Option<Ruleset>,
    /// Why the packet filter could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ruleset_unread: Option<String>,
    /// Whether firewalld runs.
    pub firewalld: bool,
    /// The limit on open files that responders and runners have to live with.
    pub open_files: u32,
    /// Sockets that wait for others: TCP listeners, and UDP sockets with a port; ordered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<Listener>,
    /// Whether more sockets wait than are listed: of a port that no listed one waits on, nothing is known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub listeners_cut: bool,
    /// Ports of Services of type NodePort that the packet filter serves (kube-proxy's rules); what an eBPF data path serves
    /// is not seen here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_ports: Vec<NodePorts>,
    /// How full connection tracking is; absent where the kernel does not track.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conntrack: Option<Conntrack>,
    /// The kernel's counters that tell of dropped packets, by the kernel's own names (`TcpExt.IPReversePathFilter`,
    /// `TcpExt.ListenDrops`, `conntrack.drop`), as they stand at this moment: a run compares the last with the first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counters: BTreeMap<String, u64>,
    /// The link addresses that this host knows of others on its own links, at the time of a survey.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub neighbors: Vec<Neighbor>,
}

/// Ports on which one process waits at one address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The local address; unspecified (`0.0.0.0`, `::`) for all.
    pub address: IpAddr,
    /// Which ports.
    pub ports: PortSet,
    /// The process's name, if `/proc` tells; a kernel tunnel has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// The process's id, if `/proc` tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}

/// NodePorts of one family and transport that Services use. A Service is of one family unless it asks for both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodePorts {
    /// Family of the node's address at which they are served.
    pub family: Family,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Which ports.
    pub ports: PortSet,
}

/// Connection tracking's table (`nf_conntrack_count`, `nf_conntrack_max`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conntrack {
    /// Entries now.
    pub count: u32,
    /// Entries at most; a further one is dropped.
    pub max: u32,
}

/// An entry of the neighbour table (ARP, ND) that has a link address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbor {
    /// Whose.
    pub address: IpAddr,
    /// The link address, colon-separated lower-case hexadecimal.
    pub mac: String,
    /// On which interface.
    pub interface: String,
}

/// Bare or live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Life {
    /// No sign of Kubernetes: the real ports may be bound.
    #[default]
    Bare,
    /// A kubelet's configuration, or kubelet or containerd running: no table port is ever bound.
    Live,
}

/// What a probe may do on its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// Ports below `ip_unprivileged_port_start` may be bound.
    pub bind_low_ports: bool,
    /// Packet sockets may be opened.
    pub capture: bool,
    /// The packet filter may be read.
    pub read_ruleset: bool,
}

/// One network interface.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// Hardware address, colon-separated lower-case hexadecimal; empty if it has none.
    pub mac: String,
    /// MTU in octets.
    pub mtu: u32,
    /// Whether it is up and has a carrier.
    pub up: bool,
    /// Addresses with prefix length, `10.0.0.2/24`.
    pub addresses: Vec<String>,
}

/// What the responders of one node could bind for an assignment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Armed {
    /// Family of the data address.
    pub family: Family,
    /// Transport.
    pub protocol: Protocol,
    /// Ports that answer.
    pub ports: PortSet,
    /// Ports that do not, with the reason.
    pub refused: Vec<NotBound>,
}

/// Ports that could not be bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotBound {
    /// Which.
    pub ports: PortSet,
    /// Why.
    pub why: BindFailure,
}

/// Why a port could not be bound.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum BindFailure {
    /// Another process holds it.
    Taken {
        /// The holder's name, if `/proc` tells.
        #[serde(skip_serializing_if = "Option::is_none")]
        process: Option<String>,
        /// The holder's process id, if `/proc` tells.
        #[serde(skip_serializing_if = "Option::is_none")]
        pid: Option<u32>,
    },
    /// Ports below `ip_unprivileged_port_start` need CAP_NET_BIND_SERVICE.
    Privilege,
    /// The data address is not on this host; for IPv6: the data interface has no global address of that family.
    AddressMissing,
    /// The limit on open files is reached.
    OpenFiles,
    /// The node is live, so that nothing of the tables is bound there; who listens could not be read.
    Live,
    /// The node is live, and a service of its own waits on this port at the data address (or at all addresses).
    Service {
        /// Its name, if `/proc` tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        process: Option<String>,
        /// Its process id, if `/proc` tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pid: Option<u32>,
    },
    /// The node is live, and nobody waits on this port at the data address.
    NoListener,
    /// The node's local policy does not allow it.
    Policy,
    /// Another error of the kernel.
    Other {
        /// The errno.
        errno: u32,
    },
}

/// What a source saw of some ports of a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// Whom it asked.
    pub dst: NodeId,
    /// Family.
    pub family: Family,
    /// Transport.
    pub protocol: Protocol,
    /// Which ports saw the same.
    pub ports: PortSet,
    /// What was seen.
    pub signal: Signal,
    /// How many attempts were made.
    pub attempts: u32,
    /// How many of them were answered; between 1 and `attempts` - 1 the port is lossy.
    pub answered: u32,
    /// Whether this is the second look, made while both ends captured.
    pub second_look: bool,
    /// The local address that the kernel chose, where it is not the node's data address: a node with several interfaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
}

/// What the last attempt ended with; an answered attempt outranks a silent one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Signal {
    /// Connected, and the hello was proven with the pair key.
    Verified,
    /// Connected, but the other end did not prove to be the peer's responder.
    Unproven {
        /// How.
        how: Unproven,
    },
    /// Connected to a live service; nothing was sent.
    Connected,
    /// An answer that proves the pair key came from another address than the one that was asked (UDP): a setting of the host
    /// where the address is the peer's own, translation on the way where it is nobody's.
    AnsweredFrom {
        /// From where.
        address: IpAddr,
    },
    /// A TCP RST, with no ICMP error beside it.
    Refused,
    /// An ICMP error (error queue).
    Icmp {
        /// Type.
        icmp_type: u8,
        /// Code.
        code: u8,
        /// Who sent it.
        #[serde(skip_serializing_if = "Option::is_none")]
        offender: Option<IpAddr>,
    },
    /// No answer of any kind.
    Silence,
    /// The local kernel refused to send (EPERM, EACCES).
    LocalDenied {
        /// The errno.
        errno: u32,
    },
    /// No route at all (ENETUNREACH at once).
    NoRoute,
    /// The neighbour did not resolve (EHOSTUNREACH from our own address).
    NeighborUnresolved,
    /// The prober ran out of something: never a verdict about the network.
    Exhausted {
        /// The errno.
        errno: u32,
    },
    /// The probe did not try.
    NotTried {
        /// Why.
        why: NotTried,
    },
}

/// How a connection failed to prove its peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unproven {
    /// Nothing came back in time: a frozen host's kernel accepts connections, too.
    Silent,
    /// The other end closed or reset the connection after accepting it.
    Closed,
    /// What came back is not the hello of a responder.
    Garbage,
    /// A hello whose proof does not verify.
    BadProof,
}

/// Why a probe did not try a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotTried {
    /// The node's local policy refuses the target.
    Policy,
    /// The target is not on the roster.
    NotOnRoster,
    /// The target, or this node, has no address of the family.
    NoAddress,
    /// The lease ended first.
    Lease,
    /// The run was cancelled first.
    Cancelled,
    /// This build has no runner for the protocol.
    Unsupported,
}

/// What a destination's responders heard from one source, counted at the socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heard {
    /// From whom, by the source address of the packets; absent for an address that is not on the roster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src: Option<NodeId>,
    /// The source address.
    pub address: IpAddr,
    /// Family.
    pub family: Family,
    /// Transport.
    pub protocol: Protocol,
    /// Ports with the same counts.
    pub ports: PortSet,
    /// Connections accepted (TCP), or datagrams received (UDP).
    pub accepted: u32,
    /// Hellos (TCP) or STAMP test packets (UDP) that proved the pair key.
    pub proven: u32,
    /// Hellos or datagrams that did not: no such packet, another key, a bad HMAC. Never answered.
    pub unproven: u32,
    /// STAMP packets that proved the pair key and had been received before, or are older than the replay window. Not
    /// answered either.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replayed: u32,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// What a capture saw of one pair's ports during a second look, on one end. Counts are of TCP segments or UDP datagrams.
///
/// Ports that were watched without anything being seen are reported with zeros: that is what places a drop. Ports without
/// a record were not watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Which end this is.
    pub end: End,
    /// The node at the other end.
    pub peer: NodeId,
    /// Family.
    pub family: Family,
    /// Transport.
    pub protocol: Protocol,
    /// Ports (at the destination) with the same counts.
    pub ports: PortSet,
    /// Questions (SYN) seen: leaving at the source end, arriving at the destination end.
    pub questions: u32,
    /// Answers (SYN-ACK) seen: arriving at the source end, leaving at the destination end.
    pub answers: u32,
    /// RSTs seen from the destination's side.
    pub resets: u32,
    /// ICMP errors seen that quote the test.
    pub icmp_errors: u32,
}

/// Which end of a test a capture stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// At the node that asks.
    Source,
    /// At the node that is asked.
    Destination,
}

/// An errand that was not done. A probe never refuses one: it says what it lacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Undone {
    /// Which.
    pub errand: errand::Kind,
    /// Why.
    pub why: UndoneWhy,
}

/// Why an errand was not done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum UndoneWhy {
    /// The node's local policy does not allow it.
    Policy,
    /// The node is live, and this is not done there.
    Live,
    /// The probe lacks a capability.
    Capability {
        /// Its name, `CAP_NET_RAW`.
        name: String,
    },
    /// Something failed on the host.
    Failed {
        /// In the probe's words.
        reason: String,
    },
}
