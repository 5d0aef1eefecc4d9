//! What came of asking on the link.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::id::NodeId;

/// Answers to one node's questions on the link of its data interface. A node whose data address is of loopback has no link and
/// reports none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkSeen {
    /// The data interface.
    pub interface: String,
    /// Its link address, colon-separated lower-case hexadecimal.
    pub mac: String,
    /// Ordinary ARP requests that were broadcast from the node's own address: what others on the link must have heard.
    pub broadcasts: u32,
    /// Whether it ended before everything was asked: what has no answer then was perhaps not asked often enough.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unfinished: bool,
    /// Whom it asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<Asked>,
}

/// What came of asking for one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The address.
    pub address: IpAddr,
    /// Why it was asked for.
    #[serde(rename = "as")]
    pub subject: Subject,
    /// Questions that were sent; 0 if the address is not on the link.
    pub sent: u32,
    /// Whether the address is outside the prefixes of the data interface, so that it was not asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_on_link: bool,
    /// Every link address that answered, ascending, [`MAX_ANSWERS`] at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub macs: Vec<String>,
}

/// Why an address was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// It is a member's data address.
    Peer {
        /// Whose.
        node: NodeId,
    },
    /// It is the next hop of a default route over the data interface.
    Gateway,
    /// It is the node's own data address: a probe that should find nobody.
    Own,
    /// It is a VIP or an address of a pool: a probe, too.
    Spare,
}

/// Link addresses that are kept of those that answer for one address.
pub const MAX_ANSWERS: usize = 8;
