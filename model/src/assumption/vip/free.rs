//! VIP-001: before installation nobody has the VIPs and the addresses of pools.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    assumption::{
        Complaint, Explains, Pairs, Ruling, Scene,
        l2::{Survey, cut_short, lacking},
    },
    cause::{Cause, CauseKind, Fix},
    errand::{self, vips},
    id::{NodeId, Role},
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
    if is_live(scene) {
        return Vec::new();
    }
    let survey = Survey::of(scene);
    let mut asked: BTreeMap<IpAddr, Vip<'_>> = BTreeMap::new();
    for (_, told, question) in survey.questions() {
        if question.subject != Subject::Spare || question.not_on_link {
            continue;
        }
        let vip = asked.entry(question.address).or_default();
        vip.lines.insert(told.line);
        vip.is_asked |= !told.what.unfinished && question.sent > 0;
        let answers = question.macs.iter().map(String::as_str);
        vip.macs.extend(answers.filter(|mac| !survey.is_proxy(mac)));
    }
    let mut taken: BTreeMap<BTreeSet<&str>, (Vec<IpAddr>, BTreeSet<u32>)> = BTreeMap::new();
    let mut rulings = Vec::new();
    for (address, vip) in asked {
        if !vip.macs.is_empty() {
            let entry = taken.entry(vip.macs).or_default();
            entry.0.push(address);
            entry.1.extend(vip.lines);
        } else if vip.is_asked {
            rulings.push(Ruling::pass(address.to_string(), "nobody answers for it"));
        } else {
            rulings.push(Ruling::not_measured(address.to_string(), cut_short()));
        }
    }
    for (macs, (addresses, lines)) in taken {
        let said: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        rulings.push(Ruling::fail(
            said.join(", "),
            complaint(scene, &survey, &macs, &said, lines),
        ));
    }
    if !vips(scene.inventory).is_empty() {
        rulings.extend(lacking(scene, errand::Kind::Link, |node| balances(scene, node)));
    }
    rulings
}

/// What is known of an address that nobody should have.
#[derive(Default)]
struct Vip<'a> {
    macs: BTreeSet<&'a str>,
    lines: BTreeSet<u32>,
    /// Whether a node asked for it to the end.
    is_asked: bool,
}

/// Whether a node of the cluster is live: its VIPs are in use then.
pub(super) fn is_live(scene: &Scene<'_>) -> bool {
    let is_live = |node| scene.facts(node).is_ok_and(|facts| facts.what.life == Life::Live);
    scene.nodes().any(is_live)
}

/// Whether a node announces VIPs.
pub(in crate::assumption) fn balances(scene: &Scene<'_>, node: NodeId) -> bool {
    let known = scene.inventory.node(node);
    known.is_some_and(|node| node.roles.contains(&Role::LoadBalancer))
}

fn complaint(
    scene: &Scene<'_>,
    survey: &Survey<'_>,
    macs: &BTreeSet<&str>,
    addresses: &[String],
    lines: BTreeSet<u32>,
) -> Complaint {
    let members = macs.iter().flat_map(|mac| survey.members_with(mac));
    let members: BTreeSet<NodeId> = members.copied().collect();
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
