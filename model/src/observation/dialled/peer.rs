//! What came of connecting to a router.

use std::net::{IpAddr, Ipv4Addr};

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
    /// A BGP speaker listens on this host or is connected from it: another connection could end its sessions (RFC 4724 section 4.2).
    Occupied,
    /// No connection came to be.
    NoConnection {
        /// Why.
        why: NoConnection,
    },
    /// It took the connection.
    Connected {
        /// What it said of its own accord.
        said: PeerWord,
        /// What it said to an OPEN; absent if none was sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answered: Option<PeerWord>,
    },
}

/// What a router says (RFC 4271 section 4), or does instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case", deny_unknown_fields)]
pub enum PeerWord {
    /// Nothing in the time.
    Nothing,
    /// It closed the connection.
    Closed,
    /// It reset the connection.
    Reset,
    /// Something that is not BGP-4.
    Garbage,
    /// An OPEN.
    Open {
        /// Its autonomous system.
        asn: u32,
        /// Its hold time in seconds; 0 for none.
        hold_time_s: u16,
        /// Its BGP identifier.
        identifier: Ipv4Addr,
    },
    /// A KEEPALIVE: it agrees with the OPEN.
    Keepalive,
    /// A NOTIFICATION.
    Notification {
        /// Its error code.
        code: u8,
        /// Its subcode.
        subcode: u8,
    },
}
