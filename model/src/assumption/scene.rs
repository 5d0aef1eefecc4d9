//! What rules look at.

use crate::{
    errand,
    evidence::Group,
    id::NodeId,
    inventory::Inventory,
    ledger::{Ledger, NodeLog, Told},
    observation::{FirewallSettings, HostFacts, HostSettings, UndoneWhy},
    plan::Plan,
    profile::Profile,
    report::Finding,
    verdict::PairVerdict,
};

use super::Lack;

/// The evidence of a run with what it was planned from.
pub(crate) struct Scene<'a> {
    pub(crate) inventory: &'a Inventory,
    pub(crate) profiles: &'a [Profile],
    /// Without those who are left out.
    pub(crate) plan: &'a Plan,
    pub(crate) ledger: &'a Ledger<'a>,
    /// What came of the port matrix.
    pub(crate) pairs: &'a [PairVerdict],
    /// What the checks over the files found.
    pub(crate) configured: &'a [Finding],
}

impl<'a> Scene<'a> {
    /// Whether a group was selected.
    pub(crate) fn asks_for(&self, group: Group) -> bool {
        self.ledger.run.parameters.groups.contains(&group)
    }

    /// The nodes of the cluster that take part, ascending.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        let known = |node: &NodeId| self.inventory.node(*node).is_some();
        self.plan.participants.iter().copied().filter(known)
    }

    /// What a node's probe testifies.
    ///
    /// # Errors
    /// If it is gone.
    pub(crate) fn log(&self, node: NodeId) -> Result<&NodeLog<'a>, Lack> {
        self.ledger
            .node(node)
            .filter(|_| !self.ledger.is_gone(node))
            .ok_or(Lack::ProbeGone(node))
    }

    /// The last facts of a node. What it told stays true of the host when its probe is gone.
    ///
    /// # Errors
    /// If it told none.
    pub(crate) fn facts(&self, node: NodeId) -> Result<Told<&'a HostFacts>, Lack> {
        self.told(node, |log| log.facts)
    }

    /// How a node is set up.
    ///
    /// # Errors
    /// If it told nothing of it.
    pub(crate) fn host(&self, node: NodeId) -> Result<Told<&'a HostSettings>, Lack> {
        self.told(node, |log| log.host)
    }

    /// How the managers of a node's packet filter are set up.
    ///
    /// # Errors
    /// If it told nothing of it.
    pub(crate) fn firewalls(&self, node: NodeId) -> Result<Told<&'a FirewallSettings>, Lack> {
        self.told(node, |log| log.firewalls)
    }

    fn told<T>(&self, node: NodeId, what: impl Fn(&NodeLog<'a>) -> Option<T>) -> Result<T, Lack> {
        let told = self.ledger.node(node).and_then(what);
        told.ok_or_else(|| self.log(node).err().unwrap_or_else(|| untold(node)))
    }

    /// Why an errand of a node has nothing to show; `None` if nothing is known against it.
    pub(crate) fn undone(&self, node: NodeId, errand: errand::Kind) -> Option<Lack> {
        let log = match self.log(node) {
            Ok(log) => log,
            Err(lack) => return Some(lack),
        };
        Some(match log.undone.get(&errand)?.what {
            UndoneWhy::Policy => {
                Lack::Other(Some(node), "the node's local policy does not allow it".to_owned())
            }
            UndoneWhy::Live => Lack::LiveNode,
            UndoneWhy::Capability { name } => Lack::Capability(node, capability(name)),
            UndoneWhy::Failed { reason } => Lack::Other(Some(node), reason.clone()),
        })
    }

    /// A command as it is typed at the admin workstation, for a node ([`Inventory::ssh`]).
    pub(crate) fn ssh(&self, node: NodeId, command: &str) -> String {
        self.inventory.ssh(node, command)
    }

    /// A node for a person: its address with its name, if it has one.
    pub(crate) fn name(&self, node: NodeId) -> String {
        let known = self.inventory.node(node).and_then(|node| node.name.as_deref());
        let told = || {
            let facts = self.ledger.node(node)?.facts?.what;
            Some(facts.hostname.as_str()).filter(|hostname| !hostname.is_empty())
        };
        let address = match node {
            NodeId::Coordinator => "the coordinator".to_owned(),
            NodeId::Address(address) => address.to_string(),
        };
        match known.or_else(told) {
            Some(name) if name != address => format!("{address} ({name})"),
            _ => address,
        }
    }
}

/// The capabilities that an errand may lack, by name.
fn capability(name: &str) -> &'static str {
    match name {
        "CAP_NET_RAW" => "CAP_NET_RAW",
        "CAP_NET_ADMIN" => "CAP_NET_ADMIN",
        "CAP_NET_BIND_SERVICE" => "CAP_NET_BIND_SERVICE",
        "CAP_SYS_ADMIN" => "CAP_SYS_ADMIN",
        _ => "a privilege",
    }
}

fn untold(node: NodeId) -> Lack {
    Lack::Other(Some(node), "the probe told nothing of it".to_owned())
}
