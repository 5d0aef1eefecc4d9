//! FW-004: firewalld accepts whatever pods send to their nodes.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    firewall::{Judge, Packet},
    observation::{Firewalld, Target},
    port::{PortRange, PortSet, Protocol},
    report::check::Check,
};

use super::{
    super::{Lack, Ruling, Scene},
    asked::When,
    drift, forward,
    node::{NodeFilter, family_of, firewalld_nodes, is_gdc, openings, pods_of},
};

pub(crate) const CHECK: Check = Check {
    id: "FW-004",
    asserts: "firewalld has every pod range as a source of a zone that accepts everything, at present and after its next start",
    how: "walks packets of the first and the last pod of each range through the kernel's rules of firewalld, and looks for their zone \
          in its files; nothing is sent",
    needs: "CAP_NET_ADMIN, and root to read firewalld's files",
    rule: "fails where firewalld stops packets of pods; warns where the next reload or start would make it do so",
    remedy: "firewall-cmd --zone=trusted --add-source=RANGE, at once and with --permanent",
    source: "firewalld section of the network requirements (zone k8s-pods); firewalld.zones(5)",
};

pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    if scene.inventory.pods.is_empty() {
        return Vec::new();
    }
    let nodes = firewalld_nodes(scene);
    nodes
        .iter()
        .map(|(node, firewalld)| judge_node(scene, node, firewalld))
        .collect()
}

/// How a range stands in one of firewalld's configurations; unknown is neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Accepted,
    Stopped,
    Unknown,
}

fn judge_node(scene: &Scene<'_>, node: &NodeFilter<'_>, firewalld: &Firewalld) -> Ruling {
    if let Some(lack) = node.unread() {
        return Ruling::not_measured(&node.name, lack);
    }
    let Some(rules) = node.firewalld_alone() else {
        let why = "firewalld's rules are not in a table of its own".to_owned();
        return Ruling::not_measured(&node.name, Lack::ToldElsewhere(why));
    };
    let judge = Judge::new(&rules);
    let arrival = arrival(scene, node).unwrap_or_default();
    let mut stopped = Vec::new();
    let mut unsaved = Vec::new();
    let mut accepted = Vec::new();
    let mut unknown = Vec::new();
    for range in &scene.inventory.pods {
        let Some(own) = scene.ledger.data_address(node.id, family_of(range)) else {
            continue;
        };
        let at_present = at_present((&judge, arrival), range, own);
        let on_disk = on_disk(node, (firewalld, arrival), range);
        match (at_present, on_disk) {
            (Standing::Stopped, on_disk) => stopped.push((range, on_disk)),
            (Standing::Accepted, Standing::Stopped) => unsaved.push(range),
            (Standing::Accepted, _) => accepted.push(range),
            (Standing::Unknown, _) => unknown.push(range),
        }
    }
    let is_saved = stopped.iter().all(|(_, on_disk)| *on_disk == Standing::Accepted);
    if !stopped.is_empty() && is_saved && unsaved.is_empty() && drift::tells(scene, node, firewalld) {
        let why = "another finding tells that the permanent configuration was never loaded".to_owned();
        return Ruling::not_measured(&node.name, Lack::ToldElsewhere(why));
    }
    if !stopped.is_empty() {
        return Ruling::fail(&node.name, stopped_complaint(node, firewalld, &stopped, &unsaved));
    }
    if !unsaved.is_empty() {
        return Ruling::warn(&node.name, unsaved_complaint(node, firewalld, &unsaved));
    }
    if accepted.is_empty() || !unknown.is_empty() {
        let why = "its rules do not tell what becomes of packets of pods".to_owned();
        return Ruling::not_measured(&node.name, Lack::ToldElsewhere(why));
    }
    if let Some(lack) = node.configuration_unread() {
        return Ruling::not_measured(&node.name, lack);
    }
    Ruling::pass(
        &node.name,
        format!("firewalld accepts what pods of {} send", said(&accepted)),
    )
}

/// By which device packets of pods come to a node: where the network plugin runs and brings them by a device of its own, by
/// that, which may have a zone of its own; else by the data interface, as bmctl's requirements have it.
fn arrival<'a>(scene: &Scene<'_>, node: &NodeFilter<'a>) -> Option<&'a str> {
    let has_plugin = node.is_live() && !is_gdc(scene.inventory) && !scene.inventory.flat;
    let of_plugin = has_plugin.then(|| forward::device_of_plugin(node)).flatten();
    of_plugin.or_else(|| node.interface())
}

fn at_present((judge, arrival): (&Judge<'_>, &str), range: &IpNet, own: IpAddr) -> Standing {
    let mut standing = Standing::Accepted;
    for pod in pods_of(range) {
        match openings(judge, &Packet::incoming(arrival, Protocol::Tcp, pod, own, 1)) {
            Some(openings) if !openings.stopped.is_empty() => return Standing::Stopped,
            Some(openings) if openings.open == all_ports() => {}
            Some(_) | None => standing = Standing::Unknown,
        }
    }
    standing
}

fn on_disk(node: &NodeFilter<'_>, (firewalld, arrival): (&Firewalld, &str), range: &IpNet) -> Standing {
    if node.configuration_unread().is_some() {
        return Standing::Unknown;
    }
    let accepts = |pod: IpAddr| {
        let zone = firewalld.zone_of(arrival, pod);
        zone.is_some_and(|zone| zone.target == Target::Accept)
    };
    if pods_of(range).into_iter().all(accepts) {
        Standing::Accepted
    } else {
        Standing::Stopped
    }
}

fn stopped_complaint(
    node: &NodeFilter<'_>,
    firewalld: &Firewalld,
    stopped: &[(&IpNet, Standing)],
    unsaved: &[&IpNet],
) -> super::super::Complaint {
    let ranges: Vec<&IpNet> = stopped.iter().map(|(range, _)| *range).collect();
    let is_saved = stopped.iter().all(|(_, on_disk)| *on_disk == Standing::Accepted);
    let why = if is_saved {
        "the zone in its permanent configuration was never loaded"
    } else {
        "it has no zone with target ACCEPT for them"
    };
    let detail = format!(
        "firewalld on {} stops what pods of {} send to the node: {why}",
        node.name,
        said(&ranges)
    );
    if is_saved && unsaved.is_empty() && !node.is_live() {
        let text =
            "Load the permanent configuration: nothing of a cluster runs here yet that a reload would harm.";
        return node.complaint(detail, text, vec!["firewall-cmd --reload".to_owned()]);
    }
    let mut commands = Vec::new();
    for when in When::BOTH {
        for (range, on_disk) in stopped {
            let is_needed = when == When::AtOnce || *on_disk != Standing::Accepted;
            commands.extend(is_needed.then(|| add_source(firewalld, when, range)));
        }
    }
    commands.extend(
        unsaved
            .iter()
            .map(|range| add_source(firewalld, When::Permanent, range)),
    );
    let text = format!(
        "Add the pods to zone trusted, at once and for the next start; no reload is needed.{}",
        node.about_reload()
    );
    node.complaint(detail, text, commands)
}

fn unsaved_complaint(
    node: &NodeFilter<'_>,
    firewalld: &Firewalld,
    unsaved: &[&IpNet],
) -> super::super::Complaint {
    let detail = format!(
        "firewalld on {} accepts what pods of {} send until the next reload or start: its permanent configuration has no zone with \
         target ACCEPT for them",
        node.name,
        said(unsaved)
    );
    let commands = unsaved
        .iter()
        .map(|range| add_source(firewalld, When::Permanent, range));
    let text = "Add the pods to zone trusted of the permanent configuration; no reload is needed.";
    node.complaint(detail, text, commands.collect())
}

/// A source is of one zone: one that another zone has is moved.
fn add_source(firewalld: &Firewalld, when: When, range: &IpNet) -> String {
    let is_taken = firewalld.zones.iter().any(|zone| zone.sources.contains(range));
    let verb = if is_taken { "change" } else { "add" };
    format!(
        "firewall-cmd{} --zone=trusted --{verb}-source={range}",
        when.option()
    )
}

fn said(ranges: &[&IpNet]) -> String {
    let ranges: Vec<String> = ranges.iter().map(ToString::to_string).collect();
    ranges.join(" and ")
}

fn all_ports() -> PortSet {
    let mut all = PortSet::new();
    PortRange::new(1, u16::MAX)
        .into_iter()
        .for_each(|range| all.insert(range));
    all
}
