//! UDP tests between two hosts.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use plumbline_model::{
    observation::{End, Heard, Reach, Record, Signal},
    port::{Family, PortSet, Protocol},
};
use plumbline_probe::{
    responder::{Responder, udp::arm},
    runner::{
        asking::AskTask,
        look::{self, Watched},
        udp::start,
    },
};
use plumbline_sys::{
    nft::{Action, Hook, Match, NewRule, Transport},
    route::Network,
};

use crate::{
    hosts::{ATTEMPT, Ends, Filter, Hosts, are_asked_again, only, reaches, rule_of, set, task},
    reject,
};

pub(crate) fn ask(task: AskTask) -> Vec<Reach> {
    reaches(start(task).unwrap().finish())
}

pub(crate) fn responder(hosts: &Hosts, ends: Ends, ports: &PortSet) -> Responder {
    hosts.responder_of(arm, ends, ports)
}

pub(crate) fn heard(responder: Responder) -> Vec<Heard> {
    let heard = |record| match record {
        Record::Heard(heard) => heard,
        other => panic!("{other:?}"),
    };
    responder.release().into_iter().map(heard).collect()
}

fn rule(ports: &str, action: Action) -> NewRule {
    rule_of(Transport::Udp, ports, action)
}

pub(crate) fn every_udp_port_of_the_node_port_range_is_verified(hosts: &Hosts, ends: Ends) {
    let ports = set("30000-32767");
    let responder = responder(hosts, ends, &ports);
    let reach = only(ask(task(ends.answering, &ports)));
    assert_eq!(
        (&reach.signal, reach.attempts, reach.answered),
        (&Signal::Verified, 1, 1)
    );
    let heard = heard(responder);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(
        (&heard[0].ports, heard[0].accepted, heard[0].proven),
        (&ports, 1, 1)
    );
}

pub(crate) fn a_filter_that_drops_datagrams_is_silence_that_the_destination_did_not_hear(
    hosts: &Hosts,
    ends: Ends,
) {
    let ports = set("30000-30999");
    let responder = responder(hosts, ends, &ports);
    let _filter = hosts.filter_there(&[rule("30000-30999", Action::Drop)]);
    let begun = Instant::now();
    let reach = only(ask(task(ends.answering, &ports)));
    assert_eq!(
        (&reach.signal, reach.attempts, reach.answered),
        (&Signal::Silence, 3, 0)
    );
    assert!(begun.elapsed() >= 3 * ATTEMPT);
    assert_eq!(heard(responder), []);
}

pub(crate) fn a_filter_that_drops_answers_is_silence_that_the_destination_heard(hosts: &Hosts, ends: Ends) {
    let ports = set("30000-30099");
    let responder = responder(hosts, ends, &ports);
    let answers = NewRule {
        matches: vec![Match::SourcePorts(Transport::Udp, 30_000, 30_099)],
        action: Action::Drop,
    };
    let _filter = Filter::new(None, Hook::Input, &[answers]);
    let reach = only(ask(task(ends.answering, &ports)));
    assert_eq!((&reach.signal, reach.attempts), (&Signal::Silence, 3));
    let heard = heard(responder);
    assert_eq!((heard[0].proven, heard[0].replayed), (3, 0), "{heard:?}");
}

/// Questions, answers and ICMP errors that a capture saw at each end, the asking one first, while a port was asked.
fn seen(hosts: &Hosts, ends: Ends) -> [(u32, u32, u32); 2] {
    let watch = |peer: IpAddr, end| Watched {
        peer: peer.into(),
        addresses: vec![peer],
        end,
        family: Family::of(peer),
        protocol: Protocol::Udp,
        ports: set("30000"),
    };
    let here = look::start(vec![watch(ends.answering, End::Source)]).unwrap();
    let there = hosts
        .answering
        .run(|| look::start(vec![watch(ends.asking, End::Destination)]))
        .unwrap()
        .unwrap();
    ask(task(ends.answering, &set("30000")));
    [here, there].map(|look| match &look.finish()[..] {
        [Record::Seen(seen)] => (seen.questions, seen.answers, seen.icmp_errors),
        other => panic!("{other:?}"),
    })
}

pub(crate) fn captures_at_both_ends_tell_where_a_datagram_died(hosts: &Hosts, ends: Ends) {
    let responder = responder(hosts, ends, &set("30000"));
    assert_eq!(seen(hosts, ends), [(1, 1, 0), (1, 1, 0)], "nothing is in the way");
    let to_port = |action| rule("30000", action);
    let from_port = || NewRule {
        matches: vec![Match::SourcePorts(Transport::Udp, 30_000, 30_000)],
        action: Action::Drop,
    };
    let filter = hosts.filter_there(&[to_port(Action::Drop)]);
    assert_eq!(
        seen(hosts, ends),
        [(3, 0, 0), (3, 0, 0)],
        "it arrived and was not answered"
    );
    drop(filter);
    let filter = Filter::new(Some(&hosts.answering), Hook::Output, &[from_port()]);
    assert_eq!(
        seen(hosts, ends),
        [(3, 0, 0), (3, 0, 0)],
        "the answer did not leave"
    );
    drop(filter);
    let filter = Filter::new(None, Hook::Input, &[from_port()]);
    assert_eq!(
        seen(hosts, ends),
        [(3, 3, 0), (3, 3, 0)],
        "the answer came back to the asking host"
    );
    drop(filter);
    let filter = Filter::new(None, Hook::Output, &[to_port(Action::Drop)]);
    assert_eq!(seen(hosts, ends), [(0, 0, 0), (0, 0, 0)], "it never left");
    drop(filter);
    let code = if ends.asking.is_ipv4() { 3 } else { 4 };
    let filter = hosts.filter_there(&[to_port(reject(ends.asking, code))]);
    assert_eq!(seen(hosts, ends), [(1, 0, 1), (1, 0, 1)], "it was rejected");
    drop(filter);
    drop(responder);
}

pub(crate) fn a_datagram_that_is_rejected_names_code_and_sender(hosts: &Hosts, ends: Ends) {
    // Few at a time: the kernel sends one ICMP error a second to a peer, after a burst of six.
    let is_ipv4 = ends.asking.is_ipv4();
    let icmp_type = if is_ipv4 { 3 } else { 1 };
    for code in [1, if is_ipv4 { 3 } else { 4 }] {
        let _filter = hosts.filter_there(&[rule("30000", reject(ends.asking, code))]);
        let reach = only(ask(task(ends.answering, &set("30000"))));
        let offender = Some(ends.answering);
        let rejected = Signal::Icmp {
            icmp_type,
            code,
            offender,
        };
        assert_eq!((reach.signal, reach.attempts, reach.answered), (rejected, 1, 1));
    }
}

pub(crate) fn datagrams_to_a_host_that_does_not_exist_do_not_resolve(_: &Hosts, ends: Ends) {
    let reach = only(ask(task(ends.absent, &set("30000-30099"))));
    assert_eq!(
        (&reach.signal, reach.attempts, reach.answered),
        (&Signal::NeighborUnresolved, 3, 0)
    );
}

pub(crate) fn datagrams_to_a_network_without_a_route_have_no_route(_: &Hosts, ends: Ends) {
    let reach = only(ask(task(ends.elsewhere, &set("30000-30009"))));
    assert_eq!((&reach.signal, reach.answered), (&Signal::NoRoute, 0));
}

pub(crate) fn the_asking_host_s_own_filter_is_named_even_if_it_drops(_: &Hosts, ends: Ends) {
    let code = if ends.asking.is_ipv4() { 3 } else { 4 };
    for action in [Action::Drop, reject(ends.asking, code)] {
        let _filter = Filter::new(None, Hook::Output, &[rule("30000", action)]);
        let reach = only(ask(task(ends.answering, &set("30000"))));
        assert!(matches!(reach.signal, Signal::LocalDenied { .. }), "{reach:?}");
    }
}

pub(crate) fn a_path_that_loses_half_of_the_datagrams_is_asked_again(hosts: &Hosts, ends: Ends) {
    let ports = set("30000-30199");
    let responder = responder(hosts, ends, &ports);
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

pub(crate) fn a_port_that_is_translated_to_another_proves_nothing(hosts: &Hosts, ends: Ends) {
    let responder = responder(hosts, ends, &set("30000-30001"));
    let action = Action::DestinationNat {
        address: ends.answering,
        port: Some(30_001),
    };
    let translation = Hosts::translate(Some(&hosts.answering), Hook::Prerouting, rule("30000", action));
    let reach = only(ask(task(ends.answering, &set("30000"))));
    drop(translation);
    assert_eq!(reach.signal, Signal::Silence);
    let heard = heard(responder);
    assert_eq!(
        (&heard[0].ports, heard[0].proven, heard[0].unproven),
        (&set("30001"), 0, 3),
        "{heard:?}"
    );
}

pub(crate) fn a_source_that_is_translated_is_proven_for_an_address_of_nobody_and_not_answered(
    hosts: &Hosts,
    ends: Ends,
) {
    let responder = responder(hosts, ends, &set("30000"));
    let another = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 50));
    let mut network = Network::open().unwrap();
    let cable = network.link("cable").unwrap().unwrap().index;
    network.add_address(cable, another, 24).unwrap();
    let translation = Hosts::translate(None, Hook::Postrouting, rule("30000", Action::SourceNat(another)));
    let reach = only(ask(task(ends.answering, &set("30000"))));
    drop(translation);
    network.delete_address(cable, another, 24).unwrap();
    assert_eq!(reach.signal, Signal::Silence);
    let heard = heard(responder);
    assert_eq!(
        (heard[0].src, heard[0].address, heard[0].proven, heard[0].unproven),
        (None, another, 3, 0),
        "{heard:?}"
    );
}
