//! Reports of runs in which somebody answers for something.

use super::{Diagnostic, Gravity, check, waiver};
use crate::{
    report::{
        Report, Status, Verdict,
        stage::{CP, LB, Stage, W1},
    },
    waiver::Selector,
};

/// A load balancer whose firewall drops a port, and somebody who may answer for it.
fn dropped(waived: Option<(Selector, &str)>) -> Report {
    let mut stage = Stage::new().rule("lb.api", "11000", &[CP], &[LB]).silent(
        CP,
        LB,
        "11000",
        Some((1, 0)),
        Some((0, 0)),
    );
    if let Some((selector, expires)) = waived {
        let check = stage.report().findings[0].check.clone();
        stage.waivers.push(waiver(&check, selector, expires));
    }
    stage.report()
}

#[test]
fn a_waived_failure_fails_no_run_and_stays_in_the_report() {
    assert_eq!(dropped(None).verdict, Verdict::Failed);
    let waived = dropped(Some((Selector::default(), "2024-02-29")));
    assert_eq!(waived.verdict, Verdict::Passed);
    assert_eq!(waived.findings.len(), 1);
    assert_eq!(
        waived.findings[0].status,
        Status::Fail,
        "what was found is not changed"
    );
    assert_eq!(
        waived.findings[0].waived.as_ref(),
        Some(&waived.waivers[0].waiver)
    );
}

#[test]
fn a_waiver_whose_day_has_passed_brings_its_failure_back() {
    let expired = dropped(Some((Selector::default(), "2024-02-28")));
    assert_eq!(expired.verdict, Verdict::Failed);
    assert_eq!(
        (expired.findings[0].waived.as_ref(), expired.waivers[0].findings),
        (None, 1)
    );
}

#[test]
fn a_waiver_of_other_ports_is_of_no_use() {
    let selector = Selector {
        ports: Some("11001/tcp".to_owned()),
        ..Selector::default()
    };
    let other = dropped(Some((selector, "2025-01-01")));
    assert_eq!((other.verdict, other.waivers[0].findings), (Verdict::Failed, 0));
}

#[test]
fn what_was_not_measured_stays_so_whoever_answers_for_it() {
    let mut stage = Stage::new()
        .rule("lb.api", "11000", &[CP], &[LB])
        .rule("worker.kubelet", "10250", &[CP], &[W1])
        .without(W1);
    stage
        .waivers
        .push(waiver(check::SWARM.id, Selector::default(), "2025-01-01"));
    let report = stage.report();
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.status == Status::NotMeasured && finding.waived.is_some()),
        "{:?}",
        report.findings
    );
    assert_eq!(report.verdict, Verdict::Incomplete);
}

#[test]
fn findings_that_somebody_answers_for_stand_behind_the_others() {
    let mut stage = Stage::new();
    let complaint = |line: u32, gravity| Diagnostic {
        file: "cluster.yaml".to_owned(),
        line,
        column: 1,
        message: "m".to_owned(),
        help: None,
        gravity,
        check: Some(check::CFG_VIP_OUTSIDE_POOLS.id),
    };
    stage.complaints = vec![complaint(1, Gravity::Fail), complaint(2, Gravity::Warn)];
    let selector = Selector {
        line: Some(1),
        ..Selector::default()
    };
    stage
        .waivers
        .push(waiver(check::CFG_VIP_OUTSIDE_POOLS.id, selector, "2025-01-01"));
    let report = stage.report();
    let lines: Vec<u32> = report
        .findings
        .iter()
        .map(|finding| finding.places[0].line)
        .collect();
    assert_eq!(lines, [2, 1]);
    assert_eq!(report.verdict, Verdict::Warned);
}
