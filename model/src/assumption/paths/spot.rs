//! Where something is that several paths have in common: at a node, on a subnet's own link, or between subnets. Decided by what
//! is touched and what is not, so that one place is one finding, however many pairs meet it.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::NodeId;

/// Who sends, who receives.
pub(crate) type Pair = (NodeId, NodeId);

/// A place and the pairs that meet it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spot {
    /// The node that all of them touch, if it is at one.
    pub(crate) node: Option<NodeId>,
    /// Whose packets, ascending; for a place that is met in both directions one of the sides.
    pub(crate) from: Vec<NodeId>,
    /// To whom, ascending.
    pub(crate) to: Vec<NodeId>,
    /// Whether it is met in both directions.
    pub(crate) both_ways: bool,
    /// The pairs, ascending.
    pub(crate) pairs: BTreeSet<Pair>,
}

impl Spot {
    /// Whether what goes between two nodes, in whichever direction, passes here, even if nobody measured between these two.
    pub(crate) fn is_between(&self, one: NodeId, other: NodeId) -> bool {
        let sides = |src: &NodeId, dst: &NodeId| self.from.contains(src) && self.to.contains(dst);
        match self.node {
            Some(node) => node == one || node == other,
            None => sides(&one, &other) || sides(&other, &one),
        }
    }
}

/// The places of what is bad, given everything that was measured and in which place (a subnet) each node stands.
///
/// 1. A node is one if all of what was measured from it, or to it, is bad, pairs with its neighbours in the subnet among them,
///    and the same does not hold for most of these neighbours.
/// 2. What is left inside a subnet is its link, also for those who come to it from elsewhere.
/// 3. Everything that was measured is one place, too: what all have in common.
/// 4. What is left between subnets: one subnet and all others, if it is in all of them; else each two.
pub(crate) fn spots<P: Ord + Copy>(
    measured: &BTreeSet<Pair>,
    bad: &BTreeSet<Pair>,
    place: impl Fn(NodeId) -> P,
) -> Vec<Spot> {
    let mut rest = bad.clone();
    let mut found = Vec::new();
    for node in culprits(measured, bad, &place) {
        let own: BTreeSet<Pair> = rest.iter().copied().filter(|pair| touches(*pair, node)).collect();
        rest.retain(|pair| !touches(*pair, node));
        if !own.is_empty() {
            found.push(at_node(node, own));
        }
    }
    if rest.is_empty() {
        return found;
    }
    if rest == *measured {
        found.push(on_link(rest));
        return found;
    }
    let mut groups: BTreeMap<(P, P), BTreeSet<Pair>> = BTreeMap::new();
    for pair in rest {
        let (a, b) = (place(pair.0), place(pair.1));
        groups.entry((a.min(b), a.max(b))).or_default().insert(pair);
    }
    let (inside, across): (Vec<_>, Vec<_>) = groups.into_iter().partition(|((a, b), _)| a == b);
    if let [((own, _), pairs)] = inside.as_slice()
        && across.iter().all(|((a, b), _)| a == own || b == own)
    {
        // Whoever comes from elsewhere uses the link as well.
        let mut spot = on_link(pairs.clone());
        spot.pairs.extend(across.iter().flat_map(|(_, pairs)| pairs));
        found.push(spot);
        return found;
    }
    found.extend(inside.into_iter().map(|(_, pairs)| on_link(pairs)));
    found.extend(between(&across, &place));
    found
}

/// Nodes that are bad to all or for all, unlike most of their neighbours. The worst come first.
fn culprits<P: Ord>(
    measured: &BTreeSet<Pair>,
    bad: &BTreeSet<Pair>,
    place: &impl Fn(NodeId) -> P,
) -> Vec<NodeId> {
    let nodes: BTreeSet<NodeId> = measured.iter().flat_map(|(src, dst)| [*src, *dst]).collect();
    let is_wholly = |of: &dyn Fn(&&Pair) -> bool| {
        let mut own = measured.iter().filter(of).peekable();
        let is_any = own.peek().is_some();
        is_any && own.all(|pair| bad.contains(pair))
    };
    let neighbours = |node: NodeId| {
        let own = place(node);
        nodes
            .iter()
            .copied()
            .filter(move |other| *other != node && place(*other) == own)
    };
    let suspects: BTreeSet<NodeId> = nodes
        .iter()
        .copied()
        .filter(|node| {
            let has_neighbours = neighbours(*node).next().is_some();
            let sends = |(src, _): &&Pair| src == node;
            let receives = |(_, dst): &&Pair| dst == node;
            has_neighbours && (is_wholly(&sends) || is_wholly(&receives))
        })
        .collect();
    let mut culprits: Vec<NodeId> = suspects
        .iter()
        .copied()
        .filter(|node| {
            let all = neighbours(*node).count();
            let alike = neighbours(*node).filter(|other| suspects.contains(other)).count();
            // Of two neighbours that are alike it may be either, or the link: with others outside it is not both.
            alike * 2 < all.max(1)
        })
        .collect();
    let badness = |node: &NodeId| bad.iter().filter(|pair| touches(**pair, *node)).count();
    culprits.sort_by_key(|node| (std::cmp::Reverse(badness(node)), *node));
    culprits
}

fn touches(pair: Pair, node: NodeId) -> bool {
    pair.0 == node || pair.1 == node
}

fn at_node(node: NodeId, pairs: BTreeSet<Pair>) -> Spot {
    let sends = pairs.iter().any(|pair| pair.0 == node);
    let receives = pairs.iter().any(|pair| pair.1 == node);
    let others: BTreeSet<NodeId> = pairs
        .iter()
        .map(|(src, dst)| if *src == node { *dst } else { *src })
        .collect();
    let others: Vec<NodeId> = others.into_iter().collect();
    let (from, to) = match sends {
        true => (vec![node], others),
        false => (others, vec![node]),
    };
    Spot {
        node: Some(node),
        from,
        to,
        both_ways: sends && receives,
        pairs,
    }
}

fn on_link(pairs: BTreeSet<Pair>) -> Spot {
    let (from, to) = ends(&pairs);
    Spot {
        node: None,
        from,
        to,
        both_ways: pairs.iter().any(|(src, dst)| pairs.contains(&(*dst, *src))),
        pairs,
    }
}

fn between<P: Ord + Copy>(across: &[((P, P), BTreeSet<Pair>)], place: &impl Fn(NodeId) -> P) -> Vec<Spot> {
    let places: BTreeSet<P> = across.iter().flat_map(|((a, b), _)| [*a, *b]).collect();
    let in_all = |own: &P| across.iter().all(|((a, b), _)| a == own || b == own);
    let every_two = places.len() * places.len().saturating_sub(1) / 2;
    let one = places.iter().find(|own| in_all(own));
    match one {
        Some(one) if across.len() > 1 => {
            let pairs = across.iter().flat_map(|(_, pairs)| pairs).copied().collect();
            vec![across_from(pairs, |node| place(node) == *one)]
        }
        // Everywhere between any two: what they have in common is the middle.
        None if across.len() == every_two => {
            let pairs: BTreeSet<Pair> = across.iter().flat_map(|(_, pairs)| pairs).copied().collect();
            vec![on_link(pairs)]
        }
        _ => across
            .iter()
            .map(|((a, _), pairs)| across_from(pairs.clone(), |node| place(node) == *a))
            .collect(),
    }
}

/// One side and the other.
fn across_from(pairs: BTreeSet<Pair>, is_near: impl Fn(NodeId) -> bool) -> Spot {
    let near: BTreeSet<NodeId> = pairs
        .iter()
        .flat_map(|(src, dst)| [*src, *dst])
        .filter(|node| is_near(*node))
        .collect();
    let far: BTreeSet<NodeId> = pairs
        .iter()
        .flat_map(|(src, dst)| [*src, *dst])
        .filter(|node| !is_near(*node))
        .collect();
    let forth = pairs.iter().any(|(src, _)| is_near(*src));
    let back = pairs.iter().any(|(src, _)| !is_near(*src));
    let (near, far): (Vec<NodeId>, Vec<NodeId>) = (near.into_iter().collect(), far.into_iter().collect());
    let (from, to) = if forth { (near, far) } else { (far, near) };
    Spot {
        node: None,
        from,
        to,
        both_ways: forth && back,
        pairs,
    }
}

fn ends(pairs: &BTreeSet<Pair>) -> (Vec<NodeId>, Vec<NodeId>) {
    let from: BTreeSet<NodeId> = pairs.iter().map(|(src, _)| *src).collect();
    let to: BTreeSet<NodeId> = pairs.iter().map(|(_, dst)| *dst).collect();
    (from.into_iter().collect(), to.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(last: u8) -> NodeId {
        NodeId::Address([10, 0, 0, last].into())
    }

    fn place(node: NodeId) -> u8 {
        match node.address() {
            Some(std::net::IpAddr::V4(address)) => address.octets()[3] / 10,
            _ => 0,
        }
    }

    fn all(nodes: &[u8]) -> BTreeSet<Pair> {
        let of = |src: u8| nodes.iter().map(move |dst| (node(src), node(*dst)));
        nodes
            .iter()
            .flat_map(|src| of(*src))
            .filter(|(src, dst)| src != dst)
            .collect()
    }

    fn found(nodes: &[u8], is_bad: impl Fn(u8, u8) -> bool) -> Vec<Spot> {
        let last = |node: NodeId| match node.address() {
            Some(std::net::IpAddr::V4(address)) => address.octets()[3],
            _ => 0,
        };
        let measured = all(nodes);
        let bad = measured
            .iter()
            .copied()
            .filter(|(src, dst)| is_bad(last(*src), last(*dst)))
            .collect();
        spots(&measured, &bad, place)
    }

    const FOUR: [u8; 4] = [1, 2, 11, 12];
    const NINE: [u8; 9] = [1, 2, 3, 11, 12, 13, 21, 22, 23];

    #[test]
    fn what_touches_one_node_and_its_neighbours_is_at_the_node() {
        for nodes in [&FOUR[..], &NINE[..]] {
            let spots = found(nodes, |src, dst| src == 1 || dst == 1);
            assert_eq!(spots.len(), 1);
            assert_eq!((spots[0].node, spots[0].both_ways), (Some(node(1)), true));
            let spots = found(nodes, |_, dst| dst == 12);
            assert_eq!(spots.len(), 1);
            assert_eq!((spots[0].node, spots[0].both_ways), (Some(node(12)), false));
        }
    }

    #[test]
    fn two_bad_nodes_are_two_places() {
        let spots = found(&NINE, |src, dst| {
            [src, dst].iter().any(|end| [1, 12].contains(end))
        });
        let nodes: Vec<_> = spots.iter().map(|spot| spot.node).collect();
        assert_eq!(nodes, [Some(node(1)), Some(node(12))]);
    }

    #[test]
    fn one_subnet_and_all_others_is_one_place() {
        let is_second = |end: u8| end / 10 == 1;
        let spots = found(&NINE, |src, dst| is_second(src) != is_second(dst));
        assert_eq!(spots.len(), 1);
        assert_eq!(spots[0].from, [node(11), node(12), node(13)]);
        assert_eq!((spots[0].to.len(), spots[0].both_ways), (6, true));
    }

    #[test]
    fn one_direction_between_two_subnets_has_a_direction() {
        for nodes in [&FOUR[..], &NINE[..]] {
            let spots = found(nodes, |src, dst| src / 10 == 1 && dst / 10 == 0);
            assert_eq!(spots.len(), 1);
            assert_eq!((spots[0].node, spots[0].both_ways), (None, false));
            assert_eq!(spots[0].from[0], node(11));
        }
    }

    #[test]
    fn everything_between_subnets_is_one_place_and_so_is_a_link() {
        let spots = found(&NINE, |src, dst| src / 10 != dst / 10);
        assert_eq!((spots.len(), spots[0].from.len()), (1, 9));
        let spots = found(&NINE, |src, dst| src / 10 == 1 && dst / 10 == 1);
        assert_eq!(spots.len(), 1);
        assert_eq!(spots[0].from, [node(11), node(12), node(13)]);
        for nodes in [&FOUR[..], &NINE[..]] {
            let spots = found(nodes, |src, dst| src / 10 == 1 || dst / 10 == 1);
            assert_eq!(spots.len(), 1, "a link that others come to as well");
            assert_eq!((spots[0].from[0], &spots[0].from), (node(11), &spots[0].to));
            assert_eq!(found(nodes, |_, _| true).len(), 1);
            assert_eq!(found(nodes, |_, _| false), []);
        }
    }
}
