//! L2-007: the default gateway answers on the link, with one link address.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use super::{
    apart::{Contacts, Shape},
    survey::{Survey, TRIES, cut_short, data_interface, lacking, off_link},
};
use crate::{
    assumption::{Complaint, Explains, Pairs, Ruling, Scene, crowd::listed},
    cause::{Cause, CauseKind, Fix},
    errand,
    id::NodeId,
    observation::{RouteEntry, Subject},
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
    rule: "fails if a gateway does not answer, warns if that is only the next hop of a default route that another one is preferred to; \
           warns if it answers with several link addresses, to one node or to different ones; fails \
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
    /// Whether no address of the data interface is on its link, so that nobody asked.
    off_link: bool,
}

/// A gateway: its address, with the subnet of who asks where the address says nothing of the link.
type Key = (Option<IpNet>, IpAddr);

/// On each link another router may have one and the same link-local address.
fn key_of(scene: &Scene<'_>, asker: NodeId, gateway: IpAddr) -> Key {
    let is_local = match gateway {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    (subnet_of(scene, asker).filter(|_| is_local), gateway)
}

fn subnet_of(scene: &Scene<'_>, node: NodeId) -> Option<IpNet> {
    let family = Family::of(node.address()?);
    data_interface(scene, node, family).map(|(_, prefix)| prefix.trunc())
}

/// Whether packets of a node leave by another gateway as long as that one's route is there: all routes over this one have a higher
/// metric.
fn is_spare(scene: &Scene<'_>, node: NodeId, gateway: IpAddr) -> bool {
    let Ok(host) = scene.host(node) else { return false };
    let routes = host.what.routes.as_deref().filter(|_| !host.what.routes_cut);
    let of_family = |route: &&RouteEntry| {
        route.forwards && route.to.prefix_len() == 0 && route.to.addr().is_ipv4() == gateway.is_ipv4()
    };
    let defaults = || routes.unwrap_or_default().iter().filter(of_family);
    let by_it = |route: &&RouteEntry| route.hops.iter().any(|hop| hop.via == Some(gateway));
    let own = defaults().filter(by_it).map(|route| route.metric).min();
    let least = defaults().map(|route| route.metric).min();
    own.zip(least).is_some_and(|(own, least)| own > least)
}

/// One ruling a gateway.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let survey = Survey::of(scene);
    let mut gateways: BTreeMap<Key, Gateway<'_>> = BTreeMap::new();
    for (node, told, asked) in survey.questions() {
        if asked.subject != Subject::Gateway {
            continue;
        }
        // The router of a family that the cluster does not use is no matter of the cluster.
        if scene
            .ledger
            .data_address(node, Family::of(asked.address))
            .is_none()
        {
            continue;
        }
        let gateway = gateways.entry(key_of(scene, node, asked.address)).or_default();
        if asked.not_on_link {
            gateway.off_link = true;
        } else if !asked.macs.is_empty() {
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
    for ((scope, address), gateway) in gateways {
        let subject = match scope {
            Some(subnet) => format!("{address} on {subnet}"),
            None => address.to_string(),
        };
        let (told, silent): (Vec<NodeId>, Vec<NodeId>) =
            gateway.silent.iter().partition(|node| split.contains(node));
        let (spared, silent): (Vec<NodeId>, Vec<NodeId>) = silent
            .into_iter()
            .partition(|node| is_spare(scene, *node, address));
        if !silent.is_empty() {
            rulings.push(Ruling::fail(
                subject.clone(),
                unanswered(scene, &survey, address, &gateway, &silent),
            ));
        } else if !spared.is_empty() {
            rulings.push(Ruling::warn(
                subject.clone(),
                spare(unanswered(scene, &survey, address, &gateway, &spared)),
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
                None if gateway.off_link && !gateway.unknown => Ruling::not_measured(subject, off_link()),
                None => Ruling::not_measured(subject, cut_short()),
            });
        }
    }
    rulings.extend(lacking(scene, errand::Kind::Link, |_| true));
    rulings
}

/// Of a route that is there for a time of need: nothing goes over it now.
fn spare(mut complaint: Complaint) -> Complaint {
    complaint
        .cause
        .detail
        .push_str("; the route over it is not the preferred one, and it is of no use when the other fails");
    complaint.explains = Explains::default();
    complaint
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
    // What goes to a host of the same subnet does not pass the gateway.
    let near: Vec<IpNet> = silent.iter().filter_map(|node| subnet_of(scene, *node)).collect();
    let is_near = |node: &NodeId| {
        node.address()
            .is_some_and(|address| near.iter().any(|subnet| subnet.contains(&address)))
    };
    let all = scene.ledger.nodes.keys().copied();
    let others: Vec<NodeId> = all.filter(|node| !is_near(node)).collect();
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
    let asks = match Family::of(gateway) {
        Family::Ipv4 => format!("arping -c 3 -I {} {gateway}", interface.name),
        Family::Ipv6 => format!("ndisc6 -m {gateway} {}", interface.name),
    };
    Some(scene.ssh(node, &asks))
}

/// What tests over a gateway come to that is not there.
const UNROUTED: &[CauseKind] = &[
    CauseKind::NotAdjacent,
    CauseKind::PathFilter,
    CauseKind::ReturnPathFilter,
    CauseKind::PathReject,
    CauseKind::LossyPath,
];
