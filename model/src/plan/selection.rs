//! Who takes part, by `--nodes` and `--exclude`.

use std::collections::BTreeSet;

use crate::{evidence::Parameters, id::NodeId, inventory::Inventory};

/// `--nodes` chooses among the cluster's nodes if it names any of them, and among the vantages if it names any of these;
/// whoever is not chosen among takes part until `--exclude` names it, as the admin workstation always does.
#[derive(Debug, Clone)]
pub struct Selection {
    nodes: BTreeSet<NodeId>,
    vantages: BTreeSet<NodeId>,
    excluded: BTreeSet<NodeId>,
    every_vantage: BTreeSet<NodeId>,
}

impl Selection {
    /// The selection of a run.
    pub fn new(inventory: &Inventory, parameters: &Parameters) -> Self {
        let every_vantage: BTreeSet<NodeId> = inventory.vantages.iter().map(|vantage| vantage.id).collect();
        let named = |is_vantage: bool| {
            let ids = parameters.nodes.iter().copied();
            ids.filter(|id| every_vantage.contains(id) == is_vantage)
                .collect()
        };
        Self {
            nodes: named(false),
            vantages: named(true),
            excluded: parameters.exclude.iter().copied().collect(),
            every_vantage,
        }
    }

    /// Whether a node, a vantage or the admin workstation takes part.
    pub fn has(&self, id: NodeId) -> bool {
        if self.excluded.contains(&id) {
            return false;
        }
        let chosen = match id {
            NodeId::Coordinator => return true,
            _ if self.every_vantage.contains(&id) => &self.vantages,
            NodeId::Address(_) => &self.nodes,
        };
        chosen.is_empty() || chosen.contains(&id)
    }
}
