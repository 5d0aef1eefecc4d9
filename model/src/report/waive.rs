//! Findings that somebody answers for: which waiver is about which finding, and what became of each waiver.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    id::NodeId,
    port::{PortSet, Protocol},
    waiver::{Ports, Selector, Waiver},
};

use super::{
    Finding, ReachabilityRow, Standing, WaiverRow, WaiverStanding,
    time::{day_at, day_of},
};

/// Days before its end from which on a waiver says that it will end: two weeks are a change window.
const SOON_DAYS: u64 = 14;

/// Marks the findings that a waiver in force is about, the first of the file if there are several; tells of every waiver what
/// became of it. `now_unix_ms` is the start of the run: the same evidence gives the same report on every day.
pub(super) fn waive(
    waivers: &[Waiver],
    findings: &mut [Finding],
    rows: &[ReachabilityRow],
    now_unix_ms: u64,
) -> Vec<WaiverRow> {
    if waivers.is_empty() {
        return Vec::new();
    }
    let today = day_at(now_unix_ms);
    let tested: Vec<Option<Tested>> = findings.iter().map(|finding| tested(finding, rows)).collect();
    waivers
        .iter()
        .map(|waiver| {
            let standing = standing(waiver, today);
            let mut about = 0;
            for (finding, tested) in findings.iter_mut().zip(&tested) {
                if !is_about(waiver, finding, tested.as_ref()) {
                    continue;
                }
                about += 1;
                if standing != WaiverStanding::Expired && finding.waived.is_none() {
                    finding.waived = Some(waiver.clone());
                }
            }
            WaiverRow {
                waiver: waiver.clone(),
                standing,
                findings: about,
            }
        })
        .collect()
}

/// The last day counts to its end.
fn standing(waiver: &Waiver, today: u64) -> WaiverStanding {
    match day_of(&waiver.expires).and_then(|last| last.checked_sub(today)) {
        None => WaiverStanding::Expired,
        Some(left) if left <= SOON_DAYS => WaiverStanding::ExpiresSoon,
        Some(_) => WaiverStanding::InForce,
    }
}

fn is_about(waiver: &Waiver, finding: &Finding, tested: Option<&Tested>) -> bool {
    let Selector {
        cause,
        node,
        ports,
        file,
        line,
    } = &waiver.selector;
    let (file, line) = (file.as_deref(), *line);
    waiver.check == finding.check
        && cause
            .as_deref()
            .is_none_or(|cause| finding.cause.kind.word() == cause)
        && node.as_deref().is_none_or(|node| is_at(finding, node))
        && (file.is_none() && line.is_none() || stands_at(finding, file, line))
        && ports.as_deref().is_none_or(|ports| {
            let ports: Option<Ports> = ports.parse().ok();
            ports
                .zip(tested)
                .is_some_and(|(ports, tested)| is_within(tested, &ports))
        })
}

/// Whether the node is the one to touch, or all of a side of a cause between nodes: a side of several nodes is more than one
/// of them.
fn is_at(finding: &Finding, node: &str) -> bool {
    let Ok(node) = node.parse::<NodeId>() else {
        return false;
    };
    let sides = finding.cause.between.iter().flatten();
    finding.cause.node == Some(node)
        || finding.nodes == [node]
        || sides.into_iter().any(|side| side.as_slice() == [node])
}

/// Whether every place of the finding is there. A file is named by the last parts of its path, so that a waiver outlives the
/// directory that the audit was started in.
fn stands_at(finding: &Finding, file: Option<&str>, line: Option<u32>) -> bool {
    let is_file = |name: &str, wanted: &str| {
        name.strip_suffix(wanted)
            .is_some_and(|before| before.is_empty() || before.ends_with('/'))
    };
    !finding.places.is_empty()
        && finding.places.iter().all(|place| {
            file.is_none_or(|file| is_file(&place.file, file)) && line.is_none_or(|line| place.line == line)
        })
}

/// Every port under a finding, by transport.
type Tested = BTreeMap<Protocol, PortSet>;

/// The ports of the tests under a finding; absent if it has none, or if they are not all known.
fn tested(finding: &Finding, rows: &[ReachabilityRow]) -> Option<Tested> {
    let mut tested = Tested::new();
    for test in &finding.affects {
        tested.entry(test.protocol).or_default().insert_port(test.port);
    }
    let listed = u64::try_from(finding.affects.len()).unwrap_or(u64::MAX);
    if listed < finding.affects_total {
        left_out(finding, rows, &mut tested)?;
    }
    (!tested.is_empty()).then_some(tested)
}

/// The same of a list that was cut: everything that is not as expected between the pairs that are listed speaks for the tests
/// that are not. `None` if pairs are left out, too, of which nothing is known then.
fn left_out(finding: &Finding, rows: &[ReachabilityRow], tested: &mut Tested) -> Option<()> {
    let listed = finding.affects.iter();
    let pairs: BTreeSet<_> = listed
        .map(|test| (test.src, test.dst, test.family, test.protocol))
        .collect();
    let mut total = 0_u64;
    for row in rows.iter().filter(|row| row.standing() >= Standing::Gap) {
        if pairs.contains(&(row.src, row.dst, row.family, row.protocol)) {
            tested.entry(row.protocol).or_default().extend(&row.ports);
            total = total.saturating_add(u64::from(row.ports.count()));
        }
    }
    (total >= finding.affects_total).then_some(())
}

/// Whether all of them are wanted.
fn is_within(tested: &Tested, wanted: &Ports) -> bool {
    tested
        .iter()
        .all(|(protocol, ports)| *protocol == wanted.protocol && ports.difference(&wanted.ports).is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn finding(further: serde_json::Value) -> Finding {
        let mut finding = json!({
            "id": "F1", "check": "PORT-001", "status": "fail", "severity": "fail",
            "cause": {"kind": "host_firewall", "node": "10.0.0.4", "detail": "d"},
            "affects": [
                {"src": "10.0.0.1", "dst": "10.0.0.4", "family": "ipv4", "protocol": "tcp", "port": 11_000},
                {"src": "10.0.0.2", "dst": "10.0.0.4", "family": "ipv4", "protocol": "tcp", "port": 11_001},
            ],
            "affects_total": 2, "attempts": 6, "evidence": [1], "fix": {"text": "t", "commands": []},
        });
        let further = further.as_object().cloned().unwrap_or_default();
        finding.as_object_mut().unwrap().extend(further);
        serde_json::from_value(finding).unwrap()
    }

    fn waiver(selector: serde_json::Value, expires: &str) -> Waiver {
        serde_json::from_value(json!({
            "check": "PORT-001", "selector": selector, "owner": "o", "reason": "r", "expires": expires, "line": 3,
        }))
        .unwrap()
    }

    /// 2026-11-23T12:00:00Z.
    const NOW: u64 = 1_795_435_200_000;

    fn covers(selector: serde_json::Value, mut finding: Finding, rows: &[ReachabilityRow]) -> bool {
        let told = waive(
            &[waiver(selector, "2027-12-31")],
            std::slice::from_mut(&mut finding),
            rows,
            NOW,
        );
        assert_eq!(told[0].findings == 1, finding.waived.is_some());
        finding.waived.is_some()
    }

    #[test]
    fn everything_that_a_selector_gives_must_match() {
        let at = |selector| covers(selector, finding(json!({})), &[]);
        assert!(at(json!({})));
        assert!(at(
            json!({"cause": "host_firewall", "node": "10.0.0.4", "ports": "11000-11001/tcp"})
        ));
        assert!(!at(json!({"cause": "path_filter"})));
        assert!(
            !at(json!({"node": "10.0.0.1"})),
            "a source of a test is not the node to touch"
        );
        assert!(
            !at(json!({"ports": "11000/tcp"})),
            "one of the tests is of another port"
        );
        assert!(!at(json!({"ports": "11000-11001/udp"})));
        assert!(!at(json!({"file": "cluster.yaml"})), "it is about no file");
        let other_check = finding(json!({"check": "PORT-002"}));
        assert!(!covers(json!({}), other_check, &[]));
    }

    #[test]
    fn a_side_of_several_nodes_is_more_than_one_of_them() {
        let between = |left: &[&str]| {
            finding(
                json!({"cause": {"kind": "path_filter", "detail": "d", "between": [left, ["10.0.9.1", "10.0.9.2"]]}}),
            )
        };
        let node = json!({"node": "10.0.0.1"});
        assert!(covers(node.clone(), between(&["10.0.0.1"]), &[]));
        assert!(!covers(node, between(&["10.0.0.1", "10.0.0.2"]), &[]));
    }

    #[test]
    fn a_finding_without_tests_is_within_no_ports() {
        let empty = finding(json!({"affects": [], "affects_total": 0}));
        assert!(!covers(json!({"ports": "1-65535/tcp"}), empty, &[]));
    }

    #[test]
    fn what_a_cut_list_leaves_out_is_looked_up_in_the_matrix() {
        let row = |src: &str, ports: &str, outcome: &str| -> ReachabilityRow {
            serde_json::from_value(json!({
                "src": src, "dst": "10.0.0.4", "family": "ipv4", "protocol": "tcp", "ports": ports, "rule": "r",
                "expect": "open", "outcome": outcome, "attempts": 3,
            }))
            .unwrap()
        };
        let cut = || finding(json!({"affects_total": 4}));
        let wanted = || json!({"ports": "11000-11003/tcp"});
        let first = row("10.0.0.1", "11000,11002", "filtered_forward");
        let inside = row("10.0.0.2", "11001,11003", "filtered_forward");
        let outside = row("10.0.0.2", "11001,12000", "filtered_forward");
        let well = row("10.0.0.2", "22", "open");
        assert!(covers(wanted(), cut(), &[first.clone(), inside, well.clone()]));
        assert!(!covers(wanted(), cut(), &[first.clone(), outside, well]));
        assert!(
            !covers(wanted(), cut(), &[first]),
            "a pair of the finding is not in the matrix"
        );
    }

    #[test]
    fn a_finding_in_a_file_is_waived_by_the_end_of_its_path_and_its_line() {
        let place = |file: &str| {
            finding(
                json!({"affects": [], "affects_total": 0, "places": [{"file": file, "line": 12, "column": 3}]}),
            )
        };
        let at = |selector, file| covers(selector, place(file), &[]);
        assert!(at(
            json!({"file": "cluster.yaml", "line": 12}),
            "/srv/a/cluster.yaml"
        ));
        assert!(at(json!({"file": "a/cluster.yaml"}), "/srv/a/cluster.yaml"));
        assert!(!at(json!({"file": "cluster.yaml"}), "/srv/a/my-cluster.yaml"));
        assert!(!at(json!({"file": "cluster.yaml", "line": 13}), "cluster.yaml"));
    }

    #[test]
    fn a_waiver_counts_to_the_end_of_its_last_day() {
        let standing_of = |expires: &str| standing(&waiver(json!({}), expires), day_at(NOW));
        assert_eq!(standing_of("2026-11-22"), WaiverStanding::Expired);
        assert_eq!(standing_of("2026-11-23"), WaiverStanding::ExpiresSoon);
        assert_eq!(standing_of("2026-12-07"), WaiverStanding::ExpiresSoon);
        assert_eq!(standing_of("2026-12-08"), WaiverStanding::InForce);
    }

    #[test]
    fn an_expired_waiver_brings_its_finding_back_and_is_told_with_it() {
        let mut findings = [finding(json!({}))];
        let told = waive(&[waiver(json!({}), "2026-11-22")], &mut findings, &[], NOW);
        assert_eq!(findings[0].waived, None);
        assert_eq!((told[0].standing, told[0].findings), (WaiverStanding::Expired, 1));
    }

    #[test]
    fn the_first_waiver_in_force_answers_for_a_finding() {
        let mut findings = [finding(json!({}))];
        let waivers = [
            waiver(json!({}), "2026-11-22"),
            waiver(json!({"node": "10.0.0.4"}), "2027-01-01"),
            waiver(json!({"cause": "host_firewall"}), "2028-01-01"),
        ];
        let told = waive(&waivers, &mut findings, &[], NOW);
        assert_eq!(findings[0].waived.as_ref(), Some(&waivers[1]));
        assert!(told.iter().all(|row| row.findings == 1), "{told:?}");
    }
}
