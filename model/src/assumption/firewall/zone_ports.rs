//! FW-002: the zone of the data interface lets in what the tables ask for.

use std::collections::BTreeMap;

use crate::{
    firewall::{Manager, Place},
    id::NodeId,
    observation::Firewalld,
    plan::Plan,
    port::PortSet,
    report::check::Check,
    verdict::Outcome,
};

use super::{
    super::{Lack, Ruling, Scene},
    asked::{Ports, TRANSPORTS, When, asked, each_firewalld},
    drift::Drift,
    node::{NodeFilter, is_gdc},
};

pub(crate) const CHECK: Check = Check {
    id: "FW-002",
    asserts: "the zone of firewalld that packets of the data interface resolve to lets in every port that the tables ask of the node, \
              and no other manager's chain stops one",
    how: "walks the first packet to each port, from its sources, through the kernel's own rules; nothing is sent",
    needs: "CAP_NET_ADMIN",
    rule: "fails for ports that the zone or another chain stops and that no test was made of (a live node's, or with --only \
           host); where tests were made, their finding tells of it",
    remedy: "firewall-cmd --zone=ZONE --add-port=PORT/PROTOCOL, at once and with --permanent; by iptables or nft ahead of a rule \
             of theirs",
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
    /// What chains of other managers stop.
    otherwise: BTreeMap<Place, Ports>,
    /// Whether a port among them fails the run.
    otherwise_fails: bool,
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
        let known = [&openings.open, &openings.stopped].into_iter();
        let unknown = known
            .chain(openings.stopped_otherwise.values())
            .fold(asked.ports.clone(), |left, known| left.difference(known));
        missing.unknown.extend(asked.protocol, &unknown);
        if !stopped.is_empty() {
            missing.ports.extend(asked.protocol, &stopped);
            missing.fails |= !stopped.intersection(&asked.that_fail).is_empty();
            missing.zone = missing.zone.or(openings.zone);
        }
        for (place, stopped) in openings.stopped_otherwise {
            let stopped = asked.ports.intersection(&stopped);
            if !stopped.is_empty() {
                missing.otherwise_fails |= !stopped.intersection(&asked.that_fail).is_empty();
                let ports = missing.otherwise.entry(place).or_default();
                ports.extend(asked.protocol, &stopped);
            }
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

fn judge_node(scene: &Scene<'_>, plan: &Plan, node: &NodeFilter<'_>, firewalld: &Firewalld) -> Vec<Ruling> {
    if let Some(lack) = node.unread() {
        return vec![Ruling::not_measured(&node.name, lack)];
    }
    let missing = missing(scene, plan, node);
    if missing.asked.is_empty() {
        // A cluster of one node: nobody is to be let in.
        return Vec::new();
    }
    let measured = measured(scene, node.id);
    let is_drift = Drift::of(scene, plan, node, firewalld).is_some_and(|drift| drift.explains(&missing));
    let otherwise = otherwise(scene, node, &missing, &measured);
    // What a chain of others stops is not let in, whatever the zone does.
    let zone_is_silent = otherwise.is_some() && missing.ports.is_empty() && missing.unknown.is_empty();
    let of_zone = (!zone_is_silent).then(|| ruling(node, &missing, &measured, is_drift));
    of_zone.into_iter().chain(otherwise).collect()
}

/// What is to be said of chains that are not firewalld's.
fn otherwise(
    scene: &Scene<'_>,
    node: &NodeFilter<'_>,
    missing: &Missing,
    measured: &Ports,
) -> Option<Ruling> {
    let (first, _) = missing.otherwise.first_key_value()?;
    let told = |why: &str| {
        let detail = format!("{first} on {} stops ports that are asked for: {why}", node.name);
        Some(Ruling::not_measured(&node.name, Lack::ToldElsewhere(detail)))
    };
    if is_gdc(scene.inventory)
        && missing
            .otherwise
            .keys()
            .all(|place| place.chain.starts_with("ufw"))
    {
        return told("it is one of ufw, of which FW-001 tells");
    }
    let untested: Vec<(&Place, Ports)> = missing
        .otherwise
        .iter()
        .map(|(place, ports)| (place, ports.difference(measured)))
        .filter(|(_, ports)| !ports.is_empty())
        .collect();
    let Some((place, _)) = untested.first() else {
        return told("another finding tells of them");
    };
    let mut all = Ports::default();
    for (_, ports) in &untested {
        for protocol in TRANSPORTS {
            all.extend(protocol, ports.of(protocol));
        }
    }
    let detail = format!(
        "{} are stopped on {} by a chain that is not firewalld's ({place}): no test was made of them",
        all.said(),
        node.name
    );
    let text = "Let the ports in ahead of the rule. The commands hold until the next start only: write the same where the host keeps \
                the rules of that manager, or switch it off.";
    let commands = untested.iter().flat_map(|(place, ports)| let_in(place, ports));
    let complaint = node.complaint(detail, text, commands.collect());
    Some(if missing.otherwise_fails {
        Ruling::fail(&node.name, complaint)
    } else {
        Ruling::warn(&node.name, complaint)
    })
}

fn let_in(place: &Place, ports: &Ports) -> Vec<String> {
    let (family, table, chain) = (place.family.as_str(), &place.table, &place.chain);
    let mut commands = Vec::new();
    for protocol in TRANSPORTS {
        for range in ports.of(protocol).ranges() {
            commands.push(match &place.manager {
                Manager::Iptables { chain } => {
                    let program = if family == "ip6" { "ip6tables" } else { "iptables" };
                    let range = range.to_string().replace('-', ":");
                    format!("{program} -t {table} -I {chain} -p {protocol} --dport {range} -j ACCEPT")
                }
                Manager::Firewalld { .. } | Manager::Nftables => {
                    format!("nft insert rule {family} {table} {chain} {protocol} dport {range} accept")
                }
            });
        }
    }
    commands
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
