//! The report in the formats that people and machines read. Every format is a pure function of [`Report`]; one file each.

mod alike;
pub(crate) mod csv;
mod html;
mod junit;
mod markdown;
mod outcome;
mod scope;
mod text;
mod waived;

use plumbline_model::report::{FindingSeverity, Report, RetestSummary, Status, Verdict};

pub(crate) use self::{
    html::html,
    junit::junit,
    markdown::markdown,
    text::{Extent, Style, gaps_by_source, text},
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

/// What became of an earlier run's failures, in one line.
fn retest_line(retest: &RetestSummary) -> String {
    let mut line = format!("fixed {} of {}", retest.fixed, count(retest.tests, "test"));
    for (number, what) in [
        (retest.still_failing, "still failing"),
        (retest.not_measured, "not measured"),
        (
            retest.left_out,
            "left out (no rule asks for them now, or a node takes no part)",
        ),
    ] {
        if number > 0 {
            line.push_str(&format!("; {number} {what}"));
        }
    }
    line.push_str(". Nothing else was tested");
    line
}

/// A number of things, with the plural in `s`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// The same of what lies in memory.
pub(crate) fn counted(number: usize, thing: &str) -> String {
    count(u64::try_from(number).unwrap_or(u64::MAX), thing)
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
