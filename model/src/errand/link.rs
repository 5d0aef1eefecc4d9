//! Asking on the link: whose link address answers for members, gateways and VIPs.
//!
//! ```text
//!   ordinary question (RFC 826; RFC 4861 section 7.2.2) from the node's own address
//!     to members that have to be on its link, and to some of those that happen to be: who answers?
//!     to its gateways
//!   probe (RFC 5227 section 2.1.1), which nobody learns anything from
//!     for its own addresses: does anybody else have them?
//!     for VIPs and addresses of pools, from load balancer nodes: are they free?
//! ```
//!
//! Which of them are on its link only the node itself knows: it looks at the prefixes of its data interface.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

use super::{Commission, Errand, Errands, MAX_LINK_PACKETS_A_SECOND};
use crate::{
    cluster::AddressRange,
    evidence::Group,
    id::{NodeId, Role},
    inventory::{Inventory, LoadBalancerMode, LoadBalancerType},
};

/// Whom a node asks for on its link. Its own addresses and its gateways it finds itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkErrand {
    /// Members whose addresses are asked for, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<NodeId>,
    /// Addresses that no host should have: VIPs and addresses of pools, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
}

/// Members that one node asks for at most: with both families and three questions each they take 40 seconds if nobody answers.
pub const MAX_LINK_PEERS: usize = 32;

/// Addresses that one node asks for at most, beside members, gateways and its own.
pub const MAX_LINK_ADDRESSES: usize = 16;

/// Members of the same roster that a node asks for although nothing depends on their being on one link, as many as follow it
/// in the order of addresses: enough to unmask a router that answers for others, and ports that are kept apart.
const NEIGHBORS: usize = 8;

/// Addresses of one pool that are asked for: the first, the last and some between them. A pool may have thousands, and a host
/// that is left over in it usually has one of the ends; the other samples differ from run to run with the seed.
const SAMPLES_OF_A_POOL: usize = 5;

/// Addresses that one load balancer node asks for at most out of pools.
const SAMPLES_A_NODE: usize = 8;

/// Whether load balancers of the cluster announce VIPs by ARP and ND, so that they need one link.
pub(crate) fn announces_on_link(inventory: &Inventory) -> bool {
    inventory.load_balancer_mode == LoadBalancerMode::Bundled
        && inventory.load_balancer_type == LoadBalancerType::Layer2
        && inventory
            .nodes
            .iter()
            .any(|node| node.roles.contains(&Role::LoadBalancer))
}

/// Whether two nodes have to be on one link: two load balancers, which take VIPs over from each other, or a load balancer and a
/// node of the control plane.
pub(crate) fn must_be_adjacent(inventory: &Inventory, one: NodeId, other: NodeId) -> bool {
    let has = |id: NodeId, role: Role| inventory.node(id).is_some_and(|node| node.roles.contains(&role));
    let either =
        |a, b| has(a, Role::LoadBalancer) && (has(b, Role::LoadBalancer) || has(b, Role::ControlPlane));
    one != other && announces_on_link(inventory) && (either(one, other) || either(other, one))
}

/// The VIPs of the cluster that load balancers announce on their link, ascending.
pub(crate) fn vips(inventory: &Inventory) -> BTreeSet<IpAddr> {
    if !announces_on_link(inventory) {
        return BTreeSet::new();
    }
    let vips = [inventory.control_plane_vip, inventory.ingress_vip];
    vips.into_iter().flatten().collect()
}

/// Gives every node a listener, and questions to ask.
pub(super) fn plan(commission: &Commission<'_>, errands: &mut Errands) {
    if !commission.asks_for(Group::L2) {
        return;
    }
    let nodes: Vec<NodeId> = commission.nodes().collect();
    let addresses = addresses(commission, &nodes);
    for (index, node) in nodes.iter().enumerate() {
        let errand = LinkErrand {
            peers: peers(commission.inventory, &nodes, index),
            addresses: addresses.get(node).cloned().unwrap_or_default(),
        };
        errands
            .entry(*node)
            .or_default()
            .extend([Errand::Listen, Errand::Link(errand)]);
    }
}

fn peers(inventory: &Inventory, nodes: &[NodeId], own: usize) -> Vec<NodeId> {
    let node = nodes[own];
    let followers = || nodes.iter().cycle().skip(own + 1).take(nodes.len() - 1).copied();
    let must = followers().filter(|other| must_be_adjacent(inventory, node, *other));
    let mut peers = BTreeSet::new();
    for peer in must.chain(followers().take(NEIGHBORS)) {
        if peers.len() < MAX_LINK_PEERS {
            peers.insert(peer);
        }
    }
    peers.into_iter().collect()
}

/// Every load balancer node asks for the VIPs; samples of pools are dealt out among them.
fn addresses(commission: &Commission<'_>, nodes: &[NodeId]) -> BTreeMap<NodeId, Vec<IpAddr>> {
    let inventory = commission.inventory;
    let mut asked: BTreeMap<NodeId, BTreeSet<IpAddr>> = BTreeMap::new();
    if !announces_on_link(inventory) {
        return BTreeMap::new();
    }
    let balances = |node: &&NodeId| {
        let roles = inventory.node(**node).map(|node| &node.roles);
        roles.is_some_and(|roles| roles.contains(&Role::LoadBalancer))
    };
    let balancers: Vec<NodeId> = nodes.iter().filter(balances).copied().collect();
    let vips = vips(inventory);
    for node in &balancers {
        asked.insert(*node, vips.clone());
    }
    let mut samples: Vec<IpAddr> = Vec::new();
    for (range, salt) in inventory.address_pools.iter().zip(0..) {
        let of_range = samples_of(*range, commission.parameters.seed.wrapping_add(salt));
        let is_new = |address: &IpAddr| !vips.contains(address) && !samples.contains(address);
        let new: Vec<IpAddr> = of_range.into_iter().filter(is_new).collect();
        samples.extend(new);
    }
    let most = balancers.len().saturating_mul(SAMPLES_A_NODE);
    for (address, node) in samples.into_iter().take(most).zip(balancers.iter().cycle()) {
        asked.entry(*node).or_default().insert(address);
    }
    let capped = |addresses: BTreeSet<IpAddr>| addresses.into_iter().take(MAX_LINK_ADDRESSES).collect();
    asked
        .into_iter()
        .map(|(node, addresses)| (node, capped(addresses)))
        .collect()
}

/// The first, the last and some between them, without what nobody has as a host: a pool that is a whole prefix begins with its
/// name and ends with its broadcast address, which answers nobody, so that asking does no harm.
fn samples_of(range: AddressRange, seed: u64) -> BTreeSet<IpAddr> {
    let (first, last) = (number(range.first), number(range.last));
    let count = last.saturating_sub(first).saturating_add(1);
    let mut drawn = seed;
    let mut offsets = BTreeSet::from([0, count - 1]);
    // As many draws as could all meet what is there already.
    for _ in 0..SAMPLES_OF_A_POOL * SAMPLES_OF_A_POOL {
        if offsets.len() >= SAMPLES_OF_A_POOL {
            break;
        }
        drawn = scramble(drawn);
        offsets.insert(u128::from(drawn) % count);
    }
    offsets
        .into_iter()
        .map(|offset| with_number(range.first, first.saturating_add(offset)))
        .collect()
}

/// The finalizer of SplitMix64 after one step of its sequence: a number that looks like chance, the same for the same seed.
fn scramble(seed: u64) -> u64 {
    let stepped = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (stepped ^ (stepped >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address of a number, of the family of `like`.
fn with_number(like: IpAddr, number: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(number).into(),
    }
}

impl LinkErrand {
    /// Takes out members who are left out.
    pub(super) fn leave_out(&mut self, left_out: &BTreeSet<NodeId>) {
        self.peers.retain(|peer| !left_out.contains(peer));
    }

    /// ARP and ND packets that it comes to at most, if nobody answers: each question three times, members and gateways in both
    /// families.
    pub fn most_packets(&self) -> u32 {
        let questions = 2 * self.peers.len() + self.addresses.len() + 2 * GATEWAYS + 2;
        u32::try_from(questions).unwrap_or(u32::MAX).saturating_mul(3)
    }

    /// How long it takes at most, in seconds.
    pub fn most_seconds(&self) -> u32 {
        // The last answers are waited for.
        self.most_packets().div_ceil(MAX_LINK_PACKETS_A_SECOND) + 5
    }
}

/// Gateways of a family that a node asks for at most.
pub const GATEWAYS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: &str, last: &str) -> AddressRange {
        AddressRange {
            first: first.parse().unwrap(),
            last: last.parse().unwrap(),
        }
    }

    #[test]
    fn a_small_pool_is_asked_for_as_a_whole() {
        let all = samples_of(range("10.0.0.50", "10.0.0.53"), 7);
        let least: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(least, ["10.0.0.50", "10.0.0.51", "10.0.0.52", "10.0.0.53"]);
    }

    #[test]
    fn of_a_large_pool_the_ends_and_some_between_are_asked_for() {
        let large = range("fd00::1", "fd00::ffff:ffff");
        let samples = samples_of(large, 1);
        assert_eq!(samples.len(), SAMPLES_OF_A_POOL);
        assert!(samples.contains(&large.first) && samples.contains(&large.last));
        assert!(samples.iter().all(|address| large.contains(*address)));
        assert_ne!(
            samples,
            samples_of(large, 2),
            "another seed draws other addresses"
        );
        assert_eq!(samples, samples_of(large, 1), "and the same seed the same");
    }

    #[test]
    fn one_address_is_a_pool_of_one() {
        assert_eq!(samples_of(range("10.0.0.50", "10.0.0.50"), 3).len(), 1);
    }
}
