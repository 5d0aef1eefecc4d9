//! Port tables as data: which role must be reachable by whom on which port, by version.
//!
//! # The file
//!
//! One YAML document, read strictly: an unknown field or word is refused with its place. Optional fields are marked `?`.
//! docs/profiles.md is the guide to write one.
//!
//! ```text
//! schema: plumbline/profile/v1
//! id, title: text
//! aliases?: [text]                other names by which it is found
//! sources: [text]                 where the tables come from, with dates or revisions
//! versions?: ["1.28", ...]        ascending; the first stands for everything older; absent: the tables stand for every version
//! extends?: [PROFILE]             their rules apply, too, and their options and variables are known here
//! replaces?: [rule id]            rules of those that do not apply
//! composes?:                      what an inventory may compose in (`with:`), the network plugins
//!   - PROFILE
//!   - profile: PROFILE
//!     sets?: {option: value}      defaults, of either profile's options, once it is composed in
//! role_names?: {control_plane: server, worker: agent}     the distribution's own words
//! options?:                       what an inventory can set under `options:`
//!   name:
//!     title: text
//!     values: [word, ...]         or `kind: bool`
//!     default: word
//! variables?: {name: port}        ports that an inventory can set under `variables:`, with the document's value
//! overlay?:                       what encapsulation takes from the MTU
//!   source: text
//!   octets: {name: number}
//! notes?: [text]                  what else the document says, for people
//! stand_ins?:                     who takes a source's place in some clusters
//!   - source: SOURCE
//!     when?: CONDITION
//!     by: [SOURCE]
//!     why: text
//! external?:                     servers outside the site that nodes need, which speak TLS
//!   - host: text                  `{region}` stands for the region of the cluster's registration; left out where it has none
//!     port?: number               443 unless written
//!     from?: [SOURCE]             cluster_nodes, admin_workstation; cluster_nodes unless written
//!     since?, until?, when?, severity?     as of rules
//!     purpose: text
//! rules:
//!   - id: text                    unique among the profiles of a run
//!     to: DESTINATION             control_plane, load_balancer, worker, any_node, added_cluster_node, added_cluster_vip, external
//!     protocol: tcp | udp | tcp+udp | icmp | ip:N         tcp+udp is two rules of one id
//!     ports: [22, 30000-32767, $variable]     only of tcp and udp, and always there
//!     from: [SOURCE]              see [`Source`]
//!     scope?: remote | self_node | loopback   remote unless written
//!     through_services?: true | false         false unless written; tcp and udp rules of scope remote only
//!     direction?: inbound | both | outbound   inbound unless written
//!     severity?: info | warn | fail           fail unless written; a rule of no table, or unverified, can only warn
//!     since?, until?: "1.29"      first and last version with this rule
//!     when?: CONDITION            see [`Condition`]
//!     table?: true | false        whether it stands in a table of the document; true unless written
//!     verified?: true | false     whether the cited revision was seen to say it; true unless written
//!     used_by: text               the document's own word; only rules of a table have it
//!     reading?: text              why `from` is what it is
//!     purpose: text
//!     cited: [text]
//! ```
//!
//! # A run's profiles
//!
//! ```text
//! inventory ── profile, with ──► texts_for ──► texts ──► all ──► profiles ──► check_options(inventory) ──► Plan
//!              added files ──────────┘                    └─ composed in: options set; extended: rules replaced
//! ```

mod condition;
mod external;
mod library;
mod lint;
mod options;
mod read;
mod source;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub(crate) use self::library::{find, names};
pub use self::{
    condition::{Condition, InvalidCondition},
    external::ExternalSite,
    library::{BUILTIN, UnknownProfile, all, builtin, texts_for, texts_of},
    lint::lint,
    options::{Choice, Kind, Misfit, Setting, check_options},
    read::{read, read_among},
    source::{InvalidSourceName, Source, SourceName},
    table::{Row, VersionStanding},
};

use crate::{
    id::{NodeId, Role},
    inventory::Inventory,
    port::{PortRange, PortSet, Protocol},
    version::Minor,
};

/// Where a rule's traffic must arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// Nodes of the control plane.
    ControlPlane,
    /// Load balancer nodes.
    LoadBalancer,
    /// Workers.
    Worker,
    /// Every node.
    AnyNode,
    /// Nodes of a cluster that an admin cluster manages (the multi-cluster table).
    AddedClusterNode,
    /// The control plane VIP of such a cluster (the multi-cluster table).
    AddedClusterVip,
    /// Outside the cluster: BGP peers, DNS, NTP, the internet.
    External,
    /// Nodes that a rule lists one by one ([`Rule::listed`]); only declared rules do.
    ListedNodes,
}

impl Destination {
    /// Whether every node of a role is meant.
    pub fn includes(self, role: Role) -> bool {
        self == Self::AnyNode || self.role() == Some(role)
    }

    /// The role whose nodes are meant, if it is one role.
    pub fn role(self) -> Option<Role> {
        match self {
            Self::ControlPlane => Some(Role::ControlPlane),
            Self::LoadBalancer => Some(Role::LoadBalancer),
            Self::Worker => Some(Role::Worker),
            Self::AnyNode
            | Self::AddedClusterNode
            | Self::AddedClusterVip
            | Self::External
            | Self::ListedNodes => None,
        }
    }
}

/// How far a port must be reachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// From its sources, over the network.
    Remote,
    /// Only from the node itself; no expectation about remote, and never a hole in a firewall.
    SelfNode,
    /// Only over loopback; it must not answer remotely.
    Loopback,
}

/// What a failing rule does to the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Noted.
    Info,
    /// Warns; all that a rule which is inferred rather than written may do.
    Warn,
    /// Fails.
    Fail,
}

/// The document's direction column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Toward the node (the Japanese tables say インバウンド).
    Inbound,
    /// Both ways (両方).
    Both,
    /// Not in the tables; supplementary rules toward the outside.
    Outbound,
}

/// A port of a rule: a range, or a variable of the cluster file with its default.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PortSpec {
    /// Fixed ports.
    Range(PortRange),
    /// `$name`, with the port that stands in the document.
    Variable {
        /// The name without the dollar sign.
        name: String,
        /// The port in the document.
        default: u16,
    },
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Stable id, for example `lb.haproxy-metrics`.
    pub id: String,
    /// Where the traffic must arrive.
    pub destination: Destination,
    /// The nodes of [`Destination::ListedNodes`]; empty for any other destination.
    pub listed: BTreeSet<NodeId>,
    /// Transport.
    pub protocol: Protocol,
    /// Ports; empty for protocols without any.
    pub ports: Vec<PortSpec>,
    /// Senders in our reading.
    pub sources: BTreeSet<Source>,
    /// How far it must be reachable.
    pub scope: Scope,
    /// Whether its ports are served by Services where they exist and by nobody elsewhere (the NodePort range): on a live
    /// node only those that a Service uses are tested.
    pub through_services: bool,
    /// The document's direction column.
    pub direction: Direction,
    /// First minor version with this rule.
    pub since: Option<Minor>,
    /// Last minor version with this rule.
    pub until: Option<Minor>,
    /// The condition on the cluster under which it applies; absent means always.
    pub when: Option<Condition>,
    /// What a failure does to the verdict.
    pub severity: Severity,
    /// The document's own "used by", verbatim; absent for rules that are in no table.
    pub doc_used_by: Option<String>,
    /// Why we read "used by" as these sources, where the document does not say it.
    pub reading: Option<String>,
    /// The document's purpose.
    pub purpose: String,
    /// Citations: table of a source.
    pub cited: Vec<String>,
    /// Whether the rule stands in a table of the document; others are supplementary or inferred.
    pub in_document: bool,
    /// Whether the cited revision of the document was seen to say it; others can only warn.
    pub verified: bool,
}

/// A port table set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Profile {
    /// Name, for example `gdc-bare-metal`.
    pub id: String,
    /// What it is.
    pub title: String,
    /// Other names by which it is found.
    pub aliases: Vec<String>,
    /// Sources with dates.
    pub sources: Vec<String>,
    /// The minor versions that exist, ascending. The first stands for everything older, too. Empty if the tables stand for
    /// every version.
    pub versions: Vec<Minor>,
    /// Profiles whose rules apply, too.
    pub extends: Vec<String>,
    /// Ids of their rules that do not.
    pub replaces: Vec<String>,
    /// Profiles that a cluster may compose in: network plugins.
    pub composes: Vec<Composition>,
    /// The distribution's own words for roles.
    pub role_names: BTreeMap<Role, String>,
    /// What a cluster can set, by name.
    pub options: BTreeMap<String, Choice>,
    /// Ports that a cluster can set, by name, with the document's value.
    pub variables: BTreeMap<String, u16>,
    /// What encapsulation takes from the MTU.
    pub overlay: Option<Overlay>,
    /// What else the document says, for people.
    pub notes: Vec<String>,
    /// Who stands for sources that are not part of every kind of cluster.
    pub stand_ins: Vec<StandIn>,
    /// Servers outside the site that installation and operation need.
    pub external: Vec<ExternalSite>,
    /// The rules, in the document's order.
    pub rules: Vec<Rule>,
}

/// A profile that may be composed into another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composition {
    /// Its id or alias.
    pub profile: String,
    /// Defaults, of options of either profile, once it is composed in.
    pub sets: BTreeMap<String, String>,
}

/// What encapsulation takes from the MTU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// Where the numbers come from.
    pub source: String,
    /// Octets of a packet, by the name of the encapsulation.
    pub octets: BTreeMap<String, u16>,
}

/// Others that take a source's place in some clusters, for example the control plane in place of an admin cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandIn {
    /// The source whose place is taken.
    pub source: Source,
    /// In which clusters; absent means in all.
    pub when: Option<Condition>,
    /// Who takes it.
    pub by: BTreeSet<Source>,
    /// Why.
    pub why: String,
}

impl Profile {
    /// Whether this is its id or another name of it.
    pub fn is_called(&self, name: &str) -> bool {
        self.id == name || self.aliases.iter().any(|alias| alias == name)
    }

    /// What the distribution calls a role, if it has a word of its own.
    pub fn name_of(&self, role: Role) -> Option<&str> {
        self.role_names.get(&role).map(String::as_str)
    }

    /// Who stands for a source in this cluster; the source itself if nobody takes its place.
    pub fn standing_for(&self, source: Source, inventory: &Inventory) -> BTreeSet<Source> {
        self.stand_ins
            .iter()
            .find(|stand_in| {
                stand_in.source == source
                    && stand_in
                        .when
                        .as_ref()
                        .is_none_or(|when| when.holds_for(inventory))
            })
            .map_or_else(|| BTreeSet::from([source]), |stand_in| stand_in.by.clone())
    }
}

impl Rule {
    /// Whether the rule exists in this version.
    pub fn applies_to(&self, version: Minor) -> bool {
        self.since.is_none_or(|since| since <= version) && self.until.is_none_or(|until| version <= until)
    }

    /// Whether the rule's condition holds for this cluster.
    pub fn holds_for(&self, inventory: &Inventory) -> bool {
        self.when.as_ref().is_none_or(|when| when.holds_for(inventory))
    }

    /// The rule's ports in this cluster, variables filled in.
    pub fn ports_in(&self, inventory: &Inventory) -> PortSet {
        let mut ports = PortSet::new();
        for spec in &self.ports {
            match spec {
                PortSpec::Range(range) => ports.insert(*range),
                PortSpec::Variable { name, default } => {
                    ports.insert_port(variable(name, inventory).unwrap_or(*default));
                }
            }
        }
        ports
    }
}

/// The value of a profile's variable in this cluster; `None` if its file does not set it.
fn variable(name: &str, inventory: &Inventory) -> Option<u16> {
    inventory.variables.get(name).copied()
}

#[cfg(test)]
mod tests;
