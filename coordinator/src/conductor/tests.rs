use std::{collections::BTreeSet, net::Ipv4Addr};

use plumbline_model::{
    evidence::Batch,
    id::RunId,
    observation::{Armed, Capabilities, End, HostFacts, Reach, Record, Seen, Signal},
    plan::Target,
    port::{Family, PortSet, Protocol},
};
use plumbline_proto::convert::{ArmPorts, ProgressState};
use proptest::prelude::*;

use super::{duties::Duty, *};

fn node(last: u8) -> NodeId {
    NodeId::Address(Ipv4Addr::new(10, 0, 0, last).into())
}

fn member(of: NodeId) -> Member {
    Member {
        node: of,
        addresses: of.address().into_iter().collect(),
        tls_key_sha256: String::new(),
        signing_key: String::new(),
        agreement_key: String::new(),
        data_ipv6: None,
    }
}

fn ports(text: &str) -> PortSet {
    text.parse().unwrap()
}

/// Everybody binds 443 and asks everybody else.
fn mesh(size: u8) -> Settings {
    let nodes: Vec<NodeId> = (1..=size).map(node).collect();
    let duty = |of: NodeId| Duty {
        arm: vec![ArmPorts {
            family: Family::Ipv4,
            protocol: Protocol::Tcp,
            ports: ports("443"),
        }],
        targets: vec![Target {
            family: Family::Ipv4,
            protocol: Protocol::Tcp,
            ports: ports("443"),
            destinations: nodes.iter().copied().filter(|other| *other != of).collect(),
        }],
    };
    Settings {
        duties: Duties(nodes.iter().map(|of| (*of, duty(*of))).collect()),
        pace: Pace {
            attempts: 3,
            attempt_timeout: Duration::from_secs(1),
            max_rate_node: None,
            max_rate_pair: None,
        },
        join_timeout: Duration::from_secs(60),
    }
}

/// A run with probes that do what they are told, except those that a test leaves out.
struct Rehearsal {
    conductor: Conductor,
    now_ms: u64,
    seq: BTreeMap<NodeId, u64>,
    /// Probes that say nothing at all.
    frozen: BTreeSet<NodeId>,
    /// Probes whose tests go on until they are told to stop, and a while longer.
    busy: BTreeSet<NodeId>,
    /// What was released, in this order.
    releases: Vec<(NodeId, u32)>,
    /// Tests that find silence.
    silent: BTreeSet<(NodeId, NodeId)>,
    phases: Vec<Phase>,
    events: Vec<SwarmEvent>,
    works: Vec<(NodeId, Work)>,
    finished: bool,
}

impl Rehearsal {
    fn new(settings: Settings) -> Self {
        let mut stage = Self {
            conductor: Conductor::new(settings),
            now_ms: 0,
            seq: BTreeMap::new(),
            frozen: BTreeSet::new(),
            busy: BTreeSet::new(),
            releases: Vec::new(),
            silent: BTreeSet::new(),
            phases: Vec::new(),
            events: Vec::new(),
            works: Vec::new(),
            finished: false,
        };
        stage.obey();
        stage
    }

    fn tell(&mut self, event: Event) {
        self.conductor
            .handle(Moment::after_start(Duration::from_millis(self.now_ms)), event);
        self.obey();
    }

    fn join(&mut self, who: NodeId) {
        self.tell(Event::Joined(Box::new(member(who))));
        self.tell(Event::SessionOpened {
            node: who,
            last_closed_seq: 0,
        });
        let facts = HostFacts {
            capabilities: Capabilities {
                capture: true,
                ..Capabilities::default()
            },
            ..HostFacts::default()
        };
        self.batch(who, vec![Record::Facts(Box::new(facts))]);
    }

    fn batch(&mut self, who: NodeId, records: Vec<Record>) -> u64 {
        let seq = self.seq.entry(who).or_default();
        *seq += 1;
        let batch = Batch {
            run: RunId::from_bytes([7; 8]),
            node: who,
            seq: *seq,
            previous: String::new(),
            roster_sha256: String::new(),
            assignment: 0,
            closed_unix_ms: 0,
            records,
        };
        let seq = *seq;
        self.tell(Event::BatchStored(Box::new(batch)));
        seq
    }

    fn progress(&mut self, who: NodeId, assignment: u32, state: ProgressState) {
        self.tell(Event::Progress {
            node: who,
            assignment,
            state,
        });
    }

    /// Time passes in the steps of the driver; everybody who is not frozen gives signs of life.
    fn wait(&mut self, ms: u64) {
        let until = self.now_ms + ms;
        while self.now_ms < until && !self.finished {
            self.now_ms += 250;
            let awake: Vec<NodeId> = self
                .seq
                .keys()
                .copied()
                .filter(|who| !self.frozen.contains(who))
                .collect();
            for who in awake {
                self.tell(Event::Heard(who));
            }
            self.tell(Event::Tick);
        }
    }

    fn obey(&mut self) {
        while let Some(action) = self.conductor.next_action() {
            match action {
                Action::Enter(phase) => self.phases.push(phase),
                Action::Record(_, event) => self.events.push(event),
                Action::Finished => self.finished = true,
                Action::Assign {
                    node,
                    assignment,
                    work,
                } => {
                    self.works.push((node, work.clone()));
                    let goes_on = self.busy.contains(&node) && matches!(work, Work::Ask(_));
                    if !self.frozen.contains(&node) && !goes_on {
                        self.work(node, assignment, work);
                    }
                }
                Action::Release { node, assignment } if !self.frozen.contains(&node) => {
                    self.releases.push((node, assignment));
                    if self.busy.contains(&node) {
                        continue;
                    }
                    let last_seq = self.seq.get(&node).copied().unwrap_or(0);
                    self.progress(node, assignment, ProgressState::Done { last_seq });
                }
                Action::Finish { node, .. } if !self.frozen.contains(&node) => {
                    self.tell(Event::SessionEnded(node));
                }
                Action::Release { .. } | Action::Finish { .. } | Action::PublishRoster(..) => {}
            }
        }
    }

    fn work(&mut self, who: NodeId, assignment: u32, work: Work) {
        match work {
            Work::Arm(sets) => {
                let armed = sets.into_iter().map(|set| {
                    Record::Armed(Armed {
                        family: set.family,
                        protocol: set.protocol,
                        ports: set.ports,
                        refused: Vec::new(),
                    })
                });
                self.batch(who, armed.collect());
                self.progress(who, assignment, ProgressState::Ready);
            }
            Work::Look(_) => self.progress(who, assignment, ProgressState::Ready),
            Work::Survey => {
                let last_seq = self.batch(who, vec![Record::Facts(Box::default())]);
                self.progress(who, assignment, ProgressState::Done { last_seq });
            }
            Work::Ask(Ask {
                targets, second_look, ..
            }) => {
                let mut records = Vec::new();
                for target in targets {
                    for dst in target.destinations {
                        let silent = self.silent.contains(&(who, dst)) || self.frozen.contains(&dst);
                        records.push(Record::Reach(Reach {
                            dst,
                            family: target.family,
                            protocol: target.protocol,
                            ports: target.ports.clone(),
                            signal: if silent { Signal::Silence } else { Signal::Verified },
                            attempts: 3,
                            answered: 0,
                            second_look,
                            from: None,
                        }));
                    }
                }
                let last_seq = self.batch(who, records);
                self.progress(who, assignment, ProgressState::Done { last_seq });
            }
        }
    }

    fn surveyed(&self) -> Vec<NodeId> {
        self.works
            .iter()
            .filter(|(_, work)| *work == Work::Survey)
            .map(|(who, _)| *who)
            .collect()
    }
}

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
    stage.silent.insert((node(1), node(2)));
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
        && matches!(work, Work::Ask(Ask { second_look: true, targets, .. }) if targets[0].destinations == [node(2)])));
    assert_eq!(stage.surveyed(), [node(2)]);
}

#[test]
fn a_source_that_kept_an_answer_from_its_own_socket_is_surveyed() {
    let mut failures = Failures::default();
    let record = |record| Batch {
        run: RunId::from_bytes([7; 8]),
        node: node(1),
        seq: 1,
        previous: String::new(),
        roster_sha256: String::new(),
        assignment: 0,
        closed_unix_ms: 0,
        records: vec![record],
    };
    failures.note(&record(Record::Reach(Reach {
        dst: node(2),
        family: Family::Ipv4,
        protocol: Protocol::Tcp,
        ports: ports("443"),
        signal: Signal::Silence,
        attempts: 3,
        answered: 0,
        second_look: false,
        from: None,
    })));
    failures.note(&record(Record::Seen(Seen {
        end: End::Source,
        peer: node(2),
        family: Family::Ipv4,
        protocol: Protocol::Tcp,
        ports: ports("443"),
        questions: 3,
        answers: 3,
        resets: 0,
        icmp_errors: 0,
    })));
    assert_eq!(failures.to_survey(), BTreeSet::from([node(1), node(2)]));
}

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
    assert!(stage.events.contains(&SwarmEvent::NotJoined { node: node(3) }));
    let asked = stage
        .works
        .iter()
        .filter(|(_, work)| matches!(work, Work::Ask(_)))
        .count();
    assert_eq!(asked, 2);
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

#[derive(Debug, Clone)]
enum Op {
    Join(u8),
    Open(u8),
    End(u8),
    Heard(u8),
    Batch(u8),
    Ready(u8, u32),
    Done(u8, u32, u64),
    Refuse(u8, u32),
    Pass(u64),
    Interrupt,
}

fn op() -> impl Strategy<Value = Op> {
    let who = 1..=4u8;
    let task = 1..=16u32;
    prop_oneof![
        3 => who.clone().prop_map(Op::Join),
        3 => who.clone().prop_map(Op::Open),
        1 => who.clone().prop_map(Op::End),
        3 => who.clone().prop_map(Op::Heard),
        4 => who.clone().prop_map(Op::Batch),
        4 => (who.clone(), task.clone()).prop_map(|(who, task)| Op::Ready(who, task)),
        4 => (who.clone(), task.clone(), 0..9u64).prop_map(|(who, task, seq)| Op::Done(who, task, seq)),
        1 => (who, task).prop_map(|(who, task)| Op::Refuse(who, task)),
        4 => (0..20_000u64).prop_map(Op::Pass),
        1 => Just(Op::Interrupt),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_run_ends_in_its_time_and_everybody_is_accounted_for(
        ops in prop::collection::vec(op(), 0..120)
    ) {
        let mut stage = Rehearsal::new(mesh(3));
        // Nobody obeys by himself: what probes say is what the operations say.
        stage.frozen = (1..=4).map(node).collect();
        let mut interrupted = false;
        for op in ops {
            match op {
                Op::Join(who) => stage.tell(Event::Joined(Box::new(member(node(who))))),
                Op::Open(who) => stage.tell(Event::SessionOpened { node: node(who), last_closed_seq: 0 }),
                Op::End(who) => stage.tell(Event::SessionEnded(node(who))),
                Op::Heard(who) => stage.tell(Event::Heard(node(who))),
                Op::Batch(who) => { stage.batch(node(who), Vec::new()); }
                Op::Ready(who, task) => stage.progress(node(who), task, ProgressState::Ready),
                Op::Done(who, task, last_seq) => {
                    stage.progress(node(who), task, ProgressState::Done { last_seq });
                }
                Op::Refuse(who, assignment) => stage.tell(Event::Refused {
                    node: node(who),
                    assignment,
                    reason: String::new(),
                }),
                Op::Pass(ms) => { stage.now_ms += ms; stage.tell(Event::Tick); }
                Op::Interrupt => { interrupted |= !stage.finished; stage.tell(Event::Interrupted); }
            }
        }
        stage.wait(60_000 + 11 * 60_000);
        prop_assert!(stage.finished, "{:?}", stage.phases);
        prop_assert!(stage.phases.is_sorted(), "{:?}", stage.phases);
        let last = stage.events.last();
        prop_assert!(matches!(last, Some(SwarmEvent::Finished { .. })), "{last:?}");
        // Everybody joined or is said to be missing, unless the user did not let them.
        for who in (1..=3).map(node) {
            let told = |event: &&SwarmEvent| match event {
                SwarmEvent::Joined { member } => member.node == who,
                SwarmEvent::NotJoined { node } => *node == who,
                _ => false,
            };
            let times = stage.events.iter().filter(told).count();
            prop_assert!(times == 1 || (interrupted && times == 0), "{who}: {:?}", stage.events);
        }
        // Nobody is lost twice.
        for who in (1..=4).map(node) {
            let lost = |event: &&SwarmEvent| matches!(event, SwarmEvent::Lost { node, .. } if *node == who);
            prop_assert!(stage.events.iter().filter(lost).count() <= usize::from(who != node(4)));
        }
    }
}
