//! FW-009: what pods send to other nodes is not stopped on its way through theirs.

use ipnet::IpNet;

use crate::{
    firewall::{Manager, Place},
    report::check::Check,
};

use super::{
    super::{Lack, Ruling, Scene},
    node::{NodeFilter, family_of, nodes, pods_of, uses_cilium},
};

pub(crate) const CHECK: Check = Check {
    id: "FW-009",
    asserts: "no packet filter of a node drops what its pods send through it to other nodes",
    how: "walks the first packet of a pod's connection to another node through the kernel's rules of hook forward; nothing is sent",
    needs: "CAP_NET_ADMIN",
    rule: "fails where a rule or a policy drops it; on nodes without Kubernetes, iptables' own policy is left to the network plugin, \
           and firewalld to FW-004",
    remedy: "accept forwarded packets of the pod ranges ahead of the rule",
    source: "nftables(8), hook priorities; Kubernetes' network model",
};

pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    if scene.inventory.pods.is_empty() {
        return Vec::new();
    }
    let known = nodes(scene).into_iter().filter_map(Result::ok);
    known.filter_map(|node| judge_node(scene, &node)).collect()
}

fn judge_node(scene: &Scene<'_>, node: &NodeFilter<'_>) -> Option<Ruling> {
    node.ruleset?;
    let device = pod_device(scene, node);
    let mut dropped: Vec<(&IpNet, Place)> = Vec::new();
    let mut accepted = Vec::new();
    for range in &scene.inventory.pods {
        let family = family_of(range);
        let others = scene.nodes().filter(|other| *other != node.id);
        let Some(other) = others
            .filter_map(|other| scene.ledger.data_address(other, family))
            .next()
        else {
            continue;
        };
        let [first, _] = pods_of(range);
        let judgement = node.judge_forwarded((&device, first), (node.interface()?, other))?;
        accepted.push(judgement.accepts());
        dropped.extend(judgement.stopped_at().map(|place| (range, place.clone())));
    }
    let Some((_, place)) = dropped.first() else {
        let lack = || Lack::ToldElsewhere("its rules do not tell what becomes of packets of pods".to_owned());
        // Without another node there is nothing that pods could send to one.
        return (!accepted.is_empty()).then(|| match accepted.iter().all(|accepts| *accepts) {
            true => Ruling::pass(&node.name, "what pods send through the node is not dropped"),
            false => Ruling::not_measured(&node.name, lack()),
        });
    };
    let told = match &place.manager {
        Manager::Firewalld { .. } => Some("firewalld stops it, of which FW-004 tells"),
        Manager::Iptables { .. } if !node.is_live() => {
            Some("iptables stops it as yet: the network plugin inserts rules of its own ahead")
        }
        Manager::Iptables { .. } | Manager::Nftables => None,
    };
    if let Some(told) = told {
        return Some(Ruling::not_measured(
            &node.name,
            Lack::ToldElsewhere(told.to_owned()),
        ));
    }
    let ranges: Vec<String> = dropped.iter().map(|(range, _)| range.to_string()).collect();
    let detail = format!(
        "what pods of {} send through {} to other nodes is dropped by {place}",
        ranges.join(" and "),
        node.name
    );
    let commands = dropped.iter().flat_map(|(range, place)| accept(range, place));
    let text = "Accept what comes from and goes to the pods ahead of the rule, and write the same where the host keeps its rules.";
    Some(Ruling::fail(
        &node.name,
        node.complaint(detail, text, commands.collect()),
    ))
}

/// The device by which packets of pods come in: one of the network plugin's, if there is any yet.
fn pod_device(scene: &Scene<'_>, node: &NodeFilter<'_>) -> String {
    let usual = if uses_cilium(scene.inventory) {
        "cilium_host"
    } else {
        "cni0"
    };
    device_of_plugin(node).unwrap_or(usual).to_owned()
}

/// A device of the network plugin's, if there is one.
pub(super) fn device_of_plugin<'a>(node: &NodeFilter<'a>) -> Option<&'a str> {
    let mut names = node
        .facts
        .interfaces
        .iter()
        .map(|interface| interface.name.as_str());
    let of_plugin = |name: &&str| POD_DEVICES.iter().any(|beginning| name.starts_with(beginning));
    names.find(of_plugin)
}

fn accept(range: &IpNet, place: &Place) -> Vec<String> {
    let is_ipv4 = range.network().is_ipv4();
    match &place.manager {
        Manager::Iptables { chain } => {
            let program = if is_ipv4 { "iptables" } else { "ip6tables" };
            let end = |option: &str| format!("{program} -I {chain} {option} {range} -j ACCEPT");
            vec![end("-s"), end("-d")]
        }
        Manager::Firewalld { .. } | Manager::Nftables => {
            let word = if is_ipv4 { "ip" } else { "ip6" };
            let end = |field: &str| {
                let (family, table, chain) = (place.family.as_str(), &place.table, &place.chain);
                format!("nft insert rule {family} {table} {chain} {word} {field} {range} accept")
            };
            vec![end("saddr"), end("daddr")]
        }
    }
}

/// Beginnings of the names of devices that network plugins make.
const POD_DEVICES: [&str; 4] = ["cilium_host", "cni0", "lxc", "cali"];
