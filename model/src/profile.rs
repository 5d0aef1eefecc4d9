//! Port tables as data: which role must be reachable by whom on which port, by version.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    id::Role,
    inventory::Inventory,
    port::{PortRange, Protocol},
    source::{Refused, SourceText},
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
}

impl Destination {
    /// The role whose nodes are meant, if it is one role.
    pub fn role(self) -> Option<Role> {
        match self {
            Self::ControlPlane => Some(Role::ControlPlane),
            Self::LoadBalancer => Some(Role::LoadBalancer),
            Self::Worker => Some(Role::Worker),
            Self::AnyNode | Self::AddedClusterNode | Self::AddedClusterVip | Self::External => None,
        }
    }
}

/// Who sends a rule's traffic, in our reading of the document's "used by".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The machine that runs `bmctl`: the coordinator stands there.
    AdminWorkstation,
    /// Nodes of the admin cluster; without `--admin-cluster` there is no vantage.
    AdminClusterNodes,
    /// Control plane nodes of this cluster.
    ControlPlane,
    /// Load balancer nodes of this cluster.
    LoadBalancer,
    /// Workers of this cluster.
    Worker,
    /// Every node of this cluster.
    ClusterNodes,
    /// "All": every node and the coordinator; other clients are declared by the user.
    AnyClient,
    /// The node itself, over any of its addresses.
    SelfNode,
    /// The node itself, over the loopback interface.
    Loopback,
    /// Floating IPs of a NetworkGatewayGroup.
    FloatingIp,
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
    /// インバウンド.
    Inbound,
    /// 両方.
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
    /// Transport.
    pub protocol: Protocol,
    /// Ports; empty for protocols without any.
    pub ports: Vec<PortSpec>,
    /// Senders in our reading.
    pub sources: BTreeSet<Source>,
    /// How far it must be reachable.
    pub scope: Scope,
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
}

/// A conjunction of simple facts about a cluster, as a rule's `when` writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The text as written.
    pub text: String,
}

/// A port table set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Name, for example `gdc-bare-metal`.
    pub id: String,
    /// What it is.
    pub title: String,
    /// Sources with dates.
    pub sources: Vec<String>,
    /// The minor versions that exist, ascending. The first stands for everything older, too.
    pub versions: Vec<Minor>,
    /// The rules, in the document's order.
    pub rules: Vec<Rule>,
}

/// One element of `plumbline profiles show -o json`: a row of a table (one for each range of a row of several).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The rule's id.
    pub id: String,
    /// Where the traffic must arrive.
    pub role: Destination,
    /// Transport.
    pub protocol: Protocol,
    /// Lowest port.
    pub first_port: u16,
    /// Highest port.
    pub last_port: u16,
    /// The document's direction column.
    pub direction: Direction,
    /// The document's "used by".
    pub doc_used_by: String,
    /// Our reading of it.
    pub sources: Vec<Source>,
    /// How far it must be reachable.
    pub scope: Scope,
    /// The document's purpose.
    pub purpose: String,
    /// Citations.
    pub cited: Vec<String>,
}

/// Whether a version has tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionStanding {
    /// It is one of the known versions, or older than the oldest (whose tables then count).
    Known,
    /// Newer than the newest known version: the newest tables are used, with a warning.
    NewerThan(Minor),
    /// It never existed (1.17 to 1.27 of GDC): the nearest versions below and above.
    NeverExisted {
        /// The last version before the gap.
        below: Minor,
        /// The first version after the gap.
        above: Minor,
    },
}

/// Names of the profiles that come with Plumbline.
pub const BUILTIN: [&str; 1] = ["gdc-bare-metal"];

/// The text of a profile that comes with Plumbline.
pub fn builtin(name: &str) -> Option<SourceText> {
    let _ = name;
    unimplemented!("owned by the inputs step")
}

/// Reads a profile.
///
/// # Errors
/// Every complaint at once, with line, column and the nearest valid word.
pub fn read(source: &SourceText) -> Result<Profile, Refused> {
    let _ = source;
    unimplemented!("owned by the inputs step")
}

impl Profile {
    /// The document's rows for a version, all roles or one. Exactly the rows of the tables: supplementary rules are not
    /// rows.
    pub fn rows(&self, version: Minor, role: Option<Role>) -> Vec<Row> {
        let _ = (version, role);
        unimplemented!("owned by the inputs step")
    }

    /// Whether this version has tables.
    pub fn standing(&self, version: Minor) -> VersionStanding {
        let _ = version;
        unimplemented!("owned by the inputs step")
    }
}

impl Rule {
    /// Whether the rule exists in this version.
    pub fn applies_to(&self, version: Minor) -> bool {
        self.since.is_none_or(|since| since <= version) && self.until.is_none_or(|until| version <= until)
    }

    /// Whether the rule's condition holds for this cluster.
    pub fn holds_for(&self, inventory: &Inventory) -> bool {
        let _ = inventory;
        unimplemented!("owned by the inputs step")
    }
}
