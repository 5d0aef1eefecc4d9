//! The policy file: what the owner of a host allows, in strict YAML. Everything is optional and narrows.
//!
//! ```yaml
//! networks: [10.200.0.0/16]     # peers may be tested only here
//! ports: 22,6443,30000-32767    # only these are opened here or tested there
//! max_rate: 100                 # connections a second of this node
//! max_rate_pair: 10             # connections a second to one peer
//! max_lease_s: 60               # how long work goes on without a word from the coordinator
//! max_duration_s: 600           # how long one assignment goes on at all
//! capture: false                # no packet is captured here
//! active: false                 # no VIP is taken here or asked for, and no tunnel made, whatever `--active` says
//! dial: false                   # nobody outside the roster is asked: sites, name servers, routers; true if `networks` is not
//!                               # there, else false
//! ```

use std::{
    fs::File,
    io::{self, Read as _},
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use plumbline_model::port::PortSet;
use serde::Deserialize;

use super::address;

/// What the owner of a host allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Networks whose addresses may be tested; `None` allows every member of the roster.
    networks: Option<Vec<IpNet>>,
    /// Ports that may be opened and tested; `None` allows every port.
    ports: Option<PortSet>,
    /// Connections a second of this node; `None` leaves it to the assignment.
    pub(super) max_rate: Option<NonZeroU32>,
    /// Connections a second to one peer; `None` leaves it to the assignment.
    pub(super) max_rate_pair: Option<NonZeroU32>,
    /// How long an assignment may go on without a word from the coordinator.
    pub(super) max_lease: Duration,
    /// How long an assignment may go on at all.
    pub(super) max_duration: Duration,
    /// Whether packets may be captured.
    pub(super) capture: bool,
    /// Whether what `--active` asks for may be done: VIPs taken and asked for, tunnels made.
    pub(super) active: bool,
    /// Whether others than members of the roster may be connected to: sites, name servers, routers.
    pub(super) dial: bool,
}

/// Why a policy file is not used. A probe does not start without the policy it was given.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It cannot be read.
    #[error("read the policy {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is larger than any policy.
    #[error("read the policy {}: it is larger than {MAX_POLICY_BYTES} octets", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is not a policy.
    #[error("read the policy {}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What and where, in the parser's words.
        message: String,
    },
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// If it cannot be read, or has anything in it that is not understood: what is not understood cannot be kept.
    pub fn load(path: &Path) -> Result<Self, PolicyError> {
        let read = |source| PolicyError::Read {
            path: path.to_owned(),
            source,
        };
        let mut text = String::new();
        let file = File::open(path).map_err(read)?;
        file.take(MAX_POLICY_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(read)?;
        if text.len() as u64 > MAX_POLICY_BYTES {
            return Err(PolicyError::TooLarge {
                path: path.to_owned(),
            });
        }
        Self::parse(&text).map_err(|message| PolicyError::Syntax {
            path: path.to_owned(),
            message,
        })
    }

    /// Reads a policy.
    ///
    /// # Errors
    /// What is wrong and where, in words, if anything in it is not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("it is empty; leave --policy out to allow what the roster allows".to_owned());
        }
        let written: Written = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        let seconds = |field: &str, written: Option<u32>, default: Duration| match written {
            Some(0) => Err(format!("{field} is 0, which allows nothing")),
            Some(seconds) => Ok(Duration::from_secs(seconds.into()).min(default)),
            None => Ok(default),
        };
        let rate = |field: &str, written: Option<u32>| match written {
            Some(rate) => NonZeroU32::new(rate)
                .map(Some)
                .ok_or_else(|| format!("{field} is 0, which allows nothing")),
            None => Ok(None),
        };
        Ok(Self {
            dial: written.dial.unwrap_or_else(|| written.networks.is_none()),
            networks: written.networks,
            ports: written.ports,
            max_rate: rate("max_rate", written.max_rate)?,
            max_rate_pair: rate("max_rate_pair", written.max_rate_pair)?,
            max_lease: seconds("max_lease_s", written.max_lease_s, MAX_LEASE)?,
            max_duration: seconds("max_duration_s", written.max_duration_s, MAX_DURATION)?,
            capture: written.capture.unwrap_or(true),
            active: written.active.unwrap_or(true),
        })
    }

    /// Whether a stranger at this address and port may be connected to: what a name leads to is held to the same as an address
    /// that was given. Loopback is nobody's but where the whole run is on loopback.
    pub fn allows(&self, to: SocketAddr, on_loopback: bool) -> bool {
        address::check(to.ip(), on_loopback).is_ok()
            && self.allows_network(to.ip())
            && self.allows_port(to.port())
    }

    /// Connections a second of this node; `None` leaves it to the assignment.
    pub fn max_rate(&self) -> Option<NonZeroU32> {
        self.max_rate
    }

    pub(super) fn allows_network(&self, address: IpAddr) -> bool {
        self.networks
            .as_ref()
            .is_none_or(|networks| networks.iter().any(|network| network.contains(&address)))
    }

    pub(super) fn allows_port(&self, port: u16) -> bool {
        self.ports.as_ref().is_none_or(|allowed| allowed.contains(port))
    }

    pub(super) fn allowed_ports(&self, ports: &PortSet) -> PortSet {
        self.ports
            .as_ref()
            .map_or_else(|| ports.clone(), |allowed| ports.intersection(allowed))
    }
}

impl Default for Policy {
    /// Without a file: roster members only, any port, the assignment's own rates, an hour without a word.
    fn default() -> Self {
        Self {
            networks: None,
            ports: None,
            max_rate: None,
            max_rate_pair: None,
            max_lease: MAX_LEASE,
            max_duration: MAX_DURATION,
            capture: true,
            active: true,
            dial: true,
        }
    }
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    networks: Option<Vec<IpNet>>,
    ports: Option<PortSet>,
    max_rate: Option<u32>,
    max_rate_pair: Option<u32>,
    max_lease_s: Option<u32>,
    max_duration_s: Option<u32>,
    capture: Option<bool>,
    active: Option<bool>,
    dial: Option<bool>,
}

/// A page of policy has a few hundred octets.
const MAX_POLICY_BYTES: u64 = 64 * 1024;

/// Work that nobody has asked after for an hour is abandoned work, whatever was agreed.
const MAX_LEASE: Duration = Duration::from_secs(3600);

/// One assignment is minutes; a day is a coordinator that forgot.
const MAX_DURATION: Duration = Duration::from_secs(24 * 3600);
