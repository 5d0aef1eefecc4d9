//! What is wrong, as cards: what, where, how to mend it, and which tests, cells and lines of evidence are under it.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use plumbline_model::{
    id::NodeId,
    port::{Family, PortSet, Protocol},
    report::{Finding, FindingSeverity, Report, Status, Verdict},
};

use crate::render::{count, counted, scope, status_word, waived};

/// How many causes stand open from the start; of a hundred the later ones show their sentence.
const OPEN: usize = 12;
/// How many lines of tests a card lists; the matrix and report.json have all of them.
const LISTED_TESTS: usize = 40;
/// How many nodes are named in a sentence.
const NAMED: usize = 6;

/// The section.
pub(super) fn causes(report: &Report) -> Markup {
    let (counting, answered) = waived::apart(report);
    html! {
        section aria-labelledby="causes" {
            h2 id="causes" {
                "What is wrong "
                @if !counting.is_empty() { span.count { (counted(counting.len(), "cause")) } }
            }
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
            @if counting.is_empty() && !answered.is_empty() { p { "Nothing but what is waived below." } }
            @for (place, finding) in counting.iter().enumerate() {
                (card(finding, report, place < OPEN))
            }
        }
        (waivers(&answered, report))
    }
}

/// What somebody answers for, apart: it does not shape the verdict, and it stays in sight.
fn waivers(answered: &[&Finding], report: &Report) -> Markup {
    let notes = waived::notes(report);
    if answered.is_empty() && notes.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="waived" {
            h2 id="waived" { "Waived " span.count { (counted(answered.len(), "cause")) } }
            @if !notes.is_empty() { ul { @for note in &notes { li { (note) } } } }
            @for finding in answered { (card(finding, report, false)) }
        }
    }
}

fn card(finding: &Finding, report: &Report, is_open: bool) -> Markup {
    let class = match (finding.status, finding.severity) {
        _ if finding.waived.is_some() => "card waived",
        (Status::Fail, FindingSeverity::Fail) => "card failed",
        (Status::NotMeasured, _) => "card incomplete",
        _ => "card warned",
    };
    let nodes: BTreeSet<NodeId> = finding
        .affects
        .iter()
        .flat_map(|affect| [affect.src, affect.dst])
        .chain(finding.cause.node)
        .chain(finding.nodes.iter().copied())
        .collect();
    html! {
        details id=(finding.id) class=(class) open[is_open] data-nodes=(joined(nodes)) {
            summary {
                h3 {
                    (finding.id) " "
                    span.label { (status_word(finding.status, finding.severity)) } " "
                    (finding.cause.detail)
                }
            }
            dl {
                @if let Some(waiver) = &finding.waived {
                    dt { "Waived" }
                    dd { (waived::words(waiver)) }
                }
                (place(finding, report))
                @if !finding.fix.text.is_empty() || !finding.fix.commands.is_empty() {
                    dt { "Fix" }
                    dd {
                        @if !finding.fix.text.is_empty() { p { (finding.fix.text) } }
                        @if !finding.fix.commands.is_empty() {
                            pre.copy { code { (finding.fix.commands.join("\n")) } }
                        }
                    }
                }
                (tests_under(finding))
                (evidence(finding))
            }
        }
    }
}

/// Which node, between whom, or where in the file.
fn place(finding: &Finding, report: &Report) -> Markup {
    let cause = &finding.cause;
    html! {
        @if let Some(node) = cause.node {
            dt { "Touch" }
            dd { (node_link(node)) @if let Some(host) = hostname(node, report) { " (" (host) ")" } }
        }
        @if !finding.nodes.is_empty() {
            dt { "Touch" }
            dd { (nodes(&finding.nodes)) }
        }
        @if let Some([from, to]) = &cause.between {
            dt { "Between" }
            dd { (nodes(from)) " and " (nodes(to)) }
        }
        @if !finding.places.is_empty() {
            dt { "In the file" }
            dd {
                @for (at, place) in finding.places.iter().enumerate() {
                    @if at > 0 { ", " }
                    code { (place.file) ":" (place.line) ":" (place.column) }
                }
            }
        }
    }
}

fn hostname(node: NodeId, report: &Report) -> Option<&str> {
    let facts = report
        .nodes
        .iter()
        .find(|known| known.id == node)?
        .facts
        .as_ref()?;
    (!facts.hostname.is_empty()).then_some(facts.hostname.as_str())
}

fn node_link(node: NodeId) -> Markup {
    html! { a href={ "#node-" (node) } { (node) } }
}

/// The first of some nodes, and how many more.
fn nodes(nodes: &[NodeId]) -> Markup {
    html! {
        @for (at, node) in nodes.iter().take(NAMED).enumerate() {
            @if at > 0 { ", " }
            (node_link(*node))
        }
        @if nodes.len() > NAMED { " and " (nodes.len() - NAMED) " more" }
    }
}

/// The tests under a cause, gathered by what was asked.
fn tests_under(finding: &Finding) -> Markup {
    if finding.affects_total == 0 {
        return html! {};
    }
    let gathered = gathered(finding);
    let pairs: BTreeSet<(NodeId, NodeId)> = finding
        .affects
        .iter()
        .map(|affect| (affect.src, affect.dst))
        .collect();
    html! {
        dt { "Tests" }
        dd {
            details.inner {
                summary {
                    (count(finding.affects_total, "test")) " over " (counted(pairs.len(), "pair")) " under it"
                }
                table.rows {
                    thead { tr { th scope="col" { "To" } th scope="col" { "Port" } th scope="col" { "From" } } }
                    tbody {
                        @for ((destination, family, protocol, ports), sources) in gathered.iter().take(LISTED_TESTS) {
                            tr {
                                td { (destination) }
                                td {
                                    (ports.in_brief()) "/" (protocol)
                                    @if *family == Family::Ipv6 { " over IPv6" }
                                }
                                td { (joined_in_brief(sources)) }
                            }
                        }
                    }
                }
                @if gathered.len() > LISTED_TESTS {
                    p.small { (gathered.len() - LISTED_TESTS) " more lines: the matrix below and report.json have all." }
                }
            }
            // Filled by the script, which is what makes it work.
            span.actions data-finding=(finding.id) {}
        }
    }
}

/// Who was asked for what, and by whom.
type Gathered = BTreeMap<(NodeId, Family, Protocol, PortSet), BTreeSet<NodeId>>;

fn gathered(finding: &Finding) -> Gathered {
    let mut ports: BTreeMap<(NodeId, NodeId, Family, Protocol), PortSet> = BTreeMap::new();
    for affect in &finding.affects {
        ports
            .entry((affect.src, affect.dst, affect.family, affect.protocol))
            .or_default()
            .insert_port(affect.port);
    }
    let mut gathered = Gathered::new();
    for ((source, destination, family, protocol), ports) in ports {
        gathered
            .entry((destination, family, protocol, ports))
            .or_default()
            .insert(source);
    }
    gathered
}

/// Where a cause can be looked up in the evidence, and the command that shows it.
fn evidence(finding: &Finding) -> Markup {
    html! {
        dt { "Shown by" }
        dd {
            "check " (finding.check) ", " a href={ "#" (finding.id) } { "link to " (finding.id) }
            @if finding.attempts > 0 { ", " (count(finding.attempts, "attempt")) }
            @if !finding.evidence.is_empty() {
                @let spans = spans(&finding.evidence);
                details.inner {
                    summary { (counted(finding.evidence.len(), "line")) " of evidence.jsonl" }
                    p { "Lines " (spans.iter().map(|(first, last)| span(*first, *last, "–")).collect::<Vec<_>>().join(", ")) }
                    pre.copy { code {
                        "sed -n '"
                        (spans.iter().map(|(first, last)| span(*first, *last, ",") + "p").collect::<Vec<_>>().join(";"))
                        "' evidence.jsonl | jq '.payload | @base64d | fromjson'"
                    } }
                }
            }
        }
    }
}

/// Ascending numbers as first and last of each run.
fn spans(lines: &[u32]) -> Vec<(u32, u32)> {
    let mut spans: Vec<(u32, u32)> = Vec::new();
    for line in lines {
        match spans.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*line) => *last = *line,
            _ => spans.push((*line, *line)),
        }
    }
    spans
}

fn span(first: u32, last: u32, between: &str) -> String {
    if first == last {
        first.to_string()
    } else {
        format!("{first}{between}{last}")
    }
}

fn joined(nodes: BTreeSet<NodeId>) -> String {
    let names: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    names.join(" ")
}

fn joined_in_brief(nodes: &BTreeSet<NodeId>) -> String {
    let names: Vec<String> = nodes.iter().take(NAMED).map(ToString::to_string).collect();
    let mut line = names.join(", ");
    if nodes.len() > NAMED {
        line.push_str(&format!(" and {} more", nodes.len() - NAMED));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_evidence_are_told_in_runs() {
        assert_eq!(spans(&[28, 37, 38, 39, 41]), [(28, 28), (37, 39), (41, 41)]);
        assert_eq!(spans(&[]), []);
    }
}
