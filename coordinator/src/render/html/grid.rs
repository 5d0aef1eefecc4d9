//! The matrix as numbers: who asked whom, how many of a pair's tests came to what, and the rows behind each pair.

use std::collections::{BTreeMap, BTreeSet};

use plumbline_model::{
    id::NodeId,
    port::{Family, PortRange, PortSet, Protocol},
    report::{ReachabilityRow, Report, Standing},
};

/// The matrix of a report.
#[derive(Debug)]
pub(super) struct Grid<'a> {
    pub(super) sources: Vec<NodeId>,
    pub(super) destinations: Vec<NodeId>,
    pub(super) pairs: BTreeMap<(NodeId, NodeId), Pair<'a>>,
    /// Families and protocols of the report's tests, ascending.
    pub(super) transports: Vec<(Family, Protocol)>,
    under: Under,
    /// The findings that somebody answers for, by place in the report.
    waived: BTreeSet<usize>,
}

/// How a row stands, with what somebody answers for told apart. The script has the same, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stand {
    /// Nothing of a live node would answer, and nobody misses it.
    NotServed,
    /// As expected.
    Expected,
    /// Not as expected, and every finding over it is waived.
    Waived,
    /// Not measured.
    Gap,
    /// Not as expected.
    Wrong,
}

/// What stands at the crossing of a source and a destination.
#[derive(Debug)]
pub(super) struct Pair<'a> {
    pub(super) tally: Tally,
    /// What its failures have in common that other tests of the pair do not.
    pub(super) mark: &'static str,
    pub(super) rows: Vec<&'a ReachabilityRow>,
    /// How many tests each row adds to those above it: a port that several rules ask for is tested once.
    pub(super) own: Vec<u32>,
}

/// How many tests stand how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) expected: u64,
    pub(super) waived: u64,
    pub(super) gaps: u64,
    pub(super) wrong: u64,
}

/// How a cell looks. The script has the same, as `levels`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Nothing to test.
    None,
    /// Everything as expected.
    Expected,
    /// Nothing wrong but what somebody answers for.
    Waived,
    /// Nothing wrong, something not measured.
    Gap,
    /// Some tests are not as expected.
    Some,
    /// None that was measured is as expected.
    All,
}

/// Which findings a test stands under, by place in the report.
type Under = BTreeMap<(NodeId, NodeId, Family, Protocol), BTreeMap<u16, BTreeSet<usize>>>;

// === impl Tally ===

impl Tally {
    fn add(&mut self, stands: Stand, tests: u32) {
        let tests = u64::from(tests);
        match stands {
            Stand::NotServed => {}
            Stand::Expected => self.expected += tests,
            Stand::Waived => self.waived += tests,
            Stand::Gap => self.gaps += tests,
            Stand::Wrong => self.wrong += tests,
        }
    }

    /// Adds another tally.
    pub(super) fn join(&mut self, other: Self) {
        self.expected += other.expected;
        self.waived += other.waived;
        self.gaps += other.gaps;
        self.wrong += other.wrong;
    }

    /// All tests.
    pub(super) fn tests(self) -> u64 {
        self.expected + self.waived + self.gaps + self.wrong
    }

    /// How a cell of these tests looks.
    pub(super) fn level(self) -> Level {
        match self {
            Self {
                wrong: 1..,
                expected: 0,
                waived: 0,
                ..
            } => Level::All,
            Self { wrong: 1.., .. } => Level::Some,
            Self { gaps: 1.., .. } => Level::Gap,
            Self { waived: 1.., .. } => Level::Waived,
            Self { expected: 1.., .. } => Level::Expected,
            Self { .. } => Level::None,
        }
    }
}

// === impl Level ===

impl Level {
    /// Its class in the style sheet.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Expected => "ok",
            Self::Waived => "waived",
            Self::Gap => "gap",
            Self::Some => "some",
            Self::All => "all",
        }
    }

    /// Its symbol, so that nobody depends on the colour.
    pub(super) fn glyph(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Expected => "✓",
            Self::Waived => "○",
            Self::Gap => "?",
            Self::Some => "✕",
            Self::All => "✖",
        }
    }
}

// === impl Grid ===

impl<'a> Grid<'a> {
    /// Sorts a report's rows by pair.
    pub(super) fn of(report: &'a Report) -> Self {
        let mut pairs: BTreeMap<(NodeId, NodeId), Pair<'a>> = BTreeMap::new();
        for row in &report.reachability {
            let pair = pairs.entry((row.src, row.dst)).or_insert_with(|| Pair {
                tally: Tally::default(),
                mark: "",
                rows: Vec::new(),
                own: Vec::new(),
            });
            pair.rows.push(row);
        }
        let under = under(report);
        let waived: BTreeSet<usize> = (0..report.findings.len())
            .filter(|place| report.findings[*place].waived.is_some())
            .collect();
        for pair in pairs.values_mut() {
            pair.own = own_tests(&pair.rows);
            for (row, tests) in pair.rows.iter().zip(&pair.own) {
                pair.tally.add(stand(row, &under, &waived), *tests);
            }
            let worst = pair.rows.iter().map(|row| row.standing()).max();
            pair.mark = mark_of(&pair.rows, worst.unwrap_or(Standing::AsExpected));
        }
        let sources: BTreeSet<NodeId> = pairs.keys().map(|(source, _)| *source).collect();
        let destinations: BTreeSet<NodeId> = pairs.keys().map(|(_, destination)| *destination).collect();
        let transports: BTreeSet<_> = report
            .reachability
            .iter()
            .map(|row| (row.family, row.protocol))
            .collect();
        Self {
            sources: sources.into_iter().collect(),
            destinations: destinations.into_iter().collect(),
            pairs,
            transports: transports.into_iter().collect(),
            under,
            waived,
        }
    }

    /// The pairs in which something is not as it should be, worst first.
    pub(super) fn troubled(&self) -> Vec<(&(NodeId, NodeId), &Pair<'a>)> {
        let mut troubled: Vec<_> = self
            .pairs
            .iter()
            .filter(|(_, pair)| pair.tally.level() >= Level::Gap)
            .collect();
        // Stable: pairs that are equally bad stay in the order of their addresses.
        troubled.sort_by_key(|(_, pair)| std::cmp::Reverse((pair.tally.level(), pair.tally.wrong)));
        troubled
    }

    /// The findings under which a row's tests stand, by place in the report.
    pub(super) fn findings_over(&self, row: &ReachabilityRow) -> BTreeSet<usize> {
        over(row, &self.under)
    }

    /// How a row stands.
    pub(super) fn stands(&self, row: &ReachabilityRow) -> Stand {
        stand(row, &self.under, &self.waived)
    }
}

fn over(row: &ReachabilityRow, under: &Under) -> BTreeSet<usize> {
    let Some(ports) = under.get(&(row.src, row.dst, row.family, row.protocol)) else {
        return BTreeSet::new();
    };
    ports
        .iter()
        .filter(|(port, _)| row.ports.contains(**port))
        .flat_map(|(_, findings)| findings.iter().copied())
        .collect()
}

fn stand(row: &ReachabilityRow, under: &Under, waived: &BTreeSet<usize>) -> Stand {
    match row.standing() {
        Standing::NotServed => Stand::NotServed,
        Standing::AsExpected => Stand::Expected,
        Standing::Gap => Stand::Gap,
        Standing::Wrong if waived.is_empty() => Stand::Wrong,
        Standing::Wrong => {
            let over = over(row, under);
            if !over.is_empty() && over.is_subset(waived) {
                Stand::Waived
            } else {
                Stand::Wrong
            }
        }
    }
}

/// How many tests each row adds to those above it.
fn own_tests(rows: &[&ReachabilityRow]) -> Vec<u32> {
    let mut seen: BTreeMap<(Family, Protocol, Standing), PortSet> = BTreeMap::new();
    let own = |row: &&ReachabilityRow| {
        // What has no ports (ICMP) is one test.
        if row.ports.is_empty() {
            return 1;
        }
        let seen = seen
            .entry((row.family, row.protocol, row.standing()))
            .or_default();
        let again: u32 = row.ports.ranges().iter().map(|range| shared(*range, seen)).sum();
        row.ports.ranges().iter().for_each(|range| seen.insert(*range));
        row.ports.count() - again
    };
    rows.iter().map(own).collect()
}

/// How many ports of a range are in a set.
fn shared(range: PortRange, set: &PortSet) -> u32 {
    let overlap = |other: &PortRange| {
        let first = u32::from(range.first().max(other.first()));
        let last = u32::from(range.last().min(other.last()));
        (last + 1).saturating_sub(first)
    };
    set.ranges().iter().map(overlap).sum()
}

fn under(report: &Report) -> Under {
    let mut under = Under::new();
    for (place, finding) in report.findings.iter().enumerate() {
        for affect in &finding.affects {
            under
                .entry((affect.src, affect.dst, affect.family, affect.protocol))
                .or_default()
                .entry(affect.port)
                .or_default()
                .insert(place);
        }
    }
    under
}

/// What tells the worst rows of a pair from its others: a family, UDP, or nothing.
fn mark_of(rows: &[&ReachabilityRow], worst: Standing) -> &'static str {
    if worst <= Standing::AsExpected {
        return "";
    }
    let (concerned, others): (Vec<_>, Vec<_>) = rows.iter().copied().partition(|row| row.standing() == worst);
    let alone = |is: &dyn Fn(&ReachabilityRow) -> bool| {
        concerned.iter().all(|row| is(row)) && others.iter().any(|row| !is(row))
    };
    let udp = alone(&|row| row.protocol == Protocol::Udp);
    match (
        udp,
        alone(&|row| row.family == Family::Ipv4),
        alone(&|row| row.family == Family::Ipv6),
    ) {
        (true, true, _) => "u4",
        (true, _, true) => "u6",
        (true, false, false) => "u",
        (false, true, _) => "4",
        (false, _, true) => "6",
        (false, false, false) => "",
    }
}

#[cfg(test)]
mod tests {
    use plumbline_model::plan::Expect;

    use super::*;
    use crate::render::outcome::tests::row;

    fn of(family: Family, protocol: Protocol, outcome: &str) -> ReachabilityRow {
        ReachabilityRow {
            family,
            protocol,
            ..row(Expect::Open, outcome, serde_json::json!({}))
        }
    }

    #[test]
    fn a_cell_says_which_family_or_whether_udp_alone_fails() {
        let (v4, v6) = (Family::Ipv4, Family::Ipv6);
        let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
        let mark = |failing: &[(Family, Protocol)]| {
            let all = [(v4, tcp), (v4, udp), (v6, tcp), (v6, udp)];
            let rows: Vec<ReachabilityRow> = all
                .iter()
                .map(|(family, protocol)| {
                    let outcome = if failing.contains(&(*family, *protocol)) {
                        "filtered"
                    } else {
                        "open"
                    };
                    of(*family, *protocol, outcome)
                })
                .collect();
            let rows: Vec<&ReachabilityRow> = rows.iter().collect();
            let worst = rows.iter().map(|row| row.standing()).max().unwrap();
            mark_of(&rows, worst)
        };
        assert_eq!(mark(&[]), "");
        assert_eq!(mark(&[(v4, tcp), (v4, udp), (v6, tcp), (v6, udp)]), "");
        assert_eq!(mark(&[(v6, tcp), (v6, udp)]), "6");
        assert_eq!(mark(&[(v4, tcp)]), "4");
        assert_eq!(mark(&[(v4, udp), (v6, udp)]), "u");
        assert_eq!(mark(&[(v6, udp)]), "u6");
    }

    #[test]
    fn a_pair_is_wholly_bad_only_if_nothing_of_it_is_as_expected() {
        let level = |expected, gaps, wrong| {
            let tally = Tally {
                expected,
                waived: 0,
                gaps,
                wrong,
            };
            tally.level()
        };
        assert_eq!(level(0, 0, 0), Level::None);
        assert_eq!(level(9, 0, 0), Level::Expected);
        assert_eq!(level(9, 1, 0), Level::Gap);
        assert_eq!(level(9, 1, 1), Level::Some);
        assert_eq!(level(0, 1, 1), Level::All);
    }

    #[test]
    fn a_port_that_two_rules_ask_for_is_one_test() {
        let of = |ports: &str, outcome: &str| ReachabilityRow {
            ports: ports.parse().unwrap(),
            ..row(Expect::Open, outcome, serde_json::json!({}))
        };
        let rows = [
            of("22,80", "open"),
            of("80-90", "open"),
            of("85", "filtered"),
            of("22,85", "open"),
        ];
        assert_eq!(own_tests(&rows.iter().collect::<Vec<_>>()), [2, 10, 1, 0]);
    }
}
