//! How the managers of a host's packet filter are set up: what is on disk, and who runs. The rules that are in force are the
//! kernel's, and are read as [`crate::firewall::Ruleset`].

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::port::{PortSet, Protocol};

/// What the files and processes of a host tell about its packet filter's managers. Absent is "not there or not readable",
/// never "switched off".
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirewallSettings {
    /// Managers that are installed, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managers: Vec<InstalledManager>,
    /// firewalld's configuration, if it runs in this network namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firewalld: Option<Firewalld>,
    /// When the agent of Cilium began that runs here, in clock ticks since the boot (proc(5), `starttime`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cilium_agent_started_ticks: Option<u64>,
    /// Files that let firewalld reload or start again without anybody asking: cron tables, dispatchers; ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reloaders: Vec<String>,
    /// Files that could not be read or understood, with the reason: nothing is concluded from what they may say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
}

/// A manager of packet filters by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirewallManager {
    /// firewalld.
    Firewalld,
    /// Rules that iptables-services, netfilter-persistent and their like load.
    Iptables,
    /// A ruleset that `nftables.service` loads.
    Nftables,
    /// Ubuntu's ufw.
    Ufw,
}

/// A manager that is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstalledManager {
    /// Which.
    pub manager: FirewallManager,
    /// Whether the system starts it at boot: its unit is wanted by a target, or for ufw `ENABLED=yes`.
    pub is_enabled: bool,
}

/// A file of which nothing is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unread {
    /// Its path.
    pub path: String,
    /// Why, as the end of "failed to ...".
    pub why: String,
    /// Whether the probe lacks the right to read it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_denied: bool,
}

/// firewalld's permanent configuration: what it loads when it starts or reloads (firewalld.conf(5), firewalld.zone(5),
/// firewalld.policy(5)).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firewalld {
    /// When it began, in clock ticks since the boot, if `/proc` tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ticks: Option<u64>,
    /// `DefaultZone`.
    pub default_zone: String,
    /// `FirewallBackend`.
    pub backend: Backend,
    /// `FlushAllOnReload`.
    pub flushes_all_on_reload: bool,
    /// Whether `direct.xml` holds rules, chains or passthroughs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_direct_rules: bool,
    /// Zones, ascending by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<Zone>,
    /// Policies, ascending by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Policy>,
}

/// With what firewalld filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// `nftables`, the default since 0.6.
    #[default]
    Nftables,
    /// `iptables`.
    Iptables,
}

/// What becomes of packets of a zone that nothing in it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A zone's default: rejected, ICMP accepted.
    #[default]
    Default,
    /// Accepted.
    Accept,
    /// Rejected (`%%REJECT%%`).
    Reject,
    /// Dropped.
    Drop,
    /// A policy's default: the next one decides.
    Continue,
}

/// What is opened.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    /// TCP ports, those of services among them.
    #[serde(default, skip_serializing_if = "PortSet::is_empty")]
    pub tcp: PortSet,
    /// UDP ports, those of services among them.
    #[serde(default, skip_serializing_if = "PortSet::is_empty")]
    pub udp: PortSet,
    /// IP protocols by name or number, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protocols: Vec<String>,
}

impl Opened {
    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The ports of a transport; none of others.
    pub fn ports(&self, protocol: Protocol) -> PortSet {
        match protocol {
            Protocol::Tcp => self.tcp.clone(),
            Protocol::Udp => self.udp.clone(),
            Protocol::Icmp | Protocol::Ip(_) => PortSet::new(),
        }
    }

    /// Adds what another opens.
    pub fn extend(&mut self, other: &Self) {
        self.tcp.extend(&other.tcp);
        self.udp.extend(&other.udp);
        self.protocols.extend(other.protocols.iter().cloned());
        self.protocols.sort();
        self.protocols.dedup();
    }
}

/// A zone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// Its target.
    pub target: Target,
    /// Its interfaces. NetworkManager may bind others, and what is bound to no zone is in the default one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,
    /// Its sources that are addresses or ranges; a single address is a range of one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<IpNet>,
    /// What it opens whoever asks.
    #[serde(default, skip_serializing_if = "Opened::is_empty")]
    pub opened: Opened,
    /// Ports that rich rules name, or services with a destination of their own: open for some packets, perhaps.
    #[serde(default, skip_serializing_if = "Opened::is_empty")]
    pub sometimes: Opened,
    /// Whether a rich rule names no port, so that any may be meant.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_rules_for_any_port: bool,
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Its target.
    pub target: Target,
    /// Zones of what comes in, `ANY` and `HOST` among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ingress: Vec<String>,
    /// Zones of what goes out, `ANY` and `HOST` among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<String>,
    /// What it opens.
    #[serde(default, skip_serializing_if = "Opened::is_empty")]
    pub opened: Opened,
    /// As [`Zone::sometimes`].
    #[serde(default, skip_serializing_if = "Opened::is_empty")]
    pub sometimes: Opened,
    /// As [`Zone::has_rules_for_any_port`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_rules_for_any_port: bool,
}

impl Firewalld {
    /// A zone of this name.
    pub fn zone(&self, name: &str) -> Option<&Zone> {
        self.zones.iter().find(|zone| zone.name == name)
    }

    /// The zone in which the files put packets from an address by an interface: a zone with such a source, else one with the
    /// interface, else the default one.
    pub fn zone_of(&self, interface: &str, source: IpAddr) -> Option<&Zone> {
        let by_source = |zone: &&Zone| zone.sources.iter().any(|range| range.contains(&source));
        let by_interface = |zone: &&Zone| zone.interfaces.iter().any(|own| own == interface);
        self.zones
            .iter()
            .find(by_source)
            .or_else(|| self.zones.iter().find(by_interface))
            .or_else(|| self.zone(&self.default_zone))
    }
}
