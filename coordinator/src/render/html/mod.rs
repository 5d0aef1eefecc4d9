//! One page that works offline and in print: verdict, causes with their fixes, the nodes' matrix with drill-down, what was
//! not measured, and the nodes' facts.
//!
//! Everything that has to be read is in the page before a script runs: verdict, causes, the pairs with failures, nodes and
//! checks. The scripts (`script/`, one room each, joined into one) add the heat map, the drill-down of a pair or a node,
//! filters, and the state in the address. Nothing of the data is ever put into the page as markup.

mod causes;
mod data;
mod grid;
mod matrix;
mod people;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use plumbline_model::report::{Report, Status, Verdict};
use sha2::{Digest as _, Sha256};

use self::grid::Grid;
use super::{retest_line, scope, text::gaps_by_source, verdict_word, waived};

const STYLE: &str = include_str!("page.css");

/// One scope for all, so that rooms see each other and nothing else does.
const SCRIPT: &str = concat!(
    "\"use strict\";{\n",
    include_str!("script/state.js"),
    include_str!("script/judge.js"),
    include_str!("script/heat.js"),
    include_str!("script/tables.js"),
    include_str!("script/panel.js"),
    include_str!("script/page.js"),
    "}\n",
);

/// The page.
pub(crate) fn html(report: &Report) -> String {
    let grid = Grid::of(report);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="referrer" content="no-referrer";
                title { "Plumbline: " (report.cluster) ": " (verdict_word(report.verdict)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#causes" { "To the causes" }
                (head(report))
                (bar(report, &grid))
                main {
                    (retested(report))
                    (causes::causes(report))
                    (matrix::sections(report, &grid))
                    (gaps(report))
                    (people::nodes(report, &grid))
                    (checks(report))
                }
                footer { (foot(report)) }
                // Filled by the script: what is behind a pair or a node.
                aside id="panel" aria-labelledby="panel-title" hidden {}
                script type="application/json" id="data" { (PreEscaped(data::json(&grid, report))) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// Nothing is ever loaded from anywhere, and nothing runs or styles but what this program wrote: both are named by their
/// digests, so that no text of a report could.
fn policy() -> String {
    let digest = |text: &str| STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        digest(STYLE),
        digest(SCRIPT)
    )
}

/// Where to go in the page. What the script can do stands beside it.
fn bar(report: &Report, grid: &Grid<'_>) -> Markup {
    let gaps = report.not_measured.len() + report.coverage.no_vantage.len();
    html! {
        nav id="bar" aria-label="Sections" {
            a href="#causes" { "Causes " span.count { (waived::apart(report).0.len()) } }
            @if report.findings.iter().any(|finding| finding.waived.is_some()) { a href="#waived" { "Waived" } }
            a href="#reachability" { "Matrix" }
            @if !grid.pairs.is_empty() { a href="#pairs" { "Pairs " span.count { (grid.troubled().len()) } } }
            @if gaps > 0 { a href="#gaps" { "Not measured " span.count { (gaps) } } }
            a href="#nodes" { "Nodes " span.count { (report.nodes.len()) } }
            a href="#checks" { "Checks " span.count { (report.checks.len()) } }
            div id="controls" {}
        }
    }
}

fn head(report: &Report) -> Markup {
    html! {
        header class=(verdict_class(report.verdict)) {
            p.verdict { span.sign aria-hidden="true" { (verdict_sign(report.verdict)) } (verdict_word(report.verdict)) }
            h1 { (report.cluster) " " span.version { (report.version) } }
            @for line in scope::scope(report) { p { (line) "." } }
            @if let Some(retest) = &report.retest {
                p { strong { "Retest of run " code { (retest.run) } ": " } (retest_line(retest)) "." }
            }
            p.small {
                "Run " code { (report.run) } ", started " (report.started)
                @if let Some(finished) = &report.finished { ", finished " (finished) }
                ", Plumbline " (report.coordinator_version)
            }
        }
    }
}

fn verdict_class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Warned => "warned",
        Verdict::Incomplete => "incomplete",
        Verdict::Failed => "failed",
    }
}

fn verdict_sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "✓ ",
        Verdict::Warned => "! ",
        Verdict::Incomplete => "? ",
        Verdict::Failed => "✕ ",
    }
}

/// How outcomes changed since the run whose failures were made again.
fn retested(report: &Report) -> Markup {
    let Some(retest) = &report.retest else {
        return html! {};
    };
    html! {
        section aria-labelledby="retest" {
            h2 id="retest" { "Then and now" }
            table.rows {
                thead { tr { th scope="col" { "In run " (retest.run) } th scope="col" { "Now" } th scope="col" { "Tests" } } }
                tbody {
                    @for change in &retest.changes {
                        tr { td { (change.was.replace('_', " ")) } td { (change.now.replace('_', " ")) } td { (change.tests) } }
                    }
                }
            }
        }
    }
}

fn gaps(report: &Report) -> Markup {
    if report.not_measured.is_empty() && report.coverage.no_vantage.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="gaps" {
            h2 id="gaps" { "What was not measured" }
            table.rows.wrapped {
                thead { tr { th scope="col" { "What" } th scope="col" { "Why" } } }
                tbody {
                    @for row in &report.not_measured {
                        tr { td { (row.what) } td { (row.why) } }
                    }
                    @for (source, remedy, rules) in gaps_by_source(&report.coverage.no_vantage) {
                        tr {
                            td { (rules) " from " (source) }
                            td { "nothing of ours stands at " (source) "; " (remedy) }
                        }
                    }
                }
            }
        }
    }
}

fn checks(report: &Report) -> Markup {
    html! {
        section.listing aria-labelledby="checks" {
            h2 id="checks" { "Checks " span.count { (report.checks.len()) } }
            p.small.hidden-fine role="status" {}
            div.wide tabindex="0" role="region" aria-label="Checks, table" {
                table.rows {
                    thead { tr {
                        th scope="col" { "Check" } th scope="col" { "Status" } th scope="col" { "About" } th scope="col" { "Detail" }
                    } }
                    tbody {
                        @for check in &report.checks {
                            tr.fine[check.status == Status::Pass] {
                                td { (check.id) }
                                td { (scope::status(check.status)) }
                                td { (check.subject) }
                                td { (check.detail) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn foot(report: &Report) -> Markup {
    html! {
        p {
            "This page is a rendering of report.json, and one of the files that attestation.json signs. "
            code { "plumbline verify DIR" } " proves the directory and computes the verdict again from the probes' signed evidence; "
            "openssl and ssh-keygen alone can check the signatures (docs/report-format.md)."
        }
        p.small {
            "Inputs: "
            @for input in &report.inputs { (input.name) " sha256 " code { (input.sha256) } " " }
        }
    }
}

#[cfg(test)]
mod tests {
    use plumbline_model::report::check;

    use super::{super::scope::tests::report, *};

    #[test]
    fn a_node_that_options_left_out_is_not_said_to_have_stayed_away() {
        let page = html(&report(serde_json::json!({
            "excluded": ["10.0.0.3"],
            "swarm": "lab",
            "checks": [{"id": check::SWARM.id, "status": "not_measured", "subject": "10.0.0.2", "detail": ""}],
        })));
        let page = page.split("<script").next().unwrap();
        assert_eq!(page.matches("took no part (--nodes, --exclude)").count(), 1);
        assert_eq!(page.matches("no probe joined").count(), 2);
        assert!(page.contains("REHEARSAL"), "{page}");
    }

    #[test]
    fn a_page_that_passed_with_warnings_does_not_say_that_nothing_was_found() {
        let absent = serde_json::json!([{"node": "10.0.0.2", "why": "its probe did not join in time"}]);
        let page = html(&report(
            serde_json::json!({"verdict": "warned", "absent": absent}),
        ));
        assert!(!page.contains("Nothing was found"));
        assert!(page.contains("<li>10.0.0.2 is left out"), "{page}");
    }
}
