//! Which hosts there are and how they hang together. Pure data; [`crate::Lab`] builds it.
//!
//! Every host has one address that is its name, in the topology's first family, and may have one of the other family on the
//! same interface. Further networks give chosen hosts further interfaces, on switches of their own.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use plumbline_model::port::Family;
use serde::{Deserialize, Serialize};

mod layout;
#[cfg(test)]
mod tests;

pub use layout::Stack;

/// A network of hosts, one router between their subnets, and the admin workstation behind the same router.
///
/// Every value of this type has been checked: networks do not overlap, every host is in exactly one subnet, no address is
/// used twice, and all names are of one family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct Topology {
    subnets: Vec<Subnet>,
    hosts: Vec<Host>,
    further: Vec<FurtherNetwork>,
    admin: AdminLeg,
}

/// A prefix with the router's address in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prefix {
    /// The prefix.
    pub network: IpNet,
    /// The router's address.
    pub gateway: IpAddr,
}

/// One layer 2 domain with the router's leg in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subnet {
    /// The prefix of its hosts' names.
    pub first: Prefix,
    /// The prefix of the other family, if it is dual-stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<Prefix>,
}

/// A host; its first interface is in the subnet of its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Its address, which is also its name.
    pub address: IpAddr,
    /// Its address of the other family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<IpAddr>,
}

/// A switch of its own for further interfaces of chosen hosts: a storage network, for example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FurtherNetwork {
    /// Its prefix, of either family.
    pub network: IpNet,
    /// The router's address in it; absent where the router has no leg in it. Nobody has a default route over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Which hosts have an interface on it, and their addresses there.
    pub hosts: BTreeMap<IpAddr, IpAddr>,
}

/// Where the admin workstation stands: a subnet of its own with nothing else in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminLeg {
    /// Of the same family as the hosts' names.
    pub first: Stand,
    /// Of the other family, if any subnet is dual-stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<Stand>,
}

/// An address with its prefix and router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stand {
    /// The prefix.
    pub network: IpNet,
    /// The router's address in it.
    pub gateway: IpAddr,
    /// The address.
    pub address: IpAddr,
}

/// Why there is no such network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// Nothing to build.
    #[error("lay out the lab: it has no hosts")]
    NoHosts,
    /// Names of both families.
    #[error(
        "lay out the lab: {0} and {1} are of different families, and the lab's hosts are named by addresses of one"
    )]
    TwoFamilies(IpAddr, IpAddr),
    /// Two addresses of one family on one interface.
    #[error("lay out the lab: {first} and {second} are of one family, and a subnet has one prefix of each")]
    OneFamily {
        /// The prefix that names its hosts.
        first: IpNet,
        /// The one that should be of the other family.
        second: IpNet,
    },
    /// Two things want one address.
    #[error("lay out the lab: {0} is used twice")]
    AddressTwice(IpAddr),
    /// Two networks share addresses.
    #[error("lay out the lab: networks {0} and {1} overlap")]
    Overlap(IpNet, IpNet),
    /// A host that no subnet holds.
    #[error("lay out the lab: {0} is in none of the subnets")]
    Homeless(IpAddr),
    /// A further interface of a host that is not there.
    #[error("lay out the lab: {network} should have an interface of {host}, which is no host")]
    NoSuchHost {
        /// The further network.
        network: IpNet,
        /// Whose interface.
        host: IpAddr,
    },
    /// An address that no host can have.
    #[error("lay out the lab: {address} is not a host address of {network}")]
    NotAHostAddress {
        /// The address.
        address: IpAddr,
        /// The network that it should be in.
        network: IpNet,
    },
    /// No address is left for the router.
    #[error("lay out the lab: every address of {0} is taken, none is left for the gateway")]
    Full(IpNet),
    /// A Linux bridge has 1024 ports.
    #[error("lay out the lab: {hosts} hosts in {network}, but a bridge takes {MOST_HOSTS_A_SUBNET}")]
    TooManyHosts {
        /// The network.
        network: IpNet,
        /// How many it should hold.
        hosts: usize,
    },
    /// Every candidate for the admin workstation's subnet collides.
    #[error("lay out the lab: no free subnet for the admin workstation")]
    NoAdminSubnet,
    /// Every candidate for the other family's prefixes collides.
    #[error("lay out the lab: no free prefixes of {0} for a dual-stack lab")]
    NoSecondPrefix(Family),
}

impl Topology {
    /// A network from its parts.
    ///
    /// # Errors
    /// If they contradict each other.
    pub fn new(
        mut subnets: Vec<Subnet>,
        mut hosts: Vec<Host>,
        admin: AdminLeg,
    ) -> Result<Self, TopologyError> {
        subnets.sort_by_key(|subnet| subnet.first.network);
        hosts.sort_by_key(|host| host.address);
        let topology = Self {
            subnets,
            hosts,
            further: Vec::new(),
            admin,
        };
        topology.check()?;
        Ok(topology)
    }

    /// The same with a further network.
    ///
    /// # Errors
    /// If it contradicts what is there.
    pub fn with_further(mut self, network: FurtherNetwork) -> Result<Self, TopologyError> {
        self.further.push(network);
        self.check()?;
        Ok(self)
    }

    /// The subnets, ascending.
    pub fn subnets(&self) -> &[Subnet] {
        &self.subnets
    }

    /// The hosts, ascending by address.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The further networks, in the order in which they were added. A host's interface in the first that it is in is its
    /// second interface, and so on.
    pub fn further(&self) -> &[FurtherNetwork] {
        &self.further
    }

    /// Where the admin workstation stands.
    pub fn admin(&self) -> AdminLeg {
        self.admin
    }

    /// The host of a name.
    pub fn host(&self, name: IpAddr) -> Option<&Host> {
        self.hosts
            .binary_search_by_key(&name, |host| host.address)
            .ok()
            .map(|index| &self.hosts[index])
    }

    /// The subnet that holds an address of either family.
    pub fn subnet_of(&self, address: IpAddr) -> Option<&Subnet> {
        self.subnets
            .iter()
            .find(|subnet| subnet.prefixes().any(|prefix| prefix.network.contains(&address)))
    }

    /// The hosts of a subnet, ascending.
    pub fn hosts_of(&self, subnet: &Subnet) -> impl Iterator<Item = &Host> {
        let network = subnet.first.network;
        self.hosts
            .iter()
            .filter(move |host| network.contains(&host.address))
    }

    /// Whether any address is of this family.
    pub fn speaks(&self, family: Family) -> bool {
        let networks = self.subnets.iter().flat_map(Subnet::prefixes);
        networks
            .map(|prefix| prefix.network)
            .chain(self.further.iter().map(|further| further.network))
            .any(|network| Family::of(network.addr()) == family)
    }

    fn check(&self) -> Result<(), TopologyError> {
        let Some(first) = self.hosts.first() else {
            return Err(TopologyError::NoHosts);
        };
        let family = Family::of(first.address);
        if let Some(other) = self.hosts.iter().find(|host| Family::of(host.address) != family) {
            return Err(TopologyError::TwoFamilies(first.address, other.address));
        }
        self.check_networks()?;
        let mut used = Vec::new();
        for stand in self.admin.stands() {
            used.extend([(stand.address, stand.network), (stand.gateway, stand.network)]);
        }
        for subnet in &self.subnets {
            used.extend(subnet.prefixes().map(|prefix| (prefix.gateway, prefix.network)));
            check_count(subnet.first.network, self.hosts_of(subnet).count())?;
        }
        for host in &self.hosts {
            let homeless = || TopologyError::Homeless(host.address);
            let subnet = self.subnet_of(host.address).ok_or_else(homeless)?;
            used.push((host.address, subnet.first.network));
            if let Some(second) = host.second {
                let prefix = subnet.second.ok_or(TopologyError::Homeless(second))?;
                used.push((second, prefix.network));
            }
        }
        for further in &self.further {
            used.extend(further.gateway.map(|gateway| (gateway, further.network)));
            check_count(further.network, further.hosts.len())?;
            for (host, address) in &further.hosts {
                if self.host(*host).is_none() {
                    return Err(TopologyError::NoSuchHost {
                        network: further.network,
                        host: *host,
                    });
                }
                used.push((*address, further.network));
            }
        }
        for (address, network) in &used {
            check_host_address(*address, *network)?;
        }
        used.sort_unstable();
        match used.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(TopologyError::AddressTwice(pair[0].0)),
            None => Ok(()),
        }
    }

    fn check_networks(&self) -> Result<(), TopologyError> {
        let pairs = self.subnets.iter().map(|subnet| {
            let network = |prefix: Prefix| prefix.network;
            (network(subnet.first), subnet.second.map(network))
        });
        let admin = (
            self.admin.first.network,
            self.admin.second.map(|stand| stand.network),
        );
        let mut networks: Vec<IpNet> = self.further.iter().map(|further| further.network).collect();
        for (first, second) in pairs.chain([admin]) {
            networks.push(first);
            if let Some(second) = second {
                if Family::of(first.addr()) == Family::of(second.addr()) {
                    return Err(TopologyError::OneFamily { first, second });
                }
                networks.push(second);
            }
        }
        networks.sort();
        // Sorted by first address, so networks overlap only if neighbours do.
        match networks.windows(2).find(|pair| overlap(pair[0], pair[1])) {
            Some(pair) => Err(TopologyError::Overlap(pair[0], pair[1])),
            None => Ok(()),
        }
    }
}

impl Subnet {
    /// Its prefixes: one, or one of each family.
    pub fn prefixes(&self) -> impl Iterator<Item = Prefix> + use<> {
        [Some(self.first), self.second].into_iter().flatten()
    }

    /// Its prefix of a family.
    pub fn prefix(&self, family: Family) -> Option<Prefix> {
        self.prefixes()
            .find(|prefix| Family::of(prefix.gateway) == family)
    }
}

impl Host {
    /// The addresses of its first interface: one, or one of each family.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        [Some(self.address), self.second].into_iter().flatten()
    }

    /// The address of a family on its first interface.
    pub fn address_of(&self, family: Family) -> Option<IpAddr> {
        self.addresses().find(|address| Family::of(*address) == family)
    }
}

impl AdminLeg {
    /// Its addresses: one, or one of each family.
    pub fn stands(&self) -> impl Iterator<Item = Stand> + use<> {
        [Some(self.first), self.second].into_iter().flatten()
    }
}

fn overlap(one: IpNet, other: IpNet) -> bool {
    one.contains(&other) || other.contains(&one)
}

fn check_count(network: IpNet, hosts: usize) -> Result<(), TopologyError> {
    if hosts > MOST_HOSTS_A_SUBNET {
        Err(TopologyError::TooManyHosts { network, hosts })
    } else {
        Ok(())
    }
}

fn check_host_address(address: IpAddr, network: IpNet) -> Result<(), TopologyError> {
    // IPv6 has no broadcast address, but the first one is every router's (RFC 4291 section 2.6.1).
    let special = match network {
        IpNet::V4(network) if network.prefix_len() < 31 => {
            address == network.network() || address == network.broadcast()
        }
        IpNet::V6(network) if network.prefix_len() < 127 => address == network.network(),
        IpNet::V4(_) | IpNet::V6(_) => false,
    };
    if network.contains(&address) && !special {
        Ok(())
    } else {
        Err(TopologyError::NotAHostAddress { address, network })
    }
}

/// What serde reads and writes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    subnets: Vec<Subnet>,
    hosts: Vec<Host>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    further: Vec<FurtherNetwork>,
    admin: AdminLeg,
}

impl TryFrom<Unchecked> for Topology {
    type Error = TopologyError;

    fn try_from(unchecked: Unchecked) -> Result<Self, Self::Error> {
        let topology = Self::new(unchecked.subnets, unchecked.hosts, unchecked.admin)?;
        unchecked
            .further
            .into_iter()
            .try_fold(topology, Self::with_further)
    }
}

impl From<Topology> for Unchecked {
    fn from(topology: Topology) -> Self {
        Self {
            subnets: topology.subnets,
            hosts: topology.hosts,
            further: topology.further,
            admin: topology.admin,
        }
    }
}

/// A Linux bridge has 1024 ports; the router takes one, and the rest is left for what a fault plugs in.
const MOST_HOSTS_A_SUBNET: usize = 1000;
