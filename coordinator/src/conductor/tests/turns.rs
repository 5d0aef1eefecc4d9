//! Turns: who leads one after the other, while others follow.

use plumbline_model::{
    errand::{Encapsulation, Errand, HoldErrand, HoldPart, TunnelErrand},
    observation::{HostFacts, Life, Record},
};

use super::{super::*, rehearsal::*};

fn hold(turn: u32, part: HoldPart) -> Errand {
    Errand::Hold(HoldErrand {
        turn,
        vip: [10, 0, 0, 100].into(),
        port: 443,
        part,
    })
}

fn take(callers: &[u8]) -> HoldPart {
    HoldPart::Take {
        callers: callers.iter().copied().map(node).collect(),
    }
}

fn reach(holders: &[u8]) -> HoldPart {
    HoldPart::Reach {
        holders: holders.iter().copied().map(node).collect(),
    }
}

/// Nodes 1 and 2 are to take a VIP, everybody asks for it; then 3 sends to 1 through a tunnel.
fn with_turns() -> Settings {
    let mut settings = mesh(3);
    let tunnel = |peer: u8, takes| {
        Errand::Tunnel(TunnelErrand {
            turn: 9,
            encapsulation: Encapsulation::Vxlan,
            port: 8472,
            peer: node(peer),
            takes,
        })
    };
    let mut give = |to: u8, errand: Errand| {
        let duty = settings.duties.0.get_mut(&node(to)).unwrap();
        duty.errands.push(errand);
    };
    give(1, hold(0, take(&[2, 3])));
    give(1, hold(0, reach(&[2])));
    give(2, hold(0, take(&[1, 3])));
    give(2, hold(0, reach(&[1])));
    give(3, hold(0, reach(&[1, 2])));
    give(1, tunnel(3, true));
    give(3, tunnel(1, false));
    settings
}

/// What was given in turns so far: whom, whether it leads, and the assignment.
fn given(stage: &Rehearsal) -> Vec<(NodeId, bool)> {
    let errands = stage.works.iter().filter_map(|(who, work)| match work {
        Work::Errand(Errand::Hold(errand)) => Some((*who, errand.takes())),
        Work::Errand(Errand::Tunnel(errand)) => Some((*who, errand.takes)),
        _ => None,
    });
    errands.collect()
}

/// The assignment that the last one in turn got.
fn last_assignment(stage: &Rehearsal) -> u32 {
    stage.conductor.last_assignment
}

fn at_the_first_turn() -> Rehearsal {
    let mut stage = Rehearsal::new(with_turns());
    stage.holds_turns = true;
    for last in 1..=3 {
        stage.join(node(last));
    }
    stage.wait(1_000);
    stage
}

#[test]
fn who_asks_begins_when_the_address_is_held_and_stays_until_the_last_holder_is_done() {
    let mut stage = at_the_first_turn();
    assert_eq!(stage.conductor.phase(), Phase::InTurn);
    assert_eq!(given(&stage), [(node(1), true)]);
    let first = last_assignment(&stage);
    stage.progress(node(1), first, ProgressState::Ready);
    let asking = [(node(1), false), (node(2), false), (node(3), false)];
    assert_eq!(given(&stage)[1..], asking);
    assert_eq!(stage.releases_of_errands(), 0);

    stage.progress(node(1), first, ProgressState::Done { last_seq: 0 });
    assert_eq!(given(&stage)[4..], [(node(2), true)]);
    assert_eq!(stage.releases_of_errands(), 0);

    let second = last_assignment(&stage);
    stage.progress(node(2), second, ProgressState::Ready);
    stage.progress(node(2), second, ProgressState::Done { last_seq: 0 });
    // Those who ask are released, and the next turn begins.
    assert_eq!(stage.releases_of_errands(), 3);
    assert_eq!(given(&stage)[5..], [(node(1), true)]);
}

#[test]
fn nobody_asks_for_an_address_that_nobody_could_take() {
    let mut stage = at_the_first_turn();
    for _ in 0..2 {
        let taking = last_assignment(&stage);
        let (who, _) = *given(&stage).last().unwrap();
        stage.progress(who, taking, ProgressState::Done { last_seq: 0 });
    }
    // Both tried; now it is the tunnel's turn, whose other end is not there yet.
    assert_eq!(given(&stage), [(node(1), true), (node(2), true), (node(1), true)]);
}

#[test]
fn an_end_that_sends_begins_when_the_other_is_ready_and_may_go_on_after_it() {
    let mut stage = at_the_first_turn();
    for _ in 0..2 {
        let taking = last_assignment(&stage);
        let (who, _) = *given(&stage).last().unwrap();
        stage.progress(who, taking, ProgressState::Done { last_seq: 0 });
    }
    let takes = last_assignment(&stage);
    stage.progress(node(1), takes, ProgressState::Ready);
    assert_eq!(given(&stage).last(), Some(&(node(3), false)));
    let sends = last_assignment(&stage);
    stage.progress(node(1), takes, ProgressState::Done { last_seq: 0 });
    assert_eq!(stage.conductor.phase(), Phase::InTurn);
    stage.progress(node(3), sends, ProgressState::Done { last_seq: 0 });
    stage.wait(1_000);
    assert!(stage.finished);
}

#[test]
fn no_turn_begins_in_which_a_live_node_would_lead() {
    let mut stage = Rehearsal::new(with_turns());
    stage.holds_turns = true;
    for last in 1..=3 {
        stage.join(node(last));
        if last == 1 {
            let live = HostFacts {
                life: Life::Live,
                ..HostFacts::default()
            };
            stage.batch(node(1), vec![Record::Facts(Box::new(live))]);
        }
    }
    stage.wait(1_000);
    // Node 1 leads in both.
    assert_eq!(given(&stage), []);
    assert!(stage.finished);
}

#[test]
fn a_live_node_asks_for_a_vip_and_ends_no_tunnel() {
    let mut stage = Rehearsal::new(with_turns());
    stage.holds_turns = true;
    for last in 1..=3 {
        stage.join(node(last));
    }
    let live = HostFacts {
        life: Life::Live,
        ..HostFacts::default()
    };
    stage.batch(node(3), vec![Record::Facts(Box::new(live))]);
    stage.wait(1_000);
    for _ in 0..2 {
        let taking = last_assignment(&stage);
        let (who, _) = *given(&stage).last().unwrap();
        stage.progress(who, taking, ProgressState::Done { last_seq: 0 });
    }
    stage.wait(1_000);
    // The VIP's turn was begun, since 3 would only have asked; the tunnel to it was not.
    assert_eq!(given(&stage), [(node(1), true), (node(2), true)]);
    assert!(stage.finished);
}

#[test]
fn a_holder_that_goes_silent_costs_its_lease_and_no_more() {
    let mut stage = at_the_first_turn();
    stage.frozen.insert(node(1));
    stage.wait(120_000);
    assert!(stage.finished);
    let lost = stage
        .events
        .iter()
        .any(|event| matches!(event, SwarmEvent::Lost { node: who, .. } if *who == node(1)));
    assert!(lost, "{:?}", stage.events);
    assert!(given(&stage).contains(&(node(2), true)));
}

#[test]
fn an_interrupt_releases_whoever_holds_and_whoever_asks() {
    let mut stage = at_the_first_turn();
    let first = last_assignment(&stage);
    stage.progress(node(1), first, ProgressState::Ready);
    stage.tell(Event::Interrupted);
    assert_eq!(stage.releases_of_errands(), 4);
    stage.wait(10_000);
    assert!(stage.finished);
}
