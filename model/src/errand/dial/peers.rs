//! Routers that speak BGP.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{
    cluster::{BgpPeer, BgpUse},
    errand::{Commission, DialTarget},
    evidence::{Group, SwarmKind},
    id::{NodeId, Role},
    inventory::{Inventory, LoadBalancerMode, LoadBalancerType},
};

/// A router that speaks BGP (RFC 4271), at TCP port 179.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerTarget {
    /// Its address.
    pub address: IpAddr,
    /// The autonomous system that this node would be of.
    pub local_as: u32,
    /// The autonomous system that the router has to be of.
    pub peer_as: u32,
    /// How far to go.
    pub depth: Depth,
}

/// How far to go with a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// A TCP connection without a word: what the router says by itself is read, and the connection closed.
    Connect,
    /// An OPEN, the router's own OPEN read, and a NOTIFICATION (cease): no session comes to be and no route is learnt.
    Open,
}

/// The routers that a participant connects to. A rehearsal has none but those that somebody put there, which no `--swarm lab` does.
pub(super) fn add(commission: &Commission<'_>, participant: NodeId, targets: &mut Vec<DialTarget>) {
    let parameters = commission.parameters;
    if !commission.asks_for(Group::L3) || parameters.swarm == SwarmKind::Lab {
        return;
    }
    let inventory = commission.inventory;
    let depth = if parameters.active {
        Depth::Open
    } else {
        Depth::Connect
    };
    let of_participant = bgp_sessions(inventory).filter(|peer| has_bgp_session(inventory, peer, participant));
    targets.extend(of_participant.take(MAX_DIAL_PEERS).map(|peer| {
        DialTarget::Peer(PeerTarget {
            address: peer.address,
            local_as: peer.local_asn.unwrap_or(peer.asn),
            peer_as: peer.asn,
            // Whoever does not know its own number has nothing to say in an OPEN.
            depth: peer.local_asn.map_or(Depth::Connect, |_| depth),
        })
    }));
}

/// Routers with which nodes speak from their own addresses, each once: those of the control plane.
pub(crate) fn bgp_sessions(inventory: &Inventory) -> impl Iterator<Item = &BgpPeer> {
    let is_bgp = inventory.load_balancer_mode == LoadBalancerMode::Bundled
        && inventory.load_balancer_type == LoadBalancerType::Bgp;
    let of_nodes = move |peer: &&BgpPeer| is_bgp && peer.used_by == BgpUse::ControlPlane && peer.asn > 0;
    inventory.outward.bgp_peers.iter().filter(of_nodes)
}

/// Whether a node is to have a session with a router.
pub(crate) fn has_bgp_session(inventory: &Inventory, peer: &BgpPeer, node: NodeId) -> bool {
    let is_control_plane = inventory
        .node(node)
        .is_some_and(|node| node.roles.contains(&Role::ControlPlane));
    let is_named =
        |address| peer.control_plane_nodes.is_empty() || peer.control_plane_nodes.contains(&address);
    is_control_plane && node.address().is_some_and(is_named)
}

/// Routers that one node connects to at most: a rack has two or four.
pub const MAX_DIAL_PEERS: usize = 16;
