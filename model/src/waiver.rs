//! Waivers: findings that somebody answers for until a date. A waived finding stays in the report, is counted apart, and does
//! not shape the verdict. What was not measured stays not measured, whoever answers for it (docs/waivers.md).

mod read;
#[cfg(test)]
mod tests;

use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use self::read::{SCHEMA, read};
use crate::port::{InvalidPorts, InvalidProtocol, PortSet, Protocol};

/// One waiver of a waivers file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// The check's stable id, for example `PORT-001`.
    pub check: String,
    /// Which of its findings: see [`Selector`].
    pub selector: Selector,
    /// Who answers for it.
    pub owner: String,
    /// Why it is accepted.
    pub reason: String,
    /// The last day on which it counts, `YYYY-MM-DD` (UTC).
    pub expires: String,
    /// The line of the waivers file, from 1.
    pub line: u32,
}

/// Which findings of a check a waiver is about. Everything that is given must match; what is absent matches anything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// The cause's kind, as report.json words it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The node to touch, or either side of a cause between nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// `PORT/PROTOCOL`, a range allowed: every test under the finding is within it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<String>,
    /// The input that the finding is about, by its name or the last parts of its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line of that input, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// Ports of one transport, as a selector writes them: `11000/tcp`, `22,30000-32767/tcp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    /// Which ports.
    pub ports: PortSet,
    /// Of which transport.
    pub protocol: Protocol,
}

/// Ports of a selector that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSelectedPorts {
    /// Nothing separates ports and protocol.
    #[error("read ports {0:?}: expected PORTS/PROTOCOL")]
    Syntax(String),
    /// The ports.
    #[error(transparent)]
    Ports(#[from] InvalidPorts),
    /// The protocol.
    #[error(transparent)]
    Protocol(#[from] InvalidProtocol),
}

impl FromStr for Ports {
    type Err = InvalidSelectedPorts;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (ports, protocol) = text
            .split_once('/')
            .ok_or_else(|| InvalidSelectedPorts::Syntax(text.to_owned()))?;
        let ports: PortSet = ports.parse()?;
        if ports.is_empty() {
            return Err(InvalidSelectedPorts::Syntax(text.to_owned()));
        }
        Ok(Self {
            ports,
            protocol: protocol.parse()?,
        })
    }
}
