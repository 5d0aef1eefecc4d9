//! What an interrupt of the user does.

use super::{super::*, rehearsal::*};

#[test]
fn an_interrupt_releases_what_runs_keeps_what_comes_and_ends_in_seconds() {
    let mut stage = Rehearsal::new(mesh(2));
    stage.frozen.insert(node(2));
    (1..=2).for_each(|last| stage.join(node(last)));
    stage.tell(Event::Interrupted);
    assert_eq!(stage.conductor.phase(), Phase::WindingUp);
    stage.tell(Event::Interrupted);
    stage.wait(8_000);
    assert!(stage.finished);
    assert_eq!(
        stage
            .events
            .iter()
            .filter(|event| **event == SwarmEvent::Interrupted)
            .count(),
        1
    );
}

#[test]
fn an_interrupt_closes_ports_only_when_nobody_asks_any_more() {
    let mut stage = Rehearsal::new(mesh(2));
    stage.busy.insert(node(1));
    (1..=2).for_each(|last| stage.join(node(last)));
    assert_eq!(stage.conductor.phase(), Phase::Asking);
    stage.tell(Event::Interrupted);
    // Arms are 1 and 2, the tests of node 1 are 3.
    assert_eq!(stage.releases, [(node(1), 3)]);
    let last_seq = stage.seq[&node(1)];
    stage.progress(node(1), 3, ProgressState::Done { last_seq });
    assert_eq!(stage.releases, [(node(1), 3), (node(1), 1), (node(2), 2)]);
}

#[test]
fn an_interrupt_before_anybody_joined_ends_at_once() {
    let mut stage = Rehearsal::new(mesh(2));
    stage.tell(Event::Interrupted);
    assert!(stage.finished);
}

#[test]
fn what_a_source_says_that_slept_through_an_interrupt_is_not_part_of_the_run() {
    let mut stage = Rehearsal::new(mesh(2));
    stage.frozen_from = Some((Phase::Asking, node(1)));
    (1..=2).for_each(|last| stage.join(node(last)));
    assert_eq!(stage.conductor.phase(), Phase::Asking);
    stage.tell(Event::Interrupted);
    stage.wait(3_500);
    // It may still come back, so nobody has closed his ports.
    assert!(stage.conductor.takes_part(node(1)));
    assert!(stage.releases.is_empty(), "{:?}", stage.releases);
    stage.wait(1_000);
    assert!(!stage.conductor.takes_part(node(1)));
    stage.wait(4_000);
    assert!(stage.finished);
    let lost = |event: &SwarmEvent| matches!(event, SwarmEvent::Lost { .. });
    assert!(!stage.events.iter().any(lost), "{:?}", stage.events);
}
