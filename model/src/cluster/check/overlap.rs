//! Pod and service ranges: apart from each other and from everything that the cluster must reach.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Checking, Dialect, Layout, counted, listed, suggest};
use crate::{
    cluster::AddressRange,
    report::check,
    source::{Gravity, Placed},
};

/// CFG-009.
pub(super) fn ranges(layout: &Layout, checking: &mut Checking<'_>) {
    let blocks: Vec<(&str, &Placed<IpNet>)> = layout
        .pods
        .iter()
        .map(|block| ("pod", block))
        .chain(layout.services.iter().map(|block| ("service", block)))
        .collect();
    if blocks.is_empty() {
        return;
    }
    for (index, (kind, block)) in blocks.iter().enumerate() {
        let earlier = blocks[..index]
            .iter()
            .find(|(_, other)| overlap(&other.value, &block.value));
        if let Some((other_kind, other)) = earlier {
            let message = format!(
                "the {kind} range {} overlaps the {other_kind} range {} (line {})",
                block.value, other.value, other.place.line
            );
            complain(layout, block, message, checking);
        }
        let inside = inside(layout, &block.value);
        if !inside.is_empty() {
            let message = format!("the {kind} range {} contains {}", block.value, listed(&inside));
            complain(layout, block, message, checking);
        }
    }
    let others = match layout.dialect {
        Dialect::Bmctl => "nodes, VIPs, pools, routers or servers",
        Dialect::Plain => "nodes or VIPs",
    };
    let detail = format!(
        "{} of pods and Services overlap neither each other nor {others} of the file",
        counted(blocks.len(), "range")
    );
    checking.made(check::CFG_DISJOINT_RANGES, detail);
}

fn complain(layout: &Layout, block: &Placed<IpNet>, message: String, checking: &mut Checking<'_>) {
    let help = match suggest::free_range(layout, block.value.prefix_len())
        .filter(|_| block.value.addr().is_ipv4())
    {
        Some(free) => format!(
            "write another range before the cluster is made, since it cannot be moved later; {free} overlaps nothing in this \
             file"
        ),
        None => "write another range before the cluster is made, since it cannot be moved later".to_owned(),
    };
    let weight = (check::CFG_DISJOINT_RANGES, Gravity::Fail);
    checking.complain(block.place, weight, message, help);
}

/// What a range contains of the things that pods and nodes must reach, in words.
fn inside(layout: &Layout, block: &IpNet) -> Vec<String> {
    let mut found = Vec::new();
    let nodes = layout
        .nodes
        .iter()
        .filter_map(|node| node.addresses().find(|address| block.contains(&address.value)))
        .map(|address| (address.value.to_string(), address.place.line));
    found.extend(summed("node", nodes));
    let vips = layout.vips().filter(|(_, vip)| block.contains(&vip.value));
    found.extend(vips.map(|(name, vip)| format!("the {name} {} (line {})", vip.value, vip.place.line)));
    let pools = layout
        .ranges()
        .filter(|range| reaches(block, range.value))
        .map(|range| (range.value.to_string(), range.place.line));
    found.extend(summed("address pool range", pools));
    for (name, addresses) in [("floating IP", &layout.floating_ips), ("BGP peer", &layout.peers)] {
        let addresses = addresses
            .iter()
            .filter(|address| block.contains(&address.value))
            .map(|address| (address.value.to_string(), address.place.line));
        found.extend(summed(name, addresses));
    }
    for (name, address) in &layout.outside {
        if block.contains(&address.value) {
            found.push(format!(
                "the {name} {} (line {})",
                address.value, address.place.line
            ));
        }
    }
    found
}

/// `the node A (line 3)`, or `4 nodes (the first is A, line 3)`.
fn summed(name: &str, mut items: impl Iterator<Item = (String, u32)>) -> Option<String> {
    let (first, line) = items.next()?;
    Some(match items.count() {
        0 => format!("the {name} {first} (line {line})"),
        more => format!("{} (the first is {first}, line {line})", counted(more + 1, name)),
    })
}

/// Whether two prefixes have an address in common.
pub(super) fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

/// Whether a prefix has an address of a range.
pub(super) fn reaches(block: &IpNet, range: AddressRange) -> bool {
    let (first, last): (IpAddr, IpAddr) = (block.network(), block.broadcast());
    range.overlaps(AddressRange { first, last })
}
