//! L2-004: the nodes of a subnet are in one broadcast domain.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::{
    apart::Contacts,
    survey::{Survey, cut_short, data_interface, lacking},
};
use crate::{
    assumption::{Ruling, Scene},
    errand,
    id::NodeId,
    port::Family,
    report::check::Check,
};

/// One subnet is one link.
pub(crate) const CHECK: Check = Check {
    id: "L2-004",
    asserts: "the nodes of a subnet are in one broadcast domain: each hears what another asks of all",
    how: "every node listens from the beginning; the ordinary ARP requests of L2-002 and L2-003 are broadcast, and it is compared who \
          sent some with who heard them; no other frame is sent",
    needs: "CAP_NET_RAW",
    rule: "fails if two nodes of one subnet neither answer nor hear each other; what keeps several apart is one finding; fails with \
           L2-003 where somebody answers in the place of those who are not heard",
    remedy: "have the switch ports in one VLAN, allow it on the trunks between switches, take private VLANs and port isolation away",
    source: "RFC 826: a request reaches every host of the link; RFC 5517 (private VLANs)",
};

/// One ruling a fault, and one for each subnet that has none.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let survey = Survey::of(scene);
    let contacts = Contacts::of(scene, &survey);
    let faults = contacts.faults(scene);
    let mut rulings: Vec<Ruling> = faults
        .iter()
        .map(|fault| Ruling::fail(fault.subject(scene), fault.complaint(scene, &survey)))
        .collect();
    let mut told: BTreeSet<NodeId> = faults
        .iter()
        .flat_map(|fault| fault.sides.iter().flatten())
        .copied()
        .collect();
    for proxied in contacts.proxied().filter(|proxied| proxied.hides()) {
        let complaint = proxied.complaint(scene, &survey);
        let subject = proxied.subject(scene);
        told.extend(proxied.pairs.iter().flat_map(|(one, other)| [*one, *other]));
        rulings.push(if proxied.must {
            Ruling::fail(subject, complaint)
        } else {
            Ruling::warn(subject, complaint)
        });
    }
    for (subnet, nodes) in subnets(scene, &survey) {
        if nodes.len() < 2 || nodes.iter().any(|node| told.contains(node)) {
            continue;
        }
        let (known, all) = count(&survey, &contacts, &nodes);
        rulings.push(match known {
            0 => Ruling::not_measured(subnet.to_string(), cut_short()),
            known => Ruling::pass(
                subnet.to_string(),
                format!(
                    "{} nodes: {known} of {all} pairs heard or answered each other, and none is known to be apart",
                    nodes.len()
                ),
            ),
        });
    }
    rulings.extend(lacking(scene, errand::Kind::Listen, |_| true));
    rulings
}

/// The nodes that asked, by the subnet of their data addresses.
fn subnets(scene: &Scene<'_>, survey: &Survey<'_>) -> BTreeMap<IpNet, Vec<NodeId>> {
    let mut subnets: BTreeMap<IpNet, Vec<NodeId>> = BTreeMap::new();
    for node in survey.seen.keys() {
        let Some(address) = node.address() else { continue };
        if let Some((_, prefix)) = data_interface(scene, *node, Family::of(address)) {
            subnets.entry(prefix.trunc()).or_default().push(*node);
        }
    }
    subnets
}

/// How many pairs are known to be on one link, of how many.
fn count(survey: &Survey<'_>, contacts: &Contacts<'_>, nodes: &[NodeId]) -> (usize, usize) {
    let (mut known, mut all) = (0, 0);
    for (at, one) in nodes.iter().enumerate() {
        for other in &nodes[at + 1..] {
            all += 1;
            let is_heard =
                survey.heard(*one, *other) == Some(true) || survey.heard(*other, *one) == Some(true);
            known += usize::from(is_heard || contacts.is_adjacent(*one, *other));
        }
    }
    (known, all)
}
