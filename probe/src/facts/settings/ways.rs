//! Routes, by which way packets leave, neighbours and connections.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use plumbline_model::observation::{Busiest, NeighborEntries, RouteEntry, RouteHop, Way};
use plumbline_sys::route::{Entry, Network};

use super::root::{Root, sanitised};

/// Names of devices by their indices.
pub(super) type Names = BTreeMap<u32, String>;

/// The routes of the main table, without those to single pods. `true` with them if there are more than are told.
pub(super) fn routes(network: &mut Network, names: &Names) -> Option<(Vec<RouteEntry>, bool)> {
    let (entries, cut) = network.routes(MAX_LISTED_ROUTES).ok()?;
    let mut routes: Vec<RouteEntry> = entries.iter().filter_map(|entry| route(entry, names)).collect();
    let are_more = routes.len() > MAX_ROUTES;
    routes.truncate(MAX_ROUTES);
    Some((routes, cut || are_more))
}

/// What the kernel keeps of IPv6's own (link-local, multicast), and the routes to single pods, is left out.
fn route(entry: &Entry, names: &Names) -> Option<RouteEntry> {
    let to = IpNet::new(entry.network, entry.prefix).ok()?;
    let is_own = match entry.network {
        IpAddr::V6(network) => {
            network.is_unicast_link_local() || network.is_multicast() || network.is_loopback()
        }
        IpAddr::V4(network) => network.is_multicast(),
    };
    let hops: Vec<RouteHop> = entry
        .hops
        .iter()
        .filter(|hop| !hop.dead)
        .map(|hop| RouteHop {
            via: hop.via,
            device: hop
                .link
                .and_then(|link| names.get(&link))
                .map(|name| sanitised(name)),
        })
        .take(MAX_HOPS)
        .collect();
    let is_to_one = entry.prefix == to.max_prefix_len();
    let is_a_pod_s = is_to_one
        && hops
            .iter()
            .any(|hop| hop.device.as_deref().is_some_and(is_pod_device));
    let are_all_dead = !entry.hops.is_empty() && hops.is_empty();
    (!is_own && !is_a_pod_s && !are_all_dead).then_some(RouteEntry {
        to,
        forwards: entry.kind == RTN_UNICAST,
        hops,
        metric: entry.metric,
        protocol: entry.protocol,
    })
}

/// Cilium's, Calico's and plain veths of pods.
fn is_pod_device(name: &str) -> bool {
    ["lxc", "cali", "veth", "azv", "eni"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// To how many of these addresses packets leave by the data interface, and how they leave to the others.
pub(super) fn ways(
    network: &mut Network,
    to: impl Iterator<Item = IpAddr>,
    data: u32,
    names: &Names,
) -> Option<(u32, Vec<Way>)> {
    let (mut straight, mut others) = (0, Vec::new());
    for to in to.take(MAX_WAYS) {
        let way = network.way_to(to).ok()?;
        if way.is_some_and(|way| way.link == data) {
            straight += 1;
            continue;
        }
        others.push(Way {
            to,
            device: way
                .and_then(|way| names.get(&way.link))
                .map(|name| sanitised(name)),
            via: way.and_then(|way| way.via),
            source: way.and_then(|way| way.source),
        });
    }
    others.sort_unstable_by_key(|way| way.to);
    others.truncate(MAX_OTHER_WAYS);
    Some((straight, others))
}

/// How many entries the neighbour tables have.
pub(super) fn neighbors(network: &mut Network) -> Option<NeighborEntries> {
    let mut entries = NeighborEntries::default();
    for neighbor in network.neighbors().ok()? {
        match neighbor.address {
            IpAddr::V4(_) => entries.ipv4 += 1,
            IpAddr::V6(_) => entries.ipv6 += 1,
        }
    }
    Some(entries)
}

/// Where most TCP connections go.
pub(super) fn busiest(root: &Root) -> Option<Busiest> {
    let mut counts: BTreeMap<(IpAddr, u16), u32> = BTreeMap::new();
    for file in ["tcp", "tcp6"].map(|file| format!("proc/thread-self/net/{file}")) {
        // A kernel without IPv6 (ipv6.disable=1) has no second table. One that is there and too long says nothing of the most.
        if !root.has(&file) {
            continue;
        }
        let text = root.text_of(&file, MAX_SOCKETS_BYTES)?;
        for remote in text.lines().skip(1).filter_map(remote) {
            *counts.entry(remote).or_default() += 1;
        }
    }
    let most = counts.into_iter().max_by_key(|(_, connections)| *connections);
    most.map(|((address, port), connections)| Busiest {
        address,
        port,
        connections,
    })
}

/// `  0: 0100007F:1F90 0200000A:01BB 01 ...`: number, local, remote, state. Words are in the host's order.
fn remote(line: &str) -> Option<(IpAddr, u16)> {
    let mut words = line.split_ascii_whitespace().skip(2);
    let (remote, state) = (words.next()?, words.next()?);
    if state == TCP_LISTEN {
        return None;
    }
    let (address, port) = remote.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |index: usize| {
        let digits = address.get(index * 8..index * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let octets: Vec<u8> = words.concat();
            Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).to_canonical()
        }
        _ => return None,
    };
    (port != 0 && !address.is_loopback()).then_some((address, port))
}

/// linux/rtnetlink.h.
const RTN_UNICAST: u8 = 1;
/// net/tcp_states.h.
const TCP_LISTEN: &str = "0A";
/// A node has some ten, one for every other node with a CNI without tunnels, and one for each of its pods.
const MAX_LISTED_ROUTES: usize = 8192;
const MAX_ROUTES: usize = 512;
/// Equal-cost routes go over a few.
const MAX_HOPS: usize = 16;
/// Looked up one by one, some ten microseconds each.
const MAX_WAYS: usize = 4096;
const MAX_OTHER_WAYS: usize = 256;
/// A hundred thousand connections.
const MAX_SOCKETS_BYTES: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use plumbline_sys::route::Hop;

    use super::*;

    fn entry(to: &str, kind: u8, links: &[u32]) -> Entry {
        let to: IpNet = to.parse().unwrap();
        Entry {
            network: to.addr(),
            prefix: to.prefix_len(),
            kind,
            protocol: 4,
            metric: 0,
            hops: links
                .iter()
                .map(|link| Hop {
                    via: None,
                    link: Some(*link),
                    dead: *link == 9,
                })
                .collect(),
        }
    }

    #[test]
    fn routes_to_single_pods_and_those_of_a_cut_cable_are_left_out() {
        let names = Names::from([
            (2, "eth0".to_owned()),
            (3, "lxc12ab".to_owned()),
            (9, "eth1".to_owned()),
        ]);
        let kept = |to, kind, links: &[u32]| route(&entry(to, kind, links), &names).is_some();
        assert!(kept("10.0.0.0/8", 1, &[2]));
        assert!(kept("10.1.2.3/32", 1, &[2]));
        assert!(!kept("10.1.2.3/32", 1, &[3]));
        assert!(kept("10.1.2.0/24", 1, &[3]));
        assert!(!kept("0.0.0.0/0", 1, &[9]));
        assert!(kept("0.0.0.0/0", 1, &[9, 2]));
        assert!(kept("10.9.0.0/16", 6, &[]));
        assert!(!kept("fe80::/64", 1, &[2]));
    }

    #[test]
    fn connections_are_counted_by_where_they_go() {
        let text = |address: &str, state| format!("   0: 0100007F:1F90 {address} {state} 00000000");
        let of = |address: &str| remote(&text(address, "01"));
        let little_endian = cfg!(target_endian = "little");
        if little_endian {
            assert_eq!(of("0200000A:01BB"), Some((IpAddr::from([10, 0, 0, 2]), 443)));
            let mapped = "0000000000000000FFFF00000200000A:01BB";
            assert_eq!(of(mapped), Some((IpAddr::from([10, 0, 0, 2]), 443)));
            assert_eq!(of("0100007F:01BB"), None);
        }
        assert_eq!(remote(&text("0200000A:01BB", "0A")), None);
        for torn in ["", "x", "0200000A", "zz:1", "0200000A:zzzz", "0200:1"] {
            assert_eq!(of(torn), None, "{torn}");
        }
    }
}
