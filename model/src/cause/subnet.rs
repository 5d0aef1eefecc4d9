//! Which nodes share a subnet, by the prefix lengths that their probes reported.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use crate::{id::NodeId, ledger::Ledger, port::Family};

use super::host::address_of;

/// The subnet of each participant's data address, in both families.
///
/// A dual-stack network has an IPv4 and an IPv6 prefix on each of its links as a rule. Where that is so, both are one place
/// here, so that what happens in both families between two places is seen as one.
#[derive(Debug, Default)]
pub(super) struct Subnets {
    prefixes: BTreeMap<(NodeId, Family), IpNet>,
    /// The prefix that stands for the link.
    places: BTreeMap<(NodeId, Family), IpNet>,
    counts: BTreeMap<Family, usize>,
    /// Who never joined, and so never told its addresses of both families.
    absent: BTreeSet<NodeId>,
}

impl Subnets {
    pub(super) fn of(ledger: &Ledger<'_>, participants: &[NodeId]) -> Self {
        let mut prefixes = BTreeMap::new();
        for family in [Family::Ipv4, Family::Ipv6] {
            for &node in participants {
                let address = address_of(ledger, node, family);
                if let Some(prefix) = address.and_then(|address| prefix(ledger, node, address)) {
                    prefixes.insert((node, family), prefix);
                }
            }
        }
        let stands_for = one_for_both(&prefixes);
        let place = |prefix: &IpNet| stands_for.get(prefix).copied().unwrap_or(*prefix);
        let places: BTreeMap<(NodeId, Family), IpNet> = prefixes
            .iter()
            .map(|(key, prefix)| (*key, place(prefix)))
            .collect();
        let count = |family: Family| {
            let own = places.iter().filter(|((_, of), _)| *of == family);
            own.map(|(_, place)| *place).collect::<BTreeSet<_>>().len()
        };
        let never_joined = |node: &NodeId| ledger.node(*node).is_none_or(|log| log.joined.is_none());
        let counts = [Family::Ipv4, Family::Ipv6].map(|family| (family, count(family)));
        Self {
            counts: counts.into_iter().collect(),
            prefixes,
            places,
            absent: participants.iter().copied().filter(never_joined).collect(),
        }
    }

    /// The place where a node's address of a family is: a prefix, of either family.
    pub(super) fn get(&self, node: NodeId, family: Family) -> Option<IpNet> {
        self.places.get(&(node, family)).copied()
    }

    /// The prefix of a node's address of a family.
    pub(super) fn prefix(&self, node: NodeId, family: Family) -> Option<IpNet> {
        self.prefixes.get(&(node, family)).copied()
    }

    /// Whether two nodes are known to be in different subnets.
    pub(super) fn are_apart(&self, a: NodeId, b: NodeId, family: Family) -> bool {
        matches!((self.get(a, family), self.get(b, family)), (Some(a), Some(b)) if a != b)
    }

    /// How many subnets of a family there are.
    pub(super) fn count(&self, family: Family) -> usize {
        self.counts.get(&family).copied().unwrap_or(0)
    }

    /// The prefix whose participants are these nodes and nobody else. Who never joined may have an address in it where its
    /// address of the other family is on the same link: the prefix is not named then.
    pub(super) fn all_of(&self, nodes: &[NodeId], family: Family) -> Option<IpNet> {
        let first = *nodes.first()?;
        let subnet = self.prefix(first, family)?;
        let other = match family {
            Family::Ipv4 => Family::Ipv6,
            Family::Ipv6 => Family::Ipv4,
        };
        let link = |node: NodeId| self.prefix(node, other);
        let is_in = |node: &NodeId| match self.prefix(*node, family) {
            Some(own) => own == subnet,
            None => self.absent.contains(node) && link(*node).is_some() && link(*node) == link(first),
        };
        let known: BTreeSet<NodeId> = self.prefixes.keys().map(|(node, _)| *node).collect();
        let inside = known.into_iter().filter(is_in);
        inside.eq(nodes.iter().copied()).then_some(subnet)
    }
}

/// The IPv4 prefix that stands for each IPv6 prefix, if every link has one of each at most.
fn one_for_both(prefixes: &BTreeMap<(NodeId, Family), IpNet>) -> BTreeMap<IpNet, IpNet> {
    let mut of_ipv6: BTreeMap<IpNet, IpNet> = BTreeMap::new();
    let mut of_ipv4: BTreeMap<IpNet, IpNet> = BTreeMap::new();
    for ((node, family), v4) in prefixes {
        let Some(v6) = prefixes
            .get(&(*node, Family::Ipv6))
            .filter(|_| *family == Family::Ipv4)
        else {
            continue;
        };
        if of_ipv6.insert(*v6, *v4).is_some_and(|other| other != *v4)
            || of_ipv4.insert(*v4, *v6).is_some_and(|other| other != *v6)
        {
            return BTreeMap::new();
        }
    }
    of_ipv6
}

/// The prefix that an address of a node lies in.
fn prefix(ledger: &Ledger<'_>, node: NodeId, address: IpAddr) -> Option<IpNet> {
    let facts = ledger.node(node).and_then(|log| log.facts);
    let reported = facts
        .into_iter()
        .flat_map(|facts| &facts.what.interfaces)
        .flat_map(|interface| &interface.addresses);
    let with_length = reported
        .filter_map(|text| text.parse::<IpNet>().ok())
        .find(|net| net.addr() == address);
    let assumed = || {
        let length = match Family::of(address) {
            Family::Ipv4 => ASSUMED_IPV4_LENGTH,
            Family::Ipv6 => ASSUMED_IPV6_LENGTH,
        };
        IpNet::new(address, length).ok()
    };
    with_length.or_else(assumed).map(|net| net.trunc())
}

/// Where no probe told the prefix length: the usual size of a server subnet. Only the grouping of findings rests on it.
const ASSUMED_IPV4_LENGTH: u8 = 24;
/// The same for IPv6 (RFC 4291, section 2.5.4).
const ASSUMED_IPV6_LENGTH: u8 = 64;
