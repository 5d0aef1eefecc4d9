//! CSV as RFC 4180 has it: what a network team opens in a spreadsheet. The matrix has a row for each run of ports with one
//! outcome; the requests are what a firewall would have to let through.

use std::collections::BTreeMap;

use plumbline_model::{
    plan::Expect,
    report::{Basis, ReachabilityRow, Report, Standing},
};

use super::outcome::icmp_name;

/// The reachability rows.
pub(crate) fn matrix(report: &Report) -> String {
    let mut out = Table::new(&[
        "src",
        "dst",
        "family",
        "protocol",
        "ports",
        "rule",
        "expect",
        "outcome",
        "attempts",
        "offender",
        "why",
        "inferred",
        "answered_from",
        "by",
        "answered",
        "errno",
        "icmp_type",
        "icmp_code",
        "icmp_name",
    ]);
    for row in &report.reachability {
        let expect = match row.expect {
            Expect::Open => "open",
            Expect::Blocked => "blocked",
        };
        out.row(&[
            row.src.to_string(),
            row.dst.to_string(),
            row.family.word().to_owned(),
            row.protocol.to_string(),
            row.ports.to_string(),
            row.rule.clone(),
            expect.to_owned(),
            row.outcome.clone(),
            row.attempts.to_string(),
            told(row.offender),
            row.why.clone().unwrap_or_default(),
            if row.inferred == Some(true) { "true" } else { "" }.to_owned(),
            told(row.answered_from),
            match row.by {
                Some(Basis::Ruleset) => "ruleset",
                None => "",
            }
            .to_owned(),
            told(row.answered),
            told(row.errno),
            told(row.icmp_type),
            told(row.icmp_code),
            icmp_of(row).unwrap_or_default().to_owned(),
        ]);
    }
    out.into_text()
}

/// What an ICMP error of a row says.
fn icmp_of(row: &ReachabilityRow) -> Option<&'static str> {
    icmp_name(row.family, row.icmp_type?, row.icmp_code?)
}

/// Which requests are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// What did not work.
    Failed,
    /// Everything that was asked for.
    All,
}

/// What a rule is for, and where that is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Reason {
    /// One sentence.
    pub(crate) purpose: String,
    /// The documents, as the profile cites them.
    pub(crate) cited: Vec<String>,
}

/// The firewall request list: a row for each source, destination and rule, whose ports are together. `reasons` are the
/// profiles' words by rule; a report alone does not hold them.
pub(crate) fn requests(report: &Report, reasons: &BTreeMap<String, Reason>, wanted: Wanted) -> String {
    let mut out = Table::new(&[
        "source",
        "destination",
        "family",
        "protocol",
        "ports",
        "rule",
        "purpose",
        "citation",
        "outcome",
    ]);
    let asked = |row: &&ReachabilityRow| match (row.expect, row.standing()) {
        (Expect::Blocked, _) => false,
        (Expect::Open, Standing::Wrong) => true,
        (Expect::Open, _) => wanted == Wanted::All,
    };
    let mut rows = report.reachability.iter().filter(asked).peekable();
    while let Some(row) = rows.next() {
        let mut ports = row.ports.clone();
        let mut outcomes = vec![row.outcome.as_str()];
        let same = |other: &&ReachabilityRow| {
            (other.src, other.dst, other.family, other.protocol)
                == (row.src, row.dst, row.family, row.protocol)
                && other.rule == row.rule
        };
        // Rows of one pair and rule stand together, one for each outcome.
        while let Some(other) = rows.next_if(same) {
            ports.extend(&other.ports);
            if !outcomes.contains(&other.outcome.as_str()) {
                outcomes.push(&other.outcome);
            }
        }
        let reason = reasons.get(&row.rule).cloned().unwrap_or_default();
        out.row(&[
            row.src.to_string(),
            row.dst.to_string(),
            row.family.word().to_owned(),
            row.protocol.to_string(),
            ports.to_string(),
            row.rule.clone(),
            reason.purpose,
            reason.cited.join("; "),
            outcomes.join(" "),
        ]);
    }
    out.into_text()
}

fn told<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Records of the same number of fields.
pub(crate) struct Table {
    text: String,
}

impl Table {
    /// A table without records.
    pub(crate) fn new(names: &[&str]) -> Self {
        Self {
            text: names.join(",") + END,
        }
    }

    /// Adds a record.
    pub(crate) fn row(&mut self, fields: &[String]) {
        for (index, field) in fields.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            push_field(&mut self.text, field);
        }
        self.text.push_str(END);
    }

    /// The file.
    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

/// How a record ends (RFC 4180, section 2).
const END: &str = "\r\n";

/// A field, quoted where it must be. A spreadsheet takes what begins like a formula for one, even in quotation marks, and
/// names of rules are other people's words: an apostrophe before it makes it text.
fn push_field(out: &mut String, field: &str) {
    let begins_formula = field.starts_with([
        '=', '+', '-', '@', '\t', '\r', '\n', '|', '%', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
    ]);
    let text = super::on_one_line(field);
    let text = if begins_formula { format!("'{text}") } else { text };
    if text.contains([',', '"', ';', ' ', '\'']) {
        out.push('"');
        out.push_str(&text.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(&text);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::outcome::tests::row, super::scope::tests::report, *};

    fn of(rows: &[ReachabilityRow]) -> Report {
        report(json!({"reachability": rows}))
    }

    /// Fields of each record: quotation marks taken off, doubled ones halved.
    fn fields(csv: &str) -> Vec<Vec<String>> {
        csv.split_terminator("\r\n")
            .map(|line| {
                let (mut fields, mut quoted) = (vec![String::new()], false);
                let mut chars = line.chars().peekable();
                while let Some(c) = chars.next() {
                    match c {
                        '"' if quoted && chars.peek() == Some(&'"') => {
                            chars.next();
                            fields.last_mut().unwrap().push('"');
                        }
                        '"' => quoted = !quoted,
                        ',' if !quoted => fields.push(String::new()),
                        c => fields.last_mut().unwrap().push(c),
                    }
                }
                fields
            })
            .collect()
    }

    #[test]
    fn every_record_of_the_matrix_has_every_field_and_what_is_known_is_told() {
        let rejected = json!({"icmp_type": 1, "icmp_code": 1, "offender": "fd00::1", "ports": "1-2,7", "rule": "a\"b,c"});
        let rows = [
            row(Expect::Open, "rejected", rejected),
            row(Expect::Open, "lossy", json!({"answered": 2})),
            row(Expect::Open, "resource", json!({"errno": 24})),
        ];
        let records = fields(&matrix(&of(&rows)));
        let at = |record: usize, name: &str| {
            let column = records[0].iter().position(|it| it == name).unwrap();
            records[record][column].as_str()
        };
        assert!(records.iter().all(|record| record.len() == records[0].len()));
        assert_eq!(
            (at(1, "icmp_name"), at(1, "offender")),
            ("admin-prohibited", "fd00::1")
        );
        assert_eq!((at(1, "rule"), at(1, "ports")), ("a\"b,c", "1-2,7"));
        assert_eq!((at(2, "answered"), at(3, "errno")), ("2", "24"));
    }

    #[test]
    fn no_field_is_a_formula_or_begins_a_record() {
        for rule in [
            "=1+1",
            "+1",
            "-1",
            "@x",
            "\t=1",
            "\r=1",
            "=cmd|' /C calc'!A0",
            "a\r\nb,c",
            "\u{ff1d}1",
        ] {
            let told = matrix(&of(&[row(Expect::Open, "open", json!({"rule": rule}))]));
            let records = fields(&told);
            assert_eq!(records.len(), 2, "{told}");
            assert!(
                !records[1][5].starts_with(['=', '+', '-', '@', '\t', '\r']),
                "{told}"
            );
        }
    }

    #[test]
    fn a_request_holds_what_failed_with_its_purpose_and_citation() {
        let rows = [
            row(Expect::Open, "open", json!({"ports": "22"})),
            row(Expect::Open, "filtered_forward", json!({"ports": "1"})),
            row(Expect::Open, "closed", json!({"ports": "2"})),
            row(Expect::Blocked, "open", json!({"ports": "3", "rule": "b"})),
        ];
        let reasons = BTreeMap::from([(
            "w.geneve".to_owned(),
            Reason {
                purpose: "overlay".to_owned(),
                cited: vec!["doc, table 2".to_owned(), "RFC 8926".to_owned()],
            },
        )]);
        let failed = fields(&requests(&of(&rows), &reasons, Wanted::Failed));
        assert_eq!(
            failed[1],
            [
                "10.0.0.1",
                "10.0.0.2",
                "ipv6",
                "udp",
                "1-2",
                "w.geneve",
                "overlay",
                "doc, table 2; RFC 8926",
                "filtered_forward closed"
            ]
        );
        assert_eq!(failed.len(), 2);
        let all = fields(&requests(&of(&rows), &reasons, Wanted::All));
        assert_eq!((all.len(), all[1][4].as_str()), (2, "1-2,22"));
    }
}
