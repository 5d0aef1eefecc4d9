//! Causes between nodes: filters, rejections and losses on the way, links, translation.

use super::*;

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
fn a_test_is_made_again_where_ssh_goes() {
    let stage = Stage::new().with_ssh_elsewhere();
    let stage = stage.silent(CP, W1, "10250", Some((1, 0)), Some((0, 0)));
    assert_eq!(
        commands_by_ssh(&stage.report()),
        ["ssh -p 2222 172.31.0.1 nc -vz -w 3 10.0.1.1 10250"]
    );
    let udp = Stage::new()
        .with_ssh_elsewhere()
        .over(Family::Ipv4, Protocol::Udp);
    let udp = udp.rule("node.tunnel", "6081", &[CP, W1], &[CP, W1]);
    let report = udp.silent(CP, W1, "6081", Some((1, 0)), Some((0, 0))).report();
    let commands = commands_by_ssh(&report);
    assert!(
        commands[0].starts_with("ssh -p 2222 172.31.1.1 timeout"),
        "{commands:?}"
    );
    assert!(
        commands[1].starts_with("sleep 2; ssh -p 2222 172.31.0.1 'echo | nc -u"),
        "{commands:?}"
    );
}

/// Two nodes and two others hear nothing of each other. What is asked one way does not arrive; of what is asked the other way,
/// so many (questions, answers) are seen where it goes to.
fn cut_between_subnets(seen_of_the_way_back: (u32, u32)) -> Stage {
    let mut stage = Stage::new();
    for src in [CP, LB] {
        for dst in [W1, W2] {
            stage = stage.silent(src, dst, "4240,10250", Some((1, 0)), Some((0, 0)));
            let back = if src == CP {
                "4240,6444,10250"
            } else {
                "4240,10250"
            };
            stage = stage.silent(dst, src, back, Some((1, 0)), Some(seen_of_the_way_back));
        }
    }
    stage
}

#[test]
fn a_filter_that_stops_one_direction_whole_also_explains_answers_lost_the_other_way() {
    let report = cut_between_subnets((1, 1)).report();
    let finding = only(&report);
    assert_eq!(finding.cause.kind, CauseKind::PathFilter);
    assert_eq!(finding.cause.between, Some([nodes(&[CP, LB]), nodes(&[W1, W2])]));
    assert_eq!(finding.affects_total, 18);
}

#[test]
fn a_cut_in_both_directions_is_one_finding() {
    let report = cut_between_subnets((0, 0)).report();
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
        finding
            .cause
            .detail
            .contains("10.0.0.254 with ICMP administratively prohibited (type 3 code 13)"),
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
