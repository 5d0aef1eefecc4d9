//! L2-005: no other host has a node's address.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::survey::{Answer, Survey, lacking, off_link, own_cut_short};
use crate::{
    assumption::{Complaint, Explains, Pairs, Ruling, Scene},
    cause::{Cause, CauseKind, Fix},
    errand,
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
          the questions; what answers others who ask for the node counts, too",
    needs: "CAP_NET_RAW",
    rule: "fails if a link address answers that is none of the node's own; what a gateway, or somebody who answers for several \
           addresses, answers is proxy ARP and not judged here; not measured of a node that could not ask three times",
    remedy: "find the host with that link address in the switches' tables and give it another address",
    source: "RFC 5227 section 2.1.1; RFC 4862 section 5.4",
};

/// What is known of a node's own addresses.
#[derive(Default)]
struct Doubled<'a> {
    /// Link addresses that answer for them and are none of its own.
    others: BTreeSet<&'a str>,
    /// For which of them.
    addresses: BTreeSet<IpAddr>,
    lines: BTreeSet<u32>,
    /// Whether the node itself asked for each often enough.
    is_whole: bool,
    /// Whether one of them is on no link, so that nobody was asked.
    off_link: bool,
}

/// Judges every node's own addresses; one duplicate is one complaint, whatever the number of its families and observers.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let survey = Survey::of(scene);
    let mut by_node: BTreeMap<NodeId, Doubled<'_>> = BTreeMap::new();
    for (asker, told, asked) in survey.questions() {
        let owner = match asked.subject {
            Subject::Own => asker,
            Subject::Peer { node } => node,
            Subject::Gateway | Subject::Spare => continue,
        };
        let answer = survey.answer(told, asked, owner);
        let is_own = asked.subject == Subject::Own;
        if is_own {
            let entry = by_node.entry(owner).or_insert_with(|| Doubled {
                is_whole: true,
                ..Doubled::default()
            });
            entry.is_whole &= answer != Answer::Unasked || asked.not_on_link;
            entry.off_link |= asked.not_on_link;
            entry.lines.insert(told.line);
        }
        let Answer::By { others, .. } = answer else {
            continue;
        };
        let others: Vec<&str> = others.into_iter().filter(|mac| !survey.is_proxy(mac)).collect();
        if !others.is_empty() {
            let entry = by_node.entry(owner).or_default();
            entry.others.extend(others);
            entry.addresses.insert(asked.address);
            entry.lines.insert(told.line);
        }
    }
    let mut rulings: Vec<Ruling> = by_node
        .into_iter()
        .map(|(node, doubled)| {
            let subject = scene.name(node);
            if !doubled.others.is_empty() {
                Ruling::fail(subject, complaint(scene, &survey, node, doubled))
            } else if doubled.is_whole && doubled.off_link {
                Ruling::not_measured(subject, off_link())
            } else if doubled.is_whole {
                Ruling::pass(subject, "nobody else answers for its addresses")
            } else {
                Ruling::not_measured(subject, own_cut_short(scene, node))
            }
        })
        .collect();
    rulings.extend(lacking(scene, errand::Kind::Link, |_| true));
    rulings
}

fn complaint(scene: &Scene<'_>, survey: &Survey<'_>, owner: NodeId, doubled: Doubled<'_>) -> Complaint {
    let Doubled {
        others,
        addresses,
        lines,
        ..
    } = doubled;
    let members = others.iter().flat_map(|mac| survey.members_with(mac));
    let members: BTreeSet<NodeId> = members.copied().collect();
    let macs: Vec<&str> = others.iter().copied().collect();
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let places: Vec<(NodeId, String, String)> = members
        .iter()
        .flat_map(|member| places(scene, *member, &addresses))
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
                .map(|(twin, interface, own)| {
                    scene.ssh(*twin, &format!("ip address del {own} dev {interface}"))
                })
                .collect(),
        },
        evidence: lines.into_iter().collect(),
        explains: Explains {
            kinds: EXPLAINED,
            pairs: Pairs::Doubled(owner, members.into_iter().collect()),
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

/// What tests toward the owner come to that meet the twin, and between the two whatever does not leave the twin, which takes the
/// owner's address for its own.
const EXPLAINED: &[CauseKind] = &[
    CauseKind::DuplicateAddress,
    CauseKind::WrongResponder,
    CauseKind::ProxyArp,
    CauseKind::HostSetting,
    CauseKind::LossyPath,
    CauseKind::NotAdjacent,
];
