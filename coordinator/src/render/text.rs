//! The report for a terminal: verdict first, then the causes with what mends them, then how much was looked at. In brief it
//! fits on a screen whatever a node says of itself; in full it is everything.

use std::{collections::BTreeMap, fmt::Write as _};

use plumbline_model::{
    id::NodeId,
    plan::NoVantage,
    report::{Finding, FindingSeverity, Report, Standing, Status, Verdict},
};

use super::{
    alike::{Alike, alike},
    count, on_one_line,
    outcome::{outcome_words, transport_words},
    retest_line, scope, status_word, verdict_word, waived,
};

/// Whether the text may carry colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// No escape sequences.
    Plain,
    /// ANSI colours.
    Colour,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// How much of a report is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What fits on a screen: like findings once, the first of many, the ends of long lines left out.
    Brief,
    /// Everything.
    Full,
}

impl Extent {
    /// How many of a list's items are told.
    pub(super) fn items(self, in_brief: usize) -> usize {
        match self {
            Self::Brief => in_brief,
            Self::Full => usize::MAX,
        }
    }

    /// A line of others' text: on one line, and in brief not longer than anybody reads.
    pub(super) fn line(self, text: &str) -> String {
        let line = on_one_line(text);
        match (self, line.char_indices().nth(MAX_LINE_CHARS)) {
            (Self::Brief, Some((end, _))) => format!("{} ... (whole in report.html)", &line[..end]),
            _ => line,
        }
    }
}

/// Where what is left out in brief can be read.
pub(super) const ELSEWHERE: &str = "in report.html, or with `plumbline render --full`";
/// Six lines of a terminal: our own sentences about a few nodes are shorter.
const MAX_LINE_CHARS: usize = 480;
/// Causes that are told in brief; with their fixes they fill a screen.
const BRIEF_CAUSES: usize = 6;
/// Commands of one fix that are told in brief.
const BRIEF_COMMANDS: usize = 4;
/// Lines of anything else.
const BRIEF_LINES: usize = 4;

/// The report as text.
pub(crate) fn text(report: &Report, style: Style, extent: Extent) -> String {
    let mut out = String::new();
    push_head(&mut out, report, style, extent);
    push_retest(&mut out, report, style, extent);
    let (counting, waived) = waived::apart(report);
    let causes = match extent {
        Extent::Brief => alike(&counting),
        Extent::Full => counting
            .iter()
            .map(|first| Alike {
                first,
                others: Vec::new(),
            })
            .collect(),
    };
    for cause in causes.iter().take(extent.items(BRIEF_CAUSES)) {
        out.push('\n');
        push_finding(&mut out, cause, style, extent);
    }
    let told = causes.iter().take(extent.items(BRIEF_CAUSES));
    let told: usize = told.map(|cause| 1 + cause.others.len()).sum();
    if counting.len() > told {
        out.push('\n');
    }
    push_more(&mut out, counting.len() - told, ("finding", "findings"));
    push_waived(&mut out, &waived, style, extent);
    push_gaps(&mut out, report, extent);
    out
}

/// What a list leaves out, of which there are one or several.
fn push_more(out: &mut String, more: usize, (one, several): (&str, &str)) {
    if more > 0 {
        let things = if more == 1 { one } else { several };
        let _ = writeln!(out, "and {more} more {things} {ELSEWHERE}");
    }
}

/// The verdict, what it speaks of, and what warns.
fn push_head(out: &mut String, report: &Report, style: Style, extent: Extent) {
    let word = verdict_word(report.verdict);
    let painted = match report.verdict {
        Verdict::Passed => style.paint("1;32", word),
        Verdict::Warned | Verdict::Incomplete => style.paint("1;33", word),
        Verdict::Failed => style.paint("1;31", word),
    };
    let _ = writeln!(
        out,
        "{painted}  {} {}  (run {}, {})",
        extent.line(&report.cluster),
        report.version,
        report.run,
        report.started
    );
    for line in scope::scope(report) {
        let _ = writeln!(out, "{}", extent.line(&line));
    }
    for line in scope::driven(report) {
        let _ = writeln!(out, "  {}", extent.line(&line));
    }
    let notes = waived::notes(report);
    let warnings = scope::warnings(report);
    for line in warnings
        .iter()
        .chain(notes.iter().take(extent.items(BRIEF_LINES)))
    {
        let _ = writeln!(out, "{} {}", style.paint("1;33", "warning"), extent.line(line));
    }
    if notes.len() > extent.items(BRIEF_LINES) {
        let _ = writeln!(
            out,
            "    and {} more about waivers {ELSEWHERE}",
            notes.len() - BRIEF_LINES
        );
    }
}

/// What became of an earlier run's failures; what still fails of them, as far as it is short enough to read.
fn push_retest(out: &mut String, report: &Report, style: Style, extent: Extent) {
    /// The findings and the matrix have all of them.
    const LISTED: usize = 10;
    let Some(retest) = &report.retest else { return };
    let colour = if retest.fixed == retest.tests {
        "1;32"
    } else {
        "1;33"
    };
    let line = style.paint(colour, &retest_line(retest));
    let _ = writeln!(out, "retest of run {}: {line}", retest.run);
    let rows = report.reachability.iter();
    let failing: Vec<_> = rows
        .filter(|row| matches!(row.standing(), Standing::Wrong | Standing::Gap))
        .collect();
    for row in failing.iter().take(extent.items(LISTED)) {
        let _ = writeln!(
            out,
            "    {} to {}, {} {}: {}",
            row.src,
            row.dst,
            transport_words(row.family, row.protocol),
            row.ports.in_brief(),
            extent.line(&outcome_words(row))
        );
    }
    if failing.len() > extent.items(LISTED) {
        let _ = writeln!(out, "    and {} more rows of the matrix", failing.len() - LISTED);
    }
}

fn push_finding(out: &mut String, cause: &Alike<'_>, style: Style, extent: Extent) {
    let finding = cause.first;
    let label = status_word(finding.status, finding.severity);
    let colour = match (finding.status, finding.severity) {
        (Status::Fail, FindingSeverity::Fail) => "1;31",
        _ => "1;33",
    };
    let _ = writeln!(
        out,
        "{} {} [{}] {}",
        style.paint(colour, label),
        finding.id,
        finding.check,
        extent.line(&finding.cause.detail)
    );
    if let Some(line) = under_it(finding) {
        let _ = writeln!(out, "    {line}");
    }
    if !finding.fix.text.is_empty() {
        let place = typed_on(finding).map_or_else(String::new, |node| format!(" (on {node})"));
        let _ = writeln!(out, "    fix{place}: {}", extent.line(&finding.fix.text));
    }
    push_commands(out, &finding.fix.commands, style, extent);
    if let Some(line) = cause.elsewhere() {
        let _ = writeln!(out, "    {line}");
    }
}

/// Where the commands of a fix are typed, if they do not go there themselves and it is one node.
pub(super) fn typed_on(finding: &Finding) -> Option<NodeId> {
    let commands = &finding.fix.commands;
    let is_typed = commands.iter().any(|command| !command.starts_with("ssh "));
    finding.cause.node.filter(|_| is_typed)
}

/// The commands of a fix. Half a command must not be typed: one that is too long is left out whole.
fn push_commands(out: &mut String, commands: &[String], style: Style, extent: Extent) {
    let fits = |command: &&String| extent == Extent::Full || command.chars().count() <= MAX_LINE_CHARS;
    let told: Vec<&String> = commands
        .iter()
        .filter(fits)
        .take(extent.items(BRIEF_COMMANDS))
        .collect();
    for command in &told {
        let _ = writeln!(out, "      {}", style.paint("36", &on_one_line(command)));
    }
    if told.len() < commands.len() {
        let more = super::counted(commands.len() - told.len(), "more command");
        let _ = writeln!(out, "      and {more} {ELSEWHERE}");
    }
}

/// How many tests a finding explains, where its sentence does not say so already. Whether each failed or was not made is in
/// its rows.
fn under_it(finding: &Finding) -> Option<String> {
    let tests = count(finding.affects_total, "test");
    let mut words = finding.cause.detail.split(' ');
    let says_so =
        finding.cause.detail.contains(&tests) && words.any(|word| word == finding.affects_total.to_string());
    (finding.affects_total > 0 && !says_so).then(|| format!("under it: {tests}"))
}

/// What somebody answers for: apart, and without fixes.
fn push_waived(out: &mut String, findings: &[&Finding], style: Style, extent: Extent) {
    if findings.is_empty() {
        return;
    }
    out.push('\n');
    for finding in findings.iter().take(extent.items(BRIEF_LINES)) {
        let _ = writeln!(
            out,
            "{} {} [{}] {}",
            style.paint("1;36", "waived"),
            finding.id,
            finding.check,
            extent.line(&finding.cause.detail)
        );
        if let Some(waiver) = &finding.waived {
            let _ = writeln!(out, "    {}", extent.line(&waived::words(waiver)));
        }
    }
    push_more(
        out,
        findings.len().saturating_sub(extent.items(BRIEF_LINES)),
        ("waived finding", "waived findings"),
    );
}

fn push_gaps(out: &mut String, report: &Report, extent: Extent) {
    let gaps = gaps_by_source(&report.coverage.no_vantage);
    if !gaps.is_empty() {
        out.push('\n');
    }
    for (source, remedy, rules) in gaps.iter().take(extent.items(BRIEF_LINES)) {
        let _ = writeln!(
            out,
            "{}",
            extent.line(&format!(
                "no vantage: nothing of ours stands at {source}, from where {rules} must be reached; {remedy}"
            ))
        );
    }
    push_more(
        out,
        gaps.len().saturating_sub(extent.items(BRIEF_LINES)),
        ("source without a vantage", "sources without a vantage"),
    );
    if !report.not_measured.is_empty() {
        out.push('\n');
    }
    for row in report.not_measured.iter().take(extent.items(BRIEF_LINES)) {
        let _ = writeln!(
            out,
            "not measured: {}: {}",
            extent.line(&row.what),
            extent.line(&row.why)
        );
    }
    let more = report
        .not_measured
        .len()
        .saturating_sub(extent.items(BRIEF_LINES));
    push_more(
        out,
        more,
        (
            "reason why tests were not measured",
            "reasons why tests were not measured",
        ),
    );
    push_unmade(out, report, extent);
}

/// Checks that were asked for and not made everywhere, a line each.
fn push_unmade(out: &mut String, report: &Report, extent: Extent) {
    let unmade = scope::unmade(report);
    if unmade.is_empty() {
        return;
    }
    let checks = super::counted(unmade.len(), "check");
    let _ = writeln!(out, "\n{checks} not measured, or not everywhere:");
    for (what, why) in unmade.iter().take(extent.items(BRIEF_LINES)) {
        let _ = writeln!(out, "    {}: {}", extent.line(what), extent.line(why));
    }
    push_more(
        out,
        unmade.len().saturating_sub(extent.items(BRIEF_LINES)),
        ("such check", "such checks"),
    );
}

/// Rules without a vantage, one entry for each source and remedy: source, remedy, rules in words.
pub(crate) fn gaps_by_source(gaps: &[NoVantage]) -> Vec<(String, &str, String)> {
    let mut by_source: BTreeMap<(String, &str), Vec<String>> = BTreeMap::new();
    for gap in gaps {
        let source = serde_json::to_value(gap.source).ok();
        let source = source
            .as_ref()
            .and_then(|value| value.as_str())
            .unwrap_or("its source");
        let rule = format!("{}/{} (rule {})", gap.ports, gap.protocol, gap.rule);
        by_source
            .entry((source.to_owned(), gap.remedy.as_str()))
            .or_default()
            .push(rule);
    }
    by_source
        .into_iter()
        .map(|((source, remedy), rules)| (source, remedy, rules.join(", ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::scope::tests::report, *};

    fn finding(id: usize, detail: &str, commands: usize) -> serde_json::Value {
        json!({
            "id": format!("F{id}"), "check": "PORT-001", "status": "fail", "severity": "fail",
            "cause": {"kind": "host_firewall", "node": "10.0.0.4", "detail": detail},
            "affects": [], "affects_total": 36, "attempts": 9, "evidence": [],
            "fix": {"text": "open it", "commands": vec![detail; commands]},
        })
    }

    #[test]
    fn in_brief_a_lying_node_fills_no_more_than_two_screens() {
        let long = "x\u{1b}[32m\n".repeat(300);
        let findings: Vec<_> = (1..=1_000)
            .map(|id| finding(id, &format!("{id} {long}"), 3))
            .collect();
        let gaps = vec![json!({"what": long, "why": long}); 1_000];
        let lying = report(json!({
            "verdict": "failed", "cluster": long, "findings": findings, "not_measured": gaps,
        }));
        let told = text(&lying, Style::Plain, Extent::Brief);
        assert!(told.lines().count() <= 60, "{} lines", told.lines().count());
        assert!(told.len() < 32_000, "{} octets", told.len());
        assert!(
            told.contains("\nand 994 more findings in report.html, or with `plumbline render --full`\n"),
            "{told}"
        );
        assert!(told.contains("and 996 more reasons why tests were not measured in report.html, or"));
        assert!(!told.contains('\u{1b}'));
    }

    #[test]
    fn in_brief_a_command_is_whole_or_left_out() {
        let command = format!("nft add rule {}", "x".repeat(1_000));
        let mut one = report(json!({"findings": [finding(1, "d", 0)]}));
        one.findings[0].fix.commands = vec![command.clone(), "nft list ruleset".to_owned()];
        let told = text(&one, Style::Plain, Extent::Brief);
        assert!(!told.contains("nft add"), "{told}");
        assert!(
            told.contains("      nft list ruleset\n      and 1 more command in report.html, or"),
            "{told}"
        );
        assert!(text(&one, Style::Plain, Extent::Full).contains(&command));
    }

    #[test]
    fn in_full_every_finding_is_told_and_in_brief_like_ones_once() {
        let findings: Vec<_> = (1..=20)
            .map(|id| finding(id, "zone public lacks 11000/tcp", 1))
            .collect();
        let many = report(json!({"verdict": "failed", "findings": findings}));
        let brief = text(&many, Style::Plain, Extent::Brief);
        assert!(
            brief.contains("failure F1 [PORT-001]") && !brief.contains("F2 "),
            "{brief}"
        );
        assert!(brief.contains("19 more findings alike (to F20)"), "{brief}");
        let full = text(&many, Style::Plain, Extent::Full);
        assert!(
            (1..=20).all(|id| full.contains(&format!("failure F{id} [PORT-001]"))),
            "{full}"
        );
    }

    #[test]
    fn what_was_asked_for_and_not_measured_is_told_and_what_was_not_asked_for_is_not() {
        let row = |id: &str, subject: &str, detail: &str| json!({"id": id, "status": "not_measured", "subject": subject, "detail": detail});
        let unmeasured = json!({
            "id": "F1", "check": "L3-009", "status": "not_measured", "severity": "warn",
            "cause": {"kind": "unmeasured", "detail": "L3-009 was not measured: no time"},
            "affects": [], "affects_total": 0, "attempts": 0, "evidence": [], "fix": {"text": "", "commands": []},
        });
        let told = text(
            &report(json!({
                "findings": [unmeasured],
                "checks": [
                    row("MTU-006", "a to b", "no device"), row("MTU-006", "b to c", "no device"),
                    row("VIP-003", "10.0.0.9", "needs --active"), row("L3-009", "a to r", "no time"),
                    row("SWARM-001", "a", "gone"),
                ],
            })),
            Style::Plain,
            Extent::Brief,
        );
        assert!(
            told.contains(
                "\n1 check not measured, or not everywhere:\n    [MTU-006] a to b and 1 more: no device\n"
            ),
            "{told}"
        );
        assert!(
            !told.contains("VIP-003") && !told.contains("[SWARM-001]"),
            "{told}"
        );
    }

    #[test]
    fn what_is_waived_stands_apart_with_its_owner() {
        let mut waived = finding(1, "d", 1);
        waived["waived"] = json!({
            "check": "PORT-001", "selector": {}, "owner": "Jo", "reason": "r", "expires": "2027-01-31", "line": 3,
        });
        let row = json!({"waiver": waived["waived"], "standing": "expires_soon", "findings": 1});
        let told = text(
            &report(json!({"findings": [waived], "waivers": [row]})),
            Style::Plain,
            Extent::Brief,
        );
        assert!(
            told.contains("\nwaived F1 [PORT-001] d\n    waived until 2027-01-31 by Jo: r\n"),
            "{told}"
        );
        assert!(
            told.contains("\nwarning the waiver in line 3 (PORT-001, Jo) ends after 2027-01-31"),
            "{told}"
        );
    }
}
