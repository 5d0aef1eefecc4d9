//! The report for a terminal: verdict first, then the causes with what mends them, then how much was looked at.

use std::{collections::BTreeMap, fmt::Write as _};

use plumbline_model::{
    plan::NoVantage,
    report::{Finding, FindingSeverity, Report, Status, Verdict},
};

use super::{
    Standing, count, on_one_line,
    outcome::{outcome_words, transport_words},
    retest_line, scope, standing, status_word, verdict_word,
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

/// The report as text.
pub(crate) fn text(report: &Report, style: Style) -> String {
    let mut out = String::new();
    let word = verdict_word(report.verdict);
    let painted = match report.verdict {
        Verdict::Passed => style.paint("1;32", word),
        Verdict::Warned | Verdict::Incomplete => style.paint("1;33", word),
        Verdict::Failed => style.paint("1;31", word),
    };
    let _ = writeln!(
        out,
        "{painted}  {} {}  (run {}, {})",
        on_one_line(&report.cluster),
        report.version,
        report.run,
        report.started
    );
    for line in scope::scope(report) {
        let _ = writeln!(out, "{}", on_one_line(&line));
    }
    for line in scope::driven(report) {
        let _ = writeln!(out, "  {}", on_one_line(&line));
    }
    for line in scope::warnings(report) {
        let _ = writeln!(out, "{} {}", style.paint("1;33", "warning"), on_one_line(&line));
    }
    push_retest(&mut out, report, style);
    for finding in &report.findings {
        out.push('\n');
        push_finding(&mut out, finding, style);
    }
    push_gaps(&mut out, report);
    out
}

/// What became of an earlier run's failures; what still fails of them, as far as it is short enough to read.
fn push_retest(out: &mut String, report: &Report, style: Style) {
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
        .filter(|row| matches!(standing(row), Standing::Wrong | Standing::Gap))
        .collect();
    for row in failing.iter().take(LISTED) {
        let _ = writeln!(
            out,
            "    {} to {}, {} {}: {}",
            row.src,
            row.dst,
            transport_words(row.family, row.protocol),
            row.ports.in_brief(),
            outcome_words(row)
        );
    }
    if failing.len() > LISTED {
        let _ = writeln!(out, "    and {} more rows of the matrix", failing.len() - LISTED);
    }
}

fn push_finding(out: &mut String, finding: &Finding, style: Style) {
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
        on_one_line(&finding.cause.detail)
    );
    if let Some(line) = under_it(finding) {
        let _ = writeln!(out, "    {line}");
    }
    if !finding.fix.text.is_empty() {
        let _ = writeln!(out, "    fix: {}", on_one_line(&finding.fix.text));
    }
    for command in &finding.fix.commands {
        let _ = writeln!(out, "      {}", style.paint("36", &on_one_line(command)));
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

fn push_gaps(out: &mut String, report: &Report) {
    if !report.coverage.no_vantage.is_empty() {
        out.push('\n');
    }
    for (source, remedy, rules) in gaps_by_source(&report.coverage.no_vantage) {
        let _ = writeln!(
            out,
            "no vantage: nothing of ours stands at {source}, from where {rules} must be reached; {remedy}"
        );
    }
    if !report.not_measured.is_empty() {
        out.push('\n');
    }
    for row in &report.not_measured {
        let _ = writeln!(out, "not measured: {}: {}", on_one_line(&row.what), row.why);
    }
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
