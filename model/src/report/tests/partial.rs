//! Reports of runs that leave something out: nodes that stay away, tests that are not made again, groups.

use crate::{
    evidence::{Group, Retest, Retested, SwarmEvent},
    id::RunId,
    observation::{NotTried, Signal},
    port::{Family, Protocol},
    report::{
        Change, Report, Status, Verdict, check,
        stage::{CP, LB, Stage, W1, W2, node, ports},
    },
};

fn partial() -> Stage {
    let mut stage = Stage::new();
    stage.parameters.partial = true;
    stage
}

/// A retest of four tests of which one is fixed, one fails as before, one is left out with its node, and of one port nobody
/// asks any more.
pub(super) fn retest() -> Stage {
    let was = |src: &str, dst: &str, at: &str, was: &str| Retested {
        src: node(src),
        dst: node(dst),
        family: Family::Ipv4,
        protocol: Protocol::Tcp,
        ports: ports(at),
        was: was.to_owned(),
    };
    let mut stage = Stage::of(&[CP, LB, W1, W2])
        .rule("kubelet", "10250", &[CP, LB], &[W1])
        .rule("health", "4240", &[CP], &[W2])
        .sees(LB, W1, "10250", Signal::Silence)
        .without(W2);
    stage.parameters.partial = true;
    stage.parameters.retest = Some(Retest {
        run: RunId::from_bytes([9; 8]),
        report_sha256: "ab".repeat(32),
        tests: vec![
            was(CP, W1, "10250,12345", "rejected"),
            was(LB, W1, "10250", "filtered_forward"),
            was(CP, W2, "4240", "not_measured"),
        ],
    });
    stage
}

#[test]
fn who_stays_away_of_a_partial_run_is_listed_and_missed_by_nobody() {
    let report = partial().without(W2).report();
    assert_eq!(report.findings, []);
    assert_eq!(
        report.absent.iter().map(|absent| absent.node).collect::<Vec<_>>(),
        [node(W2)]
    );
    assert!(
        report
            .reachability
            .iter()
            .all(|row| row.src != node(W2) && row.dst != node(W2) && row.outcome == "open")
    );
    // Three nodes are left: 6 pairs x 2 ports, and 6444 from two.
    let coverage = &report.coverage;
    assert_eq!((coverage.planned, coverage.measured, coverage.pairs), (14, 14, 6));
    assert_eq!(report.verdict, Verdict::Warned);
    let left_out = report.checks.iter().find(|row| row.subject == W2).unwrap();
    assert_eq!(
        (left_out.id.as_str(), left_out.status),
        (check::SWARM.id, Status::Warn)
    );
}

#[test]
fn without_partial_who_stays_away_makes_the_run_incomplete() {
    let report = Stage::new().without(W2).report();
    assert_eq!((report.verdict, report.absent.len()), (Verdict::Incomplete, 0));
}

#[test]
fn a_probe_that_joined_and_was_lost_is_missed_in_a_partial_run_too() {
    let lost = SwarmEvent::Lost {
        node: node(W2),
        why: crate::evidence::LostWhy::Silent,
    };
    let report = partial().reports_nothing(W2).event(lost).report();
    assert_eq!((report.verdict, report.absent.len()), (Verdict::Incomplete, 0));
}

#[test]
fn a_partial_run_to_which_nobody_came_has_passed_nothing() {
    let nobody = [CP, LB, W1, W2]
        .iter()
        .fold(partial(), |stage, who| stage.without(who));
    let report = nobody.report();
    assert_eq!((report.verdict, report.absent.len()), (Verdict::Incomplete, 4));
}

#[test]
fn a_partial_run_to_which_the_workstation_alone_came_has_passed_nothing() {
    let stage = partial().rule("ssh", "22", &["coordinator"], &[CP, W1]);
    let alone = [CP, LB, W1, W2]
        .iter()
        .fold(stage, |stage, who| stage.without(who));
    let report = alone.report();
    assert_eq!((report.verdict, report.absent.len()), (Verdict::Incomplete, 4));
}

#[test]
fn shares_of_who_stays_away_fall_to_those_who_came() {
    let shared = |stage: Stage| {
        stage
            .rule("nodeport", "30000-30008", &[CP, LB, W2], &[W1])
            .shared()
            .report()
            .coverage
    };
    let all = shared(Stage::of(&[CP, LB, W1, W2]));
    assert_eq!((all.planned, all.inferred), (9, 18));
    let mut rest = Stage::of(&[CP, LB, W1, W2]).without(W2);
    rest.parameters.partial = true;
    let rest = shared(rest);
    // Nothing is inferred of a port that nobody tried.
    assert_eq!((rest.planned, rest.measured, rest.inferred), (9, 9, 9));
}

#[test]
fn nothing_is_inferred_from_a_test_that_was_not_made_nor_for_a_source_that_took_no_part() {
    let stage = || {
        Stage::of(&[CP, LB, W1, W2])
            .rule("nodeport", "30000-30008", &[CP, LB, W2], &[W1])
            .shared()
    };
    let inferred = |stage: Stage| stage.report().coverage.inferred;
    assert_eq!(inferred(stage()), 18);
    // Three of nine ports were W2's share: nobody measured them, and of the others nothing is known for W2.
    assert_eq!(inferred(stage().without(W2)), 6);
    let refused = Signal::NotTried {
        why: NotTried::Policy,
    };
    assert_eq!(inferred(stage().sees(LB, W1, "30001", refused)), 16);
}

#[test]
fn what_a_source_tries_beyond_its_share_is_judged_and_inferred_no_more() {
    let stage = Stage::of(&[CP, LB, W1])
        .rule("nodeport", "30000-30009", &[CP, LB], &[W1])
        .shared();
    let plain = stage.report();
    assert_eq!((plain.coverage.planned, plain.coverage.inferred), (10, 10));
    // CP has the even ports; one of LB's fails for it, too.
    let report = stage
        .sees(LB, W1, "30001", Signal::Silence)
        .sees(CP, W1, "30001,30003", Signal::Silence)
        .report();
    assert_eq!(
        (
            report.coverage.planned,
            report.coverage.measured,
            report.coverage.inferred
        ),
        (12, 12, 8)
    );
    let failing: Vec<String> = report
        .reachability
        .iter()
        .filter(|row| row.outcome == "filtered")
        .map(|row| format!("{} {}", row.src, row.ports))
        .collect();
    assert_eq!(failing, [format!("{CP} 30001,30003"), format!("{LB} 30001")]);
    assert!(report.reachability.iter().all(|row| row.rule == "nodeport"));
}

#[test]
fn a_source_without_a_share_of_a_small_range_is_judged_by_what_it_tried() {
    let stage = Stage::of(&[CP, LB, W1, W2])
        .rule("few", "30000-30001", &[CP, LB, W2], &[W1])
        .shared();
    assert_eq!(
        (stage.report().coverage.pairs, stage.report().coverage.inferred),
        (2, 4)
    );
    let tried = stage.sees(W2, W1, "30000", Signal::Refused).report();
    assert_eq!((tried.coverage.pairs, tried.coverage.inferred), (3, 3));
}

#[test]
fn a_retest_says_what_became_of_each_failure() {
    let report = retest().report();
    let summary = report.retest.unwrap();
    assert_eq!((summary.tests, summary.fixed, summary.still_failing), (4, 1, 1));
    assert_eq!((summary.not_measured, summary.left_out), (0, 2));
    let change = |was: &str, now: &str| Change {
        was: was.to_owned(),
        now: now.to_owned(),
        tests: 1,
    };
    assert_eq!(
        summary.changes,
        [change("filtered_forward", "filtered"), change("rejected", "open")]
    );
    assert_eq!(report.verdict, Verdict::Failed);
    assert_eq!(Stage::new().report().retest, None);
}

#[test]
fn what_must_not_answer_is_fixed_when_it_answers_no_more() {
    let of = |signal: Signal| {
        let mut stage = Stage::of(&[CP, W1])
            .rule("local", "9101", &[CP], &[W1])
            .that_warns()
            .that_blocks()
            .sees(CP, W1, "9101", signal);
        stage.parameters.retest = Some(Retest {
            run: RunId::from_bytes([9; 8]),
            report_sha256: String::new(),
            tests: vec![Retested {
                src: node(CP),
                dst: node(W1),
                family: Family::Ipv4,
                protocol: Protocol::Tcp,
                ports: ports("9101"),
                was: "open_unverified".to_owned(),
            }],
        });
        let summary = stage.report().retest.unwrap();
        (summary.fixed, summary.still_failing)
    };
    assert_eq!(of(Signal::Refused), (1, 0));
    assert_eq!(of(Signal::Connected), (0, 1));
}

/// Only `--only access`: nothing is asked.
fn access(of: Stage) -> Report {
    let mut stage = of;
    stage.parameters.groups = vec![Group::Access];
    stage.report()
}

#[test]
fn access_alone_passes_if_everybody_joined() {
    let report = access(Stage::of(&[CP, W1]));
    assert_eq!((report.verdict, report.coverage.planned), (Verdict::Passed, 0));
    let rows: Vec<(&str, Status)> = report
        .checks
        .iter()
        .filter(|row| row.id == check::ACCESS.id)
        .map(|row| (row.subject.as_str(), row.status))
        .collect();
    assert_eq!(rows, [(CP, Status::Pass), (W1, Status::Pass)]);
}

#[test]
fn a_node_that_cannot_be_reached_or_refuses_to_work_is_no_pass() {
    let absent = access(Stage::of(&[CP, W1]).without(W1));
    assert_eq!(absent.verdict, Verdict::Incomplete);
    let row = |report: &Report| {
        let mut rows = report.checks.iter();
        rows.find(|row| row.id == check::ACCESS.id && row.subject == W1)
            .unwrap()
            .clone()
    };
    assert_eq!(row(&absent).status, Status::NotMeasured);
    let refused = SwarmEvent::Refused {
        node: node(W1),
        reason: "not in the policy".to_owned(),
    };
    let refused = access(Stage::of(&[CP, W1]).event(refused));
    assert!(row(&refused).detail.contains("not in the policy"));
}

#[test]
fn nodes_that_options_left_out_are_named_and_their_swarm_is_told() {
    let mut stage = Stage::of(&[CP, LB, W1, W2]).rule("health", "4240", &[CP], &[LB]);
    assert_eq!(stage.report().excluded, []);
    stage.parameters.nodes = vec![node(CP), node(LB), node(W1)];
    stage.parameters.exclude = vec![node(W1)];
    let report = stage.report();
    assert_eq!(report.excluded, [node(W1), node(W2)]);
    assert_eq!(report.swarm, Some(stage.parameters.swarm));
}

#[test]
fn what_was_not_measured_of_scattered_ports_is_told_in_brief() {
    let scattered: Vec<String> = (0..20).map(|step| (30_002 + 2 * step).to_string()).collect();
    let what = |ports: &str| {
        let report = Stage::of(&[CP, LB])
            .rule("np", ports, &[CP], &[LB])
            .reports_nothing(CP)
            .report();
        report
            .not_measured
            .iter()
            .map(|row| row.what.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        what(&scattered.join(",")),
        [format!("20 tests from {CP}, 20 ports within 30002-30040")]
    );
    assert_eq!(what("9100"), [format!("1 test from {CP}, port 9100")]);
}
