use std::net::{IpAddr, TcpListener, TcpStream};

use plumbline_sys::capture::{IcmpError, TcpSegment, Tuple};

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
fn a_connection_over_loopback_is_seen_or_the_missing_privilege_is_named() {
    let address = IpAddr::from([127, 0, 0, 1]);
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let watch = Watched {
        peer: NodeId::Address(address),
        addresses: vec![address],
        end: End::Destination,
        family: Family::Ipv4,
        ports: [port].into_iter().collect(),
    };
    match start(vec![watch]) {
        Ok(look) => {
            drop(TcpStream::connect((address, port)).unwrap());
            assert_eq!(rows(&look.finish()), [format!("Destination {port} 1 1 0 0")]);
        }
        Err(LookError::Capture(OpenError::Open(errno))) => assert_eq!(errno, plumbline_sys::Errno::PERM),
        Err(other) => panic!("{other}"),
    }
}

fn watched(end: End, ports: &str) -> Watched {
    Watched {
        peer: NodeId::Address(PEER),
        addresses: vec![PEER],
        end,
        family: Family::Ipv4,
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
