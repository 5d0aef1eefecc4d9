//! L2-005: no other host has a node's address.

use std::collections::{BTreeMap, BTreeSet};

use super::answers::{macs, members_with, proxies, questions};
use crate::{
    assumption::{Complaint, Explains, Pairs, Ruling, Scene},
    cause::{Cause, CauseKind, Fix},
    id::NodeId,
    observation::Subject,
    report::check::Check,
};

/// Nobody else has a node's address.
pub(crate) const CHECK: Check = Check {
    id: "L2-005",
    asserts: "no other host on the link has a node's address",
    how: "each node asks on its link for its own addresses, by ARP probes (sender 0.0.0.0) and neighbour solicitations from its \
          link-local address, three times a second apart, and keeps every link address that answers; nobody learns anything from \
          the questions",
    needs: "CAP_NET_RAW",
    rule: "fails if a link address answers that is none of the node's own; what a gateway, or somebody who answers for several \
           addresses, answers is proxy ARP and not judged here",
    remedy: "find the host with that link address in the switches' tables and give it another address",
    source: "RFC 5227 section 2.1.1; RFC 4862 section 5.4",
};

/// Link addresses that answer for a node's own addresses, which of these, and the lines that tell.
type Doubled<'a> = (BTreeSet<&'a str>, Vec<String>, BTreeSet<u32>);

/// Judges every node's own addresses; one duplicate is one complaint, whatever the number of its families.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let proxies = proxies(scene);
    let mut by_node: BTreeMap<NodeId, Doubled<'_>> = BTreeMap::new();
    for (node, told, asked) in questions(scene) {
        if asked.subject != Subject::Own || asked.sent == 0 {
            continue;
        }
        let entry = by_node.entry(node).or_default();
        entry.2.insert(told.line);
        let own = macs(scene, node);
        let others = asked.macs.iter().map(String::as_str);
        // Of a host that told no link address any may be its own.
        let others: Vec<&str> = others
            .filter(|mac| !own.is_empty() && !own.contains(mac) && !proxies.contains(mac))
            .collect();
        if !others.is_empty() {
            entry.0.extend(others);
            entry.1.push(asked.address.to_string());
        }
    }
    by_node
        .into_iter()
        .map(|(node, (others, addresses, lines))| {
            let subject = scene.name(node);
            if others.is_empty() {
                return Ruling::pass(subject, "nobody else answers for its addresses");
            }
            Ruling::fail(subject, complaint(scene, node, &others, &addresses, lines))
        })
        .collect()
}

fn complaint(
    scene: &Scene<'_>,
    owner: NodeId,
    others: &BTreeSet<&str>,
    addresses: &[String],
    lines: BTreeSet<u32>,
) -> Complaint {
    let members: BTreeSet<NodeId> = others.iter().flat_map(|mac| members_with(scene, mac)).collect();
    let macs: Vec<&str> = others.iter().copied().collect();
    let places: Vec<(NodeId, String, String)> = members
        .iter()
        .flat_map(|member| places(scene, *member, addresses))
        .collect();
    let interface_of = |member: &NodeId| {
        let place = places.iter().find(|(node, _, _)| node == member);
        place.map_or_else(String::new, |(_, interface, _)| format!(" ({interface})"))
    };
    let named = |member: &NodeId| format!("{}{}", scene.name(*member), interface_of(member));
    let twins: Vec<String> = members.iter().map(named).collect();
    let (addresses, macs) = (addresses.join(" and "), macs.join(", "));
    let whose = match scene.name(owner) {
        name if name == addresses => name,
        name => format!("{addresses}, of {name},"),
    };
    let (node, between, detail) = if members.is_empty() {
        let detail = format!(
            "a host that is no node of the cluster, with the link address {macs}, answers for {whose} on the link: the address is in \
             use twice"
        );
        (Some(owner), None, detail)
    } else {
        let twins = twins.join(" and ");
        let detail = format!(
            "{twins} answers for {whose} on the link, with the link address {macs}: the address is in use twice"
        );
        let sides = [vec![owner], members.iter().copied().collect()];
        (None, Some(sides), detail)
    };
    let touched: Vec<NodeId> = std::iter::once(owner).chain(members).collect();
    Complaint {
        cause: Cause {
            kind: CauseKind::DuplicateAddress,
            node,
            between,
            detail,
        },
        fix: Fix {
            text: format!(
                "Remove {addresses} from the host with the link address {macs}, at once and from its network configuration."
            ),
            commands: places
                .iter()
                .map(|(twin, interface, own)| format!("ssh {twin} ip address del {own} dev {interface}"))
                .collect(),
        },
        evidence: lines.into_iter().collect(),
        explains: Explains {
            kinds: EXPLAINED,
            pairs: Pairs::Touching(touched),
        },
    }
}

/// Where a member has one of these addresses by its own word: its interface, and the address with its prefix.
fn places(scene: &Scene<'_>, member: NodeId, addresses: &[String]) -> Vec<(NodeId, String, String)> {
    let facts = scene.facts(member).ok().map(|told| told.what);
    let interfaces = facts.map_or(&[][..], |facts| &facts.interfaces).iter();
    let own = interfaces.flat_map(|interface| interface.addresses.iter().map(move |own| (interface, own)));
    own.filter(|(_, own)| {
        addresses
            .iter()
            .any(|address| own.split('/').next() == Some(address))
    })
    .map(|(interface, own)| (member, interface.name.clone(), own.clone()))
    .collect()
}

/// What tests between and toward the two come to: answers by the wrong one, or none, since the twin takes those to the owner for
/// its own.
const EXPLAINED: &[CauseKind] = &[
    CauseKind::DuplicateAddress,
    CauseKind::WrongResponder,
    CauseKind::ProxyArp,
    CauseKind::HostSetting,
    CauseKind::LossyPath,
    CauseKind::NotAdjacent,
];
