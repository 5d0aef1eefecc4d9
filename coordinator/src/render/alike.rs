//! Findings that say the same of different places, told once.

use std::{collections::BTreeMap, net::IpAddr};

use plumbline_model::report::{Finding, FindingSeverity, Status};

/// Findings with one wording, the first of them in front.
pub(super) struct Alike<'a> {
    /// The one that is told in full.
    pub(super) first: &'a Finding,
    /// The others.
    pub(super) others: Vec<&'a Finding>,
}

impl Alike<'_> {
    /// Where else it is so, and how many tests are under it there; nothing for a finding of its own kind.
    pub(super) fn elsewhere(&self) -> Option<String> {
        let last = self.others.last()?;
        let nodes: Vec<String> = self
            .others
            .iter()
            .filter_map(|other| Some(other.cause.node?.to_string()))
            .collect();
        let shown = nodes.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        let places = match (nodes.is_empty(), nodes.len().saturating_sub(NAMED)) {
            (true, _) => String::new(),
            (false, 0) => format!(", on {shown}"),
            (false, more) => format!(", on {shown} and {more} more"),
        };
        let tests: u64 = self.others.iter().map(|other| other.affects_total).sum();
        let under = if tests > 0 {
            format!("; {} under them", super::count(tests, "test"))
        } else {
            String::new()
        };
        Some(format!(
            "{} alike (to {}){places}{under}",
            super::counted(self.others.len(), "more finding"),
            last.id
        ))
    }
}

/// Nodes that are named in one line.
const NAMED: usize = 6;

/// Groups findings by their wording, in the order of the report.
pub(super) fn alike<'a>(findings: &[&'a Finding]) -> Vec<Alike<'a>> {
    type Wording<'w> = (&'w str, Status, FindingSeverity, &'w str, String, String);
    let mut groups: Vec<Alike<'a>> = Vec::new();
    let mut known: BTreeMap<Wording<'_>, usize> = BTreeMap::new();
    for finding in findings {
        let wording = (
            finding.check.as_str(),
            finding.status,
            finding.severity,
            finding.cause.kind.word(),
            anywhere(&finding.cause.detail),
            anywhere(&finding.fix.text),
        );
        match known.get(&wording) {
            Some(index) => groups[*index].others.push(finding),
            None => {
                known.insert(wording, groups.len());
                groups.push(Alike {
                    first: finding,
                    others: Vec::new(),
                });
            }
        }
    }
    groups
}

/// A sentence without its addresses: what is left says what is wrong, and not where. Ports stay, they are what is wrong.
fn anywhere(sentence: &str) -> String {
    let is_of_address = |c: char| c.is_ascii_hexdigit() || c == '.' || c == ':';
    let mut out = String::with_capacity(sentence.len());
    for word in sentence.split_inclusive(|c: char| !is_of_address(c)) {
        let core = word.trim_end_matches(|c: char| !is_of_address(c) || c == '.' || c == ':');
        if core.parse::<IpAddr>().is_ok() {
            out.push('*');
            out.push_str(&word[core.len()..]);
        } else {
            out.push_str(word);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn finding(id: &str, node: &str, port: u16) -> Finding {
        serde_json::from_value(json!({
            "id": id, "check": "PORT-001", "status": "fail", "severity": "fail",
            "cause": {
                "kind": "host_firewall", "node": node,
                "detail": format!("zone public on {node} lacks {port}/tcp (from 10.0.0.1:7 and fd00::1)."),
            },
            "affects": [], "affects_total": 3, "attempts": 9, "evidence": [],
            "fix": {"text": format!("open it on {node}"), "commands": []},
        }))
        .unwrap()
    }

    #[test]
    fn the_same_fault_on_several_nodes_is_told_once_and_another_port_is_another_fault() {
        let findings = [
            finding("F1", "10.0.0.4", 11_000),
            finding("F2", "10.0.0.5", 11_000),
            finding("F3", "10.0.0.4", 11_001),
            finding("F4", "fd00::6", 11_000),
        ];
        let groups = alike(&findings.iter().collect::<Vec<_>>());
        assert_eq!(groups.len(), 2);
        assert_eq!(
            groups[0].elsewhere().unwrap(),
            "2 more findings alike (to F4), on 10.0.0.5, fd00::6; 6 tests under them"
        );
        assert_eq!(groups[1].elsewhere(), None);
    }

    #[test]
    fn addresses_leave_a_sentence_and_words_of_hexadecimal_letters_stay() {
        assert_eq!(
            anywhere("added 10.0.0.1, fd00::1. Bad: 22/tcp"),
            "added *, *. Bad: 22/tcp"
        );
        assert_eq!(anywhere("10.0.0.0/24 face 1.29"), "*/24 face 1.29");
    }
}
