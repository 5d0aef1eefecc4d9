//! A rule's `when`: a conjunction of simple facts about a cluster.
//!
//! ```text
//! condition = term *( " && " term )
//! term      = [ "!" ] fact | name " == " word
//! ```

use std::str::FromStr;

use crate::{
    id::Role,
    inventory::{ClusterType, Inventory, LoadBalancerMode, LoadBalancerType},
};

/// A conjunction of simple facts about a cluster, as a rule's `when` writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The text as written.
    pub text: String,
    terms: Vec<Term>,
}

/// Text that is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read the term {term:?} of a condition: valid are {}", valid_terms())]
pub struct InvalidCondition {
    /// The term that cannot be read.
    pub term: String,
}

impl Condition {
    /// Whether every term holds for this cluster.
    pub fn holds_for(&self, inventory: &Inventory) -> bool {
        self.terms
            .iter()
            .all(|term| term.fact.holds_for(inventory) != term.negated)
    }
}

impl FromStr for Condition {
    type Err = InvalidCondition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let term = |text: &str| -> Result<Term, InvalidCondition> {
            let (negated, word) = match text.strip_prefix('!') {
                Some(word) => (true, word),
                None => (false, text),
            };
            let fact = FACTS.iter().find(|(name, _)| *name == word);
            let (_, fact) = fact.ok_or_else(|| InvalidCondition {
                term: text.to_owned(),
            })?;
            Ok(Term { negated, fact: *fact })
        };
        let terms = text.split(" && ").map(term).collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.to_owned(),
            terms,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Term {
    negated: bool,
    fact: Fact,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fact {
    Mode(LoadBalancerMode),
    Type(LoadBalancerType),
    /// Several control plane nodes.
    HighlyAvailable,
    /// Some load balancer is no control plane node.
    DedicatedLoadBalancers,
    NodeAgent,
    /// An admin cluster creates and updates this one.
    ManagedByAdminCluster,
}

impl Fact {
    fn holds_for(self, inventory: &Inventory) -> bool {
        let has = |node: &&crate::inventory::Node, role: Role| node.roles.contains(&role);
        match self {
            Self::Mode(mode) => inventory.load_balancer_mode == mode,
            Self::Type(kind) => {
                // Without bundled load balancers nothing announces VIPs, whatever the type says.
                inventory.load_balancer_mode == LoadBalancerMode::Bundled
                    && inventory.load_balancer_type == kind
            }
            Self::HighlyAvailable => inventory
                .nodes
                .iter()
                .filter(|node| has(node, Role::ControlPlane))
                .nth(1)
                .is_some(),
            Self::DedicatedLoadBalancers => {
                let is_dedicated = |node| has(&node, Role::LoadBalancer) && !has(&node, Role::ControlPlane);
                inventory.nodes.iter().any(is_dedicated)
            }
            Self::NodeAgent => inventory.node_agent,
            Self::ManagedByAdminCluster => inventory.cluster_type == Some(ClusterType::User),
        }
    }
}

fn valid_terms() -> String {
    FACTS
        .iter()
        .map(|(name, _)| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

const FACTS: [(&str, Fact); 8] = [
    ("lb_mode == bundled", Fact::Mode(LoadBalancerMode::Bundled)),
    ("lb_mode == manual", Fact::Mode(LoadBalancerMode::Manual)),
    ("lb_type == layer2", Fact::Type(LoadBalancerType::Layer2)),
    ("lb_type == bgp", Fact::Type(LoadBalancerType::Bgp)),
    ("cp_ha", Fact::HighlyAvailable),
    ("lb_dedicated", Fact::DedicatedLoadBalancers),
    ("node_agent", Fact::NodeAgent),
    ("managed_by_admin_cluster", Fact::ManagedByAdminCluster),
];
