//! Each fault does what its name says, to nothing else, and can be healed.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use plumbline_lab::{BadRoute, Entered, Fault, FaultError, FaultId, Lab, RejectWith, Side, Transport};
use plumbline_model::{id::NodeId, port::PortSet};

use crate::{Connected, Listening, SILENT, Test, connect, listen, node, shell, until, up};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_host_that_drops_a_port_is_silent_there_until_healed",
        a_host_that_drops_a_port_is_silent_there_until_healed,
    ),
    (
        "each_way_to_reject_has_its_own_error",
        each_way_to_reject_has_its_own_error,
    ),
    (
        "a_path_that_drops_does_so_in_one_direction",
        a_path_that_drops_does_so_in_one_direction,
    ),
    (
        "answers_can_be_lost_at_the_host_and_on_the_path",
        answers_can_be_lost_at_the_host_and_on_the_path,
    ),
    (
        "what_cannot_leave_its_host_is_silence_for_tcp_and_an_error_for_udp",
        what_cannot_leave_its_host_is_silence_for_tcp_and_an_error_for_udp,
    ),
    (
        "the_router_loses_as_many_packets_as_it_is_told_to",
        the_router_loses_as_many_packets_as_it_is_told_to,
    ),
    ("bad_routes_swallow_or_refuse", bad_routes_swallow_or_refuse),
    (
        "a_taken_port_is_held_by_another_program",
        a_taken_port_is_held_by_another_program,
    ),
    (
        "a_middlebox_answers_for_a_host_toward_other_subnets",
        a_middlebox_answers_for_a_host_toward_other_subnets,
    ),
    (
        "a_fault_without_any_port_is_refused",
        a_fault_without_any_port_is_refused,
    ),
    (
        "programs_can_be_frozen_and_killed",
        programs_can_be_frozen_and_killed,
    ),
    (
        "a_cut_cable_is_silent_and_comes_back",
        a_cut_cable_is_silent_and_comes_back,
    ),
    (
        "a_fault_inside_a_subnet_cannot_be_put_on_the_router",
        a_fault_inside_a_subnet_cannot_be_put_on_the_router,
    ),
];

const A1: &str = "10.91.0.11";
const A2: &str = "10.91.0.12";
const B1: &str = "10.92.0.13";
const REFUSED: Connected = Connected::No(ErrorKind::ConnectionRefused);
const HOST_UNREACHABLE: Connected = Connected::No(ErrorKind::HostUnreachable);
const NET_UNREACHABLE: Connected = Connected::No(ErrorKind::NetworkUnreachable);

fn a_host_that_drops_a_port_is_silent_there_until_healed(entered: &Entered) {
    let mut lab = up(entered, &[A1, A2, B1]);
    let (dropped, other) = (listen(&lab, A1, 7000), listen(&lab, A1, 7001));
    let from = Some("10.92.0.0/24".parse().unwrap());
    let partly = plant(
        &mut lab,
        &Fault::HostDrop {
            host: node(A1),
            family: None,
            transport: None,
            ports: ports("7000"),
            from,
        },
    );
    assert_eq!(connect(&lab, B1, dropped.address), SILENT);
    assert_eq!(
        connect(&lab, A2, dropped.address),
        Connected::Yes,
        "only the other subnet was named"
    );
    assert_eq!(connect(&lab, B1, other.address), Connected::Yes);
    let fully = plant(
        &mut lab,
        &Fault::HostDrop {
            host: node(A1),
            family: None,
            transport: None,
            ports: ports("7000"),
            from: None,
        },
    );
    assert_eq!(connect(&lab, A2, dropped.address), SILENT);
    lab.heal(fully).unwrap();
    assert_eq!(connect(&lab, A2, dropped.address), Connected::Yes);
    assert_eq!(
        connect(&lab, B1, dropped.address),
        SILENT,
        "the first fault is still there"
    );
    lab.heal(partly).unwrap();
    assert_eq!(connect(&lab, B1, dropped.address), Connected::Yes);
    assert!(matches!(lab.heal(partly), Err(FaultError::NotPlanted(_))));
}

fn each_way_to_reject_has_its_own_error(entered: &Entered) {
    let mut lab = up(entered, &[A1, B1]);
    let target = listen(&lab, A1, 7000);
    let ways = [
        (RejectWith::AdminProhibited, HOST_UNREACHABLE),
        (RejectWith::HostProhibited, HOST_UNREACHABLE),
        (RejectWith::HostUnreachable, HOST_UNREACHABLE),
        (RejectWith::NetProhibited, NET_UNREACHABLE),
        (RejectWith::PortUnreachable, REFUSED),
        (RejectWith::TcpReset, REFUSED),
    ];
    for (with, expected) in ways {
        let at_host = Fault::HostReject {
            host: node(A1),
            with,
            family: None,
            transport: None,
            ports: ports("6000-7000"),
            from: None,
        };
        assert_faulty(&mut lab, &at_host, B1, &target, &expected);
        let on_path = Fault::PathReject {
            from: side(B1),
            to: side(A1),
            with,
            family: None,
            transport: None,
            ports: None,
        };
        assert_faulty(&mut lab, &on_path, B1, &target, &expected);
    }
}

fn a_path_that_drops_does_so_in_one_direction(entered: &Entered) {
    let mut lab = up(entered, &[A1, B1]);
    let (there, back) = (listen(&lab, B1, 7000), listen(&lab, A1, 7000));
    let fault = Fault::PathDrop {
        from: side(A1),
        to: side("10.92.0.0/24"),
        family: None,
        transport: None,
        ports: ports("7000"),
    };
    let id = plant(&mut lab, &fault);
    assert_eq!(connect(&lab, A1, there.address), SILENT);
    assert_eq!(connect(&lab, B1, back.address), Connected::Yes);
    lab.heal(id).unwrap();
    assert_eq!(connect(&lab, A1, there.address), Connected::Yes);
}

fn answers_can_be_lost_at_the_host_and_on_the_path(entered: &Entered) {
    let mut lab = up(entered, &[A1, B1]);
    let target = listen(&lab, B1, 7000);
    let at_host = Fault::HostAnswerDrop {
        host: node(B1),
        family: None,
        transport: None,
        ports: ports("7000"),
        to: None,
    };
    assert_faulty(&mut lab, &at_host, A1, &target, &SILENT);
    let on_path = Fault::PathAnswerDrop {
        from: side(A1),
        to: side(B1),
        family: None,
        transport: None,
        ports: ports("7000"),
    };
    assert_faulty(&mut lab, &on_path, A1, &target, &SILENT);
}

fn what_cannot_leave_its_host_is_silence_for_tcp_and_an_error_for_udp(entered: &Entered) {
    let mut lab = up(entered, &[A1, B1]);
    let target = listen(&lab, B1, 7000);
    let to = Some(side(B1));
    let fault = |transport| Fault::HostOutputDrop {
        host: node(A1),
        family: None,
        transport: Some(transport),
        ports: None,
        to,
    };
    assert_faulty(&mut lab, &fault(Transport::Tcp), A1, &target, &SILENT);
    plant(&mut lab, &fault(Transport::Udp));
    let sent = lab.in_host(node(A1), || {
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?.send_to(b"x", target.address)
    });
    assert_eq!(sent.unwrap().unwrap_err().kind(), ErrorKind::PermissionDenied);
}

fn the_router_loses_as_many_packets_as_it_is_told_to(entered: &Entered) {
    const SENT: usize = 2000;
    let mut lab = up(entered, &[A1, B1]);
    let receiver = lab
        .in_host(node(B1), || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 7000)))
        .unwrap()
        .unwrap();
    receiver.set_nonblocking(true).unwrap();
    let fault = Fault::PathLoss {
        from: side(A1),
        to: side(B1),
        permille: 300,
        family: None,
        transport: Some(Transport::Udp),
        ports: ports("7000"),
    };
    plant(&mut lab, &fault);
    let sender = lab
        .in_host(node(A1), || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))
        .unwrap()
        .unwrap();
    let mut received = 0;
    let mut drain = || {
        while receiver.recv(&mut [0; 8]).is_ok() {
            received += 1;
        }
    };
    for _ in 0..SENT {
        sender
            .send_to(b"x", (B1.parse::<Ipv4Addr>().unwrap(), 7000))
            .unwrap();
        drain();
    }
    thread::sleep(Duration::from_millis(50));
    drain();
    // 30 % of 2000 with a standard deviation of 20: ten of them on either side.
    assert!((1200..=1600).contains(&received), "{received} of {SENT} arrived");
}

fn bad_routes_swallow_or_refuse(entered: &Entered) {
    let mut lab = up(entered, &[A1, B1]);
    let target = listen(&lab, A1, 7000);
    for (with, expected) in [
        (BadRoute::Blackhole, SILENT),
        (BadRoute::Prohibit, HOST_UNREACHABLE),
        (BadRoute::Unreachable, HOST_UNREACHABLE),
    ] {
        assert_faulty(
            &mut lab,
            &Fault::RouterRoute {
                to: side(A1),
                family: None,
                with,
            },
            B1,
            &target,
            &expected,
        );
    }
}

fn a_taken_port_is_held_by_another_program(entered: &Entered) {
    let mut lab = up(entered, &[A1, B1]);
    let address = SocketAddr::new(A1.parse().unwrap(), 10250);
    let bind = |lab: &Lab| {
        lab.in_host(node(A1), || TcpListener::bind(address))
            .unwrap()
            .map_err(|error| error.kind())
    };
    let id = plant(
        &mut lab,
        &Fault::PortTaken {
            host: node(A1),
            transport: Transport::Tcp,
            port: 10250,
        },
    );
    assert_eq!(bind(&lab).unwrap_err(), ErrorKind::AddrInUse);
    assert_eq!(connect(&lab, B1, address), Connected::Yes);
    assert!(
        lab.apply(&Fault::PortTaken {
            host: node(A1),
            transport: Transport::Tcp,
            port: 10250
        })
        .is_err(),
        "it cannot be taken twice"
    );
    lab.heal(id).unwrap();
    bind(&lab).unwrap();
}

fn a_middlebox_answers_for_a_host_toward_other_subnets(entered: &Entered) {
    let mut lab = up(entered, &[A1, A2, B1]);
    let (faked, genuine) = (listen(&lab, A1, 443), listen(&lab, A1, 444));
    let id = plant(
        &mut lab,
        &Fault::WrongResponder {
            host: node(A1),
            family: None,
            ports: "443".parse().unwrap(),
        },
    );
    plant(
        &mut lab,
        &Fault::WrongResponder {
            host: node(A2),
            family: None,
            ports: "443".parse().unwrap(),
        },
    );
    assert!(ask(&lab, B1, faked.address).unwrap().starts_with("HTTP/1.1 400"));
    assert_eq!(
        ask(&lab, A2, faked.address).unwrap_err().kind(),
        ErrorKind::WouldBlock,
        "the listener never answers"
    );
    assert_eq!(
        ask(&lab, B1, genuine.address).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    lab.heal(id).unwrap();
    assert_eq!(
        ask(&lab, B1, faked.address).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
}

fn a_fault_without_any_port_is_refused(entered: &Entered) {
    let mut lab = up(entered, &[A1]);
    let host = node(A1);
    let drop = Fault::HostDrop {
        host,
        family: None,
        transport: None,
        ports: ports(""),
        from: None,
    };
    assert!(matches!(lab.apply(&drop), Err(FaultError::NoPorts)));
    let impostor = Fault::WrongResponder {
        host,
        family: None,
        ports: PortSet::new(),
    };
    assert!(matches!(lab.apply(&impostor), Err(FaultError::NoPorts)));
}

fn programs_can_be_frozen_and_killed(entered: &Entered) {
    let mut lab = up(entered, &[A1]);
    let host = node(A1);
    assert!(matches!(
        lab.apply(&Fault::Freeze { host }),
        Err(FaultError::NoProgram(_))
    ));
    // One process: a shell that is about to start another waits for it without a stop to be seen.
    let child = lab.spawn_in(host, shell("exec sleep 600", b"", None)).unwrap();
    let frozen = plant(&mut lab, &Fault::Freeze { host });
    wait_for_state(child.pid(), 'T');
    lab.heal(frozen).unwrap();
    wait_for_state(child.pid(), 'S');
    let killed = plant(&mut lab, &Fault::Kill { host });
    assert!(
        child
            .try_wait()
            .unwrap()
            .is_some_and(|status| status.code().is_none())
    );
    assert!(matches!(lab.heal(killed), Err(FaultError::Permanent(_))));
}

fn a_cut_cable_is_silent_and_comes_back(entered: &Entered) {
    let mut lab = up(entered, &[A1, B1]);
    let target = listen(&lab, A1, 7000);
    let id = plant(&mut lab, &Fault::CableCut { host: node(A1) });
    assert_eq!(connect(&lab, B1, target.address), SILENT);
    lab.heal(id).unwrap();
    until(Duration::from_secs(10), || {
        (connect(&lab, B1, target.address) == Connected::Yes).then_some(())
    });
}

fn a_fault_inside_a_subnet_cannot_be_put_on_the_router(entered: &Entered) {
    let mut lab = up(entered, &[A1, A2]);
    let fault = Fault::PathDrop {
        from: side(A1),
        to: side(A2),
        family: None,
        transport: None,
        ports: None,
    };
    assert!(matches!(
        lab.apply(&fault),
        Err(FaultError::NoRouterBetween { .. })
    ));
    let nowhere = Fault::HostDrop {
        host: NodeId::Coordinator,
        family: None,
        transport: None,
        ports: ports("1"),
        from: None,
    };
    let id = plant(&mut lab, &nowhere);
    drop(lab);
    // The workstation's namespace outlives the lab; its fault does not.
    let mut lab = up(entered, &[A1]);
    assert_eq!(plant(&mut lab, &nowhere), id, "the table's name is free again");
}

/// Plants, finds the expected outcome, heals, finds the port open.
fn assert_faulty(lab: &mut Lab, fault: &Fault, from: &str, target: &Listening, expected: &Connected) {
    let id = plant(lab, fault);
    assert_eq!(connect(lab, from, target.address), *expected, "{fault:?}");
    lab.heal(id).unwrap();
    assert_eq!(
        connect(lab, from, target.address),
        Connected::Yes,
        "after {fault:?}"
    );
}

fn plant(lab: &mut Lab, fault: &Fault) -> FaultId {
    lab.apply(fault)
        .unwrap_or_else(|error| panic!("{}", crate::chain(error)))
}

/// Says something and reads the answer.
fn ask(lab: &Lab, host: &str, target: SocketAddr) -> io::Result<String> {
    let question = || {
        let mut stream = TcpStream::connect_timeout(&target, Duration::from_secs(3))?;
        stream.set_read_timeout(Some(Duration::from_millis(300)))?;
        stream.write_all(b"hello")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    lab.in_host(node(host), question).unwrap()
}

/// Waits for a process to be in a state of proc(5), `T` for stopped.
fn wait_for_state(pid: u32, state: char) {
    let path = format!("/proc/{pid}/stat");
    until(Duration::from_secs(5), || {
        let text = std::fs::read_to_string(&path).unwrap();
        text.rsplit(") ").next().unwrap().starts_with(state).then_some(())
    });
}

fn ports(text: &str) -> Option<PortSet> {
    Some(text.parse().unwrap())
}

fn side(text: &str) -> Side {
    text.parse().unwrap()
}
