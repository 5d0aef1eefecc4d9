//! The reflector under attack: whatever is sent to it, it says nothing but to those who may ask, and they notice nothing.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as Attacking},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use plumbline_measure::{
    hello::PairKey,
    stamp::{
        packet::{SenderPacket, Sent},
        session::{SessionId, SessionKey},
        time::{ErrorEstimate, WireTime},
    },
};
use plumbline_model::{
    observation::{Reach, Signal},
    port::PortSet,
};
use plumbline_probe::runner::asking::AskTask;
use plumbline_sys::{
    route::Network,
    udp::{Outbox, UdpSocket},
};

use crate::{
    datagrams::{ask, heard, responder},
    hosts::{Ends, Hosts, KEY, set, task},
};

/// From the member's own address and from a stranger's, at full speed, over all ports and into a single one: forged, replayed,
/// oversized, truncated and random datagrams. Meanwhile the member asks every port again and again.
pub(crate) fn a_flood_is_not_answered_and_a_run_beside_it_is_verified(hosts: &Hosts, ends: Ends) {
    let ports = set("30000-30199");
    let responder = responder(hosts, ends, &ports);
    let stranger = stranger_of(ends);
    let mut network = Network::open().unwrap();
    let cable = network.link("cable").unwrap().unwrap().index;
    network.add_address(cable, stranger.0, stranger.1).unwrap();
    let sent_before = hosts.answering.run(datagrams_sent).unwrap();
    let recorded = recorded(ends);
    let stop = AtomicBool::new(false);
    let (verified, heard) = std::thread::scope(|scope| {
        let attackers = [ends.asking, stranger.0].map(|from| {
            let (recorded, stop) = (&recorded, &stop);
            scope.spawn(move || attack(from, ends.answering, recorded, stop))
        });
        let (verified, failed) = ask_for(FLOOD, ends, &ports);
        let released = Instant::now();
        let heard = heard(responder);
        let took = released.elapsed();
        stop.store(true, Ordering::Relaxed);
        let sent: u64 = attackers.map(|attacker| attacker.join().unwrap()).iter().sum();
        assert_eq!(failed, [], "{verified} verified beside {sent}");
        assert!(took < IN_TIME, "the flood put off the release by {took:?}");
        (verified, heard)
    });
    network.delete_address(cable, stranger.0, stranger.1).unwrap();
    let of = |address: IpAddr| heard.iter().filter(move |heard| heard.address == address);
    let proven = |address| -> u64 {
        let by_port = of(address).map(|heard| u64::from(heard.proven) * u64::from(heard.ports.count()));
        by_port.sum()
    };
    assert_eq!(proven(stranger.0), 0);
    assert!(of(ends.asking).any(|heard| heard.replayed > 0 && heard.unproven > 0));
    assert!(of(stranger.0).any(|heard| heard.replayed > 0 && heard.unproven > 0));
    // No more answers than questions that proved a member's key from its own address: each of 112 octets, as its question.
    let sent = hosts.answering.run(datagrams_sent).unwrap() - sent_before;
    assert!(verified <= sent && sent <= proven(ends.asking), "{sent} sent");
}

/// Asks every port again and again for some time. Returns how many tests were verified, and what was not.
fn ask_for(time: Duration, ends: Ends, ports: &PortSet) -> (u64, Vec<Reach>) {
    let (begun, mut verified, mut failed) = (Instant::now(), 0, Vec::new());
    while begun.elapsed() < time {
        let from_member = AskTask {
            // The kernel might choose the stranger's, which is this host's as well.
            local: Some(ends.asking),
            ..task(ends.answering, ports)
        };
        for reach in ask(from_member) {
            match reach.signal {
                Signal::Verified => verified += u64::from(reach.ports.count()),
                _ => failed.push(reach),
            }
        }
    }
    (verified, failed)
}

/// Sends as fast as it can, and returns how much. Nothing may come back.
fn attack(from: IpAddr, to: IpAddr, recorded: &[[u8; 112]], stop: &AtomicBool) -> u64 {
    let socket = UdpSocket::toward(to, Some(from)).unwrap();
    let oversized = Attacking::bind((from, 0)).unwrap();
    oversized.set_nonblocking(true).unwrap();
    let (mut outbox, mut sent, mut random) = (Outbox::new(), 0, Random(7));
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..60 {
            let chosen = random.next();
            let mut octets = recorded[usize::try_from(chosen % 100).unwrap() % recorded.len()];
            let mut length = octets.len();
            match (chosen >> 8) % 5 {
                0 => {}
                1 => octets[96..104].copy_from_slice(&random.next().to_be_bytes()),
                2 => length = usize::try_from((chosen >> 16) % 112).unwrap(),
                3 => octets
                    .chunks_mut(8)
                    .for_each(|chunk| chunk.copy_from_slice(&random.next().to_be_bytes())),
                _ => octets[..4].copy_from_slice(&random.next().to_be_bytes()[..4]),
            }
            // Half of it into one port.
            let port = 30_000 + u16::try_from((chosen >> 32) % 400).unwrap() % 201 % 200;
            let port = if chosen & 1 == 0 { 30_007 } else { port };
            outbox.push(SocketAddr::new(to, port), &octets[..length]);
            sent += 1;
        }
        socket.send_many(&mut outbox);
        let _ = oversized.send_to(&[recorded[0].as_slice(), &[0; 900]].concat(), (to, 30_007));
    }
    let mut octets = [0; 2000];
    // When the ports have closed, an ICMP error may be pending.
    let answer = socket.receive_from(&mut octets).ok().flatten();
    assert_eq!(answer, None, "an answer to {from}");
    assert!(oversized.recv_from(&mut octets).is_err(), "an answer to {from}");
    sent
}

/// Questions that the member asked and that were answered, as somebody on the path has recorded them.
fn recorded(ends: Ends) -> Vec<[u8; 112]> {
    let socket = Attacking::bind((ends.asking, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let question = |port: u16| {
        let packet = SenderPacket {
            sent: Sent {
                sequence: 0,
                at: WireTime::from_bits(1),
                error_estimate: ErrorEstimate::UNKNOWN,
            },
            ssid: SessionId::of_member(0).unwrap().to_wire(),
        };
        let octets = packet.seal(&SessionKey::derive(&PairKey::new(&KEY), port));
        socket.send_to(&octets, (ends.answering, port)).unwrap();
        socket.recv_from(&mut [0; 200]).unwrap();
        octets
    };
    (30_000..30_010).map(question).collect()
}

fn stranger_of(ends: Ends) -> (IpAddr, u8) {
    match ends.asking {
        IpAddr::V4(_) => (Ipv4Addr::new(10, 77, 0, 66).into(), 24),
        IpAddr::V6(_) => (Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x66).into(), 64),
    }
}

/// UDP datagrams that this host has sent over either family.
fn datagrams_sent() -> u64 {
    let ipv4 = fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let lines: Vec<&str> = ipv4.lines().filter(|line| line.starts_with("Udp: ")).collect();
    let column = lines[0]
        .split(' ')
        .position(|name| name == "OutDatagrams")
        .unwrap();
    let of_ipv4: u64 = lines[1].split(' ').nth(column).unwrap().parse().unwrap();
    let ipv6 = fs::read_to_string("/proc/thread-self/net/snmp6").unwrap();
    let line = ipv6
        .lines()
        .find(|line| line.starts_with("Udp6OutDatagrams"))
        .unwrap();
    let of_ipv6: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    of_ipv4 + of_ipv6
}

/// A generator of Marsaglia's (xorshift64): an attack that can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// How long: some hundred thousand datagrams, and several turns of the member's.
const FLOOD: Duration = Duration::from_secs(2);
/// The end of an assignment waits for a quarter of a second while a flood goes on, and a busy machine takes its time besides.
const IN_TIME: Duration = Duration::from_secs(5);
