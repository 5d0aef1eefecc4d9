use super::packet::{IcmpError, Packet, TcpSegment, Tuple};

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
    let mut packet = vec![0x60, 0, 0, 0, 0, 20, 6, 64];
    packet.extend([0xfd; 16]);
    packet.extend([0xfe; 16]);
    packet.extend(tcp(2));
    let Some(Packet::Tcp(segment)) = Packet::parse(&packet) else {
        panic!("does not parse");
    };
    assert!(segment.tuple.source.is_ipv6() && segment.is_question());
}

#[test]
fn later_fragments_carry_no_ports() {
    let mut packet = ipv4(6, &tcp(2));
    packet[7] = 1;
    assert_eq!(Packet::parse(&packet), None);
}

/// Every cut of every shape, and every octet set to its extremes: nothing panics, and what is cut inside the ports is
/// nothing.
#[test]
fn no_octets_whatsoever_cause_a_panic() {
    let mut icmp = vec![3, 1, 0, 0, 0, 0, 0, 0];
    icmp.extend(ipv4(17, &[0; 8]));
    let mut v6 = vec![0x60, 0, 0, 0, 0, 20, 58, 64];
    v6.extend([1; 32]);
    v6.extend([1, 1, 0, 0, 0, 0, 0, 0]);
    for packet in [ipv4(6, &tcp(2)), ipv4(1, &icmp), v6] {
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
