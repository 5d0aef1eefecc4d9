//! FW-005: on RHEL 9, firewalld lets what comes in by the main interface go on to Cilium's.

use std::net::IpAddr;

use crate::{
    firewall::Judge,
    observation::{Firewalld, Target},
    report::check::Check,
};

use super::{
    super::{Lack, Ruling, Scene},
    drift,
    node::{NodeFilter, family_of, firewalld_nodes, forwarded, is_gdc, pods_of},
};

pub(crate) const CHECK: Check = Check {
    id: "FW-005",
    asserts: "on Red Hat Enterprise Linux 9, firewalld lets what comes in by the main interface go on to cilium_host, at present and \
              after its next start",
    how: "walks a packet from another node to a pod through the kernel's rules of firewalld, and looks for zone and policy in its \
          files; nothing is sent",
    needs: "CAP_NET_ADMIN, and root to read firewalld's files",
    rule: "fails on nodes of bmctl with firewalld and RHEL 9 where either is missing, or the policy's ingress zone is not the main \
           interface's",
    remedy: "the zone cilium and the policy of the requirements; the policy's name must have 18 characters at most",
    source: "network requirements, further configuration for RHEL 9.2 and 9.4; firewalld/firewalld#1409",
};

pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    if !is_gdc(scene.inventory) {
        return Vec::new();
    }
    let nodes = firewalld_nodes(scene);
    nodes
        .iter()
        .filter(|(node, _)| is_rhel_9(&node.facts.os))
        .map(|(node, firewalld)| judge_node(scene, node, firewalld))
        .collect()
}

/// By `PRETTY_NAME`: `Red Hat Enterprise Linux 9.4 (Plow)`.
fn is_rhel_9(os: &str) -> bool {
    let version = os.strip_prefix("Red Hat Enterprise Linux ");
    version.is_some_and(|version| version == "9" || version.starts_with("9.") || version.starts_with("9 "))
}

fn judge_node(scene: &Scene<'_>, node: &NodeFilter<'_>, firewalld: &Firewalld) -> Ruling {
    if let Some(lack) = node.unread() {
        return Ruling::not_measured(&node.name, lack);
    }
    let unknown = |why: &str| Ruling::not_measured(&node.name, Lack::ToldElsewhere(why.to_owned()));
    let (Some(rules), Some(interface)) = (node.firewalld_alone(), node.interface()) else {
        return unknown("firewalld's rules are not in a table of its own");
    };
    let Some((other, pod)) = ends(scene, node) else {
        return unknown("no other node has an address of the pods' family");
    };
    let judge = Judge::new(&rules);
    let judgement = judge.evaluate(&forwarded((interface, other), (CILIUM_HOST, pod)));
    let is_stopped = judgement.stopped_at().is_some();
    let ingress = firewalld.zone_of(interface, other).map(|zone| zone.name.as_str());
    let is_saved = ingress.is_some_and(|ingress| is_saved(firewalld, ingress));
    if let Some(lack) = node.configuration_unread().filter(|_| !is_stopped) {
        return Ruling::not_measured(&node.name, lack);
    }
    if !is_stopped && is_saved {
        return Ruling::pass(&node.name, "firewalld lets what comes in go on to cilium_host");
    }
    if is_stopped && is_saved && drift::tells(scene, node, firewalld) {
        return unknown("another finding tells that the permanent configuration was never loaded");
    }
    let ingress = ingress.unwrap_or(&firewalld.default_zone);
    let when = match (is_stopped, is_saved) {
        (true, true) => "its permanent configuration, which would not, was never loaded",
        (true, false) => "it has no policy from the main interface's zone to one of cilium_host that accepts",
        (false, _) => {
            "from its next reload or start on, since its permanent configuration has no such policy"
        }
    };
    let detail = format!(
        "firewalld on {} stops what comes in for pods on its way to cilium_host: {when}",
        node.name
    );
    let mut commands: Vec<String> = Vec::new();
    if !is_saved {
        commands = permanent(ingress);
    }
    commands.push("firewall-cmd --reload".to_owned());
    let live = if node.is_live() {
        commands.extend(super::cilium_chains::restart_agent(node));
        " The node is live: nothing but a reload loads a policy, and it removes the rules of the cluster's own agents, whose pods on \
         this node have to be deleted right after it, from where kubectl is set up."
    } else {
        ""
    };
    let text = format!("Make the zone and the policy of the requirements, and load them.{live}");
    Ruling::fail(&node.name, node.complaint(detail, text, commands))
}

/// Another node and a pod of one family.
fn ends(scene: &Scene<'_>, node: &NodeFilter<'_>) -> Option<(IpAddr, IpAddr)> {
    scene.inventory.pods.iter().find_map(|range| {
        let mut others = scene.nodes().filter(|other| *other != node.id);
        let other = others.find_map(|other| scene.ledger.data_address(other, family_of(range)))?;
        let [first, _] = pods_of(range);
        Some((other, first))
    })
}

/// Whether the files have a zone of cilium_host that accepts, and a policy from the ingress zone to it that does.
fn is_saved(firewalld: &Firewalld, ingress: &str) -> bool {
    let mut zones = firewalld.zones.iter();
    let zone = zones.find(|zone| zone.interfaces.iter().any(|interface| interface == CILIUM_HOST));
    let Some(zone) = zone.filter(|zone| zone.target == Target::Accept) else {
        return false;
    };
    firewalld.policies.iter().any(|policy| {
        let has = |zones: &[String], name: &str| zones.iter().any(|zone| zone == name || zone == "ANY");
        policy.target == Target::Accept && has(&policy.ingress, ingress) && has(&policy.egress, &zone.name)
    })
}

fn permanent(ingress: &str) -> Vec<String> {
    [
        "--new-zone=cilium".to_owned(),
        "--zone=cilium --add-interface=cilium_host".to_owned(),
        "--zone=cilium --set-target=ACCEPT".to_owned(),
        "--zone=cilium --add-masquerade".to_owned(),
        "--zone=cilium --add-forward".to_owned(),
        format!("--new-policy={POLICY}"),
        format!("--policy={POLICY} --add-ingress-zone={ingress}"),
        format!("--policy={POLICY} --add-egress-zone=cilium"),
        format!("--policy={POLICY} --set-target=ACCEPT"),
    ]
    .map(|arguments| format!("firewall-cmd --permanent {arguments}"))
    .into()
}

/// Cilium's interface of the host.
const CILIUM_HOST: &str = "cilium_host";
/// The requirements' own name, `cilium-host-port-forwarding`, has 27 characters, and firewalld refuses more than 18.
const POLICY: &str = "cilium-host-fwd";
