//! Values by port, kept as runs: the 2,768 NodePorts of a pair are one run as long as they behave alike.

use std::collections::BTreeSet;

use crate::port::{PortRange, PortSet};

/// Values over disjoint port ranges, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RangeMap<T> {
    runs: Vec<(PortRange, T)>,
}

impl<T> Default for RangeMap<T> {
    fn default() -> Self {
        Self { runs: Vec::new() }
    }
}

impl<T: Copy> RangeMap<T> {
    /// Collects runs in the order in which they were reported. Where runs overlap, `join` makes one value of the earlier
    /// and the later.
    pub(crate) fn collect(items: &[(PortRange, T)], join: impl Fn(T, T) -> T) -> Self {
        let mut runs = items.to_vec();
        runs.sort_by_key(|(range, _)| range.first());
        if runs.windows(2).all(|pair| pair[0].0.last() < pair[1].0.first()) {
            return Self { runs };
        }
        Self {
            runs: disjoint(items, join),
        }
    }

    /// The value at a port.
    pub(crate) fn get(&self, port: u16) -> Option<T> {
        let index = self.runs.partition_point(|(range, _)| range.last() < port);
        self.runs
            .get(index)
            .filter(|(range, _)| range.contains(port))
            .map(|(_, value)| *value)
    }

    /// The runs, ascending.
    pub(crate) fn runs(&self) -> &[(PortRange, T)] {
        &self.runs
    }
}

/// Adds the places where any run begins or has just ended: between two neighbouring cuts every map is constant.
pub(crate) fn add_cuts(cuts: &mut Vec<u32>, ranges: impl Iterator<Item = PortRange>) {
    for range in ranges {
        cuts.push(u32::from(range.first()));
        cuts.push(u32::from(range.last()) + 1);
    }
}

/// The pieces of `ports` between cuts, ascending. `cuts` need not be sorted.
pub(crate) fn pieces(ports: &PortSet, mut cuts: Vec<u32>) -> Vec<PortRange> {
    cuts.sort_unstable();
    cuts.dedup();
    let mut out = Vec::new();
    for range in ports.ranges() {
        let mut first = u32::from(range.first());
        let end = u32::from(range.last()) + 1;
        let inner = cuts.partition_point(|cut| *cut <= first);
        for cut in cuts[inner..]
            .iter()
            .copied()
            .take_while(|cut| *cut < end)
            .chain([end])
        {
            out.extend(range_between(first, cut));
            first = cut;
        }
    }
    out
}

/// The range from `first` up to but without `end`.
fn range_between(first: u32, end: u32) -> Option<PortRange> {
    PortRange::new(
        u16::try_from(first).ok()?,
        u16::try_from(end.checked_sub(1)?).ok()?,
    )
}

/// A sweep over the cuts with the set of runs that cover the place: the cost grows with the overlap, not with its square.
fn disjoint<T: Copy>(items: &[(PortRange, T)], join: impl Fn(T, T) -> T) -> Vec<(PortRange, T)> {
    let mut edges: Vec<(u32, bool, usize)> = Vec::with_capacity(items.len() * 2);
    for (index, (range, _)) in items.iter().enumerate() {
        edges.push((u32::from(range.first()), true, index));
        edges.push((u32::from(range.last()) + 1, false, index));
    }
    edges.sort_unstable();
    let mut active = BTreeSet::new();
    let mut out = Vec::new();
    let mut at = 0;
    for (place, begins, index) in edges {
        if place > at
            && let Some(value) = active.iter().map(|index: &usize| items[*index].1).reduce(&join)
            && let Some(range) = range_between(at, place)
        {
            out.push((range, value));
        }
        at = place;
        if begins {
            active.insert(index);
        } else {
            active.remove(&index);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn range(text: &str) -> PortRange {
        text.parse().unwrap()
    }

    #[test]
    fn where_runs_overlap_the_later_one_wins_and_the_rest_stays() {
        let items = [(range("1-100"), 'a'), (range("50"), 'b'), (range("90-110"), 'c')];
        let map = RangeMap::collect(&items, |_, later| later);
        let text: Vec<String> = map
            .runs()
            .iter()
            .map(|(range, value)| format!("{range}{value}"))
            .collect();
        assert_eq!(text, ["1-49a", "50b", "51-89a", "90-100c", "101-110c"]);
        assert_eq!(
            (map.get(50), map.get(110), map.get(111)),
            (Some('b'), Some('c'), None)
        );
    }

    #[test]
    fn counts_of_overlapping_runs_add_up() {
        let map = RangeMap::collect(&[(range("1-2"), 1), (range("2-3"), 10)], |a, b| a + b);
        assert_eq!(
            (1..=4).map(|port| map.get(port)).collect::<Vec<_>>(),
            [Some(1), Some(11), Some(10), None]
        );
    }

    #[test]
    fn pieces_cover_exactly_the_ports_and_break_at_every_cut() {
        let ports: PortSet = "10-20,65535".parse().unwrap();
        let mut cuts = Vec::new();
        add_cuts(
            &mut cuts,
            [range("12-14"), range("19-30"), range("65000-65535")].into_iter(),
        );
        let text: Vec<String> = pieces(&ports, cuts).iter().map(ToString::to_string).collect();
        assert_eq!(text, ["10-11", "12-14", "15-18", "19-20", "65535"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_map_of_runs_is_a_map_of_ports(items in items()) {
            // Values are lists, so that what was joined in which order shows.
            let lists: Vec<(PortRange, u64)> = items.iter().map(|(range, value)| (*range, u64::from(*value))).collect();
            let join = |earlier: u64, later: u64| earlier.wrapping_mul(31).wrapping_add(later);
            let map = RangeMap::collect(&lists, join);
            let mut by_port: BTreeMap<u16, u64> = BTreeMap::new();
            for (range, value) in &lists {
                for port in range.iter() {
                    let joined = by_port.get(&port).map_or(*value, |earlier| join(*earlier, *value));
                    by_port.insert(port, joined);
                }
            }
            let flat: BTreeMap<u16, u64> =
                map.runs().iter().flat_map(|(range, value)| range.iter().map(|port| (port, *value))).collect();
            prop_assert_eq!(&flat, &by_port);
            prop_assert!(map.runs().windows(2).all(|pair| pair[0].0.last() < pair[1].0.first()));
            for port in (0..=70).chain(65_500..=65_535) {
                prop_assert_eq!(map.get(port), by_port.get(&port).copied());
            }
        }

        #[test]
        fn pieces_are_the_ports_and_no_cut_is_inside_of_one(items in items(), at in items()) {
            let mut ports = PortSet::new();
            items.iter().for_each(|(range, _)| ports.insert(*range));
            let mut cuts = Vec::new();
            add_cuts(&mut cuts, at.iter().map(|(range, _)| *range));
            let pieces = pieces(&ports, cuts.clone());
            prop_assert!(pieces.windows(2).all(|pair| pair[0].last() < pair[1].first()));
            prop_assert_eq!(pieces.iter().flat_map(|piece| piece.iter()).collect::<PortSet>(), ports);
            for piece in pieces {
                let inside = u32::from(piece.first()) + 1..=u32::from(piece.last());
                prop_assert!(cuts.iter().all(|cut| !inside.contains(cut)), "{}", piece);
            }
        }
    }

    /// Runs that overlap, touch, and reach both ends of the port space.
    fn items() -> impl Strategy<Value = Vec<(PortRange, u8)>> {
        let first = prop_oneof![1..60_u16, 65_510..=u16::MAX];
        let range = (first, 0..12_u16).prop_map(|(first, length)| {
            PortRange::new(first, first.saturating_add(length)).expect("first is at least 1")
        });
        proptest::collection::vec((range, any::<u8>()), 0..12)
    }
}
