//! Which hosts there are and how they hang together. Pure data; [`crate::Lab`] builds it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// A network of hosts, one router between their subnets, and the admin workstation behind the same router.
///
/// Every value of this type has been checked: subnets do not overlap, every host is in exactly one, no address is used twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct Topology {
    subnets: Vec<Subnet>,
    hosts: Vec<Host>,
    admin: AdminLeg,
}

/// One layer 2 domain with the router's leg in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subnet {
    /// Its prefix.
    pub network: Ipv4Net,
    /// The router's address in it.
    pub gateway: Ipv4Addr,
}

/// A host with one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Its address, which is also its name.
    pub address: Ipv4Addr,
}

/// Where the admin workstation stands: a subnet of its own with nothing else in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminLeg {
    /// Its prefix.
    pub network: Ipv4Net,
    /// The router's address in it.
    pub gateway: Ipv4Addr,
    /// The workstation's address.
    pub address: Ipv4Addr,
}

/// Why there is no such network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// Nothing to build.
    #[error("lay out the lab: it has no hosts")]
    NoHosts,
    /// The lab's hosts speak IPv4.
    #[error("lay out the lab: {0} is not an IPv4 address, and the lab builds IPv4 hosts only")]
    NotIpv4(IpAddr),
    /// Two things want one address.
    #[error("lay out the lab: {0} is used twice")]
    AddressTwice(Ipv4Addr),
    /// Two subnets share addresses.
    #[error("lay out the lab: subnets {0} and {1} overlap")]
    Overlap(Ipv4Net, Ipv4Net),
    /// A host that no subnet holds.
    #[error("lay out the lab: {0} is in none of the subnets")]
    Homeless(Ipv4Addr),
    /// An address that no host can have.
    #[error("lay out the lab: {address} is not a host address of {network}")]
    NotAHostAddress {
        /// The address.
        address: Ipv4Addr,
        /// The subnet that it should be in.
        network: Ipv4Net,
    },
    /// No address is left for the router.
    #[error("lay out the lab: every address of {0} is taken, none is left for the gateway")]
    Full(Ipv4Net),
    /// A Linux bridge has 1024 ports.
    #[error("lay out the lab: {hosts} hosts in {network}, but a bridge takes {MOST_HOSTS_A_SUBNET}")]
    TooManyHosts {
        /// The subnet.
        network: Ipv4Net,
        /// How many it should hold.
        hosts: usize,
    },
    /// Every candidate for the admin workstation's subnet collides.
    #[error("lay out the lab: no free subnet for the admin workstation")]
    NoAdminSubnet,
}

impl Topology {
    /// The network that a cluster file implies: addresses of one /24 share a subnet, and a router stands between them.
    ///
    /// `taken` are inclusive ranges that are somebody's without being hosts: VIPs, address pools. The gateway is the first
    /// address of the /24 that is neither a node's nor taken, which is `.1` in most files.
    ///
    /// # Errors
    /// If the addresses do not make a network.
    pub fn from_addresses(nodes: &[IpAddr], taken: &[(IpAddr, IpAddr)]) -> Result<Self, TopologyError> {
        let mut by_network: BTreeMap<Ipv4Net, Vec<Ipv4Addr>> = BTreeMap::new();
        for node in nodes {
            let IpAddr::V4(address) = *node else {
                return Err(TopologyError::NotIpv4(*node));
            };
            by_network.entry(slash_24(address)).or_default().push(address);
        }
        let mut subnets = Vec::new();
        for (network, hosts) in &by_network {
            let is_free = |address: &Ipv4Addr| {
                let address = IpAddr::V4(*address);
                !nodes.contains(&address)
                    && !taken
                        .iter()
                        .any(|(first, last)| (*first..=*last).contains(&address))
            };
            let gateway = network
                .hosts()
                .find(is_free)
                .ok_or(TopologyError::Full(*network))?;
            debug_assert!(!hosts.contains(&gateway));
            subnets.push(Subnet {
                network: *network,
                gateway,
            });
        }
        let in_use = |network: &Ipv4Net| {
            by_network.contains_key(network)
                || taken.iter().any(|(first, last)| {
                    *first <= IpAddr::V4(network.broadcast()) && IpAddr::V4(network.network()) <= *last
                })
        };
        let network = ADMIN_NETWORKS
            .iter()
            .map(|octets| slash_24(Ipv4Addr::from(*octets)))
            .find(|network| !in_use(network))
            .ok_or(TopologyError::NoAdminSubnet)?;
        let hosts = by_network
            .into_values()
            .flatten()
            .map(|address| Host { address })
            .collect();
        Self::new(subnets, hosts, admin_leg(network))
    }

    /// A network from its parts.
    ///
    /// # Errors
    /// If they contradict each other.
    pub fn new(
        mut subnets: Vec<Subnet>,
        mut hosts: Vec<Host>,
        admin: AdminLeg,
    ) -> Result<Self, TopologyError> {
        subnets.sort_by_key(|subnet| subnet.network);
        hosts.sort_by_key(|host| host.address);
        let topology = Self {
            subnets,
            hosts,
            admin,
        };
        topology.check()?;
        Ok(topology)
    }

    /// The subnets, ascending.
    pub fn subnets(&self) -> &[Subnet] {
        &self.subnets
    }

    /// The hosts, ascending by address.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Where the admin workstation stands.
    pub fn admin(&self) -> AdminLeg {
        self.admin
    }

    /// The subnet that holds an address.
    pub fn subnet_of(&self, address: Ipv4Addr) -> Option<&Subnet> {
        self.subnets
            .iter()
            .find(|subnet| subnet.network.contains(&address))
    }

    /// The hosts of a subnet, ascending.
    pub fn hosts_of(&self, subnet: &Subnet) -> impl Iterator<Item = &Host> {
        let network = subnet.network;
        self.hosts
            .iter()
            .filter(move |host| network.contains(&host.address))
    }

    fn check(&self) -> Result<(), TopologyError> {
        if self.hosts.is_empty() {
            return Err(TopologyError::NoHosts);
        }
        let mut networks: Vec<Ipv4Net> = self.subnets.iter().map(|subnet| subnet.network).collect();
        networks.push(self.admin.network);
        networks.sort();
        // Sorted by first address, so networks overlap only if neighbours do.
        if let Some(pair) = networks
            .windows(2)
            .find(|pair| pair[0].broadcast() >= pair[1].network())
        {
            return Err(TopologyError::Overlap(pair[0], pair[1]));
        }
        let mut used: Vec<Ipv4Addr> = vec![self.admin.address, self.admin.gateway];
        for (address, network) in [
            (self.admin.address, self.admin.network),
            (self.admin.gateway, self.admin.network),
        ] {
            check_host_address(address, network)?;
        }
        for subnet in &self.subnets {
            check_host_address(subnet.gateway, subnet.network)?;
            used.push(subnet.gateway);
            let hosts = self.hosts_of(subnet).count();
            if hosts > MOST_HOSTS_A_SUBNET {
                return Err(TopologyError::TooManyHosts {
                    network: subnet.network,
                    hosts,
                });
            }
        }
        for host in &self.hosts {
            let subnet = self
                .subnet_of(host.address)
                .ok_or(TopologyError::Homeless(host.address))?;
            check_host_address(host.address, subnet.network)?;
            used.push(host.address);
        }
        used.sort_unstable();
        match used.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(TopologyError::AddressTwice(pair[0])),
            None => Ok(()),
        }
    }
}

fn check_host_address(address: Ipv4Addr, network: Ipv4Net) -> Result<(), TopologyError> {
    let special =
        network.prefix_len() < 31 && (address == network.network() || address == network.broadcast());
    if network.contains(&address) && !special {
        Ok(())
    } else {
        Err(TopologyError::NotAHostAddress { address, network })
    }
}

fn slash_24(address: Ipv4Addr) -> Ipv4Net {
    Ipv4Net::new(address, 24)
        .expect("24 is a prefix length of IPv4")
        .trunc()
}

fn admin_leg(network: Ipv4Net) -> AdminLeg {
    let first = network.network().to_bits() + 1;
    AdminLeg {
        network,
        gateway: Ipv4Addr::from_bits(first),
        address: Ipv4Addr::from_bits(first + 1),
    }
}

/// What serde reads and writes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    subnets: Vec<Subnet>,
    hosts: Vec<Host>,
    admin: AdminLeg,
}

impl TryFrom<Unchecked> for Topology {
    type Error = TopologyError;

    fn try_from(
        Unchecked {
            subnets,
            hosts,
            admin,
        }: Unchecked,
    ) -> Result<Self, Self::Error> {
        Self::new(subnets, hosts, admin)
    }
}

impl From<Topology> for Unchecked {
    fn from(
        Topology {
            subnets,
            hosts,
            admin,
        }: Topology,
    ) -> Self {
        Self {
            subnets,
            hosts,
            admin,
        }
    }
}

/// A Linux bridge has 1024 ports; the router takes one, and the rest is left for what a fault plugs in.
const MOST_HOSTS_A_SUBNET: usize = 1000;
/// Where the admin workstation may stand: the documentation networks of RFC 5737, which no cluster uses in earnest, then
/// shared address space (RFC 6598) for files that were written with documentation addresses.
const ADMIN_NETWORKS: [[u8; 4]; 4] = [
    [198, 51, 100, 0],
    [203, 0, 113, 0],
    [192, 0, 2, 0],
    [100, 64, 255, 0],
];
