//! JUnit XML for a pipeline's gate. A suite is a check, a case is a check of one subject.
//!
//! ```text
//! testsuites
//!   testsuite name="reach/PORT-001"                        a check
//!     testcase name="lb.api"                               what it looked at: a rule, a node, a line of a file
//!       failure type="host_firewall" message="..."         the cause, then every cause with its fix
//!       skipped message="not measured: ..."                or: waived until ... by ...
//!   testsuite name="not-measured"                          a case for each entry of `not_measured`, if there are any
//! ```
//!
//! What Ant's schema, Jenkins' and surefire's have in common: at most one of failure and skipped in a case, no attributes on
//! the root. There are failures exactly if the verdict is failed, so that the gate agrees with the exit code.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use plumbline_model::{
    id::NodeId,
    port::{Family, Protocol},
    report::{CheckRow, Finding, FindingSeverity, Report, Standing, Status, Verdict},
};

use super::{printable, scope, status_word, verdict_word, waived};

/// Findings whose sentences stand in one case.
const TOLD_FINDINGS: usize = 20;

/// The report as JUnit XML.
pub(crate) fn junit(report: &Report) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    // Without a point and a zone, as the schemas want it: UTC.
    let started = report.started.get(..19).unwrap_or("1970-01-01T00:00:00");
    for (index, suite) in suites(report).iter().enumerate() {
        let (failures, skipped) = (suite.count(Outcome::is_failure), suite.count(Outcome::is_skipped));
        let _ = writeln!(
            out,
            "  <testsuite name=\"{name}\" package=\"plumbline\" id=\"{index}\" timestamp=\"{started}\" hostname=\"{host}\" \
             tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"0\">",
            name = attribute(&suite.name),
            host = attribute(&report.cluster),
            tests = suite.cases.len(),
        );
        let _ = writeln!(
            out,
            "    <properties>\n      <property name=\"run\" value=\"{}\"/>\n      <property name=\"verdict\" value=\"{}\"/>\n    \
             </properties>",
            attribute(report.run.as_str()),
            attribute(verdict_word(report.verdict))
        );
        for case in &suite.cases {
            push_case(&mut out, &suite.name, case);
        }
        let _ = writeln!(
            out,
            "    <system-out>{}</system-out>\n    <system-err></system-err>\n  </testsuite>",
            escaped(&suite.remarks.join("\n"))
        );
    }
    out.push_str("</testsuites>\n");
    out
}

/// A check.
struct Suite {
    name: String,
    cases: Vec<Case>,
    /// Warnings, which fail nothing.
    remarks: Vec<String>,
}

/// A check of one subject.
struct Case {
    name: String,
    outcome: Outcome,
}

enum Outcome {
    Passed,
    Skipped(String),
    Failed {
        kind: String,
        message: String,
        text: String,
    },
}

impl Outcome {
    fn is_failure(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }

    fn is_skipped(&self) -> bool {
        matches!(self, Self::Skipped(_))
    }
}

impl Suite {
    fn count(&self, is: fn(&Outcome) -> bool) -> usize {
        self.cases.iter().filter(|case| is(&case.outcome)).count()
    }
}

fn push_case(out: &mut String, suite: &str, case: &Case) {
    let _ = write!(
        out,
        "    <testcase name=\"{}\" classname=\"plumbline.{}\" time=\"0\"",
        attribute(&case.name),
        attribute(&suite.replace('/', "."))
    );
    let _ = match &case.outcome {
        Outcome::Passed => writeln!(out, "/>"),
        Outcome::Skipped(why) => writeln!(out, "><skipped message=\"{}\"/></testcase>", attribute(why)),
        Outcome::Failed { kind, message, text } => writeln!(
            out,
            "><failure type=\"{}\" message=\"{}\">{}</failure></testcase>",
            attribute(kind),
            attribute(message),
            escaped(text)
        ),
    };
}

/// Every check that was made or has a finding, in the order of the report; the verdict of a report that says neither.
fn suites(report: &Report) -> Vec<Suite> {
    let related = related(report);
    let mut order: Vec<&str> = Vec::new();
    let named = report.checks.iter().map(|row| row.id.as_str());
    for id in named.chain(report.findings.iter().map(|finding| finding.check.as_str())) {
        if !order.contains(&id) {
            order.push(id);
        }
    }
    let mut suites: Vec<Suite> = order.iter().map(|id| suite(report, id, &related)).collect();
    suites.extend(unmeasured(report));
    for suite in &mut suites {
        tell_apart(&mut suite.cases);
    }
    suites
}

/// What was not measured and why, rules that no probe can test included; nothing if all was.
fn unmeasured(report: &Report) -> Option<Suite> {
    let cases: Vec<Case> = (report.not_measured.iter())
        .map(|row| Case {
            name: row.what.clone(),
            outcome: Outcome::Skipped(format!("not measured: {}", row.why)),
        })
        .collect();
    (!cases.is_empty()).then(|| Suite {
        name: "not-measured".to_owned(),
        cases,
        remarks: Vec::new(),
    })
}

/// Which findings each row of the checks is about, by their indices.
type Related = BTreeMap<usize, BTreeSet<usize>>;

fn suite(report: &Report, id: &str, related: &Related) -> Suite {
    let mut suite = Suite {
        name: format!("{}/{id}", group(id)),
        cases: Vec::new(),
        remarks: Vec::new(),
    };
    for (index, row) in report.checks.iter().enumerate().filter(|(_, row)| row.id == id) {
        let findings = related.get(&index).into_iter().flatten();
        let findings: Vec<&Finding> = findings.map(|finding| &report.findings[*finding]).collect();
        if row.status == Status::Warn {
            suite
                .remarks
                .push(format!("warning: {}: {}", row.subject, row.detail));
        }
        suite.cases.push(Case {
            name: row.subject.clone(),
            outcome: of_row(report, row, &findings),
        });
    }
    // What no row of the checks tells has a case of its own, and so has what somebody answers for.
    for (index, finding) in report.findings.iter().enumerate() {
        if finding.check != id || finding.waived.is_none() && is_told(report, related, index) {
            continue;
        }
        let outcome = of_findings(&[finding]).unwrap_or(Outcome::Passed);
        if matches!(outcome, Outcome::Passed) {
            let label = status_word(finding.status, finding.severity);
            suite.remarks.push(format!("{label}: {}", finding.cause.detail));
        }
        suite.cases.push(Case {
            name: format!("{} {}", finding.cause.kind.word(), place(finding)),
            outcome,
        });
    }
    suite
}

/// Whether a row of the checks tells of a finding as badly as it is.
fn is_told(report: &Report, related: &Related, index: usize) -> bool {
    let finding = &report.findings[index];
    let rows = related.iter().filter(|(_, findings)| findings.contains(&index));
    rows.into_iter().any(|(row, _)| {
        let row = report.checks[*row].status;
        row == Status::Fail || !fails(finding) && row != Status::Pass
    })
}

/// Whether a finding fails the run.
fn fails(finding: &Finding) -> bool {
    finding.waived.is_none() && finding.status == Status::Fail && finding.severity == FindingSeverity::Fail
}

fn of_row(report: &Report, row: &CheckRow, findings: &[&Finding]) -> Outcome {
    match row.status {
        Status::Pass | Status::Warn => Outcome::Passed,
        Status::NotMeasured => Outcome::Skipped(format!("not measured: {}", row.detail)),
        Status::Fail => of_findings(findings).unwrap_or_else(|| {
            if report.verdict == Verdict::Failed {
                Outcome::Failed {
                    kind: row.id.clone(),
                    message: row.detail.clone(),
                    text: row.detail.clone(),
                }
            } else {
                Outcome::Skipped(format!("fails no run: {}", row.detail))
            }
        }),
    }
}

/// What findings make of a case; nothing if none of them fails, is waived or was not measured.
fn of_findings(findings: &[&Finding]) -> Option<Outcome> {
    let failing: Vec<&Finding> = findings
        .iter()
        .copied()
        .filter(|finding| fails(finding))
        .collect();
    if let Some(first) = failing.first() {
        let mut text: Vec<String> = failing
            .iter()
            .take(TOLD_FINDINGS)
            .map(|finding| in_full(finding))
            .collect();
        if failing.len() > TOLD_FINDINGS {
            text.push(format!(
                "and {} more in report.html",
                failing.len() - TOLD_FINDINGS
            ));
        }
        return Some(Outcome::Failed {
            kind: first.cause.kind.word().to_owned(),
            message: format!("{} {}", first.id, first.cause.detail),
            text: text.join("\n\n"),
        });
    }
    let waived = findings
        .iter()
        .find_map(|finding| Some((finding, finding.waived.as_ref()?)));
    if let Some((finding, waiver)) = waived {
        return Some(Outcome::Skipped(format!(
            "{}: {} {}",
            waived::words(waiver),
            finding.id,
            finding.cause.detail
        )));
    }
    let gap = findings
        .iter()
        .find(|finding| finding.status == Status::NotMeasured)?;
    Some(Outcome::Skipped(format!("not measured: {}", gap.cause.detail)))
}

fn in_full(finding: &Finding) -> String {
    let mut text = format!("{} [{}] {}", finding.id, finding.check, finding.cause.detail);
    if !finding.fix.text.is_empty() {
        let _ = write!(text, "\nfix: {}", finding.fix.text);
    }
    for command in &finding.fix.commands {
        let _ = write!(text, "\n  {command}");
    }
    text
}

/// Which findings each row of the checks is about: a rule's by the tests under them, a node's by its place.
fn related(report: &Report) -> Related {
    type Pair = (NodeId, NodeId, Family, Protocol);
    let mut by_pair: BTreeMap<Pair, BTreeMap<u16, Vec<usize>>> = BTreeMap::new();
    for (index, finding) in report.findings.iter().enumerate() {
        for test in &finding.affects {
            let pair = (test.src, test.dst, test.family, test.protocol);
            let ports = by_pair.entry(pair).or_default();
            ports.entry(test.port).or_default().push(index);
        }
    }
    let mut by_rule: BTreeMap<(&str, &str), BTreeSet<usize>> = BTreeMap::new();
    let bad = |standing| matches!(standing, Standing::Wrong | Standing::Gap);
    for row in report.reachability.iter().filter(|row| bad(row.standing())) {
        let Some(ports) = by_pair.get(&(row.src, row.dst, row.family, row.protocol)) else {
            continue;
        };
        for range in row.ports.ranges() {
            for (_, findings) in ports.range(range.first()..=range.last()) {
                for check in scope::checks_of(row) {
                    by_rule.entry((check, &row.rule)).or_default().extend(findings);
                }
            }
        }
    }
    let mut related = Related::new();
    for (index, row) in report.checks.iter().enumerate() {
        let mut findings = by_rule
            .get(&(row.id.as_str(), row.subject.as_str()))
            .cloned()
            .unwrap_or_default();
        let here = |finding: &Finding| {
            let mut nodes = finding.cause.node.iter().chain(&finding.nodes);
            let at_node = nodes.any(|node| node.to_string() == row.subject);
            let in_file = finding.places.iter().any(|place| place.file == row.subject);
            finding.check == row.id && (at_node || in_file)
        };
        let own = report.findings.iter().enumerate();
        findings.extend(own.filter(|(_, finding)| here(finding)).map(|(index, _)| index));
        if !findings.is_empty() {
            related.insert(index, findings);
        }
    }
    related
}

/// Where a finding is.
fn place(finding: &Finding) -> String {
    if let Some(place) = finding.places.first() {
        return format!("{}:{}", place.file, place.line);
    }
    match (&finding.cause.between, finding.cause.node) {
        (_, Some(node)) => node.to_string(),
        (Some([from, to]), None) => format!("{} to {}", several(from), several(to)),
        (None, None) if !finding.nodes.is_empty() => several(&finding.nodes),
        (None, None) => finding.id.clone(),
    }
}

fn several(nodes: &[NodeId]) -> String {
    match nodes {
        [] => "nobody".to_owned(),
        [node] => node.to_string(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}

/// The group of checks that an id belongs to.
fn group(id: &str) -> String {
    match id.split_once('-').map_or(id, |(prefix, _)| prefix) {
        "CFG" | "PLAN" => "config".to_owned(),
        "ACC" | "SWARM" => "access".to_owned(),
        "PORT" => "reach".to_owned(),
        other => other.to_lowercase(),
    }
}

/// A pipeline takes cases of one name for one case: the second of a name has its number.
fn tell_apart(cases: &mut [Case]) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for case in cases {
        let times = seen.entry(case.name.clone()).or_default();
        *times += 1;
        if *times > 1 {
            case.name = format!("{} ({times})", case.name);
        }
    }
}

/// Text between tags: XML 1.0 allows no control characters but tab and line ends, not even as references, and no noncharacters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\u{fffe}' | '\u{ffff}' => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}

/// The same in quotation marks, on one line.
fn attribute(text: &str) -> String {
    let text = escaped(&super::on_one_line(text)).replace('"', "&quot;");
    // Empty names are no names to most readers.
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::scope::tests::report, *};

    fn finding(id: &str, further: serde_json::Value) -> serde_json::Value {
        let mut finding = json!({
            "id": id, "check": "PORT-001", "status": "fail", "severity": "fail",
            "cause": {"kind": "host_firewall", "node": "10.0.0.2", "detail": "drops \"it\" <&>"},
            "affects": [{"src": "10.0.0.1", "dst": "10.0.0.2", "family": "ipv4", "protocol": "tcp", "port": 11_000}],
            "affects_total": 1, "attempts": 3, "evidence": [], "fix": {"text": "open it", "commands": ["nft x"]},
        });
        let further = further.as_object().cloned().unwrap_or_default();
        finding.as_object_mut().unwrap().extend(further);
        finding
    }

    fn of(verdict: &str, findings: serde_json::Value) -> Report {
        let row = |id: &str, status: &str, subject: &str| json!({"id": id, "status": status, "subject": subject, "detail": "d"});
        report(json!({
            "verdict": verdict, "findings": findings,
            "checks": [
                row("PORT-001", "fail", "lb.api"), row("PORT-001", "pass", "lb.other"), row("PORT-001", "pass", "lb.other"),
                row("SWARM-001", "not_measured", "10.0.0.3"), row("CFG-002", "warn", "p"),
            ],
            "reachability": [{
                "src": "10.0.0.1", "dst": "10.0.0.2", "family": "ipv4", "protocol": "tcp", "ports": "11000", "rule": "lb.api",
                "expect": "open", "outcome": "filtered_forward", "attempts": 3,
            }],
        }))
    }

    fn waiver() -> serde_json::Value {
        json!({"check": "PORT-001", "selector": {}, "owner": "Jo", "reason": "r", "expires": "2027-01-31", "line": 3})
    }

    #[test]
    fn a_failing_rule_names_its_cause_and_fix_and_what_was_not_measured_is_skipped() {
        let told = junit(&of("failed", json!([finding("F1", json!({}))])));
        assert_eq!(told.matches("<failure ").count(), 1, "{told}");
        assert!(
            told.contains(
                "<failure type=\"host_firewall\" message=\"F1 drops &quot;it&quot; &lt;&amp;&gt;\">"
            ),
            "{told}"
        );
        assert!(told.contains("fix: open it\n  nft x</failure>"), "{told}");
        assert!(
            told.contains("name=\"reach/PORT-001\" package=\"plumbline\" id=\"0\""),
            "{told}"
        );
        assert!(
            told.contains("tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"0\""),
            "{told}"
        );
        assert!(told.contains("<skipped message=\"not measured: d\"/>"), "{told}");
        assert!(told.contains("name=\"lb.other (2)\""), "{told}");
        assert!(told.contains("<system-out>warning: p: d</system-out>"), "{told}");
    }

    #[test]
    fn what_is_waived_fails_nothing_and_says_by_whom() {
        let told = junit(&of("passed", json!([finding("F1", json!({"waived": waiver()}))])));
        assert_eq!(told.matches("<failure ").count(), 0, "{told}");
        assert!(
            told.contains("<skipped message=\"waived until 2027-01-31 by Jo: r: F1 "),
            "{told}"
        );
    }

    #[test]
    fn a_waived_finding_beside_one_that_counts_is_told_too() {
        let told = junit(&of(
            "failed",
            json!([
                finding("F1", json!({})),
                finding("F2", json!({"waived": waiver()}))
            ]),
        ));
        assert_eq!(told.matches("<failure ").count(), 1, "{told}");
        assert!(told.contains("by Jo: r: F2 "), "{told}");
    }

    #[test]
    fn a_finding_of_which_no_row_tells_has_a_case_of_its_own() {
        let further = json!({
            "check": "CFG-004", "cause": {"kind": "config", "detail": "x\u{1}\u{b}\u{ffff}y"}, "affects": [], "affects_total": 0,
            "places": [{"file": "cluster.yaml", "line": 47, "column": 3}],
        });
        let told = junit(&of("failed", json!([finding("F1", further)])));
        assert!(
            told.contains("name=\"config cluster.yaml:47\" classname=\"plumbline.config.CFG-004\""),
            "{told}"
        );
        assert!(told.contains("x\u{fffd}\u{fffd}\u{fffd}y"), "{told}");
    }
}
