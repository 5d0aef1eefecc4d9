//! MTU-001: the interfaces of a cluster have one MTU.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::{
    assumption::{Complaint, Explains, Ruling, Scene, paths},
    cause::{Cause, CauseKind, Fix},
    id::NodeId,
    port::Family,
    report::check::Check,
};

use super::overhead;

/// The interfaces of a cluster have one MTU.
pub(crate) const CHECK: Check = Check {
    id: "MTU-001",
    asserts: "the data interfaces of all nodes have the same MTU, with room for the overlay",
    how: "read from the interfaces (netlink); nothing is sent",
    needs: "nothing",
    rule: "warns if some differ from the most; fails if one leaves pods less than 1280 octets (IPv6) or 576 (IPv4)",
    remedy: "set the same MTU on the interfaces of all nodes and on the switches between them",
    source: "RFC 8200 section 5, RFC 791; cilium/cilium, pkg/mtu: pods get the interface's MTU less the overlay's part",
};

/// A node's interface, its MTU and who told.
#[derive(Debug, Clone)]
struct Own {
    node: NodeId,
    name: String,
    mtu: u32,
    line: u32,
}

/// Judges every node's data interface. Those that differ alike are one complaint.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let mut rulings = Vec::new();
    let mut told: Vec<Own> = Vec::new();
    for node in scene.nodes() {
        let facts = match scene.facts(node) {
            Ok(facts) => facts,
            Err(lack) => {
                rulings.push(Ruling::not_measured(scene.name(node), lack));
                continue;
            }
        };
        let family = node.address().map_or(Family::Ipv4, Family::of);
        // Whoever has lost its address is told of elsewhere.
        if let Some(interface) = paths::interface(scene, node, family) {
            told.push(Own {
                node,
                name: interface.name.clone(),
                mtu: interface.mtu,
                line: facts.line,
            });
        }
    }
    let odd = odd_ones(scene, &told);
    for own in &told {
        let is_odd = odd
            .iter()
            .any(|(group, _)| group.iter().any(|other| other.node == own.node));
        if !is_odd && own.mtu >= least(scene) {
            rulings.push(Ruling::pass(
                scene.name(own.node),
                format!("the MTU of {} is {}", own.name, own.mtu),
            ));
        }
    }
    rulings.extend(odd.iter().map(|(group, usual)| {
        let nodes: Vec<NodeId> = group.iter().map(|own| own.node).collect();
        Ruling::warn(paths::side(scene, &nodes), mismatch(scene, group, *usual, &told))
    }));
    rulings.extend(too_small(scene, &told));
    rulings
}

/// The complaint of which this node is one of the odd ones, if it is.
pub(super) fn complaint_of(scene: &Scene<'_>, node: NodeId) -> Option<Complaint> {
    let told: Vec<Own> = scene
        .nodes()
        .filter_map(|node| {
            let family = node.address().map_or(Family::Ipv4, Family::of);
            let interface = paths::interface(scene, node, family)?;
            Some(Own {
                node,
                name: interface.name.clone(),
                mtu: interface.mtu,
                line: scene.facts(node).ok()?.line,
            })
        })
        .collect();
    let odd = odd_ones(scene, &told);
    let (group, usual) = odd
        .iter()
        .find(|(group, _)| group.iter().any(|own| own.node == node))?;
    Some(mismatch(scene, group, *usual, &told))
}

/// Nodes that differ from the most, those of one MTU together, with the MTU of the most. Of several that are as many, the one
/// that most subnets have, then the usual one of Ethernet, then the smallest is right.
fn odd_ones(scene: &Scene<'_>, told: &[Own]) -> Vec<(Vec<Own>, u32)> {
    let mut by_mtu: BTreeMap<u32, Vec<Own>> = BTreeMap::new();
    for own in told {
        by_mtu.entry(own.mtu).or_default().push(own.clone());
    }
    let subnets = |group: &[Own]| {
        let own: BTreeSet<IpNet> = group
            .iter()
            .filter_map(|own| paths::subnet(scene, own.node))
            .collect();
        own.len()
    };
    let usual = by_mtu
        .iter()
        .max_by_key(|(mtu, group)| {
            let is_ethernet = **mtu == ETHERNET;
            (group.len(), subnets(group), is_ethernet, std::cmp::Reverse(**mtu))
        })
        .map(|(mtu, _)| *mtu);
    let Some(usual) = usual else { return Vec::new() };
    by_mtu.remove(&usual);
    by_mtu.into_values().map(|group| (group, usual)).collect()
}

fn mismatch(scene: &Scene<'_>, group: &[Own], usual: u32, told: &[Own]) -> Complaint {
    let nodes: Vec<NodeId> = group.iter().map(|own| own.node).collect();
    let others: Vec<NodeId> = told
        .iter()
        .filter(|own| own.mtu == usual)
        .map(|own| own.node)
        .collect();
    let mtu = group.first().map_or(usual, |own| own.mtu);
    let (node, between) = match nodes.as_slice() {
        [one] => (Some(*one), None),
        _ => (None, Some([nodes.clone(), others])),
    };
    let has = if nodes.len() == 1 { "has" } else { "have" };
    let meant = if mtu > usual {
        "what it sends as large as its interface takes is lost, or has to be cut on the way"
    } else {
        "what others send to it as large as theirs take is lost, or has to be cut on the way"
    };
    let detail = format!(
        "{} {has} an MTU of {mtu} where most nodes have {usual}: {meant}",
        paths::side(scene, &nodes)
    );
    Complaint {
        cause: Cause {
            kind: CauseKind::MtuMismatch,
            node,
            between,
            detail,
        },
        fix: Fix {
            text: format!(
                "Set the MTU to {usual} there, at once and in the network configuration; or to {mtu} on all other nodes and every switch \
                 between them."
            ),
            commands: group
                .iter()
                .take(MOST_COMMANDS)
                .map(|own| format!("ssh {} ip link set dev {} mtu {usual}", own.node, own.name))
                .collect(),
        },
        evidence: told.iter().map(|own| own.line).collect(),
        explains: Explains::default(),
    }
}

fn too_small(scene: &Scene<'_>, told: &[Own]) -> Option<Ruling> {
    let least = least(scene);
    let group: Vec<&Own> = told.iter().filter(|own| own.mtu < least).collect();
    let nodes: Vec<NodeId> = group.iter().map(|own| own.node).collect();
    let smallest = group.iter().map(|own| own.mtu).min()?;
    let (node, between) = match nodes.as_slice() {
        [one] => (Some(*one), None),
        _ => (None, Some([nodes.clone(), nodes.clone()])),
    };
    let takes = overhead::of(scene).map_or_else(String::new, |overhead| {
        format!(", of which {} takes {} octets", overhead.what, overhead.octets)
    });
    let detail = format!(
        "the interfaces of {} have an MTU of {smallest}{takes}: pods are left less than {} octets",
        paths::side(scene, &nodes),
        least_of_pods(scene)
    );
    let complaint = Complaint {
        cause: Cause {
            kind: CauseKind::MtuTooSmall,
            node,
            between,
            detail,
        },
        fix: Fix {
            text: format!(
                "Set the MTU of these interfaces to {ETHERNET}, or to {least} at least, and that of the switches."
            ),
            commands: group
                .iter()
                .take(MOST_COMMANDS)
                .map(|own| format!("ssh {} ip link set dev {} mtu {ETHERNET}", own.node, own.name))
                .collect(),
        },
        evidence: group.iter().map(|own| own.line).collect(),
        explains: Explains::default(),
    };
    Some(Ruling::fail(paths::side(scene, &nodes), complaint))
}

/// The least MTU of an interface.
fn least(scene: &Scene<'_>) -> u32 {
    least_of_pods(scene) + overhead::of(scene).map_or(0, |overhead| overhead.octets)
}

/// The least MTU that pods can do with: what every IPv6 link has to have, what every IPv4 host has to take.
pub(super) fn least_of_pods(scene: &Scene<'_>) -> u32 {
    let pods = scene.inventory.pods.iter();
    match scene.inventory.families().contains(&Family::Ipv6)
        || pods.clone().any(|pods| matches!(pods, IpNet::V6(_)))
    {
        true => 1280,
        false => 576,
    }
}

const ETHERNET: u32 = 1500;

/// Commands of one finding.
const MOST_COMMANDS: usize = 8;
