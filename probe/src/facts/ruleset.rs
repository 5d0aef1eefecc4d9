//! The packet filter as testimony: what the kernel lists, put into the words of the model.
//!
//! Nothing is judged here. An expression that is not known keeps its name, and the model then says that it cannot tell.

mod expression;

use plumbline_model::firewall::{
    Base, Chain, Element, Hook, InterfaceIndex, Octets, Policy, Rule, Ruleset, Set, Table, TableFamily,
    Verdict,
};
use plumbline_sys::{
    nft::{self, kernel as k},
    route,
};

/// Why the packet filter is not part of the facts.
#[derive(Debug, thiserror::Error)]
pub(super) enum RulesetError {
    /// The kernel did not give it.
    #[error("read the packet filter of this host")]
    Read(#[source] nft::ReadError),
    /// The names of the interfaces, which rules refer to by index, are not known.
    #[error("read the interfaces for the packet filter")]
    Interfaces(#[source] route::Error),
    /// Its integers are in an order that the evidence does not carry.
    #[error("read the packet filter: hosts of big-endian order are not supported")]
    BigEndian,
}

/// Reads the packet filter of the calling thread's network namespace. No tables at all give an empty ruleset, and so does a
/// kernel without nf_tables, which then filters nothing with them.
///
/// # Errors
/// If it cannot be read: the privilege is missing, it changes all the time, or it is too large to carry.
pub(super) fn read() -> Result<Ruleset, RulesetError> {
    if cfg!(target_endian = "big") {
        return Err(RulesetError::BigEndian);
    }
    let raw = match nft::read() {
        Err(nft::ReadError::Absent(_)) => nft::Ruleset::default(),
        other => other.map_err(RulesetError::Read)?,
    };
    let mut interfaces: Vec<InterfaceIndex> = route::Network::open()
        .and_then(|mut network| network.links())
        .map_err(RulesetError::Interfaces)?
        .into_iter()
        .map(|link| InterfaceIndex {
            index: link.index,
            name: link.name,
        })
        .collect();
    interfaces.sort_by_key(|interface| interface.index);
    // A list that cannot be read is not an empty list; a ruleset that has been read is worth keeping nevertheless.
    let legacy_tables = nft::legacy_tables().unwrap_or_else(|_| vec![LEGACY_UNKNOWN.to_owned()]);
    Ok(Ruleset {
        generation: raw.generation,
        tables: tables(&raw.tables),
        interfaces,
        legacy_tables,
    })
}

/// The kernel's tables in the words of the model.
pub fn tables(raw: &[nft::Table]) -> Vec<Table> {
    raw.iter().map(table).collect()
}

fn table(raw: &nft::Table) -> Table {
    let family = match raw.family {
        1 => TableFamily::Inet,
        2 => TableFamily::Ip,
        3 => TableFamily::Arp,
        5 => TableFamily::Netdev,
        7 => TableFamily::Bridge,
        10 => TableFamily::Ip6,
        // A family that this version does not know sees none of our packets.
        _ => TableFamily::Bridge,
    };
    Table {
        family,
        name: raw.name.clone(),
        dormant: raw.flags & k::TABLE_F_DORMANT != 0,
        chains: raw
            .chains
            .iter()
            .map(|chain| self::chain(chain, family))
            .collect(),
        sets: raw.sets.iter().map(set).collect(),
    }
}

fn chain(raw: &nft::Chain, family: TableFamily) -> Chain {
    let base = raw.base.as_ref().map(|base| Base {
        hook: hook(base.hook, family),
        priority: base.priority,
        kind: base.kind.clone(),
        policy: if base.policy == NF_DROP {
            Policy::Drop
        } else {
            Policy::Accept
        },
        devices: base.devices.clone(),
    });
    Chain {
        name: raw.name.clone(),
        base,
        rules: raw.rules.iter().map(rule).collect(),
    }
}

/// `NF_INET_*`, or `NF_NETDEV_*` in the netdev family.
fn hook(number: u32, family: TableFamily) -> Hook {
    match (family, number) {
        (TableFamily::Netdev, 0) | (_, 5) => Hook::Ingress,
        (TableFamily::Netdev, 1) => Hook::Egress,
        (TableFamily::Netdev, _) => Hook::Unknown,
        (_, 0) => Hook::Prerouting,
        (_, 1) => Hook::Input,
        (_, 2) => Hook::Forward,
        (_, 3) => Hook::Output,
        (_, 4) => Hook::Postrouting,
        _ => Hook::Unknown,
    }
}

fn rule(raw: &nft::Rule) -> Rule {
    Rule {
        handle: raw.handle,
        expressions: raw.expressions.iter().map(expression::expression).collect(),
        comment: raw.comment.clone(),
    }
}

fn set(raw: &nft::Set) -> Set {
    Set {
        name: raw.name.clone(),
        flags: raw.flags,
        key_length: raw.key_length,
        fields: raw.fields.clone(),
        elements: raw.elements.iter().map(element).collect(),
        truncated: raw.truncated,
    }
}

fn element(raw: &nft::Element) -> Element {
    let (data, jump) = match &raw.data {
        Some(nft::Data::Value(octets)) => (Some(Octets(octets.clone())), None),
        Some(nft::Data::Verdict(raw)) => (None, verdict(raw)),
        None => (None, None),
    };
    Element {
        key: Octets(raw.key.clone()),
        key_end: raw.key_end.clone().map(Octets),
        flags: raw.flags,
        data,
        verdict: jump,
        conditional: raw.expressions.iter().any(|name| is_conditional(name)),
    }
}

fn is_conditional(expression: &str) -> bool {
    !matches!(expression, "counter" | "last")
}

fn verdict(raw: &nft::Verdict) -> Option<Verdict> {
    // The upper half of a queue's or a drop's code holds a number or an errno.
    match (raw.code, raw.chain.clone()) {
        (-1, _) => Some(Verdict::Continue),
        (-3, Some(chain)) => Some(Verdict::Jump { chain }),
        (-4, Some(chain)) => Some(Verdict::Goto { chain }),
        (-5, _) => Some(Verdict::Return),
        (code, _) if code >= 0 => match code & 0xff {
            0 => Some(Verdict::Drop),
            1 => Some(Verdict::Accept),
            3 => Some(Verdict::Queue),
            _ => None,
        },
        _ => None,
    }
}

/// What stands for the legacy iptables' tables where their list is not readable.
const LEGACY_UNKNOWN: &str = "list not readable";
/// `NF_DROP`.
const NF_DROP: u32 = 0;
