//! The packet filter as the kernel lists it, before anybody says what it means.

use crate::netlink::{Attribute, Attributes, Error};

use super::kernel as k;

/// Everything of one network namespace, consistent with one generation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ruleset {
    /// The kernel's generation counter.
    pub generation: u32,
    /// Tables in the order of the listing.
    pub tables: Vec<Table>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// `NFPROTO_*`.
    pub family: u8,
    /// Name.
    pub name: String,
    /// `NFT_TABLE_F_*`.
    pub flags: u32,
    /// Chains in the order of the listing.
    pub chains: Vec<Chain>,
    /// Sets and maps in the order of the listing.
    pub sets: Vec<Set>,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Name.
    pub name: String,
    /// Where it is attached, if it is.
    pub base: Option<Base>,
    /// Rules in order.
    pub rules: Vec<Rule>,
}

/// Where a base chain is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The hook's number; its meaning depends on the table's family.
    pub hook: u32,
    /// Lower comes first.
    pub priority: i32,
    /// `NF_DROP` (0) or `NF_ACCEPT` (1).
    pub policy: u32,
    /// `filter`, `nat` or `route`.
    pub kind: String,
    /// The devices of an ingress or egress chain.
    pub devices: Vec<String>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The kernel's handle.
    pub handle: u64,
    /// What it does, in order.
    pub expressions: Vec<Expression>,
    /// Its comment.
    pub comment: Option<String>,
}

/// An expression: its name and its attributes as they stand in the message, numbered as in [`super::kernel`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    /// Name.
    pub name: String,
    data: Vec<u8>,
}

/// A set or a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Name.
    pub name: String,
    /// `NFT_SET_*`.
    pub flags: u32,
    /// Octets of a key.
    pub key_length: u32,
    /// Lengths of a concatenation's fields; empty if it is none.
    pub fields: Vec<u32>,
    /// Elements in the order of the listing.
    pub elements: Vec<Element>,
    /// Whether elements were left out because there were too many.
    pub truncated: bool,
}

/// An element of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The key; empty for the element that matches what nothing else does.
    pub key: Vec<u8>,
    /// The upper end of a concatenated range.
    pub key_end: Option<Vec<u8>>,
    /// `NFT_SET_ELEM_*`.
    pub flags: u32,
    /// What a map gives.
    pub data: Option<Data>,
    /// Names of the expressions that hang on it.
    pub expressions: Vec<String>,
}

/// Data of an expression or an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// Octets.
    Value(Vec<u8>),
    /// A verdict.
    Verdict(Verdict),
}

/// A verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// `NF_DROP` 0, `NF_ACCEPT` 1, `NF_QUEUE` 3, or the negative `NFT_*`.
    pub code: i32,
    /// The chain of a jump.
    pub chain: Option<String>,
}

impl Expression {
    /// Reads a number; `None` if it is absent or has another length.
    pub fn number(&self, attribute: u16) -> Option<u32> {
        let value = self.attribute(attribute)?;
        value.be32().or_else(|| value.u8().map(u32::from))
    }

    /// Reads a 64-bit number.
    pub fn long(&self, attribute: u16) -> Option<u64> {
        self.attribute(attribute)?.be64()
    }

    /// Reads a name.
    pub fn text(&self, attribute: u16) -> Option<String> {
        self.attribute(attribute)
            .and_then(Attribute::text)
            .map(str::to_owned)
    }

    /// Reads octets.
    pub fn octets(&self, attribute: u16) -> Option<Vec<u8>> {
        self.attribute(attribute).map(|value| value.bytes().to_vec())
    }

    /// Reads a value or a verdict.
    pub fn data(&self, attribute: u16) -> Option<Data> {
        Data::parse(self.attribute(attribute)?).ok().flatten()
    }

    /// Whether the attribute is there.
    pub fn has(&self, attribute: u16) -> bool {
        self.attribute(attribute).is_some()
    }

    /// Names of the expressions in two attributes, of which one holds a single expression and the other a list.
    pub fn nested_names(&self, single: u16, list: u16) -> Vec<String> {
        Attributes::parse(&self.data).map_or_else(|_| Vec::new(), |all| expression_names(all, single, list))
    }

    pub(super) fn parse(element: Attributes<'_>) -> Self {
        Self {
            name: text(element, k::EXPR_NAME),
            data: element
                .get(k::EXPR_DATA)
                .map(|data| data.bytes().to_vec())
                .unwrap_or_default(),
        }
    }

    fn attribute(&self, attribute: u16) -> Option<Attribute<'_>> {
        Attributes::parse(&self.data).ok()?.get(attribute)
    }
}

impl Data {
    pub(super) fn parse(attribute: Attribute<'_>) -> Result<Option<Self>, Error> {
        let inner = attribute.nested()?;
        if let Some(value) = inner.get(k::DATA_VALUE) {
            return Ok(Some(Self::Value(value.bytes().to_vec())));
        }
        let Some(verdict) = inner.get(k::DATA_VERDICT) else {
            return Ok(None);
        };
        let verdict = verdict.nested()?;
        let code = verdict
            .get(k::VERDICT_CODE)
            .and_then(Attribute::be32)
            .ok_or(Error::Malformed("a verdict without a code"))?;
        let chain = verdict.get(k::VERDICT_CHAIN).map(lossy);
        Ok(Some(Self::Verdict(Verdict {
            code: code.cast_signed(),
            chain,
        })))
    }
}

/// Names of the expressions in two attributes, of which one holds a single expression and the other a list.
pub(super) fn expression_names(attributes: Attributes<'_>, single: u16, list: u16) -> Vec<String> {
    let nested = |attribute: u16| attributes.get(attribute)?.nested().ok();
    let one = nested(single).map(|inner| text(inner, k::EXPR_NAME));
    let many = nested(list).into_iter().flat_map(|inner| {
        inner
            .iter()
            .filter_map(|(_, element)| Some(text(element.nested().ok()?, k::EXPR_NAME)))
    });
    one.into_iter().chain(many).collect()
}

/// A name, empty if absent.
pub(super) fn text(attributes: Attributes<'_>, attribute: u16) -> String {
    attributes.get(attribute).map(lossy).unwrap_or_default()
}

/// Names are octets to the kernel; those that are not UTF-8 are shown with replacement characters.
fn lossy(attribute: Attribute<'_>) -> String {
    let octets = attribute.bytes();
    let end = octets
        .iter()
        .position(|octet| *octet == 0)
        .unwrap_or(octets.len());
    String::from_utf8_lossy(&octets[..end]).into_owned()
}
