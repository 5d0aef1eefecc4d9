//! Taking VIPs for a while, with `--active`: in every turn one VIP is taken by each of the nodes that are to carry it, one after
//! the other, while the others connect to it.

use std::{collections::BTreeSet, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{Commission, Errand, Errands};
use crate::{
    evidence::Group,
    id::{NodeId, Role},
    inventory::{Inventory, LoadBalancerMode, LoadBalancerType},
    port::Family,
    profile::Profile,
};

/// One node's part in a turn of a VIP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldErrand {
    /// Which turn of the run it is; those of a turn are given together.
    pub turn: u32,
    /// The address.
    pub vip: IpAddr,
    /// The TCP port at which whoever has it answers.
    pub port: u16,
    /// What this node does.
    pub part: HoldPart,
}

/// What a node does in a turn of a VIP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldPart {
    /// It makes sure that nobody has the address, takes it, announces it, answers these, and gives it back.
    Take {
        /// Who will ask, ascending.
        callers: Vec<NodeId>,
    },
    /// It connects to the address until it is told to stop.
    Reach {
        /// Who take it, in this order.
        holders: Vec<NodeId>,
    },
}

impl HoldErrand {
    /// Whether this node takes the address, rather than asks for it.
    pub fn takes(&self) -> bool {
        matches!(self.part, HoldPart::Take { .. })
    }

    /// Whether nobody is left to ask for it, or to take it.
    pub(super) fn is_void(&self) -> bool {
        match &self.part {
            HoldPart::Take { callers: members } | HoldPart::Reach { holders: members } => members.is_empty(),
        }
    }

    /// Takes out members who are left out.
    pub(super) fn leave_out(&mut self, left_out: &BTreeSet<NodeId>) {
        match &mut self.part {
            HoldPart::Take { callers: members } | HoldPart::Reach { holders: members } => {
                members.retain(|member| !left_out.contains(member));
            }
        }
    }
}

/// Gives out a turn for each VIP that bundled load balancers announce by ARP or neighbour discovery.
pub(super) fn plan(commission: &Commission<'_>, errands: &mut Errands) {
    if !commission.asks_for(Group::L2) {
        return;
    }
    for (turn, vip) in (0..).zip(vips(commission.inventory, commission.profiles)) {
        let holders: Vec<NodeId> = vip
            .carriers
            .iter()
            .copied()
            .filter(|node| commission.participants.contains(node))
            .take(MAX_HOLDERS)
            .collect();
        if holders.is_empty() {
            continue;
        }
        let callers = callers(commission.participants, &holders);
        let mut give = |node: NodeId, part: HoldPart| {
            errands.entry(node).or_default().push(Errand::Hold(HoldErrand {
                turn,
                vip: vip.address,
                port: vip.port,
                part,
            }));
        };
        for holder in &holders {
            let others = callers.iter().copied().filter(|caller| caller != holder);
            give(
                *holder,
                HoldPart::Take {
                    callers: others.collect(),
                },
            );
        }
        for caller in callers {
            let holders: Vec<NodeId> = holders.iter().copied().filter(|node| *node != caller).collect();
            if !holders.is_empty() {
                give(caller, HoldPart::Reach { holders });
            }
        }
    }
}

/// A VIP that nodes of the cluster announce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vip {
    /// The address.
    pub(crate) address: IpAddr,
    /// The TCP port that is served at it.
    pub(crate) port: u16,
    /// The nodes that are to carry it, ascending.
    pub(crate) carriers: Vec<NodeId>,
}

/// The VIPs that the cluster's own nodes announce by ARP or neighbour discovery, each once.
pub(crate) fn vips(inventory: &Inventory, profiles: &[Profile]) -> Vec<Vip> {
    if inventory.load_balancer_mode != LoadBalancerMode::Bundled
        || inventory.load_balancer_type != LoadBalancerType::Layer2
    {
        return Vec::new();
    }
    let control_plane = inventory.control_plane_vip.map(|address| Vip {
        address,
        port: control_plane_port(inventory, profiles),
        carriers: carriers(inventory, true),
    });
    let ingress = inventory.ingress_vip.map(|address| Vip {
        address,
        port: INGRESS_PORT,
        carriers: carriers(inventory, false),
    });
    let mut vips: Vec<Vip> = control_plane.into_iter().chain(ingress).collect();
    vips.dedup_by_key(|vip| vip.address);
    vips.retain(|vip| !vip.carriers.is_empty());
    vips
}

/// Load balancer nodes of the control plane or beside it, whichever carry the VIP: HAProxy and Keepalived stay with the control
/// plane, MetalLB goes with a load balancer node pool. Where only one of both exists it carries everything.
fn carriers(inventory: &Inventory, of_control_plane: bool) -> Vec<NodeId> {
    let carries = |roles: &BTreeSet<Role>| roles.contains(&Role::LoadBalancer);
    let all = || inventory.nodes.iter().filter(|node| carries(&node.roles));
    let preferred: Vec<NodeId> = all()
        .filter(|node| node.roles.contains(&Role::ControlPlane) == of_control_plane)
        .map(|node| node.id)
        .collect();
    if preferred.is_empty() {
        all().map(|node| node.id).collect()
    } else {
        preferred
    }
}

/// The port of the API server behind the control plane VIP: the one that the file or the profile gives to it, or the
/// registered one.
fn control_plane_port(inventory: &Inventory, profiles: &[Profile]) -> u16 {
    let of_profile = || {
        let mut variables = profiles
            .iter()
            .filter_map(|profile| profile.variables.get(LB_PORT));
        variables.next()
    };
    let known = inventory.variables.get(LB_PORT).or_else(of_profile);
    known.copied().unwrap_or(API_SERVER_PORT)
}

/// Holders ask each other; of everybody else an even sample asks, in which every kind of address is: neighbours in the list
/// of nodes are neighbours in a subnet as a rule.
fn callers(participants: &[NodeId], holders: &[NodeId]) -> Vec<NodeId> {
    let families: BTreeSet<Family> = families(holders).collect();
    let speaks = |node: &NodeId| {
        let address = node.address();
        address.is_none_or(|address| families.contains(&Family::of(address)))
    };
    let others: Vec<NodeId> = participants
        .iter()
        .copied()
        .filter(|node| !holders.contains(node) && speaks(node))
        .collect();
    let room = MAX_CALLERS.saturating_sub(holders.len()).max(1);
    let step = others.len().div_ceil(room).max(1);
    let mut callers: Vec<NodeId> = holders.to_vec();
    callers.extend(others.into_iter().step_by(step));
    callers.sort_unstable();
    callers
}

fn families(nodes: &[NodeId]) -> impl Iterator<Item = Family> + '_ {
    nodes.iter().filter_map(|node| node.address()).map(Family::of)
}

/// How long a holder keeps the address at most after it announced it: two seconds longer than the ten after which a move of
/// a VIP is a failure.
pub const MAX_STAY_MS: u32 = 12_000;

/// The lifetime that the kernel is told with the address, in seconds: it removes it by itself when the probe was killed.
/// Longer than probing, stay and release together.
pub const HOLD_LEASE_S: u32 = 30;

/// Nodes that take a VIP in one run at most; a control plane has seven at most.
pub const MAX_HOLDERS: usize = 8;

/// Participants that ask for a VIP at most, the holders among them: each asks ten times a second, and the holder answers all.
pub const MAX_CALLERS: usize = 32;

/// What the profiles call the control plane VIP's port.
const LB_PORT: &str = "controlPlaneLBPort";
/// An ingress serves HTTPS.
const INGRESS_PORT: u16 = 443;
/// IANA: `sun-sr-https`, and what every Kubernetes API server takes.
const API_SERVER_PORT: u16 = 6443;

#[cfg(test)]
mod tests {
    use super::*;

    fn node(last: u8) -> NodeId {
        NodeId::Address([10, 0, 0, last].into())
    }

    #[test]
    fn holders_ask_each_other_and_of_many_others_an_even_sample_asks() {
        let participants: Vec<NodeId> = (1..=200).map(node).collect();
        let holders = [node(1), node(2), node(3)];
        let callers = callers(&participants, &holders);
        assert!(callers.len() <= MAX_CALLERS, "{}", callers.len());
        assert!(holders.iter().all(|holder| callers.contains(holder)));
        // The ends of the list are in different subnets as a rule: both are asked from.
        assert!(callers.iter().any(|caller| *caller > node(190)));
        assert!(callers.is_sorted());
    }

    #[test]
    fn few_participants_ask_all_and_the_workstation_with_them() {
        let participants = [NodeId::Coordinator, node(1), node(9)];
        let asking = callers(&participants, &[node(1)]);
        assert_eq!(asking.len(), 3);
    }

    #[test]
    fn nobody_asks_who_speaks_another_family() {
        let six = NodeId::Address("fd00::9".parse().unwrap());
        assert_eq!(callers(&[node(1), six], &[node(1)]), [node(1)]);
    }

    #[test]
    fn what_names_those_who_are_left_out_goes_with_them() {
        let mut take = HoldErrand {
            turn: 0,
            vip: [10, 0, 0, 100].into(),
            port: 443,
            part: HoldPart::Take {
                callers: vec![node(2), node(3)],
            },
        };
        take.leave_out(&BTreeSet::from([node(2)]));
        assert!(!take.is_void());
        take.leave_out(&BTreeSet::from([node(3)]));
        assert!(take.is_void());
    }
}
