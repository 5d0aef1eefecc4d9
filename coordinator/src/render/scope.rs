//! What a verdict speaks of, in sentences: which nodes took part, whether they were real ones, how much was tested, and what
//! warns without being a finding.

use std::collections::BTreeMap;

use plumbline_model::{
    cause::CauseKind,
    evidence::SwarmKind,
    id::NodeId,
    plan::Expect,
    port::Protocol,
    report::{CheckRow, ReachabilityRow, Report, ReportNode, Status, check},
};

use super::{count, counted};

/// How many checks of nodes are listed where nothing else was asked for.
const LISTED_NODES: usize = 64;

/// What stands under the verdict, a sentence each: a rehearsal, pseudonyms, who took no part, what was tested.
pub(super) fn scope(report: &Report) -> Vec<String> {
    let rehearsal = (report.swarm == Some(SwarmKind::Lab)).then(|| REHEARSAL.to_owned());
    let redacted = report.redacted.then(|| REDACTED.to_owned());
    let lines = [
        rehearsal,
        redacted,
        Some(summary(report)),
        excluded_line(report),
        absent_line(report),
    ];
    lines.into_iter().flatten().collect()
}

/// Every node was a namespace of one machine.
const REHEARSAL: &str = "REHEARSAL in network namespaces of this machine (--swarm lab): no real node took part, and \
                         nothing is said of the real network, its BGP routers or anything outside";

/// Nobody is to look for an address of the report in his network.
const REDACTED: &str = "REDACTED: addresses and names are pseudonyms";

/// How much was tested.
fn summary(report: &Report) -> String {
    let coverage = &report.coverage;
    if coverage.planned == 0 {
        return untested(report);
    }
    let open = coverage.planned.saturating_sub(coverage.measured);
    let mut line = format!(
        "{} of {} over {} of {} measured",
        coverage.measured,
        count(coverage.planned, "test"),
        count(coverage.pairs, "pair"),
        count(asked(report), "node")
    );
    if open > 0 {
        line.push_str(&format!(", {open} not"));
    }
    if coverage.inferred > 0 {
        line.push_str(&format!(
            "; {} inferred",
            count(coverage.inferred, "further pair-port")
        ));
    }
    match coverage.no_service {
        0 => {}
        1 => line.push_str("; 1 port of a live node has no Service and was not asked"),
        ports => line.push_str(&format!(
            "; {ports} ports of live nodes have no Service and were not asked"
        )),
    }
    line
}

/// The same of a run that had no port to test.
fn untested(report: &Report) -> String {
    let driven = access(report);
    if driven.is_empty() && asked_somebody(report) {
        return "no port was tested".to_owned();
    }
    if driven.is_empty() {
        return "no port was tested and no node asked: this is said of the cluster file alone".to_owned();
    }
    let good = driven.iter().filter(|row| row.status == Status::Pass).count();
    format!(
        "{good} of {} can be reached and driven; no port was tested",
        counted(
            driven.len(),
            if driven.iter().any(|row| row.subject == "coordinator") {
                "probe"
            } else {
                "node"
            }
        )
    )
}

/// Where no port was tested: what was found of each node, a line each.
pub(super) fn driven(report: &Report) -> Vec<String> {
    if report.coverage.planned > 0 {
        return Vec::new();
    }
    let rows = access(report);
    let mut lines: Vec<String> = rows
        .iter()
        .take(LISTED_NODES)
        .map(|row| {
            format!(
                "{} {} [{}]: {}",
                status(row.status),
                row.subject,
                row.id,
                row.detail
            )
        })
        .collect();
    if rows.len() > LISTED_NODES {
        lines.push(format!("and {} more in report.json", rows.len() - LISTED_NODES));
    }
    lines
}

fn access(report: &Report) -> Vec<&CheckRow> {
    report
        .checks
        .iter()
        .filter(|row| row.id == check::ACCESS.id)
        .collect()
}

/// Whether any probe was waited for: the file can be checked alone.
pub(super) fn asked_somebody(report: &Report) -> bool {
    report.checks.iter().any(|row| row.id == check::SWARM.id)
}

/// The status of a check in words.
pub(super) fn status(status: Status) -> &'static str {
    match status {
        Status::Pass => "pass",
        Status::Warn => "warning",
        Status::NotMeasured => "not measured",
        Status::Fail => "failure",
    }
}

/// How many nodes were asked for and not left out.
fn asked(report: &Report) -> u64 {
    let takes_part = |node: NodeId| {
        !report.excluded.contains(&node) && !report.absent.iter().any(|absent| absent.node == node)
    };
    let nodes = report.nodes.iter().filter(|node| takes_part(node.id)).count();
    u64::try_from(nodes).unwrap_or(u64::MAX)
}

/// The nodes that options left out; nothing if there are none.
fn excluded_line(report: &Report) -> Option<String> {
    let names: Vec<String> = report.excluded.iter().map(ToString::to_string).collect();
    let left_out = |node: &&ReportNode| report.excluded.contains(&node.id);
    (!names.is_empty()).then(|| {
        format!(
            "{} of {} took part (--nodes, --exclude); nothing is said of {}",
            report.nodes.len() - report.nodes.iter().filter(left_out).count(),
            counted(report.nodes.len(), "node"),
            listed(&names)
        )
    })
}

/// The nodes that stayed away, in one sentence; nothing if there are none.
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

/// The checks whose rows tell of a row of the matrix.
pub(super) fn checks_of(row: &ReachabilityRow) -> [&'static str; 2] {
    match (row.expect, row.protocol) {
        (Expect::Blocked, _) => [check::EXPOSURE.id; 2],
        (Expect::Open, Protocol::Udp) => [check::REACH_UDP.id, check::LISTENER.id],
        (Expect::Open, _) => [check::REACH_TCP.id, check::LISTENER.id],
    }
}

/// What warns and is no finding, a sentence each, without what other lines of the report say already: who stayed away, and
/// rules without a vantage.
pub(super) fn warnings(report: &Report) -> Vec<String> {
    let told = [
        check::REACH_TCP.id,
        check::REACH_UDP.id,
        check::EXPOSURE.id,
        check::VANTAGE.id,
    ];
    let is_absent = |row: &CheckRow| {
        row.id == check::SWARM.id
            && report
                .absent
                .iter()
                .any(|absent| absent.node.to_string() == row.subject)
    };
    let rows: Vec<String> = report
        .checks
        .iter()
        .filter(|row| row.status == Status::Warn && !told.contains(&row.id.as_str()) && !is_absent(row))
        .filter(|row| !report.findings.iter().any(|finding| finding.check == row.id))
        .map(|row| format!("[{}] {}: {}", row.id, row.subject, row.detail))
        .collect();
    let mut lines: Vec<String> = rows.iter().take(LISTED).cloned().collect();
    if rows.len() > LISTED {
        lines.push(format!("and {} more among the checks", rows.len() - LISTED));
    }
    lines
}

/// Checks of assumptions that were asked for and not made of some of their subjects, without those that a finding or another
/// check's row tells of: what, and why of the first.
pub(super) fn unmade(report: &Report) -> Vec<(String, &str)> {
    let is_told = |row: &CheckRow| {
        let findings = report.findings.iter().map(|finding| &finding.cause);
        let mut unmeasured = findings.filter(|cause| cause.kind == CauseKind::Unmeasured);
        // "the probe on 10.0.0.1 lacks CAP_NET_RAW, so that ..." has its place in between.
        let why = row.detail.strip_prefix("the probe ").unwrap_or(&row.detail);
        unmeasured.any(|cause| cause.detail.contains(&row.id) && cause.detail.contains(why))
    };
    let is_known = |row: &CheckRow| [check::NEEDS_ACTIVE, check::PROBE_GONE].contains(&row.detail.as_str());
    let mut by_check: BTreeMap<&str, Vec<&CheckRow>> = BTreeMap::new();
    for row in &report.checks {
        let is_open = row.status == Status::NotMeasured && check::is_assumption(&row.id);
        if is_open && !is_known(row) && !is_told(row) {
            by_check.entry(&row.id).or_default().push(row);
        }
    }
    let mut lines = Vec::new();
    for (id, rows) in by_check {
        let Some(first) = rows.first() else { continue };
        let more = match rows.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        lines.push((format!("[{id}] {}{more}", first.subject), first.detail.as_str()));
    }
    lines
}

/// Everything that makes a run without findings one with warnings.
pub(super) fn all_warnings(report: &Report) -> Vec<String> {
    let mut lines: Vec<String> = absent_line(report).into_iter().collect();
    lines.extend(warnings(report));
    if !report.coverage.no_vantage.is_empty() {
        lines.push(format!(
            "{} could not be tested, since nothing of ours stands at the source: see what was not measured",
            counted(report.coverage.no_vantage.len(), "rule")
        ));
    }
    lines
}

/// Beyond this a number says more.
const LISTED: usize = 8;

/// Names in a sentence, the first of many.
fn listed(names: &[String]) -> String {
    if names.len() <= LISTED {
        names.join(", ")
    } else {
        format!("{} and {} more", names[..LISTED].join(", "), names.len() - LISTED)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A report of three nodes, with further fields.
    pub(crate) fn report(further: serde_json::Value) -> Report {
        let node = |id: &str| serde_json::json!({"id": id, "roles": ["worker"], "version": "1.29"});
        let mut report = serde_json::json!({
            "schema": "plumbline.report/v1", "verdict": "passed", "run": "0123456789abcdef", "cluster": "c",
            "version": "1.29", "started": "2026-01-01T00:00:00.000Z", "coordinator_version": "0.1.0", "analysis": 2,
            "inputs": [], "nodes": [node("10.0.0.1"), node("10.0.0.2"), node("10.0.0.3")], "absent": [],
            "findings": [], "reachability": [], "latency": [], "throughput": [], "checks": [], "not_measured": [],
            "coverage": {
                "planned": 4, "measured": 4, "inferred": 0, "no_service": 0, "pairs": 2, "missing_batches": 0,
                "duplicate_batches": 0, "late_probes": 0, "no_vantage": [],
            },
        });
        let further = further.as_object().cloned().unwrap_or_default();
        report.as_object_mut().unwrap().extend(further);
        serde_json::from_value(report).unwrap()
    }

    #[test]
    fn a_run_of_some_nodes_says_of_whom_it_says_nothing() {
        let some = report(serde_json::json!({"excluded": ["10.0.0.3"]}));
        assert_eq!(
            scope(&some),
            [
                "4 of 4 tests over 2 pairs of 2 nodes measured",
                "2 of 3 nodes took part (--nodes, --exclude); nothing is said of 10.0.0.3"
            ]
        );
        assert_eq!(
            scope(&report(serde_json::json!({}))),
            ["4 of 4 tests over 2 pairs of 3 nodes measured"]
        );
    }

    #[test]
    fn a_rehearsal_says_so_first() {
        let of = |swarm: &str| scope(&report(serde_json::json!({"swarm": swarm})));
        assert!(of("lab")[0].starts_with("REHEARSAL "), "{:?}", of("lab"));
        assert_eq!(of("joined").len(), 1);
    }

    #[test]
    fn a_redacted_report_says_that_its_names_are_pseudonyms() {
        let redacted = report(serde_json::json!({"redacted": true}));
        assert_eq!(scope(&redacted)[0], REDACTED);
        assert_eq!(scope(&report(serde_json::json!({}))).len(), 1);
    }

    #[test]
    fn where_no_port_was_tested_each_node_has_its_line() {
        let row = |status: &str, node: &str, detail: &str| {
            let id = check::ACCESS.id;
            serde_json::json!({"id": id, "status": status, "subject": node, "detail": detail})
        };
        let mut access = report(serde_json::json!({
            "checks": [row("pass", "10.0.0.1", "answers"), row("fail", "10.0.0.2", "did not join")]
        }));
        access.coverage.planned = 0;
        access.coverage.measured = 0;
        assert_eq!(
            scope(&access),
            ["1 of 2 nodes can be reached and driven; no port was tested"]
        );
        let id = check::ACCESS.id;
        assert_eq!(
            driven(&access),
            [
                format!("pass 10.0.0.1 [{id}]: answers"),
                format!("failure 10.0.0.2 [{id}]: did not join")
            ]
        );
    }

    #[test]
    fn a_run_that_passed_with_warnings_says_which() {
        let warned = report(serde_json::json!({
            "verdict": "warned",
            "absent": [{"node": "10.0.0.2", "why": "its probe did not join in time"}],
            "checks": [
                {"id": check::SWARM.id, "status": "warn", "subject": "10.0.0.2", "detail": "left out"},
                {"id": check::VERSION.id, "status": "warn", "subject": "p", "detail": "is newer"},
            ],
        }));
        assert_eq!(
            warnings(&warned),
            [format!("[{}] p: is newer", check::VERSION.id)]
        );
        let all = all_warnings(&warned);
        assert_eq!(all.len(), 2);
        assert!(all[0].starts_with("10.0.0.2 is left out"), "{all:?}");
    }
}
