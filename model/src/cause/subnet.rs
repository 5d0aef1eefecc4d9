//! Which nodes share a subnet, by the prefix lengths that their probes reported.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::{id::NodeId, ledger::Ledger};

/// The subnet of each participant's data address.
#[derive(Debug, Default)]
pub(super) struct Subnets {
    by_node: BTreeMap<NodeId, IpNet>,
}

impl Subnets {
    pub(super) fn of(ledger: &Ledger<'_>, participants: &[NodeId]) -> Self {
        let by_node = participants
            .iter()
            .filter_map(|&node| Some((node, subnet(ledger, node)?)))
            .collect();
        Self { by_node }
    }

    pub(super) fn get(&self, node: NodeId) -> Option<IpNet> {
        self.by_node.get(&node).copied()
    }

    /// How many subnets there are.
    pub(super) fn count(&self) -> usize {
        self.by_node.values().collect::<BTreeSet<_>>().len()
    }

    /// Every participant inside a subnet, ascending.
    pub(super) fn nodes_in(&self, subnet: IpNet) -> impl Iterator<Item = NodeId> + '_ {
        self.by_node
            .iter()
            .filter(move |(_, own)| **own == subnet)
            .map(|(node, _)| *node)
    }
}

fn subnet(ledger: &Ledger<'_>, node: NodeId) -> Option<IpNet> {
    let log = ledger.node(node);
    let joined = log
        .and_then(|log| log.joined)
        .and_then(|joined| joined.what.addresses.first().copied());
    let address = node.address().or(joined)?;
    let facts = log.and_then(|log| log.facts);
    let reported = facts
        .into_iter()
        .flat_map(|facts| &facts.what.interfaces)
        .flat_map(|interface| &interface.addresses);
    let with_length = reported
        .filter_map(|text| text.parse::<IpNet>().ok())
        .find(|net| net.addr() == address);
    let assumed = || {
        IpNet::new(
            address,
            if address.is_ipv4() {
                ASSUMED_IPV4_LENGTH
            } else {
                ASSUMED_IPV6_LENGTH
            },
        )
        .ok()
    };
    with_length.or_else(assumed).map(|net| net.trunc())
}

/// Where no probe told the prefix length: the usual size of a server subnet. Only the grouping of findings rests on it.
const ASSUMED_IPV4_LENGTH: u8 = 24;
/// The same for IPv6 (RFC 4291, section 2.5.4).
const ASSUMED_IPV6_LENGTH: u8 = 64;
