//! The report in the formats that people and machines read. Every format is a pure function of [`Report`]; one file each.

mod csv;
mod html;
mod text;

use plumbline_model::{
    plan::Expect,
    report::{FindingSeverity, ReachabilityRow, Report, Status, Verdict},
};

pub(crate) use self::{
    csv::csv,
    html::html,
    text::{Style, gaps_by_source, text},
};

/// `report.json`: canonical, as it is signed.
pub(crate) fn json(report: &Report) -> Vec<u8> {
    plumbline_model::canonical::encode(report)
}

/// Text of others (a file's names, a host's) as a terminal may have it: control characters, which could move the cursor or
/// colour a failure green, are shown as U+FFFD. Line feeds and tabs stay.
pub(crate) fn printable(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() && !matches!(c, '\n' | '\t') {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

/// How a row stands to what was expected of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// As expected.
    AsExpected,
    /// Not measured.
    Gap,
    /// Not as expected.
    Wrong,
}

/// How a row stands to what was expected of it. A port that answers at times answers.
pub(crate) fn standing(row: &ReachabilityRow) -> Standing {
    match (row.outcome.as_str(), row.expect) {
        // A live node's port that only a Service would serve, and none does: nobody misses it.
        ("not_measured", _) if row.why.as_deref() == Some("no_service") => Standing::AsExpected,
        ("not_measured" | "resource", _) => Standing::Gap,
        ("open" | "open_unverified", Expect::Open) => Standing::AsExpected,
        ("open" | "open_unverified" | "lossy", Expect::Blocked) => Standing::Wrong,
        (_, Expect::Open) => Standing::Wrong,
        (_, Expect::Blocked) => Standing::AsExpected,
    }
}

/// The verdict in one word.
fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "PASSED",
        Verdict::Warned => "PASSED WITH WARNINGS",
        Verdict::Incomplete => "INCOMPLETE",
        Verdict::Failed => "FAILED",
    }
}

/// What a finding is called in front of its sentence.
fn status_word(status: Status, severity: FindingSeverity) -> &'static str {
    match (status, severity) {
        (Status::Pass, _) => "pass",
        (Status::NotMeasured, _) => "not measured",
        (Status::Warn, _) | (_, FindingSeverity::Warn) => "warning",
        (Status::Fail, FindingSeverity::Info) => "note",
        (Status::Fail, FindingSeverity::Fail) => "failure",
    }
}

/// One line that says how much was tested.
fn summary(report: &Report) -> String {
    let coverage = &report.coverage;
    let open = coverage.planned.saturating_sub(coverage.measured);
    let mut line = format!(
        "{} of {} tests over {} pairs of {} nodes measured",
        coverage.measured,
        coverage.planned,
        coverage.pairs,
        report.nodes.len()
    );
    if open > 0 {
        line.push_str(&format!(", {open} not"));
    }
    if coverage.inferred > 0 {
        line.push_str(&format!("; {} further pair-ports inferred", coverage.inferred));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_cannot_steer_the_terminal() {
        assert_eq!(
            printable("a\x1b[32mb\u{9b}c\r\n\td"),
            "a\u{fffd}[32mb\u{fffd}c\u{fffd}\n\td"
        );
    }
}
