//! Routers that speak BGP.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{
    errand::{Commission, DialTarget},
    id::NodeId,
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
    /// A TCP connection, closed at once.
    Connect,
    /// An OPEN, the router's own OPEN read, and a NOTIFICATION (cease): no session comes to be and no route is learnt.
    Open,
}

/// The routers that a participant connects to.
pub(super) fn add(_commission: &Commission<'_>, _participant: NodeId, _targets: &mut Vec<DialTarget>) {}
