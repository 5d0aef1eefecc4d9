use super::packet::{IcmpError, Packet, TcpSegment, Tuple, UdpDatagram};

#[test]
fn a_syn_is_a_question_and_its_answers_are_told_apart() {
    let kinds = [0x02, 0x12, 0x14, 0x04, 0x10].map(|flags| {
        let Some(Packet::Tcp(segment)) = Packet::parse(&ipv4(6, &tcp(flags))) else {
            panic!("flags {flags:#x} do not parse");
        };
        (segment.is_question(), segment.is_answer(), segment.is_reset())
    });
    assert_eq!(
        kinds,
        [
            (true, false, false),
            (false, true, false),
            (false, false, true),
            (false, false, true),
            (false, false, false)
        ]
    );
}

#[test]
fn addresses_and_ports_are_found_behind_ip_options() {
    let mut packet = ipv4(6, &[]);
    packet[0] = 0x47;
    packet.extend([1; 8]);
    packet.extend(tcp(2));
    assert_eq!(
        Packet::parse(&packet),
        Some(Packet::Tcp(TcpSegment {
            tuple: tuple(),
            flags: 2
        }))
    );
}

#[test]
fn an_icmp_error_names_the_test_that_it_is_about() {
    let mut icmp = vec![3, 13, 0, 0, 0, 0, 0, 0];
    // A router need not quote more than eight octets of the transport header.
    icmp.extend(&ipv4(6, &tcp(2))[..28]);
    assert_eq!(
        Packet::parse(&ipv4(1, &icmp)),
        Some(Packet::IcmpError(IcmpError {
            source: tuple().source,
            destination: tuple().destination,
            icmp_type: 3,
            code: 13,
            quoted_protocol: 6,
            quoted: tuple(),
        }))
    );
    icmp[0] = 8;
    assert_eq!(
        Packet::parse(&ipv4(1, &icmp)),
        None,
        "an echo request is no error"
    );
}

#[test]
fn ipv6_segments_are_read_alike() {
    let packet = ipv6(6, &tcp(2));
    let Some(Packet::Tcp(segment)) = Packet::parse(&packet) else {
        panic!("does not parse");
    };
    assert!(segment.tuple.source.is_ipv6() && segment.is_question());
}

#[test]
fn a_datagram_is_read_with_what_it_carries() {
    let mut datagram = vec![0x12, 0x34, 1, 187, 0, 120, 0, 0];
    datagram.extend([7; 112]);
    assert_eq!(
        Packet::parse(&ipv4(17, &datagram)),
        Some(Packet::Udp(UdpDatagram {
            tuple: tuple(),
            payload: vec![7; 112],
        }))
    );
    assert_eq!(Packet::parse(&ipv4(17, &datagram[..7])), None);
}

#[test]
fn later_fragments_carry_no_ports() {
    let mut packet = ipv4(6, &tcp(2));
    packet[7] = 1;
    assert_eq!(Packet::parse(&packet), None);
    let fragment = |offset: u8| [&[6, 0, 0, offset, 0, 0, 0, 1], &tcp(2)[..]].concat();
    assert!(
        Packet::parse(&ipv6(44, &fragment(1))).is_some(),
        "the first one, and more follow"
    );
    assert_eq!(Packet::parse(&ipv6(44, &fragment(8))), None);
}

#[test]
fn extension_headers_are_skipped_but_not_for_ever() {
    let hop_by_hop = [60, 0, 0, 0, 0, 0, 0, 0];
    let options = [43, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let routing = [6, 0, 0, 0, 0, 0, 0, 0];
    let extended = ipv6(0, &[&hop_by_hop[..], &options, &routing, &tcp(2)].concat());
    assert!(
        matches!(Packet::parse(&extended), Some(Packet::Tcp(segment)) if segment.tuple.destination_port == 443)
    );
    let endless: Vec<u8> = [[0; 8]; 100].concat();
    assert_eq!(Packet::parse(&ipv6(0, &endless)), None);
}

#[test]
fn an_icmpv6_error_names_the_test_that_it_is_about() {
    let mut icmp = vec![1, 1, 0, 0, 0, 0, 0, 0];
    icmp.extend(ipv6(17, &[0x12, 0x34, 1, 187, 0, 120, 0, 0]));
    let Some(Packet::IcmpError(error)) = Packet::parse(&ipv6(58, &icmp)) else {
        panic!("does not parse");
    };
    assert_eq!((error.icmp_type, error.code, error.quoted_protocol), (1, 1, 17));
    assert_eq!(
        (error.quoted.source_port, error.quoted.destination_port),
        (0x1234, 443)
    );
    icmp[0] = 128;
    assert_eq!(
        Packet::parse(&ipv6(58, &icmp)),
        None,
        "an echo request is no error"
    );
}

/// Every cut of every shape, and every octet set to its extremes: nothing panics, and what is cut inside the ports is
/// nothing.
#[test]
fn no_octets_whatsoever_cause_a_panic() {
    let mut icmp = vec![3, 1, 0, 0, 0, 0, 0, 0];
    icmp.extend(ipv4(17, &[0; 8]));
    let extended = [&[17, 0, 0, 0, 0, 0, 0, 0], &[0; 120][..]].concat();
    let mut icmpv6 = vec![1, 1, 0, 0, 0, 0, 0, 0];
    icmpv6.extend(ipv6(60, &extended));
    let datagram = ipv4(17, &[0; 120]);
    for packet in [
        ipv4(6, &tcp(2)),
        datagram,
        ipv4(1, &icmp),
        ipv6(60, &extended),
        ipv6(58, &icmpv6),
    ] {
        for cut in 0..=packet.len() {
            let short = Packet::parse(&packet[..cut]);
            assert!(cut >= 24 || short.is_none(), "{cut} octets");
        }
        for at in 0..packet.len() {
            for value in [0x00, 0x0f, 0x40, 0x4f, 0x6f, 0xff] {
                let mut altered = packet.clone();
                altered[at] = value;
                let _ = Packet::parse(&altered);
            }
        }
    }
}

fn tuple() -> Tuple {
    Tuple {
        source: [10, 0, 0, 1].into(),
        destination: [10, 0, 0, 2].into(),
        source_port: 0x1234,
        destination_port: 443,
    }
}

fn tcp(flags: u8) -> Vec<u8> {
    let mut segment = vec![0; 20];
    segment[..4].copy_from_slice(&[0x12, 0x34, 1, 187]);
    segment[12] = 0x50;
    segment[13] = flags;
    segment
}

fn ipv4(protocol: u8, rest: &[u8]) -> Vec<u8> {
    let mut packet = vec![
        0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ];
    packet.extend(rest);
    packet
}

fn ipv6(next_header: u8, rest: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, next_header, 64];
    packet.extend([0xfd; 16]);
    packet.extend([0xfe; 16]);
    packet.extend(rest);
    packet
}
