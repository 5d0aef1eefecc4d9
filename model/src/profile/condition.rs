//! A rule's `when`: a conjunction of simple facts about a cluster.
//!
//! ```text
//! condition = term *( " && " term )
//! term      = [ "!" ] fact
//! fact      = built-in fact | option of kind bool | option " == " value
//! built-in  = "cp_ha" | "lb_dedicated" | "lb_mode == bundled" | ...    what the inventory itself tells
//! ```
//!
//! Options are those that the profile declares, or one that it extends. A cluster that does not set an option has its default.

use std::{collections::BTreeMap, str::FromStr};

use super::options::{Choice, Kind, TRUE};
use crate::{
    id::Role,
    inventory::{ClusterType, Inventory, LoadBalancerMode, LoadBalancerType},
    port::Family,
    source::nearest,
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
#[error("read the term {term:?} of a condition: {hint}")]
pub struct InvalidCondition {
    /// The term that cannot be read.
    pub term: String,
    /// The nearest valid term, if one is near, and all that are valid.
    pub hint: String,
}

impl Condition {
    /// Reads a condition over the built-in facts and these options.
    ///
    /// # Errors
    /// If a term is no fact, no option or no value of its option.
    pub fn read(text: &str, options: &BTreeMap<String, Choice>) -> Result<Self, InvalidCondition> {
        let term = |written: &str| -> Result<Term, InvalidCondition> {
            let (negated, word) = match written.strip_prefix('!') {
                Some(word) => (true, word),
                None => (false, written),
            };
            let fact = built_in(word).or_else(|| of_option(word, options));
            fact.map(|fact| Term { negated, fact })
                .ok_or_else(|| InvalidCondition {
                    term: written.to_owned(),
                    hint: hint(word, options),
                })
        };
        let terms = text.split(" && ").map(term).collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.to_owned(),
            terms,
        })
    }

    /// Whether every term holds for this cluster.
    pub fn holds_for(&self, inventory: &Inventory) -> bool {
        self.terms
            .iter()
            .all(|term| term.fact.holds_for(inventory) != term.negated)
    }

    /// Whether no cluster can satisfy it: a fact that must hold and must not, or two values of one thing.
    pub fn contradicts_itself(&self) -> bool {
        self.terms
            .iter()
            .enumerate()
            .any(|(index, term)| self.terms[..index].iter().any(|other| term.excludes(other)))
    }

    /// The options that it asks for.
    pub(super) fn options(&self) -> impl Iterator<Item = &str> {
        self.terms.iter().filter_map(|term| match &term.fact {
            Fact::Option { name, .. } => Some(name.as_str()),
            _ => None,
        })
    }

    /// Gives an option another default.
    pub(super) fn set_default(&mut self, option: &str, value: &str) {
        for term in &mut self.terms {
            if let Fact::Option { name, default, .. } = &mut term.fact
                && name == option
            {
                value.clone_into(default);
            }
        }
    }
}

impl FromStr for Condition {
    type Err = InvalidCondition;

    /// Reads a condition over the built-in facts alone.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::read(text, &BTreeMap::new())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    negated: bool,
    fact: Fact,
}

impl Term {
    fn excludes(&self, other: &Self) -> bool {
        if self.fact == other.fact {
            return self.negated != other.negated;
        }
        let both_hold = !self.negated && !other.negated;
        both_hold
            && match (&self.fact, &other.fact) {
                (Fact::Mode(a), Fact::Mode(b)) => a != b,
                (Fact::Type(a), Fact::Type(b)) => a != b,
                (Fact::Type(_), Fact::Mode(mode)) | (Fact::Mode(mode), Fact::Type(_)) => {
                    *mode == LoadBalancerMode::Manual
                }
                (Fact::Option { name: a, .. }, Fact::Option { name: b, .. }) => a == b,
                _ => false,
            }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Both address families.
    DualStack,
    /// A region of its own registers the cluster.
    Region,
    /// Nodes are given the vendor's package repository.
    PackageRepository,
    /// Registry mirrors take the place of the vendor's registry.
    RegistryMirrors,
    /// Nodes speak IPv6 to each other, alone or besides IPv4.
    Ipv6,
    /// An option has a value.
    Option {
        name: String,
        value: String,
        default: String,
    },
}

impl Fact {
    fn holds_for(&self, inventory: &Inventory) -> bool {
        let has = |node: &&crate::inventory::Node, role: Role| node.roles.contains(&role);
        match self {
            Self::Mode(mode) => inventory.load_balancer_mode == *mode,
            Self::Type(kind) => {
                // Without bundled load balancers nothing announces VIPs, whatever the type says.
                inventory.load_balancer_mode == LoadBalancerMode::Bundled
                    && inventory.load_balancer_type == *kind
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
            Self::DualStack => inventory.is_dual_stack(),
            Self::Region => inventory.outward.gke_connect_region.is_some(),
            Self::PackageRepository => inventory.outward.adds_package_repository,
            Self::RegistryMirrors => !inventory.outward.mirrors.is_empty(),
            Self::Ipv6 => inventory.families().contains(&Family::Ipv6),
            Self::Option { name, value, default } => inventory.options.get(name).unwrap_or(default) == value,
        }
    }
}

fn built_in(word: &str) -> Option<Fact> {
    let (_, fact) = FACTS.iter().find(|(name, _)| *name == word)?;
    Some(fact.clone())
}

fn of_option(word: &str, options: &BTreeMap<String, Choice>) -> Option<Fact> {
    let (name, value) = word.split_once(" == ").unwrap_or((word, TRUE));
    let option = options.get(name)?;
    // A truth value is asked for by its name alone.
    let is_written_right = word.contains(" == ") == (option.kind == Kind::Word);
    (is_written_right && option.takes(value)).then(|| Fact::Option {
        name: name.to_owned(),
        value: value.to_owned(),
        default: option.default.clone(),
    })
}

fn hint(word: &str, options: &BTreeMap<String, Choice>) -> String {
    let of_options = options.iter().flat_map(|(name, option)| match option.kind {
        Kind::Bool => vec![name.clone()],
        Kind::Word => option
            .values
            .iter()
            .map(|value| format!("{name} == {value}"))
            .collect(),
    });
    let terms: Vec<String> = FACTS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .chain(of_options)
        .collect();
    let near = nearest(word, terms.iter().map(String::as_str));
    let near = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    let all: Vec<String> = terms.iter().map(|term| format!("`{term}`")).collect();
    format!("{near}valid are {}", all.join(", "))
}

/// Whether a name is taken by a built-in fact, so that no option can have it.
pub(super) fn is_built_in(name: &str) -> bool {
    FACTS
        .iter()
        .any(|(fact, _)| fact.split(" == ").next() == Some(name))
}

const FACTS: [(&str, Fact); 13] = [
    ("lb_mode == bundled", Fact::Mode(LoadBalancerMode::Bundled)),
    ("lb_mode == manual", Fact::Mode(LoadBalancerMode::Manual)),
    ("lb_type == layer2", Fact::Type(LoadBalancerType::Layer2)),
    ("lb_type == bgp", Fact::Type(LoadBalancerType::Bgp)),
    ("cp_ha", Fact::HighlyAvailable),
    ("lb_dedicated", Fact::DedicatedLoadBalancers),
    ("node_agent", Fact::NodeAgent),
    ("managed_by_admin_cluster", Fact::ManagedByAdminCluster),
    ("dual_stack", Fact::DualStack),
    ("ipv6", Fact::Ipv6),
    ("region", Fact::Region),
    ("package_repository", Fact::PackageRepository),
    ("registry_mirrors", Fact::RegistryMirrors),
];
