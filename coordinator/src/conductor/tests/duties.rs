//! Who is asked what, and who is not.

use std::collections::BTreeSet;

use plumbline_model::observation::{BindFailure, Conntrack, NotBound, Signal};

use super::{super::*, rehearsal::*};

fn asked(stage: &Rehearsal) -> Vec<Test> {
    let asked = stage.asked().into_iter();
    asked.flat_map(|(who, ask)| tests(who, ask)).collect()
}

#[test]
fn every_transport_of_the_plan_is_armed_and_asked() {
    let all = [(TCP4, "443"), (UDP4, "6081"), (TCP6, "443"), (UDP6, "6081")];
    let mut stage = Rehearsal::new(mesh_of(2, &all, &[]));
    (1..=2).for_each(|last| stage.join(node(last)));
    assert!(stage.finished);
    let armed: BTreeSet<_> = stage
        .works
        .iter()
        .filter_map(|(_, work)| match work {
            Work::Arm(sets) => Some(sets),
            _ => None,
        })
        .flatten()
        .map(|set| (set.family, set.protocol))
        .collect();
    assert_eq!(armed, BTreeSet::from([TCP4, UDP4, TCP6, UDP6]));
    let asked = asked(&stage);
    assert_eq!(asked.len(), 8);
    assert!(asked.iter().all(|test| test.speaks));
}

#[test]
fn a_node_without_an_ipv6_address_is_told_to_bind_there_but_neither_asks_nor_is_asked() {
    let mut stage = Rehearsal::new(mesh_of(3, &[(TCP6, "443")], &[]));
    (1..=2).for_each(|last| stage.join(node(last)));
    stage.join_as(Member {
        data_ipv6: None,
        ..member(node(3))
    });
    assert!(stage.finished);
    let arms = stage
        .works
        .iter()
        .filter(|(_, work)| matches!(work, Work::Arm(_)));
    assert_eq!(arms.count(), 3);
    let pairs: BTreeSet<_> = asked(&stage).iter().map(|test| (test.src, test.dst)).collect();
    assert_eq!(pairs, BTreeSet::from([(node(1), node(2)), (node(2), node(1))]));
}

#[test]
fn nothing_is_sent_into_a_udp_port_that_somebody_else_holds() {
    let mut stage = Rehearsal::new(mesh_of(2, &[(UDP4, "6081,7946"), (TCP4, "7946")], &[]));
    stage.refused.insert(
        node(2),
        vec![NotBound {
            ports: ports("7946"),
            why: BindFailure::Service {
                process: Some("speaker".to_owned()),
                pid: Some(7),
            },
        }],
    );
    (1..=2).for_each(|last| stage.join(node(last)));
    assert!(stage.finished);
    let at_node_2: Vec<_> = asked(&stage)
        .into_iter()
        .filter(|test| test.dst == node(2))
        .collect();
    let found: BTreeSet<_> = at_node_2
        .iter()
        .map(|test| (test.protocol, test.port, test.speaks))
        .collect();
    let (udp, tcp) = (UDP4.1, TCP4.1);
    assert_eq!(found, BTreeSet::from([(udp, 6081, true), (tcp, 7946, false)]));
}

#[test]
fn a_port_that_must_not_answer_is_asked_without_a_word_once() {
    let mut stage = Rehearsal::new(mesh_of(2, &[(TCP4, "443")], &[(TCP4, "9101")]));
    stage.network = Box::new(|test| match (test.port, test.src == node(1)) {
        (443, _) => Signal::Verified,
        (_, true) => Signal::Refused,
        (_, false) => Signal::Silence,
    });
    (1..=2).for_each(|last| stage.join(node(last)));
    assert!(stage.finished);
    let exposure: Vec<_> = asked(&stage)
        .into_iter()
        .filter(|test| test.port == 9101)
        .collect();
    assert_eq!(exposure.len(), 2);
    assert!(exposure.iter().all(|test| !test.speaks));
    assert!(!stage.phases.contains(&Phase::Looking), "{:?}", stage.phases);
    assert!(stage.surveyed().is_empty());
}

#[test]
fn a_live_nodes_port_without_a_listener_is_asked_and_its_refusal_needs_no_second_look() {
    let mut stage = Rehearsal::new(mesh_of(2, &[(TCP4, "443,10250")], &[]));
    stage.refused.insert(
        node(2),
        vec![NotBound {
            ports: ports("10250"),
            why: BindFailure::NoListener,
        }],
    );
    stage.network = Box::new(|test| {
        if test.speaks {
            Signal::Verified
        } else {
            Signal::Refused
        }
    });
    (1..=2).for_each(|last| stage.join(node(last)));
    assert!(stage.finished);
    assert!(
        asked(&stage)
            .iter()
            .any(|test| test.port == 10250 && !test.speaks)
    );
    assert!(!stage.phases.contains(&Phase::Looking), "{:?}", stage.phases);
}

#[test]
fn a_host_whose_connection_tracking_is_nearly_full_is_asked_slowly_and_told_of_once() {
    let mut stage = Rehearsal::new(mesh_of(3, &[(TCP4, "1-1000")], &[]));
    stage.network = silent(&[(node(1), node(3))]);
    (1..=2).for_each(|last| stage.join(node(last)));
    let full = Conntrack {
        count: 64_000,
        max: 65_536,
    };
    stage.join_with(member(node(3)), Some(full));
    assert!(stage.finished);
    assert_eq!(stage.tight, [node(3)]);
    for (who, ask) in stage.asked() {
        let aims_at_it = tests(who, ask).iter().any(|test| test.dst == node(3));
        if who != node(3) && !ask.second_look {
            assert_eq!(ask.max_rate_pair.is_some(), aims_at_it, "{who}: {ask:?}");
        }
    }
}
