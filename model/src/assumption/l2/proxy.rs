//! L2-003: nobody answers ARP or neighbour solicitations for others.

use super::{
    apart::Contacts,
    survey::{Survey, lacking},
};
use crate::{
    assumption::{Ruling, Scene},
    errand,
    observation::Subject,
    report::check::Check,
};

/// Adjacency is real.
pub(crate) const CHECK: Check = Check {
    id: "L2-003",
    asserts: "nodes of one subnet answer for themselves, and no router does in their place",
    how: "from the answers of L2-002's questions, and of some more to other members on the same subnet: the link address is compared \
          with those that the peer itself told, with the gateway's and with what answers for others; and it is looked whether the peer \
          heard the request",
    needs: "CAP_NET_RAW",
    rule: "fails if somebody answers in the place of nodes that have to be on one link (L2-002), warns for others; one finding for a \
           link address that answers",
    remedy: "turn off proxy ARP, local proxy ARP or ND proxy on the router, and have the nodes in one VLAN without private VLAN or \
             isolated ports",
    source: "RFC 1027 (proxy ARP), RFC 3069 (private VLANs answered for by the router), RFC 4389 (ND proxies)",
};

/// One ruling a proxy, and one for each node whose peers answered for themselves.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let survey = Survey::of(scene);
    let contacts = Contacts::of(scene, &survey);
    let mut rulings = Vec::new();
    for proxied in contacts.proxied() {
        let complaint = proxied.complaint(scene, &survey);
        let subject = proxied.subject(scene);
        rulings.push(if proxied.must {
            Ruling::fail(subject, complaint)
        } else {
            Ruling::warn(subject, complaint)
        });
    }
    for (node, told) in &survey.seen {
        let peers = told.what.asked.iter().filter_map(|asked| match asked.subject {
            Subject::Peer { node } if !asked.macs.is_empty() => Some(node),
            _ => None,
        });
        let peers: std::collections::BTreeSet<_> = peers.collect();
        let is_proxied = peers.iter().any(|peer| contacts.is_proxied(*node, *peer));
        if !peers.is_empty() && !is_proxied {
            rulings.push(Ruling::pass(
                scene.name(*node),
                format!("{} answered it, each for itself", peers.len()),
            ));
        }
    }
    rulings.extend(lacking(scene, errand::Kind::Link, |_| true));
    rulings
}
