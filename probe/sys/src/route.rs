//! Links, addresses and routes of the calling thread's network namespace: what the probe reports as facts of its host, and
//! what the lab builds its hosts from.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsRawFd, BorrowedFd},
};

use crate::netlink::{self, Attributes, Message, Protocol, Reply, Socket};

mod build;
mod device;
mod divert;
mod neighbor;
mod table;
#[cfg(test)]
mod tests;

pub use build::{Route, RouteTarget, Tunnel, TunnelKind, VethPeer};
pub use device::{Bond, Device, Member, Statistics};
pub use divert::{Diversion, listen_for_diverted};
pub use neighbor::{Neighbor, NextHop};
pub use table::{Entry, Hop, Way};

/// Why a question about the network's configuration, or a change to it, failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation}")]
pub struct Error {
    /// What was tried.
    pub operation: String,
    /// What netlink said.
    #[source]
    pub source: netlink::Error,
}

impl Error {
    pub(crate) fn of(operation: impl Into<String>) -> impl FnOnce(netlink::Error) -> Self {
        let operation = operation.into();
        move |source| Self { operation, source }
    }
}

/// A network device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number within the namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Octets that an IP packet on it may have.
    pub mtu: u32,
    /// Its hardware address, if it has one of six octets.
    pub mac: Option<[u8; 6]>,
    /// Set up by the administrator (IFF_UP).
    pub up: bool,
    /// Can carry packets (IFF_RUNNING): up, and there is a carrier.
    pub running: bool,
    /// Whether it works, as far as the kernel knows. Ahead of [`Self::running`], which is also true while it does not know.
    pub state: OperState,
    /// Whether this is the loopback device.
    pub loopback: bool,
    /// What kind of virtual device it is (`veth`, `bridge`, `bond`, `vlan`, ...), absent for hardware.
    pub kind: Option<String>,
    /// The bridge or bond that it belongs to.
    pub master: Option<u32>,
}

/// Whether a device works (RFC 2863, ifOperStatus).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperState {
    /// Not known (yet), or the driver never says: loopback devices.
    Unknown,
    /// Some part is missing.
    NotPresent,
    /// It does not.
    Down,
    /// What it stands on does not: the far end of a cable, a bridge without a working port.
    LowerLayerDown,
    /// Under test.
    Testing,
    /// Waiting, for example for authentication.
    Dormant,
    /// It does.
    Up,
}

impl OperState {
    /// linux/if.h, `IF_OPER_*`.
    fn from_kernel(number: u8) -> Self {
        match number {
            1 => Self::NotPresent,
            2 => Self::Down,
            3 => Self::LowerLayerDown,
            4 => Self::Testing,
            5 => Self::Dormant,
            6 => Self::Up,
            _ => Self::Unknown,
        }
    }
}

/// An address of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The device's index.
    pub link: u32,
    /// The address.
    pub address: IpAddr,
    /// The length of its network's prefix.
    pub prefix: u8,
    /// How far it is valid.
    pub scope: Scope,
    /// IPv6: another host has it (duplicate address detection failed), or it is not yet known that none has.
    pub usable: bool,
    /// Configured, rather than leased or derived from a router's announcement: it has no lifetime.
    pub permanent: bool,
    /// IPv6: made up for some hours, for privacy (RFC 8981).
    pub temporary: bool,
    /// IPv6: still valid, but not to be used for anything new (RFC 4862), as the address of a VIP.
    pub deprecated: bool,
}

/// How far an address is valid (rtnetlink(7), `rtm_scope`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere.
    Global,
    /// On its link only.
    Link,
    /// On this host only.
    Host,
    /// Another value.
    Other(u8),
}

/// A default route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// The next hop; absent where the device itself is the way.
    pub via: Option<IpAddr>,
    /// The device's index, absent for a route over several next hops.
    pub link: Option<u32>,
    /// Lower is preferred.
    pub metric: u32,
    /// Whether this is the IPv6 default route.
    pub ipv6: bool,
}

/// A connection to the kernel's view of the network. It stays with the namespace of the thread that opened it.
#[derive(Debug)]
pub struct Network {
    pub(crate) socket: Socket,
}

impl Network {
    /// Opens the calling thread's network.
    ///
    /// # Errors
    /// If the system gives no socket.
    pub fn open() -> Result<Self, Error> {
        let socket = Socket::open(Protocol::Route).map_err(Error::of("open the network's configuration"))?;
        Ok(Self { socket })
    }

    /// Every device, in the kernel's order.
    ///
    /// # Errors
    /// If the kernel does not list them.
    pub fn links(&mut self) -> Result<Vec<Link>, Error> {
        self.list(
            libc::RTM_GETLINK,
            &[0; IFINFOMSG_BYTES],
            "list the network devices",
            Link::read,
        )
    }

    /// The device of a name, if there is one.
    ///
    /// # Errors
    /// If the kernel does not list devices.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>, Error> {
        Ok(self.links()?.into_iter().find(|link| link.name == name))
    }

    /// Every address of every device, IPv4 and IPv6.
    ///
    /// # Errors
    /// If the kernel does not list them.
    pub fn addresses(&mut self) -> Result<Vec<Address>, Error> {
        self.list(
            libc::RTM_GETADDR,
            &[0; IFADDRMSG_BYTES],
            "list the addresses",
            Address::read,
        )
    }

    /// The default routes of the main table, IPv4 and IPv6.
    ///
    /// # Errors
    /// If the kernel does not list routes.
    pub fn gateways(&mut self) -> Result<Vec<Gateway>, Error> {
        let mut gateways = Vec::new();
        for family in [AF_INET, AF_INET6] {
            let mut fixed = [0; RTMSG_BYTES];
            fixed[0] = family;
            gateways.extend(self.list(libc::RTM_GETROUTE, &fixed, "list the routes", Gateway::read)?);
        }
        Ok(gateways)
    }

    fn list<T>(
        &mut self,
        kind: u16,
        fixed: &[u8],
        operation: &'static str,
        read: impl Fn(&Reply) -> Result<Option<T>, netlink::Error>,
    ) -> Result<Vec<T>, Error> {
        let replies = self
            .socket
            .dump(&Message::new(kind, 0, fixed))
            .map_err(Error::of(operation))?;
        let mut items = Vec::with_capacity(replies.len());
        for reply in &replies {
            items.extend(read(reply).map_err(Error::of(operation))?);
        }
        Ok(items)
    }
}

impl Link {
    /// The device of an RTM_NEWLINK; `None` for another message, or without a name or an MTU.
    ///
    /// # Errors
    /// If the message is shorter than its fixed part, or its attributes do not add up.
    pub fn read(reply: &Reply) -> Result<Option<Self>, netlink::Error> {
        read(libc::RTM_NEWLINK, reply, link)
    }
}

impl Address {
    /// The address of an RTM_NEWADDR; `None` for another message, or without an address.
    ///
    /// # Errors
    /// As [`Link::read`].
    pub fn read(reply: &Reply) -> Result<Option<Self>, netlink::Error> {
        read(libc::RTM_NEWADDR, reply, address)
    }
}

impl Gateway {
    /// The default route of an RTM_NEWROUTE; `None` for another message or route.
    ///
    /// # Errors
    /// As [`Link::read`].
    pub fn read(reply: &Reply) -> Result<Option<Self>, netlink::Error> {
        read(libc::RTM_NEWROUTE, reply, gateway)
    }
}

fn read<const N: usize, T>(
    kind: u16,
    reply: &Reply,
    parts: impl FnOnce(&[u8; N], Attributes<'_>) -> Option<T>,
) -> Result<Option<T>, netlink::Error> {
    if reply.kind != kind {
        return Ok(None);
    }
    let (fixed, attributes) = reply.parts::<N>()?;
    Ok(parts(fixed, attributes))
}

/// `struct ifinfomsg`: family, pad, type (2), index (4), flags (4), change (4).
fn link(fixed: &[u8; IFINFOMSG_BYTES], attributes: Attributes<'_>) -> Option<Link> {
    let [_, _, _, _, i0, i1, i2, i3, f0, f1, f2, f3, ..] = *fixed;
    let flags = u32::from_ne_bytes([f0, f1, f2, f3]);
    let has = |flag: libc::c_int| flags & flag.unsigned_abs() != 0;
    let kind = attributes.get(libc::IFLA_LINKINFO).and_then(|info| {
        info.nested()
            .ok()?
            .get(libc::IFLA_INFO_KIND)?
            .text()
            .map(str::to_owned)
    });
    Some(Link {
        index: u32::from_ne_bytes([i0, i1, i2, i3]),
        name: attributes.get(libc::IFLA_IFNAME)?.text()?.to_owned(),
        mtu: attributes.get(libc::IFLA_MTU)?.u32()?,
        mac: attributes
            .get(libc::IFLA_ADDRESS)
            .and_then(|mac| mac.bytes().try_into().ok()),
        up: has(libc::IFF_UP),
        running: has(libc::IFF_RUNNING),
        state: attributes
            .get(libc::IFLA_OPERSTATE)
            .and_then(netlink::Attribute::u8)
            .map_or(OperState::Unknown, OperState::from_kernel),
        loopback: has(libc::IFF_LOOPBACK),
        kind,
        master: attributes
            .get(libc::IFLA_MASTER)
            .and_then(netlink::Attribute::u32),
    })
}

/// `struct ifaddrmsg`: family, prefix length, flags, scope, index (4).
fn address(fixed: &[u8; IFADDRMSG_BYTES], attributes: Attributes<'_>) -> Option<Address> {
    let [family, prefix, flags, scope, i0, i1, i2, i3] = *fixed;
    // On a point-to-point device IFA_ADDRESS is the peer and IFA_LOCAL our own; IPv6 has no IFA_LOCAL otherwise.
    let own = attributes
        .get(libc::IFA_LOCAL)
        .or_else(|| attributes.get(libc::IFA_ADDRESS))?;
    let flags = attributes
        .get(libc::IFA_FLAGS)
        .and_then(netlink::Attribute::u32)
        .unwrap_or_else(|| flags.into());
    Some(Address {
        link: u32::from_ne_bytes([i0, i1, i2, i3]),
        address: ip(own.bytes())?,
        prefix,
        scope: match scope {
            libc::RT_SCOPE_UNIVERSE => Scope::Global,
            libc::RT_SCOPE_LINK => Scope::Link,
            libc::RT_SCOPE_HOST => Scope::Host,
            other => Scope::Other(other),
        },
        usable: flags & (libc::IFA_F_TENTATIVE | libc::IFA_F_DADFAILED) == 0,
        permanent: flags & libc::IFA_F_PERMANENT != 0,
        // The same bit says "secondary" of an IPv4 address.
        temporary: family == AF_INET6 && flags & libc::IFA_F_TEMPORARY != 0,
        deprecated: flags & libc::IFA_F_DEPRECATED != 0,
    })
}

/// `struct rtmsg`: family, destination length, source length, tos, table, protocol, scope, type, flags (4).
fn gateway(fixed: &[u8; RTMSG_BYTES], attributes: Attributes<'_>) -> Option<Gateway> {
    let [family, destination_length, _, _, table, _, _, kind, ..] = *fixed;
    let table = attributes
        .get(libc::RTA_TABLE)
        .and_then(netlink::Attribute::u32)
        .unwrap_or_else(|| table.into());
    if destination_length != 0 || kind != libc::RTN_UNICAST || table != u32::from(libc::RT_TABLE_MAIN) {
        return None;
    }
    Some(Gateway {
        via: attributes.get(libc::RTA_GATEWAY).and_then(|via| ip(via.bytes())),
        link: attributes.get(libc::RTA_OIF).and_then(netlink::Attribute::u32),
        metric: attributes
            .get(libc::RTA_PRIORITY)
            .and_then(netlink::Attribute::u32)
            .unwrap_or(0),
        ipv6: family == AF_INET6,
    })
}

fn ip(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(octets) {
        return Some(Ipv4Addr::from(four).into());
    }
    <[u8; 16]>::try_from(octets)
        .ok()
        .map(|sixteen| Ipv6Addr::from(sixteen).into())
}

/// The number by which a message names a descriptor of this process.
pub(crate) fn descriptor(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

pub(crate) const IFINFOMSG_BYTES: usize = 16;
pub(crate) const IFADDRMSG_BYTES: usize = 8;
pub(crate) const RTMSG_BYTES: usize = 12;
#[expect(clippy::cast_possible_truncation, reason = "2 in one octet")]
pub(crate) const AF_INET: u8 = libc::AF_INET as u8;
#[expect(clippy::cast_possible_truncation, reason = "10 in one octet")]
pub(crate) const AF_INET6: u8 = libc::AF_INET6 as u8;
