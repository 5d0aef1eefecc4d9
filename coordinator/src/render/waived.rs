//! Who answers for what, in sentences: one wording for every format.

use plumbline_model::{
    report::{Finding, Report, WaiverRow, WaiverStanding},
    waiver::{Selector, Waiver},
};

use super::count;

/// Who answers for a finding, and until when: `waived until 2027-01-31 by Jo Example: opened with change 4711`.
pub(super) fn words(waiver: &Waiver) -> String {
    format!(
        "waived until {} by {}: {}",
        waiver.expires, waiver.owner, waiver.reason
    )
}

/// Findings that count, and those that somebody answers for.
pub(super) fn apart(report: &Report) -> (Vec<&Finding>, Vec<&Finding>) {
    report
        .findings
        .iter()
        .partition(|finding| finding.waived.is_none())
}

/// What whoever looks after the waivers must know, a sentence each: those that have expired, that soon will, and that are
/// about nothing. Nothing if there is nothing to do.
pub(super) fn notes(report: &Report) -> Vec<String> {
    report.waivers.iter().flat_map(notes_of).collect()
}

fn notes_of(row: &WaiverRow) -> Vec<String> {
    let waiver = &row.waiver;
    let name = format!(
        "the waiver in line {} ({}{}, {})",
        waiver.line,
        waiver.check,
        selected(&waiver.selector),
        waiver.owner
    );
    let end = match (row.standing, row.findings) {
        (WaiverStanding::InForce, _) => None,
        (WaiverStanding::ExpiresSoon, _) => Some(format!(
            "{name} ends after {}: have it mended, or waive it anew",
            waiver.expires
        )),
        (WaiverStanding::Expired, 0) => Some(format!("{name} expired on {}", waiver.expires)),
        (WaiverStanding::Expired, findings) => Some(format!(
            "{name} expired on {}: {} {} again",
            waiver.expires,
            count(findings, "finding"),
            if findings == 1 { "counts" } else { "count" }
        )),
    };
    let unused = (row.findings == 0).then(|| {
        format!(
            "{name} is about no finding of this run: remove it if it is mended, or look at what it selects"
        )
    });
    end.into_iter().chain(unused).collect()
}

fn selected(selector: &Selector) -> String {
    let line = selector.line.map(|line| line.to_string());
    [
        ("cause", &selector.cause),
        ("node", &selector.node),
        ("ports", &selector.ports),
        ("file", &selector.file),
        ("line", &line),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some(format!(", {name} {}", value.as_ref()?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn waivers_that_need_somebody_are_told_with_what_to_do() {
        let row = |standing: &str, findings: u64| -> WaiverRow {
            serde_json::from_value(json!({
                "waiver": {
                    "check": "PORT-001", "selector": {"node": "10.0.0.4"}, "owner": "Jo", "reason": "r",
                    "expires": "2027-01-31", "line": 3,
                },
                "standing": standing, "findings": findings,
            }))
            .unwrap()
        };
        let name = "the waiver in line 3 (PORT-001, node 10.0.0.4, Jo)";
        assert_eq!(notes_of(&row("in_force", 1)), Vec::<String>::new());
        assert_eq!(
            notes_of(&row("expires_soon", 1)),
            [format!(
                "{name} ends after 2027-01-31: have it mended, or waive it anew"
            )]
        );
        assert_eq!(
            notes_of(&row("expired", 1)),
            [format!("{name} expired on 2027-01-31: 1 finding counts again")]
        );
        assert!(notes_of(&row("in_force", 0))[0].contains("about no finding"));
        assert_eq!(notes_of(&row("expired", 0)).len(), 2);
    }
}
