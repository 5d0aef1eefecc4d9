//! The report for a ticket: Markdown that every renderer reads alike. Others' text is escaped, and fences are longer than
//! anything in them.

use std::fmt::Write as _;

use plumbline_model::report::{Finding, Report};

use super::{
    count, on_one_line, printable, retest_line, scope, status_word,
    text::{ELSEWHERE, Extent, gaps_by_source, typed_on},
    verdict_word, waived,
};

/// Findings that are told in brief: a ticket takes some ten thousand characters.
const BRIEF_FINDINGS: usize = 20;
/// Rows of any other table.
const BRIEF_ROWS: usize = 20;
/// Commands of one fix.
const BRIEF_COMMANDS: usize = 12;

/// The report as Markdown.
pub(crate) fn markdown(report: &Report, extent: Extent) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "# {}: {} {}\n",
        verdict_word(report.verdict),
        escaped(&extent.line(&report.cluster)),
        escaped(&report.version.to_string())
    );
    let _ = writeln!(out, "Run `{}`, started {}.\n", report.run, report.started);
    let retest = (report.retest.as_ref())
        .map(|retest| format!("retest of run {}: {}", retest.run, retest_line(retest)));
    for line in scope::scope(report).into_iter().chain(retest) {
        let _ = writeln!(out, "* {}", escaped(&extent.line(&line)));
    }
    for line in scope::warnings(report)
        .into_iter()
        .chain(waived::notes(report))
        .take(extent.items(BRIEF_ROWS))
    {
        let _ = writeln!(out, "* **Warning:** {}", escaped(&extent.line(&line)));
    }
    let (counting, waived) = waived::apart(report);
    if !counting.is_empty() {
        out.push_str("\n## What is wrong, and what mends it\n");
    }
    for finding in counting.iter().take(extent.items(BRIEF_FINDINGS)) {
        push_finding(&mut out, finding, extent);
    }
    push_more(&mut out, counting.len(), extent.items(BRIEF_FINDINGS), "findings");
    push_waived(&mut out, &waived, extent);
    push_unmeasured(&mut out, report, extent);
    out
}

fn push_more(out: &mut String, all: usize, told: usize, things: &str) {
    if all > told {
        let _ = writeln!(out, "\nAnd {} more {things} {ELSEWHERE}.", all - told);
    }
}

fn push_finding(out: &mut String, finding: &Finding, extent: Extent) {
    let place = match (finding.cause.node, finding.places.first()) {
        (Some(node), _) => format!(" on {node}"),
        (None, Some(place)) => format!(" in {}:{}", place.file, place.line),
        (None, None) if !finding.nodes.is_empty() => format!(" on {} nodes", finding.nodes.len()),
        (None, None) => String::new(),
    };
    let _ = writeln!(
        out,
        "\n### {} ({}): {}{}\n\n{}\n",
        finding.id,
        status_word(finding.status, finding.severity),
        escaped(&finding.cause.kind.word().replace('_', " ")),
        escaped(&extent.line(&place)),
        escaped(&extent.line(&finding.cause.detail))
    );
    let _ = write!(out, "* Check: {}", escaped(&finding.check));
    if finding.affects_total > 0 {
        let _ = write!(out, "; {} under it", count(finding.affects_total, "test"));
    }
    out.push('\n');
    if !finding.fix.text.is_empty() {
        let place = typed_on(finding).map_or_else(String::new, |node| format!(" (on {node})"));
        let _ = writeln!(out, "* Fix{place}: {}", escaped(&extent.line(&finding.fix.text)));
    }
    let commands = &finding.fix.commands;
    if !commands.is_empty() {
        let told: Vec<String> = commands
            .iter()
            .take(extent.items(BRIEF_COMMANDS))
            .map(|command| on_one_line(command))
            .collect();
        push_fenced(out, &told.join("\n"));
    }
    push_more(out, commands.len(), extent.items(BRIEF_COMMANDS), "commands");
}

/// What somebody answers for, as a table.
fn push_waived(out: &mut String, findings: &[&Finding], extent: Extent) {
    if findings.is_empty() {
        return;
    }
    out.push_str("\n## Waived\n\n| finding | check | what | waiver |\n|---|---|---|---|\n");
    for finding in findings.iter().take(extent.items(BRIEF_ROWS)) {
        let waiver = finding.waived.as_ref().map(waived::words).unwrap_or_default();
        let cells = [&finding.check, &finding.cause.detail, &waiver].map(|text| escaped(&extent.line(text)));
        let _ = writeln!(out, "| {} | {} |", finding.id, cells.join(" | "));
    }
    push_more(out, findings.len(), extent.items(BRIEF_ROWS), "waived findings");
}

/// What nothing is said of, as a table.
fn push_unmeasured(out: &mut String, report: &Report, extent: Extent) {
    let mut rows: Vec<[String; 2]> = report
        .not_measured
        .iter()
        .map(|row| [row.what.clone(), row.why.clone()])
        .collect();
    rows.extend(
        gaps_by_source(&report.coverage.no_vantage)
            .into_iter()
            .map(|(source, remedy, rules)| {
                [
                    format!("{rules} from {source}"),
                    format!("nothing of ours stands there; {remedy}"),
                ]
            }),
    );
    let unmade = scope::unmade(report).into_iter();
    rows.extend(unmade.map(|(what, why)| [what, why.to_owned()]));
    if rows.is_empty() {
        return;
    }
    out.push_str("\n## Not measured\n\n| what | why |\n|---|---|\n");
    for row in rows.iter().take(extent.items(BRIEF_ROWS)) {
        let cells = row.each_ref().map(|text| escaped(&extent.line(text)));
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    push_more(out, rows.len(), extent.items(BRIEF_ROWS), "rows");
}

/// Code between fences longer than any run of backticks in it (CommonMark 0.31, section 4.5).
fn push_fenced(out: &mut String, code: &str) {
    let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let _ = writeln!(out, "\n{fence}sh\n{}\n{fence}", printable(code));
}

/// Text of one line in which nothing is markup: every ASCII punctuation character that means something takes a backslash
/// (CommonMark 0.31, section 2.4), and what begins HTML or an address of a web page is an entity.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in on_one_line(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' => out.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '#' | '!' | '|' | '~' | '$' | '^' => {
                out.push('\\');
                out.push(c);
            }
            // Only behind a bracket a parenthesis is markup; elsewhere it stays readable.
            '(' if out.ends_with(']') => out.push_str("\\("),
            c => out.push(c),
        }
    }
    // Nothing of others becomes a link by itself.
    out.replace("://", ":&#47;/").replace("www.", "www&#46;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::scope::tests::report, *};

    fn hostile(text: &str) -> Report {
        report(json!({
            "cluster": text,
            "verdict": "failed",
            "findings": [{
                "id": "F1", "check": "PORT-001", "status": "fail", "severity": "fail",
                "cause": {"kind": "host_firewall", "node": "10.0.0.4", "detail": text},
                "affects": [], "affects_total": 3, "attempts": 9, "evidence": [],
                "fix": {"text": text, "commands": [text]},
            }],
            "not_measured": [{"what": text, "why": text}],
        }))
    }

    #[test]
    fn text_of_others_is_neither_markup_nor_a_link_nor_a_mention() {
        let told = markdown(
            &hostile("a|b <img src=x> [x](http://y) @ops `c` *d* # e"),
            Extent::Brief,
        );
        let (text, code) = told.split_once("```sh\n").unwrap();
        let (code, rest) = code.split_once("\n```").unwrap();
        assert_eq!(
            code, "a|b <img src=x> [x](http://y) @ops `c` *d* # e",
            "code stays as it is"
        );
        for markup in ["<img", "](", "http://", "@ops", " `c`", " *d*"] {
            assert!(
                !text.contains(markup) && !rest.contains(markup),
                "{markup}: {told}"
            );
        }
        let row = rest.lines().find(|line| line.starts_with("| a")).unwrap();
        assert_eq!(row.replace("\\|", "").matches('|').count(), 3, "{row}");
    }

    #[test]
    fn no_command_ends_the_fence_that_it_stands_in() {
        let told = markdown(&hostile("```\n# PASSED\n````"), Extent::Brief);
        assert!(told.contains("\n`````sh\n"), "{told}");
        assert!(!told.contains("\n# PASSED"), "{told}");
    }

    #[test]
    fn a_report_of_a_thousand_long_findings_stays_a_ticket() {
        let mut many = hostile(&"x ".repeat(10_000));
        many.findings = vec![many.findings[0].clone(); 1_000];
        for finding in &mut many.findings {
            finding.fix.commands = vec!["true".to_owned(); 100];
        }
        let told = markdown(&many, Extent::Brief);
        assert!(told.len() < 64_000, "{}", told.len());
        assert!(told.contains("And 980 more findings in report.html, or with `plumbline render --full`."));
        assert!(markdown(&many, Extent::Full).contains("F1"));
    }
}
