//! FW-002: the zone of the data interface lets in what the tables ask for.

use crate::{
    evidence::Group,
    id::NodeId,
    observation::Life,
    plan::{Expect, Plan},
    port::{Family, PortSet, Protocol},
    profile::Severity,
    report::check::Check,
    verdict::Outcome,
};

use super::{
    super::{Lack, Ruling, Scene},
    node::{NodeFilter, at_once_and_permanent, firewalld_nodes},
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
    let nodes = firewalld_nodes(scene);
    if nodes.is_empty() {
        return Vec::new();
    }
    let whole = whole_plan(scene);
    let plan = whole.as_ref().unwrap_or(scene.plan);
    nodes
        .iter()
        .map(|(node, _)| judge_node(scene, plan, node))
        .collect()
}

/// The plan with the port tables in it, if they were not asked for.
pub(super) fn whole_plan(scene: &Scene<'_>) -> Option<Plan> {
    if scene.asks_for(Group::Reach) {
        return None;
    }
    let mut parameters = scene.ledger.run.parameters.clone();
    parameters.groups.push(Group::Reach);
    parameters.groups.sort_unstable();
    Some(Plan::new(scene.inventory, scene.profiles, &parameters))
}

/// What a node's packet filter stops of what it must answer on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) tcp: PortSet,
    pub(super) udp: PortSet,
    /// Of those, the ones that a rule of severity fail asks for.
    pub(super) fails: bool,
    /// The zone that stops them.
    pub(super) zone: Option<String>,
    /// How many ports are asked for.
    asked: u32,
    /// Whether the answer is known for all of them.
    is_known: bool,
}

impl Missing {
    pub(super) fn is_empty(&self) -> bool {
        self.tcp.is_empty() && self.udp.is_empty()
    }

    pub(super) fn ports(&self, protocol: Protocol) -> &PortSet {
        match protocol {
            Protocol::Udp => &self.udp,
            _ => &self.tcp,
        }
    }

    fn ports_mut(&mut self, protocol: Protocol) -> &mut PortSet {
        match protocol {
            Protocol::Udp => &mut self.udp,
            _ => &mut self.tcp,
        }
    }
}

/// What a node's packet filter stops of the ports that a plan asks of it.
pub(super) fn missing(scene: &Scene<'_>, plan: &Plan, node: &NodeFilter<'_>) -> Missing {
    let mut missing = Missing {
        is_known: true,
        ..Missing::default()
    };
    for family in [Family::Ipv4, Family::Ipv6] {
        for protocol in TRANSPORTS {
            stopped(scene, plan, node, (family, protocol), &mut missing);
        }
    }
    missing
}

fn stopped(
    scene: &Scene<'_>,
    plan: &Plan,
    node: &NodeFilter<'_>,
    (family, protocol): (Family, Protocol),
    missing: &mut Missing,
) {
    let Some(own) = scene.ledger.data_address(node.id, family) else {
        return;
    };
    // What only Services would serve is not asked of a live node that has none.
    let unserved = match node.facts.life {
        Life::Live => plan.service_ports_at(node.id, family, protocol),
        Life::Bare => PortSet::new(),
    };
    let blocks = plan.blocks.iter().filter(|block| {
        (block.family, block.protocol, block.expect) == (family, protocol, Expect::Open)
            && block.destinations.binary_search(&node.id).is_ok()
    });
    let mut asked = PortSet::new();
    for block in blocks {
        let ports = block.ports.difference(&unserved);
        asked.extend(&ports);
        let sources = block.sources.iter().filter(|source| **source != node.id);
        let addresses = sources.filter_map(|source| scene.ledger.data_address(*source, family));
        for source in addresses.take(MAX_SOURCES) {
            let Some(openings) = node.openings(source, own, protocol) else {
                missing.is_known = false;
                continue;
            };
            let stopped = ports.intersection(&openings.stopped);
            missing.is_known &= ports.difference(&openings.open).difference(&stopped).is_empty();
            if !stopped.is_empty() {
                missing.ports_mut(protocol).extend(&stopped);
                missing.fails |= block.severity == Severity::Fail;
                missing.zone = missing.zone.take().or_else(|| openings.zone().map(str::to_owned));
            }
        }
    }
    missing.asked += asked.count();
}

/// The ports of a node of which a test tells.
fn measured(scene: &Scene<'_>, node: NodeId, protocol: Protocol) -> PortSet {
    let pairs = scene
        .pairs
        .iter()
        .filter(|pair| pair.dst == node && pair.transport.1 == protocol);
    let mut ports = PortSet::new();
    for cell in pairs.flat_map(|pair| &pair.cells) {
        if !matches!(cell.outcome, Outcome::NotMeasured(_)) {
            ports.extend(&cell.ports);
        }
    }
    ports
}

fn judge_node(scene: &Scene<'_>, plan: &Plan, node: &NodeFilter<'_>) -> Ruling {
    if let Some(lack) = node.unread() {
        return Ruling::not_measured(&node.name, lack);
    }
    let missing = missing(scene, plan, node);
    let zone = missing
        .zone
        .as_deref()
        .map_or_else(|| "firewalld".to_owned(), |zone| format!("firewalld zone {zone}"));
    if missing.is_empty() && !missing.is_known {
        let why = "its rules do not tell of every port".to_owned();
        return Ruling::not_measured(&node.name, Lack::Other(Some(node.id), why));
    }
    if missing.is_empty() {
        let detail = format!(
            "{zone} lets in all {} ports that the tables ask for",
            missing.asked
        );
        return Ruling::pass(&node.name, detail);
    }
    let mut untested = missing.clone();
    for protocol in TRANSPORTS {
        let tested = measured(scene, node.id, protocol);
        *untested.ports_mut(protocol) = missing.ports(protocol).difference(&tested);
    }
    let said = said_ports(&missing);
    if untested.is_empty() {
        let detail = format!(
            "{zone} on {} lacks {said}; the failing tests' finding tells of them",
            node.name
        );
        return Ruling::not_measured(&node.name, Lack::ToldElsewhere(detail));
    }
    let detail = format!(
        "{zone} on {} lacks {}, by its rules: no test was made of them",
        node.name,
        said_ports(&untested)
    );
    let text = format!(
        "Add the ports to the zone, at once and for the next start; no reload is needed.{}",
        node.about_reload()
    );
    let complaint = node.complaint(detail, text, add_ports(missing.zone.as_deref(), &untested));
    if missing.fails {
        Ruling::fail(&node.name, complaint)
    } else {
        Ruling::warn(&node.name, complaint)
    }
}

/// `22/tcp, 6081/udp`.
pub(super) fn said_ports(missing: &Missing) -> String {
    let of = |protocol: Protocol| {
        let ranges = missing.ports(protocol).ranges().iter();
        ranges.map(move |range| format!("{range}/{protocol}"))
    };
    let all: Vec<String> = TRANSPORTS.into_iter().flat_map(of).collect();
    all.join(", ")
}

fn add_ports(zone: Option<&str>, missing: &Missing) -> Vec<String> {
    let zone = zone.map(|zone| format!("--zone={zone} ")).unwrap_or_default();
    let mut commands: [Vec<String>; 2] = Default::default();
    for protocol in TRANSPORTS {
        for range in missing.ports(protocol).ranges() {
            let [at_once, permanent] = at_once_and_permanent(&format!("{zone}--add-port={range}/{protocol}"));
            commands[0].push(at_once);
            commands[1].push(permanent);
        }
    }
    commands.concat()
}

/// Transports with ports.
pub(super) const TRANSPORTS: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

/// Sources of one rule that are asked about: a zone treats all of one network alike, and the port matrix asks for all.
const MAX_SOURCES: usize = 4;
