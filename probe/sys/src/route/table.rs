//! The main routing table, the policy rules, and by which way packets to an address leave. Nothing is sent on the network.

use std::{collections::BTreeSet, net::IpAddr};

use super::{AF_INET, AF_INET6, Error, Network, RTMSG_BYTES, ip, read};
use crate::netlink::{self, Attribute, Attributes, Message, Reply};

/// A route of the main table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The network's address.
    pub network: IpAddr,
    /// The length of its prefix; 0 for a default route.
    pub prefix: u8,
    /// `RTN_*`: 1 unicast, 6 blackhole, 7 unreachable, 8 prohibit.
    pub kind: u8,
    /// Who made it (rtnetlink(7), `rtm_protocol`).
    pub protocol: u8,
    /// Lower is preferred.
    pub metric: u32,
    /// Next hops.
    pub hops: Vec<Hop>,
}

/// A next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// The router; absent where the device itself is the way.
    pub via: Option<IpAddr>,
    /// The device's index.
    pub link: Option<u32>,
    /// Whether the kernel takes it for dead, as without a carrier.
    pub dead: bool,
}

/// By which way packets to an address leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// The device's index.
    pub link: u32,
    /// The router; absent on the own link.
    pub via: Option<IpAddr>,
    /// The address that packets get, unless the program chooses one.
    pub source: Option<IpAddr>,
}

impl Network {
    /// The routes of the main table, IPv4 and IPv6, at most `most` of each; `true` with them if there are more.
    ///
    /// # Errors
    /// If the kernel does not list them.
    pub fn routes(&mut self, most: usize) -> Result<(Vec<Entry>, bool), Error> {
        let (mut entries, mut are_more) = (Vec::new(), false);
        for family in [AF_INET, AF_INET6] {
            let mut fixed = [0; RTMSG_BYTES];
            fixed[0] = family;
            let mut listed = self.list(libc::RTM_GETROUTE, &fixed, "list the routes", Entry::read)?;
            are_more |= listed.len() > most;
            listed.truncate(most);
            entries.append(&mut listed);
        }
        Ok((entries, are_more))
    }

    /// The tables beside `local`, `main` and `default` that policy rules of both families send packets to.
    ///
    /// # Errors
    /// If the kernel does not list them, as one that is built without policy routing.
    pub fn policy_tables(&mut self) -> Result<BTreeSet<u32>, Error> {
        let mut tables = BTreeSet::new();
        for family in [AF_INET, AF_INET6] {
            let mut fixed = [0; RTMSG_BYTES];
            fixed[0] = family;
            tables.extend(
                self.list(libc::RTM_GETRULE, &fixed, "list the policy rules", |reply| {
                    read(libc::RTM_NEWRULE, reply, table_of_rule)
                })?,
            );
        }
        tables.retain(|table| !(253..=255).contains(table) && *table != 0);
        Ok(tables)
    }

    /// Looks up the way to `destination`, `None` without a route.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn way_to(&mut self, destination: IpAddr) -> Result<Option<Way>, Error> {
        let mut fixed = [0; RTMSG_BYTES];
        let octets = match destination {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        fixed[0] = if destination.is_ipv4() { AF_INET } else { AF_INET6 };
        fixed[1] = if destination.is_ipv4() { 32 } else { 128 };
        let question = Message::new(libc::RTM_GETROUTE, 0, &fixed).with(|nest| {
            nest.bytes(libc::RTA_DST, &octets);
        });
        let failed = || Error::of(format!("look up the route to {destination}"));
        let reply = match self.socket.get(question) {
            Ok(Some(reply)) => reply,
            Ok(None) => return Ok(None),
            Err(error) if error.refused_errno().is_some() => return Ok(None),
            Err(error) => return Err(failed()(error)),
        };
        let (_, attributes) = reply.parts::<RTMSG_BYTES>().map_err(failed())?;
        let address = |attribute| attributes.get(attribute).and_then(|found| ip(found.bytes()));
        let link = attributes.get(libc::RTA_OIF).and_then(Attribute::u32);
        Ok(link.map(|link| Way {
            link,
            via: address(libc::RTA_GATEWAY),
            source: address(libc::RTA_PREFSRC),
        }))
    }
}

impl Entry {
    /// The route of an RTM_NEWROUTE of the main table; `None` for another message or route.
    ///
    /// # Errors
    /// If the message is shorter than its fixed part, or its attributes do not add up.
    pub fn read(reply: &Reply) -> Result<Option<Self>, netlink::Error> {
        read(libc::RTM_NEWROUTE, reply, entry)
    }
}

/// `struct rtmsg`: family, destination length, source length, tos, table, protocol, scope, type, flags (4).
fn entry(fixed: &[u8; RTMSG_BYTES], attributes: Attributes<'_>) -> Option<Entry> {
    let [family, prefix, _, _, table, protocol, _, kind, f0, f1, f2, f3] = *fixed;
    let table = attributes
        .get(libc::RTA_TABLE)
        .and_then(Attribute::u32)
        .unwrap_or_else(|| table.into());
    let flags = u32::from_ne_bytes([f0, f1, f2, f3]);
    if table != u32::from(libc::RT_TABLE_MAIN) || flags & libc::RTM_F_CLONED != 0 {
        return None;
    }
    let unspecified = match family {
        AF_INET => IpAddr::from([0; 4]),
        AF_INET6 => IpAddr::from([0; 16]),
        _ => return None,
    };
    let network = match attributes.get(libc::RTA_DST) {
        Some(found) => ip(found.bytes())?,
        None => unspecified,
    };
    let single = Hop {
        via: gateway(&attributes),
        link: attributes.get(libc::RTA_OIF).and_then(Attribute::u32),
        dead: is_dead(flags),
    };
    let hops = match attributes.get(libc::RTA_MULTIPATH) {
        Some(several) => next_hops(several.bytes()),
        None if single.via.is_none() && single.link.is_none() => Vec::new(),
        None => vec![single],
    };
    Some(Entry {
        network,
        prefix,
        kind,
        protocol,
        metric: attributes
            .get(libc::RTA_PRIORITY)
            .and_then(Attribute::u32)
            .unwrap_or(0),
        hops,
    })
}

/// A router of the same family, or (RTA_VIA) of the other one.
fn gateway(attributes: &Attributes<'_>) -> Option<IpAddr> {
    let same = attributes.get(libc::RTA_GATEWAY).and_then(|via| ip(via.bytes()));
    same.or_else(|| ip(attributes.get(libc::RTA_VIA)?.bytes().get(2..)?))
}

/// `struct rtnexthop`: length (2), flags, hops, index (4), attributes.
fn next_hops(mut octets: &[u8]) -> Vec<Hop> {
    let mut hops = Vec::new();
    while let Some([l0, l1, flags, _, i0, i1, i2, i3]) = octets.first_chunk::<RTNEXTHOP_BYTES>() {
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let Some(attributes) = octets.get(RTNEXTHOP_BYTES..length) else {
            break;
        };
        let via = Attributes::parse(attributes)
            .ok()
            .and_then(|attributes| gateway(&attributes));
        hops.push(Hop {
            via,
            link: Some(u32::from_ne_bytes([*i0, *i1, *i2, *i3])),
            dead: is_dead(u32::from(*flags)),
        });
        octets = octets.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    hops
}

fn is_dead(flags: u32) -> bool {
    flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN) != 0
}

/// `struct fib_rule_hdr` has the layout of an rtmsg.
fn table_of_rule(fixed: &[u8; RTMSG_BYTES], attributes: Attributes<'_>) -> Option<u32> {
    let table = attributes.get(FRA_TABLE).and_then(Attribute::u32);
    Some(table.unwrap_or_else(|| fixed[4].into()))
}

/// linux/fib_rules.h.
const FRA_TABLE: u16 = 15;
/// linux/rtnetlink.h.
const RTNEXTHOP_BYTES: usize = 8;
const RTNH_F_DEAD: u32 = 1;
const RTNH_F_LINKDOWN: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::{Nest, split};

    fn read_back(prefix: u8, table: u8, fill: impl FnOnce(&mut Nest)) -> Option<Entry> {
        let mut fixed = [0; RTMSG_BYTES];
        (fixed[0], fixed[1], fixed[4], fixed[5], fixed[7]) = (AF_INET, prefix, table, 4, 1);
        let mut octets = Vec::new();
        let message = Message::new(libc::RTM_NEWROUTE, 0, &fixed).with(fill);
        message.encode(1, &mut octets).unwrap();
        let mut found = None;
        split(&octets, &mut |reply| {
            found = Entry::read(&reply)?;
            Ok(())
        })
        .unwrap();
        found
    }

    #[test]
    fn a_default_route_has_no_destination_and_one_of_another_table_is_none_of_ours() {
        let fill = |nest: &mut Nest| {
            nest.u32(libc::RTA_OIF, 2)
                .bytes(libc::RTA_GATEWAY, &[10, 0, 0, 1]);
        };
        let route = read_back(0, 254, fill).unwrap();
        assert_eq!((route.network, route.prefix), (IpAddr::from([0; 4]), 0));
        assert_eq!(route.hops[0].via, Some(IpAddr::from([10, 0, 0, 1])));
        assert_eq!(read_back(0, 100, fill), None);
    }

    #[test]
    fn several_next_hops_are_each_told_and_a_torn_one_ends_them() {
        let mut octets = Vec::new();
        for index in [2_u32, 3] {
            octets.extend_from_slice(&8_u16.to_ne_bytes());
            octets.extend_from_slice(&[u8::from(index == 3), 0]);
            octets.extend_from_slice(&index.to_ne_bytes());
        }
        octets.extend_from_slice(&[200, 0, 0, 0, 1, 0, 0, 0]);
        let route = read_back(16, 254, |nest| {
            nest.bytes(libc::RTA_DST, &[10, 1, 0, 0])
                .bytes(libc::RTA_MULTIPATH, &octets);
        });
        let hops: Vec<(Option<u32>, bool)> = route
            .unwrap()
            .hops
            .iter()
            .map(|hop| (hop.link, hop.dead))
            .collect();
        assert_eq!(hops, [(Some(2), false), (Some(3), true)]);
        assert!(
            next_hops(&[0; 8]).len() <= 1,
            "a length of nothing does not go on for ever"
        );
    }

    #[test]
    fn the_way_to_this_host_is_its_loopback_device() {
        let mut network = Network::open().unwrap();
        let way = network.way_to(IpAddr::from([127, 0, 0, 1])).unwrap().unwrap();
        let links = network.links().unwrap();
        assert!(links.iter().any(|link| link.index == way.link && link.loopback));
        assert!(network.routes(4096).is_ok());
    }
}
