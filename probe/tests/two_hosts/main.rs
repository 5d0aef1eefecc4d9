//! The runners and responders against packet filters, absent hosts, missing routes and floods: two hosts and a cable, real
//! sockets, and what each of them must be called.
//!
//! ```text
//!   asking host 10.77.0.1, fd77::1 ----- cable ----- 10.77.0.2, fd77::2 answering host (its packet filter, its responder)
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test program: a panic is its verdict, lines are its report"
)]

use std::{
    net::IpAddr,
    process::ExitCode,
    time::{Duration, Instant},
};

use plumbline_model::observation::{Reach, Record, Signal};
use plumbline_probe::{facts, runner::asking::AskTask};
use plumbline_sys::nft::{Action, Hook, Match, NewRule, Transport};

use crate::hosts::{ATTEMPT, Ends, Filter, Hosts, IPV4, IPV6, are_asked_again, ask, only, rule, set, task};

mod datagrams;
mod flood;
mod hosts;
mod services;
mod sshd;
mod tracking;

/// What is run, in which families.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    run: fn(&Hosts, Ends),
    families: &'static [Ends],
    /// What it takes beside two hosts; where that is missing, it is named and not run, and with
    /// PLUMBLINE_REQUIRE_LAB=1 that is a failure.
    needs: fn() -> Result<(), String>,
}

const fn case(name: &'static str, families: &'static [Ends], run: fn(&Hosts, Ends)) -> Case {
    let needs = || Ok(());
    Case {
        name,
        run,
        families,
        needs,
    }
}

const BOTH: &[Ends] = &[IPV4, IPV6];
const ONE: &[Ends] = &[IPV4];

const CASES: &[Case] = &[
    case(
        "every_port_of_the_node_port_range_is_verified",
        BOTH,
        every_port_of_the_node_port_range_is_verified,
    ),
    case(
        "a_filter_that_drops_is_silence_after_three_attempts",
        BOTH,
        a_filter_that_drops_is_silence_after_three_attempts,
    ),
    case(
        "the_attempts_of_a_test_are_of_one_five_tuple",
        ONE,
        the_attempts_of_a_test_are_of_one_five_tuple,
    ),
    case(
        "a_reject_by_icmp_names_its_code_and_sender",
        BOTH,
        a_reject_by_icmp_names_its_code_and_sender,
    ),
    case(
        "a_reject_by_reset_is_a_refusal",
        BOTH,
        a_reject_by_reset_is_a_refusal,
    ),
    case(
        "a_host_that_does_not_exist_is_an_unresolved_neighbour",
        BOTH,
        a_host_that_does_not_exist_is_an_unresolved_neighbour,
    ),
    case(
        "a_network_without_a_route_is_no_route",
        BOTH,
        a_network_without_a_route_is_no_route,
    ),
    case(
        "the_asking_host_s_own_reject_is_local",
        BOTH,
        the_asking_host_s_own_reject_is_local,
    ),
    case(
        "a_survey_knows_who_was_met_on_the_cable",
        BOTH,
        a_survey_knows_who_was_met_on_the_cable,
    ),
    case(
        "a_path_that_loses_half_of_the_packets_is_asked_again",
        ONE,
        a_path_that_loses_half_of_the_packets_is_asked_again,
    ),
    case(
        "what_silent_tests_leave_behind_in_connection_tracking_is_told",
        BOTH,
        tracking::what_silent_tests_leave_behind_in_connection_tracking_is_told,
    ),
    case(
        "a_way_back_that_loses_half_of_the_packets_is_no_refusal",
        BOTH,
        a_way_back_that_loses_half_of_the_packets_is_no_refusal,
    ),
    case(
        "a_service_that_says_nothing_reads_the_end_of_its_input_and_no_error",
        BOTH,
        services::a_service_that_says_nothing_reads_the_end_of_its_input_and_no_error,
    ),
    case(
        "a_service_that_greets_and_talks_on_is_heard_out",
        ONE,
        services::a_service_that_greets_and_talks_on_is_heard_out,
    ),
    case(
        "a_service_that_never_closes_is_left_without_a_reset",
        ONE,
        services::a_service_that_never_closes_is_left_without_a_reset,
    ),
    case(
        "a_service_is_not_reset_by_a_task_that_is_cancelled",
        ONE,
        services::a_service_is_not_reset_by_a_task_that_is_cancelled,
    ),
    case(
        "memberlist_logs_no_error",
        ONE,
        services::memberlist_logs_no_error,
    ),
    case(
        "an_ssh_server_is_heard_to_its_banner_and_left",
        BOTH,
        services::an_ssh_server_is_heard_to_its_banner_and_left,
    ),
    Case {
        needs: sshd::needs,
        ..case(
            "a_strict_ssh_server_locks_nobody_out",
            ONE,
            sshd::a_strict_ssh_server_locks_nobody_out,
        )
    },
    case(
        "every_udp_port_of_the_node_port_range_is_verified",
        BOTH,
        datagrams::every_udp_port_of_the_node_port_range_is_verified,
    ),
    case(
        "a_filter_that_drops_datagrams_is_silence_that_the_destination_did_not_hear",
        BOTH,
        datagrams::a_filter_that_drops_datagrams_is_silence_that_the_destination_did_not_hear,
    ),
    case(
        "a_filter_that_drops_answers_is_silence_that_the_destination_heard",
        BOTH,
        datagrams::a_filter_that_drops_answers_is_silence_that_the_destination_heard,
    ),
    case(
        "captures_at_both_ends_tell_where_a_datagram_died",
        BOTH,
        datagrams::captures_at_both_ends_tell_where_a_datagram_died,
    ),
    case(
        "a_datagram_that_is_rejected_names_code_and_sender",
        BOTH,
        datagrams::a_datagram_that_is_rejected_names_code_and_sender,
    ),
    case(
        "datagrams_to_a_host_that_does_not_exist_do_not_resolve",
        BOTH,
        datagrams::datagrams_to_a_host_that_does_not_exist_do_not_resolve,
    ),
    case(
        "datagrams_to_a_network_without_a_route_have_no_route",
        BOTH,
        datagrams::datagrams_to_a_network_without_a_route_have_no_route,
    ),
    case(
        "the_asking_host_s_own_filter_is_named_even_if_it_drops",
        BOTH,
        datagrams::the_asking_host_s_own_filter_is_named_even_if_it_drops,
    ),
    case(
        "a_path_that_loses_half_of_the_datagrams_is_asked_again",
        ONE,
        datagrams::a_path_that_loses_half_of_the_datagrams_is_asked_again,
    ),
    case(
        "a_port_that_is_translated_to_another_proves_nothing",
        ONE,
        datagrams::a_port_that_is_translated_to_another_proves_nothing,
    ),
    case(
        "a_source_that_is_translated_is_proven_for_an_address_of_nobody_and_not_answered",
        ONE,
        datagrams::a_source_that_is_translated_is_proven_for_an_address_of_nobody_and_not_answered,
    ),
    case(
        "a_flood_is_not_answered_and_a_run_beside_it_is_verified",
        BOTH,
        flood::a_flood_is_not_answered_and_a_run_beside_it_is_verified,
    ),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let cases = CASES.iter().flat_map(|case| {
        let named = move |ends: &Ends| {
            let family = if ends.asking.is_ipv4() { "ipv4" } else { "ipv6" };
            (format!("{}::{family}", case.name), case, *ends)
        };
        case.families.iter().map(named)
    });
    let mut cases: Vec<_> = cases.collect();
    if arguments.iter().any(|argument| argument == "--list") {
        cases.iter().for_each(|(name, ..)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    cases
        .retain(|(name, ..)| wanted.is_empty() || wanted.iter().any(|filter| name.contains(filter.as_str())));
    println!("\nrunning {} tests", cases.len());
    let names = cases.iter().map(|(name, ..)| name.as_str());
    let hosts = match Hosts::new() {
        Ok(hosts) => hosts,
        Err(why) => return cannot(names, &why.to_string()),
    };
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    for (name, case, ends) in &cases {
        if let Err(why) = (case.needs)() {
            if is_required() {
                println!("test {name} ... FAILED: {why}");
                failed += 1;
            } else {
                println!("test {name} ... ignored, {why}");
                ignored += 1;
            }
            continue;
        }
        let run = || (case.run)(&hosts, *ends);
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_ok() {
            println!("test {name} ... ok");
            passed += 1;
        } else {
            println!("test {name} ... FAILED");
            failed += 1;
        }
    }
    println!("\n{passed} passed; {failed} failed; {ignored} ignored");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Names and counts what cannot run here; with PLUMBLINE_REQUIRE_LAB=1 that is a failure.
fn cannot<'a>(names: impl Iterator<Item = &'a str>, why: &str) -> ExitCode {
    let mut ignored = 0;
    for name in names {
        println!("test {name} ... ignored, {why}");
        ignored += 1;
    }
    println!("\n0 passed; 0 failed; {ignored} ignored");
    if is_required() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn is_required() -> bool {
    std::env::var_os("PLUMBLINE_REQUIRE_LAB").is_some_and(|value| value == "1")
}

fn every_port_of_the_node_port_range_is_verified(hosts: &Hosts, ends: Ends) {
    let ports = set("30000-32767");
    let responder = hosts.responder(ends, &ports);
    let reach = only(ask(task(ends.answering, &ports)));
    assert_eq!(
        (&reach.signal, reach.attempts, reach.answered),
        (&Signal::Verified, 1, 1)
    );
    let heard = responder.release();
    assert!(
        matches!(&heard[..], [Record::Heard(heard)] if heard.ports == ports && (heard.accepted, heard.proven) == (1, 1)),
        "{heard:?}"
    );
}

fn a_filter_that_drops_is_silence_after_three_attempts(hosts: &Hosts, ends: Ends) {
    let _filter = hosts.filter_there(&[rule("30000-32767", Action::Drop)]);
    let begun = Instant::now();
    let reach = only(ask(task(ends.answering, &set("30000-32767"))));
    let took = begun.elapsed();
    assert_eq!(
        (&reach.signal, reach.attempts, reach.answered),
        (&Signal::Silence, 3, 0)
    );
    // Shorter would mean an attempt that did not wait; how much longer a busy machine takes is a bench's matter.
    assert!(took >= 3 * ATTEMPT, "{took:?}");
}

fn the_attempts_of_a_test_are_of_one_five_tuple(hosts: &Hosts, ends: Ends) {
    // One half of the source ports is dropped, then the other, and again, since the kernel draws ports near each other. An
    // engine that drew a new port for each attempt would get through at a later one.
    let responder = hosts.responder(ends, &set("30000"));
    let (mut silent, mut verified) = (0, 0);
    for round in 0..MAX_ROUNDS {
        let (first, last) = [(1, 46_000), (46_001, 65_535)][round % 2];
        let mut rule = rule("30000", Action::Drop);
        rule.matches.push(Match::SourcePorts(Transport::Tcp, first, last));
        let _filter = hosts.filter_there(&[rule]);
        for _ in 0..TRIES_A_ROUND {
            let quick = AskTask {
                // Long enough that a busy machine answers the first attempt in time.
                attempt_timeout: Duration::from_millis(200),
                ..task(ends.answering, &set("30000"))
            };
            let reach = only(ask(quick));
            match (&reach.signal, reach.attempts) {
                (Signal::Verified, 1) => verified += 1,
                (Signal::Silence, 3) => silent += 1,
                _ => panic!("{reach:?}"),
            }
        }
        if silent >= ENOUGH && verified >= ENOUGH {
            break;
        }
    }
    assert!(
        silent >= ENOUGH && verified >= ENOUGH,
        "{silent} silent, {verified} verified"
    );
    drop(responder);
}

fn a_reject_by_icmp_names_its_code_and_sender(hosts: &Hosts, ends: Ends) {
    // Few at a time: the kernel sends one ICMP error a second to a peer, after a burst of six.
    let icmp_type = if ends.asking.is_ipv4() { 3 } else { 1 };
    for code in [1, 3, if ends.asking.is_ipv4() { 13 } else { 4 }] {
        let _filter = hosts.filter_there(&[rule("30000", reject(ends.asking, code))]);
        let reach = only(ask(task(ends.answering, &set("30000"))));
        let offender = Some(ends.answering);
        assert_eq!(
            reach.signal,
            Signal::Icmp {
                icmp_type,
                code,
                offender
            }
        );
        assert_eq!((reach.attempts, reach.answered), (1, 1));
    }
}

pub(crate) fn reject(family: IpAddr, code: u8) -> Action {
    match family {
        IpAddr::V4(_) => Action::RejectIcmp { code },
        IpAddr::V6(_) => Action::RejectIcmp6 { code },
    }
}

fn a_reject_by_reset_is_a_refusal(hosts: &Hosts, ends: Ends) {
    let _filter = hosts.filter_there(&[rule("30000-30099", Action::RejectTcpReset)]);
    let reach = only(ask(task(ends.answering, &set("30000-30099"))));
    assert_eq!((&reach.signal, reach.attempts), (&Signal::Refused, 1));
}

fn a_host_that_does_not_exist_is_an_unresolved_neighbour(_: &Hosts, ends: Ends) {
    let reach = only(ask(task(ends.absent, &set("30000-30099"))));
    assert_eq!(
        (&reach.signal, reach.attempts, reach.answered),
        (&Signal::NeighborUnresolved, 3, 0)
    );
}

fn a_network_without_a_route_is_no_route(_: &Hosts, ends: Ends) {
    let reach = only(ask(task(ends.elsewhere, &set("30000-30009"))));
    assert_eq!((&reach.signal, reach.answered), (&Signal::NoRoute, 0));
}

fn the_asking_host_s_own_reject_is_local(_: &Hosts, ends: Ends) {
    let _filter = Filter::new(
        None,
        Hook::Output,
        &[rule(
            "30000",
            reject(ends.asking, if ends.asking.is_ipv4() { 3 } else { 4 }),
        )],
    );
    let reach = only(ask(task(ends.answering, &set("30000"))));
    assert!(matches!(reach.signal, Signal::LocalDenied { .. }), "{reach:?}");
}

fn a_survey_knows_who_was_met_on_the_cable(_: &Hosts, ends: Ends) {
    ask(task(ends.answering, &set("30000")));
    let facts = facts::survey();
    let met = facts
        .neighbors
        .iter()
        .find(|neighbor| neighbor.address == ends.answering);
    let met = met.expect("the answering host has just answered");
    assert_eq!((met.interface.as_str(), met.mac.len()), ("cable", 17));
    let own = facts
        .interfaces
        .iter()
        .find(|interface| interface.name == "cable");
    assert_ne!(own.unwrap().mac, met.mac);
}

fn a_path_that_loses_half_of_the_packets_is_asked_again(hosts: &Hosts, ends: Ends) {
    let ports = set("30000-30199");
    let responder = hosts.responder(ends, &ports);
    let mut lossy = rule("30000-30199", Action::Drop);
    lossy.matches.push(Match::Chance { below: 1, of: 2 });
    let _filter = hosts.filter_there(&[lossy]);
    let reaches = ask(AskTask {
        attempt_timeout: Duration::from_millis(100),
        ..task(ends.answering, &ports)
    });
    are_asked_again(&reaches);
    drop(responder);
}

/// A SYN-ACK that is lost leaves a half-open connection, which answers the next SYN of its 5-tuple by RST.
fn a_way_back_that_loses_half_of_the_packets_is_no_refusal(hosts: &Hosts, ends: Ends) {
    let ports = set("30000-30199");
    let responder = hosts.responder(ends, &ports);
    let lossy = NewRule {
        matches: vec![
            Match::SourcePorts(Transport::Tcp, 30000, 30199),
            Match::Chance { below: 1, of: 2 },
        ],
        action: Action::Drop,
    };
    let _filter = Filter::new(None, Hook::Input, &[lossy]);
    let reaches = ask(AskTask {
        attempt_timeout: Duration::from_millis(100),
        ..task(ends.answering, &ports)
    });
    assert!(
        reaches.iter().all(|reach| reach.signal != Signal::Refused),
        "{reaches:?}"
    );
    let asked_again = |reach: &Reach| reach.signal == Signal::Verified && reach.attempts > 1;
    assert!(reaches.iter().any(asked_again), "{reaches:?}");
    drop(responder);
}

/// Tests of either kind that show the rule.
const ENOUGH: u32 = 3;
/// Tests before the other half of the source ports is dropped.
const TRIES_A_ROUND: u32 = 5;
/// Rounds after which the kernel must have drawn ports from both halves.
const MAX_ROUNDS: usize = 40;
