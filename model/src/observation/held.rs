//! What came of taking a VIP (errand hold): what its holder saw, and what those saw who asked for it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::id::NodeId;

/// One node's account of a turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// Which turn of the run.
    pub turn: u32,
    /// The address.
    pub vip: IpAddr,
    /// The TCP port that was asked.
    pub port: u16,
    /// What this node saw.
    pub seen: HeldSeen,
}

/// What a node saw in a turn of a VIP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum HeldSeen {
    /// Somebody has the address already: it was not taken.
    InUse(InUse),
    /// It was taken and given back.
    Kept(Kept),
    /// It was asked for.
    Reached(Reached),
}

/// Who has an address.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InUse {
    /// The link address that answered, if it is known: the kernel tells of an IPv6 duplicate without naming it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

/// The account of a node that had the address for a while.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The link address under which it was announced.
    pub mac: String,
    /// How long was spent before it on making sure that nobody has it, in milliseconds.
    pub probing_ms: u32,
    /// Announcements that were sent.
    pub announcements: u32,
    /// From the first announcement to giving it back, in milliseconds.
    pub stayed_ms: u32,
    /// Whether the same port was answered on the node's own address, too, for comparison.
    pub compared: bool,
    /// Whose proven connections reached it at the address, ascending by node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<CallerHeard>,
    /// Whether it is gone again.
    pub given_back: bool,
}

/// One caller at the holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallerHeard {
    /// Who.
    pub node: NodeId,
    /// Proven connections.
    pub times: u32,
    /// From the first announcement to the first of them, in milliseconds.
    pub first_ms: u32,
}

/// The account of a node that asked for the address, about ten times a second.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reached {
    /// What came of it, in order; equal answers in a row are one stretch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stretches: Vec<Stretch>,
    /// Whether there were more stretches than are told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// What came of asking the holders' own addresses at the same port, ascending by node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<Comparison>,
}

/// Equal answers in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stretch {
    /// When the first question was asked, in milliseconds since the account began.
    pub from_ms: u32,
    /// When the last one was over.
    pub until_ms: u32,
    /// How many there were.
    pub asks: u32,
    /// What came back.
    pub answer: Answer,
    /// The link address that the kernel had for the VIP at the end of the stretch; absent where a router is in between, or
    /// none is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

/// What came back from a VIP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Answer {
    /// The proof of this holder.
    By {
        /// Which.
        holder: NodeId,
    },
    /// Nothing.
    Silence,
    /// A reset, or an ICMP error.
    Refused,
    /// A connection, without any holder's proof.
    Unproven,
}

/// What came of asking a holder at its own address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Whom.
    pub holder: NodeId,
    /// How often.
    pub asked: u32,
    /// How often it proved itself.
    pub answered: u32,
}
