//! The nodes' matrix: who asked whom, and the worst that came of it; with the rows behind each cell as data for the page.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use plumbline_model::{
    id::NodeId,
    port::{Family, Protocol},
    report::{ReachabilityRow, Report},
};
use serde::Serialize;

use crate::render::{
    Standing,
    outcome::{outcome_words, transport_words},
    standing,
};

/// One row behind a cell, as the page's script gets it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Row {
    rule: String,
    /// Index into the transports of the report.
    transport: usize,
    ports: String,
    outcome: String,
    /// Class of the row, and of its cell if it is the worst one.
    class: &'static str,
}

/// The matrix of a report.
#[derive(Debug)]
pub(super) struct Matrix {
    sources: Vec<NodeId>,
    destinations: Vec<NodeId>,
    cells: BTreeMap<(NodeId, NodeId), Cell>,
    /// Families and protocols of the report's tests, ascending.
    transports: Vec<(Family, Protocol)>,
    sets: Vec<Vec<Row>>,
}

/// What stands at the crossing of a source and a destination.
#[derive(Debug, Clone, Copy)]
struct Cell {
    /// The worst row of the pair.
    worst: Standing,
    /// What its failures have in common that other tests of the pair do not.
    mark: &'static str,
    /// Index into the sets of rows.
    set: usize,
}

#[derive(Debug, Serialize)]
struct Data<'a> {
    transports: Vec<String>,
    sources: &'a [NodeId],
    destinations: &'a [NodeId],
    sets: &'a [Vec<Row>],
}

impl Matrix {
    /// Sorts a report's rows by pair and interns what pairs have in common.
    pub(super) fn of(report: &Report) -> Self {
        let mut pairs: BTreeMap<(NodeId, NodeId), Vec<&ReachabilityRow>> = BTreeMap::new();
        for row in &report.reachability {
            pairs.entry((row.src, row.dst)).or_default().push(row);
        }
        let transports: BTreeSet<(Family, Protocol)> = report
            .reachability
            .iter()
            .map(|row| (row.family, row.protocol))
            .collect();
        let transports: Vec<_> = transports.into_iter().collect();
        let mut interned: BTreeMap<Vec<Row>, usize> = BTreeMap::new();
        let mut sets = Vec::new();
        let mut cells = BTreeMap::new();
        for (pair, rows) in pairs {
            let worst = rows.iter().map(|row| standing(row)).max();
            let worst = worst.unwrap_or(Standing::AsExpected);
            let mark = mark_of(&rows, worst);
            let set: Vec<Row> = rows.into_iter().map(|row| page_row(row, &transports)).collect();
            let set = *interned.entry(set).or_insert_with_key(|set| {
                sets.push(set.clone());
                sets.len() - 1
            });
            cells.insert(pair, Cell { worst, mark, set });
        }
        let mut sources: Vec<NodeId> = cells.keys().map(|(source, _)| *source).collect();
        sources.sort_unstable();
        sources.dedup();
        let mut destinations: Vec<NodeId> = cells.keys().map(|(_, destination)| *destination).collect();
        destinations.sort_unstable();
        destinations.dedup();
        Self {
            sources,
            destinations,
            cells,
            transports,
            sets,
        }
    }

    /// The table with its legend and the place where a pair's rows open.
    pub(super) fn section(&self) -> Markup {
        if self.cells.is_empty() {
            return html! { section { h2 { "Reachability" } p { "No port was tested." } } };
        }
        html! {
            section aria-labelledby="reachability" {
                h2 id="reachability" { "Reachability" }
                p.small {
                    "Rows ask, columns are asked. "
                    span.key.ok { "✓" } " as expected "
                    span.key.bad { "✕" } " not as expected "
                    span.key.gap { "?" } " not measured "
                    span.key.none { " " } " nothing to test. Select a cell for its ports."
                    @if self.transports.len() > 1 {
                        " Where only some of a pair's tests are concerned: "
                        @if self.has_both_families() { b { "4" } " IPv4 alone, " b { "6" } " IPv6 alone" }
                        @if self.has_both_families() && self.has_udp() { ", " }
                        @if self.has_udp() { b { "u" } " UDP alone" }
                        "."
                    }
                }
                // Filled by the script, which is what makes it work.
                p id="transports" {}
                div.scroll {
                    table id="matrix" {
                        thead {
                            tr {
                                td {}
                                @for destination in &self.destinations {
                                    th scope="col" { span.turn { (destination) } }
                                }
                            }
                        }
                        tbody {
                            @for (i, source) in self.sources.iter().enumerate() {
                                tr {
                                    th scope="row" { (source) }
                                    @for (j, destination) in self.destinations.iter().enumerate() {
                                        (self.cell_markup((i, *source), (j, *destination)))
                                    }
                                }
                            }
                        }
                    }
                }
                div id="pair" role="region" aria-live="polite" {}
            }
        }
    }

    fn has_both_families(&self) -> bool {
        let has = |family| self.transports.iter().any(|(of, _)| *of == family);
        has(Family::Ipv4) && has(Family::Ipv6)
    }

    fn has_udp(&self) -> bool {
        self.transports
            .iter()
            .any(|(_, protocol)| *protocol == Protocol::Udp)
    }

    fn cell_markup(&self, (i, source): (usize, NodeId), (j, destination): (usize, NodeId)) -> Markup {
        let Some(Cell { worst, mark, set }) = self.cells.get(&(source, destination)) else {
            return html! { td.none {} };
        };
        let (class, glyph) = look(*worst);
        // Row, column and set travel as data attributes; the script fills the region below.
        html! {
            td class=(class) tabindex="0" data-p={ (i) "," (j) "," (set) } { (glyph) @if !mark.is_empty() { sub { (mark) } } }
        }
    }

    /// The data of the page's script; `<` is escaped, so that no text can end the script element.
    pub(super) fn json(&self) -> String {
        let data = Data {
            sources: &self.sources,
            destinations: &self.destinations,
            transports: self
                .transports
                .iter()
                .map(|(family, protocol)| transport_words(*family, *protocol))
                .collect(),
            sets: &self.sets,
        };
        serde_json::to_string(&data)
            .expect("strings and bools always serialise")
            .replace('<', "\\u003c")
    }
}

/// Class and glyph of a cell.
fn look(worst: Standing) -> (&'static str, &'static str) {
    match worst {
        Standing::NotServed => ("none", ""),
        Standing::AsExpected => ("ok", "✓"),
        Standing::Gap => ("gap", "?"),
        Standing::Wrong => ("bad", "✕"),
    }
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

fn page_row(row: &ReachabilityRow, transports: &[(Family, Protocol)]) -> Row {
    let transport = transports.binary_search(&(row.family, row.protocol));
    Row {
        rule: row.rule.clone(),
        transport: transport.unwrap_or(0),
        ports: row.ports.in_brief(),
        outcome: outcome_words(row),
        class: look(standing(row)).0,
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
}
