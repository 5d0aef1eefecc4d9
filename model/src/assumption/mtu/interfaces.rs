//! MTU-001: the interfaces of a cluster have one MTU.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::{
    assumption::{Complaint, Explains, Ruling, Scene, paths},
    cause::{Cause, CauseKind, Fix},
    id::NodeId,
    observation::Device,
    port::Family,
    report::check::Check,
};

use super::{
    limits::is_lost_by_size,
    overhead::{self, Overhead},
};

/// The interfaces of a cluster have one MTU.
pub(crate) const CHECK: Check = Check {
    id: "MTU-001",
    asserts: "the data interfaces of all nodes have the same MTU, with room for the overlay",
    how: "read from the interfaces (netlink); nothing is sent",
    needs: "nothing",
    rule: "warns if some differ from the most; fails if one leaves pods less than 1280 octets",
    remedy: "set the same MTU on the interfaces of all nodes and on the switches between them",
    source: "RFC 8200 section 5 (no link of IPv6 has less than 1280 octets); cilium/cilium, pkg/mtu: pods get the interface's MTU less the overlay's part",
};

/// A node's interface, its MTU and who told.
#[derive(Debug, Clone)]
struct Own {
    node: NodeId,
    name: String,
    mtu: u32,
    line: u32,
}

impl Own {
    /// The commands that give it another MTU, to what it stands on first: no VLAN may have more than the device under it, and no
    /// bridge gets more through its ports. A bond gives its own to its members by itself.
    fn set_mtu(&self, scene: &Scene<'_>, mtu: u32) -> Vec<String> {
        let devices = scene.host(self.node).map_or(&[][..], |host| &host.what.devices);
        let mut names = vec![self.name.as_str()];
        names.extend(under(devices, &self.name, mtu));
        let command = |name: &&str| scene.ssh(self.node, &format!("ip link set dev {name} mtu {mtu}"));
        names.iter().rev().map(command).collect()
    }
}

/// The devices under one, from above, that take less than it is to have.
fn under<'a>(devices: &'a [Device], name: &str, mtu: u32) -> Vec<&'a str> {
    let mut found: Vec<&str> = Vec::new();
    let mut above = vec![name];
    // Nothing stands on itself: each round goes down by one.
    for _ in 0..MOST_LAYERS {
        let is_under = |device: &&Device| {
            let holds = |upper: &&Device| {
                let is_port =
                    upper.kind.as_deref() == Some("bridge") && device.master.as_ref() == Some(&upper.name);
                above.contains(&upper.name.as_str()) && (upper.over.as_ref() == Some(&device.name) || is_port)
            };
            devices.iter().any(|upper| holds(&upper))
        };
        let layer: Vec<&Device> = devices.iter().filter(is_under).collect();
        let small = layer.iter().filter(|device| device.mtu < mtu);
        found.extend(small.map(|device| device.name.as_str()));
        above = layer.into_iter().map(|device| device.name.as_str()).collect();
    }
    found
}

/// A VLAN on a bridge on a bond is as deep as it gets.
const MOST_LAYERS: usize = 4;

/// Judges every node's data interface. Those that differ alike are one complaint.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let lacking = |node| Some(Ruling::not_measured(scene.name(node), scene.facts(node).err()?));
    let mut rulings: Vec<Ruling> = scene.nodes().filter_map(lacking).collect();
    let told = told(scene);
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
        let complaint = mismatch(scene, group, *usual, &told);
        match group.iter().any(|own| own.mtu < least(scene)) {
            true => Ruling::fail(paths::side(scene, &nodes), complaint),
            false => Ruling::warn(paths::side(scene, &nodes), complaint),
        }
    }));
    let is_odd = |own: &Own| {
        odd.iter()
            .flat_map(|(group, _)| group)
            .any(|odd| odd.node == own.node)
    };
    let usual: Vec<Own> = told.iter().filter(|own| !is_odd(own)).cloned().collect();
    rulings.extend(too_small(scene, &usual));
    rulings
}

/// Every node's data interface. Whoever has lost its address is told of elsewhere.
fn told(scene: &Scene<'_>) -> Vec<Own> {
    let own = |node: NodeId| {
        let family = node.address().map_or(Family::Ipv4, Family::of);
        let interface = paths::interface(scene, node, family)?;
        Some(Own {
            node,
            name: interface.name.clone(),
            mtu: interface.mtu,
            line: scene.facts(node).ok()?.line,
        })
    };
    scene.nodes().filter_map(own).collect()
}

/// The interfaces that take less than a pod's full packet with what the overlay puts around it, if the file sets what pods get.
pub(super) fn too_small_for_pods(scene: &Scene<'_>, overhead: &Overhead) -> Option<Ruling> {
    let inner = scene.inventory.pod_mtu?;
    let whole = inner.saturating_add(overhead.octets);
    let told = told(scene);
    let small: Vec<&Own> = told.iter().filter(|own| own.mtu < whole).collect();
    let most = small.iter().map(|own| own.mtu).min()?;
    let nodes: Vec<NodeId> = small.iter().map(|own| own.node).collect();
    let odd = odd_ones(scene, &told);
    let is_of = |group: &[Own]| nodes.iter().all(|node| group.iter().any(|own| own.node == *node));
    if let Some((group, usual)) = odd.iter().find(|(group, _)| is_of(group)) {
        // All others take it: that these differ is the cause.
        let complaint = mismatch(scene, group, *usual, &told);
        return Some(Ruling::fail(paths::side(scene, &nodes), complaint));
    }
    let detail = format!(
        "pods are set to get an MTU of {inner}: with {} their packets have up to {whole} octets, but the interfaces of {} take {most}",
        overhead.what,
        paths::side(scene, &nodes)
    );
    let fix = Fix {
        text: format!(
            "Set the MTU of pods to {} at most in the network plugin's configuration, or that of these interfaces and of every switch \
                 between them to {whole}.",
            most.saturating_sub(overhead.octets)
        ),
        commands: Vec::new(),
    };
    Some(Ruling::fail(
        paths::side(scene, &nodes),
        small_complaint(&small, detail, fix),
    ))
}

/// The complaint of which this node is one of the odd ones, if it is.
pub(super) fn complaint_of(scene: &Scene<'_>, node: NodeId) -> Option<Complaint> {
    let told = told(scene);
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
    let is_routed = are_apart(scene, &nodes, &others) && !is_loss_seen(scene, &nodes, &others);
    let (node, between) = match nodes.as_slice() {
        [one] => (Some(*one), None),
        _ => (None, Some([nodes.clone(), others])),
    };
    let has = if nodes.len() == 1 { "has" } else { "have" };
    let meant = if is_routed {
        "they are in other subnets, and what is larger has to be cut or refused by a router between them"
    } else if mtu > usual {
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
                .flat_map(|own| own.set_mtu(scene, usual))
                .collect(),
        },
        evidence: told.iter().map(|own| own.line).collect(),
        explains: Explains::default(),
    }
}

/// Whether no subnet has nodes of both.
fn are_apart(scene: &Scene<'_>, nodes: &[NodeId], others: &[NodeId]) -> bool {
    let subnets = |nodes: &[NodeId]| -> BTreeSet<Option<IpNet>> {
        nodes.iter().map(|node| paths::subnet(scene, *node)).collect()
    };
    subnets(nodes).is_disjoint(&subnets(others))
}

/// Whether packets between them were lost for their size, and nobody said so.
fn is_loss_seen(scene: &Scene<'_>, nodes: &[NodeId], others: &[NodeId]) -> bool {
    let is_between = |path: &paths::Path<'_>| {
        let from_to = |from: &[NodeId], to: &[NodeId]| from.contains(&path.src) && to.contains(&path.dst);
        from_to(nodes, others) || from_to(others, nodes)
    };
    let told = paths::told(scene);
    let mut between = told.iter().filter(|path| is_between(path));
    between.any(|path| path.seen.what.told.is_empty() && path.seen.what.sizes.iter().any(is_lost_by_size))
}

fn too_small(scene: &Scene<'_>, told: &[Own]) -> Option<Ruling> {
    let least = least(scene);
    let group: Vec<&Own> = told.iter().filter(|own| own.mtu < least).collect();
    let nodes: Vec<NodeId> = group.iter().map(|own| own.node).collect();
    let smallest = group.iter().map(|own| own.mtu).min()?;
    let takes = overhead::of(scene).map_or_else(String::new, |overhead| {
        format!(", of which {} takes {} octets", overhead.what, overhead.octets)
    });
    let detail = format!(
        "the interfaces of {} have an MTU of {smallest}{takes}: pods are left less than {LEAST_OF_PODS} octets",
        paths::side(scene, &nodes)
    );
    let fix = Fix {
        text: format!(
            "Set the MTU of these interfaces to {ETHERNET}, or to {least} at least, and that of the switches."
        ),
        commands: group
            .iter()
            .take(MOST_COMMANDS)
            .flat_map(|own| own.set_mtu(scene, ETHERNET))
            .collect(),
    };
    Some(Ruling::fail(
        paths::side(scene, &nodes),
        small_complaint(&group, detail, fix),
    ))
}

/// Of interfaces that leave too little: at the one node, or between those that have them.
fn small_complaint(small: &[&Own], detail: String, fix: Fix) -> Complaint {
    let nodes: Vec<NodeId> = small.iter().map(|own| own.node).collect();
    let (node, between) = match nodes.as_slice() {
        [one] => (Some(*one), None),
        _ => (None, Some([nodes.clone(), nodes.clone()])),
    };
    Complaint {
        cause: Cause {
            kind: CauseKind::MtuTooSmall,
            node,
            between,
            detail,
        },
        fix,
        evidence: small.iter().map(|own| own.line).collect(),
        explains: Explains::default(),
    }
}

/// The least MTU of an interface.
fn least(scene: &Scene<'_>) -> u32 {
    LEAST_OF_PODS + overhead::of(scene).map_or(0, |overhead| overhead.octets)
}

/// The least MTU that pods can do with: that of every link of IPv6, below which no software is tried any more.
const LEAST_OF_PODS: u32 = 1280;

const ETHERNET: u32 = 1500;

/// Commands of one finding.
const MOST_COMMANDS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, kind: &str, mtu: u32) -> Device {
        Device {
            name: name.to_owned(),
            kind: Some(kind.to_owned()),
            mtu,
            ..Device::default()
        }
    }

    #[test]
    fn what_an_interface_stands_on_gets_a_larger_mtu_first() {
        let mut vlan = device("bond0.40", "vlan", 1500);
        vlan.over = Some("bond0".to_owned());
        let mut member = device("eth0", "", 1500);
        member.master = Some("bond0".to_owned());
        let devices = [device("bond0", "bond", 1500), vlan.clone(), member.clone()];
        assert_eq!(
            under(&devices, "bond0.40", 9000),
            ["bond0"],
            "which sets its members"
        );
        assert_eq!(
            under(&devices, "bond0.40", 1400),
            Vec::<&str>::new(),
            "they have more"
        );
        member.master = Some("br0".to_owned());
        vlan.over = Some("br0".to_owned());
        let bridged = [device("br0", "bridge", 1500), vlan, member];
        assert_eq!(under(&bridged, "bond0.40", 9000), ["br0", "eth0"]);
    }
}
