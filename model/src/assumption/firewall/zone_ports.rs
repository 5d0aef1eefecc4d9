//! FW-002: the zone of the data interface lets in what the tables ask for.

use crate::{
    id::NodeId, observation::Firewalld, plan::Plan, port::PortSet, report::check::Check, verdict::Outcome,
};

use super::{
    super::{Lack, Ruling, Scene},
    asked::{Ports, TRANSPORTS, When, asked, each_firewalld},
    drift::Drift,
    node::NodeFilter,
};

pub(crate) const CHECK: Check = Check {
    id: "FW-002",
    asserts: "the zone of firewalld that packets of the data interface resolve to lets in every port that the tables ask of the node",
    how: "walks the first packet to each port, from its sources, through the kernel's own rules; nothing is sent",
    needs: "CAP_NET_ADMIN",
    rule: "fails for ports that the zone stops and that no test was made of (a live node's, or with --only host); where tests \
           were made, their finding tells of it",
    remedy: "firewall-cmd --zone=ZONE --add-port=PORT/PROTOCOL, at once and with --permanent",
    source: "port tables of the profile; firewalld.zone(5)",
};

pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    each_firewalld(scene, |plan, node, firewalld| {
        judge_node(scene, plan, node, firewalld)
    })
}

/// What zones of a node stop of what it must answer on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) ports: Ports,
    /// Whether a port among them fails the run, by the profile.
    pub(super) fails: bool,
    /// The zone that stops them.
    pub(super) zone: Option<String>,
    /// What is asked for.
    asked: Ports,
    /// That of which the rules do not tell: a limit of rate, a match that is not understood.
    unknown: Ports,
}

/// What firewalld on a node stops of the ports that a plan asks of it.
pub(super) fn missing(scene: &Scene<'_>, plan: &Plan, node: &NodeFilter<'_>) -> Missing {
    let mut missing = Missing::default();
    for asked in asked(scene, plan, node) {
        missing.asked.extend(asked.protocol, &asked.ports);
        let Some(openings) = node.openings(asked.source, asked.destination, asked.protocol) else {
            missing.unknown.extend(asked.protocol, &asked.ports);
            continue;
        };
        let stopped = asked.ports.intersection(&openings.stopped);
        let known = [&openings.open, &openings.stopped, &openings.stopped_otherwise];
        let unknown = known
            .into_iter()
            .fold(asked.ports.clone(), |left, known| left.difference(known));
        missing.unknown.extend(asked.protocol, &unknown);
        if !stopped.is_empty() {
            missing.ports.extend(asked.protocol, &stopped);
            missing.fails |= !stopped.intersection(&asked.that_fail).is_empty();
            missing.zone = missing.zone.or(openings.zone);
        }
    }
    missing
}

/// The ports of a node of which a test tells.
fn measured(scene: &Scene<'_>, node: NodeId) -> Ports {
    let mut measured = Ports::default();
    for protocol in TRANSPORTS {
        let pairs = scene.pairs.iter();
        let own = pairs.filter(|pair| pair.dst == node && pair.transport.1 == protocol);
        let mut ports = PortSet::new();
        for cell in own.flat_map(|pair| &pair.cells) {
            if !matches!(cell.outcome, Outcome::NotMeasured(_)) {
                ports.extend(&cell.ports);
            }
        }
        measured.extend(protocol, &ports);
    }
    measured
}

fn judge_node(
    scene: &Scene<'_>,
    plan: &Plan,
    node: &NodeFilter<'_>,
    firewalld: &Firewalld,
) -> Option<Ruling> {
    if let Some(lack) = node.unread() {
        return Some(Ruling::not_measured(&node.name, lack));
    }
    let missing = missing(scene, plan, node);
    if missing.asked.is_empty() {
        // A cluster of one node: nobody is to be let in.
        return None;
    }
    let measured = measured(scene, node.id);
    let is_drift = Drift::of(scene, plan, node, firewalld).is_some_and(|drift| drift.explains(&missing));
    Some(ruling(node, &missing, &measured, is_drift))
}

fn ruling(node: &NodeFilter<'_>, missing: &Missing, measured: &Ports, is_drift: bool) -> Ruling {
    let zone = missing
        .zone
        .as_deref()
        .map_or_else(|| "firewalld".to_owned(), |zone| format!("firewalld zone {zone}"));
    if missing.ports.is_empty() && !missing.unknown.is_empty() {
        let why = "its rules do not tell of every port".to_owned();
        let lack = if missing.unknown.difference(measured).is_empty() {
            let told = missing.unknown.said();
            Lack::ToldElsewhere(format!("{why}: of {told} the tests that were made tell"))
        } else {
            Lack::Other(Some(node.id), why)
        };
        return Ruling::not_measured(&node.name, lack);
    }
    if missing.ports.is_empty() {
        let detail = format!(
            "{zone} lets in all {} ports that the tables ask for",
            missing.asked.count()
        );
        return Ruling::pass(&node.name, detail);
    }
    let untested = missing.ports.difference(measured);
    if untested.is_empty() || is_drift {
        let detail = format!(
            "{zone} on {} lacks {}; another finding tells of them",
            node.name,
            missing.ports.said()
        );
        return Ruling::not_measured(&node.name, Lack::ToldElsewhere(detail));
    }
    let detail = format!(
        "{zone} on {} lacks {}, by its rules: no test was made of them",
        node.name,
        untested.said()
    );
    let text = format!(
        "Add the ports to the zone, at once and for the next start; no reload is needed.{}",
        node.about_reload()
    );
    let commands = untested.add_to(missing.zone.as_deref(), &When::BOTH);
    let complaint = node.complaint(detail, text, commands);
    if missing.fails {
        Ruling::fail(&node.name, complaint)
    } else {
        Ruling::warn(&node.name, complaint)
    }
}
