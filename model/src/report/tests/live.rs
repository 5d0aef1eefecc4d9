//! Reports of live nodes, of both families and transports, and of what must not answer.

use crate::{
    cause::CauseKind,
    firewall::Hook,
    observation::{BindFailure, Signal},
    port::{Family, Protocol},
    report::{
        Basis, CheckRow, Report, Status, Verdict, check,
        stage::{CP, LB, Stage, W1, W2, nft_that_drops, node},
    },
};

/// A load balancer, and a live worker with a kubelet, one NodePort of a Service, and a tunnel that both packet filters let
/// through.
pub(super) fn cluster() -> Stage {
    Stage::of(&[LB, W1])
        .rule("kubelet", "10250", &[LB], &[W1])
        .rule("nodeport", "30000-32767", &[LB], &[W1])
        .that_warns()
        .through_services()
        .over(Family::Ipv4, Protocol::Udp)
        .rule("geneve", "6081", &[LB], &[W1])
        .over(Family::Ipv4, Protocol::Tcp)
        .serves(W1, "10250", "kubelet")
        .has_services(W1, "30080")
        .filters(LB, nft_that_drops(Hook::Input, &[]))
        .filters(W1, nft_that_drops(Hook::Input, &[]))
}

fn checks<'a>(report: &'a Report, id: &str) -> Vec<&'a CheckRow> {
    report.checks.iter().filter(|row| row.id == id).collect()
}

#[test]
fn a_live_node_whose_services_answer_passes_and_counts_ports_without_a_service_apart() {
    let report = cluster().report();
    assert_eq!(report.findings, []);
    assert_eq!(report.verdict, Verdict::Passed);
    let coverage = &report.coverage;
    assert_eq!(
        (coverage.planned, coverage.measured, coverage.no_service),
        (3, 3, 2_767)
    );
    assert_eq!(report.not_measured, []);
    let tunnel = report
        .reachability
        .iter()
        .find(|row| row.rule == "geneve")
        .unwrap();
    assert_eq!(
        (tunnel.outcome.as_str(), tunnel.attempts, tunnel.by),
        ("open_unverified", 0, Some(Basis::Ruleset))
    );
}

#[test]
fn every_port_of_a_range_on_a_live_node_is_stated() {
    let report = cluster().report();
    let rows = report.reachability.iter().filter(|row| row.rule == "nodeport");
    let ports: u32 = rows.map(|row| row.ports.count()).sum();
    assert_eq!(ports, 2_768);
    let [row] = checks(&report, check::REACH_TCP.id)[1..] else {
        panic!("two rules")
    };
    assert_eq!(
        row.detail,
        "1 of 1 test open, 2767 not made for want of a Service"
    );
}

#[test]
fn of_a_shared_range_nothing_is_inferred_about_ports_that_no_service_serves() {
    let shared = |live: bool| {
        let stage = Stage::of(&[CP, LB, W1])
            .rule("nodeport", "30000-30009", &[CP, LB], &[W1])
            .through_services()
            .shared();
        let stage = if live {
            stage.has_services(W1, "30000-30001")
        } else {
            stage
        };
        let coverage = stage.report().coverage;
        (coverage.planned, coverage.inferred, coverage.no_service)
    };
    assert_eq!(shared(false), (10, 10, 0));
    // Each of the two Services is tested by one source and inferred for the other.
    assert_eq!(shared(true), (2, 2, 8));
}

#[test]
fn busy_udp_that_nobody_can_judge_makes_the_report_incomplete() {
    let mut blind = cluster();
    blind = blind.knows(W1, |facts| facts.ruleset = None);
    let report = blind.report();
    assert_eq!((report.verdict, report.findings.len()), (Verdict::Incomplete, 1));
    assert_eq!(report.not_measured.len(), 1);
}

#[test]
fn who_serves_the_ports_of_a_live_node_is_named() {
    let mut stage = cluster()
        .rule("health", "4240,10256,31000-31029", &[LB], &[W1])
        .serves(W1, "4240,10256", "agent")
        .cannot_bind(
            W1,
            "22",
            BindFailure::Taken {
                process: None,
                pid: None,
            },
        )
        .rule("ssh", "22", &[LB], &[W1]);
    for port in 0..30 {
        stage = stage.serves(W1, &(31_000 + port).to_string(), &format!("pod-{port}"));
    }
    let report = stage.report();
    let [row] = checks(&report, check::PORTS_FREE.id)[..] else {
        panic!("one node is asked")
    };
    let named = "over IPv4: 34 ports served (22/tcp by the kernel or a process that the probe may not see; 4240,10256/tcp by agent; \
                 10250/tcp by kubelet; 31000/tcp by pod-0; ";
    assert!(row.detail.starts_with(named), "{}", row.detail);
    assert!(
        row.detail.contains("by pod-20; 9 more services)"),
        "{}",
        row.detail
    );
}

#[test]
fn a_live_node_without_an_expected_listener_fails_as_its_rule_says() {
    let report = cluster().rule("webhook", "14443", &[LB], &[W1]).report();
    let [finding] = &report.findings[..] else {
        panic!("{:?}", report.findings)
    };
    assert_eq!(
        (finding.cause.kind, finding.status),
        (CauseKind::NoListener, Status::Fail)
    );
    let [row] = checks(&report, check::PORTS_FREE.id)[..] else {
        panic!("one node is asked")
    };
    assert!(
        row.detail
            .contains("1 port served (10250/tcp by kubelet), 2 ports without a listener"),
        "{}",
        row.detail
    );
}

#[test]
fn rules_of_udp_and_of_tcp_have_checks_of_their_own() {
    let report = cluster().report();
    let subjects = |id| {
        checks(&report, id)
            .iter()
            .map(|row| row.subject.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(subjects(check::REACH_TCP.id), ["kubelet", "nodeport"]);
    assert_eq!(subjects(check::REACH_UDP.id), ["geneve"]);
}

#[test]
fn ports_are_told_of_by_node_and_family() {
    let all = [CP, W1];
    let report = Stage::of(&all)
        .dual()
        .rule("kubelet", "10250", &all, &all)
        .over(Family::Ipv6, Protocol::Tcp)
        .rule("kubelet", "10250", &all, &all)
        .without_ipv6(W1)
        .report();
    let rows = checks(&report, check::PORTS_FREE.id);
    let told: Vec<(String, Status)> = rows.iter().map(|row| (row.detail.clone(), row.status)).collect();
    assert_eq!(
        told[..3]
            .iter()
            .map(|(detail, _)| detail.as_str())
            .collect::<Vec<_>>(),
        [
            "over IPv4: 1 port free",
            "over IPv6: 1 port free",
            "over IPv4: 1 port free"
        ]
    );
    assert!(told[3].0.contains("without the data address") && told[3].1 > Status::Pass);
}

/// 9101 of three nodes, each tried by one other.
fn loopback() -> Stage {
    let all = [CP, LB, W1];
    Stage::of(&all)
        .rule("exporter", "9100", &all, &all)
        .rule("exporter.local", "9101", &all, &all)
        .that_warns()
        .that_blocks()
        .by_one()
}

#[test]
fn a_port_that_answers_and_must_not_is_a_warning_on_its_node_and_nothing_else_is_a_finding() {
    let closed = |stage: Stage, src, dst| stage.sees(src, dst, "9101", Signal::Refused);
    let quiet = closed(loopback(), CP, W1).sees(LB, CP, "9101", Signal::Silence);
    let report = quiet.clone().sees(W1, LB, "9101", Signal::Refused).report();
    assert_eq!((report.findings.len(), report.verdict), (0, Verdict::Passed));
    assert_eq!((report.coverage.planned, report.coverage.inferred), (9, 0));
    let exposed = quiet.sees(W1, LB, "9101", Signal::Connected).report();
    let [finding] = &exposed.findings[..] else {
        panic!("{:?}", exposed.findings)
    };
    assert_eq!(
        (finding.cause.kind, finding.cause.node, finding.status),
        (CauseKind::Exposure, Some(node(LB)), Status::Warn)
    );
    assert_eq!(exposed.verdict, Verdict::Warned);
    let [row] = checks(&exposed, check::EXPOSURE.id)[..] else {
        panic!("one rule")
    };
    assert_eq!(row.detail, "2 of 3 tests closed to the network, 1 not");
}

#[test]
fn a_port_that_must_not_answer_and_does_at_times_is_not_closed() {
    let closed = |stage: Stage, src, dst| stage.sees(src, dst, "9101", Signal::Refused);
    let at_times = closed(closed(loopback(), CP, W1), LB, CP)
        .sees(W1, LB, "9101", Signal::Silence)
        .sees_again(W1, LB, "9101", Signal::Connected);
    let report = at_times.report();
    let kinds: Vec<CauseKind> = report.findings.iter().map(|finding| finding.cause.kind).collect();
    assert!(kinds.contains(&CauseKind::Exposure), "{kinds:?}");
    let [row] = checks(&report, check::EXPOSURE.id)[..] else {
        panic!("one rule")
    };
    assert_eq!(
        (row.status, row.detail.as_str()),
        (Status::Warn, "2 of 3 tests closed to the network, 1 not")
    );
}

#[test]
fn an_exposure_that_was_not_tried_is_not_passed() {
    let report = loopback().without(W2).reports_nothing(CP).report();
    assert_eq!(report.verdict, Verdict::Incomplete);
}
