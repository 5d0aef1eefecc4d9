//! The packet filter as testimony: what the kernel lists, put into the words of the model.
//!
//! Nothing is judged here. An expression that is not known keeps its name, and the model then says that it cannot tell.

use plumbline_model::firewall::{
    Base, Bitwise, Chain, CompareOp, Element, Expression, Hook, InterfaceIndex, NatKind, Octets, PayloadBase,
    Policy, RejectWith, Rule, Ruleset, Set, Table, TableFamily, Verdict,
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
        expressions: raw.expressions.iter().map(expression).collect(),
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

fn expression(raw: &nft::Expression) -> Expression {
    // An attribute that is missing where the kernel always sends it makes the expression unknown, never another one.
    known(raw).unwrap_or_else(|| Expression::Other {
        name: raw.name.clone(),
    })
}

fn known(raw: &nft::Expression) -> Option<Expression> {
    Some(match raw.name.as_str() {
        "meta" => match raw.number(k::META_SREG) {
            Some(from) => Expression::MetaSet {
                key: raw.number(k::META_KEY)?,
                from,
            },
            None => Expression::Meta {
                key: raw.number(k::META_KEY)?,
                to: raw.number(k::META_DREG)?,
            },
        },
        "payload" => payload(raw)?,
        "cmp" => Expression::Compare {
            from: raw.number(k::CMP_SREG)?,
            op: compare_op(raw.number(k::CMP_OP)?)?,
            data: value(raw, k::CMP_DATA)?,
        },
        "range" => Expression::Range {
            from: raw.number(k::RANGE_SREG)?,
            inverted: raw.number(k::RANGE_OP)? != 0,
            first: value(raw, k::RANGE_FROM_DATA)?,
            last: value(raw, k::RANGE_TO_DATA)?,
        },
        "bitwise" => bitwise(raw)?,
        "byteorder" => Expression::Byteorder {
            from: raw.number(k::BYTEORDER_SREG)?,
            to: raw.number(k::BYTEORDER_DREG)?,
            length: raw.number(k::BYTEORDER_LEN)?,
            size: raw.number(k::BYTEORDER_SIZE)?,
        },
        "lookup" => Expression::Lookup {
            set: raw.text(k::LOOKUP_SET)?,
            from: raw.number(k::LOOKUP_SREG)?,
            to: raw.number(k::LOOKUP_DREG),
            inverted: raw.number(k::LOOKUP_FLAGS).unwrap_or(0) & LOOKUP_INVERTED != 0,
        },
        "dynset" => Expression::SetUpdate {
            set: raw.text(k::DYNSET_SET_NAME)?,
            conditional: raw.number(k::DYNSET_FLAGS).unwrap_or(0) & DYNSET_INVERTED != 0
                || raw
                    .nested_names(k::DYNSET_EXPR, k::DYNSET_EXPRESSIONS)
                    .iter()
                    .any(|name| is_conditional(name)),
        },
        "immediate" => match raw.data(k::IMMEDIATE_DATA)? {
            nft::Data::Verdict(raw) => Expression::Verdict {
                verdict: verdict(&raw)?,
            },
            nft::Data::Value(octets) => Expression::Immediate {
                to: raw.number(k::IMMEDIATE_DREG)?,
                data: Octets(octets),
            },
        },
        "ct" if raw.has(k::CT_SREG) => Expression::CtSet {
            key: raw.number(k::CT_KEY)?,
        },
        "ct" => Expression::Ct {
            key: raw.number(k::CT_KEY)?,
            direction: raw
                .number(k::CT_DIRECTION)
                .and_then(|direction| u8::try_from(direction).ok()),
            to: raw.number(k::CT_DREG)?,
        },
        "counter" => Expression::Counter {
            packets: raw.long(k::COUNTER_PACKETS)?,
            bytes: raw.long(k::COUNTER_BYTES)?,
        },
        "reject" => Expression::Reject { with: reject(raw)? },
        "limit" | "quota" | "connlimit" => Expression::Limit {
            name: raw.name.clone(),
        },
        "numgen" => Expression::Number {
            to: raw.number(k::NUMGEN_DREG)?,
            modulus: raw.number(k::NUMGEN_MODULUS)?,
        },
        "fib" => Expression::Fib {
            to: raw.number(k::FIB_DREG)?,
            result: raw.number(k::FIB_RESULT)?,
            flags: raw.number(k::FIB_FLAGS)?,
        },
        "objref" => Expression::Object {
            object: raw.number(k::OBJREF_IMM_TYPE).unwrap_or(0),
            name: raw.text(k::OBJREF_IMM_NAME).unwrap_or_default(),
        },
        "nat" => Expression::Nat {
            kind: if raw.number(k::NAT_TYPE)? == 0 {
                NatKind::Source
            } else {
                NatKind::Destination
            },
        },
        "masq" => Expression::Nat {
            kind: NatKind::Source,
        },
        "redir" | "tproxy" => Expression::Nat {
            kind: NatKind::Destination,
        },
        "notrack" => Expression::Notrack,
        "log" => Expression::Log,
        "queue" => Expression::Queue,
        "match" => Expression::XtMatch {
            name: raw.text(k::XT_NAME)?,
            revision: raw.number(k::XT_REV)?,
            info: Octets(raw.octets(k::XT_INFO)?),
        },
        "target" => Expression::XtTarget {
            name: raw.text(k::XT_NAME)?,
            revision: raw.number(k::XT_REV)?,
            info: Octets(raw.octets(k::XT_INFO)?),
        },
        "dup" | "flow_offload" | "last" | "secmark" => Expression::Aside {
            name: raw.name.clone(),
        },
        _ => return None,
    })
}

fn payload(raw: &nft::Expression) -> Option<Expression> {
    let base = match raw.number(k::PAYLOAD_BASE)? {
        0 => PayloadBase::Link,
        1 => PayloadBase::Network,
        2 => PayloadBase::Transport,
        3 => PayloadBase::Inner,
        _ => return None,
    };
    let (offset, length) = (raw.number(k::PAYLOAD_OFFSET)?, raw.number(k::PAYLOAD_LEN)?);
    Some(match raw.number(k::PAYLOAD_DREG) {
        Some(to) => Expression::Payload {
            base,
            offset,
            length,
            to,
        },
        None => {
            raw.number(k::PAYLOAD_SREG)?;
            Expression::PayloadSet { base, offset, length }
        }
    })
}

fn bitwise(raw: &nft::Expression) -> Option<Expression> {
    let operation = match (
        raw.number(k::BITWISE_OP).unwrap_or(0),
        raw.data(k::BITWISE_MASK),
        raw.data(k::BITWISE_XOR),
    ) {
        (0, Some(nft::Data::Value(mask)), Some(nft::Data::Value(xor))) => Bitwise::MaskXor {
            mask: Octets(mask),
            xor: Octets(xor),
        },
        _ => Bitwise::Other,
    };
    Some(Expression::Bitwise {
        from: raw.number(k::BITWISE_SREG)?,
        to: raw.number(k::BITWISE_DREG)?,
        length: raw.number(k::BITWISE_LEN)?,
        operation,
    })
}

fn compare_op(number: u32) -> Option<CompareOp> {
    Some(match number {
        0 => CompareOp::Eq,
        1 => CompareOp::Neq,
        2 => CompareOp::Lt,
        3 => CompareOp::Lte,
        4 => CompareOp::Gt,
        5 => CompareOp::Gte,
        _ => return None,
    })
}

fn reject(raw: &nft::Expression) -> Option<RejectWith> {
    let code = raw
        .number(k::REJECT_ICMP_CODE)
        .and_then(|code| u8::try_from(code).ok());
    Some(match raw.number(k::REJECT_TYPE)? {
        0 => RejectWith::Icmp { code: code? },
        1 => RejectWith::TcpReset,
        2 => RejectWith::Icmpx { code: code? },
        _ => return None,
    })
}

fn value(raw: &nft::Expression, attribute: u16) -> Option<Octets> {
    match raw.data(attribute)? {
        nft::Data::Value(octets) => Some(Octets(octets)),
        nft::Data::Verdict(_) => None,
    }
}

/// What stands for the legacy iptables' tables where their list is not readable.
const LEGACY_UNKNOWN: &str = "list not readable";
/// `NF_DROP`.
const NF_DROP: u32 = 0;
/// `NFT_LOOKUP_F_INV`.
const LOOKUP_INVERTED: u32 = 1;
/// `NFT_DYNSET_F_INV`.
const DYNSET_INVERTED: u32 = 1;
