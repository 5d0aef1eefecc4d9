use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};

use plumbline_measure::stamp::{
    packet::{ReflectorPacket, SenderPacket, Sent},
    session::SessionKey,
    time::{ErrorEstimate, WireTime},
};
use plumbline_sys::capture::{IcmpError, TcpSegment, UdpDatagram};

use super::*;

const OWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));
const SYN: u8 = 0x02;
const SYN_ACK: u8 = 0x12;
const RST: u8 = 0x14;

#[test]
fn what_leaves_as_a_question_is_counted_at_the_source_and_its_answer_too() {
    let mut tally = Tally::new(vec![
        watched(End::Source, "443"),
        watched(End::Destination, "443"),
    ]);
    tally.count(&tcp(Direction::Outgoing, (OWN, 40_000), (PEER, 443), SYN, 2));
    tally.count(&tcp(Direction::Incoming, (PEER, 443), (OWN, 40_000), SYN_ACK, 2));
    // The asking side closes by a reset, which is no reset of the asked side.
    tally.count(&tcp(Direction::Outgoing, (OWN, 40_000), (PEER, 443), RST, 2));
    assert_eq!(
        rows(&tally.records(true)),
        ["Source 443 1 1 0 0", "Destination 443 0 0 0 0"]
    );
}

#[test]
fn what_is_routed_back_into_the_host_has_not_left_it() {
    let mut tally = Tally::new(vec![watched(End::Source, "443")]);
    tally.count(&Captured {
        is_loopback: true,
        ..tcp(Direction::Outgoing, (OWN, 40_000), (PEER, 443), SYN, 1)
    });
    assert_eq!(rows(&tally.records(true)), ["Source 443 0 0 0 0"]);
}

#[test]
fn what_arrives_as_a_question_is_counted_at_the_destination_with_every_kind_of_reply() {
    let mut tally = Tally::new(vec![watched(End::Destination, "22,443,8080")]);
    for port in [22, 443, 8080] {
        tally.count(&tcp(Direction::Incoming, (PEER, 40_000), (OWN, port), SYN, 2));
    }
    tally.count(&tcp(Direction::Outgoing, (OWN, 22), (PEER, 40_000), SYN_ACK, 2));
    tally.count(&tcp(Direction::Outgoing, (OWN, 443), (PEER, 40_000), RST, 2));
    tally.count(&icmp(Direction::Outgoing, OWN, (PEER, 40_000), (OWN, 8080)));
    assert_eq!(
        rows(&tally.records(true)),
        [
            "Destination 8080 1 0 0 1",
            "Destination 443 1 0 1 0",
            "Destination 22 1 1 0 0"
        ]
    );
}

#[test]
fn datagrams_are_told_by_what_they_say_even_between_ports_that_are_both_watched() {
    let watches = || {
        [End::Source, End::Destination].map(|end| Watched {
            protocol: Protocol::Udp,
            ..watched(end, "6081")
        })
    };
    let mut tally = Tally::new(watches().to_vec());
    tally.count(&udp(Direction::Outgoing, (OWN, 6081), (PEER, 6081), &question()));
    tally.count(&udp(Direction::Incoming, (PEER, 6081), (OWN, 6081), &answer()));
    tally.count(&udp(Direction::Incoming, (PEER, 6081), (OWN, 6081), &[0; 112]));
    // TCP at the same port is another test.
    tally.count(&tcp(Direction::Outgoing, (OWN, 40_000), (PEER, 6081), SYN, 2));
    assert_eq!(
        rows(&tally.records(true)),
        ["Source 6081 1 1 0 0", "Destination 6081 0 0 0 0"]
    );
    let mut tally = Tally::new(watches().to_vec());
    tally.count(&udp(
        Direction::Incoming,
        (PEER, 40_000),
        (OWN, 6081),
        &question(),
    ));
    tally.count(&udp(Direction::Outgoing, (OWN, 6081), (PEER, 40_000), &answer()));
    let mut error = icmp(Direction::Outgoing, OWN, (PEER, 40_000), (OWN, 6081));
    if let Packet::IcmpError(error) = &mut error.packet {
        error.quoted_protocol = UDP;
    }
    tally.count(&error);
    assert_eq!(
        rows(&tally.records(true)),
        ["Source 6081 0 0 0 0", "Destination 6081 1 1 0 1"]
    );
}

#[test]
fn an_icmp_error_of_a_router_counts_for_the_peer_that_was_asked() {
    let router = IpAddr::from([10, 0, 0, 254]);
    let mut tally = Tally::new(vec![watched(End::Source, "443")]);
    tally.count(&icmp(Direction::Incoming, router, (OWN, 40_000), (PEER, 443)));
    assert_eq!(rows(&tally.records(true)), ["Source 443 0 0 0 1"]);
}

#[test]
fn silence_is_a_row_of_zeros_and_other_hosts_and_ports_do_not_count() {
    let mut tally = Tally::new(vec![watched(End::Destination, "443-445")]);
    let stranger = IpAddr::from([10, 0, 0, 3]);
    tally.count(&tcp(Direction::Incoming, (stranger, 40_000), (OWN, 443), SYN, 2));
    tally.count(&tcp(Direction::Incoming, (PEER, 40_000), (OWN, 80), SYN, 2));
    assert_eq!(rows(&tally.records(true)), ["Destination 443-445 0 0 0 0"]);
}

#[test]
fn a_packet_that_a_bond_and_its_slave_both_show_counts_once() {
    let mut tally = Tally::new(vec![watched(End::Destination, "443")]);
    for interface in [2, 5] {
        tally.count(&tcp(
            Direction::Incoming,
            (PEER, 40_000),
            (OWN, 443),
            SYN,
            interface,
        ));
    }
    assert_eq!(rows(&tally.records(true)), ["Destination 443 1 0 0 0"]);
}

#[test]
fn after_losses_only_what_no_loss_can_have_made_is_told() {
    let mut tally = Tally::new(vec![watched(End::Destination, "22,443,8080")]);
    tally.count(&tcp(Direction::Incoming, (PEER, 40_000), (OWN, 22), SYN, 2));
    tally.count(&tcp(Direction::Outgoing, (OWN, 22), (PEER, 40_000), SYN_ACK, 2));
    tally.count(&tcp(Direction::Incoming, (PEER, 40_000), (OWN, 443), SYN, 2));
    assert_eq!(rows(&tally.records(false)), ["Destination 22 1 1 0 0"]);
}

/// Needs CAP_NET_RAW; without it the refusal itself is what is tested, since the lab tier covers the rest.
#[test]
fn tests_over_loopback_are_seen_in_both_families_or_the_missing_privilege_is_named() {
    for address in [IpAddr::from([127, 0, 0, 1]), std::net::Ipv6Addr::LOCALHOST.into()] {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let answering = UdpSocket::bind((address, 0)).unwrap();
        let port_of_tcp = listener.local_addr().unwrap().port();
        let port_of_udp = answering.local_addr().unwrap().port();
        let watch = |protocol, port: u16| Watched {
            peer: NodeId::Address(address),
            addresses: vec![address],
            end: End::Destination,
            family: Family::of(address),
            protocol,
            ports: [port].into_iter().collect(),
        };
        let watches = vec![
            watch(Protocol::Tcp, port_of_tcp),
            watch(Protocol::Udp, port_of_udp),
        ];
        let look = match start(watches) {
            Ok(look) => look,
            Err(LookError::Capture(OpenError::Open(errno))) => {
                assert_eq!(errno, plumbline_sys::Errno::PERM);
                continue;
            }
            Err(other) => panic!("{other}"),
        };
        drop(TcpStream::connect((address, port_of_tcp)).unwrap());
        let asking = UdpSocket::bind((address, 0)).unwrap();
        asking.send_to(&question(), (address, port_of_udp)).unwrap();
        // No question of ours: the kernel's filter leaves it out.
        asking.send_to(&[1; 1000], (address, port_of_udp)).unwrap();
        answering
            .send_to(&answer(), asking.local_addr().unwrap())
            .unwrap();
        assert_eq!(
            rows(&look.finish()),
            [
                format!("Destination {port_of_tcp} 1 1 0 0"),
                format!("Destination {port_of_udp} 1 1 0 0")
            ]
        );
    }
}

fn sent() -> Sent {
    Sent {
        sequence: 1,
        at: WireTime::from_bits(1),
        error_estimate: ErrorEstimate::UNKNOWN,
    }
}

fn question() -> [u8; 112] {
    let packet = SenderPacket {
        sent: sent(),
        ssid: 1,
    };
    packet.seal(&SessionKey::new(&[7; 32]))
}

fn answer() -> [u8; 112] {
    let packet = ReflectorPacket {
        sent: sent(),
        ssid: 1,
        received_at: WireTime::from_bits(1),
        asked: sent(),
        ttl: 64,
    };
    packet.seal(&SessionKey::new(&[7; 32]))
}

fn udp(direction: Direction, from: (IpAddr, u16), to: (IpAddr, u16), payload: &[u8]) -> Captured {
    let packet = Packet::Udp(UdpDatagram {
        tuple: tuple(from, to),
        payload: payload.to_vec(),
    });
    Captured {
        direction,
        interface: 2,
        is_loopback: false,
        packet,
    }
}

fn watched(end: End, ports: &str) -> Watched {
    Watched {
        peer: NodeId::Address(PEER),
        addresses: vec![PEER],
        end,
        family: Family::Ipv4,
        protocol: Protocol::Tcp,
        ports: ports.parse().unwrap(),
    }
}

fn tcp(direction: Direction, from: (IpAddr, u16), to: (IpAddr, u16), flags: u8, interface: u32) -> Captured {
    let packet = Packet::Tcp(TcpSegment {
        tuple: tuple(from, to),
        flags,
    });
    Captured {
        direction,
        interface,
        is_loopback: false,
        packet,
    }
}

fn icmp(direction: Direction, offender: IpAddr, from: (IpAddr, u16), to: (IpAddr, u16)) -> Captured {
    let packet = Packet::IcmpError(IcmpError {
        source: offender,
        destination: from.0,
        icmp_type: 3,
        code: 13,
        quoted_protocol: TCP,
        quoted: tuple(from, to),
    });
    Captured {
        direction,
        interface: 2,
        is_loopback: false,
        packet,
    }
}

fn tuple(from: (IpAddr, u16), to: (IpAddr, u16)) -> Tuple {
    Tuple {
        source: from.0,
        destination: to.0,
        source_port: from.1,
        destination_port: to.1,
    }
}

fn rows(records: &[Record]) -> Vec<String> {
    records
        .iter()
        .map(|record| match record {
            Record::Seen(seen) => format!(
                "{:?} {} {} {} {} {}",
                seen.end, seen.ports, seen.questions, seen.answers, seen.resets, seen.icmp_errors
            ),
            other => panic!("{other:?}"),
        })
        .collect()
}
