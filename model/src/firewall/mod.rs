//! A host's packet filter as data, and what it would do with a packet: the evidence behind `host_firewall`.
//!
//! The kernel's own nf_tables expressions are kept (what `nft --debug=netlink list ruleset` prints), so that one evaluator
//! serves firewalld, nftables and iptables-nft alike. What the evaluator cannot decide it calls unknown; it never guesses.
//!
//! Not seen here: rules of the legacy iptables (named in [`Ruleset::legacy_tables`]), and programs attached to XDP, tc or
//! cgroups.

use serde::{Deserialize, Serialize};

mod alike;
mod chance;
mod evaluate;
mod expression;
mod index;
mod judge;
mod judgement;
mod load;
mod octets;
mod packet;
mod register;
mod render;
mod sets;
mod xt;

pub use expression::{Bitwise, CompareOp, Expression, NatKind, PayloadBase, RejectWith, Verdict};
pub use judge::Judge;
pub use judgement::{Judgement, Manager, Place, RejectKind};
pub use octets::Octets;
pub use packet::{Connection, Packet, Passage};

/// The nf_tables of one network namespace, as they were read at one generation. Integers of more than one octet inside
/// [`Octets`] are in the order of the host, which is little-endian: others are not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Ruleset {
    /// The kernel's generation counter: it grows with every change.
    pub generation: u32,
    /// Tables in the order of the kernel's listing.
    pub tables: Vec<Table>,
    /// Interfaces by index, for rules that match the index; ascending.
    pub interfaces: Vec<InterfaceIndex>,
    /// Tables of the legacy iptables (`/proc/net/ip_tables_names` and `ip6_tables_names`), whose rules were not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub legacy_tables: Vec<String>,
}

/// An interface's index in its namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InterfaceIndex {
    /// The kernel's index, from 1.
    pub index: u32,
    /// Name.
    pub name: String,
}

/// Which packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableFamily {
    /// IPv4 and IPv6.
    Inet,
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// ARP; not evaluated.
    Arp,
    /// Bridged frames; not evaluated.
    Bridge,
    /// Frames of single devices, before everything else.
    Netdev,
}

impl TableFamily {
    /// The word that nft uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Arp => "arp",
            Self::Bridge => "bridge",
            Self::Netdev => "netdev",
        }
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Family.
    pub family: TableFamily,
    /// Name.
    pub name: String,
    /// Whether it is switched off (`flags dormant`).
    pub dormant: bool,
    /// Chains in the order of the kernel's listing.
    pub chains: Vec<Chain>,
    /// Sets and maps, anonymous ones included.
    pub sets: Vec<Set>,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// Name.
    pub name: String,
    /// Where it is attached; absent if other chains jump to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// Rules in order.
    pub rules: Vec<Rule>,
}

/// Where a base chain is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// The hook.
    pub hook: Hook,
    /// Lower comes first.
    pub priority: i32,
    /// `filter`, `nat` or `route`.
    pub kind: String,
    /// What becomes of packets that reach the end.
    pub policy: Policy,
    /// The devices of an ingress or egress chain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
}

/// A place in a packet's way through the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// A device's frame before everything else.
    Ingress,
    /// Before the routing decision.
    Prerouting,
    /// On the way to a local socket.
    Input,
    /// On the way through.
    Forward,
    /// From a local socket.
    Output,
    /// After the routing decision.
    Postrouting,
    /// A device's frame after everything else.
    Egress,
    /// One that this version does not know.
    Unknown,
}

/// The policy of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The packet goes on to the next base chain.
    Accept,
    /// The packet is dropped.
    Drop,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The kernel's handle: what `nft delete rule ... handle N` takes.
    pub handle: u64,
    /// What it does, in order.
    pub expressions: Vec<Expression>,
    /// Its comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// A set or a map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// Name; `__setN` and `__mapN` are anonymous.
    pub name: String,
    /// The kernel's `NFT_SET_*` flags.
    pub flags: u32,
    /// Octets of a key.
    pub key_length: u32,
    /// Lengths of a concatenated key's fields, each padded to four octets; empty if it is no concatenation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<u32>,
    /// Elements in the order of the kernel's listing.
    pub elements: Vec<Element>,
    /// Whether there were more elements than are kept: nothing is concluded from such a set.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// An element of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Element {
    /// The key, or the lower end of a range; empty for the element that matches what nothing else does.
    pub key: Octets,
    /// The upper end of a concatenated range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_end: Option<Octets>,
    /// The kernel's `NFT_SET_ELEM_*` flags.
    pub flags: u32,
    /// What a map gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Octets>,
    /// What a verdict map does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Whether expressions other than counters hang on it, so that it may match or not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub conditional: bool,
}

impl Ruleset {
    /// What this packet filter would do with a packet that belongs to no connection yet, or to one as [`Packet::connection`]
    /// says: through every base chain on its way, in the kernel's order.
    /// Who asks about many packets asks a [`Judge`].
    pub fn evaluate(&self, packet: &Packet) -> Judgement {
        evaluate::evaluate(&index::Index::of(self), packet).0
    }

    pub(super) fn interface_name(&self, index: u32) -> Option<&str> {
        self.interfaces
            .iter()
            .find(|interface| interface.index == index)
            .map(|interface| interface.name.as_str())
    }

    pub(super) fn interface_index(&self, name: &str) -> Option<u32> {
        self.interfaces
            .iter()
            .find(|interface| interface.name == name)
            .map(|interface| interface.index)
    }
}

impl Table {
    pub(super) fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }

    pub(super) fn set(&self, name: &str) -> Option<&Set> {
        self.sets.iter().find(|set| set.name == name)
    }
}

/// `NFT_SET_INTERVAL`: elements are ranges.
const SET_INTERVAL: u32 = 0x4;
/// `NFT_SET_ELEM_INTERVAL_END`: the first value that a range does not hold.
const ELEMENT_INTERVAL_END: u32 = 0x1;
/// `NFT_SET_ELEM_CATCHALL`: matches what nothing else does.
const ELEMENT_CATCHALL: u32 = 0x2;

#[cfg(test)]
mod tests;
