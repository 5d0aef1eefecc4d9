//! The life of a probe against a coordinator that does what each test says, over real TLS on loopback.

mod coordinator;

use std::{num::NonZeroU32, time::Duration};

use plumbline_model::{
    evidence::Member,
    id::NodeId,
    observation::{Armed, NotTried, Reach, Record, Signal},
    plan::Target,
    port::{Family, PortRange, Protocol},
};
use plumbline_proto::convert::{ArmPorts, Ask, FromProbe, Progress, ProgressState, Roster, ToProbe, Work};

use tonic::Status;

use self::coordinator::{Coordinator, Probe};
use super::{End, Settings};
use crate::guard::Policy;

fn node(last: u8) -> NodeId {
    NodeId::Address([127, 0, 0, last].into())
}

/// A port of this address that nobody holds at the moment.
fn free_port(node: NodeId) -> u16 {
    let address = node.address().unwrap();
    std::net::TcpListener::bind((address, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn arm(port: u16) -> Work {
    let ports = PortRange::single(port).unwrap().into();
    Work::Arm(vec![ArmPorts {
        family: Family::Ipv4,
        protocol: Protocol::Tcp,
        ports,
    }])
}

fn ask(destinations: &[NodeId], ports: &str) -> Work {
    Work::Ask(Ask {
        targets: vec![Target {
            family: Family::Ipv4,
            protocol: Protocol::Tcp,
            ports: ports.parse().unwrap(),
            destinations: destinations.to_vec(),
        }],
        live_services: Vec::new(),
        attempts: 1,
        attempt_timeout: Duration::from_millis(500),
        max_rate_node: None,
        max_rate_pair: None,
        second_look: false,
    })
}

fn reaches(records: &[Record]) -> Vec<&Reach> {
    records
        .iter()
        .filter_map(|record| {
            if let Record::Reach(reach) = record {
                Some(reach)
            } else {
                None
            }
        })
        .collect()
}

fn done(assignment: u32, last_seq: u64) -> FromProbe {
    FromProbe::Progress(Progress {
        assignment,
        state: ProgressState::Done { last_seq },
        done: 0,
        total: 0,
    })
}

/// A member that exists on the roster only.
fn stranger(node: NodeId) -> Member {
    Member {
        node,
        addresses: vec![node.address().unwrap()],
        tls_key_sha256: "00".repeat(32),
        signing_key: format!("04{}", "11".repeat(64)),
        // The base point of Curve25519: a key like any other.
        agreement_key: format!("09{}", "00".repeat(31)),
        data_ipv6: None,
    }
}

#[tokio::test]
async fn a_probe_joins_greets_and_testifies_what_its_host_is() {
    let mut coordinator = Coordinator::new(&[node(2)]).await;
    let _probe = Probe::start(coordinator.settings(node(2)));
    let mut session = coordinator.session().await;
    assert_eq!((session.hello.node, session.hello.last_closed_seq), (node(2), 1));
    session.welcome(0).await;
    let batch = session.batch().await;
    assert_eq!((batch.seq, batch.assignment, batch.previous.as_str()), (1, 0, ""));
    let [Record::Facts(facts)] = batch.records.as_slice() else {
        panic!("{:?}", batch.records)
    };
    assert!(!facts.hostname.is_empty());
}

#[tokio::test]
async fn nothing_but_the_greeting_is_said_before_the_welcome() {
    let mut coordinator = Coordinator::new(&[node(2)]).await;
    let _probe = Probe::start(coordinator.settings(node(2)));
    let mut session = coordinator.session().await;
    assert!(session.says_nothing_for(Duration::from_millis(300)).await);
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_unchanged_and_what_was_is_not() {
    let mut coordinator = Coordinator::new(&[node(2)]).await;
    let _probe = Probe::start(coordinator.settings(node(2)));
    let mut first = coordinator.session().await;
    first.welcome(0).await;
    let envelope = first.envelope().await;
    drop(first);

    let mut second = coordinator.session().await;
    assert_eq!(second.hello.last_closed_seq, 1);
    second.welcome(0).await;
    assert_eq!(second.envelope().await, envelope);
    drop(second);

    let mut third = coordinator.session().await;
    third.welcome(1).await;
    third.send(ToProbe::Assignment(coordinator.survey(1))).await;
    // No roster was given, so the survey is refused: the first thing that is said, since no batch is owed.
    assert!(matches!(
        third.next().await,
        FromProbe::Refusal { assignment: 1, .. }
    ));
    assert_eq!(coordinator.joins(), 1);
}

#[tokio::test]
async fn a_coordinator_with_another_key_than_the_pinned_one_is_not_spoken_to() {
    let coordinator = Coordinator::new(&[node(2)]).await;
    let mut settings = coordinator.settings(node(2));
    settings.join.pin[0] ^= 1;
    let End::Refused { reason } = Probe::start(settings).ended().await else {
        panic!("refused")
    };
    assert!(reason.contains("not the coordinator whose pin"), "{reason}");
    assert_eq!(coordinator.joins(), 0);
}

#[tokio::test]
async fn a_join_string_that_was_used_before_is_refused() {
    let mut coordinator = Coordinator::new(&[node(2)]).await;
    let _first = Probe::start(coordinator.settings(node(2)));
    let _session = coordinator.session().await;
    let End::Refused { reason } = Probe::start(coordinator.settings(node(2))).ended().await else {
        panic!("refused")
    };
    assert!(reason.contains("used before"), "{reason}");
}

#[tokio::test]
async fn finish_ends_the_probe() {
    let mut coordinator = Coordinator::new(&[node(2)]).await;
    let probe = Probe::start(coordinator.settings(node(2)));
    let session = coordinator.session().await;
    session
        .send(ToProbe::Finish {
            reason: "all measured".to_owned(),
        })
        .await;
    assert_eq!(
        probe.ended().await,
        End::Finished {
            reason: "all measured".to_owned()
        }
    );
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_finds_no_coordinator_ends_when_its_time_is_over() {
    let mut settings = Coordinator::new(&[node(2)]).await.settings(node(2));
    // The coordinator is gone again; its port refuses.
    settings.ttl = Duration::from_secs(3600);
    assert_eq!(Probe::start(settings).ended().await, End::NeverWelcomed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_to_give_up_does_so_when_the_coordinator_has_been_silent_for_that_long() {
    let mut settings = Coordinator::new(&[node(2)]).await.settings(node(2));
    settings.give_up = Some(Duration::from_secs(60));
    let started = tokio::time::Instant::now();
    assert_eq!(Probe::start(settings).ended().await, End::NeverWelcomed);
    assert!(
        (60..62).contains(&started.elapsed().as_secs()),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn an_assignment_without_a_roster_or_with_an_unknown_one_is_refused() {
    let mut coordinator = Coordinator::new(&[node(2)]).await;
    let _probe = Probe::start(coordinator.settings(node(2)));
    let mut session = coordinator.session().await;
    session.welcome(1).await;
    session.send(ToProbe::Assignment(coordinator.survey(1))).await;
    assert!(matches!(
        session.next().await,
        FromProbe::Refusal { assignment: 1, .. }
    ));

    session.send(ToProbe::Roster(coordinator.roster(&[]))).await;
    let other = coordinator.roster(&[stranger(node(9))]);
    session.assign(2, Work::Survey, &other).await;
    let FromProbe::Refusal {
        assignment: 2,
        reason,
    } = session.next().await
    else {
        panic!("refused")
    };
    assert!(reason.contains("roster"), "{reason}");
}

#[tokio::test]
async fn a_roster_that_shows_the_probe_with_another_key_stops_everything() {
    let mut coordinator = Coordinator::new(&[node(2)]).await;
    let _probe = Probe::start(coordinator.settings(node(2)));
    let mut session = coordinator.session().await;
    session.welcome(1).await;
    let forged = Roster::new(vec![stranger(node(2)), stranger(node(3))]).unwrap();
    session.send(ToProbe::Roster(forged.clone())).await;
    session.assign(1, ask(&[node(3)], "22"), &forged).await;
    let FromProbe::Refusal {
        assignment: 1,
        reason,
    } = session.next().await
    else {
        panic!("refused")
    };
    assert!(reason.contains("key"), "{reason}");
}

#[tokio::test]
async fn a_target_outside_the_local_policy_is_reported_and_not_touched() {
    let mut coordinator = Coordinator::new(&[node(2)]).await;
    let policy = Policy::parse("networks: [127.0.0.0/30]").unwrap();
    let _probe = Probe::start(Settings {
        policy,
        ..coordinator.settings(node(2))
    });
    let mut session = coordinator.session().await;
    session.welcome(1).await;
    let listener = tokio::net::TcpListener::bind((node(4).address().unwrap(), 0))
        .await
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    let roster = coordinator.roster(&[stranger(node(4))]);
    session.send(ToProbe::Roster(roster.clone())).await;
    session
        .assign(1, ask(&[node(4)], &port.to_string()), &roster)
        .await;
    let (records, last_seq) = session.records_until_done(1).await;
    let [reach] = reaches(&records)[..] else {
        panic!("{records:?}")
    };
    assert_eq!(
        reach.signal,
        Signal::NotTried {
            why: NotTried::Policy
        }
    );
    assert_eq!((reach.ports.to_string(), last_seq), (port.to_string(), 2));
    let touched = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(touched.is_err(), "the target was touched");
}

#[tokio::test]
async fn an_assignment_that_is_given_again_is_answered_and_not_done_again() {
    let mut coordinator = Coordinator::new(&[node(2)]).await;
    let _probe = Probe::start(coordinator.settings(node(2)));
    let mut session = coordinator.session().await;
    session.welcome(1).await;
    let roster = coordinator.roster(&[]);
    session.send(ToProbe::Roster(roster.clone())).await;
    session.assign(1, Work::Survey, &roster).await;
    let (records, last_seq) = session.records_until_done(1).await;
    assert_eq!((records.len(), last_seq), (1, 2));
    session.assign(1, Work::Survey, &roster).await;
    assert_eq!(session.next().await, done(1, 2));
}

#[tokio::test]
async fn what_became_of_an_assignment_is_said_again_after_a_reconnect() {
    let mut coordinator = Coordinator::new(&[node(2)]).await;
    let _probe = Probe::start(coordinator.settings(node(2)));
    let mut first = coordinator.session().await;
    first.welcome(1).await;
    let roster = coordinator.roster(&[]);
    first.send(ToProbe::Roster(roster.clone())).await;
    let port = free_port(node(2));
    first.assign(1, arm(port), &roster).await;
    first.records_until_ready(1).await;
    drop(first);

    let mut second = coordinator.session().await;
    assert_eq!(second.hello.last_closed_seq, 2);
    second.welcome(2).await;
    let ready = Progress {
        assignment: 1,
        state: ProgressState::Ready,
        done: 0,
        total: 0,
    };
    assert_eq!(second.next().await, FromProbe::Progress(ready));
}

#[tokio::test]
async fn an_acknowledgement_of_what_was_never_sent_changes_nothing() {
    let mut coordinator = Coordinator::new(&[node(2)]).await;
    let _probe = Probe::start(coordinator.settings(node(2)));
    let mut session = coordinator.session().await;
    session.welcome(0).await;
    session.send(ToProbe::Ack { seq: 99 }).await;
    assert_eq!(session.batch().await.seq, 1);
}

#[tokio::test]
async fn a_session_that_the_coordinator_refuses_ends_the_probe_with_its_words() {
    let mut coordinator = Coordinator::new(&[node(2)]).await;
    let probe = Probe::start(coordinator.settings(node(2)));
    let session = coordinator.session().await;
    session
        .refuse(Status::permission_denied("the run does not want this node"))
        .await;
    let End::Refused { reason } = probe.ended().await else {
        panic!("refused")
    };
    assert!(reason.contains("the run does not want this node"), "{reason}");
}

#[tokio::test]
async fn a_stranger_behind_one_address_does_not_keep_the_probe_from_another() {
    let mut coordinator = Coordinator::new(&[node(2)]).await;
    let stranger = Coordinator::new(&[]).await;
    let mut settings = coordinator.settings(node(2));
    settings.join.coordinator.insert(0, stranger.address());
    let _probe = Probe::start(settings);
    assert_eq!(coordinator.session().await.hello.node, node(2));
}

#[tokio::test]
async fn two_probes_prove_an_open_port_to_each_other_and_both_testify() {
    let (a, b) = (node(2), node(3));
    let mut coordinator = Coordinator::new(&[a, b]).await;
    let _destination = Probe::start(coordinator.settings(a));
    let mut at_a = coordinator.session().await;
    let _source = Probe::start(coordinator.settings(b));
    let mut at_b = coordinator.session().await;
    let roster = coordinator.roster(&[]);
    for session in [&mut at_a, &mut at_b] {
        session.welcome(1).await;
        session.send(ToProbe::Roster(roster.clone())).await;
    }
    let port = free_port(a);
    at_a.assign(1, arm(port), &roster).await;
    let (records, _) = at_a.records_until_ready(1).await;
    let [Record::Armed(Armed { ports, refused, .. })] = records.as_slice() else {
        panic!("{records:?}")
    };
    assert_eq!(
        (ports.to_string(), refused.as_slice()),
        (port.to_string(), [].as_slice())
    );

    at_b.assign(2, ask(&[a], &port.to_string()), &roster).await;
    let (records, _) = at_b.records_until_done(2).await;
    let [reach] = reaches(&records)[..] else {
        panic!("{records:?}")
    };
    assert_eq!((reach.dst, &reach.signal), (a, &Signal::Verified));

    at_a.send(ToProbe::Release { assignment: 1 }).await;
    let (records, _) = at_a.records_until_done(1).await;
    let [Record::Heard(heard)] = records.as_slice() else {
        panic!("{records:?}")
    };
    assert_eq!((heard.src, heard.proven), (Some(b), 1));
}

/// TCP and UDP in one assignment: a responder and a runner for each, and one end of both.
#[tokio::test]
async fn both_transports_are_armed_asked_and_released_together() {
    let (a, b) = (node(2), node(3));
    let mut coordinator = Coordinator::new(&[a, b]).await;
    let _destination = Probe::start(coordinator.settings(a));
    let mut at_a = coordinator.session().await;
    let _source = Probe::start(coordinator.settings(b));
    let mut at_b = coordinator.session().await;
    let roster = coordinator.roster(&[]);
    for session in [&mut at_a, &mut at_b] {
        session.welcome(1).await;
        session.send(ToProbe::Roster(roster.clone())).await;
    }
    let of = |port: u16, protocol| {
        let (Work::Arm(mut sets), Work::Ask(mut ask)) = (arm(port), ask(&[a], &port.to_string())) else {
            panic!("they are what they are called");
        };
        sets[0].protocol = protocol;
        ask.targets[0].protocol = protocol;
        (sets.remove(0), ask.targets.remove(0))
    };
    let port = free_port(a);
    let (tcp, udp) = (of(port, Protocol::Tcp), of(port, Protocol::Udp));
    at_a.assign(1, Work::Arm(vec![tcp.0, udp.0]), &roster).await;
    let (records, _) = at_a.records_until_ready(1).await;
    let armed = |record: &Record| matches!(record, Record::Armed(armed) if armed.ports.contains(port));
    assert_eq!(
        records.iter().filter(|record| armed(record)).count(),
        2,
        "{records:?}"
    );

    let Work::Ask(empty) = ask(&[], "1") else {
        panic!("it is what it is called");
    };
    let both = Ask {
        targets: vec![tcp.1, udp.1],
        ..empty
    };
    at_b.assign(2, Work::Ask(both), &roster).await;
    let (records, _) = at_b.records_until_done(2).await;
    let verified: Vec<Protocol> = reaches(&records)
        .into_iter()
        .filter(|reach| reach.signal == Signal::Verified)
        .map(|reach| reach.protocol)
        .collect();
    assert_eq!(verified, [Protocol::Tcp, Protocol::Udp], "{records:?}");

    at_a.send(ToProbe::Release { assignment: 1 }).await;
    let (records, _) = at_a.records_until_done(1).await;
    let proven =
        |record: &Record| matches!(record, Record::Heard(heard) if (heard.src, heard.proven) == (Some(b), 1));
    assert!(records.len() == 2 && records.iter().all(proven), "{records:?}");
}

#[tokio::test]
async fn responders_close_when_the_coordinator_is_silent_for_longer_than_the_lease() {
    let mut coordinator = Coordinator::new(&[node(2)]).await;
    let _probe = Probe::start(coordinator.settings(node(2)));
    let mut session = coordinator.session().await;
    session.welcome(1).await;
    let roster = coordinator.roster(&[]);
    session.send(ToProbe::Roster(roster.clone())).await;
    let port = free_port(node(2));
    session
        .assign_for(1, arm(port), &roster, Duration::from_secs(3))
        .await;
    session.records_until_ready(1).await;
    let connects = async || {
        tokio::net::TcpStream::connect((node(2).address().unwrap(), port))
            .await
            .is_ok()
    };
    assert!(connects().await, "the port is open while the lease lasts");
    // Nothing is said any more; the probe itself says when it has given up.
    let (_, last_seq) = session.records_until_done(1).await;
    assert!(last_seq >= 2 && !connects().await);
}

#[tokio::test]
async fn a_probe_that_is_told_to_stop_hands_over_what_it_saw() {
    let mut coordinator = Coordinator::new(&[node(2)]).await;
    let probe = Probe::start(coordinator.settings(node(2)));
    let mut session = coordinator.session().await;
    session.welcome(1).await;
    let roster = coordinator.roster(&[]);
    session.send(ToProbe::Roster(roster.clone())).await;
    let port = free_port(node(2));
    session.assign(1, arm(port), &roster).await;
    session.records_until_ready(1).await;
    let connection = tokio::net::TcpStream::connect((node(2).address().unwrap(), port))
        .await
        .unwrap();
    drop(connection);
    probe.stop().await;
    let (records, last_seq) = session.records_until_done(1).await;
    assert!(
        records.iter().any(|record| matches!(record, Record::Heard(_))),
        "{records:?}"
    );
    session.send(ToProbe::Ack { seq: last_seq }).await;
    assert_eq!(probe.ended().await, End::Stopped { unconfirmed: 0 });
}

/// A slow assignment for a pair whose answers are rate-limited beside a fast one: both run, and the pair keeps its rate.
#[tokio::test]
async fn two_assignments_that_ask_run_at_once_and_share_the_rate_of_their_pair() {
    let mut coordinator = Coordinator::new(&[node(2)]).await;
    let _probe = Probe::start(coordinator.settings(node(2)));
    let mut session = coordinator.session().await;
    session.welcome(1).await;
    let roster = coordinator.roster(&[stranger(node(4))]);
    session.send(ToProbe::Roster(roster.clone())).await;
    let at_rate = |ports: &str, rate| {
        let Work::Ask(ask) = ask(&[node(4)], ports) else {
            panic!("it is what it is called")
        };
        Work::Ask(Ask {
            max_rate_pair: NonZeroU32::new(rate),
            ..ask
        })
    };
    let begun = std::time::Instant::now();
    // Nobody listens there: each port is one connection, refused at once. Two of them cost a second each.
    session.assign(1, at_rate("1-2", 1), &roster).await;
    session.assign(2, at_rate("3-12", 20), &roster).await;
    let records = session.records_until_all_done(&[1, 2]).await;
    assert!(
        begun.elapsed() >= Duration::from_millis(1000 + 9 * 50),
        "{:?}",
        begun.elapsed()
    );
    for (id, ports) in [(1, "1-2"), (2, "3-12")] {
        let [reach] = reaches(&records[&id])[..] else {
            panic!("{records:?}")
        };
        assert_eq!(
            (reach.ports.to_string().as_str(), &reach.signal),
            (ports, &Signal::Refused)
        );
    }
}

#[tokio::test]
async fn a_coordinator_that_gives_errand_upon_errand_is_refused_the_seventeenth() {
    let mut coordinator = Coordinator::new(&[node(2)]).await;
    let _probe = Probe::start(coordinator.settings(node(2)));
    let mut session = coordinator.session().await;
    session.welcome(0).await;
    let roster = coordinator.roster(&[]);
    session.send(ToProbe::Roster(roster.clone())).await;
    for id in 1..=17 {
        let inspect = Work::Errand(plumbline_model::errand::Errand::Inspect);
        session.assign(id, inspect, &roster).await;
    }
    loop {
        match session.next().await {
            FromProbe::Refusal { assignment, reason } => {
                assert_eq!(assignment, 17);
                assert!(reason.contains("under way"), "{reason}");
                return;
            }
            FromProbe::Progress(progress) => assert_ne!(progress.assignment, 17),
            _ => {}
        }
    }
}
