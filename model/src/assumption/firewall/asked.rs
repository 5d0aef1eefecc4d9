//! Which ports the tables ask of a node, and from where.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;

use super::{
    super::{Ruling, Scene},
    node::{NodeFilter, firewalld_nodes},
};
use crate::{
    evidence::Group,
    observation::{Firewalld, Life},
    plan::{Expect, Plan},
    port::{Family, PortSet, Protocol},
    profile::Severity,
};

/// What one address asks of a node over one transport.
pub(super) struct Asked {
    pub(super) protocol: Protocol,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) ports: PortSet,
    /// Those of them whose failure fails the run.
    pub(super) that_fail: PortSet,
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

/// What is said of each node on which firewalld runs, by the plan with the port tables in it.
pub(super) fn each_firewalld<'a, Rulings: IntoIterator<Item = Ruling>>(
    scene: &Scene<'a>,
    judge: impl Fn(&Plan, &NodeFilter<'a>, &Firewalld) -> Rulings,
) -> Vec<Ruling> {
    let nodes = firewalld_nodes(scene);
    if nodes.is_empty() {
        return Vec::new();
    }
    let whole = whole_plan(scene);
    let plan = whole.as_ref().unwrap_or(scene.plan);
    nodes
        .iter()
        .flat_map(|(node, firewalld)| judge(plan, node, firewalld))
        .collect()
}

/// What a plan asks of a node, ascending by transport and source.
pub(super) fn asked(scene: &Scene<'_>, plan: &Plan, node: &NodeFilter<'_>) -> Vec<Asked> {
    let mut out = Vec::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        let Some(destination) = scene.ledger.data_address(node.id, family) else {
            continue;
        };
        for protocol in TRANSPORTS {
            let by_source = by_source(scene, plan, node, (family, protocol));
            out.extend(by_source.into_iter().map(|(source, (ports, that_fail))| Asked {
                protocol,
                source,
                destination,
                ports,
                that_fail,
            }));
        }
    }
    out
}

fn by_source(
    scene: &Scene<'_>,
    plan: &Plan,
    node: &NodeFilter<'_>,
    (family, protocol): (Family, Protocol),
) -> BTreeMap<IpAddr, (PortSet, PortSet)> {
    // What only Services would serve is not asked of a live node that has none.
    let unserved = match node.facts.life {
        Life::Live => plan.service_ports_at(node.id, family, protocol),
        Life::Bare => PortSet::new(),
    };
    let blocks = plan.blocks.iter().filter(|block| {
        (block.family, block.protocol, block.expect) == (family, protocol, Expect::Open)
            && block.destinations.binary_search(&node.id).is_ok()
    });
    let mut by_source: BTreeMap<IpAddr, (PortSet, PortSet)> = BTreeMap::new();
    for block in blocks {
        let ports = block.ports.difference(&unserved);
        let sources = block.sources.iter().filter(|source| **source != node.id);
        let addresses = sources.filter_map(|source| scene.ledger.data_address(*source, family));
        for source in spread(addresses) {
            let (all, that_fail) = by_source.entry(source).or_default();
            all.extend(&ports);
            if block.severity == Severity::Fail {
                that_fail.extend(&ports);
            }
        }
    }
    by_source
}

/// A few addresses that stand for all: of as many networks as there are, the first of each; then the first of what is left.
fn spread(addresses: impl Iterator<Item = IpAddr> + Clone) -> Vec<IpAddr> {
    let mut chosen: Vec<(Option<IpNet>, IpAddr)> = Vec::new();
    for address in addresses.clone() {
        let network = network(address);
        if chosen.iter().all(|(known, _)| *known != network) {
            chosen.push((network, address));
        }
        if chosen.len() == MAX_SOURCES {
            break;
        }
    }
    let mut spread: Vec<IpAddr> = chosen.into_iter().map(|(_, address)| address).collect();
    for address in addresses.take(MAX_SOURCES) {
        if spread.len() < MAX_SOURCES && !spread.contains(&address) {
            spread.push(address);
        }
    }
    spread
}

/// The network of an address, as long as networks of hosts usually are.
fn network(address: IpAddr) -> Option<IpNet> {
    let length = if address.is_ipv4() { 24 } else { 64 };
    Some(IpNet::new(address, length).ok()?.trunc())
}

/// Ports of both transports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) tcp: PortSet,
    pub(super) udp: PortSet,
}

impl Ports {
    pub(super) fn is_empty(&self) -> bool {
        self.tcp.is_empty() && self.udp.is_empty()
    }

    pub(super) fn count(&self) -> u32 {
        self.tcp.count() + self.udp.count()
    }

    pub(super) fn of(&self, protocol: Protocol) -> &PortSet {
        match protocol {
            Protocol::Udp => &self.udp,
            _ => &self.tcp,
        }
    }

    pub(super) fn extend(&mut self, protocol: Protocol, ports: &PortSet) {
        match protocol {
            Protocol::Udp => self.udp.extend(ports),
            _ => self.tcp.extend(ports),
        }
    }

    pub(super) fn difference(&self, other: &Self) -> Self {
        Self {
            tcp: self.tcp.difference(&other.tcp),
            udp: self.udp.difference(&other.udp),
        }
    }

    /// `22/tcp, 6081/udp`.
    pub(super) fn said(&self) -> String {
        let of = |protocol: Protocol| {
            let ranges = self.of(protocol).ranges().iter();
            ranges.map(move |range| format!("{range}/{protocol}"))
        };
        let all: Vec<String> = TRANSPORTS.into_iter().flat_map(of).collect();
        all.join(", ")
    }

    /// Commands that add them to a zone of firewalld: at once, for the next start, or both.
    pub(super) fn add_to(&self, zone: Option<&str>, when: &[When]) -> Vec<String> {
        let zone = zone.map(|zone| format!(" --zone={zone}")).unwrap_or_default();
        let mut commands = Vec::new();
        for when in when {
            for protocol in TRANSPORTS {
                for range in self.of(protocol).ranges() {
                    commands.push(format!(
                        "firewall-cmd{}{zone} --add-port={range}/{protocol}",
                        when.option()
                    ));
                }
            }
        }
        commands
    }
}

/// Which configuration of firewalld a command changes (firewall-cmd(1)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// The runtime one.
    AtOnce,
    /// The permanent one.
    Permanent,
}

impl When {
    pub(super) const BOTH: [Self; 2] = [Self::AtOnce, Self::Permanent];

    pub(super) fn option(self) -> &'static str {
        match self {
            Self::AtOnce => "",
            Self::Permanent => " --permanent",
        }
    }
}

/// Transports with ports.
pub(super) const TRANSPORTS: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

/// Sources of one rule that are asked about: a zone treats all of one network alike, and the port matrix asks for all.
const MAX_SOURCES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_of_a_rule_are_of_as_many_networks_as_there_are() {
        let said = |texts: &[&str]| {
            let all = texts.iter().map(|text| text.parse::<IpAddr>().unwrap());
            let spread = spread(all.clone().collect::<Vec<_>>().into_iter());
            spread.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let racks = [
            "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.1.1", "10.0.2.1",
        ];
        assert_eq!(said(&racks), ["10.0.0.1", "10.0.1.1", "10.0.2.1", "10.0.0.2"]);
        assert_eq!(said(&racks[..2]), racks[..2]);
        assert_eq!(said(&racks[..4]), racks[..4]);
    }
}
