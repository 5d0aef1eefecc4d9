//! What can be wrong in a network, by name: scenario files and `demo` say which, [`crate::Lab::apply`] does it.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use ipnet::Ipv4Net;
use plumbline_model::{id::NodeId, port::PortSet};
use serde::{Deserialize, Serialize, de};

mod filter;
mod impostor;
mod plant;
#[cfg(test)]
mod tests;

pub(crate) use plant::Planted;
pub use plant::{FaultError, FaultId};

/// A fault. In a file: `{fault: host_drop, host: 10.0.0.2, ports: "10250,30000-32767"}`.
///
/// Where a fault names traffic, `ports` are those at the destination of the connection, `transport` is TCP unless given, and
/// without either all traffic is meant, whatever its protocol (the probe's own control connection included).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The host's packet filter swallows questions.
    HostDrop {
        /// Which host.
        host: NodeId,
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
        /// Only of this transport.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transport: Option<Transport>,
        /// Only to these ports.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ports: Option<PortSet>,
    },
    /// The router has a bad route.
    RouterRoute {
        /// To where.
        to: Side,
        /// What it does.
        with: BadRoute,
    },
    /// Another program listens on a port of the host.
    PortTaken {
        /// Which host.
        host: NodeId,
        /// The TCP port.
        port: u16,
    },
    /// A middlebox (the router) answers connections from other subnets in the host's place, with something else.
    WrongResponder {
        /// Which host.
        host: NodeId,
        /// The TCP ports.
        ports: PortSet,
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

/// A transport with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// How a packet is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectWith {
    /// ICMP 3/13: what firewalld says. The asker's connect ends with EHOSTUNREACH.
    AdminProhibited,
    /// ICMP 3/10. EHOSTUNREACH.
    HostProhibited,
    /// ICMP 3/9. ENETUNREACH.
    NetProhibited,
    /// ICMP 3/1. EHOSTUNREACH.
    HostUnreachable,
    /// ICMP 3/3: what iptables says by default. ECONNREFUSED, like a closed port.
    PortUnreachable,
    /// A TCP RST. ECONNREFUSED.
    TcpReset,
}

/// What a bad route does with packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadRoute {
    /// Swallows them.
    Blackhole,
    /// Refuses them with ICMP 3/13.
    Prohibit,
    /// Refuses them with ICMP 3/1.
    Unreachable,
}

/// One side of a path: a host's address, or a network in prefix notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side(Ipv4Net);

/// Text that is no side of a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read {0:?}: expected an IPv4 address or a network such as 10.0.1.0/24")]
pub struct InvalidSide(String);

impl Side {
    /// The addresses.
    pub fn network(self) -> Ipv4Net {
        self.0
    }
}

impl From<Ipv4Addr> for Side {
    fn from(address: Ipv4Addr) -> Self {
        Self(address.into())
    }
}

impl From<Ipv4Net> for Side {
    fn from(network: Ipv4Net) -> Self {
        Self(network.trunc())
    }
}

impl FromStr for Side {
    type Err = InvalidSide;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(address.into());
        }
        match text.parse::<Ipv4Net>() {
            // 10.0.0.7/24 is a host in a network, which one is meant cannot be known.
            Ok(network) if network == network.trunc() => Ok(Self(network)),
            _ => Err(InvalidSide(text.to_owned())),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == 32 {
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
