//! CFG-018: the port at the control plane VIP is not one that the nodes which carry the VIP have for something else.

use std::collections::BTreeSet;

use crate::{
    id::Role,
    inventory::{Inventory, LoadBalancerMode},
    port::Protocol,
    profile::{Destination, PortSpec, Profile, Rule},
    report::check,
    source::Gravity,
};

use super::Asked;

pub(super) fn own(asked: &mut Asked<'_>, inventory: &Inventory, profiles: &[Profile]) {
    let Some(port) = asked.layout.control_plane_port.clone() else {
        return;
    };
    let roles = roles_of_carriers(inventory);
    if roles.is_empty() || inventory.load_balancer_mode != LoadBalancerMode::Bundled {
        return;
    }
    let is_theirs = |rule: &&Rule| {
        rule.protocol == Protocol::Tcp
            && rule.applies_to(inventory.version.minor())
            && rule.holds_for(inventory)
            // Every node serves NodePorts, whatever its table says.
            && (rule.destination == Destination::AnyNode
                || rule.through_services
                || rule.destination.role().is_some_and(|role| roles.contains(&role)))
            && rule
                .ports
                .iter()
                .any(|ports| matches!(ports, PortSpec::Range(range) if range.contains(port.value)))
    };
    let taken = profiles.iter().flat_map(|profile| &profile.rules).find(is_theirs);
    if let Some(rule) = taken {
        let message = format!(
            "controlPlaneLBPort {} is taken on the nodes that carry the control plane VIP: {} ({})",
            port.value, rule.purpose, rule.id
        );
        let help = "write `controlPlaneLBPort: 443`, or another port that no port table has";
        asked.complain(port.place, (check::CFG_LB_PORT, Gravity::Fail), message, help);
    }
    let detail = format!("no port table has {} for another service there", port.value);
    asked.made(check::CFG_LB_PORT, detail);
}

/// The roles of the nodes that carry the control plane VIP: the control plane's if it balances itself, else the load
/// balancers'.
fn roles_of_carriers(inventory: &Inventory) -> BTreeSet<Role> {
    let balancers = || {
        inventory
            .nodes
            .iter()
            .filter(|node| node.roles.contains(&Role::LoadBalancer))
    };
    let on_control_plane = balancers().any(|node| node.roles.contains(&Role::ControlPlane));
    balancers()
        .filter(|node| !on_control_plane || node.roles.contains(&Role::ControlPlane))
        .flat_map(|node| node.roles.iter().copied())
        .collect()
}
