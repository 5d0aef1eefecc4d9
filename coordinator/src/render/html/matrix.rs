//! Who reaches whom: the matrix, its summary by role, and the list of pairs with failures.
//!
//! Few nodes have a table with numbers in its cells. Many have a heat map, which the script draws into `#heat`: tens of
//! thousands of cells are no elements, and assistive technology gets the one that is pointed at. The list of pairs says the
//! same without a picture, on paper and without a script.

use std::collections::BTreeMap;

use maud::{Markup, html};
use plumbline_model::{
    id::NodeId,
    port::{Family, Protocol},
    report::{ReachabilityRow, Report},
};

use super::{
    grid::{Grid, Level, Pair, Stand, Tally},
    people,
};
use crate::render::{count, counted, outcome::outcome_words};

/// Up to this many sources and destinations a table is read; beyond, a heat map.
const TABLE: usize = 12;
/// How many pairs are listed without a script, and on paper.
const LISTED_PAIRS: usize = 300;
/// How many rows of a pair its line tells.
const TOLD_ROWS: usize = 3;

/// The sections.
pub(super) fn sections(report: &Report, grid: &Grid<'_>) -> Markup {
    if grid.pairs.is_empty() {
        return html! {
            section aria-labelledby="reachability" {
                h2 id="reachability" { "Reachability" }
                p { "No port was tested." }
            }
        };
    }
    let is_small = grid.sources.len().max(grid.destinations.len()) <= TABLE;
    html! {
        section aria-labelledby="reachability" {
            h2 id="reachability" {
                "Reachability "
                span.count { (grid.sources.len()) " sources × " (grid.destinations.len()) " destinations" }
            }
            (legend(grid, report.findings.iter().any(|finding| finding.waived.is_some())))
            // Filled by the script: what the map shows, in which order, and how large.
            div id="tools" {}
            @if is_small { (table(grid)) } @else {
                div id="heat" {}
                noscript { p { "The heat map is drawn by a script. The summary and the list below say the same without." } }
            }
            @if !is_small { (summary(report, grid)) }
        }
        (pairs(report, grid))
    }
}

fn legend(grid: &Grid<'_>, has_waived: bool) -> Markup {
    let key = |level: Level, words: &str| {
        html! { li { span.key.(level.class()) { (level.glyph()) } " " (words) } }
    };
    let has = |family| grid.transports.iter().any(|(of, _)| *of == family);
    let both = has(Family::Ipv4) && has(Family::Ipv6);
    let udp = grid
        .transports
        .iter()
        .any(|(_, protocol)| *protocol == Protocol::Udp);
    html! {
        ul.legend aria-label="Legend" {
            li { "Rows ask, columns are asked." }
            (key(Level::Expected, "as expected"))
            (key(Level::Some, "some tests wrong"))
            (key(Level::All, "all tests wrong"))
            (key(Level::Gap, "not measured"))
            @if has_waived { (key(Level::Waived, "waived")) }
            (key(Level::None, "nothing to test"))
            @if both { li { b { "4" } " or " b { "6" } " only this family" } }
            @if udp { li { b { "u" } " only UDP" } }
        }
    }
}

fn table(grid: &Grid<'_>) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-label="Matrix of sources and destinations" {
            table id="matrix" {
                thead {
                    tr {
                        td.corner { "from ↓ to →" }
                        @for destination in &grid.destinations { th scope="col" { (node_link(*destination)) } }
                    }
                }
                tbody {
                    @for source in &grid.sources {
                        tr {
                            th scope="row" { (node_link(*source)) }
                            @for destination in &grid.destinations { (cell(grid, *source, *destination)) }
                        }
                    }
                }
            }
        }
    }
}

fn node_link(node: NodeId) -> Markup {
    html! { a href={ "#node-" (node) } { (node) } }
}

fn cell(grid: &Grid<'_>, source: NodeId, destination: NodeId) -> Markup {
    let Some(pair) = grid.pairs.get(&(source, destination)) else {
        return html! { td.none { span.sr { "nothing to test" } } };
    };
    let level = pair.tally.level();
    html! {
        td class=(level.class()) {
            a href={ "#pair=" (source) "," (destination) } {
                b aria-hidden="true" { (level.glyph()) } " "
                @match level {
                    Level::None => "not served",
                    Level::Expected => (pair.tally.tests()),
                    Level::Waived => { (pair.tally.waived) " of " (pair.tally.tests()) }
                    Level::Gap => { (pair.tally.gaps) " of " (pair.tally.tests()) }
                    Level::Some | Level::All => { (pair.tally.wrong) " of " (pair.tally.tests()) }
                }
                @if !pair.mark.is_empty() { sub { (pair.mark) } }
                span.sr { " " (level_words(level)) }
            }
        }
    }
}

fn level_words(level: Level) -> &'static str {
    match level {
        Level::None => "nothing to test",
        Level::Expected => "tests as expected",
        Level::Waived => "tests waived",
        Level::Gap => "tests not measured",
        Level::Some | Level::All => "tests wrong",
    }
}

/// Role by role, for clusters that are too large to be read node by node. The script makes the same of racks and subnets.
fn summary(report: &Report, grid: &Grid<'_>) -> Markup {
    let roles: BTreeMap<NodeId, String> = report
        .nodes
        .iter()
        .map(|node| (node.id, people::roles(node)))
        .collect();
    let role = |node: NodeId| {
        roles
            .get(&node)
            .cloned()
            .unwrap_or_else(|| people::outsider(node))
    };
    let mut tallies: BTreeMap<(String, String), Tally> = BTreeMap::new();
    for ((source, destination), pair) in &grid.pairs {
        let tally = tallies.entry((role(*source), role(*destination))).or_default();
        tally.join(pair.tally);
    }
    let mut sources: Vec<&String> = tallies.keys().map(|(source, _)| source).collect();
    sources.dedup();
    let mut destinations: Vec<&String> = tallies.keys().map(|(_, destination)| destination).collect();
    destinations.sort();
    destinations.dedup();
    html! {
        h3 id="summary" { "Summary by role" }
        div.wide tabindex="0" role="region" aria-label="Summary by group" {
            table.summary id="groups" {
                thead { tr {
                    td.corner { "from ↓ to →" }
                    @for destination in &destinations { th scope="col" { (destination) } }
                } }
                tbody {
                    @for source in &sources {
                        tr {
                            th scope="row" { (source) }
                            @for destination in &destinations {
                                (summary_cell(tallies.get(&((*source).clone(), (*destination).clone()))))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn summary_cell(tally: Option<&Tally>) -> Markup {
    let Some(tally) = tally else {
        return html! { td.none { span.sr { "nothing to test" } } };
    };
    let level = tally.level();
    html! {
        td class=(level.class()) { b aria-hidden="true" { (level.glyph()) } " " (people::tally_words(*tally)) }
    }
}

/// Every pair with something to tell, as a list: for print, for screen readers, and to sort.
fn pairs(report: &Report, grid: &Grid<'_>) -> Markup {
    let troubled = grid.troubled();
    html! {
        section aria-labelledby="pairs" {
            h2 id="pairs" { "Pairs with failures or gaps " span.count id="pairs-count" { (troubled.len()) } }
            div.wide tabindex="0" role="region" aria-label="Pairs, table" {
                table.rows id="pairtable" {
                    thead { tr {
                        th scope="col" { "From" } th scope="col" { "To" } th scope="col" { "Wrong" }
                        th scope="col" { "Not measured" } th scope="col" { "What" } th scope="col" { "Cause" }
                    } }
                    tbody {
                        @for ((source, destination), pair) in troubled.iter().take(LISTED_PAIRS) {
                            tr {
                                td { a href={ "#pair=" (source) "," (destination) } { (source) } }
                                td { (destination) }
                                td { @if pair.tally.wrong > 0 { (pair.tally.wrong) " of " (pair.tally.tests()) } }
                                td { @if pair.tally.gaps > 0 { (pair.tally.gaps) " of " (pair.tally.tests()) } }
                                td { (told(grid, pair)) }
                                td { (over(report, grid, pair)) }
                            }
                        }
                    }
                }
            }
            @if troubled.is_empty() { p { "Every pair is as expected: " (counted(grid.pairs.len(), "pair")) "." } }
            p.small id="pairs-more" {
                @if troubled.len() > LISTED_PAIRS {
                    "The worst " (LISTED_PAIRS) " of " (count(troubled.len() as u64, "pair")) "; report.json has all."
                }
            }
        }
    }
}

/// The worst rows of a pair, in words.
fn told(grid: &Grid<'_>, pair: &Pair<'_>) -> String {
    let mut rows: Vec<&ReachabilityRow> = pair
        .rows
        .iter()
        .copied()
        .filter(|row| grid.stands(row) >= Stand::Gap)
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(grid.stands(row)));
    let mut words: Vec<String> = rows
        .iter()
        .map(|row| {
            let family = match row.family {
                Family::Ipv6 => " over IPv6",
                Family::Ipv4 => "",
            };
            format!(
                "{}/{}{family} {}",
                row.ports.in_brief(),
                row.protocol,
                outcome_words(row)
            )
        })
        .collect();
    // Two rules may ask for the same port.
    words.dedup();
    let more = words.len().saturating_sub(TOLD_ROWS);
    words.truncate(TOLD_ROWS);
    if more > 0 {
        words.push(format!("and {more} more"));
    }
    words.join("; ")
}

/// The causes over a pair.
fn over(report: &Report, grid: &Grid<'_>, pair: &Pair<'_>) -> Markup {
    let found: std::collections::BTreeSet<usize> =
        pair.rows.iter().flat_map(|row| grid.findings_over(row)).collect();
    html! { @for place in found {
        @let id = &report.findings[place].id;
        a href={ "#" (id) } { (id) } " "
    } }
}
