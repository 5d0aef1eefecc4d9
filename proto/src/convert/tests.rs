use std::time::Duration;

use plumbline_model::{evidence::Member, id::NodeId};

use super::*;
use crate::{PROTOCOL, v1};

fn member(node: &str) -> Member {
    Member {
        node: node.parse().unwrap(),
        addresses: vec![node.parse().unwrap_or_else(|_| [192, 0, 2, 1].into())],
        tls_key_sha256: "ab".repeat(32),
        signing_key: format!("04{}", "cd".repeat(64)),
        agreement_key: "ef".repeat(32),
        data_ipv6: None,
    }
}

fn roster() -> Roster {
    Roster::new(vec![
        member("10.0.0.3"),
        member("coordinator"),
        member("10.0.0.2"),
    ])
    .unwrap()
}

fn an_ask() -> v1::Ask {
    v1::Ask {
        targets: vec![v1::Target {
            transport: v1::Transport::Tcp.into(),
            ipv6: false,
            ports: vec![
                v1::PortRange { first: 22, last: 22 },
                v1::PortRange {
                    first: 30000,
                    last: 32767,
                },
            ],
            destinations: vec![0, 1],
        }],
        live_services: vec![v1::Target {
            transport: v1::Transport::Tcp.into(),
            ipv6: false,
            ports: vec![v1::PortRange {
                first: 6443,
                last: 6443,
            }],
            destinations: vec![1],
        }],
        attempts: 3,
        attempt_timeout_ms: 400,
        max_rate_node: 200,
        max_rate_pair: 0,
        second_look: false,
    }
}

fn assignment(work: v1::assignment::Work) -> v1::Assignment {
    v1::Assignment {
        id: 1,
        roster_sha256: roster().digest().0.to_vec(),
        lease_ms: 30_000,
        work: Some(work),
    }
}

/// The field that is complained about when the ask is changed like this.
fn complaint(change: impl FnOnce(&mut v1::Ask)) -> String {
    let mut ask = an_ask();
    change(&mut ask);
    Assignment::from_wire(&assignment(v1::assignment::Work::Ask(ask)), &roster())
        .unwrap_err()
        .field
}

#[test]
fn an_assignment_survives_the_wire() {
    let wire = assignment(v1::assignment::Work::Ask(an_ask()));
    let read = Assignment::from_wire(&wire, &roster()).unwrap();
    let Work::Ask(ask) = &read.work else {
        panic!("an ask")
    };
    assert_eq!(ask.targets[0].ports.to_string(), "22,30000-32767");
    let nodes: Vec<String> = ask.targets[0]
        .destinations
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(nodes, ["10.0.0.2", "10.0.0.3"]);
    assert_eq!((ask.tests(), ask.max_rate_pair), (2 * 2769 + 1, None));
    assert_eq!(read.to_wire(&roster()).unwrap(), wire);
}

#[test]
fn every_hostile_ask_is_refused_by_the_name_of_its_field() {
    let nothing = |ask: &mut v1::Ask| {
        ask.targets.clear();
        ask.live_services.clear();
    };
    assert_eq!(complaint(nothing), "assignment.ask.targets");
    assert_eq!(
        complaint(|ask| ask.live_services[0].destinations.clear()),
        "assignment.ask.live_services[0].destinations"
    );
    assert_eq!(
        complaint(|ask| ask.targets[0].destinations.clear()),
        "assignment.ask.targets[0].destinations"
    );
    assert_eq!(
        complaint(|ask| ask.targets[0].destinations[1] = 3),
        "assignment.ask.targets[0].destinations[1]"
    );
    assert_eq!(
        complaint(|ask| ask.targets[0].destinations[1] = u32::MAX),
        "assignment.ask.targets[0].destinations[1]"
    );
    assert_eq!(
        complaint(|ask| ask.targets[0].destinations = vec![1, 1]),
        "assignment.ask.targets[0].destinations"
    );
    assert_eq!(
        complaint(|ask| ask.targets[0].ports.clear()),
        "assignment.ask.targets[0].ports"
    );
    assert_eq!(
        complaint(|ask| ask.targets[0].ports[0].first = 0),
        "assignment.ask.targets[0].ports[0].first"
    );
    assert_eq!(
        complaint(|ask| ask.targets[0].ports[1].last = 65_536),
        "assignment.ask.targets[0].ports[1].last"
    );
    assert_eq!(
        complaint(|ask| ask.targets[0].ports[1].last = 22),
        "assignment.ask.targets[0].ports[1].last"
    );
    assert_eq!(
        complaint(|ask| ask.targets[0].transport = 9),
        "assignment.ask.targets[0].transport"
    );
    assert_eq!(complaint(|ask| ask.attempts = 0), "assignment.ask.attempts");
    assert_eq!(complaint(|ask| ask.attempts = 11), "assignment.ask.attempts");
    assert_eq!(
        complaint(|ask| ask.attempt_timeout_ms = 0),
        "assignment.ask.attempt_timeout_ms"
    );
    assert_eq!(
        complaint(|ask| ask.attempt_timeout_ms = u32::MAX),
        "assignment.ask.attempt_timeout_ms"
    );
    assert_eq!(
        complaint(|ask| ask.max_rate_node = u32::MAX),
        "assignment.ask.max_rate_node"
    );
}

#[test]
fn an_ask_of_more_tests_than_anybody_needs_is_refused() {
    let everything = |ask: &mut v1::Ask| {
        ask.targets[0].ports = vec![v1::PortRange {
            first: 1,
            last: 65_535,
        }];
        ask.targets = vec![ask.targets[0].clone(); 500];
    };
    assert_eq!(complaint(everything), "assignment.ask.targets");
    let too_many_ranges =
        |ask: &mut v1::Ask| ask.targets[0].ports = vec![v1::PortRange { first: 1, last: 1 }; 40_000];
    assert_eq!(complaint(too_many_ranges), "assignment.ask.targets[0].ports");
}

#[test]
fn an_assignment_without_work_roster_id_or_lease_is_refused() {
    let field = |change: fn(&mut v1::Assignment)| {
        let mut wire = assignment(v1::assignment::Work::Survey(v1::Survey {}));
        change(&mut wire);
        Assignment::from_wire(&wire, &roster()).unwrap_err().field
    };
    assert_eq!(field(|wire| wire.work = None), "assignment.work");
    assert_eq!(field(|wire| wire.id = 0), "assignment.id");
    assert_eq!(field(|wire| wire.lease_ms = 0), "assignment.lease_ms");
    assert_eq!(field(|wire| wire.lease_ms = u32::MAX), "assignment.lease_ms");
    assert_eq!(
        field(|wire| wire.roster_sha256.clear()),
        "assignment.roster_sha256"
    );
    assert_eq!(
        field(|wire| wire.roster_sha256[0] ^= 1),
        "assignment.roster_sha256"
    );
}

#[test]
fn a_watch_names_its_peer_and_its_end() {
    let watch = v1::Watch {
        peer: 1,
        end: v1::watch::End::Destination.into(),
        transport: v1::Transport::Tcp.into(),
        ipv6: false,
        ports: vec![v1::PortRange {
            first: 6443,
            last: 6443,
        }],
    };
    let look = |watch: v1::Watch| assignment(v1::assignment::Work::Look(v1::Look { watch: vec![watch] }));
    let read = Assignment::from_wire(&look(watch.clone()), &roster()).unwrap();
    assert_eq!(read.to_wire(&roster()).unwrap(), look(watch.clone()));
    let mut endless = watch.clone();
    endless.end = 0;
    assert_eq!(
        Assignment::from_wire(&look(endless), &roster())
            .unwrap_err()
            .field,
        "assignment.look.watch[0].end"
    );
    let stranger = v1::Watch { peer: 77, ..watch };
    assert_eq!(
        Assignment::from_wire(&look(stranger), &roster())
            .unwrap_err()
            .field,
        "assignment.look.watch[0].peer"
    );
}

#[test]
fn a_roster_is_ordered_and_known_by_its_digest() {
    let roster = roster();
    let read = Roster::try_from(v1::Roster::from(&roster)).unwrap();
    assert_eq!(read, roster);
    assert_eq!(
        read.member(NodeId::Coordinator).unwrap().node,
        NodeId::Coordinator
    );
    assert!(read.member("10.9.9.9".parse().unwrap()).is_none());
}

#[test]
fn a_roster_that_was_altered_in_any_way_is_refused() {
    let wire = v1::Roster::from(&roster());
    let resealed = |members: Vec<u8>| v1::Roster {
        sha256: Digest::of(&members).0.to_vec(),
        members,
    };

    let mut altered = wire.clone();
    altered.members[10] ^= 1;
    assert_eq!(Roster::try_from(altered).unwrap_err().problem, FieldError::Digest);

    let mut spaced = wire.members.clone();
    spaced.push(b' ');
    assert!(matches!(
        Roster::try_from(resealed(spaced)).unwrap_err().problem,
        FieldError::Malformed(_)
    ));

    let mut members = roster().members().to_vec();
    members.swap(0, 1);
    let swapped = resealed(plumbline_model::canonical::encode(&members));
    assert_eq!(Roster::try_from(swapped).unwrap_err().problem, FieldError::Order);

    let twice = Roster::new(vec![member("10.0.0.2"), member("10.0.0.2")]);
    assert_eq!(twice.unwrap_err().problem, FieldError::Order);
    assert_eq!(Roster::new(Vec::new()).unwrap_err().problem, FieldError::Empty);

    let short = Member {
        agreement_key: "ef".into(),
        ..member("10.0.0.2")
    };
    assert_eq!(
        Roster::new(vec![short]).unwrap_err().field,
        "members[0].agreement_key"
    );
    let homeless = Member {
        addresses: Vec::new(),
        ..member("10.0.0.2")
    };
    let workstation = Member {
        addresses: Vec::new(),
        ..member("coordinator")
    };
    assert!(Roster::new(vec![workstation]).is_ok());
    assert_eq!(
        Roster::new(vec![homeless]).unwrap_err().field,
        "members[0].addresses"
    );
}

#[test]
fn messages_of_a_session_survive_the_wire() {
    let from_probe = [
        FromProbe::Hello(Hello {
            run: "0123456789abcdef".parse().unwrap(),
            node: NodeId::Coordinator,
            probe_version: "0.1.0".into(),
            last_closed_seq: 7,
        }),
        FromProbe::Batch(BatchEnvelope {
            seq: 1,
            envelope: b"{}".to_vec(),
        }),
        FromProbe::Progress(Progress {
            assignment: 4,
            state: ProgressState::Done { last_seq: 9 },
            done: 5,
            total: 5,
        }),
        FromProbe::Heartbeat,
        FromProbe::Refusal {
            assignment: 2,
            reason: "outside the policy".into(),
        },
    ];
    for message in from_probe {
        assert_eq!(
            FromProbe::try_from(v1::FromProbe::from(message.clone())).unwrap(),
            message
        );
    }
    let (heartbeat, lease) = (Duration::from_secs(5), Duration::from_secs(30));
    let to_probe = [
        ToProbe::Welcome(Welcome {
            applied_seq: 3,
            heartbeat,
            lease,
        }),
        ToProbe::Roster(roster()),
        ToProbe::Ack { seq: 3 },
        ToProbe::Release { assignment: 1 },
        ToProbe::Finish {
            reason: "done".into(),
        },
        ToProbe::Heartbeat,
    ];
    for message in to_probe {
        assert_eq!(
            ToProbe::try_from(v1::ToProbe::from(message.clone())).unwrap(),
            message
        );
    }
}

#[test]
fn messages_that_say_nothing_or_nonsense_are_refused() {
    assert_eq!(
        FromProbe::try_from(v1::FromProbe { message: None })
            .unwrap_err()
            .problem,
        FieldError::Absent
    );
    assert_eq!(
        ToProbe::try_from(v1::ToProbe { message: None })
            .unwrap_err()
            .problem,
        FieldError::Absent
    );
    let progress = v1::Progress {
        assignment: 1,
        state: 1,
        done: 2,
        total: 1,
        last_seq: 0,
    };
    assert_eq!(Progress::try_from(progress).unwrap_err().field, "done");
    let unstated = v1::Progress {
        assignment: 1,
        state: 0,
        done: 0,
        total: 1,
        last_seq: 0,
    };
    assert_eq!(Progress::try_from(unstated).unwrap_err().field, "state");
    let batch = v1::BatchEnvelope {
        seq: 0,
        envelope: vec![1],
    };
    assert_eq!(BatchEnvelope::try_from(batch).unwrap_err().field, "seq");
    let welcome = v1::Welcome {
        applied_seq: 0,
        heartbeat_ms: 0,
        lease_ms: 30_000,
    };
    assert_eq!(Welcome::try_from(welcome).unwrap_err().field, "heartbeat_ms");
}

#[test]
fn a_strangers_text_reaches_a_log_short_and_without_control_characters() {
    let hostile = format!("line\n\u{1b}[2Jnext{}", "é".repeat(1000));
    let clean = sanitised(&hostile);
    assert!(clean.starts_with("line  [2Jnext") && clean.len() <= 512);
    assert!(!clean.chars().any(char::is_control));
}

#[test]
fn a_join_of_wrong_form_is_refused_before_anything_is_proven() {
    let join = || v1::JoinRequest {
        protocol: PROTOCOL,
        run: "0123456789abcdef".into(),
        node: "10.0.0.2".into(),
        signing_key: vec![4; 65],
        agreement_key: vec![1; 32],
        one_time_signature: vec![2; 64],
        possession_signature: vec![3; 64],
        probe_version: "0.1.0".into(),
        addresses: vec!["10.0.0.2".into(), "fd00::2".into()],
        data_ipv6: String::new(),
    };
    let good = Join::try_from(join()).unwrap();
    assert_eq!(v1::JoinRequest::from(good), join());
    let field = |change: fn(&mut v1::JoinRequest)| {
        let mut wire = join();
        change(&mut wire);
        Join::try_from(wire).unwrap_err().field
    };
    assert_eq!(field(|wire| wire.protocol = PROTOCOL + 1), "protocol");
    assert_eq!(field(|wire| wire.run = "x".into()), "run");
    assert_eq!(field(|wire| wire.node = "../etc".into()), "node");
    assert_eq!(field(|wire| wire.signing_key.truncate(64)), "signing_key");
    assert_eq!(field(|wire| wire.agreement_key.clear()), "agreement_key");
    assert_eq!(
        field(|wire| wire.one_time_signature.push(0)),
        "one_time_signature"
    );
    assert_eq!(
        field(|wire| wire.possession_signature.clear()),
        "possession_signature"
    );
    assert_eq!(
        field(|wire| wire.addresses[0] = "10.0.0.2/24".into()),
        "addresses[0]"
    );
    assert_eq!(
        field(|wire| wire.addresses = vec!["10.0.0.2".into(); 300]),
        "addresses"
    );
}
