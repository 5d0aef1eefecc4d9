//! The report in the formats that people and machines read. Every format is a pure function of [`Report`]; one file each.

mod csv;
mod html;
mod text;

use plumbline_model::report::{FindingSeverity, Report, Status, Verdict};

pub(crate) use self::{
    csv::csv,
    html::html,
    text::{Style, gaps_by_source, text},
};

/// `report.json`: canonical, as it is signed.
pub(crate) fn json(report: &Report) -> Vec<u8> {
    plumbline_model::canonical::encode(report)
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
