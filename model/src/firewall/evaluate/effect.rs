//! What single expressions do to a packet under way.

use super::super::{
    Bitwise, Expression, NatKind, RejectKind, RejectWith, Verdict,
    index::Names,
    load::{Loaded, Traveller},
    register::{Registers, Truth, compare, known, within},
    sets::Found,
    xt,
};
use crate::port::Family;

/// How a rule or a chain ends.
pub(super) enum Step<'a> {
    /// The next rule.
    Continue,
    /// The next base chain.
    Accept,
    /// Back to the caller.
    Return,
    Jump(&'a str),
    Goto(&'a str),
}

/// What an expression does.
pub(super) enum Effect<'a> {
    /// The next expression.
    Next,
    /// The rule does not match.
    Break,
    /// The rule matches or not, with the reason why that is not known.
    Undecided(String),
    Step(Step<'a>),
    Drop,
    Reject(RejectKind),
    /// What becomes of the packet is not known.
    Unknown(String),
}

/// Does one expression of a rule in a table with these names.
pub(super) fn apply<'a>(
    expression: &'a Expression,
    names: &Names<'a>,
    traveller: &mut Traveller<'_>,
    registers: &mut Registers,
) -> Effect<'a> {
    match expression {
        Expression::Meta { .. }
        | Expression::Payload { .. }
        | Expression::Bitwise { .. }
        | Expression::Byteorder { .. }
        | Expression::Number { .. }
        | Expression::Immediate { .. }
        | Expression::Fib { .. } => load(expression, traveller, registers),
        Expression::MetaSet { key: META_MARK, from } => traveller.set_mark(registers.load(*from, 4)),
        Expression::PayloadSet { base, offset, length } => {
            traveller.forget_payload(*base, *offset, *length);
        }
        Expression::Compare { .. }
        | Expression::Range { .. }
        | Expression::Lookup { .. }
        | Expression::XtMatch { .. } => return condition(expression, names, traveller, registers),
        Expression::Verdict { verdict } => return Effect::verdict(verdict),
        Expression::Ct { key, direction, to } => match traveller.connection(*key, *direction) {
            Loaded::Value(cells) => registers.store(*to, &cells),
            Loaded::Nothing => return Effect::Break,
        },
        Expression::CtSet { .. } => traveller.forget_connection(),
        Expression::Notrack => traveller.notrack(),
        Expression::Reject { with } => {
            return Effect::Reject(reject_kind(*with, traveller.packet.family()));
        }
        Expression::Limit { name } => {
            return Effect::Undecided(format!("`{name}` depends on other traffic"));
        }
        Expression::SetUpdate {
            conditional: true,
            set,
        } => {
            return Effect::Undecided(format!("the meter {set} depends on other traffic"));
        }
        Expression::Object { object, name } => return named_object(*object, name),
        Expression::Nat {
            kind: NatKind::Source,
        } => return Effect::Step(Step::Accept),
        Expression::Nat {
            kind: NatKind::Destination,
        } => return elsewhere(),
        Expression::Queue => return Effect::Unknown("a program decides (queue)".to_owned()),
        Expression::XtTarget { name, revision, info } => return target(traveller, name, *revision, &info.0),
        Expression::Other { name } if LOADERS.contains(&name.as_str()) => {
            registers.forget_all();
            return Effect::Undecided(format!("`{name}` is not read"));
        }
        Expression::Other { name } => return Effect::Unknown(format!("`{name}` is not known")),
        Expression::MetaSet { .. }
        | Expression::SetUpdate {
            conditional: false, ..
        }
        | Expression::Counter { .. }
        | Expression::Log
        | Expression::Aside { .. } => {}
    }
    Effect::Next
}

/// Asks whether the rule goes on. A lookup in a map also writes what it found.
fn condition<'a>(
    expression: &'a Expression,
    names: &Names<'a>,
    traveller: &Traveller<'_>,
    registers: &mut Registers,
) -> Effect<'a> {
    let truth = match expression {
        Expression::Compare { from, op, data } => compare(&registers.load(*from, data.0.len()), *op, &data.0),
        Expression::Range {
            from,
            inverted,
            first,
            last,
        } => {
            let cells = registers.load(*from, first.0.len());
            within(&cells, &first.0, &last.0).invert_if(*inverted)
        }
        Expression::Lookup {
            set,
            from,
            to,
            inverted,
        } => return lookup(names, set, *from, *to, *inverted, registers),
        Expression::XtMatch { name, revision, info } => {
            let context = xt::Context {
                packet: traveller.packet,
                mark: &traveller.mark,
                state: traveller.connection_state(),
            };
            xt::matches(name, *revision, &info.0, context)
        }
        // No condition keeps no packet.
        _ => return Effect::Next,
    };
    Effect::of(truth, expression)
}

/// Does an expression that only writes registers.
fn load(expression: &Expression, traveller: &Traveller<'_>, registers: &mut Registers) {
    match expression {
        Expression::Meta { key, to } => registers.store(*to, &traveller.meta(*key)),
        Expression::Payload {
            base,
            offset,
            length,
            to,
        } => {
            registers.store(*to, &traveller.payload(*base, *offset, *length));
        }
        Expression::Bitwise {
            from,
            to,
            length,
            operation: Bitwise::MaskXor { mask, xor },
        } => {
            registers.mask_xor(*from, *to, octets(*length), &mask.0, &xor.0);
        }
        Expression::Bitwise {
            to,
            operation: Bitwise::Other,
            ..
        }
        | Expression::Number { to, .. } => {
            registers.forget(*to);
        }
        Expression::Byteorder {
            from,
            to,
            length,
            size,
        } => {
            registers.swap(*from, *to, octets(*length), octets(*size));
        }
        Expression::Immediate { to, data } => registers.store(*to, &known(&data.0)),
        Expression::Fib { to, result, flags } => registers.store(*to, &traveller.route(*result, *flags)),
        // Whatever else may have written somewhere.
        _ => registers.forget_all(),
    }
}

fn target<'a>(traveller: &mut Traveller<'_>, name: &str, revision: u32, info: &[u8]) -> Effect<'a> {
    match xt::target(name, revision, info, traveller.packet.family()) {
        xt::Target::Continue => {}
        xt::Target::Reject(kind) => return Effect::Reject(kind),
        xt::Target::SourceNat => return Effect::Step(Step::Accept),
        xt::Target::DestinationNat => return elsewhere(),
        xt::Target::Notrack => traveller.notrack(),
        xt::Target::Mark { value, mask } => {
            let mut registers = Registers::new();
            registers.store(1, &traveller.mark);
            registers.mask_xor(1, 1, 4, &(!mask).to_le_bytes(), &value.to_le_bytes());
            traveller.set_mark(registers.load(1, 4));
        }
        xt::Target::UnknownMark => {
            traveller.set_mark(Registers::new().load(1, 4));
            traveller.forget_connection();
        }
        xt::Target::Unknown => {
            return Effect::Unknown(format!("the iptables target {name} is not known"));
        }
    }
    Effect::Next
}

impl<'a> Effect<'a> {
    fn of(truth: Truth, expression: &Expression) -> Self {
        match truth {
            Truth::Yes => Self::Next,
            Truth::No => Self::Break,
            Truth::Maybe => Self::Undecided(match expression {
                Expression::XtMatch { name, .. } => {
                    format!("the iptables match `{name}` is not decided by what is known")
                }
                _ => "it asks for something about the packet that is not known".to_owned(),
            }),
        }
    }

    fn verdict(verdict: &'a Verdict) -> Self {
        match verdict {
            Verdict::Accept => Self::Step(Step::Accept),
            Verdict::Drop => Self::Drop,
            Verdict::Queue => Self::Unknown("a program decides (queue)".to_owned()),
            Verdict::Continue => Self::Step(Step::Continue),
            Verdict::Return => Self::Step(Step::Return),
            Verdict::Jump { chain } => Self::Step(Step::Jump(chain)),
            Verdict::Goto { chain } => Self::Step(Step::Goto(chain)),
        }
    }
}

fn lookup<'a>(
    names: &Names<'a>,
    name: &str,
    from: u32,
    to: Option<u32>,
    inverted: bool,
    registers: &mut Registers,
) -> Effect<'a> {
    let Some(set) = names.set(name) else {
        return Effect::Unknown(format!("the set {name} was not read"));
    };
    match (set.lookup(&registers.load(from, set.key_bytes())), to) {
        (Found::Nothing, _) => Effect::of(Truth::from(inverted), &Expression::Log),
        (Found::Element(element), Some(REGISTER_VERDICT)) => match &element.verdict {
            Some(verdict) => Effect::verdict(verdict),
            None => Effect::Unknown(format!("the map {name} gives no verdict")),
        },
        (Found::Element(element), Some(register)) => {
            match &element.data {
                Some(data) => registers.store(register, &known(&data.0)),
                None => registers.forget(register),
            }
            Effect::Next
        }
        (Found::Element(_), None) => Effect::of(Truth::from(!inverted), &Expression::Log),
        (Found::Unclear, Some(REGISTER_VERDICT)) => Effect::Unknown(format!(
            "which element of the map {name} is chosen depends on what is not known"
        )),
        (Found::Unclear, register) => {
            if let Some(register) = register {
                registers.forget(register);
            }
            Effect::Undecided(format!(
                "whether the set {name} holds it depends on what is not known"
            ))
        }
    }
}

fn named_object<'a>(object: u32, name: &str) -> Effect<'a> {
    match object {
        // Counter, connection tracking helper, timeout, security mark, expectation: nothing is decided by them.
        1 | 3 | 7 | 8 | 9 => Effect::Next,
        // Quota, limit, limit of connections, or one that a map chooses.
        0 | 2 | 4 | 5 => Effect::Undecided(format!("the named limit {name} depends on other traffic")),
        _ => Effect::Unknown(format!("the object {name} is not known")),
    }
}

fn elsewhere<'a>() -> Effect<'a> {
    Effect::Unknown("it sends the packet to another destination".to_owned())
}

fn reject_kind(with: RejectWith, family: Family) -> RejectKind {
    let icmp_type = match family {
        Family::Ipv4 => 3,
        Family::Ipv6 => 1,
    };
    match with {
        RejectWith::TcpReset => RejectKind::TcpReset,
        RejectWith::Icmp { code } => RejectKind::Icmp { icmp_type, code },
        RejectWith::Icmpx { code } => RejectKind::Icmp {
            icmp_type,
            code: match (family, code) {
                (Family::Ipv4, 1) => 3,
                (Family::Ipv4, 2) => 1,
                (Family::Ipv4, 3) => 13,
                (Family::Ipv6, 1) => 4,
                (Family::Ipv6, 2) => 3,
                (Family::Ipv6, 3) => 1,
                (_, _) => 0,
            },
        },
    }
}

/// Whether it matters that a rule gets this far.
pub(super) fn changes_the_way(expression: &Expression) -> bool {
    match expression {
        Expression::Verdict { verdict } => *verdict != Verdict::Continue,
        Expression::Lookup { to, .. } => *to == Some(REGISTER_VERDICT),
        Expression::XtTarget { name, revision, info } => !matches!(
            xt::target(name, *revision, &info.0, Family::Ipv4),
            xt::Target::Continue
        ),
        Expression::MetaSet { .. }
        | Expression::PayloadSet { .. }
        | Expression::CtSet { .. }
        | Expression::Notrack
        | Expression::Reject { .. }
        | Expression::Nat { .. }
        | Expression::Queue => true,
        Expression::Other { name } => !LOADERS.contains(&name.as_str()),
        _ => false,
    }
}

fn octets(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// The register that holds the verdict.
const REGISTER_VERDICT: u32 = 0;
/// `NFT_META_MARK`.
const META_MARK: u32 = 3;
/// Expressions that only load something: a rule with them can match or not, but they do nothing to the packet.
const LOADERS: [&str; 8] = ["exthdr", "hash", "inner", "osf", "rt", "socket", "tunnel", "xfrm"];
