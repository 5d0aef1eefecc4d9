//! The matrix as numbers: who asked whom, how many of a pair's tests came to what, and the rows behind each pair, interned.
//!
//! Pairs of the same roles have the same rows, and rows of different pairs the same words: each is kept once, so that a page
//! of 200 nodes stays small. What the page's script gets is drawn in [`Data`].

use std::collections::{BTreeMap, BTreeSet};

use plumbline_model::{
    id::NodeId,
    plan::Expect,
    port::{Family, PortRange, PortSet, Protocol},
    report::{ReachabilityRow, Report},
};
use serde::Serialize;

use super::people;
use crate::render::{
    Standing,
    outcome::{outcome_words, transport_words},
    standing,
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
    own: Vec<u32>,
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
            let worst = pair.rows.iter().map(|row| standing(row)).max();
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

    /// The data of the page's script; `<` is escaped, so that no text can end the script element.
    pub(super) fn json(&self, report: &Report) -> String {
        serde_json::to_string(&self.data(report))
            .expect("strings and numbers always serialise")
            .replace('<', "\\u003c")
    }

    fn data(&self, report: &Report) -> Data {
        let mut interned = Interned::default();
        let nodes: BTreeSet<NodeId> = report
            .nodes
            .iter()
            .map(|node| node.id)
            .chain(self.sources.iter().copied())
            .chain(self.destinations.iter().copied())
            .collect();
        let place: BTreeMap<NodeId, usize> = nodes.iter().enumerate().map(|(at, node)| (*node, at)).collect();
        let cells = self
            .sources
            .iter()
            .map(|source| {
                let cell = |destination| match self.pairs.get(&(*source, destination)) {
                    Some(pair) => interned.set(self, pair) + 1,
                    None => 0,
                };
                self.destinations.iter().copied().map(cell).collect()
            })
            .collect();
        Data {
            nodes: nodes.iter().map(|node| people::card(*node, report)).collect(),
            sources: self.sources.iter().map(|node| place[node]).collect(),
            destinations: self.destinations.iter().map(|node| place[node]).collect(),
            transports: self
                .transports
                .iter()
                .map(|(family, protocol)| transport_words(*family, *protocol))
                .collect(),
            findings: report
                .findings
                .iter()
                .map(|finding| PageFinding {
                    id: finding.id.clone(),
                    node: finding.cause.node.and_then(|node| place.get(&node).copied()),
                    evidence: finding.evidence.clone(),
                })
                .collect(),
            rules: interned.rules.texts,
            ports: interned.ports.texts,
            outcomes: interned.outcomes.texts,
            rows: interned.rows,
            sets: interned.sets,
            cells,
        }
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
    match standing(row) {
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
        let seen = seen.entry((row.family, row.protocol, standing(row))).or_default();
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
    let (concerned, others): (Vec<_>, Vec<_>) = rows.iter().copied().partition(|row| standing(row) == worst);
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

// === The script's data ===

/// What the page's script gets. Numbers are places in the lists above them; a cell is 0 where nothing was to test, else the
/// place of its set plus one.
#[derive(Debug, Serialize)]
struct Data {
    nodes: Vec<people::Card>,
    sources: Vec<usize>,
    destinations: Vec<usize>,
    transports: Vec<String>,
    rules: Vec<String>,
    ports: Vec<String>,
    outcomes: Vec<String>,
    findings: Vec<PageFinding>,
    rows: Vec<PageRow>,
    sets: Vec<PageSet>,
    cells: Vec<Vec<usize>>,
}

#[derive(Debug, Serialize)]
struct PageFinding {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<usize>,
    evidence: Vec<u32>,
}

/// Rule, transport, ports, whether it must be open, outcome, standing, attempts, number of tests, findings, and how many of
/// the tests are not in a row above it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct PageRow(usize, usize, usize, u8, usize, u8, u32, u32, Vec<usize>, u32);

/// Mark and rows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct PageSet(&'static str, Vec<usize>);

/// Texts, each once, by place.
#[derive(Debug, Default)]
struct Texts {
    places: BTreeMap<String, usize>,
    texts: Vec<String>,
}

impl Texts {
    fn place(&mut self, text: &str) -> usize {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        self.places.insert(text.to_owned(), self.texts.len());
        self.texts.push(text.to_owned());
        self.texts.len() - 1
    }
}

#[derive(Debug, Default)]
struct Interned {
    rules: Texts,
    ports: Texts,
    outcomes: Texts,
    rows: Vec<PageRow>,
    row_places: BTreeMap<PageRow, usize>,
    sets: Vec<PageSet>,
    set_places: BTreeMap<PageSet, usize>,
}

impl Interned {
    fn set(&mut self, grid: &Grid<'_>, pair: &Pair<'_>) -> usize {
        let rows = pair
            .rows
            .iter()
            .zip(&pair.own)
            .map(|(row, own)| self.row(grid, row, *own))
            .collect();
        let set = PageSet(pair.mark, rows);
        if let Some(place) = self.set_places.get(&set) {
            return *place;
        }
        self.sets.push(set.clone());
        self.set_places.insert(set, self.sets.len() - 1);
        self.sets.len() - 1
    }

    fn row(&mut self, grid: &Grid<'_>, row: &ReachabilityRow, own: u32) -> usize {
        let transport = grid.transports.binary_search(&(row.family, row.protocol));
        let stands = grid.stands(row);
        let findings = if stands > Stand::Expected {
            grid.findings_over(row).into_iter().collect()
        } else {
            Vec::new()
        };
        let page_row = PageRow(
            self.rules.place(&row.rule),
            transport.unwrap_or(0),
            self.ports.place(&ports_in_short(&row.ports)),
            u8::from(row.expect == Expect::Open),
            self.outcomes.place(&outcome_words(row)),
            stands as u8,
            row.attempts,
            row.ports.count().max(1),
            findings,
            own,
        );
        if let Some(place) = self.row_places.get(&page_row) {
            return *place;
        }
        self.rows.push(page_row.clone());
        self.row_places.insert(page_row, self.rows.len() - 1);
        self.rows.len() - 1
    }
}

/// Beyond this many ranges a set of ports is told by its ends: a page is no place to read them.
const MOST_RANGES: usize = 64;

/// Ports as the script reads them: `22,30000-32767`; single ports at equal distances, as a shared range leaves them to one
/// source, as `30004-32759/29`; and a set of too many ranges as `95 within 30004-32762`.
fn ports_in_short(ports: &PortSet) -> String {
    let ranges = ports.ranges();
    let [first, second, .., last] = ranges else {
        return ports.to_string();
    };
    let step = second.first().saturating_sub(first.first());
    let is_even = ranges
        .windows(2)
        .all(|two| two[1].first().saturating_sub(two[0].first()) == step)
        && ranges.iter().all(|range| range.count() == 1);
    if is_even {
        format!("{}-{}/{step}", first.first(), last.last())
    } else if ranges.len() <= MOST_RANGES {
        ports.to_string()
    } else {
        format!("{} within {}-{}", ports.count(), first.first(), last.last())
    }
}

#[cfg(test)]
mod tests {
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
            let worst = rows.iter().map(|row| standing(row)).max().unwrap();
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

    #[test]
    fn every_29th_port_of_a_range_is_written_in_a_few_octets() {
        let every = |first: u16, last: u16, step: usize| {
            let mut ports = PortSet::new();
            (first..=last)
                .step_by(step)
                .for_each(|port| ports.insert_port(port));
            ports_in_short(&ports)
        };
        assert_eq!(every(30_004, 32_759, 29), "30004-32759/29");
        assert_eq!(every(30_000, 32_767, 1), "30000-32767");
        assert_eq!(ports_in_short(&"22,80,443".parse().unwrap()), "22,80,443");
    }
}
