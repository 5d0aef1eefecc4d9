//! A rule in words close to nft's own, for people: what it is called when it is named as a cause.

mod words;

use super::{
    Bitwise, CompareOp, ELEMENT_INTERVAL_END, Expression, NatKind, PayloadBase, Rule, Ruleset, Set, Table,
    TableFamily, xt,
};
use crate::port::Family;
use words::{address, before, host_order, interface, prefix, reject, states, transport, verdict_text};

/// The rule's text; what has no words of its own stands by its kernel name.
pub(super) fn rule(rule: &Rule, table: &Table, ruleset: &Ruleset) -> String {
    let mut writer = Writer {
        table,
        ruleset,
        words: Vec::new(),
        loaded: Vec::new(),
        transport: None,
        is_ipv6: table.family == TableFamily::Ip6,
    };
    for (at, expression) in rule.expressions.iter().enumerate() {
        writer.expression(expression, &rule.expressions[at + 1..]);
    }
    if let Some(comment) = &rule.comment {
        writer.words.push(format!("comment {comment:?}"));
    }
    let mut text = writer.words.join(" ");
    if let Some((end, _)) = text.char_indices().nth(MAX_CHARACTERS) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

struct Writer<'a> {
    table: &'a Table,
    ruleset: &'a Ruleset,
    words: Vec<String>,
    /// What stands in each register that was loaded, newest last.
    loaded: Vec<(u32, Field)>,
    /// The transport that an earlier expression asked for.
    transport: Option<&'static str>,
    /// The table, or an earlier expression, takes IPv6 alone.
    is_ipv6: bool,
}

/// A loaded value: what it is called and how its constants are written.
#[derive(Debug, Clone)]
struct Field {
    label: String,
    form: Form,
    length: usize,
    mask: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Address,
    Port,
    /// A number in host order.
    Host,
    Name,
    Index,
    State,
    Transport,
    Nfproto,
    Raw,
}

impl Writer<'_> {
    fn expression(&mut self, expression: &Expression, rest: &[Expression]) {
        match expression {
            Expression::Meta { key, to } => self.load(*to, meta(*key)),
            Expression::Payload {
                base,
                offset,
                length,
                to,
            } => {
                let field = self.payload(*base, *offset, *length);
                self.load(*to, field);
            }
            Expression::Ct { key, to, .. } => self.load(*to, ct(*key)),
            Expression::Fib { to, result, .. } => {
                self.load(*to, field(&format!("fib {result}"), Form::Host, 4))
            }
            Expression::Number { to, modulus } => {
                self.load(*to, field(&format!("numgen mod {modulus}"), Form::Raw, 4));
            }
            Expression::Bitwise {
                to,
                operation: Bitwise::MaskXor { mask, .. },
                ..
            } => {
                if let Some((_, field)) = self.loaded.iter_mut().rev().find(|(register, _)| register == to) {
                    field.mask = Some(mask.0.clone());
                }
            }
            Expression::Compare { from, op, data } => self.compare(*from, *op, &data.0, rest),
            Expression::Range {
                from,
                inverted,
                first,
                last,
            } => {
                let field = self.field(*from);
                let not = if *inverted { "!= " } else { "" };
                let (first, last) = (self.constant(&field, &first.0), self.constant(&field, &last.0));
                self.words.push(format!("{} {not}{first}-{last}", field.label));
            }
            Expression::Lookup {
                set,
                from,
                to,
                inverted,
            } => self.lookup(set, *from, *to, *inverted),
            statement => self.words.extend(self.statement(statement)),
        }
    }

    /// What an expression says that neither loads nor compares; nothing if it is told with another one.
    fn statement(&self, expression: &Expression) -> Option<String> {
        Some(match expression {
            Expression::Verdict { verdict } => verdict_text(verdict),
            // Its number changes from reading to reading, and the same rule has to have the same text.
            Expression::Counter { .. } => "counter".to_owned(),
            Expression::Reject { with } => reject(*with, self.is_ipv6),
            Expression::Limit { name } | Expression::Aside { name } | Expression::Other { name } => {
                name.clone()
            }
            Expression::Log => "log".to_owned(),
            Expression::Queue => "queue".to_owned(),
            Expression::Notrack => "notrack".to_owned(),
            Expression::Nat {
                kind: NatKind::Source,
            } => "snat".to_owned(),
            Expression::Nat {
                kind: NatKind::Destination,
            } => "dnat".to_owned(),
            Expression::Object { name, .. } => format!("object {name:?}"),
            Expression::SetUpdate { set, .. } => format!("update @{set}"),
            Expression::MetaSet { key, .. } => format!("{} set", meta(*key).label),
            Expression::CtSet { key } => format!("{} set", ct(*key).label),
            Expression::PayloadSet { .. } => "payload set".to_owned(),
            Expression::XtMatch { name, revision, info } => {
                let words = xt::describe(name, *revision, &info.0, self.transport.unwrap_or("th"));
                words.unwrap_or_else(|| format!("-m {name}"))
            }
            Expression::XtTarget { name, revision, info } => {
                let family = if self.table.family == TableFamily::Ip6 {
                    Family::Ipv6
                } else {
                    Family::Ipv4
                };
                match xt::target(name, *revision, &info.0, family) {
                    xt::Target::Reject(kind) => format!("reject with {kind}"),
                    _ => format!("-j {name}"),
                }
            }
            Expression::Meta { .. }
            | Expression::Payload { .. }
            | Expression::Ct { .. }
            | Expression::Fib { .. }
            | Expression::Number { .. }
            | Expression::Compare { .. }
            | Expression::Range { .. }
            | Expression::Lookup { .. }
            | Expression::Immediate { .. }
            | Expression::Byteorder { .. }
            | Expression::Bitwise { .. } => return None,
        })
    }

    fn load(&mut self, register: u32, field: Field) {
        self.loaded.retain(|(other, _)| *other != register);
        self.loaded.push((register, field));
    }

    fn field(&self, register: u32) -> Field {
        let found = self.loaded.iter().rev().find(|(other, _)| *other == register);
        found.map_or_else(
            || field(&format!("register {register}"), Form::Raw, 0),
            |(_, field)| field.clone(),
        )
    }

    fn payload(&self, base: PayloadBase, offset: u32, length: u32) -> Field {
        let octets = usize::try_from(length).unwrap_or(0);
        let transport = self.transport.unwrap_or("th");
        match (base, offset) {
            (PayloadBase::Network, 12) if length <= 4 => field("ip saddr", Form::Address, octets),
            (PayloadBase::Network, 16) if length <= 4 => field("ip daddr", Form::Address, octets),
            (PayloadBase::Network, 8) if length > 4 => field("ip6 saddr", Form::Address, octets),
            (PayloadBase::Network, 24) if length > 4 => field("ip6 daddr", Form::Address, octets),
            (PayloadBase::Network, 9) => field("ip protocol", Form::Transport, octets),
            (PayloadBase::Transport, 0) if length == 2 => {
                field(&format!("{transport} sport"), Form::Port, octets)
            }
            (PayloadBase::Transport, 2) if length == 2 => {
                field(&format!("{transport} dport"), Form::Port, octets)
            }
            (PayloadBase::Transport, 13) => field("tcp flags", Form::Raw, octets),
            _ => {
                let name = match base {
                    PayloadBase::Link => "ll",
                    PayloadBase::Network => "nh",
                    PayloadBase::Transport => "th",
                    PayloadBase::Inner => "ih",
                };
                field(
                    &format!("@{name},{},{}", u64::from(offset) * 8, u64::from(length) * 8),
                    Form::Raw,
                    octets,
                )
            }
        }
    }

    fn compare(&mut self, from: u32, op: CompareOp, data: &[u8], rest: &[Expression]) {
        let field = self.field(from);
        let constant = self.constant(&field, data);
        if field.form == Form::Nfproto && op == CompareOp::Eq {
            self.is_ipv6 = data.first() == Some(&NFPROTO_IPV6);
        }
        if field.form == Form::Transport && op == CompareOp::Eq {
            self.transport = transport(data);
            let port_follows = rest.iter().any(|next| match next {
                Expression::Payload {
                    base: PayloadBase::Transport,
                    offset,
                    ..
                } => *offset < 4,
                Expression::XtMatch { name, .. } => {
                    name == "multiport" || Some(name.as_str()) == self.transport
                }
                _ => false,
            });
            if port_follows && self.transport.is_some() {
                // "tcp dport" says it.
                return;
            }
        }
        let address_follows = || {
            rest.iter().any(|next| {
                matches!(
                    next,
                    Expression::Payload {
                        base: PayloadBase::Network,
                        ..
                    }
                )
            })
        };
        if field.form == Form::Nfproto && address_follows() {
            return;
        }
        // "at least A" right before "at most B" is a range.
        if op == CompareOp::Lte
            && let Some(last) = self.words.last_mut()
            && let Some(lower) = last.strip_prefix(&format!("{} >= ", field.label))
        {
            *last = format!("{} {lower}-{constant}", field.label);
            return;
        }
        // "ct state new" is kept as a mask that must not give zero.
        if let (Form::State, Some(mask), Some(0)) = (field.form, &field.mask, host_order(data)) {
            let not = if op == CompareOp::Eq { "!= " } else { "" };
            let states = host_order(mask).map_or_else(String::new, states);
            self.words.push(format!("{} {not}{states}", field.label));
            return;
        }
        let sign = match op {
            CompareOp::Eq => "",
            CompareOp::Neq => "!= ",
            CompareOp::Lt => "< ",
            CompareOp::Lte => "<= ",
            CompareOp::Gt => "> ",
            CompareOp::Gte => ">= ",
        };
        let sign = match (&field.mask, field.form, op) {
            (None, _, _) | (_, Form::Address, _) => sign.to_owned(),
            (Some(mask), _, CompareOp::Eq) => format!("& 0x{} == ", super::Octets(mask.clone())),
            (Some(mask), _, _) => format!("& 0x{} {sign}", super::Octets(mask.clone())),
        };
        self.words.push(format!("{} {sign}{constant}", field.label));
    }

    fn lookup(&mut self, name: &str, from: u32, to: Option<u32>, inverted: bool) {
        let set = self.table.set(name);
        let fields = self.fields(from, set);
        let label = fields
            .iter()
            .map(|field| field.label.as_str())
            .collect::<Vec<_>>()
            .join(" . ");
        let how = match (to, inverted) {
            (Some(0), _) => " vmap",
            (Some(_), _) => " map",
            (None, true) => " !=",
            (None, false) => "",
        };
        let anonymous = set.filter(|set| set.name.starts_with("__") && set.elements.len() <= MAX_ELEMENTS);
        let elements = match (anonymous, fields.as_slice()) {
            (Some(set), [field]) => format!("{{ {} }}", self.elements(set, field)),
            _ => format!("@{name}"),
        };
        self.words.push(format!("{label}{how} {elements}"));
    }

    /// The fields of a key that starts in a register: a concatenation fills the registers that follow.
    fn fields(&self, from: u32, set: Option<&Set>) -> Vec<Field> {
        let total = set.map_or(0, Set::key_bytes);
        let mut fields = vec![self.field(from)];
        let mut covered = fields[0].length.next_multiple_of(4);
        let mut register = if from < 8 {
            8 + from.saturating_sub(1) * 4
        } else {
            from
        };
        while covered > 0 && covered < total && fields.len() < MAX_ELEMENTS {
            let words = fields.last().map_or(1, |field| field.length.div_ceil(4).max(1));
            register = register.saturating_add(u32::try_from(words).unwrap_or(1));
            let next = self.field(register);
            covered += next.length.max(1).next_multiple_of(4);
            fields.push(next);
        }
        fields
    }

    fn elements(&self, set: &Set, field: &Field) -> String {
        let mut sorted: Vec<_> = set.elements.iter().collect();
        sorted.sort_by_key(|element| (&element.key.0, element.flags & ELEMENT_INTERVAL_END == 0));
        let mut texts: Vec<String> = Vec::new();
        for (at, element) in sorted.iter().enumerate() {
            if element.flags & ELEMENT_INTERVAL_END != 0 {
                continue;
            }
            let mut text = self.constant(field, &element.key.0);
            if let Some(next) = sorted
                .get(at + 1)
                .filter(|next| next.flags & ELEMENT_INTERVAL_END != 0)
            {
                let last = before(&next.key.0);
                if last != element.key.0 {
                    text = format!("{text}-{}", self.constant(field, &last));
                }
            }
            if let Some(verdict) = &element.verdict {
                text = format!("{text} : {}", verdict_text(verdict));
            }
            texts.push(text);
        }
        texts.join(", ")
    }

    fn constant(&self, field: &Field, data: &[u8]) -> String {
        let text = match field.form {
            Form::Address => address(data),
            Form::Port => data
                .first_chunk()
                .map(|port| u16::from_be_bytes(*port).to_string()),
            Form::Host => host_order(data).map(|number| number.to_string()),
            Form::Index => host_order(data).map(|index| match self.ruleset.interface_name(index) {
                Some(name) => format!("{name:?}"),
                None => index.to_string(),
            }),
            Form::Name => Some(interface(data)),
            Form::State => host_order(data).map(states),
            Form::Transport => transport(data).map(str::to_owned),
            Form::Nfproto => data
                .first()
                .map(|family| if *family == NFPROTO_IPV6 { "ipv6" } else { "ipv4" }.to_owned()),
            Form::Raw => None,
        };
        let text = text.unwrap_or_else(|| format!("0x{}", super::Octets(data.to_vec())));
        match (&field.mask, field.form) {
            (None, Form::Address) if !matches!(data.len(), 4 | 16) => format!("{text}/{}", data.len() * 8),
            (None, _) => text,
            (Some(mask), Form::Address) => match prefix(mask) {
                Some(length) => format!("{text}/{length}"),
                None => format!("{text} & {}", address(mask).unwrap_or_default()),
            },
            (Some(_), _) => text,
        }
    }
}

fn field(label: &str, form: Form, length: usize) -> Field {
    Field {
        label: label.to_owned(),
        form,
        length,
        mask: None,
    }
}

fn meta(key: u32) -> Field {
    match key {
        3 => field("meta mark", Form::Host, 4),
        4 => field("iif", Form::Index, 4),
        5 => field("oif", Form::Index, 4),
        6 => field("iifname", Form::Name, 16),
        7 => field("oifname", Form::Name, 16),
        10 => field("meta skuid", Form::Host, 4),
        15 => field("meta nfproto", Form::Nfproto, 1),
        16 => field("meta l4proto", Form::Transport, 1),
        _ => field(&format!("meta {key}"), Form::Raw, 4),
    }
}

fn ct(key: u32) -> Field {
    match key {
        0 => field("ct state", Form::State, 4),
        1 => field("ct direction", Form::Raw, 1),
        2 => field("ct status", Form::Raw, 4),
        3 => field("ct mark", Form::Host, 4),
        _ => field(&format!("ct {key}"), Form::Raw, 4),
    }
}

/// linux/netfilter.h.
const NFPROTO_IPV6: u8 = 10;
/// A rule is named to be found, and every test that it stops carries its text: what is longer is not read by anybody.
const MAX_CHARACTERS: usize = 2048;
/// Elements of an anonymous set that are spelled out; longer sets stand by their name.
const MAX_ELEMENTS: usize = 16;
