//! What can be wrong in a network, by name: scenario files and `demo` say which, [`crate::Lab::apply`] does it.

use std::net::IpAddr;

use plumbline_model::{
    id::NodeId,
    port::{Family, PortSet},
};
use serde::{Deserialize, Serialize};

mod advertiser;
mod clock;
mod conntrack;
mod device;
mod error;
mod filter;
mod impostor;
mod mtu;
mod plant;
mod rules;
mod setting;
mod side;
#[cfg(test)]
mod tests;

pub(crate) use clock::Skew;
pub use error::FaultError;
pub use plant::FaultId;
pub(crate) use plant::Planted;
pub(crate) use setting::{NO_TYPE, NO_TYPE_6};
pub use side::{BadRoute, InvalidSide, RejectWith, Side, Transport};

/// A fault. In a file: `{fault: host_drop, host: 10.0.0.2, ports: "10250,30000-32767"}`.
///
/// Where a fault names traffic, `ports` are those at the destination of the connection, `transport` is TCP unless given, and
/// without either all traffic is meant, whatever its protocol (the probe's own control connection included). Both families
/// are meant unless `family` says one. A host is named by its address in the cluster file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The host's packet filter swallows questions.
    HostDrop {
        /// Which host.
        host: NodeId,
        /// Only of this family.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        family: Option<Family>,
        /// Only of this transport.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transport: Option<Transport>,
        /// Only to these ports.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ports: Option<PortSet>,
        /// Only from here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Side>,
    },
    /// The host's packet filter refuses questions.
    HostReject {
        /// Which host.
        host: NodeId,
        /// In which words.
        with: RejectWith,
        /// Only of this family.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        family: Option<Family>,
        /// Only of this transport.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transport: Option<Transport>,
        /// Only to these ports.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ports: Option<PortSet>,
        /// Only from here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Side>,
    },
    /// The host's packet filter lets no questions out.
    HostOutputDrop {
        /// Which host.
        host: NodeId,
        /// Only of this family.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        family: Option<Family>,
        /// Only of this transport.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transport: Option<Transport>,
        /// Only to these ports.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ports: Option<PortSet>,
        /// Only to there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Side>,
    },
    /// The host's packet filter lets no answers out.
    HostAnswerDrop {
        /// Which host.
        host: NodeId,
        /// Only of this family.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        family: Option<Family>,
        /// Only of this transport.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transport: Option<Transport>,
        /// Only from these ports of its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ports: Option<PortSet>,
        /// Only to there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Side>,
    },
    /// The router swallows questions in one direction.
    PathDrop {
        /// Who asks.
        from: Side,
        /// Who is asked.
        to: Side,
        /// Only of this family.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        family: Option<Family>,
        /// Only of this transport.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transport: Option<Transport>,
        /// Only to these ports.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ports: Option<PortSet>,
    },
    /// The router refuses questions in one direction.
    PathReject {
        /// Who asks.
        from: Side,
        /// Who is asked.
        to: Side,
        /// In which words.
        with: RejectWith,
        /// Only of this family.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        family: Option<Family>,
        /// Only of this transport.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transport: Option<Transport>,
        /// Only to these ports.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ports: Option<PortSet>,
    },
    /// The router swallows the answers to questions of one direction.
    PathAnswerDrop {
        /// Who asks.
        from: Side,
        /// Who is asked, and whose answers are lost.
        to: Side,
        /// Only of this family.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        family: Option<Family>,
        /// Only of this transport.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transport: Option<Transport>,
        /// Only from these ports of the one who is asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ports: Option<PortSet>,
    },
    /// The router loses packets of one direction by chance.
    PathLoss {
        /// Who asks.
        from: Side,
        /// Who is asked.
        to: Side,
        /// Packets lost of a thousand.
        permille: u16,
        /// Only of this family.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        family: Option<Family>,
        /// Only of this transport.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transport: Option<Transport>,
        /// Only to these ports.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ports: Option<PortSet>,
    },
    /// The switch swallows frames from one host to another of the same subnet; without traffic named all of them, those of
    /// ARP and neighbour discovery included.
    SwitchDrop {
        /// Who sends.
        from: NodeId,
        /// Who should receive.
        to: NodeId,
        /// Only of this family.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        family: Option<Family>,
        /// Only of this transport.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transport: Option<Transport>,
        /// Only to these ports.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ports: Option<PortSet>,
    },
    /// The switch lets two hosts of one subnet talk to everybody but each other (a private VLAN).
    Isolated {
        /// The two.
        hosts: [NodeId; 2],
    },
    /// The router, or a host, changes the source address of connections.
    SourceNat {
        /// Which host does it; the router if absent. A host does so to its own connections.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<NodeId>,
        /// Only of connections from here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Side>,
        /// Only of connections to there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Side>,
        /// To this address; to that of the interface that they leave by (masquerade) if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<IpAddr>,
        /// Only of this transport.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transport: Option<Transport>,
        /// Only to these ports.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ports: Option<PortSet>,
    },
    /// The router, or the host itself, hands connections to a host over to another port or another host.
    DestinationNat {
        /// To which host they should go.
        host: NodeId,
        /// Which host changes them; the router if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<NodeId>,
        /// Only of connections from here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Side>,
        /// Of which transport.
        #[serde(default)]
        transport: Transport,
        /// To which ports they should go.
        ports: PortSet,
        /// To which address they go. Only connections of its family are changed.
        to: IpAddr,
        /// To which port they go; the same if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
    },
    /// The router has a bad route.
    RouterRoute {
        /// To where.
        to: Side,
        /// Only of this family.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        family: Option<Family>,
        /// What it does.
        with: BadRoute,
    },
    /// The host has a bad route.
    HostRoute {
        /// Which host.
        host: NodeId,
        /// To where.
        to: Side,
        /// Only of this family.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        family: Option<Family>,
        /// What it does.
        with: BadRoute,
    },
    /// The host reaches others by another way than they reach it: over an address on one of its own networks.
    Detour {
        /// Which host.
        host: NodeId,
        /// To where.
        to: Side,
        /// By which next hop. Only addresses of its family take the detour.
        via: IpAddr,
    },
    /// The host takes packets only on the interface that it would answer by (strict reverse path filtering, RFC 3704). IPv6
    /// has none.
    ReversePathFilter {
        /// Which host.
        host: NodeId,
    },
    /// The host's interface has another MTU. Larger packets do not leave it, and larger frames do not enter it.
    Mtu {
        /// Which host.
        host: NodeId,
        /// Octets of the largest IP packet.
        mtu: u32,
    },
    /// The switch's port to the host takes smaller frames than the host's interface: larger ones vanish, both ways.
    PortMtu {
        /// Which host.
        host: NodeId,
        /// Octets of the largest IP packet.
        mtu: u32,
    },
    /// Everything on a network has another MTU: hosts, switch and the router's leg. Not a fault by itself.
    NetworkMtu {
        /// Which network; all if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        network: Option<Side>,
        /// Octets of the largest IP packet.
        mtu: u32,
        /// Whether only the switches have it: larger frames vanish between hosts that know nothing of it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        switch_only: bool,
    },
    /// The router's way to there takes smaller packets. Plant it twice for both directions.
    PathMtu {
        /// Only for packets from here; a path that tells is the same for all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Side>,
        /// To where.
        to: Side,
        /// Octets of the largest IP packet.
        mtu: u32,
        /// Whether larger packets are dropped without a word. Else an ICMP error says so.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        silent: bool,
        /// Only of this family.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        family: Option<Family>,
    },
    /// The router drops fragments in one direction.
    FragmentDrop {
        /// From where.
        from: Side,
        /// To where.
        to: Side,
        /// Only of this family.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        family: Option<Family>,
    },
    /// The host answers no echo requests.
    EchoIgnored {
        /// Which host.
        host: NodeId,
    },
    /// A host, or the router, sends few ICMP errors to one destination: what Linux does unless told otherwise.
    IcmpRateLimit {
        /// Which host; the router if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<NodeId>,
        /// The least time between two of them, after a small burst; Linux has 1000 from the beginning. 0 for no limit.
        interval_ms: u32,
    },
    /// The host's packet filter swallows new connections beyond a number.
    ConnectionLimit {
        /// Which host.
        host: NodeId,
        /// How many connections it tracks at the same time at most.
        most: u32,
        /// Only of this transport.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transport: Option<Transport>,
        /// Only to these ports.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ports: Option<PortSet>,
    },
    /// The host's connection tracking is full: the kernel drops packets of new connections. Needs root, since the limit is
    /// one of the whole machine: while the fault lasts it holds for every namespace in which connections are tracked.
    ConntrackFull {
        /// Which host.
        host: NodeId,
        /// For how many connections there is still room.
        #[serde(default)]
        room: u32,
    },
    /// The host has lost its IPv6 addresses.
    MissingIpv6 {
        /// Which host.
        host: NodeId,
    },
    /// The host's address is another's, too.
    DuplicateAddress {
        /// Which host.
        host: NodeId,
        /// Which host of the same subnet has it, too; one that takes no part if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<NodeId>,
        /// Only its address of this family.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        family: Option<Family>,
    },
    /// The host's hardware address is that of another host of its subnet.
    DuplicateMac {
        /// Which host.
        host: NodeId,
        /// Whose hardware address it has.
        of: NodeId,
        /// Whether the switch has stopped learning at both ports, as some do that see an address flap: it floods then, and both
        /// hosts stay reachable. Else frames go now to the one and now to the other.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        floods: bool,
    },
    /// The router, or a host, answers ARP for others on its links (proxy ARP), for those of the same link, too (RFC 3069).
    ProxyArp {
        /// Which host; the router if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<NodeId>,
    },
    /// The router answers no ARP request on a host's link. Who knows its link address goes on to reach it.
    SilentGateway {
        /// On whose link.
        host: NodeId,
    },
    /// Somebody who takes no part advertises a virtual router (VRRP) on a host's link.
    ForeignVrrp {
        /// On whose link.
        host: NodeId,
        /// Who: an address of the subnet that is free.
        sender: std::net::Ipv4Addr,
        /// The virtual router's id.
        vrid: u8,
        /// The virtual router's address.
        address: std::net::Ipv4Addr,
    },
    /// The switch of these hosts' subnet is two that are not connected: these hosts on the one, the others and the router's leg on
    /// the other. What the hosts exchange with the router still passes, so that they stay in reach.
    SplitLink {
        /// Who is cut off from the other hosts.
        hosts: Vec<NodeId>,
    },
    /// Another program listens on a port of the host, at all of its addresses.
    PortTaken {
        /// Which host.
        host: NodeId,
        /// Of which transport.
        #[serde(default)]
        transport: Transport,
        /// The port.
        port: u16,
    },
    /// A middlebox (the router) answers connections from other subnets in the host's place, with something else.
    WrongResponder {
        /// Which host.
        host: NodeId,
        /// Only at its address of this family.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        family: Option<Family>,
        /// The TCP ports.
        ports: PortSet,
    },
    /// The host's clock is wrong, for programs that are started there from then on: their wall clock alone, since intervals
    /// are the same everywhere. Needs libfaketime, and programs that are linked dynamically.
    ClockSkew {
        /// Which host.
        host: NodeId,
        /// How far it is ahead, in milliseconds; negative for behind.
        ms: i64,
    },
    /// The programs on the host stop (SIGSTOP); its kernel goes on.
    Freeze {
        /// Which host.
        host: NodeId,
    },
    /// The programs on the host die (SIGKILL). It cannot be healed.
    Kill {
        /// Which host.
        host: NodeId,
    },
    /// The host's cable is out, at the switch.
    CableCut {
        /// Which host.
        host: NodeId,
    },
}
