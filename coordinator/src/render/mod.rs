//! The report in the formats that people and machines read. Every format is a pure function of [`Report`]; one file each.

mod csv;
mod html;
mod outcome;
mod text;

use plumbline_model::report::{FindingSeverity, Report, RetestSummary, Status, Verdict};

pub(crate) use self::{
    csv::csv,
    html::html,
    outcome::{Standing, standing},
    text::{Style, gaps_by_source, text},
};

/// `report.json`: canonical, as it is signed.
pub(crate) fn json(report: &Report) -> Vec<u8> {
    plumbline_model::canonical::encode(report)
}

/// Text of others (a file's names, a host's) as a terminal may have it: control characters, which could move the cursor or
/// colour a failure green, and those that turn the direction of writing, which could show a command as another, are shown as
/// U+FFFD. Line feeds and tabs stay.
pub(crate) fn printable(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c,
        // Bidirectional marks, embeddings, overrides and isolates; line and paragraph separators.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            char::REPLACEMENT_CHARACTER
        }
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(shown).collect()
}

/// The same for what stands within a line of ours: a line feed of others could begin one that we did not write.
pub(crate) fn on_one_line(text: &str) -> String {
    printable(text).replace(['\n', '\t'], "\u{fffd}")
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
    if coverage.no_service > 0 {
        line.push_str(&format!(
            "; {} ports of live nodes have no Service and were not asked",
            coverage.no_service
        ));
    }
    line
}

/// What became of an earlier run's failures, in one line.
fn retest_line(retest: &RetestSummary) -> String {
    let mut line = format!("fixed {} of {} tests", retest.fixed, retest.tests);
    for (count, what) in [
        (retest.still_failing, "still failing"),
        (retest.not_measured, "not measured"),
        (
            retest.left_out,
            "left out (no rule asks for them now, or a node takes no part)",
        ),
    ] {
        if count > 0 {
            line.push_str(&format!("; {count} {what}"));
        }
    }
    line.push_str(". Nothing else was tested");
    line
}

/// The nodes that were left out, in one sentence; nothing if there are none.
fn absent_line(report: &Report) -> Option<String> {
    let nodes: Vec<String> = report
        .absent
        .iter()
        .map(|absent| absent.node.to_string())
        .collect();
    let why = &report.absent.first()?.why;
    Some(match nodes.as_slice() {
        [node] => format!("{node} is left out: {why}; nothing is said of it"),
        nodes => format!(
            "{} are left out: of each, {why}; nothing is said of them",
            listed(nodes)
        ),
    })
}

/// Names in a sentence, the first of many.
fn listed(names: &[String]) -> String {
    /// Beyond this a number says more.
    const LISTED: usize = 8;
    if names.len() <= LISTED {
        names.join(", ")
    } else {
        format!("{} and {} more", names[..LISTED].join(", "), names.len() - LISTED)
    }
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
        assert_eq!(
            printable("a\u{202e}b\u{2066}c\u{2028}d é 日"),
            "a\u{fffd}b\u{fffd}c\u{fffd}d é 日"
        );
    }

    #[test]
    fn text_of_others_cannot_begin_a_line_of_ours() {
        assert_eq!(
            on_one_line("sshd\n\nPASSED\tall"),
            "sshd\u{fffd}\u{fffd}PASSED\u{fffd}all"
        );
    }
}
