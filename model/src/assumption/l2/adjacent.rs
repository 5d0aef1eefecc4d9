//! L2-002: load balancers and the control plane answer each other on one link, with their own link addresses.

use super::{
    apart::Contacts,
    survey::{Survey, cut_short, lacking},
};
use crate::{
    assumption::{Complaint, Explains, Ruling, Scene, crowd::listed},
    cause::{Cause, CauseKind, Fix},
    errand::{self, announces_on_link, must_be_adjacent},
    id::NodeId,
    observation::Subject,
    report::check::{CFG_SAME_SUBNET, Check},
};

/// Load balancers and the control plane are on one link.
pub(crate) const CHECK: Check = Check {
    id: "L2-002",
    asserts: "load balancer nodes reach each other and the control plane nodes on one link, where VIPs are announced by ARP",
    how: "each of them asks on the link of its data interface for the others by ordinary ARP requests and neighbour solicitations, up \
          to three times a second apart, and the answer's link address is compared with those that the peer itself told",
    needs: "CAP_NET_RAW",
    rule: "fails if a peer does not answer, or is not on the subnet; that somebody else answers for it is L2-003's",
    remedy: "put load balancer and control plane nodes on one VLAN, or use type bgp or mode manual",
    source: "the vendor's requirement of one layer 2 domain for bundled load balancing of type layer2; RFC 826, RFC 4861 section 7.2",
};

/// One ruling a node that has to be on a link with others; who does not find each other is one complaint.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    if !announces_on_link(scene.inventory) {
        return Vec::new();
    }
    let survey = Survey::of(scene);
    let contacts = Contacts::of(scene, &survey);
    let faults: Vec<_> = (contacts.faults(scene).into_iter())
        .filter(|fault| fault.must)
        .collect();
    let mut rulings: Vec<Ruling> = faults
        .iter()
        .map(|fault| Ruling::fail(fault.subject(scene), fault.complaint(scene, &survey)))
        .collect();
    let nodes: Vec<NodeId> = scene.nodes().collect();
    let mut elsewhere = Vec::new();
    for node in &nodes {
        let must = |other: &NodeId| must_be_adjacent(scene.inventory, *node, *other);
        let peers: Vec<NodeId> = nodes.iter().copied().filter(must).collect();
        let known = peers.iter().filter(|peer| scene.log(**peer).is_ok());
        let known: Vec<NodeId> = known.copied().collect();
        if known.is_empty() || !survey.seen.contains_key(node) {
            continue;
        }
        let outside = not_on_link(&survey, *node, &known);
        let is_told = faults.iter().any(|fault| fault.has(*node));
        let is_proxied = |peer: &NodeId| contacts.is_proxied(*node, *peer);
        if !outside.is_empty() {
            elsewhere.push((*node, outside));
        } else if known.iter().all(|peer| contacts.is_adjacent(*node, *peer)) {
            if !known.iter().any(is_proxied) {
                rulings.push(Ruling::pass(
                    scene.name(*node),
                    format!(
                        "all {} that it has to share the link with answer for themselves",
                        known.len()
                    ),
                ));
            }
        } else if !is_told && !known.iter().any(is_proxied) {
            rulings.push(Ruling::not_measured(scene.name(*node), cut_short()));
        }
    }
    rulings.extend(off_subnet(scene, &survey, &elsewhere));
    rulings.extend(lacking(scene, errand::Kind::Link, |node| {
        nodes
            .iter()
            .any(|other| must_be_adjacent(scene.inventory, node, *other))
    }));
    rulings
}

/// The peers that a node says are on none of its prefixes.
fn not_on_link(survey: &Survey<'_>, node: NodeId, peers: &[NodeId]) -> Vec<NodeId> {
    let Some(told) = survey.seen.get(&node) else {
        return Vec::new();
    };
    let is_on_link = |peer: NodeId, outside: bool| {
        let of_peer = move |subject: Subject| subject == Subject::Peer { node: peer };
        let mut asked = told.what.asked.iter().filter(move |asked| of_peer(asked.subject));
        asked.any(|asked| asked.not_on_link == outside)
    };
    let is_outside = |peer: &NodeId| is_on_link(*peer, true) && !is_on_link(*peer, false);
    peers.iter().copied().filter(is_outside).collect()
}

/// Nodes in different subnets, or with prefixes that leave peers out, are one complaint.
fn off_subnet(scene: &Scene<'_>, survey: &Survey<'_>, outside: &[(NodeId, Vec<NodeId>)]) -> Vec<Ruling> {
    // The fewest that do not fit are those to move: who misses everybody that it needs, before those who miss some.
    let Some(fewest) = outside.iter().map(|(_, peers)| peers.len()).max() else {
        return Vec::new();
    };
    let apart: Vec<NodeId> = outside
        .iter()
        .filter(|(_, peers)| peers.len() == fewest)
        .map(|(node, _)| *node)
        .collect();
    let mut peers: Vec<NodeId> = outside.iter().flat_map(|(_, peers)| peers).copied().collect();
    peers.sort_unstable();
    peers.dedup();
    let subject = listed(scene, &apart);
    let is_configured = scene
        .configured
        .iter()
        .any(|finding| finding.check == CFG_SAME_SUBNET.id);
    if is_configured {
        return vec![Ruling::told(
            subject,
            format!(
                "{} are not on its subnet, as {} tells",
                listed(scene, &peers),
                CFG_SAME_SUBNET.id
            ),
        )];
    }
    let complaint = Complaint {
        cause: Cause {
            kind: CauseKind::NotAdjacent,
            node: None,
            between: Some([apart.clone(), peers.clone()]),
            detail: format!(
                "{subject} has {} on none of its subnets: load balancer and control plane nodes have to be on one link",
                listed(scene, &peers)
            ),
        },
        fix: Fix {
            text: format!(
                "Give {subject} an address of the same subnet, or the same prefix length, or use type bgp, which needs no common link."
            ),
            commands: apart
                .iter()
                .take(1)
                .map(|node| scene.ssh(*node, "ip address show"))
                .collect(),
        },
        evidence: survey.lines(apart).into_iter().collect(),
        explains: Explains::default(),
    };
    vec![Ruling::fail(subject, complaint)]
}
