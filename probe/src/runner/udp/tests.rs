//! The runner against responders and other programs on loopback addresses, real sockets all along.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use plumbline_measure::{
    hello::PairKey,
    stamp::{
        packet::{ReflectorPacket, SenderPacket},
        session::SessionKey,
        time::WireTime,
    },
};
use plumbline_model::{
    observation::{Heard, NotTried, Reach, Record, Signal, Unproven},
    port::{PortSet, Protocol},
};

use super::*;
use crate::{
    own_address::destination,
    responder::{ArmTask, Caller, Responder, udp::arm},
    runner::asking::{AskTarget, Occupant, Peer},
};

const RUN: [u8; 8] = *b"loopback";
const KEY: [u8; 32] = [7; 32];
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4));
/// Long enough that a busy machine answers the first attempt in time.
const ATTEMPT: Duration = Duration::from_millis(300);

fn armed(destination: IpAddr, source: IpAddr, key: [u8; 32], count: usize) -> (Responder, PortSet) {
    for _ in 0..10 {
        let held: Vec<UdpSocket> = (0..count)
            .map(|_| UdpSocket::bind((destination, 0)).unwrap())
            .collect();
        let ports: PortSet = held
            .iter()
            .map(|socket| socket.local_addr().unwrap().port())
            .collect();
        drop(held);
        let task = ArmTask {
            run: RUN,
            own_index: 1,
            address: destination,
            ports: ports.clone(),
            callers: vec![Caller {
                index: 0,
                node: source.into(),
                addresses: vec![source],
                key,
            }],
        };
        let (responder, armed) = arm(task).unwrap();
        if armed.ports == ports {
            return (responder, ports);
        }
    }
    panic!("no ports stay free");
}

fn task(destination: IpAddr, ports: &PortSet) -> AskTask {
    let source = if destination.is_ipv4() {
        SOURCE
    } else {
        destination
    };
    let target = AskTarget {
        peer: Peer {
            index: 1,
            node: destination.into(),
            address: destination,
            key: KEY,
        },
        ports: ports.clone(),
        occupant: Occupant::Responder,
    };
    AskTask {
        run: RUN,
        own_index: 0,
        members: 2,
        local: Some(source),
        data_addresses: vec![source],
        targets: vec![target],
        attempts: 3,
        attempt_timeout: ATTEMPT,
        max_rate_node: 0,
        max_rate_pair: 0,
        rates: Arc::default(),
        second_look: false,
        lease: Duration::from_secs(60),
    }
}

fn reaches(records: Vec<Record>) -> Vec<Reach> {
    let reach = |record| match record {
        Record::Reach(reach) => reach,
        other => panic!("{other:?}"),
    };
    records.into_iter().map(reach).collect()
}

fn ask(task: AskTask) -> Vec<Reach> {
    reaches(start(task).unwrap().finish())
}

fn only(mut reaches: Vec<Reach>) -> Reach {
    assert_eq!(reaches.len(), 1, "{reaches:?}");
    reaches.remove(0)
}

fn heard(responder: Responder) -> Vec<Heard> {
    let heard = |record| match record {
        Record::Heard(heard) => heard,
        other => panic!("{other:?}"),
    };
    responder.release().into_iter().map(heard).collect()
}

/// A program on a port of the destination that takes so many datagrams and does with each what it likes. Joining it returns
/// where they came from.
struct Program {
    port: u16,
    thread: JoinHandle<Vec<SocketAddr>>,
}

impl Program {
    fn start(count: u32, mut does: impl FnMut(&UdpSocket, u32, &[u8], SocketAddr) + Send + 'static) -> Self {
        let socket = UdpSocket::bind((destination(), 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let thread = std::thread::spawn(move || {
            let mut octets = [0; 200];
            let mut from = Vec::new();
            for number in 0..count {
                let Ok((length, asking)) = socket.recv_from(&mut octets) else {
                    break;
                };
                does(&socket, number, &octets[..length], asking);
                from.push(asking);
            }
            from
        });
        Self { port, thread }
    }

    fn ports(&self) -> PortSet {
        [self.port].into_iter().collect()
    }
}

fn answer(question: &[u8], port: u16, key: [u8; 32]) -> [u8; 112] {
    let question = SenderPacket::claim(question).unwrap();
    let question = question.packet();
    let answer = ReflectorPacket {
        sent: question.sent,
        ssid: question.ssid,
        received_at: WireTime::from_bits(1),
        asked: question.sent,
        ttl: 64,
    };
    answer.seal(&SessionKey::derive(&PairKey::new(&key), port))
}

#[test]
fn responders_are_verified_at_the_first_attempt_in_both_families() {
    let localhost: IpAddr = Ipv6Addr::LOCALHOST.into();
    for (destination, source) in [(destination(), SOURCE), (localhost, localhost)] {
        let (responder, ports) = armed(destination, source, KEY, 100);
        let reach = only(ask(task(destination, &ports)));
        assert_eq!(
            (&reach.signal, reach.attempts, reach.answered),
            (&Signal::Verified, 1, 1)
        );
        assert_eq!(
            (reach.protocol, reach.ports, reach.from),
            (Protocol::Udp, ports.clone(), None)
        );
        let heard = heard(responder);
        assert_eq!(heard.len(), 1);
        assert_eq!(
            (&heard[0].ports, heard[0].accepted, heard[0].proven),
            (&ports, 1, 1)
        );
    }
}

#[test]
fn a_second_look_at_the_same_responder_is_no_replay() {
    let (responder, ports) = armed(destination(), SOURCE, KEY, 3);
    for look in 1..=3 {
        let reach = only(ask(task(destination(), &ports)));
        assert_eq!(
            (reach.signal, reach.attempts),
            (Signal::Verified, 1),
            "look {look}"
        );
    }
    let heard = heard(responder);
    assert_eq!((heard[0].proven, heard[0].replayed), (3, 0));
}

#[test]
fn a_responder_with_another_key_stays_silent_and_counts() {
    let (responder, ports) = armed(destination(), SOURCE, [8; 32], 1);
    let reach = only(ask(task(destination(), &ports)));
    assert_eq!(
        (reach.signal, reach.attempts, reach.answered),
        (Signal::Silence, 3, 0)
    );
    let heard = heard(responder);
    assert_eq!((heard[0].proven, heard[0].unproven), (0, 3));
}

#[test]
fn a_port_that_nobody_has_is_the_destination_s_icmp_error() {
    let port = UdpSocket::bind((destination(), 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let reach = only(ask(task(destination(), &[port].into_iter().collect())));
    let unreachable = Signal::Icmp {
        icmp_type: 3,
        code: 3,
        offender: Some(destination()),
    };
    // Another test's peer on the same machine: not this host's own packet filter.
    assert_eq!(
        (reach.signal, reach.attempts, reach.answered),
        (unreachable, 1, 1)
    );
}

#[test]
fn silence_takes_every_attempt_and_all_are_of_one_five_tuple() {
    let program = Program::start(3, |_, _, _, _| ());
    let begun = Instant::now();
    let reach = only(ask(task(destination(), &program.ports())));
    assert_eq!(
        (reach.signal, reach.attempts, reach.answered),
        (Signal::Silence, 3, 0)
    );
    assert!(begun.elapsed() >= 3 * ATTEMPT);
    let from = program.thread.join().unwrap();
    assert_eq!(from, [from[0]; 3]);
}

#[test]
fn an_answer_to_a_later_attempt_is_counted_as_one_of_several() {
    let program = Program::start(2, |socket, number, question, asking| {
        if number == 1 {
            let port = socket.local_addr().unwrap().port();
            socket.send_to(&answer(question, port, KEY), asking).unwrap();
        }
    });
    let reach = only(ask(task(destination(), &program.ports())));
    assert_eq!(
        (reach.signal, reach.attempts, reach.answered),
        (Signal::Verified, 2, 1)
    );
}

#[test]
fn an_answer_from_another_address_says_from_which() {
    let program = Program::start(1, |socket, _, question, asking| {
        let port = socket.local_addr().unwrap().port();
        let elsewhere = UdpSocket::bind((ELSEWHERE, 0)).unwrap();
        elsewhere.send_to(&answer(question, port, KEY), asking).unwrap();
    });
    let reach = only(ask(task(destination(), &program.ports())));
    let address = ELSEWHERE;
    assert_eq!(
        (reach.signal, reach.attempts),
        (Signal::AnsweredFrom { address }, 1)
    );
}

#[test]
fn what_another_program_answers_is_garbage_and_a_wrong_proof_a_bad_one() {
    let chatter = Program::start(1, |socket, _, _, asking| {
        socket.send_to(b"hello?", asking).unwrap();
    });
    let echo = Program::start(1, |socket, _, question, asking| {
        socket.send_to(question, asking).unwrap();
    });
    let impostor = Program::start(1, |socket, _, question, asking| {
        let port = socket.local_addr().unwrap().port();
        socket.send_to(&answer(question, port, [8; 32]), asking).unwrap();
    });
    for (program, how) in [
        (chatter, Unproven::Garbage),
        (echo, Unproven::Garbage),
        (impostor, Unproven::BadProof),
    ] {
        let reach = only(ask(task(destination(), &program.ports())));
        assert_eq!(
            (reach.signal, reach.attempts, reach.answered),
            (Signal::Unproven { how }, 1, 1)
        );
    }
}

#[test]
fn a_proof_that_comes_behind_garbage_still_counts() {
    let program = Program::start(1, |socket, _, question, asking| {
        let port = socket.local_addr().unwrap().port();
        for _ in 0..100 {
            socket.send_to(b"noise", asking).unwrap();
        }
        socket.send_to(&answer(question, port, KEY), asking).unwrap();
    });
    let reach = only(ask(task(destination(), &program.ports())));
    assert_eq!((reach.signal, reach.attempts), (Signal::Verified, 1));
}

#[test]
fn a_source_address_that_is_not_the_data_address_is_told() {
    let (responder, ports) = armed(destination(), ELSEWHERE, KEY, 1);
    let elsewhere = AskTask {
        local: Some(ELSEWHERE),
        ..task(destination(), &ports)
    };
    let reach = only(ask(elsewhere));
    assert_eq!((reach.signal, reach.from), (Signal::Verified, Some(ELSEWHERE)));
    drop(responder);
    // What the kernel chooses is found out without asking for a particular one.
    let port = UdpSocket::bind((destination(), 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let unbound = AskTask {
        local: None,
        data_addresses: vec![SOURCE],
        ..task(destination(), &[port].into_iter().collect())
    };
    assert_eq!(only(ask(unbound)).from, Some(Ipv4Addr::LOCALHOST.into()));
}

#[test]
fn a_cancelled_task_says_of_every_port_that_it_was_not_tried() {
    let program = Program::start(1, |_, _, _, _| ());
    let mut ports = program.ports();
    ports.extend(&"1-9".parse().unwrap());
    let slow = AskTask {
        attempt_timeout: Duration::from_secs(30),
        max_rate_node: 1,
        ..task(destination(), &ports)
    };
    let asking = start(slow).unwrap();
    asking.cancel();
    let reaches = reaches(asking.finish());
    let cancelled = Signal::NotTried {
        why: NotTried::Cancelled,
    };
    let ports: u32 = reaches
        .iter()
        .filter(|reach| reach.signal == cancelled)
        .map(|reach| reach.ports.count())
        .sum();
    assert!(ports >= 9, "{reaches:?}");
}

#[test]
fn a_roster_beyond_what_a_packet_can_name_is_refused() {
    let refused = start(AskTask {
        own_index: 65_535,
        ..task(destination(), &PortSet::new())
    });
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidInput);
}
