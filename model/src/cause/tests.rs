mod between;
mod chance;
mod counted;
mod families;
mod host;
mod moment;
mod remedy;
mod retest;
mod service;
mod twin;

use crate::{
    cause::CauseKind,
    evidence::{LostWhy, SwarmEvent},
    firewall::{Hook, TableFamily},
    id::NodeId,
    observation::{BindFailure, End, Life, Signal, Unproven},
    port::{Family, Protocol},
    report::{
        Finding, FindingSeverity, Report, Status, Verdict,
        stage::{
            CP, LB, Stage, W1, W2, commands_by_ssh, firewalld_that_accepts, nft_that_drops,
            nft_that_drops_answers, nft_that_drops_from, node,
        },
    },
};

fn only(report: &Report) -> &Finding {
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    &report.findings[0]
}

fn nodes(texts: &[&str]) -> Vec<NodeId> {
    texts.iter().map(|text| node(text)).collect()
}

/// Silence that reaches the destination's capture, from every given source.
fn silent_at(stage: Stage, sources: &[&str], dst: &str, at: &str) -> Stage {
    sources.iter().fold(stage, |stage, src| {
        stage.silent(src, dst, at, Some((1, 0)), Some((1, 0)))
    })
}

#[test]
fn a_cluster_on_which_everything_answers_has_no_finding_and_passes() {
    let report = Stage::new().report();
    assert_eq!(report.findings, []);
    assert_eq!(report.verdict, Verdict::Passed);
}

#[test]
fn an_explanation_that_predicts_a_failure_where_there_is_success_is_not_taken() {
    // Everything to W1 on 10250 fails, W2 in the same subnet answers: it is not the subnet.
    let stage = [CP, LB, W2].iter().fold(Stage::new(), |stage, src| {
        stage.silent(src, W1, "10250", Some((1, 0)), Some((0, 0)))
    });
    let report = stage.report();
    let finding = only(&report);
    assert_eq!(finding.cause.between, Some([nodes(&[CP, LB, W2]), nodes(&[W1])]));
}

#[test]
fn a_sampled_second_look_speaks_for_what_failed_beside_it() {
    // Of all that failed only one test was looked at twice.
    let stage = Stage::new()
        .sees(LB, CP, "4240,10250", Signal::Silence)
        .sees(W1, CP, "6444,10250", Signal::Silence)
        .silent(LB, CP, "6444", Some((1, 0)), Some((1, 0)));
    let report = stage.report();
    let found: Vec<_> = report
        .findings
        .iter()
        .map(|finding| (finding.cause.kind, finding.cause.node))
        .collect();
    assert!(
        found.contains(&(CauseKind::HostFirewall, Some(node(CP)))),
        "{found:?}"
    );
    let firewall = report
        .findings
        .iter()
        .find(|finding| finding.cause.kind == CauseKind::HostFirewall)
        .unwrap();
    // LB's three ports, and W1's 6444, of which a neighbour tells; W1's 10250 has the same destination as LB's, unsampled.
    assert!(firewall.affects_total >= 4, "{:#?}", report.findings);
}

#[test]
fn thousands_of_ports_that_nobody_knows_the_holders_of_are_one_failure() {
    let why = BindFailure::Taken {
        process: None,
        pid: None,
    };
    let taken = |ports: &str| {
        let stage = Stage::new().rule("node.range", "20000-21999", &[LB], &[W1]);
        stage.cannot_bind(W1, ports, why.clone()).report()
    };
    let finding = only(&taken("20000-21999")).clone();
    assert_eq!(
        (finding.cause.kind, finding.cause.node, finding.affects_total),
        (CauseKind::PortTaken, Some(node(W1)), 2_000)
    );
    let detail = &finding.cause.detail;
    assert!(
        detail.contains("20000-21999/tcp") && detail.contains("2000 others"),
        "{detail}"
    );
    // So few may each be another matter.
    assert_eq!(taken("20000-20015").findings.len(), 16);
}

#[test]
fn a_port_that_is_taken_is_one_failure_over_all_its_tests() {
    let why = BindFailure::Taken {
        process: Some("python3".to_owned()),
        pid: Some(4711),
    };
    let garbage = Signal::Unproven {
        how: Unproven::Garbage,
    };
    let stage = [CP, LB, W2]
        .iter()
        .fold(Stage::new().cannot_bind(W1, "10250", why), |stage, src| {
            stage.sees(src, W1, "10250", garbage.clone())
        });
    let report = stage.report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::PortTaken, Some(node(W1)))
    );
    assert_eq!((finding.status, finding.affects_total), (Status::Fail, 3));
    assert!(
        finding
            .cause
            .detail
            .contains("python3 (pid 4711) holds 10250/tcp"),
        "{}",
        finding.cause.detail
    );
    assert!(
        finding.fix.commands[0].contains("sport = :10250"),
        "{:?}",
        finding.fix.commands
    );
    assert_eq!((report.verdict, report.not_measured.len()), (Verdict::Failed, 1));
}

#[test]
fn a_lost_probe_makes_the_run_incomplete_and_leaves_the_rest() {
    let lost = SwarmEvent::Lost {
        node: node(W2),
        why: LostWhy::StreamEnded,
    };
    let report = Stage::new()
        .reports_nothing(W2)
        .event(lost)
        .sees(LB, W2, "10250", Signal::Silence)
        .report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::ProbeLost, Some(node(W2)))
    );
    assert_eq!(finding.status, Status::NotMeasured);
    // Its own seven tests, and the one that failed toward it.
    assert_eq!(finding.affects_total, 8);
    assert_eq!(report.verdict, Verdict::Incomplete);
    assert_eq!((report.coverage.planned, report.coverage.measured), (27, 19));
}

#[test]
fn a_lost_probe_is_a_finding_even_if_nothing_of_it_is_missing() {
    let report = Stage::new()
        .event(SwarmEvent::Lost {
            node: node(W2),
            why: LostWhy::Silent,
        })
        .report();
    assert_eq!(
        (only(&report).affects_total, report.verdict),
        (0, Verdict::Incomplete)
    );
}

#[test]
fn a_probe_that_never_joined_is_named_once() {
    let stage = [CP, LB, W1].iter().fold(Stage::new().without(W2), |stage, src| {
        stage.sees(src, W2, "4240,10250", Signal::NeighborUnresolved)
    });
    let report = stage.report();
    let finding = only(&report);
    assert!(
        finding.cause.detail.contains("did not join"),
        "{}",
        finding.cause.detail
    );
}

#[test]
fn of_a_range_that_is_shared_what_one_source_asked_is_told_as_the_range() {
    let shared = |failing: &str| {
        let stage = Stage::of(&[CP, LB, W1])
            .rule("nodeport", "30000-30039", &[CP, LB], &[W1])
            .shared();
        let report = silent_at(stage, &[CP], W1, failing)
            .captures(CP, End::Source, W1, "30000", 3, 0, 0)
            .captures(W1, End::Destination, CP, "30000", 0, 0, 0)
            .report();
        only(&report).cause.detail.clone()
    };
    // CP asks the even ports.
    let even = |first: u16, last: u16| {
        let ports: Vec<String> = (first..=last).step_by(2).map(|port| port.to_string()).collect();
        ports.join(",")
    };
    let all = shared(&even(30000, 30038));
    assert!(all.contains("30000-30039/tcp (20 of them asked) from"), "{all}");
    let some = shared(&even(30000, 30020));
    assert!(some.contains("30000-30020/tcp (11 of them asked) from"), "{some}");
}

#[test]
fn why_a_probe_was_refused_is_told() {
    let refused = SwarmEvent::NotJoined {
        node: node(W2),
        refused: Some("join: the join string of node W2 expired 7 s ago".to_owned()),
    };
    let report = Stage::new().event(refused).without(W2).report();
    let told = &only(&report).cause.detail;
    assert!(
        told.contains("did not join: it was refused (the join string of node W2 expired 7 s ago)"),
        "{told}"
    );
}

#[test]
fn a_redirection_on_a_host_is_that_hosts_wrong_responder() {
    let garbage = Signal::Unproven {
        how: Unproven::Garbage,
    };
    let stage = Stage::new()
        .sees(LB, W1, "10250", garbage.clone())
        .sees_again(LB, W1, "10250", garbage.clone())
        .captures(W1, End::Destination, LB, "10250", 1, 1, 0);
    let report = stage.report();
    assert_eq!(only(&report).cause.node, Some(node(W1)));
    let on_the_way = Stage::new()
        .sees(LB, W1, "10250", garbage.clone())
        .sees_again(LB, W1, "10250", garbage)
        .captures(W1, End::Destination, LB, "10250", 0, 0, 0);
    let report = on_the_way.report();
    assert_eq!(
        (only(&report).cause.kind, only(&report).cause.node),
        (CauseKind::WrongResponder, None)
    );
}

#[test]
fn what_a_probe_may_not_bind_is_a_host_setting_and_not_measured() {
    for (why, status) in [
        (BindFailure::Privilege, Status::NotMeasured),
        (BindFailure::OpenFiles, Status::NotMeasured),
        (BindFailure::AddressMissing, Status::Fail),
    ] {
        let report = Stage::new()
            .cannot_bind(W1, "4240,10250", why)
            .sees(LB, W1, "10250", Signal::Refused)
            .report();
        let finding = only(&report);
        assert_eq!(
            (finding.cause.kind, finding.cause.node),
            (CauseKind::HostSetting, Some(node(W1)))
        );
        assert_eq!((finding.status, finding.affects_total), (status, 6));
    }
}

#[test]
fn a_finding_warns_only_if_all_its_rules_do() {
    let drops = |extra: &str| {
        let stage = Stage::new()
            .rule("worker.nodeport", "30000-32767", &[LB], &[W1])
            .that_warns();
        let report = silent_at(stage, &[LB], W1, &format!("{extra}30000-32767")).report();
        let finding = only(&report);
        (finding.status, finding.severity, report.verdict)
    };
    assert_eq!(drops(""), (Status::Warn, FindingSeverity::Warn, Verdict::Warned));
    assert_eq!(
        drops("10250,"),
        (Status::Fail, FindingSeverity::Fail, Verdict::Failed)
    );
}

#[test]
fn a_port_that_must_not_answer_is_an_exposure_only_if_it_does() {
    let stage = Stage::of(&[CP, LB])
        .rule("cp.scheduler", "10259", &[LB], &[CP])
        .that_blocks();
    let report = stage.clone().report();
    assert_eq!(only(&report).cause.kind, CauseKind::Exposure);
    assert_eq!(stage.sees(LB, CP, "10259", Signal::Refused).report().findings, []);
}

#[test]
fn two_faults_of_different_kinds_stay_two() {
    let stage =
        silent_at(Stage::new(), &[LB, W1, W2], CP, "6444").filters(CP, nft_that_drops(Hook::Input, &[6444]));
    let stage = stage.silent(LB, W1, "10250", Some((1, 0)), Some((0, 0)));
    let stage = stage.silent(LB, W2, "10250", Some((1, 0)), Some((0, 0)));
    let kinds: Vec<CauseKind> = stage
        .report()
        .findings
        .iter()
        .map(|finding| finding.cause.kind)
        .collect();
    assert_eq!(kinds, [CauseKind::HostFirewall, CauseKind::PathFilter]);
}
