//! The engine against responders and other programs on loopback addresses, real sockets all along.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use plumbline_model::{
    observation::{Heard, NotTried, Reach, Record, Signal, Unproven},
    port::PortSet,
};

use super::*;
use crate::{
    own_address::destination,
    responder::{ArmTask, Caller, Responder, tcp::arm},
    runner::{
        asking::{AskTarget, Occupant, Peer},
        rates::Rates,
    },
};

const RUN: [u8; 8] = *b"loopback";
const KEY: [u8; 32] = [7; 32];
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4));

/// Ports of the destination on which nobody listens.
fn free_ports(count: usize) -> PortSet {
    let held: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind((destination(), 0)).unwrap())
        .collect();
    held.iter()
        .map(|listener| listener.local_addr().unwrap().port())
        .collect()
}

fn single(listener: &TcpListener) -> PortSet {
    [listener.local_addr().unwrap().port()].into_iter().collect()
}

fn armed(ports: &PortSet) -> Responder {
    let caller = Caller {
        index: 0,
        node: SOURCE.into(),
        addresses: vec![SOURCE],
        key: KEY,
    };
    let task = ArmTask {
        run: RUN,
        own_index: 1,
        address: destination(),
        ports: ports.clone(),
        callers: vec![caller],
    };
    let (responder, armed) = arm(task).unwrap();
    assert_eq!(armed.ports, *ports, "{:?}", armed.refused);
    responder
}

fn task(ports: &PortSet) -> AskTask {
    let peer = Peer {
        index: 1,
        node: destination().into(),
        address: destination(),
        key: KEY,
    };
    AskTask {
        run: RUN,
        own_index: 0,
        members: 2,
        data_addresses: Vec::new(),
        local: Some(SOURCE),
        targets: vec![AskTarget {
            peer,
            ports: ports.clone(),
            occupant: Occupant::Responder,
        }],
        attempts: 3,
        attempt_timeout: Duration::from_millis(600),
        max_rate_node: 0,
        max_rate_pair: 0,
        rates: Arc::default(),
        second_look: false,
        lease: Duration::from_secs(60),
    }
}

fn engine(task: AskTask) -> Engine {
    let shared = Shared::new(&task).unwrap();
    Engine::new(task, shared).unwrap()
}

/// An engine that is to ask a service, which waits at the destination.
pub(super) fn of_service(listener: &TcpListener) -> Engine {
    let mut task = task(&single(listener));
    task.targets[0].occupant = Occupant::Service;
    engine(task)
}

fn reaches(records: Vec<Record>) -> Vec<Reach> {
    let reach = |record| match record {
        Record::Reach(reach) => reach,
        other => panic!("{other:?}"),
    };
    records.into_iter().map(reach).collect()
}

fn ask(task: AskTask) -> Vec<Reach> {
    let total: u64 = task
        .targets
        .iter()
        .map(|target| u64::from(target.ports.count()))
        .sum();
    let asking = start(task).unwrap();
    let control = asking.control();
    let records = asking.finish();
    assert_eq!((control.done(), control.total()), (total, total));
    reaches(records)
}

fn only(reaches: &[Reach]) -> &Reach {
    let [reach] = reaches else {
        panic!("one outcome for all ports was expected: {reaches:?}")
    };
    reach
}

fn heard(responder: Responder) -> Vec<Heard> {
    let heard = |record| match record {
        Record::Heard(heard) => heard,
        other => panic!("{other:?}"),
    };
    responder.release().into_iter().map(heard).collect()
}

#[test]
fn open_ports_are_verified_and_both_sides_tell_the_same() {
    let ports = free_ports(300);
    let responder = armed(&ports);
    let reaches = ask(task(&ports));
    let reach = only(&reaches);
    assert_eq!((&reach.signal, &reach.ports), (&Signal::Verified, &ports));
    assert_eq!((reach.attempts, reach.answered), (1, 1));
    let heard = heard(responder);
    let [heard] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(
        (heard.src, heard.address, &heard.ports),
        (Some(SOURCE.into()), SOURCE, &ports)
    );
    assert_eq!((heard.accepted, heard.proven, heard.unproven), (1, 1, 0));
}

#[test]
fn closed_ports_are_refused_at_the_first_attempt() {
    let ports = free_ports(200);
    let reaches = ask(task(&ports));
    let reach = only(&reaches);
    assert_eq!(
        (&reach.signal, reach.attempts, reach.answered),
        (&Signal::Refused, 1, 1)
    );
}

#[test]
fn a_responder_with_another_key_answers_nothing_and_says_so() {
    let ports = free_ports(2);
    let responder = armed(&ports);
    let mut task = task(&ports);
    task.targets[0].peer.key = [8; 32];
    assert_eq!(
        only(&ask(task)).signal,
        Signal::Unproven {
            how: Unproven::Closed
        }
    );
    let heard = heard(responder);
    assert_eq!((heard[0].accepted, heard[0].proven, heard[0].unproven), (1, 0, 1));
}

#[test]
fn an_address_outside_the_roster_is_counted_as_proven_but_not_answered() {
    let ports = free_ports(1);
    let responder = armed(&ports);
    let reaches = ask(AskTask {
        local: Some(STRANGER),
        ..task(&ports)
    });
    assert_eq!(
        only(&reaches).signal,
        Signal::Unproven {
            how: Unproven::Closed
        }
    );
    let heard = heard(responder);
    assert_eq!(
        (heard[0].src, heard[0].address, heard[0].proven),
        (None, STRANGER, 1)
    );
}

#[test]
fn another_program_that_greets_is_garbage() {
    let listener = TcpListener::bind((destination(), 0)).unwrap();
    let ports = single(&listener);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut connection, _) = listener.accept().unwrap();
            connection.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n").unwrap();
            // Until the engine has gone.
            let _ = connection.read_to_end(&mut Vec::new());
        });
        assert_eq!(
            only(&ask(task(&ports))).signal,
            Signal::Unproven {
                how: Unproven::Garbage
            }
        );
    });
}

#[test]
fn a_program_that_accepts_and_closes_is_not_proven() {
    let listener = TcpListener::bind((destination(), 0)).unwrap();
    let ports = single(&listener);
    thread::scope(|scope| {
        scope.spawn(|| drop(listener.accept().unwrap()));
        assert_eq!(
            only(&ask(task(&ports))).signal,
            Signal::Unproven {
                how: Unproven::Closed
            }
        );
    });
}

#[test]
fn a_frozen_program_s_kernel_accepts_but_nobody_proves_anything() {
    let listener = TcpListener::bind((destination(), 0)).unwrap();
    let reaches = ask(task(&single(&listener)));
    let reach = only(&reaches);
    assert_eq!(
        reach.signal,
        Signal::Unproven {
            how: Unproven::Silent
        }
    );
    assert_eq!((reach.attempts, reach.answered), (1, 1));
}

#[test]
fn a_live_service_gets_no_octet_and_an_orderly_end() {
    let listener = TcpListener::bind((destination(), 0)).unwrap();
    let mut task = task(&single(&listener));
    task.targets[0].occupant = Occupant::Service;
    thread::scope(|scope| {
        let service = scope.spawn(|| {
            let (mut connection, _) = listener.accept().unwrap();
            connection.read_to_end(&mut Vec::new())
        });
        assert_eq!(only(&ask(task)).signal, Signal::Connected);
        let octets = service.join().unwrap();
        assert_eq!(octets.expect("the connection ends by FIN, not by RST"), 0);
    });
}

/// A port that answers no SYN: its queue of connections is full.
struct Full {
    listener: plumbline_sys::tcp::TcpListener,
    _queued: Vec<plumbline_sys::tcp::TcpSocket>,
}

impl Full {
    fn new() -> Self {
        let listener = plumbline_sys::tcp::TcpListener::bind(SocketAddr::new(destination(), 0), 0).unwrap();
        let address = listener.local_address().unwrap();
        let queued = (0..4).map(|_| {
            let socket = plumbline_sys::tcp::TcpSocket::toward(destination()).unwrap();
            socket.connect(address).unwrap();
            socket
        });
        Self {
            _queued: queued.collect(),
            listener,
        }
    }

    fn ports(&self) -> PortSet {
        [self.listener.local_address().unwrap().port()]
            .into_iter()
            .collect()
    }
}

#[test]
fn silence_is_believed_after_three_attempts() {
    let full = Full::new();
    let begun = Instant::now();
    let reaches = ask(AskTask {
        attempt_timeout: Duration::from_millis(100),
        ..task(&full.ports())
    });
    let reach = only(&reaches);
    assert_eq!(
        (&reach.signal, reach.attempts, reach.answered),
        (&Signal::Silence, 3, 0)
    );
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_task_that_is_cancelled_ends_and_names_what_was_not_tried() {
    let full = Full::new();
    let mut task = AskTask {
        attempt_timeout: Duration::from_secs(600),
        ..task(&full.ports())
    };
    task.targets[0].ports.extend(&free_ports(3));
    task.max_rate_pair = 1;
    let asking = start(task).unwrap();
    asking.cancel();
    let records = asking.finish();
    let Some(Record::Reach(reach)) = records.last() else {
        panic!("{records:?}")
    };
    assert_eq!(
        reach.signal,
        Signal::NotTried {
            why: NotTried::Cancelled
        }
    );
}

#[test]
fn a_task_whose_lease_has_ended_tries_nothing_more() {
    let ports = free_ports(3);
    let reaches = ask(AskTask {
        lease: Duration::ZERO,
        ..task(&ports)
    });
    assert_eq!(only(&reaches).signal, Signal::NotTried { why: NotTried::Lease });
}

#[test]
fn a_source_address_of_another_host_is_our_own_trouble_and_no_verdict() {
    // TEST-NET-1, RFC 5737.
    let elsewhere = IpAddr::from([192, 0, 2, 1]);
    let reaches = ask(AskTask {
        local: Some(elsewhere),
        ..task(&free_ports(50))
    });
    let reach = only(&reaches);
    assert!(matches!(reach.signal, Signal::Exhausted { .. }), "{reach:?}");
    assert_eq!((reach.attempts, reach.answered, reach.ports.count()), (0, 0, 50));
}

#[test]
fn the_rate_of_a_pair_is_kept() {
    let ports = free_ports(11);
    let responder = armed(&ports);
    let begun = Instant::now();
    let reaches = ask(AskTask {
        max_rate_pair: 20,
        ..task(&ports)
    });
    assert!(begun.elapsed() >= Duration::from_millis(500));
    assert_eq!(only(&reaches).signal, Signal::Verified);
    drop(responder);
}

#[test]
fn the_rate_of_a_pair_is_kept_over_responders_services_and_tasks_at_once() {
    let ports = free_ports(15);
    let rates = Arc::<Rates>::default();
    let begun = Instant::now();
    let tasks = [Occupant::Responder, Occupant::Service].map(|occupant| {
        let mut task = AskTask {
            max_rate_pair: 40,
            rates: Arc::clone(&rates),
            ..task(&ports)
        };
        let other = AskTarget {
            occupant,
            ..task.targets[0].clone()
        };
        task.targets.push(other);
        start(task).unwrap()
    });
    for asking in tasks {
        for record in asking.finish() {
            assert!(
                matches!(
                    record,
                    Record::Reach(Reach {
                        signal: Signal::Refused,
                        ..
                    })
                ),
                "{record:?}"
            );
        }
    }
    // Sixty connections at forty a second.
    assert!(begun.elapsed() >= Duration::from_millis(59 * 25));
}

#[test]
fn a_port_that_somebody_holds_is_reported_with_its_holder() {
    let holder = TcpListener::bind("0.0.0.0:0").unwrap();
    let ports = single(&holder);
    let task = ArmTask {
        run: RUN,
        own_index: 1,
        address: destination(),
        ports: ports.clone(),
        callers: Vec::new(),
    };
    let (_responder, armed) = arm(task).unwrap();
    assert!(armed.ports.is_empty());
    let [refused] = &armed.refused[..] else {
        panic!("{:?}", armed.refused)
    };
    assert_eq!(refused.ports, ports);
    let plumbline_model::observation::BindFailure::Taken { pid, process } = &refused.why else {
        panic!("{refused:?}")
    };
    assert_eq!(*pid, Some(std::process::id()));
    assert!(process.is_some());
}

#[test]
fn a_released_responder_s_ports_are_closed() {
    let ports = free_ports(5);
    drop(armed(&ports));
    assert_eq!(only(&ask(task(&ports))).signal, Signal::Refused);
    // And may be bound again at once.
    drop(armed(&ports));
}

#[test]
fn what_was_under_way_while_this_host_stood_still_is_made_again() {
    let listener = TcpListener::bind((destination(), 0)).unwrap();
    let ports = single(&listener);
    let mut engine = engine(task(&ports));
    engine.launch(engine.clock.now());
    // The peer's patience ends while nobody here reads.
    drop(listener.accept().unwrap());
    drop(listener);
    let responder = armed(&ports);
    engine.overslept(engine.clock.now(), Duration::from_secs(10));
    let reach = only(&reaches(engine.run())).clone();
    assert_eq!((reach.signal, reach.attempts), (Signal::Verified, 1));
    drop(responder);
}

#[test]
fn a_service_that_was_connected_to_while_this_host_stood_still_was_reached_and_is_left_in_order() {
    let listener = TcpListener::bind((destination(), 0)).unwrap();
    let mut task = task(&single(&listener));
    task.targets[0].occupant = Occupant::Service;
    let mut engine = engine(task);
    engine.launch(engine.clock.now());
    let (mut connection, _) = listener.accept().unwrap();
    connection.write_all(b"welcome").unwrap();
    engine.overslept(engine.clock.now(), Duration::from_secs(10));
    assert_eq!(connection.read_to_end(&mut Vec::new()).unwrap(), 0);
    drop(connection);
    assert_eq!(only(&reaches(engine.run())).signal, Signal::Connected);
}

#[test]
fn an_attempt_that_leaves_from_another_address_than_the_data_address_says_so() {
    let ports = free_ports(1);
    for (data_address, from) in [
        (SOURCE, Some(Ipv4Addr::LOCALHOST)),
        (Ipv4Addr::LOCALHOST.into(), None),
    ] {
        let unbound = AskTask {
            local: None,
            data_addresses: vec![data_address],
            ..task(&ports)
        };
        // The kernel's choice toward another loopback address.
        assert_eq!(only(&ask(unbound)).from, from.map(IpAddr::V4));
    }
}
