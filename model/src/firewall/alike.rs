//! Ports that a ruleset cannot tell apart.
//!
//! ```text
//! rules compare a port with   22        2379-2380        30000-32767
//! classes of ports       [0..21][22][23..2378][2379..2380][2381..29999][30000..32767][32768..]
//! ```
//!
//! Each rule is followed once over registers that say which octets came from a port. Every constant that such octets are
//! compared with bounds a class; packets that differ in nothing but ports of one class meet the same answers all the way.
//! Where octets of a port are changed before they are compared, or copied into the packet's mark, each port is a class of
//! its own: that is slow and never wrong.

use std::collections::BTreeSet;

use super::{
    Bitwise, CompareOp, Expression, PayloadBase, Set,
    index::{Index, Names, sees},
    register::{FILE_BYTES, FORGOTTEN_BYTES, offset},
    xt,
};
use crate::port::Family;

/// Ports by how a ruleset treats them in packets of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Classes {
    /// The first port of each class but the lowest one, ascending.
    From(Vec<u16>),
    /// Every port is treated by itself.
    Each,
}

impl Classes {
    pub(super) fn of(index: &Index<'_>, family: Family) -> Self {
        let mut reader = Reader {
            network_length: match family {
                Family::Ipv4 => 20,
                Family::Ipv6 => 40,
            },
            starts: BTreeSet::new(),
            looked_at: 0,
            known_sets: BTreeSet::new(),
        };
        let tables = index.tables.iter().enumerate();
        for (at, names) in tables.filter(|(_, names)| sees(names.table, family)) {
            for rule in names.table.chains.iter().flat_map(|chain| &chain.rules) {
                if reader.rule((at, names), &rule.expressions).is_err() {
                    return Self::Each;
                }
            }
        }
        Self::From(reader.starts.into_iter().collect())
    }

    /// The port that stands for all of its class: the first one.
    pub(super) fn first_like(&self, port: u16) -> u16 {
        match self {
            Self::From(starts) => {
                let below = starts.partition_point(|start| *start <= port);
                below.checked_sub(1).map_or(0, |at| starts[at])
            }
            Self::Each => port,
        }
    }
}

/// Where an octet of a register came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    /// The same for every port.
    Elsewhere,
    /// An octet of a port, the first of each if even: 0 to 3 are the transport header's, those from 4 connection tracking's.
    Port(u8),
    /// Computed from an octet of a port.
    Computed,
}

/// Which side of a constant differs from the constant itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// What is below it.
    Below,
    /// What is above it.
    Above,
    Both,
}

/// Ports are compared in a way that gives no classes.
struct NoClasses;

struct Reader<'a> {
    /// Octets of the network header.
    network_length: usize,
    starts: BTreeSet<u16>,
    /// Expressions and elements looked at.
    looked_at: usize,
    /// Sets whose constants are known, by table, name and what is looked up.
    known_sets: BTreeSet<(usize, &'a str, Vec<Origin>)>,
}

impl<'a> Reader<'a> {
    fn rule(
        &mut self,
        (at, names): (usize, &Names<'a>),
        expressions: &'a [Expression],
    ) -> Result<(), NoClasses> {
        let mut registers = Origins([Origin::Elsewhere; FILE_BYTES]);
        for expression in expressions {
            self.look_at(1)?;
            match expression {
                Expression::Payload {
                    base,
                    offset,
                    length,
                    to,
                } => registers.store(*to, &self.loaded(*base, *offset, *length)),
                Expression::Ct { key, direction, to } => {
                    registers.store(*to, &ct_origins(*key, *direction));
                }
                Expression::Immediate { to, data } => {
                    registers.store(*to, &vec![Origin::Elsewhere; data.0.len().min(FILE_BYTES)]);
                }
                Expression::Compare { from, op, data } => {
                    let bound = match op {
                        CompareOp::Eq | CompareOp::Neq => Bound::Both,
                        CompareOp::Lt | CompareOp::Gte => Bound::Below,
                        CompareOp::Lte | CompareOp::Gt => Bound::Above,
                    };
                    self.compared(&registers.load(*from, data.0.len()), &data.0, bound)?;
                }
                Expression::Range {
                    from, first, last, ..
                } => {
                    self.compared(&registers.load(*from, first.0.len()), &first.0, Bound::Below)?;
                    self.compared(&registers.load(*from, last.0.len()), &last.0, Bound::Above)?;
                }
                Expression::Bitwise {
                    from,
                    to,
                    length,
                    operation: Bitwise::MaskXor { mask, xor },
                } => registers.mask_xor(*from, *to, octets(*length), &mask.0, &xor.0),
                Expression::Byteorder {
                    from,
                    to,
                    length,
                    size,
                } => registers.swap(*from, *to, octets(*length), octets(*size)),
                Expression::Lookup {
                    set,
                    from,
                    to,
                    inverted,
                } => {
                    let Some(set) = names.set(set) else { continue };
                    let origins = registers.load(*from, set.key_bytes());
                    if self.known_sets.insert((at, &set.name, origins.clone())) {
                        self.looked_up(set, &origins)?;
                    }
                    if let (Some(to), false) = (to, inverted) {
                        registers.store(*to, &vec![Origin::Elsewhere; least_data(set)]);
                    }
                }
                Expression::XtMatch { name, revision, info } => {
                    for (first, last) in xt::compared_ports(name, *revision, &info.0) {
                        self.starts.insert(first);
                        self.starts.extend(last.checked_add(1));
                    }
                }
                // Another rule may ask for the mark.
                Expression::MetaSet { from, .. } if registers.holds_port(*from, 4) => return Err(NoClasses),
                // At least four octets are written. What is taken for a port's and is not costs time only.
                Expression::Meta { to, .. }
                | Expression::Fib { to, .. }
                | Expression::Number { to, .. }
                | Expression::Bitwise { to, .. } => registers.store(*to, &[Origin::Elsewhere]),
                _ => {}
            }
        }
        Ok(())
    }

    fn look_at(&mut self, count: usize) -> Result<(), NoClasses> {
        self.looked_at = self.looked_at.saturating_add(count);
        if self.looked_at > MAX_LOOKED_AT {
            return Err(NoClasses);
        }
        Ok(())
    }

    fn loaded(&self, base: PayloadBase, offset: u32, length: u32) -> Vec<Origin> {
        let start = match base {
            PayloadBase::Network => Some(octets(offset)),
            PayloadBase::Transport => self.network_length.checked_add(octets(offset)),
            PayloadBase::Link | PayloadBase::Inner => None,
        };
        let origin = |index: usize| {
            let at = start?.checked_add(index)?.checked_sub(self.network_length)?;
            u8::try_from(at).ok().filter(|at| *at < 4).map(Origin::Port)
        };
        (0..octets(length).min(FILE_BYTES))
            .map(|index| origin(index).unwrap_or(Origin::Elsewhere))
            .collect()
    }

    /// Octets are compared with a constant, from left to right.
    fn compared(&mut self, origins: &[Origin], constant: &[u8], bound: Bound) -> Result<(), NoClasses> {
        let mut rest = origins.iter().zip(constant).peekable();
        while let Some((origin, octet)) = rest.next() {
            match origin {
                Origin::Elsewhere => {}
                Origin::Port(at) if at % 2 == 0 => {
                    let second = rest.next_if(|(next, _)| **next == Origin::Port(at + 1));
                    match second {
                        Some((_, low)) => {
                            let port = u16::from_be_bytes([*octet, *low]);
                            // What stands behind it decides at equality.
                            let is_last = rest.peek().is_none();
                            if !is_last || bound != Bound::Above {
                                self.starts.insert(port);
                            }
                            if !is_last || bound != Bound::Below {
                                self.starts.extend(port.checked_add(1));
                            }
                        }
                        None => {
                            self.starts.insert(u16::from_be_bytes([*octet, 0]));
                            let next = octet.checked_add(1);
                            self.starts.extend(next.map(|high| u16::from_be_bytes([high, 0])));
                        }
                    }
                }
                Origin::Port(_) | Origin::Computed => return Err(NoClasses),
            }
        }
        Ok(())
    }

    /// A key is looked up: ranges of a concatenation are compared field by field.
    fn looked_up(&mut self, set: &Set, key: &[Origin]) -> Result<(), NoClasses> {
        if set.truncated || key.iter().all(|origin| *origin == Origin::Elsewhere) {
            return Ok(());
        }
        let has_marks = set.has_marks();
        for element in &set.elements {
            self.look_at(1 + set.fields.len())?;
            let Some(last) = &element.key_end else {
                let is_mark = has_marks && element.key.0.len() == key.len();
                let bound = if is_mark { Bound::Below } else { Bound::Both };
                self.compared(key, &element.key.0, bound)?;
                continue;
            };
            for (constant, bound) in [(&element.key.0, Bound::Below), (&last.0, Bound::Above)] {
                if set.fields.is_empty() {
                    self.compared(key, constant, bound)?;
                }
                for field in set.field_spans() {
                    if let (Some(cells), Some(constant)) = (key.get(field.clone()), constant.get(field)) {
                        self.compared(cells, constant, bound)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The registers' octets by where they came from; see [`super::register::Registers`].
struct Origins([Origin; FILE_BYTES]);

impl Origins {
    fn store(&mut self, register: u32, origins: &[Origin]) {
        let Some(start) = offset(register) else { return };
        let padded = origins.len().next_multiple_of(4);
        for (index, slot) in self.0.iter_mut().skip(start).take(padded).enumerate() {
            *slot = origins.get(index).copied().unwrap_or(Origin::Elsewhere);
        }
    }

    /// What lies outside the registers came from no port.
    fn load(&self, register: u32, length: usize) -> Vec<Origin> {
        let start = offset(register).unwrap_or(FILE_BYTES);
        (start..start + length.min(FILE_BYTES))
            .map(|index| self.0.get(index).copied().unwrap_or(Origin::Elsewhere))
            .collect()
    }

    fn holds_port(&self, register: u32, length: usize) -> bool {
        let origins = self.load(register, length);
        origins.iter().any(|origin| *origin != Origin::Elsewhere)
    }

    fn mask_xor(&mut self, from: u32, to: u32, length: usize, mask: &[u8], xor: &[u8]) {
        let bits = |octets: &[u8], index: usize| octets.get(index).copied().unwrap_or(0);
        let computed: Vec<Origin> = self
            .load(from, length)
            .iter()
            .enumerate()
            .map(|(index, origin)| match (bits(mask, index), bits(xor, index)) {
                (0, _) => Origin::Elsewhere,
                (0xff, 0) => *origin,
                _ if *origin == Origin::Elsewhere => Origin::Elsewhere,
                _ => Origin::Computed,
            })
            .collect();
        self.store(to, &computed);
    }

    fn swap(&mut self, from: u32, to: u32, length: usize, size: usize) {
        let mut origins = self.load(from, length);
        if size > 1 {
            origins.chunks_exact_mut(size).for_each(<[Origin]>::reverse);
        }
        self.store(to, &origins);
    }
}

/// `NFT_CT_PROTO_SRC` and `NFT_CT_PROTO_DST`, of the question or of the answer, are ports.
fn ct_origins(key: u32, direction: Option<u8>) -> [Origin; 2] {
    let first = match (key, direction) {
        (11, Some(0)) => 4,
        (12, Some(0)) => 6,
        (11, Some(1)) => 8,
        (12, Some(1)) => 10,
        _ => return [Origin::Elsewhere; 2],
    };
    [Origin::Port(first), Origin::Port(first + 1)]
}

/// Octets that a map writes at least.
fn least_data(set: &Set) -> usize {
    let lengths = set
        .elements
        .iter()
        .map(|element| element.data.as_ref().map_or(FILE_BYTES, |data| data.0.len()));
    lengths.min().unwrap_or(0).min(FORGOTTEN_BYTES)
}

fn octets(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// Expressions and elements that are looked at before every port is taken by itself: several times what is carried.
const MAX_LOOKED_AT: usize = 1_000_000;
