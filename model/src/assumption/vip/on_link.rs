//! VIP-002: VIPs are in the subnet of every load balancer node's data interface.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::free::balances;
use crate::{
    assumption::{Complaint, Explains, Lack, Ruling, Scene, l2::data_interface},
    cause::{Cause, CauseKind, Fix},
    errand::vips,
    evidence::SwarmKind,
    id::NodeId,
    port::Family,
    report::check::{CFG_SAME_SUBNET, Check},
};

/// VIPs are on the link.
pub(crate) const CHECK: Check = Check {
    id: "VIP-002",
    asserts: "every VIP is in a subnet that each load balancer node has on its data interface",
    how: "the VIPs of the cluster file are compared with the prefixes that the probes told; nothing is sent",
    needs: "nothing",
    rule: "fails if the data interface of a load balancer node has no prefix with the VIP; that no load balancer node at all has one is \
           CFG-014's finding, if that check was made; not judged in a lab of this machine, whose prefixes are made up",
    remedy: "choose a VIP of the load balancers' subnet, or mend the prefix length of the node's address",
    source: "a VIP that is announced by ARP is found only by those who ask for it on the link, and routers ask on the link of its subnet",
};

/// One ruling a VIP.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    if scene.ledger.run.parameters.swarm == SwarmKind::Lab {
        return Vec::new();
    }
    let is_configured = (scene.configured.iter()).any(|finding| finding.check == CFG_SAME_SUBNET.id);
    let mut rulings = Vec::new();
    // Nodes with the same trouble are one complaint.
    let mut outside: BTreeMap<Vec<NodeId>, Vec<IpAddr>> = BTreeMap::new();
    for vip in vips(scene.inventory) {
        let (mut inside, mut without) = (0, Vec::new());
        for node in scene.nodes().filter(|node| balances(scene, *node)) {
            match has(scene, node, vip) {
                Some(true) => inside += 1,
                Some(false) => without.push(node),
                None => {}
            }
        }
        let subject = vip.to_string();
        if without.is_empty() {
            rulings.push(match inside {
                0 => Ruling::not_measured(
                    subject,
                    Lack::ToldElsewhere("no probe of a load balancer node told its prefixes".to_owned()),
                ),
                count => Ruling::pass(subject, format!("on the link of {count} load balancer nodes")),
            });
        } else if is_configured {
            rulings.push(Ruling::told(
                subject,
                format!("off the subnet, as {} tells", CFG_SAME_SUBNET.id),
            ));
        } else {
            outside.entry(without).or_default().push(vip);
        }
    }
    for (nodes, vips) in outside {
        let subject: Vec<String> = vips.iter().map(ToString::to_string).collect();
        let subject = subject.join(", ");
        rulings.push(Ruling::fail(subject.clone(), complaint(scene, &nodes, &subject)));
    }
    rulings
}

/// Whether a prefix of a node's data interface has an address; `None` if the node told none of that family.
fn has(scene: &Scene<'_>, node: NodeId, vip: IpAddr) -> Option<bool> {
    let address = node.address()?;
    let (interface, _) = data_interface(scene, node, Family::of(address))?;
    let prefixes: Vec<ipnet::IpNet> = interface
        .addresses
        .iter()
        .filter_map(|text| text.parse().ok())
        .filter(|prefix: &ipnet::IpNet| prefix.prefix_len() < prefix.max_prefix_len())
        .collect();
    Some(prefixes.iter().any(|prefix| prefix.contains(&vip)))
}

fn complaint(scene: &Scene<'_>, nodes: &[NodeId], vips: &str) -> Complaint {
    let names: Vec<String> = nodes.iter().map(|node| scene.name(*node)).collect();
    let names = names.join(", ");
    let lines: BTreeSet<u32> = nodes
        .iter()
        .filter_map(|node| Some(scene.facts(*node).ok()?.line))
        .collect();
    Complaint {
        cause: Cause {
            kind: CauseKind::Config,
            node: nodes.first().copied().filter(|_| nodes.len() == 1),
            between: (nodes.len() > 1).then(|| [nodes.to_vec(), Vec::new()]),
            detail: format!(
                "{vips} is in no subnet of the data interface of {names}: who announces it there is not found by those who look for it in \
                 its own subnet"
            ),
        },
        fix: Fix {
            text: "Choose a VIP of the load balancer nodes' subnet in the cluster file, or mend the prefix length of the nodes' addresses."
                .to_owned(),
            commands: nodes
                .iter()
                .take(1)
                .map(|node| scene.ssh(*node, "ip address show"))
                .collect(),
        },
        evidence: lines.into_iter().collect(),
        explains: Explains::default(),
    }
}
