//! What an explanation may speak of: everything that goes from one party to another, or between them, where parties are what
//! networks are built of: a node, a subnet, everything outside a subnet, everybody.

use ipnet::IpNet;

use crate::{id::NodeId, port::Family};

use super::subnet::Subnets;

/// One side. The order is that of preference where two say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Party {
    Subnet(IpNet),
    Outside(IpNet),
    Anybody,
    Node(NodeId),
    /// Both sides together: every pair that crosses from one subnet into another.
    AcrossSubnets,
}

/// Two sides. Of two scopes that say the same the one that comes first in this order is preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scope {
    /// Whether it speaks of both directions; `from` is then not above `to`.
    pub(super) both_ways: bool,
    pub(super) from: Party,
    pub(super) to: Party,
}

/// An end that an explanation has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    None,
    From(NodeId),
    To(NodeId),
}

impl Party {
    fn has(self, node: NodeId, own: Option<IpNet>) -> bool {
        match self {
            Self::Node(party) => party == node,
            Self::Subnet(subnet) => own == Some(subnet),
            Self::Outside(subnet) => own.is_some_and(|own| own != subnet),
            Self::Anybody | Self::AcrossSubnets => true,
        }
    }
}

impl Scope {
    /// Whether it speaks of this direction between two nodes.
    pub(super) fn holds(self, src: NodeId, dst: NodeId, family: Family, subnets: &Subnets) -> bool {
        self.is_forward(src, dst, family, subnets)
            || self.both_ways && self.is_forward(dst, src, family, subnets)
    }

    /// Whether these nodes are on its sides in this order.
    pub(super) fn is_forward(self, src: NodeId, dst: NodeId, family: Family, subnets: &Subnets) -> bool {
        let (a, b) = (subnets.get(src, family), subnets.get(dst, family));
        let crosses = subnets.are_apart(src, dst, family);
        self.from.has(src, a) && self.to.has(dst, b) && (crosses || self.from != Party::AcrossSubnets)
    }

    /// Whether it speaks of what one node has with others, in either direction or both.
    pub(super) fn is_at_nodes(self) -> bool {
        matches!(
            (self.from, self.to),
            (Party::Node(_), Party::Node(_) | Party::Anybody) | (Party::Anybody, Party::Node(_))
        )
    }

    fn one_way(from: Party, to: Party) -> Self {
        Self {
            both_ways: false,
            from,
            to,
        }
    }

    /// The same in both directions, unless that is what it says already.
    fn two_way(self) -> Option<Self> {
        (self.from != self.to).then(|| Self {
            both_ways: true,
            from: self.from.min(self.to),
            to: self.from.max(self.to),
        })
    }
}

/// The scopes that a direction between two nodes lies in, as far as the anchor allows.
pub(super) fn scopes(
    src: NodeId,
    dst: NodeId,
    family: Family,
    subnets: &Subnets,
    anchor: Anchor,
) -> Vec<Scope> {
    let (a, b) = (subnets.get(src, family), subnets.get(dst, family));
    let crosses = subnets.are_apart(src, dst, family);
    let mut out = Vec::new();
    for from in parties(src, a, b.filter(|_| crosses)) {
        for to in parties(dst, b, a.filter(|_| crosses)) {
            let fits = match anchor {
                Anchor::None => true,
                Anchor::From(node) => from == Party::Node(node),
                Anchor::To(node) => to == Party::Node(node),
            };
            if !fits || !is_sensible(from, to) {
                continue;
            }
            let scope = Scope::one_way(from, to);
            out.push(scope);
            if anchor == Anchor::None {
                out.extend(scope.two_way());
            }
        }
    }
    // Between two subnets both directions name them.
    if crosses && anchor == Anchor::None && subnets.count(family) > 2 {
        out.push(Scope::one_way(Party::AcrossSubnets, Party::AcrossSubnets));
    }
    out
}

/// What a node is part of, seen from a node in another subnet.
fn parties(node: NodeId, own: Option<IpNet>, others: Option<IpNet>) -> impl Iterator<Item = Party> {
    let all = [
        Some(Party::Anybody),
        Some(Party::Node(node)),
        own.map(Party::Subnet),
        others.map(Party::Outside),
    ];
    all.into_iter().flatten()
}

/// "Outside" is said of a subnet to what is in it.
fn is_sensible(from: Party, to: Party) -> bool {
    match (from, to) {
        (Party::Outside(_), Party::Outside(_) | Party::Anybody) | (Party::Anybody, Party::Outside(_)) => {
            false
        }
        (Party::Outside(of), Party::Subnet(subnet)) | (Party::Subnet(subnet), Party::Outside(of)) => {
            of == subnet
        }
        _ => true,
    }
}
