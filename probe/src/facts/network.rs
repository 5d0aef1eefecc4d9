//! Interfaces, addresses, gateways and neighbours, as the kernel lists them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

use plumbline_model::observation::{Interface, Neighbor};
use plumbline_sys::route::{Address, Error, Link, Network, Scope};
use tracing::warn;

use crate::error_chain::chain;

/// Global unicast addresses of the host: what it is known by in a Join, and may speak from. Those of the interface that has
/// the data address come first, the data address before all. Empty if they cannot be read.
pub fn global_addresses(data_address: Option<IpAddr>) -> Vec<IpAddr> {
    let listed = Network::open().and_then(|mut network| Ok((network.links()?, network.addresses()?)));
    match listed {
        Ok((links, own)) => known_by(data_address, &links, &own),
        Err(error) => {
            warn!("failed to {}", chain(&error));
            Vec::new()
        }
    }
}

fn known_by(data_address: Option<IpAddr>, links: &[Link], own: &[Address]) -> Vec<IpAddr> {
    let of_services = links
        .iter()
        .find(|link| link.name == SERVICES)
        .map(|link| link.index);
    let data_link = own
        .iter()
        .find(|own| Some(own.address) == data_address)
        .map(|own| own.link);
    let mut known: Vec<&Address> = own
        .iter()
        .filter(|own| own.scope == Scope::Global && own.usable && !own.address.is_loopback())
        .filter(|own| Some(own.link) != of_services)
        .collect();
    // Stable: the kernel's order is that of its choice.
    known.sort_by_key(|own| (Some(own.address) != data_address, Some(own.link) != data_link));
    known.into_iter().map(|own| own.address).collect()
}

/// The IPv6 data address of a node that is known by this address of another family: a global one of the interface that has
/// the data address. `None` if it is an IPv6 address itself, or if there is none.
pub fn data_ipv6(data_address: IpAddr) -> Option<Ipv6Addr> {
    if data_address.is_ipv6() {
        return None;
    }
    let own = Network::open().and_then(|mut network| network.addresses()).ok()?;
    best_ipv6(data_address, &own)
}

/// Of several, in this order: one that may be used for new connections (VIPs may not); one that is not made up for privacy;
/// one without a lifetime; one of a network rather than of the host alone; the lowest.
fn best_ipv6(data_address: IpAddr, own: &[Address]) -> Option<Ipv6Addr> {
    let link = own.iter().find(|own| own.address == data_address)?.link;
    own.iter()
        .filter(|own| own.link == link && own.scope == Scope::Global && own.usable)
        .filter_map(|own| match own.address {
            IpAddr::V6(address) => Some((own, address)),
            IpAddr::V4(_) => None,
        })
        .min_by_key(|(own, address)| {
            (
                own.deprecated,
                own.temporary,
                !own.permanent,
                own.prefix == 128,
                *address,
            )
        })
        .map(|(_, address)| address)
}

/// Interfaces, and every address of a default route's gateway.
pub(super) fn interfaces_and_gateways() -> Result<(Vec<Interface>, Vec<IpAddr>), Error> {
    let mut network = Network::open()?;
    let links = network.links()?;
    let addresses = network.addresses()?;
    let mut gateways: Vec<IpAddr> = network
        .gateways()?
        .into_iter()
        .filter_map(|gateway| gateway.via)
        .collect();
    gateways.sort_unstable();
    gateways.dedup();
    Ok((interfaces(&links, &addresses), gateways))
}

/// The hardware addresses that this host knows of others. Ordered, by interface.
pub(super) fn neighbors() -> Result<Vec<Neighbor>, Error> {
    let mut network = Network::open()?;
    let names: BTreeMap<u32, String> = network
        .links()?
        .into_iter()
        .map(|link| (link.index, link.name))
        .collect();
    let neighbor = |entry: plumbline_sys::route::Neighbor| {
        Some(Neighbor {
            address: entry.address,
            mac: mac(entry.mac?),
            interface: names.get(&entry.link)?.clone(),
        })
    };
    let mut neighbors: Vec<Neighbor> = network.neighbors()?.into_iter().filter_map(neighbor).collect();
    neighbors.sort_unstable_by(|a, b| (&a.interface, a.address).cmp(&(&b.interface, b.address)));
    neighbors.truncate(MAX_NEIGHBORS);
    Ok(neighbors)
}

/// Those that are up, have an address, or belong to a bond or a bridge, whose packets may carry their hardware address. Where
/// there are too many, pods' come last.
fn interfaces(links: &[Link], addresses: &[Address]) -> Vec<Interface> {
    let of_link = |link: &Link| {
        let own = addresses.iter().filter(|address| address.link == link.index);
        Interface {
            name: link.name.clone(),
            mac: link.mac.map(mac).unwrap_or_default(),
            mtu: link.mtu,
            up: link.up && link.running,
            addresses: own
                .map(|address| format!("{}/{}", address.address, address.prefix))
                .collect(),
        }
    };
    let mut told: Vec<(bool, Interface)> = links
        .iter()
        .map(|link| (link, of_link(link)))
        .filter(|(link, interface)| interface.up || !interface.addresses.is_empty() || link.master.is_some())
        .map(|(link, interface)| {
            let is_a_pod_s = link.kind.as_deref() == Some("veth") && interface.addresses.is_empty();
            (is_a_pod_s, interface)
        })
        .collect();
    // Stable: the kernel's order is that of the system.
    told.sort_by_key(|(is_a_pod_s, _)| *is_a_pod_s);
    told.truncate(MAX_INTERFACES);
    told.into_iter().map(|(_, interface)| interface).collect()
}

fn mac(octets: [u8; 6]) -> String {
    octets.map(|octet| format!("{octet:02x}")).join(":")
}

/// The interface on which kube-proxy in IPVS mode puts the addresses of all Services, on every node the same.
const SERVICES: &str = "kube-ipvs0";
/// A node has some tens, and two for each of its pods.
const MAX_INTERFACES: usize = 256;
/// As many as a full network of 1,024 addresses has, and half as many again.
const MAX_NEIGHBORS: usize = 1536;

#[cfg(test)]
mod tests {
    use plumbline_sys::route::OperState;

    use super::*;

    fn link(index: u32, name: &str, up: bool) -> Link {
        Link {
            index,
            name: name.to_owned(),
            mtu: 1500,
            mac: Some([2, 0, 0, 0, 0xab, 0]),
            up,
            running: up,
            loopback: false,
            kind: None,
            master: None,
            state: OperState::Up,
        }
    }

    fn address(link: u32, address: &str, prefix: u8) -> Address {
        Address {
            link,
            address: address.parse().unwrap(),
            prefix,
            scope: Scope::Global,
            usable: true,
            permanent: true,
            temporary: false,
            deprecated: false,
        }
    }

    #[test]
    fn an_interface_counts_if_it_is_up_has_an_address_or_belongs_to_a_bond() {
        let slave = Link {
            master: Some(4),
            ..link(5, "slave", false)
        };
        let links = [
            link(1, "up", true),
            link(2, "down-with-address", false),
            link(3, "down", false),
            slave,
        ];
        let seen = interfaces(&links, &[address(2, "10.0.0.2", 24)]);
        let names: Vec<&str> = seen.iter().map(|interface| interface.name.as_str()).collect();
        assert_eq!(names, ["up", "down-with-address", "slave"]);
        assert_eq!(
            (seen[1].mac.as_str(), seen[1].addresses[0].as_str()),
            ("02:00:00:00:ab:00", "10.0.0.2/24")
        );
    }

    #[test]
    fn a_thousand_pods_do_not_displace_the_host_s_own_interfaces() {
        let pod = |index| Link {
            kind: Some("veth".to_owned()),
            ..link(index, "veth", true)
        };
        let mut links: Vec<Link> = (10..1010).map(pod).collect();
        links.push(link(2000, "bond0", true));
        let seen = interfaces(&links, &[]);
        assert_eq!((seen.len(), seen[0].name.as_str()), (MAX_INTERFACES, "bond0"));
    }

    #[test]
    fn a_node_is_known_by_its_data_address_first_and_not_by_those_of_services() {
        let links = [
            link(1, "public", true),
            link(2, "data", true),
            link(3, SERVICES, true),
        ];
        let own = [
            address(1, "198.51.100.2", 24),
            address(3, "10.233.0.1", 32),
            address(2, "10.0.0.3", 24),
            address(2, "10.0.0.2", 24),
            address(2, "fd00::2", 64),
        ];
        let data_address = Some("10.0.0.2".parse().unwrap());
        let known: Vec<String> = known_by(data_address, &links, &own)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(known, ["10.0.0.2", "10.0.0.3", "fd00::2", "198.51.100.2"]);
    }

    fn best(more: &[Address]) -> Option<String> {
        let mut own = vec![address(2, "10.0.0.2", 24), address(3, "fd00::1", 64)];
        own.extend_from_slice(more);
        best_ipv6("10.0.0.2".parse().unwrap(), &own).map(|address| address.to_string())
    }

    #[test]
    fn the_ipv6_data_address_is_the_one_that_stays() {
        let lowest = address(2, "fd00:2::1", 64);
        let deprecated = Address {
            deprecated: true,
            ..lowest.clone()
        };
        let temporary = Address {
            temporary: true,
            permanent: false,
            ..address(2, "fd00:2::2", 64)
        };
        let leased = Address {
            permanent: false,
            ..address(2, "fd00:2::3", 64)
        };
        let of_a_vip = address(2, "fd00:2::4", 128);
        let configured = address(2, "fd00:2::5", 64);
        let later = address(2, "fd00:2::6", 64);
        // Each is better than those before it.
        let all = [deprecated, temporary, leased, of_a_vip, configured, later];
        let names = ["fd00:2::1", "fd00:2::2", "fd00:2::3", "fd00:2::4", "fd00:2::5"];
        for (count, name) in (1..).zip(names) {
            assert_eq!(best(&all[..count]).as_deref(), Some(name));
        }
        assert_eq!(best(&all).as_deref(), Some("fd00:2::5"), "the lowest of the best");
    }

    #[test]
    fn what_is_not_usable_or_of_another_interface_is_no_data_address() {
        let tentative = Address {
            usable: false,
            ..address(2, "fd00:2::1", 64)
        };
        let of_the_link = Address {
            scope: Scope::Link,
            ..address(2, "fe80::1", 64)
        };
        assert_eq!(best(&[tentative, of_the_link]), None);
    }
}
