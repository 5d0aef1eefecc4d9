//! A host's packet filter as data, and what it would do with a packet: the evidence behind `host_firewall`.
//!
//! The kernel's own nf_tables expressions are kept (what `nft --debug=netlink list ruleset` prints), so that one evaluator
//! serves firewalld, nftables and iptables-nft alike.

use serde::{Deserialize, Serialize};

/// A packet filter as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Ruleset {}
