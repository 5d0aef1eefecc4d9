//! Room for pods: every node takes a block of the pod range, of a size that follows from how many pods it may run.

use ipnet::IpNet;

use super::{Checking, Layout, List, PodsPerNode, counted, ranges};
use crate::{
    inventory::ClusterType,
    report::check,
    source::{Gravity, Place, Placed},
};

/// CFG-010.
pub(super) fn pods(layout: &Layout, checking: &mut Checking<'_>) {
    if let PodsPerNode::Written(written) = &layout.pods_per_node
        && !is_within_bounds(layout, written, checking)
    {
        return;
    }
    let pods = layout.pods_per_node.told(checking.is_all_read);
    if pods.is_none() && layout.pods_per_node != PodsPerNode::Unknown {
        return;
    }
    let Some(room) = room(layout, pods) else { return };
    let Room {
        capacity,
        words,
        place,
    } = room;
    let nodes = u64::try_from(layout.nodes.len()).unwrap_or(u64::MAX);
    let of = if layout.are_nodes_complete {
        ""
    } else {
        "at least "
    };
    let used = format!("{words}; {of}{nodes} of {capacity} used");
    let detail = match capacity.checked_sub(nodes) {
        Some(left) => format!("{used}, room for {left}"),
        None => format!("{used}, {} too many", nodes - capacity),
    };
    if nodes > capacity {
        let message = format!("the pod range has too few blocks: {detail}");
        let weight = (check::CFG_POD_CAPACITY, Gravity::Fail);
        checking.complain(place, weight, message, remedy(layout, nodes, pods));
    } else if nodes.saturating_mul(100) > capacity.saturating_mul(FULL_PERCENT) {
        let message = format!("the pod range is nearly full: {detail}");
        let weight = (check::CFG_POD_CAPACITY, Gravity::Warn);
        checking.complain(place, weight, message, remedy(layout, nodes, pods));
    }
    checking.made(check::CFG_POD_CAPACITY, detail);
}

fn is_within_bounds(layout: &Layout, written: &Placed<u16>, checking: &mut Checking<'_>) -> bool {
    let Some(cluster_type) = layout.cluster_type else {
        return true;
    };
    let control_plane = layout.nodes_of(&List::ControlPlane).count();
    let is_lone = cluster_type != ClusterType::User && layout.control_plane.is_some() && control_plane == 1;
    let (least, most) = if is_lone { LONE_BOUNDS } else { BOUNDS };
    let pods = written.value;
    if (least..=most).contains(&pods) {
        return true;
    }
    let of = if is_lone {
        format!(" of {cluster_type} clusters with one control plane node")
    } else {
        String::new()
    };
    let message =
        format!("`maxPodsPerNode`: {pods} is not a whole number from {least} to {most}, the bounds{of}");
    let help = format!("write a number from {least} to {most}; it cannot be changed later");
    let weight = (check::CFG_POD_CAPACITY, Gravity::Contradiction);
    checking.complain(written.place, weight, message, help);
    false
}

/// How many nodes the pod ranges have blocks for.
struct Room {
    capacity: u64,
    /// How that comes about.
    words: String,
    /// The range that limits it.
    place: Place,
}

/// The family with less room. `None` if a range could not be read, or the size of a node's block is not known.
fn room(layout: &Layout, pods: Option<u16>) -> Option<Room> {
    if !layout.node_blocks.is_empty() {
        let rooms = [true, false].map(|is_ipv4| written_room(layout, is_ipv4));
        return rooms.into_iter().flatten().min_by_key(|room| room.capacity);
    }
    let is_sized = |block: &Placed<IpNet>| ranges::is_pod_length(layout, &block.value);
    let pods = pods.filter(|_| layout.are_pods_complete && layout.pods.iter().all(is_sized))?;
    let blocks: Vec<&Placed<IpNet>> = layout
        .pods
        .iter()
        .filter(|block| block.value.addr().is_ipv4())
        .collect();
    let mask = node_mask(pods);
    let capacity = blocks.iter().map(|block| count_of(&block.value, mask)).sum();
    let words = format!(
        "{pods} pods a node take a /{mask} of each node: {capacity} nodes in {}",
        lengths(&blocks)
    );
    Some(Room {
        capacity,
        words,
        place: blocks.first()?.place,
    })
}

/// Room in the ranges whose blocks the file sizes itself.
fn written_room(layout: &Layout, is_ipv4: bool) -> Option<Room> {
    let sized = || {
        layout
            .node_blocks
            .iter()
            .filter(|(range, _)| range.value.addr().is_ipv4() == is_ipv4)
    };
    let (first, mask) = sized().next()?;
    let capacity = sized()
        .map(|(range, mask)| count_of(&range.value, *mask))
        .fold(0_u64, u64::saturating_add);
    let ranges: Vec<&Placed<IpNet>> = sized().map(|(range, _)| range).collect();
    Some(Room {
        capacity,
        words: format!(
            "blocks of /{mask} for each node: {capacity} nodes in {}",
            lengths(&ranges)
        ),
        place: first.place,
    })
}

/// `a /16`, `a /16 and a /18`.
fn lengths(blocks: &[&Placed<IpNet>]) -> String {
    let said: Vec<String> = blocks
        .iter()
        .map(|block| format!("a /{}", block.value.prefix_len()))
        .collect();
    super::listed(&said)
}

/// The length of the block that a node takes: at least twice as many addresses as pods (field reference, `maxPodsPerNode`).
pub(super) fn node_mask(pods: u16) -> u8 {
    match pods {
        0..=32 => 26,
        33..=64 => 25,
        65..=128 => 24,
        _ => 23,
    }
}

/// How many blocks of a length a range has.
fn count_of(range: &IpNet, mask: u8) -> u64 {
    match mask.checked_sub(range.prefix_len()) {
        Some(bits) => 1_u64.checked_shl(u32::from(bits)).unwrap_or(u64::MAX),
        None => 0,
    }
}

/// What would make room, as long as the cluster is not made yet.
fn remedy(layout: &Layout, nodes: u64, pods: Option<u16>) -> String {
    let ipv4: Vec<&Placed<IpNet>> = layout
        .pods
        .iter()
        .filter(|block| block.value.addr().is_ipv4())
        .collect();
    let mut ways = Vec::new();
    if let ([block], true, Some(pods)) = (&ipv4[..], layout.node_blocks.is_empty(), pods) {
        let (mask, length) = (node_mask(pods), block.value.prefix_len());
        // A block for every node, and a fifth to spare.
        let fits = |bits: u8| (1_u64 << bits).saturating_mul(FULL_PERCENT) >= nodes.saturating_mul(100);
        if let Some(length) = (8..length).rev().find(|length| fits(mask - length)) {
            ways.push(format!("a pod range of /{length}"));
        }
        if let Some(fewer) = DENSITIES
            .into_iter()
            .find(|fewer| *fewer < pods && node_mask(*fewer) >= length && fits(node_mask(*fewer) - length))
        {
            ways.push(format!("`maxPodsPerNode: {fewer}`"));
        }
    }
    let ways = if ways.is_empty() {
        "a larger pod range".to_owned()
    } else {
        ways.join(" or ")
    };
    format!(
        "for {}, write {ways}; neither can be changed once the cluster is made",
        counted(usize::try_from(nodes).unwrap_or(usize::MAX), "node")
    )
}

/// Bounds of `maxPodsPerNode` (field reference).
const BOUNDS: (u16, u16) = (32, 250);

/// The same for clusters that manage themselves with one control plane node.
const LONE_BOUNDS: (u16, u16) = (64, 250);

/// Densities that give smaller blocks, most pods first.
const DENSITIES: [u16; 3] = [128, 64, 32];

/// Above this share of blocks there is little room to grow.
const FULL_PERCENT: u64 = 80;
