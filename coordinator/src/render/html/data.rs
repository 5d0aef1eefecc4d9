//! What the page's script gets: the matrix with everything that is behind it, each thing once.
//!
//! Pairs of the same roles have the same rows, and rows of different pairs the same words, so that a page of 200 nodes stays
//! small.
//!
//! ```text
//! cells[source][destination] ─► sets ─► rows ─► rules, transports, ports, outcomes, findings
//! sources, destinations      ─► nodes
//! ```

use std::collections::{BTreeMap, BTreeSet};

use plumbline_model::{
    id::NodeId,
    plan::Expect,
    port::PortSet,
    report::{ReachabilityRow, Report},
};
use serde::Serialize;

use super::{
    grid::{Grid, Pair, Stand},
    people,
};
use crate::render::outcome::{outcome_words, transport_words};

/// The data as JSON; `<` is escaped, so that no text can end the script element.
pub(super) fn json(grid: &Grid<'_>, report: &Report) -> String {
    serde_json::to_string(&data(grid, report))
        .expect("strings and numbers always serialise")
        .replace('<', "\\u003c")
}

fn data(grid: &Grid<'_>, report: &Report) -> Data {
    let mut interned = Interned::default();
    let nodes: BTreeSet<NodeId> = report
        .nodes
        .iter()
        .map(|node| node.id)
        .chain(grid.sources.iter().copied())
        .chain(grid.destinations.iter().copied())
        .collect();
    let place: BTreeMap<NodeId, usize> = nodes.iter().enumerate().map(|(at, node)| (*node, at)).collect();
    let cells = grid
        .sources
        .iter()
        .map(|source| {
            let cell = |destination| match grid.pairs.get(&(*source, destination)) {
                Some(pair) => interned.set(grid, pair) + 1,
                None => 0,
            };
            grid.destinations.iter().copied().map(cell).collect()
        })
        .collect();
    Data {
        nodes: nodes.iter().map(|node| people::card(*node, report)).collect(),
        sources: grid.sources.iter().map(|node| place[node]).collect(),
        destinations: grid.destinations.iter().map(|node| place[node]).collect(),
        transports: grid
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
