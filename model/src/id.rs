//! Who is who: runs, nodes, roles.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize, de};

/// A participant of a run.
///
/// A node's id is its data address as the cluster file gives it (`k8sIP` if set, else `address`). The machine that runs
/// the coordinator takes part as a vantage of its own, the admin workstation, and is called `coordinator`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeId {
    /// A node of the cluster, by its data address.
    Address(IpAddr),
    /// The admin workstation: a source of tests, never a destination.
    Coordinator,
}

/// Text that is neither an address nor `coordinator`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read node id {0:?}: neither an IP address nor `coordinator`")]
pub struct InvalidNodeId(pub String);

impl NodeId {
    /// The data address, absent for the admin workstation.
    pub fn address(self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(address),
            Self::Coordinator => None,
        }
    }
}

impl From<IpAddr> for NodeId {
    fn from(address: IpAddr) -> Self {
        Self::Address(address)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // `pad` keeps `{:<15}` working in tables.
            Self::Address(address) => f.pad(&address.to_string()),
            Self::Coordinator => f.pad("coordinator"),
        }
    }
}

impl FromStr for NodeId {
    type Err = InvalidNodeId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "coordinator" {
            return Ok(Self::Coordinator);
        }
        text.parse()
            .map(Self::Address)
            .map_err(|_| InvalidNodeId(text.to_owned()))
    }
}

impl Serialize for NodeId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// One audit: 16 lower-case hexadecimal digits, drawn at random by the coordinator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RunId(String);

/// Text that is not 16 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read run id {0:?}: not 16 lower-case hexadecimal digits")]
pub struct InvalidRunId(pub String);

impl RunId {
    /// The id made of eight random bytes.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The eight bytes that [`Self::from_bytes`] takes.
    pub fn to_bytes(&self) -> [u8; 8] {
        // 16 hexadecimal digits by construction.
        u64::from_str_radix(&self.0, 16)
            .expect("a run id is 16 hexadecimal digits")
            .to_be_bytes()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for RunId {
    type Err = InvalidRunId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidRunId(text.to_owned()))
        }
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// What a node is for. Roles are sets: a node may hold several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the Kubernetes control plane.
    ControlPlane,
    /// Carries the VIPs (bundled load balancing).
    LoadBalancer,
    /// Runs workloads.
    Worker,
}

impl Role {
    /// Every role, in the order of the document's tables.
    pub const ALL: [Self; 3] = [Self::ControlPlane, Self::LoadBalancer, Self::Worker];

    /// The name used in files and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ControlPlane => "control_plane",
            Self::LoadBalancer => "load_balancer",
            Self::Worker => "worker",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
