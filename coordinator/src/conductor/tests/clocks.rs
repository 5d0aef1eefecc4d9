//! Asking what time it is.

use plumbline_model::errand::Errand;

use super::{super::*, rehearsal::*};

/// A mesh whose hosts are looked at.
fn inspected(size: u8) -> Settings {
    let mut settings = mesh(size);
    for duty in settings.duties.0.values_mut() {
        duty.errands.push(Errand::Inspect);
    }
    settings
}

fn clocks(stage: &Rehearsal) -> Vec<&SwarmEvent> {
    let events = stage.events.iter();
    events
        .filter(|event| matches!(event, SwarmEvent::Clock { .. }))
        .collect()
}

#[test]
fn every_clock_is_asked_sixteen_times_and_stands_in_the_evidence_once() {
    let mut stage = Rehearsal::new(inspected(2));
    stage.join(node(1));
    stage.join(node(2));
    stage.wait(5_000);
    assert_eq!(stage.clocks_asked, 32);
    let expected = [1, 2].map(|last| SwarmEvent::Clock {
        node: node(last),
        offset_us: 90_000_000,
        round_trip_us: 2_000,
        samples: 16,
    });
    assert_eq!(clocks(&stage), expected.iter().collect::<Vec<_>>());
}

#[test]
fn a_probe_that_does_not_tell_the_time_holds_up_nobody_for_long() {
    let mut stage = Rehearsal::new(inspected(2));
    stage.frozen.insert(node(2));
    stage.join(node(1));
    stage.join(node(2));
    stage.wait(120_000);
    assert!(stage.finished);
    assert_eq!(clocks(&stage).len(), 1);
}

#[test]
fn nobody_is_asked_for_the_time_in_a_run_that_does_not_look_at_hosts() {
    let mut stage = Rehearsal::new(mesh(2));
    stage.join(node(1));
    stage.join(node(2));
    stage.wait(5_000);
    assert_eq!((stage.clocks_asked, clocks(&stage).len()), (0, 0));
}
