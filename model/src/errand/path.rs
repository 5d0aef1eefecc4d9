//! Errand path: what the way to other nodes carries, measured by whoever sends. Both directions of a pair are two errands, so
//! that a limit that holds in one direction is found where it is.
//!
//! Up to [`ALL_PAIRS_UP_TO`] nodes everybody measures the way to everybody. Above that, control plane and load balancer nodes
//! measure the way to each other, and everybody else's is sampled: [`SAMPLE`] destinations a node, spread over the address
//! blocks that subnets usually are, turned by the run's seed so that every node is somebody's destination.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Commission, Errand, Errands};
use crate::{
    evidence::Group,
    id::{NodeId, Role},
    plan::{Expect, Plan},
    port::{Family, Protocol},
};

/// Measure what the paths to members carry: the largest packet, whether a limit is told of, fragments, hops, echo.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathErrand {
    /// To whom, ascending by node and family.
    pub paths: Vec<PathTarget>,
    /// How many nodes of the cluster are not among them, since not every pair is measured.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub beyond: u32,
    /// Packets a second at most; 0 means no limit, which only a lab may have.
    pub max_rate: u32,
}

/// One destination at its address of one family.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathTarget {
    /// Whom.
    pub node: NodeId,
    /// At its data address of this family.
    pub family: Family,
    /// UDP ports on which its responders may answer, the likeliest first; at most [`MAX_PATH_PORTS`]. Without any, or where
    /// none answers, ICMP echo is what is left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
}

/// UDP ports that are tried at one destination.
pub const MAX_PATH_PORTS: usize = 3;

/// Paths of one errand at most: two families to the sampled nodes of the largest cluster.
pub const MAX_PATHS: usize = 512;

/// Up to so many nodes every ordered pair is measured: a thousand pairs, each some 250 packets on a sound network.
pub const ALL_PAIRS_UP_TO: usize = 32;

/// Destinations of a node in a larger cluster, beside those that its role calls for: enough to see sixteen racks.
pub const SAMPLE: usize = 16;

/// Packets a second of all path errands of a probe, whatever a coordinator asks for: 2,000 of 9,216 octets are 150 Mbit/s.
pub const MAX_PATH_PACKETS_A_SECOND: u32 = 2_000;

/// Datagrams of the largest size on one path: enough to meet each member of a bundle of eight some twenty times.
pub const MAX_PATH_DATAGRAMS: u32 = 200;

/// Overlay ports come first: GENEVE, VXLAN as Linux has it, VXLAN as registered.
const OVERLAY_PORTS: [u16; 3] = [6081, 8472, 4789];

/// Gives every node the paths that it measures.
pub(super) fn plan(commission: &Commission<'_>, errands: &mut Errands) {
    if ![Group::L3, Group::Host]
        .iter()
        .any(|group| commission.asks_for(*group))
    {
        return;
    }
    let nodes: Vec<NodeId> = commission.nodes().collect();
    let families = commission.inventory.families();
    for (index, &source) in nodes.iter().enumerate() {
        let chosen = destinations(commission, &nodes, index);
        let others = nodes.len().saturating_sub(1);
        let mut paths = Vec::new();
        for &node in &chosen {
            for &family in &families {
                paths.push(PathTarget {
                    node,
                    family,
                    ports: ports(commission.plan, source, node, family),
                });
            }
        }
        paths.truncate(MAX_PATHS);
        if paths.is_empty() {
            continue;
        }
        errands.entry(source).or_default().push(Errand::Path(PathErrand {
            paths,
            beyond: u32::try_from(others.saturating_sub(chosen.len())).unwrap_or(u32::MAX),
            max_rate: commission.parameters.max_rate_node,
        }));
    }
}

/// Whom the node of this index measures the way to.
fn destinations(commission: &Commission<'_>, nodes: &[NodeId], index: usize) -> BTreeSet<NodeId> {
    let Some(&source) = nodes.get(index) else {
        return BTreeSet::new();
    };
    let others = nodes.iter().copied().filter(|node| *node != source);
    if nodes.len() <= ALL_PAIRS_UP_TO {
        return others.collect();
    }
    let is_central = |node: NodeId| {
        let roles = commission.inventory.node(node).map(|node| &node.roles);
        roles.is_some_and(|roles| roles.contains(&Role::ControlPlane) || roles.contains(&Role::LoadBalancer))
    };
    let mut chosen: BTreeSet<NodeId> = if is_central(source) {
        others
            .clone()
            .filter(|node| is_central(*node))
            .take(MAX_PATHS / 4)
            .collect()
    } else {
        BTreeSet::new()
    };
    let mut blocks: BTreeMap<IpNet, Vec<NodeId>> = BTreeMap::new();
    for node in nodes.iter().copied() {
        if let Some(block) = node.address().and_then(block) {
            blocks.entry(block).or_default().push(node);
        }
    }
    let blocks: Vec<Vec<NodeId>> = blocks.into_values().collect();
    let turn = index.wrapping_add(usize::try_from(commission.parameters.seed).unwrap_or_default());
    let wanted = chosen.len() + SAMPLE.min(nodes.len() - 1);
    for round in 0..nodes.len() {
        for offset in 0..blocks.len() {
            if chosen.len() >= wanted {
                return chosen;
            }
            let members = &blocks[turn.wrapping_add(offset) % blocks.len()];
            let node = members[turn.wrapping_add(round) % members.len()];
            if node != source {
                chosen.insert(node);
            }
        }
    }
    chosen
}

/// The block of addresses that a subnet usually is: no probe has told any prefix when a run is planned.
fn block(address: IpAddr) -> Option<IpNet> {
    let length = match address {
        IpAddr::V4(_) => 24,
        IpAddr::V6(_) => 64,
    };
    Some(IpNet::new(address, length).ok()?.trunc())
}

/// The UDP ports of the tables that a destination answers on and the source is meant to reach.
fn ports(plan: &Plan, source: NodeId, node: NodeId, family: Family) -> Vec<u16> {
    let blocks = plan.blocks.iter().filter(|block| {
        (block.family, block.protocol, block.expect) == (family, Protocol::Udp, Expect::Open)
            && block.sources.binary_search(&source).is_ok()
            && block.destinations.binary_search(&node).is_ok()
    });
    let first_of_each = |block: &crate::plan::Block| {
        let ranges = block.ports.ranges().iter();
        ranges.map(|range| range.first()).collect::<Vec<_>>()
    };
    let firsts: BTreeSet<u16> = blocks.clone().flat_map(first_of_each).collect();
    let overlay = OVERLAY_PORTS
        .into_iter()
        .filter(|port| blocks.clone().any(|block| block.ports.contains(*port)));
    let mut ports: Vec<u16> = overlay.collect();
    ports.extend(firsts.into_iter().filter(|port| !OVERLAY_PORTS.contains(port)));
    ports.truncate(MAX_PATH_PORTS);
    ports
}

impl PathErrand {
    /// Takes out members who are left out.
    pub(super) fn leave_out(&mut self, left_out: &BTreeSet<NodeId>) {
        self.paths.retain(|path| !left_out.contains(&path.node));
    }
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}
