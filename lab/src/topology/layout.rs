//! The network that a list of addresses implies.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use plumbline_model::port::Family;

use super::{AdminLeg, Host, Prefix, Stand, Subnet, Topology, TopologyError, overlap};

/// Which families hosts speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stack {
    /// That of their names.
    Single,
    /// Both.
    Dual,
}

impl Topology {
    /// The network that a cluster file implies: addresses of one /24 (IPv6: one /64) share a subnet, and a router stands
    /// between them.
    ///
    /// `taken` are inclusive ranges that are somebody's without being hosts: VIPs, address pools. The gateway is the first
    /// address of the subnet that is neither a node's nor taken, which is `.1` in most files.
    ///
    /// In a dual-stack lab the second address of `10.0.1.11` is `fd91:10:0:1::11`: its own digits in a unique local prefix
    /// (RFC 4193). Hosts that are named by IPv6 addresses have a second one in `172.30.0.0/16`.
    ///
    /// # Errors
    /// If the addresses do not make a network.
    pub fn from_addresses(
        nodes: &[IpAddr],
        taken: &[(IpAddr, IpAddr)],
        stack: Stack,
    ) -> Result<Self, TopologyError> {
        let mut by_network: BTreeMap<IpNet, Vec<IpAddr>> = BTreeMap::new();
        for node in nodes {
            by_network.entry(home(*node)).or_default().push(*node);
        }
        let first_networks: Vec<IpNet> = by_network.keys().copied().collect();
        let is_free = |network: IpNet| {
            !first_networks.iter().any(|first| overlap(*first, network)) && !touches(taken, network)
        };
        let second_networks = match (stack, nodes.first()) {
            (Stack::Dual, Some(name)) => second_networks(*name, &first_networks, is_free)?,
            _ => Vec::new(),
        };
        let (mut subnets, mut hosts) = (Vec::new(), Vec::new());
        for (index, (network, names)) in by_network.into_iter().enumerate() {
            let first = Prefix {
                network,
                gateway: gateway(network, nodes, taken).ok_or(TopologyError::Full(network))?,
            };
            let second = second_networks.get(index).map(|network| Prefix {
                network: *network,
                // As a host's: what is nobody's there has digits that are nobody's here.
                gateway: second_address(first.gateway, ROUTER_POSITION, *network),
            });
            subnets.push(Subnet { first, second });
            for (position, address) in names.into_iter().enumerate() {
                hosts.push(Host {
                    address,
                    second: second.map(|prefix| second_address(address, position + 1, prefix.network)),
                });
            }
        }
        let family = nodes.first().map_or(Family::Ipv4, |node| Family::of(*node));
        let admin = AdminLeg {
            first: admin_stand(family, is_free)?,
            second: match stack {
                Stack::Single => None,
                Stack::Dual => Some(admin_stand(other(family), is_free)?),
            },
        };
        Self::new(subnets, hosts, admin)
    }
}

/// The network that an address shares with its neighbours.
fn home(address: IpAddr) -> IpNet {
    match address {
        IpAddr::V4(address) => slash_24(address).into(),
        IpAddr::V6(address) => slash_64(address).into(),
    }
}

fn gateway(network: IpNet, nodes: &[IpAddr], taken: &[(IpAddr, IpAddr)]) -> Option<IpAddr> {
    // A /64 has more addresses than anybody takes one by one.
    let candidates = network.hosts().filter(|address| *address != network.network());
    candidates.take(MOST_CANDIDATES).find(|address| {
        !nodes.contains(address)
            && !taken
                .iter()
                .any(|(first, last)| (*first..=*last).contains(address))
    })
}

/// One network of the other family for each of the first.
fn second_networks(
    name: IpAddr,
    first: &[IpNet],
    is_free: impl Fn(IpNet) -> bool,
) -> Result<Vec<IpNet>, TopologyError> {
    let candidates: Vec<Vec<IpNet>> = match name {
        IpAddr::V4(_) => ULA_PREFIXES
            .iter()
            .map(|prefix| {
                first
                    .iter()
                    .map(|network| digits(*prefix, network.network()))
                    .collect()
            })
            .collect(),
        IpAddr::V6(_) => PRIVATE_BLOCKS
            .iter()
            .map(|block| {
                (0..first.len())
                    .map_while(|index| slash_22(*block, index))
                    .collect()
            })
            .collect(),
    };
    candidates
        .into_iter()
        .find(|networks| networks.len() == first.len() && networks.iter().all(|network| is_free(*network)))
        .ok_or_else(|| TopologyError::NoSecondPrefix(other(Family::of(name))))
}

/// The second address of a host, which is the `position`th of its subnet, the router being the one at [`ROUTER_POSITION`].
fn second_address(name: IpAddr, position: usize, network: IpNet) -> IpAddr {
    match name {
        IpAddr::V4(name) => nth(network, as_digits(name.octets()[3]).into()),
        IpAddr::V6(_) => nth(
            network,
            u32::try_from(position).unwrap_or(u32::MAX).saturating_add(1),
        ),
    }
}

/// `10.0.1.0` as `fd91:10:0:1::/64`.
fn digits(prefix: u16, network: IpAddr) -> IpNet {
    let IpAddr::V4(network) = network else {
        return network.into();
    };
    let [a, b, c, _] = network.octets().map(as_digits);
    slash_64(Ipv6Addr::new(prefix, a, b, c, 0, 0, 0, 0)).into()
}

/// The number that looks in hexadecimal as this one does in decimal.
fn as_digits(number: u8) -> u16 {
    let number = u16::from(number);
    (number / 100) << 8 | (number / 10 % 10) << 4 | (number % 10)
}

fn admin_stand(family: Family, is_free: impl Fn(IpNet) -> bool) -> Result<Stand, TopologyError> {
    let candidates: Vec<IpNet> = match family {
        Family::Ipv4 => ADMIN_NETWORKS
            .iter()
            .map(|octets| slash_24(Ipv4Addr::from(*octets)).into())
            .collect(),
        Family::Ipv6 => ADMIN_NETWORKS_6
            .iter()
            .map(|segments| slash_64(Ipv6Addr::from(*segments)).into())
            .collect(),
    };
    let network = candidates
        .into_iter()
        .find(|network| is_free(*network))
        .ok_or(TopologyError::NoAdminSubnet)?;
    Ok(Stand {
        network,
        gateway: nth(network, 1),
        address: nth(network, 2),
    })
}

fn touches(taken: &[(IpAddr, IpAddr)], network: IpNet) -> bool {
    taken
        .iter()
        .any(|(first, last)| *first <= network.broadcast() && network.network() <= *last)
}

fn nth(network: IpNet, number: u32) -> IpAddr {
    match network.network() {
        IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits().saturating_add(number)).into(),
        IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits().saturating_add(number.into())).into(),
    }
}

fn other(family: Family) -> Family {
    match family {
        Family::Ipv4 => Family::Ipv6,
        Family::Ipv6 => Family::Ipv4,
    }
}

fn slash_24(address: Ipv4Addr) -> Ipv4Net {
    Ipv4Net::new(address, 24)
        .expect("24 is a prefix length of IPv4")
        .trunc()
}

fn slash_64(address: Ipv6Addr) -> Ipv6Net {
    Ipv6Net::new(address, 64)
        .expect("64 is a prefix length of IPv6")
        .trunc()
}

/// The `index`th /22 of a /16: room for as many hosts as a bridge has ports.
fn slash_22([a, b]: [u8; 2], index: usize) -> Option<IpNet> {
    let third = u8::try_from(index.checked_mul(4)?).ok()?;
    let network = Ipv4Net::new(Ipv4Addr::new(a, b, third, 0), 22).expect("22 is a prefix length of IPv4");
    Some(network.into())
}

/// The router has the first address of a subnet that is made up.
const ROUTER_POSITION: usize = 0;
/// How many addresses of a network are looked at for the router's.
const MOST_CANDIDATES: usize = 4096;
/// Unique local prefixes (RFC 4193) for second addresses, in the order in which they are tried.
const ULA_PREFIXES: [u16; 3] = [0xfd91, 0xfd92, 0xfd93];
/// Private /16 blocks (RFC 1918) for second addresses of hosts that are named by IPv6 addresses.
const PRIVATE_BLOCKS: [[u8; 2]; 3] = [[172, 30], [172, 29], [172, 28]];
/// Where the admin workstation may stand: the documentation networks of RFC 5737, which no cluster uses in earnest, then
/// shared address space (RFC 6598) for files that were written with documentation addresses.
const ADMIN_NETWORKS: [[u8; 4]; 4] = [
    [198, 51, 100, 0],
    [203, 0, 113, 0],
    [192, 0, 2, 0],
    [100, 64, 255, 0],
];
/// The same for IPv6: documentation (RFC 3849, RFC 9637), then a unique local network.
const ADMIN_NETWORKS_6: [[u16; 8]; 3] = [
    [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0],
    [0x3fff, 0, 0, 0, 0, 0, 0, 0],
    [0xfd9f, 0, 0, 0, 0, 0, 0, 0],
];
