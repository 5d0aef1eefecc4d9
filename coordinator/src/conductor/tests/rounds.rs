//! Rounds of narrowing, as a run has them.

use plumbline_model::{
    errand::Errands,
    observation::Signal,
    plan::{Block, Expect, Sharing, Target},
    profile::Severity,
};

use super::{super::*, rehearsal::*};

/// A range that four nodes share.
fn range() -> Block {
    let nodes: Vec<NodeId> = (1..=4).map(node).collect();
    Block {
        rule: "range".to_owned(),
        family: TCP4.0,
        protocol: TCP4.1,
        ports: ports("30000-30099"),
        sharing: Sharing::Strata,
        sources: nodes.clone(),
        destinations: nodes,
        expect: Expect::Open,
        severity: Severity::Warn,
        through_services: true,
        purpose: String::new(),
    }
}

/// Four nodes that share a range.
fn shared() -> Settings {
    let mut settings = mesh_of(4, &[(TCP4, "443,30000-30099")], &[]);
    let block = range();
    let nodes = block.sources.clone();
    for (node, duty) in &mut settings.duties.0 {
        duty.targets = Vec::new();
        for other in nodes.iter().filter(|other| *other != node) {
            let mut ports = block.ports_for(*node, *other);
            ports.insert_port(443);
            duty.targets.push(Target {
                family: TCP4.0,
                protocol: TCP4.1,
                ports,
                destinations: vec![*other],
            });
        }
    }
    settings.shared = SharedRanges(vec![block]);
    settings
}

#[test]
fn edges_are_narrowed_down_before_anybody_looks_and_what_was_found_is_looked_at() {
    let mut stage = Rehearsal::new(shared());
    stage.network = Box::new(|test| {
        if test.dst == node(2) && (30_050..30_099).contains(&test.port) {
            Signal::Silence
        } else {
            Signal::Verified
        }
    });
    (1..=4).for_each(|last| stage.join(node(last)));
    assert!(stage.finished, "{:?}", stage.phases);
    let narrowing = stage.phases.iter().filter(|phase| **phase == Phase::Narrowing);
    assert_eq!(narrowing.count(), 1, "{:?}", stage.phases);
    assert!(stage.phases.contains(&Phase::Looking));
    // Whoever has an edge knows both of its sides.
    for source in [1, 3, 4].map(node) {
        let asked = stage.asked().into_iter().filter(|(who, _)| *who == source);
        let asked: Vec<u16> = asked
            .flat_map(|(who, ask)| tests(who, ask))
            .filter(|test| test.dst == node(2) && !test.second_look)
            .map(|test| test.port)
            .collect();
        for port in [30_049, 30_050] {
            assert!(asked.contains(&port), "{source} did not ask {port}");
        }
    }
}

#[test]
fn a_clean_run_has_no_round() {
    let mut stage = Rehearsal::new(shared());
    (1..=4).for_each(|last| stage.join(node(last)));
    assert!(stage.finished);
    assert!(!stage.phases.contains(&Phase::Narrowing), "{:?}", stage.phases);
}

#[test]
fn a_source_that_freezes_in_a_round_ends_neither_the_rounds_nor_the_run() {
    let mut stage = Rehearsal::new(shared());
    stage.network = Box::new(|test| {
        if test.dst == node(2) && test.port >= 30_050 {
            Signal::Silence
        } else {
            Signal::Verified
        }
    });
    stage.frozen_from = Some((Phase::Narrowing, node(3)));
    (1..=4).for_each(|last| stage.join(node(last)));
    assert_eq!(stage.conductor.phase(), Phase::Narrowing);
    stage.wait(60_000);
    assert!(stage.finished, "{:?}", stage.phases);
    assert!(stage.phases.contains(&Phase::Looking));
    assert!(stage.events.contains(&SwarmEvent::Lost {
        node: node(3),
        why: LostWhy::Silent
    }));
}

#[test]
fn what_was_theirs_who_stay_away_of_a_partial_run_falls_to_those_who_came() {
    let plan = Plan {
        participants: (1..=4).map(node).collect(),
        blocks: vec![range()],
        no_vantage: Vec::new(),
        not_tested: Vec::new(),
        errands: Errands::new(),
    };
    let settings = Settings {
        duties: Duties::of(&plan),
        shared: SharedRanges::of(&plan),
        partial: Some(plan),
        ..mesh(4)
    };
    let mut stage = Rehearsal::new(settings);
    (1..=3).for_each(|last| stage.join(node(last)));
    stage.wait(70_000);
    assert!(stage.finished, "{:?}", stage.phases);
    for destination in (1..=3).map(node) {
        let asked = stage.asked().into_iter().flat_map(|(who, ask)| tests(who, ask));
        let mut asked: Vec<u16> = asked
            .filter(|test| test.dst == destination)
            .map(|test| test.port)
            .collect();
        asked.sort_unstable();
        assert_eq!(asked, (30_000..=30_099).collect::<Vec<u16>>(), "{destination}");
    }
}
