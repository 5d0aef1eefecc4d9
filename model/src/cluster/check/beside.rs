//! Two clusters side by side: the ranges of one hold no address of the other. Pod ranges themselves may be the same, since they
//! are not seen from outside.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Layout, counted, listed};
use crate::{
    report::check,
    source::{Diagnostic, Gravity, Place, Placed},
};

/// CFG-009 and CFG-006 between a cluster and the admin cluster that manages it; complaints stand in the cluster's file. That no
/// node is in both is asked where vantages are.
pub(crate) fn beside(layout: &Layout, admin: &Layout) -> Vec<Diagnostic> {
    let mut complaints = Vec::new();
    let mut complain = |place: Place, check: check::Check, message: String, help: &str| {
        complaints.push(Diagnostic {
            file: layout.file.clone(),
            line: place.line,
            column: place.column,
            message,
            help: Some(help.to_owned()),
            gravity: Gravity::Fail,
            check: Some(check.id),
        });
    };
    for (kind, block) in blocks(layout) {
        let inside = addresses_in(admin, &block.value);
        if !inside.is_empty() {
            let message = format!(
                "the {kind} range {} contains {} of the admin cluster `{}`",
                block.value,
                listed(&inside),
                admin.name
            );
            let help = "write another range before the cluster is made: its pods must reach the admin cluster, and it them";
            complain(block.place, check::CFG_DISJOINT_RANGES, message, help);
        }
    }
    for (kind, block) in blocks(admin) {
        let Some(place) = first_in(layout, &block.value) else {
            continue;
        };
        let message = format!(
            "{} inside the {kind} range {} of the admin cluster `{}`",
            verb(&addresses_in(layout, &block.value)),
            block.value,
            admin.name
        );
        let help = "choose other addresses: the admin cluster's pods take these for their own";
        complain(place, check::CFG_DISJOINT_RANGES, message, help);
    }
    let theirs = [
        ("control plane VIP", &admin.control_plane_vip),
        ("ingress VIP", &admin.ingress_vip),
    ];
    for (name, vip) in layout.vips() {
        let taken = theirs
            .iter()
            .find(|(_, other)| other.as_ref().is_some_and(|other| other.value == vip.value));
        if let Some((other, _)) = taken {
            let message = format!(
                "{name} {} is the {other} of the admin cluster `{}`",
                vip.value, admin.name
            );
            let help = "choose an address that nobody has";
            complain(vip.place, check::CFG_DISJOINT_ADDRESSES, message, help);
        }
    }
    complaints
}

fn blocks(layout: &Layout) -> impl Iterator<Item = (&'static str, &Placed<IpNet>)> {
    let pods = layout.pods.iter().map(|block| ("pod", block));
    pods.chain(layout.services.iter().map(|block| ("service", block)))
}

/// Nodes and control plane VIP of a cluster that are in a range, in words.
fn addresses_in(layout: &Layout, block: &IpNet) -> Vec<String> {
    let mut found = Vec::new();
    let nodes: Vec<IpAddr> = nodes_in(layout, block).map(|address| address.value).collect();
    match &nodes[..] {
        [] => {}
        [only] => found.push(format!("the node {only}")),
        [first, ..] => found.push(format!("{} (the first is {first})", counted(nodes.len(), "node"))),
    }
    let vip = layout.control_plane_vip.as_ref().map(|vip| vip.value);
    found.extend(
        vip.filter(|vip| block.contains(vip))
            .map(|vip| format!("the control plane VIP {vip}")),
    );
    found
}

fn first_in(layout: &Layout, block: &IpNet) -> Option<Place> {
    let vip = layout
        .control_plane_vip
        .iter()
        .filter(|vip| block.contains(&vip.value));
    nodes_in(layout, block)
        .chain(vip)
        .next()
        .map(|address| address.place)
}

fn nodes_in<'a>(layout: &'a Layout, block: &IpNet) -> impl Iterator<Item = &'a Placed<IpAddr>> {
    let block = *block;
    layout
        .nodes
        .iter()
        .filter_map(move |node| node.addresses().find(|address| block.contains(&address.value)))
}

/// `the node A is`, `2 nodes (the first is A) and the control plane VIP B are`.
fn verb(words: &[String]) -> String {
    let is = match words {
        [only] if only.starts_with("the ") => "is",
        _ => "are",
    };
    format!("{} {is}", listed(words))
}
