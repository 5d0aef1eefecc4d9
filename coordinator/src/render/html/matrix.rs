//! The nodes' matrix: who asked whom, and the worst that came of it; with the rows behind each cell as data for the page.

use std::collections::BTreeMap;

use maud::{Markup, html};
use plumbline_model::{
    id::NodeId,
    port::PortSet,
    report::{ReachabilityRow, Report},
};
use serde::Serialize;

use crate::render::{Standing, standing};

/// One row behind a cell, as the page's script gets it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Row {
    rule: String,
    ports: String,
    outcome: String,
    wrong: bool,
}

/// The matrix of a report.
#[derive(Debug)]
pub(super) struct Matrix {
    sources: Vec<NodeId>,
    destinations: Vec<NodeId>,
    cells: BTreeMap<(NodeId, NodeId), (Standing, usize)>,
    sets: Vec<Vec<Row>>,
}

#[derive(Debug, Serialize)]
struct Data<'a> {
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
        let mut interned: BTreeMap<Vec<Row>, usize> = BTreeMap::new();
        let mut sets = Vec::new();
        let mut cells = BTreeMap::new();
        for (pair, rows) in pairs {
            let worst = rows
                .iter()
                .map(|row| standing(row))
                .max()
                .unwrap_or(Standing::AsExpected);
            let set: Vec<Row> = rows.into_iter().map(page_row).collect();
            let index = *interned.entry(set).or_insert_with_key(|set| {
                sets.push(set.clone());
                sets.len() - 1
            });
            cells.insert(pair, (worst, index));
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
                }
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

    fn cell_markup(&self, (i, source): (usize, NodeId), (j, destination): (usize, NodeId)) -> Markup {
        let Some((worst, set)) = self.cells.get(&(source, destination)) else {
            return html! { td.none {} };
        };
        let (class, glyph) = match worst {
            Standing::AsExpected => ("ok", "✓"),
            Standing::Gap => ("gap", "?"),
            Standing::Wrong => ("bad", "✕"),
        };
        // Row, column and set travel as data attributes; the script fills the region below.
        html! { td class=(class) tabindex="0" data-p={ (i) "," (j) "," (set) } { (glyph) } }
    }

    /// The data of the page's script; `<` is escaped, so that no text can end the script element.
    pub(super) fn json(&self) -> String {
        let data = Data {
            sources: &self.sources,
            destinations: &self.destinations,
            sets: &self.sets,
        };
        serde_json::to_string(&data)
            .expect("strings and bools always serialise")
            .replace('<', "\\u003c")
    }
}

fn page_row(row: &ReachabilityRow) -> Row {
    let mut outcome = row.outcome.replace('_', " ");
    if let (Some(kind), Some(code)) = (row.icmp_type, row.icmp_code) {
        outcome.push_str(&format!(" (ICMP {kind}/{code}"));
        if let Some(offender) = row.offender {
            outcome.push_str(&format!(" from {offender}"));
        }
        outcome.push(')');
    }
    if let Some(why) = &row.why {
        outcome.push_str(&format!(" ({})", why.replace('_', " ")));
    }
    Row {
        rule: row.rule.clone(),
        ports: format!("{} {}", row.protocol, short(&row.ports)),
        outcome,
        wrong: standing(row) != Standing::AsExpected,
    }
}

/// Ports for a person: a stratum of hundreds of single ports is told by its ends and its number.
fn short(ports: &PortSet) -> String {
    /// Beyond this many ranges a list is not read any more.
    const LISTED: usize = 8;
    match (ports.ranges().first(), ports.ranges().last()) {
        (Some(first), Some(last)) if ports.ranges().len() > LISTED => {
            format!(
                "{} ports from {} to {}",
                ports.count(),
                first.first(),
                last.last()
            )
        }
        _ => ports.to_string(),
    }
}
