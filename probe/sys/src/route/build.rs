//! Changes: devices, addresses, routes. Each returns once the kernel has done it.

use std::{
    net::{IpAddr, Ipv4Addr},
    os::fd::BorrowedFd,
    time::Duration,
};

use super::{AF_INET, AF_INET6, Error, IFADDRMSG_BYTES, IFINFOMSG_BYTES, Network, RTMSG_BYTES, descriptor};
use crate::netlink::{Message, Nest};

/// The far end of a virtual cable.
#[derive(Debug, Clone, Copy)]
pub struct VethPeer<'a> {
    /// Its name there.
    pub name: &'a str,
    /// The network namespace that it appears in.
    pub namespace: BorrowedFd<'a>,
}

/// A route of the main table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The destination network's first address; the unspecified address with prefix 0 is the default route.
    pub network: IpAddr,
    /// The length of its prefix.
    pub prefix: u8,
    /// What becomes of packets to it.
    pub target: RouteTarget,
}

/// What a route does with packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteTarget {
    /// Hands them to a router.
    Via(IpAddr),
    /// Hands them to whoever they are for on this link, up to a size: what is larger is answered with an ICMP error.
    Link {
        /// The link's index.
        link: u32,
        /// Octets of the largest IP packet.
        mtu: u32,
    },
    /// Drops them without a word.
    Blackhole,
    /// Answers with ICMP "administratively prohibited" (3/13).
    Prohibit,
    /// Answers with ICMP "host unreachable" (3/1).
    Unreachable,
    /// Ends the look-up in this table: as though there were no route, not even a default one.
    Throw,
}

/// A tunnel to one peer.
#[derive(Debug, Clone, Copy)]
pub struct Tunnel<'a> {
    /// How packets are wrapped.
    pub kind: TunnelKind,
    /// The device's name.
    pub name: &'a str,
    /// The namespace in which it is made.
    pub namespace: BorrowedFd<'a>,
    /// Octets that a packet inside may have.
    pub mtu: u32,
    /// The number by which both ends know the network inside, below 2^24.
    pub network_id: u32,
    /// The other end.
    pub remote: Ipv4Addr,
    /// The UDP port at both ends.
    pub port: u16,
}

/// How a tunnel wraps packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TunnelKind {
    /// RFC 7348.
    Vxlan,
    /// RFC 8926.
    Geneve,
}

impl Network {
    /// Makes a virtual cable with one end here, of this index (the next free one if absent), and the other in another
    /// namespace. Both ends are down.
    ///
    /// # Errors
    /// EEXIST if a name is taken, EOPNOTSUPP without the `veth` module.
    pub fn add_veth(&mut self, name: &str, index: Option<u32>, peer: VethPeer<'_>) -> Result<(), Error> {
        let message =
            Message::new(libc::RTM_NEWLINK, CREATE, &ifinfomsg(index.unwrap_or(0), 0, 0)).with(|top| {
                top.text(libc::IFLA_IFNAME, name)
                    .nested(libc::IFLA_LINKINFO, |info| {
                        info.text(libc::IFLA_INFO_KIND, "veth")
                            .nested(libc::IFLA_INFO_DATA, |data| {
                                data.nested_after(VETH_INFO_PEER, &ifinfomsg(0, 0, 0), |end| {
                                    end.text(libc::IFLA_IFNAME, peer.name)
                                        .u32(libc::IFLA_NET_NS_FD, descriptor(peer.namespace));
                                });
                            });
                    });
            });
        self.change(message, format!("make the cable {name} to {}", peer.name))
    }

    /// Makes a bridge. Linux bridges run no spanning tree unless asked to, so its ports forward at once.
    ///
    /// # Errors
    /// EEXIST if the name is taken, EOPNOTSUPP without the `bridge` module.
    pub fn add_bridge(&mut self, name: &str) -> Result<(), Error> {
        let message = Message::new(libc::RTM_NEWLINK, CREATE, &ifinfomsg(0, 0, 0)).with(|top| {
            top.text(libc::IFLA_IFNAME, name)
                .nested(libc::IFLA_LINKINFO, |info| {
                    info.text(libc::IFLA_INFO_KIND, "bridge")
                        .nested(libc::IFLA_INFO_DATA, |data| {
                            // Snooping would withhold multicast, and with it IPv6 neighbour discovery, until its querier timed out.
                            data.u8(IFLA_BR_MCAST_SNOOPING, 0);
                        });
                });
        });
        self.change(message, format!("make the bridge {name}"))
    }

    /// Plugs a device into a bridge.
    ///
    /// # Errors
    /// ENODEV if either does not exist.
    pub fn set_master(&mut self, name: &str, master: u32) -> Result<(), Error> {
        let message = set_link(name, 0, 0, |top| {
            top.u32(libc::IFLA_MASTER, master);
        });
        self.change(message, format!("plug {name} into device {master}"))
    }

    /// Sets a device up or down.
    ///
    /// # Errors
    /// ENODEV if it does not exist.
    pub fn set_up(&mut self, name: &str, up: bool) -> Result<(), Error> {
        let flag = libc::IFF_UP.unsigned_abs();
        let message = set_link(name, if up { flag } else { 0 }, flag, |_| {});
        self.change(message, format!("set {name} {}", if up { "up" } else { "down" }))
    }

    /// Sets the size of IP packets that a device takes, in octets.
    ///
    /// # Errors
    /// EINVAL outside what the device can.
    pub fn set_mtu(&mut self, name: &str, mtu: u32) -> Result<(), Error> {
        let message = set_link(name, 0, 0, |top| {
            top.u32(libc::IFLA_MTU, mtu);
        });
        self.change(message, format!("set the MTU of {name} to {mtu}"))
    }

    /// Gives a device another hardware address.
    ///
    /// # Errors
    /// ENODEV if it does not exist.
    pub fn set_mac(&mut self, name: &str, mac: [u8; 6]) -> Result<(), Error> {
        let message = set_link(name, 0, 0, |top| {
            top.bytes(libc::IFLA_ADDRESS, &mac);
        });
        self.change(message, format!("set the hardware address of {name}"))
    }

    /// Makes a bridge's port isolated or not: isolated ports exchange no frames with each other.
    ///
    /// # Errors
    /// ENODEV if it does not exist, EINVAL if it is no port of a bridge.
    pub fn set_isolated(&mut self, name: &str, isolated: bool) -> Result<(), Error> {
        let message = set_port(name, |port| {
            port.u8(IFLA_BRPORT_ISOLATED, isolated.into());
        });
        let word = if isolated { "isolate" } else { "open" };
        self.change(message, format!("{word} the bridge port {name}"))
    }

    /// Lets a bridge's port learn link addresses or not. One that ceases to forgets what it learnt; frames to whom only it knew go
    /// to every port then.
    ///
    /// # Errors
    /// ENODEV if it does not exist, EINVAL if it is no port of a bridge.
    pub fn set_learning(&mut self, name: &str, learns: bool) -> Result<(), Error> {
        let message = set_port(name, |port| {
            port.u8(IFLA_BRPORT_LEARNING, learns.into());
            if !learns {
                port.bytes(IFLA_BRPORT_FLUSH, &[]);
            }
        });
        let word = if learns { "learn" } else { "forget" };
        self.change(
            message,
            format!("have the bridge port {name} {word} link addresses"),
        )
    }

    /// Removes a device; a cable goes with both ends.
    ///
    /// # Errors
    /// ENODEV if it does not exist.
    pub fn delete_link(&mut self, name: &str) -> Result<(), Error> {
        let message = Message::new(libc::RTM_DELLINK, 0, &ifinfomsg(0, 0, 0)).with(|top| {
            top.text(libc::IFLA_IFNAME, name);
        });
        self.change(message, format!("remove the device {name}"))
    }

    /// Gives a device an address. IPv6 addresses are used at once, without a search for duplicates.
    ///
    /// # Errors
    /// EEXIST if it has it already.
    pub fn add_address(&mut self, link: u32, address: IpAddr, prefix: u8) -> Result<(), Error> {
        self.change(
            address_message(libc::RTM_NEWADDR, CREATE, link, address, prefix, NODAD),
            format!("add the address {address}/{prefix}"),
        )
    }

    /// Gives a device an address that the kernel removes by itself after a lifetime, if nobody did before, and to whose network
    /// no route is added. An IPv6 address is searched for duplicates by the kernel first, and is not used until that is over.
    ///
    /// # Errors
    /// EEXIST if it has it already.
    pub fn lend_address(
        &mut self,
        link: u32,
        address: IpAddr,
        prefix: u8,
        lifetime: Duration,
    ) -> Result<(), Error> {
        let seconds = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX - 1);
        // `struct ifa_cacheinfo`: preferred, valid, and two that the kernel fills in.
        let mut lifetimes = [0; 16];
        lifetimes[..4].copy_from_slice(&seconds.to_ne_bytes());
        lifetimes[4..8].copy_from_slice(&seconds.to_ne_bytes());
        let mut message = address_message(libc::RTM_NEWADDR, CREATE, link, address, prefix, 0);
        message
            .attributes()
            .bytes(libc::IFA_CACHEINFO, &lifetimes)
            .u32(libc::IFA_FLAGS, libc::IFA_F_NOPREFIXROUTE);
        self.change(message, format!("lend the address {address}/{prefix}"))
    }

    /// Makes a tunnel in another namespace, whose packets travel in this one. The device is down, and gone with its namespace.
    ///
    /// # Errors
    /// EOPNOTSUPP where the kernel has no such device, EPERM without CAP_NET_ADMIN in both namespaces.
    pub fn add_tunnel(&mut self, tunnel: &Tunnel<'_>) -> Result<(), Error> {
        let (kind, id, remote, port) = match tunnel.kind {
            TunnelKind::Vxlan => ("vxlan", IFLA_VXLAN_ID, IFLA_VXLAN_GROUP, IFLA_VXLAN_PORT),
            TunnelKind::Geneve => ("geneve", IFLA_GENEVE_ID, IFLA_GENEVE_REMOTE, IFLA_GENEVE_PORT),
        };
        let message = Message::new(libc::RTM_NEWLINK, CREATE, &ifinfomsg(0, 0, 0)).with(|top| {
            top.text(libc::IFLA_IFNAME, tunnel.name)
                .u32(libc::IFLA_MTU, tunnel.mtu)
                .u32(libc::IFLA_NET_NS_FD, descriptor(tunnel.namespace))
                .nested(libc::IFLA_LINKINFO, |info| {
                    info.text(libc::IFLA_INFO_KIND, kind)
                        .nested(libc::IFLA_INFO_DATA, |data| {
                            data.u32(id, tunnel.network_id)
                                .bytes(remote, &tunnel.remote.octets())
                                .be16(port, tunnel.port);
                        });
                });
        });
        self.change(message, format!("make a {kind} tunnel to {}", tunnel.remote))
    }

    /// Takes an address from a device, and with it the route to its network.
    ///
    /// # Errors
    /// EADDRNOTAVAIL if it has no such address.
    pub fn delete_address(&mut self, link: u32, address: IpAddr, prefix: u8) -> Result<(), Error> {
        self.change(
            address_message(libc::RTM_DELADDR, 0, link, address, prefix, NODAD),
            format!("remove the address {address}/{prefix}"),
        )
    }

    /// Adds a route.
    ///
    /// # Errors
    /// EEXIST if there is one to the same network, ENETUNREACH if the router is not on a network of ours.
    pub fn add_route(&mut self, route: Route) -> Result<(), Error> {
        self.change(
            route_message(libc::RTM_NEWROUTE, CREATE, route),
            format!("add {}", described(route)),
        )
    }

    /// Removes a route that was added.
    ///
    /// # Errors
    /// ESRCH if there is none like it.
    pub fn delete_route(&mut self, route: Route) -> Result<(), Error> {
        self.change(
            route_message(libc::RTM_DELROUTE, 0, route),
            format!("remove {}", described(route)),
        )
    }

    pub(super) fn change(&mut self, message: Message, operation: String) -> Result<(), Error> {
        self.socket.request(message).map_err(Error::of(operation))
    }
}

fn set_link(name: &str, flags: u32, change: u32, fill: impl FnOnce(&mut Nest)) -> Message {
    Message::new(libc::RTM_NEWLINK, 0, &ifinfomsg(0, flags, change)).with(|top| {
        top.text(libc::IFLA_IFNAME, name);
        fill(top);
    })
}

/// A change of what a device is to the bridge that it is a port of.
fn set_port(name: &str, fill: impl FnOnce(&mut Nest)) -> Message {
    set_link(name, 0, 0, |top| {
        top.nested(libc::IFLA_LINKINFO, |info| {
            info.text(IFLA_INFO_SLAVE_KIND, "bridge")
                .nested(IFLA_INFO_SLAVE_DATA, fill);
        });
    })
}

fn ifinfomsg(index: u32, flags: u32, change: u32) -> [u8; IFINFOMSG_BYTES] {
    let mut fixed = [0; IFINFOMSG_BYTES];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    fixed[8..12].copy_from_slice(&flags.to_ne_bytes());
    fixed[12..].copy_from_slice(&change.to_ne_bytes());
    fixed
}

/// `mode` is of IPv6 addresses alone.
fn address_message(kind: u16, flags: u16, link: u32, address: IpAddr, prefix: u8, mode: u8) -> Message {
    let (family, mode) = match address {
        IpAddr::V4(_) => (AF_INET, 0),
        IpAddr::V6(_) => (AF_INET6, mode),
    };
    let mut fixed = [0; IFADDRMSG_BYTES];
    fixed[..4].copy_from_slice(&[family, prefix, mode, libc::RT_SCOPE_UNIVERSE]);
    fixed[4..].copy_from_slice(&link.to_ne_bytes());
    Message::new(kind, flags, &fixed).with(|top| {
        put_ip(top, libc::IFA_LOCAL, address);
        put_ip(top, libc::IFA_ADDRESS, address);
    })
}

fn route_message(kind: u16, flags: u16, route: Route) -> Message {
    let family = if route.network.is_ipv4() {
        AF_INET
    } else {
        AF_INET6
    };
    let action = match route.target {
        RouteTarget::Via(_) | RouteTarget::Link { .. } => libc::RTN_UNICAST,
        RouteTarget::Blackhole => libc::RTN_BLACKHOLE,
        RouteTarget::Prohibit => libc::RTN_PROHIBIT,
        RouteTarget::Unreachable => libc::RTN_UNREACHABLE,
        RouteTarget::Throw => libc::RTN_THROW,
    };
    let scope = match route.target {
        RouteTarget::Link { .. } => libc::RT_SCOPE_LINK,
        _ => libc::RT_SCOPE_UNIVERSE,
    };
    let mut fixed = [0; RTMSG_BYTES];
    fixed[..8].copy_from_slice(&[
        family,
        route.prefix,
        0,
        0,
        libc::RT_TABLE_MAIN,
        libc::RTPROT_STATIC,
        scope,
        action,
    ]);
    Message::new(kind, flags, &fixed).with(|top| {
        if route.prefix != 0 {
            put_ip(top, libc::RTA_DST, route.network);
        }
        if let RouteTarget::Via(router) = route.target {
            put_ip(top, libc::RTA_GATEWAY, router);
        }
        if let RouteTarget::Link { link, mtu } = route.target {
            top.u32(libc::RTA_OIF, link).nested(libc::RTA_METRICS, |metrics| {
                metrics.u32(RTAX_MTU, mtu);
            });
        }
    })
}

fn described(route: Route) -> String {
    let action = match route.target {
        RouteTarget::Via(router) => format!("via {router}"),
        RouteTarget::Link { link, mtu } => format!("by device {link} with an MTU of {mtu}"),
        RouteTarget::Blackhole => "as a black hole".to_owned(),
        RouteTarget::Prohibit => "as prohibited".to_owned(),
        RouteTarget::Unreachable => "as unreachable".to_owned(),
        RouteTarget::Throw => "as missing".to_owned(),
    };
    format!("the route to {}/{} {action}", route.network, route.prefix)
}

/// `RTAX_MTU` of the kernel's headers, which libc lacks.
const RTAX_MTU: u16 = 2;

pub(super) fn put_ip(nest: &mut Nest, attribute: u16, address: IpAddr) {
    match address {
        IpAddr::V4(address) => nest.bytes(attribute, &address.octets()),
        IpAddr::V6(address) => nest.bytes(attribute, &address.octets()),
    };
}

#[expect(clippy::cast_possible_truncation, reason = "0x600 in two octets")]
pub(super) const CREATE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
#[expect(clippy::cast_possible_truncation, reason = "2 in one octet")]
const NODAD: u8 = libc::IFA_F_NODAD as u8;
/// linux/veth.h.
const VETH_INFO_PEER: u16 = 1;
// linux/if_link.h.
const IFLA_BR_MCAST_SNOOPING: u16 = 23;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BRPORT_LEARNING: u16 = 8;
const IFLA_BRPORT_FLUSH: u16 = 24;
const IFLA_BRPORT_ISOLATED: u16 = 33;
const IFLA_VXLAN_ID: u16 = 1;
const IFLA_VXLAN_GROUP: u16 = 2;
const IFLA_VXLAN_PORT: u16 = 15;
const IFLA_GENEVE_ID: u16 = 1;
const IFLA_GENEVE_REMOTE: u16 = 2;
const IFLA_GENEVE_PORT: u16 = 5;
