mod chance;
mod counted;
mod families;
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
            CP, LB, Stage, W1, W2, firewalld_that_accepts, nft_that_drops, nft_that_drops_answers,
            nft_that_drops_from, node,
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
fn a_port_that_a_firewalld_zone_lacks_is_one_finding_with_the_zones_own_commands() {
    let rejected = Signal::Icmp {
        icmp_type: 3,
        code: 13,
        offender: Some(CP.parse().unwrap()),
    };
    let stage = [LB, W1, W2].iter().fold(Stage::new(), |stage, src| {
        stage.sees(src, CP, "6444", rejected.clone())
    });
    let report = stage.filters(CP, firewalld_that_accepts(&[10250, 4240])).report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::HostFirewall, Some(node(CP)))
    );
    assert_eq!(
        (finding.status, finding.affects_total, finding.attempts),
        (Status::Fail, 3, 9)
    );
    assert!(
        finding.cause.detail.contains("firewalld zone public on 10.0.0.1"),
        "{}",
        finding.cause.detail
    );
    assert!(
        finding.cause.detail.contains("lacks 6444/tcp"),
        "{}",
        finding.cause.detail
    );
    assert_eq!(
        finding.fix.commands,
        [
            "firewall-cmd --zone=public --add-port=6444/tcp",
            "firewall-cmd --permanent --zone=public --add-port=6444/tcp"
        ]
    );
    assert_eq!(report.verdict, Verdict::Failed);
}

#[test]
fn on_a_live_node_nobody_is_told_to_reload_firewalld() {
    let stage = silent_at(Stage::new(), &[LB, W1, W2], CP, "6444")
        .filters(CP, firewalld_that_accepts(&[10250, 4240]))
        .knows(CP, |facts| facts.life = Life::Live);
    let report = stage.report();
    let fix = &only(&report).fix;
    assert!(fix.text.contains("do not reload"), "{}", fix.text);
    assert!(fix.commands.iter().all(|command| !command.contains("reload")));
}

#[test]
fn the_packet_filter_that_is_read_last_counts() {
    let stage = silent_at(Stage::new(), &[LB, W1, W2], CP, "6444").learns(CP, |facts| {
        facts.ruleset = Some(nft_that_drops(Hook::Input, &[6444]))
    });
    let report = stage.report();
    assert!(only(&report).cause.detail.contains("rule with handle 1"));
}

#[test]
fn an_nftables_rule_is_named_and_opened_ahead_of_itself() {
    let stage = silent_at(Stage::new(), &[LB, W1, W2], CP, "6444");
    let report = stage.filters(CP, nft_that_drops(Hook::Input, &[6444])).report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::HostFirewall, Some(node(CP)))
    );
    assert!(
        finding
            .cause
            .detail
            .contains("table inet filter, chain input, rule with handle 1"),
        "{}",
        finding.cause.detail
    );
    assert_eq!(
        finding.fix.commands[0],
        "nft insert rule inet filter input ip saddr { 10.0.0.2, 10.0.1.1, 10.0.1.2 } tcp dport { 6444 } accept"
    );
}

#[test]
fn two_rules_on_one_node_are_two_findings() {
    let stage = silent_at(Stage::new(), &[LB, W1, W2], CP, "6444,10250");
    let report = stage
        .filters(CP, nft_that_drops(Hook::Input, &[6444, 10250]))
        .report();
    assert_eq!(report.findings.len(), 2, "{:#?}", report.findings);
    assert!(report.findings.iter().all(|finding| finding.affects_total == 3));
}

#[test]
fn a_rule_that_stops_both_transports_in_both_families_is_one_finding() {
    let mut stage = Stage::new().dual();
    for family in [Family::Ipv4, Family::Ipv6] {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            stage = stage
                .over(family, protocol)
                .rule("both", "7946", &[LB, W1], &[CP]);
            stage = silent_at(stage, &[LB, W1], CP, "7946");
        }
    }
    let report = stage.filters(CP, nft_that_drops(Hook::Input, &[7946])).report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node, finding.affects_total),
        (CauseKind::HostFirewall, Some(node(CP)), 8)
    );
}

#[test]
fn a_node_that_drops_everything_is_one_finding_even_without_its_rules() {
    let report = silent_at(Stage::new(), &[LB, W1, W2], CP, "4240,6444,10250").report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::HostFirewall, Some(node(CP)))
    );
    assert_eq!(finding.affects_total, 9);
    assert!(
        finding.cause.detail.contains("by its capture"),
        "{}",
        finding.cause.detail
    );
}

#[test]
fn questions_that_vanish_behind_a_filter_that_accepts_are_a_host_setting() {
    let stage = silent_at(Stage::new(), &[W1], CP, "6444").filters(CP, nft_that_drops(Hook::Input, &[1]));
    let report = stage.report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::HostSetting, Some(node(CP)))
    );
    assert!(
        finding
            .fix
            .commands
            .iter()
            .any(|command| command.contains("rp_filter"))
    );
}

#[test]
fn a_node_that_does_not_let_its_own_questions_out_is_to_blame_itself() {
    let stage = [CP, LB, W2].iter().fold(Stage::new(), |stage, dst| {
        stage.silent(W1, dst, "10250", Some((0, 0)), Some((0, 0)))
    });
    let report = stage.filters(W1, nft_that_drops(Hook::Output, &[10250])).report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::HostFirewall, Some(node(W1)))
    );
    assert!(
        finding.fix.commands[0].starts_with("nft insert rule inet filter output ip daddr"),
        "{:?}",
        finding.fix
    );
}

#[test]
fn answers_that_arrive_and_go_no_further_are_the_sources_own_filter() {
    let report = Stage::new()
        .silent(W1, CP, "6444", Some((1, 1)), Some((1, 1)))
        .report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::HostFirewall, Some(node(W1)))
    );
}

#[test]
fn a_filter_between_two_subnets_is_one_finding_that_names_both() {
    let mut stage = Stage::new();
    for src in [CP, LB] {
        for dst in [W1, W2] {
            stage = stage.silent(src, dst, "10250", Some((1, 0)), Some((0, 0)));
        }
    }
    let report = stage.report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::PathFilter, None)
    );
    assert_eq!(finding.cause.between, Some([nodes(&[CP, LB]), nodes(&[W1, W2])]));
    assert!(
        finding.cause.detail.contains("from 10.0.0.0/24 to 10.0.1.0/24"),
        "{}",
        finding.cause.detail
    );
    assert!(
        finding.fix.commands[0].starts_with("ssh 10.0.0.1 nc -vz -w 3 10.0.1.1 10250"),
        "{:?}",
        finding.fix
    );
}

#[test]
fn a_filter_that_stops_one_direction_whole_also_explains_answers_lost_the_other_way() {
    let mut stage = Stage::new();
    for src in [CP, LB] {
        for dst in [W1, W2] {
            stage = stage.silent(src, dst, "4240,10250", Some((1, 0)), Some((0, 0)));
            let back = if src == CP {
                "4240,6444,10250"
            } else {
                "4240,10250"
            };
            stage = stage.silent(dst, src, back, Some((1, 0)), Some((1, 1)));
        }
    }
    let report = stage.report();
    let finding = only(&report);
    assert_eq!(finding.cause.kind, CauseKind::PathFilter);
    assert_eq!(finding.cause.between, Some([nodes(&[CP, LB]), nodes(&[W1, W2])]));
    assert_eq!(finding.affects_total, 18);
}

#[test]
fn a_cut_in_both_directions_is_one_finding() {
    let mut stage = Stage::new();
    for src in [CP, LB] {
        for dst in [W1, W2] {
            stage = stage.silent(src, dst, "4240,10250", Some((1, 0)), Some((0, 0)));
            let back = if src == CP {
                "4240,6444,10250"
            } else {
                "4240,10250"
            };
            stage = stage.silent(dst, src, back, Some((1, 0)), Some((0, 0)));
        }
    }
    let report = stage.report();
    let finding = only(&report);
    assert!(
        finding.cause.detail.contains("nothing passes between"),
        "{}",
        finding.cause.detail
    );
}

#[test]
fn a_port_that_is_filtered_both_ways_between_two_subnets_is_one_finding() {
    let mut stage = Stage::new();
    for (a, b) in [(CP, W1), (CP, W2), (LB, W1), (LB, W2)] {
        stage = stage.silent(a, b, "10250", Some((1, 0)), Some((0, 0)));
        stage = stage.silent(b, a, "10250", Some((1, 0)), Some((0, 0)));
    }
    let report = stage.report();
    let detail = &only(&report).cause.detail;
    assert!(detail.contains("between 10.0.0.0/24 and 10.0.1.0/24"), "{detail}");
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
fn a_router_that_rejects_is_named() {
    let rejected = Signal::Icmp {
        icmp_type: 3,
        code: 13,
        offender: Some("10.0.0.254".parse().unwrap()),
    };
    let report = Stage::new().sees(LB, W1, "10250", rejected).report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::PathReject, None)
    );
    assert!(
        finding.cause.detail.contains("10.0.0.254 with ICMP 3/13"),
        "{}",
        finding.cause.detail
    );
}

#[test]
fn a_reset_on_the_way_is_told_from_the_hosts_own() {
    let reset = |questions, resets| {
        let stage = Stage::new()
            .sees(LB, W1, "10250", Signal::Refused)
            .sees_again(LB, W1, "10250", Signal::Refused)
            .captures(W1, End::Destination, LB, "10250", questions, 0, resets);
        only(&stage.report()).cause.kind
    };
    assert_eq!(reset(0, 0), CauseKind::PathReject);
    assert_eq!(reset(1, 1), CauseKind::HostFirewall);
}

#[test]
fn answers_lost_on_the_way_back_are_a_return_path_filter() {
    let report = Stage::new()
        .silent(LB, W1, "10250", Some((1, 0)), Some((1, 1)))
        .report();
    assert_eq!(only(&report).cause.kind, CauseKind::ReturnPathFilter);
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
fn answers_that_find_no_neighbour_share_the_cause_of_the_questions_that_find_none() {
    let stage = Stage::of(&[CP, W1])
        .rule("there", "10250", &[CP], &[W1])
        .rule("back", "4240", &[W1], &[CP])
        .sees(CP, W1, "10250", Signal::NeighborUnresolved);
    let report = silent_at(stage, &[W1], CP, "4240").report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.affects_total),
        (CauseKind::NotAdjacent, 2)
    );
}

#[test]
fn what_is_lost_one_way_between_hosts_that_do_not_find_each_other_is_one_fault() {
    // The one learns the link address of the other from its question, and its own frames are swallowed.
    let report = Stage::of(&[CP, W1])
        .rule("there", "10250,10256", &[CP], &[W1])
        .rule("back", "4240,7000", &[W1], &[CP])
        .sees(CP, W1, "10250,10256", Signal::NeighborUnresolved)
        .sees(W1, CP, "4240,7000", Signal::Silence)
        .sees_again(W1, CP, "4240", Signal::Silence)
        .captures(W1, End::Source, CP, "4240", 3, 0, 0)
        .captures(CP, End::Destination, W1, "4240", 0, 0, 0)
        .report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.affects_total),
        (CauseKind::NotAdjacent, 4)
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
fn a_proven_hello_from_a_strange_address_is_source_translation() {
    let closed = Signal::Unproven {
        how: Unproven::Closed,
    };
    let report = Stage::new()
        .sees(LB, W1, "10250", closed.clone())
        .sees_again(LB, W1, "10250", closed)
        .captures(W1, End::Destination, LB, "10250", 0, 0, 0)
        .hears_a_stranger(W1, "192.0.2.1", "10250", 1)
        .report();
    let cause = &only(&report).cause;
    assert_eq!((cause.kind, cause.node), (CauseKind::SourceNat, None));
    assert!(cause.detail.contains("192.0.2.1"), "{}", cause.detail);
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
fn loss_on_one_nodes_link_is_one_warning_around_that_node() {
    let mut stage = Stage::new();
    for other in [CP, LB, W1] {
        for (src, dst, port) in [(W2, other, "10250"), (other, W2, "4240")] {
            stage = stage
                .sees(src, dst, port, Signal::Silence)
                .sees_again(src, dst, port, Signal::Verified);
        }
    }
    let report = stage.report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.status),
        (CauseKind::LossyPath, Status::Warn)
    );
    let [a, b] = finding.cause.between.clone().unwrap();
    assert!(a == nodes(&[W2]) || b == nodes(&[W2]), "{a:?} {b:?}");
    assert_eq!(report.verdict, Verdict::Warned);
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

#[test]
fn a_rejection_that_the_routers_rate_limit_hid_is_the_same_cause() {
    let rejected = Signal::Icmp {
        icmp_type: 3,
        code: 13,
        offender: Some("10.0.0.254".parse().unwrap()),
    };
    let stage = Stage::new()
        .sees(CP, W1, "10250", rejected.clone())
        .sees(LB, W1, "10250", rejected.clone())
        .sees(LB, W2, "10250", rejected)
        .silent(CP, W2, "10250", Some((1, 0)), Some((0, 0)));
    let report = stage.report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.affects_total),
        (CauseKind::PathReject, 4)
    );
}

#[test]
fn a_host_that_drops_from_one_subnet_is_told_from_a_path_that_drops_from_the_other() {
    // The host's rule names its sources; the path's victims were not all looked at twice.
    let from = |stage: Stage, src: &str| stage.sees(src, CP, "6444", Signal::Silence);
    let stage = silent_at(Stage::new(), &[LB], CP, "6444");
    let stage = from(from(stage, W1), W2).filters(CP, nft_that_drops_from(LB, 6444));
    let report = stage.report();
    let kinds: Vec<CauseKind> = report.findings.iter().map(|finding| finding.cause.kind).collect();
    assert_eq!(
        kinds,
        [CauseKind::PathFilter, CauseKind::HostFirewall],
        "{:#?}",
        report.findings
    );
    assert_eq!(
        report.findings[0].cause.between,
        Some([nodes(&[W1, W2]), nodes(&[CP])])
    );
}

#[test]
fn a_host_that_swallows_its_own_answers_is_named_for_tests_that_nobody_watched() {
    let stage = silent_at(Stage::new(), &[LB], CP, "6444").sees(W1, CP, "6444", Signal::Silence);
    let report = stage.filters(CP, nft_that_drops_answers(6444)).report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.affects_total),
        (CauseKind::HostFirewall, 2)
    );
    assert!(
        finding.fix.commands[0].contains("sport { 6444 }"),
        "{:?}",
        finding.fix
    );
}

#[test]
fn a_rule_in_another_table_of_iptables_is_opened_in_that_table() {
    let mut ruleset = nft_that_drops(Hook::Prerouting, &[6444]);
    let table = &mut ruleset.tables[0];
    table.family = TableFamily::Ip;
    "raw".clone_into(&mut table.name);
    "PREROUTING".clone_into(&mut table.chains[0].name);
    let report = silent_at(Stage::new(), &[LB, W1, W2], CP, "6444")
        .filters(CP, ruleset)
        .report();
    assert_eq!(
        only(&report).fix.commands,
        ["iptables -t raw -I PREROUTING -s 10.0.0.2,10.0.1.1,10.0.1.2 -p tcp --dport 6444 -j ACCEPT"]
    );
}

#[test]
fn rules_of_the_legacy_iptables_are_named_as_what_was_not_read() {
    let mut ruleset = nft_that_drops(Hook::Input, &[1]);
    ruleset.legacy_tables.push("ip filter".to_owned());
    let report = silent_at(Stage::new(), &[LB, W1, W2], CP, "6444")
        .filters(CP, ruleset)
        .report();
    let finding = only(&report);
    assert!(
        finding
            .cause
            .detail
            .ends_with("since the legacy iptables (ip filter) were not read"),
        "{}",
        finding.cause.detail
    );
    assert!(
        finding.fix.commands.contains(&"iptables-legacy-save".to_owned()),
        "{:?}",
        finding.fix
    );
    assert!(
        !finding.fix.text.contains("CAP_NET_ADMIN"),
        "{}",
        finding.fix.text
    );
}

#[test]
fn a_missing_route_explains_the_answers_that_do_not_leave() {
    for (signal, kind_of_route) in [
        (Signal::NoRoute, "blackhole"),
        (Signal::LocalDenied { errno: 13 }, "prohibit"),
    ] {
        let stage = Stage::of(&[CP, W1])
            .rule("there", "10250", &[CP], &[W1])
            .rule("back", "4240", &[W1], &[CP])
            .sees(CP, W1, "10250", signal);
        let report = silent_at(stage, &[W1], CP, "4240")
            .filters(CP, nft_that_drops(Hook::Input, &[1]))
            .report();
        let finding = only(&report);
        assert_eq!(
            (finding.cause.kind, finding.cause.node, finding.affects_total),
            (CauseKind::HostSetting, Some(node(CP)), 2)
        );
        assert!(finding.fix.text.contains(kind_of_route), "{}", finding.fix.text);
        assert_eq!(finding.fix.commands[0], "ip route get 10.0.1.1");
    }
}
