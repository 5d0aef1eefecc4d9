//! FW-006: load balancer nodes let each other's VRRP in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    firewall::{Manager, Place},
    id::{NodeId, Role},
    inventory::{LoadBalancerMode, LoadBalancerType},
    port::{Family, Protocol},
    report::check::Check,
};

use super::{
    super::{Ruling, Scene},
    asked::When,
    node::{NodeFilter, is_gdc, nodes},
};

pub(crate) const CHECK: Check = Check {
    id: "FW-006",
    asserts: "the packet filters of nodes that carry VIPs in turn let VRRP in (IP protocol 112), which no port table names",
    how: "walks an advertisement of another load balancer node through the kernel's own rules; nothing is sent",
    needs: "CAP_NET_ADMIN",
    rule: "warns where bundled load balancing of layer 2 has several nodes and one of them stops the protocol",
    remedy: "firewall-cmd --zone=ZONE --add-protocol=vrrp, at once and with --permanent, or the same by iptables or nft",
    source: "RFC 9568 section 5.1; bundled load balancing with Keepalived",
};

pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let inventory = scene.inventory;
    let is_bundled = (inventory.load_balancer_mode, inventory.load_balancer_type)
        == (LoadBalancerMode::Bundled, LoadBalancerType::Layer2);
    let carriers: Vec<NodeId> = scene
        .nodes()
        .filter(|node| {
            let known = inventory.node(*node);
            known.is_some_and(|node| node.roles.contains(&Role::LoadBalancer))
        })
        .collect();
    if !is_gdc(inventory) || !is_bundled || carriers.len() < 2 {
        return Vec::new();
    }
    let known = nodes(scene).into_iter().filter_map(Result::ok);
    known
        .filter(|node| carriers.contains(&node.id))
        .filter_map(|node| judge_node(scene, &carriers, &node))
        .collect()
}

fn judge_node(scene: &Scene<'_>, carriers: &[NodeId], node: &NodeFilter<'_>) -> Option<Ruling> {
    let other = carriers.iter().find(|other| **other != node.id)?;
    if let Some(lack) = node.unread() {
        // Where no firewalld runs, most nodes filter nothing: FW-001 is what tells of them.
        return node
            .settings
            .firewalld
            .is_some()
            .then(|| Ruling::not_measured(&node.name, lack));
    }
    let source = other.address()?;
    scene.ledger.data_address(node.id, Family::of(source))?;
    let group: IpAddr = match source {
        IpAddr::V4(_) => VRRP_IPV4.into(),
        IpAddr::V6(_) => VRRP_IPV6.into(),
    };
    let judgement = node.judge_incoming(source, group, Protocol::Ip(VRRP))?;
    let Some(place) = judgement.stopped_at() else {
        return judgement
            .accepts()
            .then(|| Ruling::pass(&node.name, "VRRP of the other load balancer nodes is let in"));
    };
    let filter = match &place.manager {
        Manager::Firewalld { zone: Some(zone) } => format!("firewalld zone {zone} on {}", node.name),
        _ => format!("the packet filter of {}", node.name),
    };
    let detail = format!(
        "{filter} stops VRRP of the other load balancer nodes ({place}): each of them believes itself alone, and takes the VIPs"
    );
    let commands = let_in(place, source);
    let text = match &place.manager {
        Manager::Firewalld { .. } => format!(
            "Let IP protocol 112 in, at once and for the next start.{}",
            node.about_reload()
        ),
        Manager::Iptables { .. } | Manager::Nftables => {
            "Let IP protocol 112 in. The command holds until the next start only: write the same where the host keeps its rules."
                .to_owned()
        }
    };
    Some(Ruling::warn(&node.name, node.complaint(detail, text, commands)))
}

fn let_in(place: &Place, source: IpAddr) -> Vec<String> {
    match &place.manager {
        Manager::Firewalld { zone } => {
            let zone = zone
                .as_deref()
                .map(|zone| format!(" --zone={zone}"))
                .unwrap_or_default();
            let command = |when: When| format!("firewall-cmd{}{zone} --add-protocol=vrrp", when.option());
            When::BOTH.map(command).into()
        }
        Manager::Iptables { chain } => {
            let program = if source.is_ipv4() { "iptables" } else { "ip6tables" };
            vec![format!("{program} -I {chain} -p 112 -j ACCEPT")]
        }
        Manager::Nftables => vec![format!(
            "nft insert rule {} {} {} meta l4proto 112 accept",
            place.family.as_str(),
            place.table,
            place.chain
        )],
    }
}

/// IP protocol number of VRRP (IANA).
const VRRP: u8 = 112;
/// RFC 9568 section 5.1.1.2.
const VRRP_IPV4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// RFC 9568 section 5.1.2.2.
const VRRP_IPV6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
