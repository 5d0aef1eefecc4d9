//! What came of connecting to a router.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{NoConnection, Unasked};

/// A router that speaks BGP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerSeen {
    /// Its address.
    pub address: IpAddr,
    /// What came of it.
    pub outcome: PeerOutcome,
}

/// What came of connecting to a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum PeerOutcome {
    /// It was not asked.
    Unasked {
        /// Why.
        why: Unasked,
    },
    /// No connection came to be.
    NoConnection {
        /// Why.
        why: NoConnection,
    },
    /// Connected, and closed at once.
    Connected,
}
