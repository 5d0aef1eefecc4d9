//! L2-007: the default gateway answers on the link, with one link address.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    apart::{Contacts, Shape, listed},
    survey::{Survey, TRIES, cut_short, data_interface, lacking},
};
use crate::{
    assumption::{Complaint, Explains, Pairs, Ruling, Scene},
    cause::{Cause, CauseKind, Fix},
    errand,
    id::NodeId,
    observation::Subject,
    port::Family,
    report::check::Check,
};

/// There is one gateway, and it answers.
pub(crate) const CHECK: Check = Check {
    id: "L2-007",
    asserts: "the default gateway of each node answers on its link, and everybody is told the same link address",
    how: "each node asks for the next hops of its default routes over the data interface, by ordinary ARP requests and neighbour \
          solicitations, up to three times a second apart",
    needs: "CAP_NET_RAW",
    rule: "fails if a gateway does not answer; warns if it answers with several link addresses, to one node or to different ones; fails \
           if one of these is a node's",
    remedy: "look at the gateway's interface to this link and at the VLAN; of a pair of routers have one answer, with the virtual link \
             address",
    source: "RFC 826; RFC 4861 section 7.2; RFC 9568 section 8.1.2: a virtual router answers with its virtual link address alone",
};

/// What came of asking for one gateway.
#[derive(Default)]
struct Gateway<'a> {
    answered: BTreeSet<NodeId>,
    silent: BTreeSet<NodeId>,
    macs: BTreeSet<&'a str>,
    unknown: bool,
}

/// One ruling a gateway.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let survey = Survey::of(scene);
    let mut gateways: BTreeMap<IpAddr, Gateway<'_>> = BTreeMap::new();
    for (node, told, asked) in survey.questions() {
        if asked.subject != Subject::Gateway {
            continue;
        }
        let gateway = gateways.entry(asked.address).or_default();
        if !asked.macs.is_empty() {
            gateway.answered.insert(node);
            gateway.macs.extend(asked.macs.iter().map(String::as_str));
        } else if told.what.unfinished || asked.sent < TRIES {
            gateway.unknown = true;
        } else {
            gateway.silent.insert(node);
        }
    }
    let split: BTreeSet<NodeId> = Contacts::of(scene, &survey)
        .faults(scene)
        .into_iter()
        .filter(|fault| fault.shape != Shape::Two && fault.shape != Shape::Each)
        .flat_map(|fault| fault.sides.into_iter().flatten())
        .chain(survey.cloned())
        .collect();
    let mut rulings = Vec::new();
    for (address, gateway) in gateways {
        let subject = address.to_string();
        let (told, silent): (Vec<NodeId>, Vec<NodeId>) =
            gateway.silent.iter().partition(|node| split.contains(node));
        if !silent.is_empty() {
            rulings.push(Ruling::fail(
                subject.clone(),
                unanswered(scene, &survey, address, &gateway, &silent),
            ));
        } else if !told.is_empty() {
            rulings.push(Ruling::told(
                subject.clone(),
                format!(
                    "does not answer {}, as L2-004 or L2-006 tells",
                    listed(scene, &told)
                ),
            ));
        }
        if gateway.macs.len() > 1 {
            rulings.push(several(scene, &survey, address, &gateway));
        } else if gateway.silent.is_empty() {
            rulings.push(match gateway.macs.first() {
                Some(mac) => Ruling::pass(
                    subject,
                    format!("answers {} with {mac}", nodes_of(gateway.answered.len())),
                ),
                None => Ruling::not_measured(subject, cut_short()),
            });
        }
    }
    rulings.extend(lacking(scene, errand::Kind::Link, |_| true));
    rulings
}

fn nodes_of(count: usize) -> String {
    match count {
        1 => "1 node".to_owned(),
        count => format!("{count} nodes"),
    }
}

fn unanswered(
    scene: &Scene<'_>,
    survey: &Survey<'_>,
    address: IpAddr,
    gateway: &Gateway<'_>,
    silent: &[NodeId],
) -> Complaint {
    let names = listed(scene, silent);
    let some = match gateway.answered.len() {
        0 if gateway.unknown => String::new(),
        0 => ", or anybody else who asks".to_owned(),
        count => format!(", and answers {}", nodes_of(count)),
    };
    let alone = gateway.answered.is_empty();
    let node = silent.first().copied().filter(|_| silent.len() == 1 && !alone);
    let between = node.is_none().then(|| [silent.to_vec(), Vec::new()]);
    let others: Vec<NodeId> = scene.ledger.nodes.keys().copied().collect();
    Complaint {
        cause: Cause {
            kind: CauseKind::NotAdjacent,
            node,
            between,
            detail: format!(
                "the default gateway {address} of {names} does not answer them on the link{some}: three questions for its link address \
                 had no answer"
            ),
        },
        fix: Fix {
            text: if alone {
                format!(
                    "Look at the interface of {address} to this link: whether it is up, in this VLAN, and answers ARP or neighbour \
                     solicitations; or mend the default route."
                )
            } else {
                format!(
                    "Look at the switch ports and the default routes of {names}, and at what {address} filters."
                )
            },
            commands: silent
                .iter()
                .take(1)
                .filter_map(|node| by_hand(scene, *node, address))
                .collect(),
        },
        evidence: survey.lines(silent.iter().copied()).into_iter().collect(),
        explains: Explains {
            kinds: UNROUTED,
            pairs: Pairs::Among(silent.to_vec(), others),
        },
    }
}

fn several(scene: &Scene<'_>, survey: &Survey<'_>, address: IpAddr, gateway: &Gateway<'_>) -> Ruling {
    let of = |mac: &&str| survey.members_with(mac).first().copied();
    let member = gateway.macs.iter().find_map(of);
    let macs: Vec<&str> = gateway.macs.iter().copied().collect();
    let macs = macs.join(" and ");
    let complaint = Complaint {
        cause: Cause {
            kind: CauseKind::DuplicateAddress,
            node: member,
            between: None,
            detail: match member {
                Some(member) => format!(
                    "{} answers for the default gateway {address}, too: {macs} answer",
                    scene.name(member)
                ),
                None => format!(
                    "the default gateway {address} answers with several link addresses, {macs}: two routers answer, or another host has \
                     its address"
                ),
            },
        },
        fix: Fix {
            text: match member {
                Some(member) => format!("Remove {address} from {}.", scene.name(member)),
                None => "Find both link addresses in the switches' tables. If they are of a pair of routers, have these answer with the \
                         virtual link address alone (VRRP, HSRP); if one is of another host, take the address from it."
                    .to_owned(),
            },
            commands: gateway
                .answered
                .iter()
                .take(1)
                .filter_map(|node| by_hand(scene, *node, address))
                .collect(),
        },
        evidence: survey.lines(gateway.answered.iter().copied()).into_iter().collect(),
        explains: Explains::default(),
    };
    match member {
        Some(_) => Ruling::fail(address.to_string(), complaint),
        None => Ruling::warn(address.to_string(), complaint),
    }
}

fn by_hand(scene: &Scene<'_>, node: NodeId, gateway: IpAddr) -> Option<String> {
    let family = Family::of(node.address()?);
    let (interface, _) = data_interface(scene, node, family)?;
    Some(match Family::of(gateway) {
        Family::Ipv4 => format!("ssh {node} arping -c 3 -I {} {gateway}", interface.name),
        Family::Ipv6 => format!("ssh {node} ndisc6 -m {gateway} {}", interface.name),
    })
}

/// What tests over a gateway come to that is not there.
const UNROUTED: &[CauseKind] = &[
    CauseKind::NotAdjacent,
    CauseKind::PathFilter,
    CauseKind::ReturnPathFilter,
    CauseKind::PathReject,
    CauseKind::LossyPath,
];
