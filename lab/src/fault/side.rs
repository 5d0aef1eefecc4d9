//! The words of faults: sides of a path, transports, ways to refuse.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use plumbline_model::port::Family;
use serde::{Deserialize, Serialize, de};

use crate::Topology;

/// A transport with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

/// How a packet is refused. Each family has its own words (RFC 792 and RFC 1812 section 5.2.7.1; RFC 4443 section 3.1); where
/// one has none for it, packets of that family pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectWith {
    /// ICMP 3/13, what firewalld says (EHOSTUNREACH); ICMPv6 1/1 (EACCES).
    AdminProhibited,
    /// ICMP 3/10 (EHOSTUNREACH); ICMPv6 1/1.
    HostProhibited,
    /// ICMP 3/9 (ENETUNREACH); ICMPv6 1/1.
    NetProhibited,
    /// ICMP 3/1 (EHOSTUNREACH); ICMPv6 1/3, address unreachable (EHOSTUNREACH).
    HostUnreachable,
    /// ICMP 3/0 (ENETUNREACH); ICMPv6 1/0, no route (ENETUNREACH).
    NetUnreachable,
    /// ICMP 3/2 (ENOPROTOOPT); ICMPv6 has none of type 1.
    ProtocolUnreachable,
    /// ICMP 3/3, what iptables says by default; ICMPv6 1/4. ECONNREFUSED, like a closed port.
    PortUnreachable,
    /// ICMPv6 1/5, the source's address is against the policy (EACCES); ICMP has none.
    PolicyFail,
    /// ICMPv6 1/6, the route refuses (EACCES); ICMP has none.
    RejectRoute,
    /// A TCP RST. ECONNREFUSED.
    TcpReset,
}

impl RejectWith {
    /// The code of ICMP type 3 or ICMPv6 type 1; absent for a RST, and where the family has no such code.
    pub fn code(self, family: Family) -> Option<u8> {
        let (ipv4, ipv6) = match self {
            Self::NetUnreachable => (Some(0), Some(0)),
            Self::HostUnreachable => (Some(1), Some(3)),
            Self::ProtocolUnreachable => (Some(2), None),
            Self::PortUnreachable => (Some(3), Some(4)),
            Self::NetProhibited => (Some(9), Some(1)),
            Self::HostProhibited => (Some(10), Some(1)),
            Self::AdminProhibited => (Some(13), Some(1)),
            Self::PolicyFail => (None, Some(5)),
            Self::RejectRoute => (None, Some(6)),
            Self::TcpReset => (None, None),
        };
        match family {
            Family::Ipv4 => ipv4,
            Family::Ipv6 => ipv6,
        }
    }
}

/// What a bad route does with packets. The words in which a host's own programs hear of it are in brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadRoute {
    /// Swallows them (EINVAL).
    Blackhole,
    /// Refuses them with ICMP 3/13, ICMPv6 1/1 (EACCES).
    Prohibit,
    /// Refuses them with ICMP 3/1, ICMPv6 1/0 (EHOSTUNREACH).
    Unreachable,
    /// As though there were no route, not even a default one (ENETUNREACH).
    Missing,
}

/// One side of a path: an address, or a network in prefix notation.
///
/// The name of a host means all addresses of its first interface, and the network of its subnet's names means the subnet's
/// other prefix, too. Any other address or network means itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side(IpNet);

/// Text that is no side of a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read {0:?}: expected an IP address or a network such as 10.0.1.0/24")]
pub struct InvalidSide(String);

impl Side {
    /// The addresses as they were written.
    pub fn network(self) -> IpNet {
        self.0
    }

    /// The addresses in a topology: at most one network of each family.
    pub(crate) fn networks(self, topology: &Topology) -> Vec<IpNet> {
        let host = topology.host(self.0.addr()).filter(|_| is_one(self.0));
        if let Some(host) = host {
            return host.addresses().map(IpNet::from).collect();
        }
        let named = |subnet: &&crate::Subnet| subnet.first.network == self.0;
        match topology.subnets().iter().find(named) {
            Some(subnet) => subnet.prefixes().map(|prefix| prefix.network).collect(),
            None => vec![self.0],
        }
    }
}

impl From<IpAddr> for Side {
    fn from(address: IpAddr) -> Self {
        Self(address.into())
    }
}

impl From<IpNet> for Side {
    fn from(network: IpNet) -> Self {
        Self(network.trunc())
    }
}

impl FromStr for Side {
    type Err = InvalidSide;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(address.into());
        }
        match text.parse::<IpNet>() {
            // 10.0.0.7/24 is a host in a network, which one is meant cannot be known.
            Ok(network) if network == network.trunc() => Ok(Self(network)),
            _ => Err(InvalidSide(text.to_owned())),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_one(self.0) {
            self.0.addr().fmt(f)
        } else {
            self.0.fmt(f)
        }
    }
}

impl Serialize for Side {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Side {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// Whether a network is a single address.
fn is_one(network: IpNet) -> bool {
    network.prefix_len() == network.max_prefix_len()
}
