//! CFG-014: VIPs that are announced by ARP are in the subnet of the nodes that announce them. CFG-006, as far as probes tell:
//! none of them is a router's.
//!
//! The file has no prefix lengths. Probes of real nodes tell them; without probes a /24 is assumed, which is no more than a
//! reason to look. A lab's interfaces say nothing of the real ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use crate::{
    cluster::AddressRange,
    evidence::SwarmKind,
    id::{NodeId, Role},
    inventory::{Inventory, LoadBalancerMode, LoadBalancerType},
    ledger::Ledger,
    observation::HostFacts,
    report::check,
    source::{Gravity, Place},
};

use super::Asked;

/// Something that the load balancer nodes announce.
struct Announced {
    words: String,
    addresses: AddressRange,
    place: Place,
}

/// The subnets of the load balancer nodes, with a node of each and how many more.
struct Subnets {
    nodes: BTreeMap<IpNet, Vec<IpAddr>>,
    known: Known,
}

/// From where the subnets are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Probes told them.
    Told,
    /// Nobody told anything yet: a /24 is assumed.
    Awaited,
    /// Probes joined, and none told a prefix of its address: a /24 is assumed.
    Untold,
    /// The hosts are a lab's, which has prefixes of its own: a /24 is assumed.
    Rehearsed,
}

pub(super) fn same(asked: &mut Asked<'_>, inventory: &Inventory, ledger: &Ledger<'_>) {
    routers(asked, inventory, ledger);
    if asked.layout.mode != Some(LoadBalancerMode::Bundled)
        || asked.layout.kind != Some(LoadBalancerType::Layer2)
    {
        return;
    }
    let subnets = subnets(inventory, ledger);
    let announced = announced(asked);
    if subnets.nodes.is_empty() || announced.is_empty() {
        return;
    }
    split(asked, &subnets);
    let known = subnets.nodes.keys().map(ToString::to_string).collect::<Vec<_>>();
    let outside: Vec<&Announced> = announced
        .iter()
        .filter(|what| !subnets.nodes.keys().any(|subnet| holds(subnet, what.addresses)))
        .collect();
    if let Some(first) = outside.first() {
        let words: Vec<&str> = outside.iter().map(|what| what.words.as_str()).collect();
        let is = if outside.len() == 1 { "is" } else { "are" };
        let message = format!(
            "{} {is} outside {}, the subnet of the load balancer nodes{}",
            words.join(", "),
            known.join(" and "),
            subnets.doubt()
        );
        let help = "choose addresses of that subnet, since load balancers announce them there by ARP, or use type bgp";
        asked.complain(
            first.place,
            (check::CFG_SAME_SUBNET, subnets.gravity()),
            message,
            help,
        );
    }
    let detail = format!(
        "load balancer nodes, VIP and pools are in {}{}",
        known.join(" and "),
        subnets.doubt()
    );
    if subnets.known == Known::Told {
        asked.made(check::CFG_SAME_SUBNET, detail);
    } else {
        asked.assumed(check::CFG_SAME_SUBNET, detail);
    }
}

impl Subnets {
    fn gravity(&self) -> Gravity {
        match self.known {
            Known::Told => Gravity::Fail,
            Known::Awaited | Known::Untold | Known::Rehearsed => Gravity::Warn,
        }
    }

    fn doubt(&self) -> &'static str {
        match self.known {
            Known::Told => "",
            Known::Awaited => " (assumed to be a /24; probes will tell)",
            Known::Untold => " (assumed to be a /24, since no probe told a prefix of its own there)",
            Known::Rehearsed => " (assumed to be a /24: the prefixes of a rehearsal's hosts are its own)",
        }
    }
}

/// Load balancer nodes in several subnets cannot take over from each other.
fn split(asked: &mut Asked<'_>, subnets: &Subnets) {
    let mut sized: Vec<(&IpNet, &Vec<IpAddr>)> = subnets.nodes.iter().collect();
    sized.sort_by_key(|(_, nodes)| std::cmp::Reverse(nodes.len()));
    let [_, (_, fewer), ..] = &sized[..] else { return };
    let Some(first) = fewer.first() else { return };
    let place = asked.place_of(*first);
    let said: Vec<String> = sized
        .iter()
        .filter_map(|(subnet, nodes)| {
            let first = nodes.first()?;
            Some(match nodes.len() {
                1 => format!("{subnet} ({first})"),
                count => format!("{subnet} ({first} and {} more)", count - 1),
            })
        })
        .collect();
    let message = format!(
        "the load balancer nodes are in {} subnets: {}{}",
        said.len(),
        said.join(", "),
        subnets.doubt()
    );
    let help = "give them addresses of one subnet, since a VIP moves between them by ARP, or use type bgp";
    asked.complain(place, (check::CFG_SAME_SUBNET, subnets.gravity()), message, help);
}

/// What is announced by ARP over IPv4, without what must be changed anyway.
fn announced(asked: &Asked<'_>) -> Vec<Announced> {
    let vip = asked.layout.control_plane_vip.iter().map(|vip| Announced {
        words: format!("controlPlaneVIP {}", vip.value),
        addresses: AddressRange {
            first: vip.value,
            last: vip.value,
        },
        place: vip.place,
    });
    let ranges = asked.layout.ranges().map(|range| Announced {
        words: format!("the pool range {}", range.value),
        addresses: range.value,
        place: range.place,
    });
    vip.chain(ranges)
        .filter(|what| what.addresses.first.is_ipv4() && !asked.must_change(what.place))
        .collect()
}

fn holds(subnet: &IpNet, range: AddressRange) -> bool {
    subnet.contains(&range.first) && subnet.contains(&range.last)
}

fn subnets(inventory: &Inventory, ledger: &Ledger<'_>) -> Subnets {
    let balancers: Vec<IpAddr> = inventory
        .nodes
        .iter()
        .filter(|node| node.roles.contains(&Role::LoadBalancer))
        .filter_map(|node| node.id.address())
        .filter(IpAddr::is_ipv4)
        .collect();
    let has_told = |address: &IpAddr| {
        let log = ledger.node(NodeId::from(*address));
        log.is_some_and(|log| log.facts.is_some())
    };
    let known = match (ledger.run.parameters.swarm, balancers.iter().any(has_told)) {
        (_, false) => Known::Awaited,
        (SwarmKind::Lab, true) => Known::Rehearsed,
        (SwarmKind::Joined | SwarmKind::None, true) => Known::Untold,
    };
    let mut told: BTreeMap<IpNet, Vec<IpAddr>> = BTreeMap::new();
    for address in &balancers {
        if let Some(subnet) =
            facts(ledger, NodeId::from(*address)).and_then(|facts| subnet_of(facts, *address))
        {
            told.entry(subnet).or_default().push(*address);
        }
    }
    if !told.is_empty() {
        return Subnets {
            nodes: told,
            known: Known::Told,
        };
    }
    let mut assumed: BTreeMap<IpNet, Vec<IpAddr>> = BTreeMap::new();
    for address in balancers {
        if let Ok(subnet) = IpNet::new(address, ASSUMED_PREFIX) {
            assumed.entry(subnet.trunc()).or_default().push(address);
        }
    }
    Subnets {
        nodes: assumed,
        known,
    }
}

/// What the probe of a real node told of its host.
fn facts<'a>(ledger: &'a Ledger<'a>, node: NodeId) -> Option<&'a HostFacts> {
    if ledger.run.parameters.swarm == SwarmKind::Lab {
        return None;
    }
    Some(ledger.node(node)?.facts?.what)
}

/// The subnet in which a host has an address; a host route is none.
fn subnet_of(facts: &HostFacts, address: IpAddr) -> Option<IpNet> {
    let interfaces = facts.interfaces.iter().flat_map(|interface| &interface.addresses);
    interfaces
        .filter_map(|text| text.parse::<IpNet>().ok())
        .find(|net| net.addr() == address)
        .filter(|net| net.prefix_len() <= LONGEST_SUBNET)
        .map(|net| net.trunc())
}

/// No router's address is a VIP or in a pool.
fn routers(asked: &mut Asked<'_>, inventory: &Inventory, ledger: &Ledger<'_>) {
    let told = inventory
        .nodes
        .iter()
        .filter_map(|node| facts(ledger, node.id))
        .flat_map(|facts| &facts.gateways);
    let routers: BTreeSet<IpAddr> = told.copied().collect();
    let mut complaints = Vec::new();
    for (name, vip) in asked.layout.vips() {
        // Pools are told of as a whole.
        let is_in_pool = asked.layout.ranges().any(|range| range.value.contains(vip.value));
        if routers.contains(&vip.value) && !is_in_pool {
            complaints.push((
                vip.place,
                format!("{name} {} is the default gateway of nodes", vip.value),
            ));
        }
    }
    for range in asked.layout.ranges() {
        if let Some(router) = routers.range(range.value.first..=range.value.last).next() {
            let message = format!(
                "the range {} has {router}, the default gateway of nodes",
                range.value
            );
            complaints.push((range.place, message));
        }
    }
    for (place, message) in complaints {
        let help = "leave the router's address out";
        asked.complain(
            place,
            (check::CFG_DISJOINT_ADDRESSES, Gravity::Fail),
            message,
            help,
        );
    }
}

/// What administrators write where they have no reason for another one.
const ASSUMED_PREFIX: u8 = 24;

/// Longer prefixes are host routes or links of two.
const LONGEST_SUBNET: u8 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_that_have_joined_will_tell_nothing_more() {
        let doubt = |known| {
            let nodes = BTreeMap::new();
            Subnets { nodes, known }.doubt()
        };
        assert!(doubt(Known::Awaited).contains("probes will tell"));
        for known in [Known::Untold, Known::Rehearsed] {
            assert!(doubt(known).contains("/24") && !doubt(known).contains("will tell"));
        }
        assert_eq!(doubt(Known::Told), "");
    }
}
