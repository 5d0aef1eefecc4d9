//! VIP-004: on a live cluster one host answers for each VIP.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::free::{balances, is_live};
use crate::{
    assumption::{
        Complaint, Explains, Lack, Ruling, Scene,
        l2::{Survey, lacking},
    },
    cause::{Cause, CauseKind, Fix},
    errand::{self, vips},
    id::{NodeId, Role},
    inventory::Node,
    observation::{Life, Subject},
    report::check::Check,
};

/// A VIP is on one host.
pub(crate) const CHECK: Check = Check {
    id: "VIP-004",
    asserts: "on a live cluster one host has each VIP",
    how: "as VIP-001; to what answers the nodes are added whose probes tell that they have the VIP",
    needs: "CAP_NET_RAW",
    rule: "fails if more than one host has or answers for it, or one that is no node, and if nobody has that of a control plane \
           whose nodes are all live, as every load balancer node asked for it; not made before installation; an ingress VIP that nobody \
           answers for is not in use yet, and nothing is said",
    remedy: "look at the VRRP or speaker state of the load balancer nodes, and at what keeps their advertisements from each other (port \
             7946, VRRP); upgrade to 1.32 or later, which gives them distinct priorities",
    source: "RFC 9568 section 6: two masters of one virtual router do not hear each other; the vendor's release notes of 1.32",
};

/// One ruling a VIP.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let vips = vips(scene.inventory);
    if !is_live(scene) || vips.is_empty() {
        return Vec::new();
    }
    let survey = Survey::of(scene);
    let mut rulings = Vec::new();
    let mut split: BTreeMap<(Vec<NodeId>, Vec<&str>), Vec<IpAddr>> = BTreeMap::new();
    for vip in vips {
        let (members, strangers) = hosts(scene, &survey, vip);
        match members.len() + strangers.len() {
            0 if is_lost(scene, &survey, vip) => {
                rulings.push(Ruling::fail(vip.to_string(), lost(scene, &survey, vip)))
            }
            0 => rulings.push(Ruling::not_measured(
                vip.to_string(),
                Lack::ToldElsewhere("nobody has it so far".to_owned()),
            )),
            1 if strangers.is_empty() => rulings.push(Ruling::pass(vip.to_string(), "one node has it")),
            1 if !is_everybody_known(scene) => rulings.push(Ruling::not_measured(
                vip.to_string(),
                Lack::ToldElsewhere(
                    "one host answers for it, which may be a node that takes no part".to_owned(),
                ),
            )),
            _ => {
                let hosts = (members.into_iter().collect(), strangers.into_iter().collect());
                split.entry(hosts).or_default().push(vip);
            }
        }
    }
    for ((members, strangers), vips) in split {
        let said: Vec<String> = vips.iter().map(ToString::to_string).collect();
        let said = said.join(", ");
        let lines = survey.lines(scene.nodes().filter(|node| balances(scene, *node)));
        rulings.push(Ruling::fail(
            said.clone(),
            complaint(scene, &said, &members, &strangers, lines),
        ));
    }
    rulings.extend(lacking(scene, errand::Kind::Link, |node| balances(scene, node)));
    rulings
}

/// Whether nobody has the VIP of a control plane that serves: its nodes are live, and every load balancer node asked for it to the
/// end, on its own link. Parts of one machine (a lab, containers) act a cluster that nobody gave a VIP.
fn is_lost(scene: &Scene<'_>, survey: &Survey<'_>, vip: IpAddr) -> bool {
    let nodes = &scene.inventory.nodes;
    let with = |role: Role| nodes.iter().filter(move |node| node.roles.contains(&role));
    let serves = |node: &Node| {
        let facts = scene.facts(node.id);
        facts.is_ok_and(|facts| facts.what.life == Life::Live)
    };
    let asked = |node: &Node| {
        survey.questions().any(|(by, told, asked)| {
            let is_it = by == node.id && asked.address == vip && asked.subject == Subject::Spare;
            is_it && asked.sent > 0 && asked.macs.is_empty() && !told.what.unfinished
        })
    };
    let is_machine = |node: &Node| {
        let host = scene.host(node.id);
        host.is_ok_and(|host| scene.is_machine(node.id, host.what))
    };
    scene.inventory.control_plane_vip == Some(vip)
        && with(Role::ControlPlane).next().is_some()
        && with(Role::ControlPlane).all(serves)
        && with(Role::LoadBalancer).next().is_some()
        && with(Role::LoadBalancer).all(|node| asked(node) && is_machine(node))
}

fn lost(scene: &Scene<'_>, survey: &Survey<'_>, vip: IpAddr) -> Complaint {
    let carriers: Vec<NodeId> = scene.nodes().filter(|node| balances(scene, *node)).collect();
    Complaint {
        cause: Cause {
            kind: CauseKind::VipUnreachable,
            node: None,
            between: Some([carriers.clone(), Vec::new()]),
            detail: format!(
                "no node has the control plane VIP {vip}, and nobody answers for it on the link of the load balancer nodes, though the \
                 control plane is live: nobody reaches the API server by it"
            ),
        },
        fix: Fix {
            text: "Look why no load balancer node takes it: keepalived (or kube-vip) has to run there, reach the API server and \
                   HAProxy on its own node, and hear the others' VRRP."
                .to_owned(),
            commands: carriers
                .iter()
                .map(|node| scene.ssh(*node, &format!("ip address show to {vip}")))
                .collect(),
        },
        evidence: survey.lines(carriers).into_iter().collect(),
        explains: Explains::default(),
    }
}

/// Who has or answers for a VIP: nodes, and the link addresses of others.
fn hosts<'a>(scene: &Scene<'_>, survey: &Survey<'a>, vip: IpAddr) -> (BTreeSet<NodeId>, BTreeSet<&'a str>) {
    let mut members: BTreeSet<NodeId> = scene.nodes().filter(|node| has(scene, *node, vip)).collect();
    let mut strangers = BTreeSet::new();
    let questions = survey
        .questions()
        .filter(|(_, _, asked)| asked.address == vip && asked.subject == Subject::Spare);
    for mac in questions.flat_map(|(_, _, asked)| asked.macs.iter().map(String::as_str)) {
        match survey.members_with(mac) {
            [] if survey.is_proxy(mac) => {}
            [] => {
                strangers.insert(mac);
            }
            [first, ..] => {
                members.insert(*first);
            }
        }
    }
    (members, strangers)
}

/// Whether every node of the file told its link addresses, so that another's is a stranger's.
fn is_everybody_known(scene: &Scene<'_>) -> bool {
    let mut nodes = scene.inventory.nodes.iter();
    nodes.all(|node| scene.nodes().any(|taking| taking == node.id) && scene.facts(node.id).is_ok())
}

/// Whether this check tells of a stranger at a VIP.
pub(in crate::assumption) fn tells(scene: &Scene<'_>, survey: &Survey<'_>, vip: IpAddr) -> bool {
    let (members, strangers) = hosts(scene, survey, vip);
    let is_vip = vips(scene.inventory).contains(&vip);
    is_live(scene) && is_vip && !strangers.is_empty() && (!members.is_empty() || is_everybody_known(scene))
}

/// Whether a node has an address by its own word.
pub(super) fn has(scene: &Scene<'_>, node: NodeId, vip: IpAddr) -> bool {
    let facts = scene.facts(node).ok().map(|told| told.what);
    let interfaces = facts.map_or(&[][..], |facts| &facts.interfaces).iter();
    // The pool's addresses of kube-proxy's IPVS mode are on a dummy interface everywhere, and answered for by nobody.
    interfaces
        .filter(|interface| interface.name != "kube-ipvs0" && interface.name != "lo")
        .flat_map(|interface| &interface.addresses)
        .any(|text| text.split('/').next().and_then(|text| text.parse().ok()) == Some(vip))
}

fn complaint(
    scene: &Scene<'_>,
    vips: &str,
    members: &[NodeId],
    strangers: &[&str],
    lines: BTreeSet<u32>,
) -> Complaint {
    let named = members.iter().map(|member| scene.name(*member));
    let unnamed = strangers
        .iter()
        .map(|mac| format!("a host that is no node, with the link address {mac}"));
    let hosts: Vec<String> = named.chain(unnamed).collect();
    let shows = format!("ip address show to {}", vips.split(',').next().unwrap_or(vips));
    let is_alone = hosts.len() == 1;
    let hosts = hosts.join(" and ");
    Complaint {
        cause: Cause {
            kind: CauseKind::DuplicateAddress,
            node: members.first().copied().filter(|_| members.len() == 1),
            between: (members.len() > 1).then(|| [members[..1].to_vec(), members[1..].to_vec()]),
            detail: if is_alone {
                format!("{vips} is not on a node of the cluster: {hosts}, alone answers for it")
            } else {
                format!("{vips} is on several hosts at once: {hosts}; clients reach now the one and now the other")
            },
        },
        fix: Fix {
            text: if is_alone {
                "Find the host with that link address in the switches' tables and take the address from it; then look why no load \
                 balancer node has it."
            } else {
                "Find out why the load balancers do not hear each other (VRRP, TCP and UDP 7946, one layer 2 domain), and have all but \
                 one give the address back."
            }
            .to_owned(),
            commands: members.iter().map(|member| scene.ssh(*member, &shows)).collect(),
        },
        evidence: lines.into_iter().collect(),
        explains: Explains::default(),
    }
}
