//! What a host's kernel counted while tests failed there.

use super::*;
use crate::observation::{Conntrack, HostFacts};

fn counts(name: &'static str, at: u64) -> impl Fn(&mut HostFacts) {
    move |facts| {
        facts.counters.insert(name.to_owned(), at);
    }
}

/// Everybody's questions arrive at the control plane and none is answered, while a counter of it goes up.
fn swallowed_while(name: &'static str, first: u64, last: u64) -> Stage {
    let stage = Stage::new()
        .knows(CP, counts(name, first))
        .learns(CP, counts(name, last));
    silent_at(stage, &[LB, W1, W2], CP, "6444")
}

#[test]
fn packets_that_reverse_path_filtering_dropped_are_named_by_its_counter_and_setting() {
    let report = swallowed_while("TcpExt.IPReversePathFilter", 5, 40).report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::HostSetting, Some(node(CP)))
    );
    assert!(finding.cause.detail.contains("35 packets"), "{finding:#?}");
    let mends = "sysctl -w net.ipv4.conf.eth0.rp_filter=2";
    assert!(
        finding.fix.commands.iter().any(|command| command == mends),
        "{finding:#?}"
    );
}

#[test]
fn questions_that_leave_by_the_way_that_answers_may_not_come_by_have_the_same_cause() {
    let mut stage = swallowed_while("TcpExt.IPReversePathFilter", 5, 40);
    for peer in [W1, W2] {
        stage = stage.silent(CP, peer, "4240,10250", Some((1, 0)), Some((0, 0)));
    }
    let report = stage.report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.affects_total),
        (CauseKind::HostSetting, 7)
    );
    assert!(finding.cause.detail.contains("its own questions"), "{finding:#?}");
}

#[test]
fn a_counter_that_stood_there_before_explains_nothing() {
    let report = swallowed_while("TcpExt.IPReversePathFilter", 40, 40).report();
    assert_eq!(only(&report).cause.kind, CauseKind::HostFirewall);
}

#[test]
fn a_rule_that_stops_it_counts_for_more_than_a_counter() {
    let stage = swallowed_while("TcpExt.IPReversePathFilter", 5, 40);
    let report = stage.filters(CP, nft_that_drops(Hook::Input, &[6444])).report();
    assert_eq!(only(&report).cause.kind, CauseKind::HostFirewall);
}

#[test]
fn a_full_listen_queue_is_too_small_a_limit() {
    let report = swallowed_while("TcpExt.ListenDrops", 0, 9).report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::Capacity, Some(node(CP)))
    );
    assert!(
        finding
            .fix
            .commands
            .iter()
            .any(|command| command.contains("somaxconn"))
    );
}

#[test]
fn a_full_connection_tracking_table_is_told_with_a_limit_that_is_twice_as_high() {
    let stage = swallowed_while("conntrack.drop", 0, 9).learns(CP, |facts| {
        facts.conntrack = Some(Conntrack {
            count: 300_000,
            max: 300_000,
        });
    });
    let report = stage.report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::Capacity, Some(node(CP)))
    );
    let mends = "sysctl -w net.netfilter.nf_conntrack_max=600000";
    assert!(
        finding.fix.commands.iter().any(|command| command == mends),
        "{finding:#?}"
    );
}

#[test]
fn what_a_node_with_a_full_table_neither_answers_nor_sends_is_one_finding() {
    let mut stage = swallowed_while("conntrack.drop", 0, 9).filters(CP, nft_that_drops(Hook::Input, &[9999]));
    for peer in [W1, W2] {
        stage = stage.silent(CP, peer, "4240,10250", Some((0, 0)), None);
    }
    let report = stage.report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node, finding.affects_total),
        (CauseKind::Capacity, Some(node(CP)), 7)
    );
    assert!(finding.cause.detail.contains("its own questions"), "{finding:#?}");
}

#[test]
fn loss_around_a_node_whose_table_was_full_is_that_table() {
    let mut stage = Stage::new()
        .knows(W1, counts("conntrack.drop", 0))
        .learns(W1, counts("conntrack.drop", 500));
    for src in [CP, LB, W2] {
        stage = stage
            .sees(src, W1, "4240", Signal::Silence)
            .sees_again(src, W1, "4240", Signal::Verified);
    }
    let report = stage.report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node, finding.status),
        (CauseKind::Capacity, Some(node(W1)), Status::Warn)
    );
}

#[test]
fn a_node_without_an_ipv6_address_in_a_cluster_of_both_families_is_one_finding_there() {
    let all = [CP, LB, W1, W2];
    let report = Stage::new()
        .dual()
        .without_ipv6(W1)
        .over(Family::Ipv6, Protocol::Tcp)
        .rule("node.kubelet", "10250", &all, &all)
        .over(Family::Ipv6, Protocol::Udp)
        .rule("node.overlay", "6081", &all, &all)
        .report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::HostSetting, Some(node(W1)))
    );
    assert_eq!(finding.affects_total, 12);
    assert!(finding.cause.detail.contains("IPv6"), "{}", finding.cause.detail);
}
