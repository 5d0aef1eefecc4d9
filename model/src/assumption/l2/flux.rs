//! L2-010: a load balancer node with several interfaces answers for an address on one of them.

use std::collections::{BTreeMap, BTreeSet};

use super::survey::{Survey, data_interface, lacking};
use crate::{
    assumption::{Complaint, Explains, Ruling, Scene, vip::balances},
    cause::{Cause, CauseKind, Fix},
    errand,
    id::NodeId,
    observation::Subject,
    port::Family,
    report::check::Check,
};

/// No ARP flux.
pub(crate) const CHECK: Check = Check {
    id: "L2-010",
    asserts: "a load balancer node answers for its data address with one link address",
    how: "all answers to one question of another node are kept and compared with the link addresses that the node told of its interfaces",
    needs: "CAP_NET_RAW on the node that asks",
    rule: "warns if two interfaces of the node answer one question (ARP flux)",
    remedy: "net.ipv4.conf.all.arp_ignore=1 and net.ipv4.conf.all.arp_announce=2, or one interface on the link",
    source: "Linux ip-sysctl: by default every interface answers for every address of the host, so that traffic for the data address, \
             and for a VIP, enters by any of them",
};

/// One ruling a load balancer node that answered.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let survey = Survey::of(scene);
    let mut answers: BTreeMap<NodeId, (BTreeSet<&str>, BTreeSet<NodeId>)> = BTreeMap::new();
    for (asker, _, asked) in survey.questions() {
        let Subject::Peer { node: owner } = asked.subject else {
            continue;
        };
        if !balances(scene, owner) || asked.macs.is_empty() {
            continue;
        }
        let macs = asked.macs.iter().map(String::as_str);
        let own: BTreeSet<&str> = macs.filter(|mac| survey.macs(owner).contains(mac)).collect();
        if own.is_empty() {
            continue;
        }
        let entry = answers.entry(owner).or_default();
        if own.len() > 1 {
            entry.0.extend(own);
            entry.1.insert(asker);
        }
    }
    let mut rulings: Vec<Ruling> = answers
        .into_iter()
        .map(|(owner, (macs, askers))| {
            if macs.is_empty() {
                return Ruling::pass(scene.name(owner), "one interface answers for its address");
            }
            let lines = survey.lines(askers);
            Ruling::warn(scene.name(owner), complaint(scene, owner, &macs, lines))
        })
        .collect();
    if !rulings.is_empty() {
        rulings.extend(lacking(scene, errand::Kind::Link, |_| true));
    }
    rulings
}

fn complaint(scene: &Scene<'_>, owner: NodeId, macs: &BTreeSet<&str>, lines: BTreeSet<u32>) -> Complaint {
    let facts = scene.facts(owner).ok().map(|told| told.what);
    let interfaces = facts.map_or(&[][..], |facts| &facts.interfaces).iter();
    let answering = interfaces.filter(|interface| macs.contains(interface.mac.as_str()));
    let named: Vec<String> = answering
        .map(|interface| format!("{} ({})", interface.name, interface.mac))
        .collect();
    let family = owner.address().map_or(Family::Ipv4, Family::of);
    let data = data_interface(scene, owner, family).map_or("the data interface", |(found, _)| &found.name);
    let name = scene.name(owner);
    Complaint {
        cause: Cause {
            kind: CauseKind::HostSetting,
            node: Some(owner),
            between: None,
            detail: format!(
                "several interfaces of {name} answer for its address on {data} (ARP flux): {}",
                named.join(", ")
            ),
        },
        fix: Fix {
            text: format!(
                "Have each interface of {name} answer for its own addresses alone, also after the next start (/etc/sysctl.d)."
            ),
            commands: vec![
                scene.ssh(owner, "sysctl -w net.ipv4.conf.all.arp_ignore=1"),
                scene.ssh(owner, "sysctl -w net.ipv4.conf.all.arp_announce=2"),
            ],
        },
        evidence: lines.into_iter().collect(),
        explains: Explains::default(),
    }
}
