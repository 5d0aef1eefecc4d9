//! One expression of the kernel in the words of the model.

use plumbline_model::firewall::{Bitwise, CompareOp, Expression, NatKind, Octets, PayloadBase, RejectWith};
use plumbline_sys::nft::{self, kernel as k};

use super::{is_conditional, verdict};

pub(super) fn expression(raw: &nft::Expression) -> Expression {
    // An attribute that is missing where the kernel always sends it makes the expression unknown, never another one.
    let known = match raw.name.as_str() {
        "meta" | "payload" | "ct" | "immediate" | "numgen" | "fib" | "bitwise" | "byteorder" => load(raw),
        "cmp" | "range" | "lookup" | "dynset" | "limit" | "quota" | "connlimit" | "match" => test(raw),
        _ => act(raw),
    };
    known.unwrap_or_else(|| Expression::Other {
        name: raw.name.clone(),
    })
}

/// What fills a register, or changes the packet from one.
fn load(raw: &nft::Expression) -> Option<Expression> {
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
        "bitwise" => bitwise(raw)?,
        "byteorder" => Expression::Byteorder {
            from: raw.number(k::BYTEORDER_SREG)?,
            to: raw.number(k::BYTEORDER_DREG)?,
            length: raw.number(k::BYTEORDER_LEN)?,
            size: raw.number(k::BYTEORDER_SIZE)?,
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
        "numgen" => Expression::Number {
            to: raw.number(k::NUMGEN_DREG)?,
            modulus: raw.number(k::NUMGEN_MODULUS)?,
        },
        "fib" => Expression::Fib {
            to: raw.number(k::FIB_DREG)?,
            result: raw.number(k::FIB_RESULT)?,
            flags: raw.number(k::FIB_FLAGS)?,
        },
        _ => return None,
    })
}

/// What lets the rule go on or not.
fn test(raw: &nft::Expression) -> Option<Expression> {
    Some(match raw.name.as_str() {
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
        "limit" | "quota" | "connlimit" => Expression::Limit {
            name: raw.name.clone(),
        },
        "match" => Expression::XtMatch {
            name: raw.text(k::XT_NAME)?,
            revision: raw.number(k::XT_REV)?,
            info: Octets(raw.octets(k::XT_INFO)?),
        },
        _ => return None,
    })
}

/// What is done with the packet.
fn act(raw: &nft::Expression) -> Option<Expression> {
    Some(match raw.name.as_str() {
        "counter" => Expression::Counter {
            packets: raw.long(k::COUNTER_PACKETS)?,
            bytes: raw.long(k::COUNTER_BYTES)?,
        },
        "reject" => Expression::Reject { with: reject(raw)? },
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

/// `NFT_LOOKUP_F_INV`.
const LOOKUP_INVERTED: u32 = 1;
/// `NFT_DYNSET_F_INV`.
const DYNSET_INVERTED: u32 = 1;
