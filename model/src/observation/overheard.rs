//! What was heard on the link while the run went on.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Questions of others that reached one node's data interface by broadcast or multicast, and VRRP advertisements.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overheard {
    /// The data interface.
    pub interface: String,
    /// Who asked for somebody, or announced itself: all members, and at most [`MAX_STRANGERS`] others. Ordered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub speakers: Vec<Speaker>,
    /// VRRP advertisements, ordered, at most [`MAX_ADVERTS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adverts: Vec<Advert>,
    /// Whether more speakers or advertisements were heard than are listed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// Whether packets were lost between the kernel and the probe: who is not listed may have been heard.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lossy: bool,
}

/// Questions of one sender that were heard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speaker {
    /// The sender's link address, as the packet names it (RFC 826, `ar$sha`).
    pub mac: String,
    /// The sender's address; absent in a probe, whose sender is still looking for one (RFC 5227, RFC 4862).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// What was heard.
    pub what: Speech,
    /// How many times.
    pub count: u32,
}

/// What kind of question was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speech {
    /// An ordinary ARP request.
    Request,
    /// An ARP request with the sender's address 0.0.0.0 (RFC 5227 section 2.1.1).
    Probe,
    /// An ARP packet that tells of the sender itself (RFC 5227 section 2.3; gratuitous ARP).
    Announcement,
    /// A neighbour solicitation.
    Solicitation,
}

/// A VRRP advertisement (RFC 3768, RFC 9568) of one virtual router by one sender.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Advert {
    /// The virtual router's id.
    pub vrid: u8,
    /// The sender's address.
    pub sender: IpAddr,
    /// The sender's link address: of the frame, as the packet has none. Often the virtual router's own, `00:00:5e:00:01:VRID`.
    pub mac: String,
    /// 2 or 3.
    pub version: u8,
    /// Priority; the highest that was heard.
    pub priority: u8,
    /// The lowest TTL or hop limit that was heard; anything but 255 has passed a router (RFC 9568 section 5.1.1.3).
    pub ttl: u8,
    /// Addresses that it answers for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// How many were heard.
    pub count: u32,
}

/// Speakers that are no members, of which so many are kept.
pub const MAX_STRANGERS: usize = 256;

/// Advertisements that are kept: a virtual router a sender.
pub const MAX_ADVERTS: usize = 64;

/// Addresses that are kept of one advertisement.
pub const MAX_ADVERTISED: usize = 16;
