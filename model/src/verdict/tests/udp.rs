//! UDP, and both families.

use crate::{
    cause::CauseKind,
    evidence::{LostWhy, SwarmEvent},
    observation::{BindFailure, NotTried, Signal},
    port::{
        Family::{Ipv4, Ipv6},
        Protocol::{Tcp, Udp},
    },
    report::{
        Verdict,
        stage::{CP, LB, Stage, W1, address_of, node},
    },
};

use super::{outcome, row};

/// GENEVE from LB to W1.
fn geneve() -> Stage {
    Stage::of(&[LB, W1])
        .over(Ipv4, Udp)
        .rule("geneve", "6081", &[LB], &[W1])
}

fn of_6081(stage: Stage) -> String {
    outcome(&stage, LB, W1, "6081")
}

fn icmp(icmp_type: u8, code: u8, offender: &str) -> Signal {
    Signal::Icmp {
        icmp_type,
        code,
        offender: Some(offender.parse().unwrap()),
    }
}

#[test]
fn a_stamp_reply_that_proves_the_pair_key_is_open() {
    let report = geneve().report();
    let row = row(&report, LB, W1, "6081");
    assert_eq!(
        (row.family, row.protocol, row.outcome.as_str()),
        (Ipv4, Udp, "open")
    );
    assert_eq!(report.verdict, Verdict::Passed);
}

#[test]
fn silence_is_placed_by_captures_as_it_is_for_tcp() {
    let silent =
        |at_source, at_destination| of_6081(geneve().silent(LB, W1, "6081", at_source, at_destination));
    assert_eq!(silent(Some((0, 0)), Some((0, 0))), "local_blocked");
    assert_eq!(silent(Some((3, 0)), Some((0, 0))), "filtered_forward");
    assert_eq!(silent(Some((3, 0)), Some((3, 0))), "filtered");
    assert_eq!(silent(Some((3, 0)), Some((3, 3))), "filtered_return");
    assert_eq!(silent(Some((3, 3)), Some((3, 3))), "filtered_return");
    assert_eq!(silent(None, None), "filtered");
}

#[test]
fn a_packet_that_the_responder_counted_as_proven_was_answered_and_its_answer_lost() {
    let silent = geneve().sees(LB, W1, "6081", Signal::Silence);
    assert_eq!(
        of_6081(silent.clone().hears(W1, LB, "6081", 3, 3)),
        "filtered_return"
    );
    assert_eq!(of_6081(silent), "filtered");
}

#[test]
fn silence_while_a_proven_packet_arrived_from_nobodys_address_is_source_translation() {
    let report = geneve()
        .silent(LB, W1, "6081", Some((3, 0)), Some((0, 0)))
        .hears_a_stranger(W1, "192.0.2.1", "6081", 3)
        .report();
    assert_eq!(row(&report, LB, W1, "6081").outcome, "identity_mismatch");
    let [finding] = &report.findings[..] else {
        panic!("one finding of {:?}", report.findings)
    };
    assert_eq!(finding.cause.kind, CauseKind::SourceNat);
    assert!(
        finding.cause.detail.contains("192.0.2.1"),
        "{}",
        finding.cause.detail
    );
}

#[test]
fn an_answer_that_does_not_leave_is_the_hosts_although_the_responder_wrote_it() {
    let stage = geneve()
        .silent(LB, W1, "6081", Some((3, 0)), Some((3, 0)))
        .hears(W1, LB, "6081", 6, 6);
    assert_eq!(of_6081(stage), "filtered");
}

#[test]
fn datagrams_of_which_none_can_be_verified_were_altered_or_have_another_key() {
    let silent = geneve().sees(LB, W1, "6081", Signal::Silence);
    assert_eq!(
        of_6081(silent.hears_noise(W1, LB, "6081", 3)),
        "identity_mismatch"
    );
}

#[test]
fn another_programs_datagrams_are_not_taken_for_altered_ones() {
    let silent = geneve().sees(LB, W1, "6081", Signal::Silence);
    // memberlist of the same host says something once, while the probe asked three times.
    assert_eq!(of_6081(silent.hears_noise(W1, LB, "6081", 1)), "filtered");
    let dropped = geneve().silent(LB, W1, "6081", Some((3, 0)), Some((0, 0)));
    assert_eq!(
        of_6081(dropped.hears_noise(W1, LB, "6081", 99)),
        "filtered_forward"
    );
}

#[test]
fn an_answer_from_another_address_tells_the_peers_own_from_a_strangers() {
    let from = |address: &str| {
        let address = address.parse().unwrap();
        let stage = geneve().sees(LB, W1, "6081", Signal::AnsweredFrom { address });
        (of_6081(stage.clone()), stage.report().findings[0].cause.kind)
    };
    let (own, own_cause) = from(W1);
    let (foreign, foreign_cause) = from("192.0.2.1");
    assert_eq!(
        (own.as_str(), foreign.as_str()),
        ("identity_mismatch", "identity_mismatch")
    );
    assert_ne!(own_cause, foreign_cause);
}

#[test]
fn port_unreachable_while_our_responder_stands_there_is_a_rejection() {
    assert_eq!(of_6081(geneve().sees(LB, W1, "6081", icmp(3, 3, W1))), "rejected");
    let row = geneve()
        .sees(LB, W1, "6081", icmp(3, 3, W1))
        .report()
        .reachability
        .remove(0);
    assert_eq!((row.icmp_type, row.icmp_code), (Some(3), Some(3)));
}

#[test]
fn a_refusal_whose_sender_the_kernel_does_not_tell_is_port_unreachable() {
    let refused = geneve().sees(LB, W1, "6081", Signal::Refused);
    let row = refused.report().reachability.remove(0);
    assert_eq!(
        (row.outcome.as_str(), row.icmp_code, row.offender),
        ("rejected", Some(3), None)
    );
    assert_eq!(
        of_6081(refused.tells_of_no_responder(W1)),
        "not_measured not_armed"
    );
}

#[test]
fn a_neighbour_that_does_not_resolve_in_one_family_excuses_nothing_in_the_other() {
    let both = [CP, W1];
    let cut = |family| {
        let stage = Stage::of(&both).dual();
        let stage = [Ipv4, Ipv6].into_iter().fold(stage, |stage, family| {
            stage.over(family, Tcp).rule("kubelet", "10250", &both, &both)
        });
        let stage = stage
            .over(Ipv4, Tcp)
            .sees(W1, CP, "10250", Signal::NeighborUnresolved);
        let stage = stage
            .over(family, Tcp)
            .silent(CP, W1, "10250", Some((1, 0)), Some((1, 0)));
        let rows = stage.report().reachability;
        let row = rows
            .iter()
            .find(|row| row.src == node(CP) && row.family == family);
        row.unwrap().outcome.clone()
    };
    assert_eq!(
        (cut(Ipv4).as_str(), cut(Ipv6).as_str()),
        ("neighbor_unresolved", "filtered")
    );
}

#[test]
fn port_unreachable_without_a_responder_is_nobodys_fault_and_a_routers_error_is_the_routers() {
    let untold = geneve().tells_of_no_responder(W1);
    assert_eq!(
        of_6081(untold.clone().sees(LB, W1, "6081", icmp(3, 3, W1))),
        "not_measured not_armed"
    );
    assert_eq!(
        of_6081(untold.clone().sees(LB, W1, "6081", icmp(3, 3, "10.0.0.254"))),
        "rejected"
    );
    assert_eq!(of_6081(untold.sees(LB, W1, "6081", icmp(3, 13, W1))), "rejected");
    let taken = BindFailure::Taken {
        process: Some("nc".to_owned()),
        pid: Some(7),
    };
    let squatted = geneve().cannot_bind(W1, "6081", taken);
    assert_eq!(
        of_6081(squatted.sees(LB, W1, "6081", icmp(3, 3, W1))),
        "not_measured not_armed"
    );
}

#[test]
fn ipv6_errors_are_read_by_their_own_numbers() {
    let stage = || {
        Stage::of(&[LB, W1])
            .dual()
            .over(Ipv6, Udp)
            .rule("geneve", "6081", &[LB], &[W1])
    };
    let own = address_of(node(LB), Ipv6).to_string();
    let peer = address_of(node(W1), Ipv6).to_string();
    let of = |stage: Stage, icmp_type, code, offender: &str| {
        of_6081(stage.sees(LB, W1, "6081", icmp(icmp_type, code, offender)))
    };
    assert_eq!(of(stage(), 1, 4, &peer), "rejected");
    assert_eq!(of(stage(), 1, 1, "fd00::fe"), "rejected");
    assert_eq!(of(stage(), 3, 0, "fd00::fe"), "rejected");
    assert_eq!(of(stage(), 1, 3, &own), "neighbor_unresolved");
    assert_eq!(of(stage(), 1, 0, &own), "no_route");
    assert_eq!(of(stage(), 1, 1, &own), "local_blocked");
    assert_eq!(
        of(stage().tells_of_no_responder(W1), 1, 4, &peer),
        "not_measured not_armed"
    );
    // 3/3 is port unreachable in IPv4 only.
    assert_eq!(of(stage().tells_of_no_responder(W1), 3, 3, &peer), "rejected");
}

#[test]
fn an_error_of_the_sources_own_host_is_not_the_networks() {
    assert_eq!(
        of_6081(geneve().sees(LB, W1, "6081", icmp(3, 1, LB))),
        "neighbor_unresolved"
    );
    assert_eq!(of_6081(geneve().sees(LB, W1, "6081", icmp(3, 0, LB))), "no_route");
    assert_eq!(
        of_6081(geneve().sees(LB, W1, "6081", icmp(3, 3, LB))),
        "local_blocked"
    );
}

#[test]
fn a_link_that_flaps_between_two_looks_is_lossy_never_open() {
    let flapped = geneve()
        .sees(LB, W1, "6081", Signal::Silence)
        .sees_again(LB, W1, "6081", Signal::Verified);
    assert_eq!(of_6081(flapped), "lossy");
}

#[test]
fn silence_toward_a_lost_probe_says_nothing_about_udp_either() {
    let lost = SwarmEvent::Lost {
        node: node(W1),
        why: LostWhy::Silent,
    };
    let stage = geneve().sees(LB, W1, "6081", Signal::Silence).event(lost);
    assert_eq!(of_6081(stage), "not_measured destination_lost");
}

#[test]
fn families_are_judged_apart() {
    let all = [CP, LB, W1];
    let stage = Stage::of(&all)
        .rule("kubelet", "10250", &all, &all)
        .dual()
        .over(Ipv6, Tcp)
        .rule("kubelet", "10250", &all, &all)
        .silent(CP, W1, "10250", Some((1, 0)), Some((0, 0)));
    let report = stage.report();
    let failing: Vec<_> = report
        .reachability
        .iter()
        .filter(|row| row.outcome != "open")
        .collect();
    assert_eq!(failing.len(), 1);
    assert_eq!((failing[0].family, failing[0].src), (Ipv6, node(CP)));
}

#[test]
fn a_node_without_an_ipv6_address_is_not_measured_in_ipv6_and_names_the_reason() {
    let all = [CP, LB, W1];
    let stage = Stage::of(&all)
        .rule("kubelet", "10250", &all, &all)
        .dual()
        .over(Ipv6, Tcp)
        .rule("kubelet", "10250", &all, &all)
        .without_ipv6(LB);
    let report = stage.report();
    for row in report.reachability.iter().filter(|row| row.family == Ipv6) {
        let with_lb = row.src == node(LB) || row.dst == node(LB);
        let expected = if with_lb {
            (Some("no_address"), "not_measured")
        } else {
            (None, "open")
        };
        assert_eq!((row.why.as_deref(), row.outcome.as_str()), expected);
    }
    assert!(
        report
            .findings
            .iter()
            .all(|finding| finding.cause.node == Some(node(LB)))
    );
    assert_ne!(report.verdict, Verdict::Passed);
}

#[test]
fn an_address_that_is_missing_counts_even_if_nobody_was_asked_to_try() {
    let stage = Stage::of(&[LB, W1])
        .dual()
        .over(Ipv6, Udp)
        .rule("geneve", "6081", &[LB], &[W1])
        .without_ipv6(W1)
        .reports_nothing(LB);
    assert_eq!(of_6081(stage), "not_measured no_address");
    let vanished = Stage::of(&[LB, W1])
        .dual()
        .over(Ipv6, Udp)
        .rule("geneve", "6081", &[LB], &[W1])
        .cannot_bind(W1, "6081", BindFailure::AddressMissing)
        .sees(LB, W1, "6081", Signal::Silence);
    assert_eq!(of_6081(vanished), "not_measured no_address");
    let why = NotTried::NoAddress;
    let told = geneve().sees(LB, W1, "6081", Signal::NotTried { why });
    assert_eq!(of_6081(told), "not_measured no_address");
}
