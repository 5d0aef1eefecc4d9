//! The responder on loopback addresses, asked by plain sockets.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as Asking},
    time::Duration,
};

use plumbline_measure::{
    hello::PairKey,
    stamp::{
        packet::{ReflectorPacket, SenderPacket, Sent},
        session::{SessionId, SessionKey},
        time::{ErrorEstimate, Format, WireTime},
    },
};
use plumbline_model::{
    observation::{BindFailure, Heard, Record},
    port::Family,
};

use super::*;
use crate::{own_address::destination, responder::Caller};

const CALLER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4));
const KEY: [u8; 32] = [7; 32];
const CALLER_INDEX: u32 = 4;

fn task(address: IpAddr, caller: IpAddr, ports: &[u16]) -> ArmTask {
    ArmTask {
        run: *b"loopback",
        own_index: 1,
        address,
        ports: ports.iter().copied().collect(),
        callers: vec![Caller {
            index: CALLER_INDEX,
            node: caller.into(),
            addresses: vec![caller],
            key: KEY,
        }],
    }
}

/// A responder on a port that nobody has: found by binding and letting go, and again if somebody was faster.
fn armed(address: IpAddr, caller: IpAddr) -> (Responder, u16) {
    for _ in 0..10 {
        let port = Asking::bind((address, 0)).unwrap().local_addr().unwrap().port();
        let (responder, armed) = arm(task(address, caller, &[port])).unwrap();
        if armed.ports.contains(port) {
            return (responder, port);
        }
    }
    panic!("no port stays free");
}

fn asking(from: IpAddr) -> Asking {
    let socket = Asking::bind((from, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

fn session_key(port: u16) -> SessionKey {
    SessionKey::derive(&PairKey::new(&KEY), port)
}

fn question(port: u16, sequence: u32) -> [u8; 112] {
    let packet = SenderPacket {
        sent: Sent {
            sequence,
            at: WireTime::from_bits(1),
            error_estimate: ErrorEstimate::UNKNOWN,
        },
        ssid: SessionId::of_member(CALLER_INDEX).unwrap().to_wire(),
    };
    packet.seal(&session_key(port))
}

fn heard(responder: Responder) -> Vec<Heard> {
    let records = responder.release();
    let heard = |record| match record {
        Record::Heard(heard) => heard,
        other => panic!("{other:?}"),
    };
    records.into_iter().map(heard).collect()
}

#[test]
fn a_caller_is_answered_and_counted_in_both_families() {
    for (caller, destination) in [
        (CALLER, destination()),
        (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()),
    ] {
        let (responder, port) = armed(destination, caller);
        let asking = asking(caller);
        asking.send_to(&question(port, 1), (destination, port)).unwrap();
        let mut octets = [0; 200];
        let (length, from) = asking.recv_from(&mut octets).unwrap();
        assert_eq!((length, from), (112, SocketAddr::new(destination, port)));
        let (answer, _) = ReflectorPacket::open(&octets[..length], &session_key(port)).unwrap();
        assert_eq!(answer.asked.sequence, 1);
        assert!(answer.ttl > 0 && answer.ttl < 255, "the kernel tells the TTL");
        let received_at = answer.received_at.since_1970(Format::Ntp).unwrap();
        let now = std::time::SystemTime::now()
            .duration_since(std::time::SystemTime::UNIX_EPOCH)
            .unwrap();
        assert!(now.abs_diff(received_at) < Duration::from_secs(60));
        let heard = heard(responder);
        assert_eq!(heard.len(), 1);
        assert_eq!((heard[0].src, heard[0].address), (Some(caller.into()), caller));
        assert_eq!(
            (heard[0].family, heard[0].protocol),
            (Family::of(caller), Protocol::Udp)
        );
        assert_eq!((heard[0].accepted, heard[0].proven, heard[0].unproven), (1, 1, 0));
    }
}

#[test]
fn what_proves_nothing_or_comes_again_is_counted_and_never_answered() {
    let (responder, port) = armed(destination(), CALLER);
    let (caller, stranger) = (asking(CALLER), asking(STRANGER));
    let good = question(port, 5);
    let mut forged = question(port, 6);
    forged[111] ^= 1;
    let of_another_port = question(port ^ 1, 7);
    let oversized = [&good[..], &[0]].concat();
    for octets in [&forged[..], &of_another_port, &oversized, &good[..111], &[]] {
        caller.send_to(octets, (destination(), port)).unwrap();
    }
    for octets in [&forged[..], &question(port, 8)] {
        stranger.send_to(octets, (destination(), port)).unwrap();
    }
    // Whatever was sent before it has been judged when this one is answered.
    caller.send_to(&good, (destination(), port)).unwrap();
    caller.send_to(&good, (destination(), port)).unwrap();
    caller.send_to(&question(port, 9), (destination(), port)).unwrap();
    let mut octets = [0; 200];
    for sequence in [5, 9] {
        let (length, _) = caller.recv_from(&mut octets).unwrap();
        let (answer, _) = ReflectorPacket::open(&octets[..length], &session_key(port)).unwrap();
        assert_eq!(answer.asked.sequence, sequence);
    }
    let heard = heard(responder);
    let counts = |of: IpAddr| {
        let of = heard.iter().find(|heard| heard.address == of).unwrap();
        (of.src, of.accepted, of.proven, of.unproven, of.replayed)
    };
    assert_eq!(counts(CALLER), (Some(CALLER.into()), 8, 2, 5, 1));
    assert_eq!(counts(STRANGER), (None, 2, 1, 1, 0));
    for socket in [caller, stranger] {
        socket.set_nonblocking(true).unwrap();
        assert!(
            socket.recv_from(&mut octets).is_err(),
            "nothing else was answered"
        );
    }
}

#[test]
fn a_port_that_another_program_holds_is_named_with_its_holder() {
    let holder = Asking::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = holder.local_addr().unwrap().port();
    let (_, armed) = arm(task(destination(), CALLER, &[port])).unwrap();
    assert!(armed.ports.is_empty());
    assert!(
        matches!(&armed.refused[0].why, BindFailure::Taken { pid: Some(pid), process: Some(_) } if *pid == std::process::id()),
        "{:?}",
        armed.refused
    );
}

#[test]
fn an_address_that_is_not_here_is_named_as_missing() {
    let elsewhere: IpAddr = [192, 0, 2, 1].into();
    let (_, armed) = arm(task(elsewhere, CALLER, &[6081])).unwrap();
    assert_eq!(armed.refused[0].why, BindFailure::AddressMissing);
}

#[test]
fn ports_are_free_again_after_the_release() {
    let (responder, port) = armed(destination(), CALLER);
    assert!(Asking::bind((destination(), port)).is_err());
    assert_eq!(responder.release(), []);
    Asking::bind((destination(), port)).unwrap();
}

#[test]
fn a_roster_beyond_what_a_packet_can_name_is_refused() {
    let mut task = task(destination(), CALLER, &[]);
    task.callers[0].index = 65_534;
    assert!(arm(task.clone()).is_ok());
    task.callers[0].index = 65_535;
    let refused = arm(task).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
}
