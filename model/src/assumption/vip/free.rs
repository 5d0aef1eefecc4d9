//! VIP-001: before installation nobody has the VIPs and the addresses of pools.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    assumption::{
        Complaint, Explains, Pairs, Ruling, Scene,
        l2::answers::{members_with, proxies, questions},
    },
    cause::{Cause, CauseKind, Fix},
    id::NodeId,
    observation::{Life, Subject},
    report::check::Check,
};

/// Nobody has the VIPs.
pub(crate) const CHECK: Check = Check {
    id: "VIP-001",
    asserts: "before installation no host has a VIP or an address of a pool",
    how: "load balancer nodes ask on their link for the VIPs and for some addresses of each pool (the ends and some between, dealt \
          out among the nodes), by probes from which nobody learns anything, up to three times a second apart",
    needs: "CAP_NET_RAW",
    rule: "fails if somebody answers; on a live cluster VIPs are in use and it is not made; what a gateway, or somebody who answers for \
           several addresses that are none of its own, answers is proxy ARP and not judged here",
    remedy: "free the address, or choose another one",
    source: "RFC 5227 section 2.1.1; the vendor's requirement that VIPs and pools are unused",
};

/// Judges each address that was asked for; what one host has taken is one complaint.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let is_live = |node| scene.facts(node).is_ok_and(|facts| facts.what.life == Life::Live);
    if scene.nodes().any(is_live) {
        return Vec::new();
    }
    let gateways = proxies(scene);
    let mut asked: BTreeMap<IpAddr, (BTreeSet<&str>, BTreeSet<u32>)> = BTreeMap::new();
    for (_, told, question) in questions(scene) {
        let is_silent = question.macs.is_empty();
        if question.subject != Subject::Spare || question.sent == 0 || told.what.unfinished && is_silent {
            continue;
        }
        let entry = asked.entry(question.address).or_default();
        entry.1.insert(told.line);
        let answers = question.macs.iter().map(String::as_str);
        entry.0.extend(answers.filter(|mac| !gateways.contains(mac)));
    }
    let mut taken: BTreeMap<BTreeSet<&str>, (Vec<IpAddr>, BTreeSet<u32>)> = BTreeMap::new();
    let mut rulings = Vec::new();
    for (address, (macs, lines)) in asked {
        if macs.is_empty() {
            rulings.push(Ruling::pass(address.to_string(), "nobody answers for it"));
        } else {
            let entry = taken.entry(macs).or_default();
            entry.0.push(address);
            entry.1.extend(lines);
        }
    }
    for (macs, (addresses, lines)) in taken {
        let said: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        rulings.push(Ruling::fail(
            said.join(", "),
            complaint(scene, &macs, &said, lines),
        ));
    }
    rulings
}

fn complaint(
    scene: &Scene<'_>,
    macs: &BTreeSet<&str>,
    addresses: &[String],
    lines: BTreeSet<u32>,
) -> Complaint {
    let members: BTreeSet<NodeId> = macs.iter().flat_map(|mac| members_with(scene, mac)).collect();
    let macs: Vec<&str> = macs.iter().copied().collect();
    let (said, macs) = (addresses.join(", "), macs.join(", "));
    let who = if members.is_empty() {
        "a host that is no node of the cluster".to_owned()
    } else {
        let names: Vec<String> = members.iter().map(|member| scene.name(*member)).collect();
        names.join(" and ")
    };
    let node = members.first().copied().filter(|_| members.len() == 1);
    Complaint {
        cause: Cause {
            kind: CauseKind::VipTaken,
            node,
            between: None,
            detail: format!(
                "{said} is in use already: {who}, with the link address {macs}, answers for it on the link of the load balancer nodes"
            ),
        },
        fix: Fix {
            text: format!(
                "Find the host with the link address {macs} in the switches' tables and take {said} from it, or choose another address in the cluster file."
            ),
            commands: Vec::new(),
        },
        evidence: lines.into_iter().collect(),
        explains: Explains {
            kinds: &[],
            pairs: Pairs::None,
        },
    }
}
