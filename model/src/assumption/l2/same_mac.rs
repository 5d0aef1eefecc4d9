//! L2-006: no two nodes of a link have one link address, and no two machines one name or id.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use super::{
    identity,
    survey::{Survey, data_interface},
};
use crate::{
    assumption::{Complaint, Explains, Pairs, Ruling, Scene, crowd::listed},
    cause::{Cause, CauseKind, Fix},
    id::NodeId,
    port::Family,
    report::check::Check,
};

/// Link addresses are unique.
pub(crate) const CHECK: Check = Check {
    id: "L2-006",
    asserts: "no two nodes of a subnet have the same link address, and no two machines the same name, machine-id or product UUID",
    how: "what the probes tell of their data interfaces, of uname(2), and of machine-id(5) and the firmware's product UUID as \
          digests that are of use in this run alone, is compared; nothing is sent",
    needs: "nothing; root for the product UUID",
    rule: "fails if two nodes of one subnet have one link address on their data interfaces, or two machines one name; warns if two \
           have one machine-id or product UUID; names and ids are not compared of nodes that are a part of a machine",
    remedy: "give the clone a link address of its own, in the hypervisor or in the host's network configuration, and a name and ids",
    source: "IEEE 802.1Q section 8.8: a switch keeps one port for a link address, so that of two hosts now the one and now the other \
             is reached; Kubernetes, installing kubeadm: the MAC address and product_uuid are unique for every node",
};

/// One ruling a link address, name or id that several have, and one for each subnet without.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let survey = Survey::of(scene);
    let mut subnets = heard(scene, &survey);
    for node in scene.nodes() {
        let Some(address) = node.address() else { continue };
        let Some((interface, prefix)) = data_interface(scene, node, Family::of(address)) else {
            continue;
        };
        // What it had when it asked is newer than what it told when it joined.
        let asked_with = survey.seen.get(&node).map(|told| told.what.mac.as_str());
        let mac = asked_with.unwrap_or(&interface.mac);
        if !mac.is_empty() && !address.is_loopback() {
            let by_mac = subnets.entry(prefix.trunc()).or_default();
            by_mac.entry(mac).or_default().insert(node);
        }
    }
    let mut rulings = Vec::new();
    for (subnet, by_mac) in &subnets {
        let count: usize = by_mac.values().map(BTreeSet::len).sum();
        let twins: Vec<_> = by_mac.iter().filter(|(_, nodes)| nodes.len() > 1).collect();
        if twins.is_empty() && count > 1 {
            rulings.push(Ruling::pass(
                subnet.to_string(),
                format!("{count} nodes, each with a link address of its own"),
            ));
        }
        for (mac, nodes) in twins {
            let nodes: Vec<NodeId> = nodes.iter().copied().collect();
            let nodes = nodes.as_slice();
            rulings.push(Ruling::fail(
                listed(scene, nodes),
                complaint(scene, &survey, mac, nodes),
            ));
        }
    }
    rulings.extend(identity::judge(scene));
    rulings
}

/// The nodes of each subnet by their link addresses.
type Subnets<'a> = BTreeMap<IpNet, BTreeMap<&'a str, BTreeSet<NodeId>>>;

/// What neighbours heard of nodes that told nothing themselves: a clone's probe often does not come through, but its host still
/// asks for its gateway.
fn heard<'a>(scene: &Scene<'a>, survey: &Survey<'a>) -> Subnets<'a> {
    let mut subnets = Subnets::new();
    // Who holds the address of another node speaks in its name, and is L2-005's.
    let told = scene
        .nodes()
        .filter_map(|node| Some(scene.facts(node).ok()?.what));
    let interfaces = told.flat_map(|facts| &facts.interfaces);
    let held: BTreeSet<IpAddr> = interfaces
        .flat_map(|interface| &interface.addresses)
        .filter_map(|text| Some(text.parse::<IpNet>().ok()?.addr()))
        .collect();
    for (listener, told) in survey.overheard() {
        for speaker in &told.what.speakers {
            let Some(address) = speaker.address else { continue };
            let node = NodeId::Address(address);
            let is_untold = scene.inventory.node(node).is_some() && scene.facts(node).is_err();
            let link = data_interface(scene, listener, Family::of(address));
            if let Some((_, prefix)) = link.filter(|(_, prefix)| prefix.contains(&address))
                && is_untold
                && !held.contains(&address)
            {
                let by_mac = subnets.entry(prefix.trunc()).or_default();
                by_mac.entry(&speaker.mac).or_default().insert(node);
            }
        }
    }
    subnets
}

fn complaint(scene: &Scene<'_>, survey: &Survey<'_>, mac: &str, nodes: &[NodeId]) -> Complaint {
    let names = listed(scene, nodes);
    let (first, rest) = nodes.split_at(1);
    let shows = nodes.iter().filter_map(|node| {
        let (interface, _) = data_interface(scene, *node, Family::of(node.address()?))?;
        Some(scene.ssh(*node, &format!("ip link show {}", interface.name)))
    });
    let facts = nodes
        .iter()
        .filter_map(|node| Some(scene.facts(*node).ok()?.line));
    let mut evidence: BTreeSet<u32> = survey.lines(nodes.iter().copied());
    evidence.extend(facts);
    Complaint {
        cause: Cause {
            kind: CauseKind::DuplicateMac,
            node: None,
            between: Some([first.to_vec(), rest.to_vec()]),
            detail: format!(
                "{names} have the same link address {mac}: the switch sends what is for one of them now to the one and now to the other"
            ),
        },
        fix: Fix {
            text: format!(
                "Give all but one of {names} a link address of its own, in the hypervisor or in the network configuration \
                 (MACADDR, cloned-mac-address); clones of an image often keep it."
            ),
            commands: shows.collect(),
        },
        evidence: evidence.into_iter().collect(),
        explains: Explains {
            kinds: MISDIRECTED,
            pairs: Pairs::Touching(nodes.to_vec()),
        },
    }
}

/// What tests with hosts come to whose frames go now to the one and now to the other.
const MISDIRECTED: &[CauseKind] = &[
    // A host that gets the other's packets drops them without a word, which looks as though its filter did.
    CauseKind::HostFirewall,
    CauseKind::DuplicateMac,
    CauseKind::DuplicateAddress,
    CauseKind::WrongResponder,
    CauseKind::PathFilter,
    CauseKind::PathReject,
    CauseKind::ReturnPathFilter,
    CauseKind::NotAdjacent,
    CauseKind::LossyPath,
    CauseKind::HostSetting,
];
