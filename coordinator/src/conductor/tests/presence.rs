//! Joining, leaving, falling silent, coming back.

use plumbline_model::{
    errand::{Errand, LinkErrand},
    plan::Target,
    port::{Family, Protocol},
};

use super::{super::*, rehearsal::*};

#[test]
fn a_run_that_nobody_joins_ends_at_the_join_timeout_and_says_who_is_missing() {
    let mut stage = Rehearsal::new(mesh(2));
    stage.wait(59_000);
    assert!(!stage.finished);
    stage.wait(1_500);
    assert!(stage.finished);
    let missing: Vec<_> = stage
        .events
        .iter()
        .filter(|event| matches!(event, SwarmEvent::NotJoined { .. }))
        .collect();
    assert_eq!(missing.len(), 2);
}

#[test]
fn a_run_goes_on_without_those_who_do_not_join() {
    let mut stage = Rehearsal::new(mesh(3));
    stage.join(node(1));
    stage.join(node(2));
    stage.wait(61_000);
    assert!(stage.finished);
    assert!(stage.events.contains(&SwarmEvent::NotJoined {
        node: node(3),
        refused: None
    }));
    let asked = stage
        .works
        .iter()
        .filter(|(_, work)| matches!(work, Work::Ask(_)))
        .count();
    assert_eq!(asked, 2);
}

#[test]
fn whoever_does_not_join_is_named_in_nobodys_errand() {
    let mut settings = mesh(3);
    let errand = LinkErrand {
        peers: vec![node(2), node(3)],
        addresses: Vec::new(),
    };
    let duty = settings.duties.0.get_mut(&node(1)).unwrap();
    duty.errands.push(Errand::Link(errand));
    let mut stage = Rehearsal::new(settings);
    stage.join(node(1));
    stage.join(node(2));
    stage.wait(61_000);
    assert!(stage.finished);
    let given: Vec<&Work> = stage.works.iter().map(|(_, work)| work).collect();
    let link = given.iter().find_map(|work| match work {
        Work::Errand(Errand::Link(errand)) => Some(&errand.peers[..]),
        _ => None,
    });
    assert_eq!(link, Some(&[node(2)][..]));
}

#[test]
fn why_the_last_one_that_asked_to_join_was_refused_is_told_unless_it_joined_after_all() {
    let mut stage = Rehearsal::new(mesh(3));
    for (who, reason) in [(1, "too old"), (3, "too old"), (3, "from elsewhere")] {
        stage.tell(Event::NotAdmitted {
            node: node(who),
            reason: reason.to_owned(),
        });
    }
    stage.join(node(1));
    stage.join(node(2));
    stage.wait(61_000);
    let mut not_joined = stage.events.iter();
    let not_joined = not_joined.find(|event| matches!(event, SwarmEvent::NotJoined { .. }));
    assert_eq!(
        not_joined,
        Some(&SwarmEvent::NotJoined {
            node: node(3),
            refused: Some("from elsewhere".to_owned())
        })
    );
}

#[test]
fn a_frozen_probe_is_given_up_after_its_lease_and_the_others_finish() {
    let mut stage = Rehearsal::new(mesh(3));
    stage.join(node(1));
    stage.join(node(2));
    stage.frozen.insert(node(3));
    stage.join(node(3));
    assert_eq!(stage.conductor.phase(), Phase::Arming);
    stage.wait(17_000);
    assert!(stage.finished, "{:?}", stage.phases);
    assert!(stage.events.contains(&SwarmEvent::Lost {
        node: node(3),
        why: LostWhy::Silent
    }));
}

#[test]
fn a_killed_probe_is_given_up_after_the_grace() {
    let mut stage = Rehearsal::new(mesh(3));
    stage.frozen.insert(node(3));
    (1..=3).for_each(|last| stage.join(node(last)));
    stage.tell(Event::SessionEnded(node(3)));
    stage.wait(6_000);
    assert!(stage.finished, "{:?}", stage.phases);
    assert!(stage.events.contains(&SwarmEvent::Lost {
        node: node(3),
        why: LostWhy::StreamEnded
    }));
}

#[test]
fn a_probe_that_comes_back_within_the_grace_is_given_its_work_again() {
    let mut stage = Rehearsal::new(mesh(2));
    stage.frozen.insert(node(2));
    (1..=2).for_each(|last| stage.join(node(last)));
    stage.tell(Event::SessionEnded(node(2)));
    stage.wait(4_000);
    stage.frozen.clear();
    stage.tell(Event::SessionOpened {
        node: node(2),
        last_closed_seq: 0,
    });
    assert!(stage.finished, "{:?}", stage.phases);
    assert!(
        !stage
            .events
            .iter()
            .any(|event| matches!(event, SwarmEvent::Lost { .. }))
    );
}

#[test]
fn a_probe_that_comes_back_later_is_late_and_told_to_finish() {
    let mut stage = Rehearsal::new(mesh(3));
    stage.frozen.extend([node(2), node(3)]);
    (1..=3).for_each(|last| stage.join(node(last)));
    stage.tell(Event::SessionEnded(node(3)));
    stage.wait(6_000);
    stage.works.clear();
    stage.tell(Event::SessionOpened {
        node: node(3),
        last_closed_seq: 0,
    });
    assert!(stage.events.contains(&SwarmEvent::Late { node: node(3) }));
    assert!(stage.works.is_empty());
}

#[test]
fn a_coordinator_that_was_stopped_for_ten_seconds_gives_nobody_up_for_it() {
    let mut stage = Rehearsal::new(mesh(2));
    stage.frozen.insert(node(2));
    (1..=2).for_each(|last| stage.join(node(last)));
    stage.wait(8_000);
    stage.now_ms += 10_000;
    stage.tell(Event::Tick);
    assert!(
        !stage
            .events
            .iter()
            .any(|event| matches!(event, SwarmEvent::Lost { .. }))
    );
    // The lease goes on where it was.
    stage.wait(8_000);
    assert!(stage.events.contains(&SwarmEvent::Lost {
        node: node(2),
        why: LostWhy::Silent
    }));
}

#[test]
fn done_is_believed_only_when_every_batch_is_stored() {
    let mut stage = Rehearsal::new(mesh(1));
    stage.frozen.insert(node(1));
    stage.conductor.duties.0.get_mut(&node(1)).unwrap().targets = vec![Target {
        family: Family::Ipv4,
        protocol: Protocol::Tcp,
        ports: ports("1"),
        destinations: vec![node(1)],
    }];
    stage.join(node(1));
    stage.progress(node(1), 1, ProgressState::Ready);
    assert_eq!(stage.conductor.phase(), Phase::Asking);
    stage.progress(node(1), 2, ProgressState::Done { last_seq: 2 });
    assert_eq!(stage.conductor.phase(), Phase::Asking);
    stage.batch(node(1), Vec::new());
    assert_eq!(stage.conductor.phase(), Phase::ReleasingArm);
}

#[test]
fn a_probe_that_is_alive_and_never_done_is_overdue() {
    let mut stage = Rehearsal::new(mesh(2));
    stage.join(node(1));
    stage.tell(Event::Joined(Box::new(member(node(2)))));
    stage.tell(Event::SessionOpened {
        node: node(2),
        last_closed_seq: 0,
    });
    stage.seq.insert(node(2), 0);
    // It heartbeats and never gets its responders up.
    stage.wait(60_000);
    assert!(stage.phases.contains(&Phase::Arming));
    stage.conductor.seats.get_mut(&node(2)).unwrap().tasks.insert(
        99,
        Task {
            work: Work::Survey,
            told: None,
            released: false,
        },
    );
    stage.wait(120_000);
    assert!(stage.finished, "{:?}", stage.phases);
}

#[test]
fn a_refusal_is_recorded_and_not_waited_for() {
    let mut stage = Rehearsal::new(mesh(1));
    stage.frozen.insert(node(1));
    stage.join(node(1));
    assert_eq!(stage.conductor.phase(), Phase::Arming);
    let reason = "port 443 is not in the node's policy".to_owned();
    stage.tell(Event::Refused {
        node: node(1),
        assignment: 1,
        reason: reason.clone(),
    });
    assert!(stage.events.contains(&SwarmEvent::Refused {
        node: node(1),
        reason
    }));
    assert!(stage.conductor.phase() > Phase::Arming);
}
