//! One page that works offline and in print: verdict, causes with their fixes, the nodes' matrix with drill-down, what was
//! not measured, and the nodes' facts.
//!
//! The matrix is drawn by the server side as a table; a click or the Enter key on a cell opens the pair's rows below it.
//! Rows are interned: pairs of the same roles share one set, so that a page of 200 nodes stays small.

mod matrix;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use plumbline_model::{
    observation::Life,
    port::Family,
    report::{Finding, FindingSeverity, Report, ReportNode, Status, Verdict},
};

use self::matrix::Matrix;
use super::{count, counted, retest_line, scope, status_word, text::gaps_by_source, verdict_word};

/// The page.
pub(crate) fn html(report: &Report) -> String {
    let matrix = Matrix::of(report);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // Nothing is ever loaded from anywhere.
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
                title { "Plumbline: " (report.cluster) ": " (verdict_word(report.verdict)) }
                style { (PreEscaped(include_str!("page.css"))) }
            }
            body {
                (head(report))
                main {
                    (retested(report))
                    (findings(report))
                    (matrix.section())
                    (gaps(report))
                    (nodes(report))
                    (checks(report))
                }
                footer { (foot(report)) }
                script type="application/json" id="data" { (PreEscaped(matrix.json())) }
                script { (PreEscaped(include_str!("page.js"))) }
            }
        }
    };
    page.into_string()
}

fn head(report: &Report) -> Markup {
    html! {
        header class=(verdict_class(report.verdict)) {
            p.verdict { (verdict_word(report.verdict)) }
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

fn findings(report: &Report) -> Markup {
    html! {
        section aria-labelledby="causes" {
            h2 id="causes" { "What is wrong" }
            @if report.findings.is_empty() {
                @match report.verdict {
                    Verdict::Passed => p { "Nothing was found." },
                    Verdict::Warned => p { "Nothing failed. What the warning is about:" },
                    Verdict::Incomplete | Verdict::Failed => p { "Nothing that was measured is wrong." },
                }
                @let warnings = scope::all_warnings(report);
                @if !warnings.is_empty() { ul { @for line in &warnings { li { (line) } } } }
            } @else {
                @for line in scope::warnings(report) { p { span.label { "warning" } " " (line) } }
            }
            @for finding in &report.findings {
                (finding_card(finding))
            }
        }
    }
}

/// How many failing tests a card lists; the matrix and report.json have all of them.
const LISTED_AFFECTS: usize = 40;

fn finding_card(finding: &Finding) -> Markup {
    let class = match (finding.status, finding.severity) {
        (Status::Fail, FindingSeverity::Fail) => "card failed",
        (Status::NotMeasured, _) => "card incomplete",
        _ => "card warned",
    };
    html! {
        article id=(finding.id) class=(class) {
            h3 {
                a.anchor href={ "#" (finding.id) } { (finding.id) } " "
                span.label { (status_word(finding.status, finding.severity)) } " "
                (finding.cause.detail)
            }
            @if !finding.fix.text.is_empty() { p { strong { "Fix: " } (finding.fix.text) } }
            @if !finding.fix.commands.is_empty() {
                pre { code { @for command in &finding.fix.commands { (command) "\n" } } }
            }
            @if finding.affects_total > 0 {
                details {
                    summary { (count(finding.affects_total, "test")) " under it" }
                    table.rows {
                        thead { tr { th scope="col" { "From" } th scope="col" { "To" } th scope="col" { "Port" } } }
                        tbody {
                            @for affect in finding.affects.iter().take(LISTED_AFFECTS) {
                                tr {
                                    td { (affect.src) }
                                    td { (affect.dst) }
                                    td {
                                        (affect.port) "/" (affect.protocol)
                                        @if affect.family == Family::Ipv6 { " over IPv6" }
                                    }
                                }
                            }
                        }
                    }
                    @if finding.affects_total > LISTED_AFFECTS as u64 {
                        p.small { "The first " (LISTED_AFFECTS) "; the matrix below and report.json have all." }
                    }
                }
            }
            p.small {
                "Check " (finding.check) ", " (count(finding.attempts, "attempt"))
                @if !finding.evidence.is_empty() {
                    ", evidence lines "
                    (finding.evidence.iter().take(12).map(u32::to_string).collect::<Vec<_>>().join(" "))
                    @if finding.evidence.len() > 12 { " …" }
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

fn nodes(report: &Report) -> Markup {
    html! {
        section aria-labelledby="nodes" {
            h2 id="nodes" { "Nodes" }
            table.rows {
                thead { tr {
                    th scope="col" { "Node" } th scope="col" { "Roles" } th scope="col" { "Version" }
                    th scope="col" { "Host" } th scope="col" { "System" } th scope="col" { "Interfaces" }
                } }
                tbody { @for node in &report.nodes { (node_row(node, report)) } }
            }
        }
    }
}

fn node_row(node: &ReportNode, report: &Report) -> Markup {
    let roles: Vec<&str> = node.roles.iter().map(|role| role.as_str()).collect();
    html! {
        tr id={ "node-" (node.id) } {
            th scope="row" { (node.id) }
            td { (roles.join(", ")) }
            td { (node.version) }
            @match &node.facts {
                Some(facts) => {
                    td {
                        (facts.hostname)
                        @if facts.life == Life::Live { br; span.label { "live" } }
                    }
                    td { (facts.os) @if !facts.os.is_empty() { ", " } (facts.kernel) }
                    td {
                        @for interface in &facts.interfaces {
                            @if !interface.addresses.is_empty() && interface.name != "lo" {
                                (interface.name) " " (interface.addresses.join(" ")) " mtu " (interface.mtu) br;
                            }
                        }
                    }
                }
                None => td colspan="3" {
                    @match report.absent.iter().find(|absent| absent.node == node.id) {
                        Some(absent) => { "left out: " (absent.why) }
                        None if report.excluded.contains(&node.id) => "took no part (--nodes, --exclude)",
                        None if !scope::asked_somebody(report) => "not asked: checks of the file alone",
                        None => "no probe joined"
                    }
                }
            }
        }
    }
}

fn checks(report: &Report) -> Markup {
    html! {
        section aria-labelledby="checks" {
            h2 id="checks" { "Checks" }
            // Where no port was tested they are the result.
            details open[report.coverage.planned == 0] {
                summary { (counted(report.checks.len(), "result")) }
                table.rows {
                    thead { tr {
                        th scope="col" { "Check" } th scope="col" { "Status" } th scope="col" { "About" } th scope="col" { "Detail" }
                    } }
                    tbody {
                        @for check in &report.checks {
                            tr {
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
