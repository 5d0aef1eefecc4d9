//! What is looked at a second time.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

use plumbline_model::{
    evidence::Batch,
    id::RunId,
    observation::{End, Reach, Record, Seen, Signal},
    port::{Family, Protocol},
};

use super::{super::*, rehearsal::*};

#[test]
fn a_clean_run_looks_once_and_surveys_nobody() {
    let mut stage = Rehearsal::new(mesh(3));
    (1..=3).for_each(|last| stage.join(node(last)));
    assert!(stage.finished);
    assert!(!stage.phases.contains(&Phase::Looking), "{:?}", stage.phases);
    assert!(stage.surveyed().is_empty());
    assert!(matches!(
        stage.events.last(),
        Some(SwarmEvent::Finished { took_ms: 0 })
    ));
}

#[test]
fn what_failed_is_watched_from_both_ends_asked_again_and_its_destination_surveyed() {
    let mut stage = Rehearsal::new(mesh(3));
    stage.network = silent(&[(node(1), node(2))]);
    (1..=3).for_each(|last| stage.join(node(last)));
    assert!(stage.finished);
    let looks: Vec<_> = stage
        .works
        .iter()
        .filter_map(|(who, work)| match work {
            Work::Look(watches) => Some((*who, watches[0].peer, watches[0].end)),
            _ => None,
        })
        .collect();
    assert_eq!(
        looks,
        [
            (node(1), node(2), End::Source),
            (node(2), node(1), End::Destination)
        ]
    );
    assert!(stage.works.iter().any(|(who, work)| *who == node(1)
        && matches!(work, Work::Ask(ask) if ask.second_look && ask.targets[0].destinations == [node(2)])));
    assert_eq!(stage.surveyed(), [node(2)]);
}

#[test]
fn a_source_that_kept_an_answer_from_its_own_socket_is_surveyed() {
    let mut failures = Failures::default();
    let duties = mesh(2).duties;
    let mut note = |record| {
        let batch = Batch {
            run: RunId::from_bytes([7; 8]),
            node: node(1),
            seq: 1,
            previous: String::new(),
            roster_sha256: String::new(),
            assignment: 0,
            closed_unix_ms: 0,
            records: vec![record],
        };
        failures.note(&batch, &duties);
    };
    note(Record::Reach(Reach {
        dst: node(2),
        family: Family::Ipv4,
        protocol: Protocol::Tcp,
        ports: ports("443"),
        signal: Signal::Silence,
        attempts: 3,
        answered: 0,
        second_look: false,
        from: None,
    }));
    note(Record::Seen(Seen {
        end: End::Source,
        peer: node(2),
        family: Family::Ipv4,
        protocol: Protocol::Tcp,
        ports: ports("443"),
        questions: 3,
        answers: 3,
        resets: 0,
        icmp_errors: 0,
    }));
    assert_eq!(failures.to_survey(), BTreeSet::from([node(1), node(2)]));
}

/// Every test of a second look, with its transport.
fn second_looks(stage: &Rehearsal) -> Vec<Test> {
    let asked = stage.asked().into_iter();
    asked
        .flat_map(|(who, ask)| tests(who, ask))
        .filter(|test| test.second_look)
        .collect()
}

#[test]
fn a_datagram_over_ipv6_that_got_lost_is_asked_again_as_one() {
    let mut stage = Rehearsal::new(mesh_of(2, &[(TCP4, "443"), (UDP6, "6081,7946")], &[]));
    stage.network = Box::new(|test| match (test.protocol, test.src == node(1)) {
        (Protocol::Udp, true) if test.port == 7946 => Signal::Silence,
        _ => Signal::Verified,
    });
    (1..=2).for_each(|last| stage.join(node(last)));
    assert!(stage.finished);
    let [test] = second_looks(&stage)[..] else {
        panic!("{:?}", second_looks(&stage));
    };
    assert_eq!(
        (test.family, test.protocol, test.port),
        (Family::Ipv6, Protocol::Udp, 7946)
    );
    let watches = stage.works.iter().filter_map(|(_, work)| match work {
        Work::Look(watches) => Some(watches),
        _ => None,
    });
    for watch in watches.flatten() {
        assert_eq!((watch.family, watch.protocol), UDP6);
    }
}

#[test]
fn an_answer_from_another_address_of_the_peer_needs_no_second_look() {
    let mut stage = Rehearsal::new(mesh_of(2, &[(UDP4, "6081")], &[]));
    stage.network = Box::new(|_| Signal::AnsweredFrom {
        address: Ipv4Addr::new(10, 9, 9, 9).into(),
    });
    (1..=2).for_each(|last| stage.join(node(last)));
    assert!(stage.finished);
    assert!(!stage.phases.contains(&Phase::Looking), "{:?}", stage.phases);
}

/// Node 2 rejects a range, and its limit of ICMP errors lets the first six through.
fn limited(offender: IpAddr) -> Network {
    Box::new(move |test| match test.port {
        _ if test.dst != node(2) || test.port < 30_000 => Signal::Verified,
        30_000..=30_005 => Signal::Icmp {
            icmp_type: 3,
            code: 13,
            offender: Some(offender),
        },
        _ => Signal::Silence,
    })
}

#[test]
fn what_a_limit_of_icmp_errors_may_hide_is_asked_again_at_one_a_second() {
    let mut stage = Rehearsal::new(mesh_of(2, &[(TCP4, "443,30000-30299")], &[]));
    stage.network = limited(Ipv4Addr::new(10, 0, 0, 2).into());
    (1..=2).for_each(|last| stage.join(node(last)));
    assert!(stage.finished);
    let again: Vec<_> = stage
        .asked()
        .into_iter()
        .filter(|(_, ask)| ask.second_look)
        .collect();
    let [(who, ask)] = again[..] else {
        panic!("{again:?}")
    };
    assert_eq!(who, node(1));
    assert_eq!((ask.max_rate_pair.map(u32::from), ask.attempts), (Some(1), 1));
    let asked = tests(who, ask);
    assert!((1..=3).contains(&asked.len()), "{asked:?}");
    assert!(asked.iter().all(|test| test.port > 30_005), "{asked:?}");
    // Both ends watch what is asked.
    let watched = |end| {
        stage.works.iter().any(|(_, work)| {
            matches!(work, Work::Look(watches) if watches.iter().any(|watch| watch.end == end
                && watch.ports == asked.iter().map(|test| test.port).collect()))
        })
    };
    assert!(watched(End::Source) && watched(End::Destination));
}

#[test]
fn a_router_that_rejects_for_many_pairs_is_asked_slowly_by_few_of_them() {
    let mut stage = Rehearsal::new(mesh_of(12, &[(TCP4, "30000-30299")], &[]));
    stage.network = limited(Ipv4Addr::new(192, 0, 2, 1).into());
    (1..=12).for_each(|last| stage.join(node(last)));
    assert!(stage.finished);
    let slow = stage
        .asked()
        .into_iter()
        .filter(|(_, ask)| ask.second_look && ask.max_rate_pair.is_some())
        .count();
    let fast = stage
        .asked()
        .into_iter()
        .filter(|(_, ask)| ask.second_look && ask.max_rate_pair.is_none())
        .count();
    assert_eq!((slow, fast), (4, 7));
}
