//! VIP-001: before installation nobody has the VIPs and the addresses of pools.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::single::has;
use crate::{
    assumption::{
        Complaint, Explains, Lack, Pairs, Ruling, Scene,
        l2::{Survey, cut_short, lacking},
    },
    cause::{Cause, CauseKind, Fix},
    errand::{self, vips},
    id::{NodeId, Role},
    observation::{Asked, Life, Subject},
    report::check::Check,
};

/// Nobody has the VIPs.
pub(crate) const CHECK: Check = Check {
    id: "VIP-001",
    asserts: "before installation no host has a VIP or an address of a pool",
    how: "load balancer nodes ask on their link for the VIPs and for some addresses of each pool (the ends and some between, dealt \
          out among the nodes), by probes from which nobody learns anything, up to three times a second apart",
    needs: "CAP_NET_RAW",
    rule: "fails if somebody answers, or if a node tells that it has a VIP; on a live cluster VIPs are in use and it is not made; what \
           only somebody answers who answers in the place of nodes, too, is proxy ARP (L2-003), and not measured, nor are VIPs of \
           an inventory in which no node has the role load_balancer",
    remedy: "free the address, or choose another one",
    source: "RFC 5227 section 2.1.1; the vendor's requirement that VIPs and pools are unused",
};

/// Judges each address that was asked for; what one host has taken is one complaint.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    if is_live(scene) {
        return Vec::new();
    }
    if let Some(ruling) = unannounced(scene) {
        return vec![ruling];
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
        let (proxies, macs): (BTreeSet<&str>, BTreeSet<&str>) = answers.partition(|mac| survey.is_proxy(mac));
        vip.is_proxied |= !proxies.is_empty();
        let holders = macs.iter().flat_map(|mac| survey.members_with(mac));
        vip.holders.extend(holders);
        vip.macs.extend(macs);
    }
    // Who has a VIP does not ask for it, and may be the only one to ask.
    for (address, node, line) in had(scene) {
        let vip = asked.entry(address).or_default();
        vip.holders.insert(node);
        vip.lines.insert(line);
    }
    let mut taken: BTreeMap<Taker<'_>, (Vec<IpAddr>, BTreeSet<u32>)> = BTreeMap::new();
    let mut rulings = Vec::new();
    for (address, vip) in asked {
        if !vip.macs.is_empty() || !vip.holders.is_empty() {
            let entry = taken.entry((vip.holders, vip.macs)).or_default();
            entry.0.push(address);
            entry.1.extend(vip.lines);
        } else if vip.is_proxied {
            let why =
                "only who answers in the place of nodes, too, answers for it, as L2-003 tells".to_owned();
            rulings.push(Ruling::not_measured(
                address.to_string(),
                Lack::ToldElsewhere(why),
            ));
        } else if vip.is_asked {
            rulings.push(Ruling::pass(address.to_string(), "nobody answers for it"));
        } else {
            rulings.push(Ruling::not_measured(address.to_string(), cut_short()));
        }
    }
    for (taker, (addresses, lines)) in taken {
        let said: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        rulings.push(Ruling::fail(
            said.join(", "),
            complaint(scene, &survey, &taker, &said, lines),
        ));
    }
    if !vips(scene.inventory).is_empty() {
        rulings.extend(lacking(scene, errand::Kind::Link, |node| balances(scene, node)));
    }
    rulings
}

/// An inventory of another distribution may have a VIP and no load balancer nodes: who is to announce it, from which link, is
/// not known then. A file of bmctl says by its mode whose the VIP is.
fn unannounced(scene: &Scene<'_>) -> Option<Ruling> {
    let inventory = scene.inventory;
    let mut nodes = inventory.nodes.iter();
    let is_announced = nodes.any(|node| node.roles.contains(&Role::LoadBalancer));
    let vip = inventory.control_plane_vip.or(inventory.ingress_vip)?;
    if is_announced || inventory.cluster_type.is_some() {
        return None;
    }
    let why = "no node has the role load_balancer, so that nobody is known who would announce it: VIP-001 to VIP-005 are not made; \
               give the role to the nodes of keepalived or kube-vip, unless the VIP is another machine's"
        .to_owned();
    Some(Ruling::not_measured(vip.to_string(), Lack::ToldElsewhere(why)))
}

/// What is known of an address that nobody should have.
#[derive(Default)]
struct Vip<'a> {
    /// Members that have it: by the link address that answers, or by their own word.
    holders: BTreeSet<NodeId>,
    macs: BTreeSet<&'a str>,
    lines: BTreeSet<u32>,
    /// Whether somebody answered who answers for others.
    is_proxied: bool,
    /// Whether a node asked for it to the end.
    is_asked: bool,
}

/// Who has an address: members, and the link addresses that answer for it.
type Taker<'a> = (BTreeSet<NodeId>, BTreeSet<&'a str>);

/// The VIPs that nodes have by their own word, with the line on which they tell. What the file gives to a node as its own address
/// is a matter of the file.
fn had(scene: &Scene<'_>) -> Vec<(IpAddr, NodeId, u32)> {
    let listed = |vip: &IpAddr| {
        let mut nodes = scene.inventory.nodes.iter();
        nodes.any(|node| node.id.address() == Some(*vip) || node.ssh == *vip)
    };
    let vips: Vec<IpAddr> = vips(scene.inventory)
        .into_iter()
        .filter(|vip| !listed(vip))
        .collect();
    let mut had = Vec::new();
    for node in scene.nodes() {
        let Ok(facts) = scene.facts(node) else { continue };
        let own = vips.iter().filter(|vip| has(scene, node, **vip));
        had.extend(own.map(|vip| (*vip, node, facts.line)));
    }
    had
}

/// Whether this check tells of who answers for an address.
pub(in crate::assumption) fn tells(scene: &Scene<'_>, survey: &Survey<'_>, address: IpAddr) -> bool {
    let is_told = |asked: &Asked| {
        let is_it = asked.address == address && asked.subject == Subject::Spare && !asked.not_on_link;
        is_it && asked.macs.iter().any(|mac| !survey.is_proxy(mac))
    };
    !is_live(scene) && survey.questions().any(|(_, _, asked)| is_told(asked))
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
    (members, macs): &Taker<'_>,
    addresses: &[String],
    lines: BTreeSet<u32>,
) -> Complaint {
    let is_gateway = macs.iter().any(|mac| survey.is_gateway(mac));
    let macs: Vec<&str> = macs.iter().copied().collect();
    let (said, macs) = (addresses.join(", "), macs.join(", "));
    let who = if members.is_empty() && is_gateway {
        "the default gateway, or who answers in its place".to_owned()
    } else if members.is_empty() {
        "a host that is no node of the cluster".to_owned()
    } else {
        let names: Vec<String> = members.iter().map(|member| scene.name(*member)).collect();
        names.join(" and ")
    };
    let node = members.first().copied().filter(|_| members.len() == 1);
    let (what, text) = if macs.is_empty() {
        (
            format!("{who} has it by its own word"),
            format!(
                "Remove {said} from {who}, at once and from what sets it at the next start (an earlier installation's keepalived or \
                 speaker), or choose another address in the cluster file."
            ),
        )
    } else {
        (
            format!(
                "{who}, with the link address {macs}, answers for it on the link of the load balancer nodes"
            ),
            format!(
                "Find the host with the link address {macs} in the switches' tables and take {said} from it, or choose another address in the cluster file."
            ),
        )
    };
    Complaint {
        cause: Cause {
            kind: CauseKind::VipTaken,
            node,
            between: None,
            detail: format!("{said} is in use already: {what}"),
        },
        fix: Fix {
            text,
            commands: Vec::new(),
        },
        evidence: lines.into_iter().collect(),
        explains: Explains {
            kinds: &[],
            pairs: Pairs::None,
        },
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        evidence::Group,
        id::Role,
        inventory::Inventory,
        report::{Report, Status, Verdict, stage::Stage},
    };

    fn report(amend: impl FnOnce(&mut Inventory)) -> Report {
        let mut stage = Stage::new().with_inventory(|inventory| {
            inventory.cluster_type = None;
            inventory.control_plane_vip = Some([10, 0, 0, 100].into());
            amend(inventory);
        });
        stage.parameters.groups = vec![Group::Reach, Group::L2];
        stage.report()
    }

    #[test]
    fn a_vip_that_no_node_is_known_to_announce_is_told_to_be_unchecked() {
        let told = report(|_| {});
        let row = told.checks.iter().find(|row| row.id == "VIP-001").unwrap();
        assert_eq!(
            (row.status, row.subject.as_str()),
            (Status::NotMeasured, "10.0.0.100")
        );
        assert!(
            row.detail.contains("no node has the role load_balancer"),
            "{}",
            row.detail
        );
        assert_eq!((told.verdict, told.findings), (Verdict::Passed, Vec::new()));
    }

    #[test]
    fn without_a_vip_or_with_somebody_to_announce_it_nothing_is_said() {
        let is_told = |report: &Report| {
            let mut rows = report.checks.iter();
            rows.any(|row| row.detail.contains("no node has the role load_balancer"))
        };
        assert!(!is_told(&report(|inventory| inventory.control_plane_vip = None)));
        assert!(!is_told(&report(|inventory| {
            inventory.nodes[0].roles.insert(Role::LoadBalancer);
        })));
    }
}
