//! Who took part: the table of nodes, and what the script knows of each.

use std::{collections::BTreeMap, net::IpAddr};

use maud::{Markup, html};
use plumbline_model::{
    id::{NodeId, Role},
    observation::{HostFacts, Life},
    report::{Report, ReportNode, ReportVantage},
};
use serde::Serialize;

use super::grid::{Grid, Tally};
use crate::render::{count, scope};

/// A node as the script searches, orders and shows it.
#[derive(Debug, Serialize)]
pub(super) struct Card {
    id: NodeId,
    #[serde(skip_serializing_if = "String::is_empty")]
    host: String,
    roles: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    subnet: String,
    /// What else is known, by name, in the order in which it is shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    facts: Vec<(&'static str, String)>,
}

/// The node's card. A vantage that is no node of the cluster has little to tell.
pub(super) fn card(id: NodeId, report: &Report) -> Card {
    let Some(node) = report.nodes.iter().find(|node| node.id == id) else {
        let vantage = report.vantages.iter().find(|vantage| vantage.id == id);
        let facts = vantage.and_then(|vantage| vantage.facts.as_ref());
        return Card {
            id,
            host: vantage.map(|vantage| vantage.name.clone()).unwrap_or_default(),
            roles: outsider(id),
            version: String::new(),
            labels: BTreeMap::new(),
            subnet: String::new(),
            facts: facts.map(told).unwrap_or_default(),
        };
    };
    let facts = node.facts.as_ref();
    Card {
        id,
        host: facts.map(|facts| facts.hostname.clone()).unwrap_or_default(),
        roles: roles(node),
        version: node.version.to_string(),
        labels: node.labels.clone(),
        subnet: subnet(node).unwrap_or_default(),
        facts: match facts {
            Some(facts) => told(facts),
            None => vec![("State", absence(node, report))],
        },
    }
}

/// What somebody is who takes part and is no node of the cluster.
pub(super) fn outsider(id: NodeId) -> String {
    match id {
        NodeId::Coordinator => "admin workstation".to_owned(),
        NodeId::Address(_) => "vantage".to_owned(),
    }
}

/// A node's roles in words.
pub(super) fn roles(node: &ReportNode) -> String {
    let words: Vec<&str> = node
        .roles
        .iter()
        .map(|role| match role {
            Role::ControlPlane => "control plane",
            Role::LoadBalancer => "load balancer",
            Role::Worker => "worker",
        })
        .collect();
    words.join(" + ")
}

/// The network on whose interface the node's address stands.
fn subnet(node: &ReportNode) -> Option<String> {
    let address = node.id.address()?;
    let facts = node.facts.as_ref()?;
    let mut prefixes = facts.interfaces.iter().flat_map(|interface| &interface.addresses);
    prefixes.find_map(|prefix| {
        let (own, length) = prefix.split_once('/')?;
        let own: IpAddr = own.parse().ok()?;
        let length: u32 = length.parse().ok()?;
        (own == address).then(|| network(own, length)).flatten()
    })
}

/// `10.0.0.7` and 24 give `10.0.0.0/24`.
fn network(address: IpAddr, length: u32) -> Option<String> {
    let base = match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(length)?).unwrap_or(0);
            IpAddr::from((u32::from(address) & mask).to_be_bytes())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(length)?).unwrap_or(0);
            IpAddr::from((u128::from(address) & mask).to_be_bytes())
        }
    };
    Some(format!("{base}/{length}"))
}

fn told(facts: &HostFacts) -> Vec<(&'static str, String)> {
    let mut told = vec![("System", system(facts))];
    told.push((
        "Life",
        match facts.life {
            Life::Bare => "bare: no Kubernetes runs here yet".to_owned(),
            Life::Live => "live: Kubernetes runs here".to_owned(),
        },
    ));
    for interface in &facts.interfaces {
        if interface.name != "lo" && !interface.addresses.is_empty() {
            told.push(("Interface", interface_words(interface)));
        }
    }
    if !facts.gateways.is_empty() {
        let gateways: Vec<String> = facts.gateways.iter().map(ToString::to_string).collect();
        told.push(("Gateways", gateways.join(", ")));
    }
    if facts.firewalld {
        told.push(("Packet filter", "firewalld runs".to_owned()));
    }
    if let Some(why) = &facts.ruleset_unread {
        told.push(("Packet filter", format!("not read: {why}")));
    }
    if let Some(conntrack) = facts.conntrack {
        told.push((
            "Connection tracking",
            format!("{} of {} entries", conntrack.count, conntrack.max),
        ));
    }
    if !facts.probe_version.is_empty() {
        told.push(("Probe", facts.probe_version.clone()));
    }
    told.retain(|(_, text)| !text.is_empty());
    told
}

fn system(facts: &HostFacts) -> String {
    let parts = [facts.os.as_str(), facts.kernel.as_str()];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(", ")
}

fn interface_words(interface: &plumbline_model::observation::Interface) -> String {
    let state = if interface.up { "" } else { ", down" };
    format!(
        "{} {} mtu {}{state}",
        interface.name,
        interface.addresses.join(" "),
        interface.mtu
    )
}

/// Why nothing is known of a node.
fn absence(node: &ReportNode, report: &Report) -> String {
    match report.absent.iter().find(|absent| absent.node == node.id) {
        Some(absent) => format!("left out: {}", absent.why),
        None if report.excluded.contains(&node.id) => "took no part (--nodes, --exclude)".to_owned(),
        None if !scope::asked_somebody(report) => "not asked: checks of the file alone".to_owned(),
        None => "no probe joined".to_owned(),
    }
}

/// The table of nodes.
pub(super) fn nodes(report: &Report, grid: &Grid<'_>) -> Markup {
    let mut asks: BTreeMap<NodeId, Tally> = BTreeMap::new();
    let mut asked: BTreeMap<NodeId, Tally> = BTreeMap::new();
    for ((source, destination), pair) in &grid.pairs {
        asks.entry(*source).or_default().join(pair.tally);
        asked.entry(*destination).or_default().join(pair.tally);
    }
    let of = |tallies: &BTreeMap<NodeId, Tally>, node| tallies.get(&node).copied().unwrap_or_default();
    let has_labels = report.nodes.iter().any(|node| !node.labels.is_empty());
    html! {
        section.listing aria-labelledby="nodes" {
            h2 id="nodes" { "Nodes " span.count { (report.nodes.len()) } }
            p.small.hidden-fine role="status" {}
            div.wide tabindex="0" role="region" aria-label="Nodes, table" {
                table.rows {
                    thead { tr {
                        th scope="col" { "Node" } th scope="col" { "Roles" }
                        @if has_labels { th scope="col" { "Labels" } }
                        th scope="col" { "Wrong as source" } th scope="col" { "Wrong as destination" }
                        th scope="col" { "Version" } th scope="col" { "System" } th scope="col" { "Interfaces" }
                    } }
                    tbody {
                        @for node in &report.nodes {
                            (node_row(node, report, has_labels, of(&asks, node.id), of(&asked, node.id)))
                        }
                        @for vantage in &report.vantages { (vantage_row(vantage, has_labels, of(&asks, vantage.id))) }
                    }
                }
            }
        }
    }
}

fn node_row(node: &ReportNode, report: &Report, has_labels: bool, asks: Tally, asked: Tally) -> Markup {
    let is_to_touch = |finding: &&plumbline_model::report::Finding| {
        finding.cause.node == Some(node.id) || finding.nodes.contains(&node.id)
    };
    let is_fine = asks.wrong + asks.gaps + asked.wrong + asked.gaps == 0
        && node.facts.is_some()
        && report.findings.iter().find(is_to_touch).is_none();
    html! {
        tr.fine[is_fine] id={ "node-" (node.id) } data-node=(node.id) {
            th scope="row" {
                a href={ "#node-" (node.id) } { (node.id) }
                @if let Some(facts) = &node.facts {
                    @if !facts.hostname.is_empty() { br; span.small { (facts.hostname) } }
                }
            }
            td {
                (roles(node))
                @if node.facts.as_ref().is_some_and(|facts| facts.life == Life::Live) { " " span.label { "live" } }
            }
            @if has_labels {
                td { @for (name, value) in &node.labels { (name) "=" (value) br; } }
            }
            td { (tally_words(asks)) }
            td { (tally_words(asked)) }
            td { (node.version) }
            @match &node.facts {
                Some(facts) => {
                    td { (system(facts)) }
                    td {
                        @for interface in &facts.interfaces {
                            @if !interface.addresses.is_empty() && interface.name != "lo" {
                                (interface_words(interface)) br;
                            }
                        }
                    }
                }
                None => td colspan="2" { (absence(node, report)) }
            }
        }
    }
}

/// Somebody outside the cluster, who asks and is asked nothing.
fn vantage_row(vantage: &ReportVantage, has_labels: bool, asks: Tally) -> Markup {
    html! {
        tr.fine[asks.wrong + asks.gaps == 0 && vantage.facts.is_some()] id={ "node-" (vantage.id) } data-node=(vantage.id) {
            th scope="row" { a href={ "#node-" (vantage.id) } { (vantage.id) } br; span.small { (vantage.name) } }
            td { "vantage" }
            @if has_labels { td {} }
            td { (tally_words(asks)) }
            td { "–" }
            td {}
            td colspan="2" { @match &vantage.facts { Some(facts) => (system(facts)), None => "no probe joined" } }
        }
    }
}

/// What came of tests, in numbers.
pub(super) fn tally_words(tally: Tally) -> Markup {
    html! {
        @if tally.tests() == 0 {
            "–"
        } @else if tally.wrong + tally.gaps == 0 {
            "none of " (tally.tests())
        } @else {
            @if tally.wrong > 0 { strong { (tally.wrong) " of " (count(tally.tests(), "test")) } }
            @if tally.gaps > 0 { @if tally.wrong > 0 { ", " } (tally.gaps) " not measured" }
            @if tally.waived > 0 { ", " (tally.waived) " waived" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stands_in_its_network() {
        let of = |address: &str, length| network(address.parse().unwrap(), length);
        assert_eq!(of("10.0.3.7", 22).as_deref(), Some("10.0.0.0/22"));
        assert_eq!(of("10.0.3.7", 32).as_deref(), Some("10.0.3.7/32"));
        assert_eq!(of("10.0.3.7", 0).as_deref(), Some("0.0.0.0/0"));
        assert_eq!(of("fd00:0:0:1::7", 64).as_deref(), Some("fd00:0:0:1::/64"));
        assert_eq!(of("10.0.3.7", 33), None);
    }
}
