use crate::{
    evidence::{LostWhy, SwarmEvent},
    observation::{BindFailure, End, NotTried, Signal, Unproven},
    port::{Family, Protocol},
    report::{
        ReachabilityRow, Report, Verdict,
        stage::{CP, LB, Stage, W1, W2, node, ports},
    },
};

mod live;
mod udp;

/// The outcome of one test, with its reason if it was not measured.
fn outcome(stage: &Stage, src: &str, dst: &str, port: &str) -> String {
    let report = stage.report();
    let row = row(&report, src, dst, port);
    match &row.why {
        Some(why) => format!("{} {why}", row.outcome),
        None => row.outcome.clone(),
    }
}

/// The row of a test about which one rule speaks.
fn row<'a>(report: &'a Report, src: &str, dst: &str, port: &str) -> &'a ReachabilityRow {
    let wanted = ports(port);
    let mut rows = report.reachability.iter().filter(|row| {
        row.src == node(src) && row.dst == node(dst) && !row.ports.intersection(&wanted).is_empty()
    });
    let row = rows.next().unwrap();
    assert!(rows.next().is_none(), "one rule, one outcome");
    row
}

fn of_10250(stage: Stage) -> String {
    outcome(&stage, LB, CP, "10250")
}

#[test]
fn a_proven_responder_is_open() {
    assert_eq!(of_10250(Stage::new()), "open");
}

#[test]
fn a_live_service_is_open_but_unverified_and_untested_ports_of_it_are_not_measured() {
    let live = Stage::new().cannot_bind(CP, "6444,10250", BindFailure::Live);
    assert_eq!(
        of_10250(
            live.clone()
                .looks(LB, CP, "10250", Signal::Connected, 1, 1, false)
        ),
        "open_unverified"
    );
    let cancelled = Signal::NotTried {
        why: NotTried::Unsupported,
    };
    assert_eq!(
        of_10250(live.sees(LB, CP, "10250", cancelled)),
        "not_measured live_node"
    );
}

#[test]
fn sshd_may_hold_its_port_and_nobody_else_may() {
    let held = |by: &str| {
        let why = BindFailure::Taken {
            process: Some(by.to_owned()),
            pid: Some(77),
        };
        let banner = Signal::Unproven {
            how: Unproven::Garbage,
        };
        let stage = Stage::of(&[CP, LB]).rule("node.ssh", "22", &[LB], &[CP]);
        outcome(
            &stage.cannot_bind(CP, "22", why).sees(LB, CP, "22", banner),
            LB,
            CP,
            "22",
        )
    };
    assert_eq!(held("sshd"), "open_unverified");
    assert_eq!(held("nc"), "not_measured not_armed");
}

#[test]
fn something_else_that_accepts_is_an_identity_mismatch() {
    for how in [Unproven::Garbage, Unproven::BadProof, Unproven::Silent] {
        assert_eq!(
            of_10250(Stage::new().sees(LB, CP, "10250", Signal::Unproven { how })),
            "identity_mismatch"
        );
    }
}

#[test]
fn a_frozen_host_that_still_accepts_is_not_measured() {
    let lost = SwarmEvent::Lost {
        node: node(CP),
        why: LostWhy::Silent,
    };
    let stage = Stage::new().sees(
        LB,
        CP,
        "10250",
        Signal::Unproven {
            how: Unproven::Silent,
        },
    );
    assert_eq!(of_10250(stage.event(lost)), "not_measured destination_lost");
}

#[test]
fn a_hello_that_was_proven_but_not_answered_was_lost_on_the_way_back() {
    let stage = Stage::new().sees(
        LB,
        CP,
        "10250",
        Signal::Unproven {
            how: Unproven::Silent,
        },
    );
    assert_eq!(
        of_10250(stage.clone().hears(CP, LB, "10250", 3, 3)),
        "filtered_return"
    );
    assert_eq!(of_10250(stage.hears(CP, LB, "10250", 3, 0)), "filtered_forward");
}

#[test]
fn what_comes_too_late_on_a_connection_that_stood_is_of_a_slow_host_and_no_loss() {
    for (how, proven, lost) in [
        (Unproven::Silent, 1, "filtered_return"),
        (Unproven::Closed, 0, "filtered_forward"),
    ] {
        let late = Signal::Unproven { how };
        let stage =
            Stage::new()
                .sees(LB, CP, "10250", late.clone())
                .sees_again(LB, CP, "10250", Signal::Verified);
        let accepted = |times| of_10250(stage.clone().hears(CP, LB, "10250", times, 1 + proven));
        assert_eq!(accepted(2), "open");
        assert_eq!(accepted(1), "lossy", "the first connection did not stand");
        let outcome_of = |again: Signal, proven_again: u32| {
            let stage = Stage::new()
                .rule("range", "7000-7099", &[LB], &[CP])
                .looks(LB, CP, "7060-7099", late.clone(), 1, 1, false)
                .sees_again(LB, CP, "7060-7063", again)
                .hears(CP, LB, "7000-7059", 1, 1)
                .hears(CP, LB, "7064-7099", 1, proven)
                .hears(CP, LB, "7060-7063", 2, proven + proven_again);
            outcome(&stage, LB, CP, "7064-7099")
        };
        assert_eq!(outcome_of(Signal::Verified, 1), "open");
        assert_eq!(outcome_of(late.clone(), proven), lost);
    }
}

#[test]
fn a_reset_from_a_port_that_listens_is_a_rejection_and_from_another_is_closed() {
    assert_eq!(
        of_10250(Stage::new().sees(LB, CP, "10250", Signal::Refused)),
        "rejected"
    );
    let live = Stage::new().cannot_bind(CP, "10250", BindFailure::Live);
    assert_eq!(of_10250(live.sees(LB, CP, "10250", Signal::Refused)), "closed");
}

#[test]
fn what_answers_at_a_node_that_told_of_no_responder_is_not_measured() {
    let stage = Stage::new().tells_of_no_responder(CP);
    for signal in [
        Signal::Connected,
        Signal::Refused,
        Signal::Unproven {
            how: Unproven::Garbage,
        },
    ] {
        let stage = stage.clone().sees(LB, CP, "10250", signal);
        assert_eq!(of_10250(stage.clone()), "not_measured not_armed");
        assert_eq!(stage.report().verdict, Verdict::Incomplete);
    }
    assert_eq!(of_10250(stage.clone()), "open");
    assert_eq!(of_10250(stage.silent(LB, CP, "10250", None, None)), "filtered");
}

#[test]
fn an_icmp_error_is_a_rejection_unless_the_source_sent_it_itself() {
    let icmp = |offender: &str| Signal::Icmp {
        icmp_type: 3,
        code: 13,
        offender: Some(offender.parse().unwrap()),
    };
    assert_eq!(
        of_10250(Stage::new().sees(LB, CP, "10250", icmp("10.0.0.254"))),
        "rejected"
    );
    assert_eq!(
        of_10250(Stage::new().sees(LB, CP, "10250", icmp(LB))),
        "local_blocked"
    );
}

#[test]
fn silence_is_placed_by_captures_at_both_ends() {
    let silent =
        |at_source, at_destination| of_10250(Stage::new().silent(LB, CP, "10250", at_source, at_destination));
    assert_eq!(silent(Some((0, 0)), Some((0, 0))), "local_blocked");
    assert_eq!(silent(Some((1, 0)), Some((0, 0))), "filtered_forward");
    assert_eq!(silent(None, Some((0, 0))), "filtered_forward");
    assert_eq!(silent(Some((1, 0)), Some((1, 0))), "filtered");
    assert_eq!(silent(Some((1, 0)), Some((1, 1))), "filtered_return");
    assert_eq!(silent(Some((1, 1)), Some((1, 1))), "filtered_return");
    assert_eq!(silent(None, None), "filtered");
}

#[test]
fn zeros_of_a_capture_mean_nothing_if_the_source_did_not_ask_again() {
    let stage = Stage::new()
        .sees(LB, CP, "10250", Signal::Silence)
        .sees_again(
            LB,
            CP,
            "10250",
            Signal::NotTried {
                why: NotTried::Cancelled,
            },
        )
        .captures(CP, End::Destination, LB, "10250", 0, 0, 0);
    assert_eq!(of_10250(stage), "filtered");
}

#[test]
fn a_port_that_fails_one_look_and_answers_the_other_is_lossy_never_open() {
    let only_later =
        Stage::new()
            .sees(LB, CP, "10250", Signal::Silence)
            .sees_again(LB, CP, "10250", Signal::Verified);
    assert_eq!(of_10250(only_later), "lossy");
}

#[test]
fn a_probe_that_claims_any_number_of_attempts_breaks_no_judgement() {
    let claims = Stage::of(&[LB, W1])
        .rule("all", "1-65535", &[LB], &[W1])
        .looks(LB, W1, "1-65000", Signal::Verified, u32::MAX, u32::MAX, false)
        .looks(LB, W1, "65001-65535", Signal::Silence, u32::MAX, 0, false);
    assert_eq!(outcome(&claims, LB, W1, "65001"), "lossy");
}

#[test]
fn a_repetition_by_chance_is_open_and_repetitions_by_the_dozen_are_lossy() {
    let outcomes = |repeated: &str, at_once: &str| {
        let stage = Stage::new()
            .rule("range", "7000-7099", &[LB], &[CP])
            .looks(LB, CP, repeated, Signal::Verified, 2, 1, false)
            .looks(LB, CP, at_once, Signal::Verified, 1, 1, false);
        let rows = stage.report().reachability;
        let row = rows
            .iter()
            .find(|row| row.rule == "range" && row.attempts == 2)
            .unwrap();
        row.outcome.clone()
    };
    assert_eq!(outcomes("7000-7001", "7002-7099"), "open");
    assert_eq!(outcomes("7000-7049", "7050-7099"), "lossy");
}

#[test]
fn silence_that_loss_explains_is_loss_and_more_of_it_is_not() {
    // Every third attempt is lost: of a hundred ports, about four are silent after three.
    let outcome_of = |silent: &str, second_look: bool| {
        let mut stage = Stage::new()
            .rule("range", "7000-7099", &[LB], &[CP])
            .looks(LB, CP, "7000-7059", Signal::Verified, 1, 1, false)
            .looks(LB, CP, "7060-7079", Signal::Verified, 2, 1, false)
            .looks(LB, CP, "7080-7087", Signal::Verified, 3, 1, false)
            .looks(LB, CP, silent, Signal::Silence, 3, 0, false);
        if second_look {
            stage = stage.looks(LB, CP, silent, Signal::Silence, 3, 0, true);
        }
        let rows = stage.report().reachability;
        let silent = ports(silent);
        let row = rows.iter().find(|row| row.rule == "range" && row.ports == silent);
        row.map_or_else(|| "mixed".to_owned(), |row| row.outcome.clone())
    };
    assert_eq!(outcome_of("7088-7091", false), "lossy");
    assert_ne!(outcome_of("7088-7099", false), "lossy", "three times as many");
    assert_ne!(outcome_of("7088-7091", true), "lossy", "six attempts each");
}

/// A thousand ports of a path that loses three packets in ten: 700 are answered at once, 210 at the second attempt, 63 at the
/// third.
fn three_in_ten() -> Stage {
    Stage::new()
        .rule("range", "8000-8999", &[LB], &[CP])
        .looks(LB, CP, "8000-8699", Signal::Verified, 1, 1, false)
        .looks(LB, CP, "8700-8909", Signal::Verified, 2, 1, false)
        .looks(LB, CP, "8910-8972", Signal::Verified, 3, 1, false)
        .sees(LB, CP, "8973-8999", Signal::Silence)
}

#[test]
fn what_is_silent_in_two_looks_on_a_path_that_loses_much_may_be_so_by_chance() {
    let looked_again = |silent: &str, answered: &str| {
        three_in_ten()
            .looks(LB, CP, answered, Signal::Verified, 2, 1, true)
            .looks(LB, CP, silent, Signal::Silence, 3, 0, true)
            .captures(CP, End::Destination, LB, silent, 0, 0, 0)
    };
    let by_chance = looked_again("8973-8974", "8975-8999");
    assert_eq!(outcome(&by_chance, LB, CP, "8973-8974"), "lossy");
    let filtered = looked_again("8973-8982", "8983-8999");
    assert_eq!(outcome(&filtered, LB, CP, "8973-8982"), "filtered_forward");
    // Two of a few that were looked at again are not two of all.
    let sampled = looked_again("8973-8976", "8977-8978");
    assert_eq!(outcome(&sampled, LB, CP, "8973-8976"), "filtered_forward");
}

#[test]
fn a_datagram_that_is_lost_where_connections_are_is_lost_by_chance_once_and_not_twice() {
    let udp = || {
        three_in_ten()
            .over(Family::Ipv4, Protocol::Udp)
            .rule("overlay", "6081", &[LB], &[CP])
            .sees(LB, CP, "6081", Signal::Silence)
    };
    assert_eq!(outcome(&udp(), LB, CP, "6081"), "lossy");
    let again = udp().looks(LB, CP, "6081", Signal::Silence, 3, 0, true);
    assert_eq!(outcome(&again, LB, CP, "6081"), "filtered");
}

#[test]
fn connections_on_which_loss_explains_silence_are_lossy_and_what_says_something_else_is_not_the_peer() {
    // Every third attempt is lost: of a hundred hellos that are sent four times, about one is lost each time.
    let outcome_of = |mute: &str, how: Unproven| {
        let stage = Stage::new()
            .rule("range", "7000-7099", &[LB], &[CP])
            .looks(LB, CP, "7000-7059", Signal::Verified, 1, 1, false)
            .looks(LB, CP, "7060-7079", Signal::Verified, 2, 1, false)
            .looks(LB, CP, "7080-7087", Signal::Verified, 3, 1, false)
            .looks(LB, CP, mute, Signal::Unproven { how }, 1, 1, false);
        let rows = stage.report().reachability;
        let mute = ports(mute);
        let row = rows.iter().find(|row| row.rule == "range" && row.ports == mute);
        row.map_or_else(|| "mixed".to_owned(), |row| row.outcome.clone())
    };
    assert_eq!(outcome_of("7088", Unproven::Silent), "lossy");
    assert_eq!(outcome_of("7088", Unproven::Garbage), "identity_mismatch");
    assert_eq!(
        outcome_of("7088-7099", Unproven::Silent),
        "identity_mismatch",
        "ten times as many"
    );
}

#[test]
fn running_out_of_sockets_is_never_a_verdict_about_the_network() {
    let stage = Stage::new().sees(LB, CP, "10250", Signal::Exhausted { errno: 24 });
    assert_eq!(of_10250(stage.clone()), "resource");
    assert_eq!(
        of_10250(stage.sees_again(LB, CP, "10250", Signal::Verified)),
        "open"
    );
}

#[test]
fn no_route_local_refusal_and_a_dead_neighbour_are_told_apart() {
    for (signal, word) in [
        (Signal::NoRoute, "no_route"),
        (Signal::LocalDenied { errno: 1 }, "local_blocked"),
        (Signal::NeighborUnresolved, "neighbor_unresolved"),
    ] {
        assert_eq!(of_10250(Stage::new().sees(LB, CP, "10250", signal)), word);
    }
}

#[test]
fn what_failed_toward_a_lost_probe_is_not_measured_and_what_succeeded_stays() {
    let stage = Stage::new()
        .sees(LB, CP, "10250", Signal::Refused)
        .event(SwarmEvent::Lost {
            node: node(CP),
            why: LostWhy::StreamEnded,
        });
    assert_eq!(outcome(&stage, LB, CP, "10250"), "not_measured destination_lost");
    assert_eq!(outcome(&stage, LB, CP, "4240"), "open");
    assert_eq!(outcome(&stage, CP, LB, "4240"), "open");
}

#[test]
fn what_nobody_reported_says_why() {
    let mute = Stage::new().reports_nothing(LB);
    assert_eq!(of_10250(mute.clone()), "not_measured unreported");
    assert_eq!(
        of_10250(mute.clone().event(SwarmEvent::Interrupted)),
        "not_measured interrupted"
    );
    let refused = SwarmEvent::Refused {
        node: node(LB),
        reason: "not in the policy".to_owned(),
    };
    assert_eq!(of_10250(mute.event(refused)), "not_measured policy");
    let absent = Stage::new().without(LB);
    assert_eq!(of_10250(absent.clone()), "not_measured source_lost");
    assert_eq!(
        outcome(&absent.sees(W1, LB, "4240", Signal::Silence), W1, LB, "4240"),
        "not_measured destination_lost"
    );
}

#[test]
fn a_rate_limited_offender_explains_the_silence_beside_it() {
    let rejected = Signal::Icmp {
        icmp_type: 3,
        code: 13,
        offender: Some(W1.parse().unwrap()),
    };
    let stage = Stage::of(&[LB, W1])
        .rule("worker.nodeport", "30000-32767", &[LB], &[W1])
        .sees(LB, W1, "30000-30005", rejected)
        .silent(LB, W1, "30006-32767", Some((1, 0)), Some((1, 0)));
    let report = stage.report();
    let inferred: Vec<_> = report
        .reachability
        .iter()
        .map(|row| (row.ports.to_string(), row.inferred))
        .collect();
    assert_eq!(
        inferred,
        [
            ("30000-30005".to_owned(), None),
            ("30006-32767".to_owned(), Some(true))
        ]
    );
    assert!(
        report
            .reachability
            .iter()
            .all(|row| row.outcome == "rejected" && row.offender.is_some())
    );
}

#[test]
fn silence_that_ends_elsewhere_than_at_the_offender_stays_silence() {
    let rejected = Signal::Icmp {
        icmp_type: 3,
        code: 13,
        offender: Some(W1.parse().unwrap()),
    };
    let stage =
        Stage::new()
            .sees(LB, W1, "10250", rejected)
            .silent(LB, W1, "4240", Some((1, 0)), Some((0, 0)));
    assert_eq!(outcome(&stage, LB, W1, "4240"), "filtered_forward");
}

#[test]
fn outcomes_split_a_range_exactly_where_they_change() {
    let stage = Stage::of(&[LB, W1, W2])
        .rule("worker.nodeport", "30000-32767", &[LB], &[W1, W2])
        .sees(LB, W1, "30500,31000-31999", Signal::Refused);
    let report = stage.report();
    let rows: Vec<String> = report
        .reachability
        .iter()
        .filter(|row| row.dst == node(W1))
        .map(|row| format!("{} {}", row.ports, row.outcome))
        .collect();
    assert_eq!(
        rows,
        [
            "30000-30499,30501-30999,32000-32767 open",
            "30500,31000-31999 rejected"
        ]
    );
}
