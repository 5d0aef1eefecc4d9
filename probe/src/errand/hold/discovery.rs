//! What is asked and told of an IPv6 VIP on its link: is anybody using it (RFC 4862 section 5.4.2), and where it is now (RFC 4861
//! section 7.2.6).
//!
//! ```text
//!   IPv6 header, hop limit 255; question: from :: to the solicited-node group; advertisement: to ff02::1
//!  +---------------+---------------+-------------------------------+
//!  | 135 or 136    | code 0        | checksum                      |
//!  +---------------+---------------+-------------------------------+
//!  | advertisement: O, override what is cached (0x20)              |
//!  +---------------------------------------------------------------+
//!  | target (16 octets)                                            |
//!  +---------------+---------------+-------------------------------+
//!  | advertisement: option 2, 1    | target's link address (6)     |
//!  +---------------+---------------+-------------------------------+
//! ```

use std::net::Ipv6Addr;

/// The packet that tells everybody on the link where an address is.
pub(super) fn unsolicited(source: Ipv6Addr, target: Ipv6Addr, mac: [u8; 6]) -> Vec<u8> {
    let mut message = vec![ADVERTISEMENT, 0, 0, 0, 0x20, 0, 0, 0];
    message.extend(target.octets());
    message.extend([2, 1]);
    message.extend(mac);
    packet(source, ALL_NODES, message)
}

/// The packet that asks whether anybody uses an address, from which nobody learns anything; and the link address to send it to.
pub(super) fn probe(target: Ipv6Addr) -> (Vec<u8>, [u8; 6]) {
    let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    let [.., a, b, c] = target.octets();
    // RFC 4291 section 2.7.1, RFC 2464 section 7.
    let low = u16::from_be_bytes([b, c]);
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), low);
    (
        packet(Ipv6Addr::UNSPECIFIED, group, message),
        [0x33, 0x33, 0xff, a, b, c],
    )
}

/// Whether a packet says that its sender uses an address, or wants it in the same way.
pub(super) fn claims(packet: &[u8], target: Ipv6Addr) -> bool {
    let [0x60..=0x6f, _, _, _, _, _, ICMPV6, 255, ..] = packet else {
        return false;
    };
    let (Some(source), Some([kind, ..]), Some(about)) =
        (packet.get(8..24), packet.get(40..), packet.get(48..64))
    else {
        return false;
    };
    let is_probe = *kind == SOLICITATION && source == Ipv6Addr::UNSPECIFIED.octets();
    about == target.octets() && (*kind == ADVERTISEMENT || is_probe)
}

fn packet(source: Ipv6Addr, destination: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    let sum = checksum(source, destination, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let length = u8::try_from(message.len()).unwrap_or(u8::MAX);
    let mut packet = vec![0x60, 0, 0, 0, 0, length, ICMPV6, 255];
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(message);
    packet
}

/// RFC 4443 section 2.3, over a message of an even number of octets.
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let words = source
        .segments()
        .into_iter()
        .chain(destination.segments())
        .chain([length, u16::from(ICMPV6)])
        .chain(
            message
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]])),
        );
    let mut sum: u32 = words.map(u32::from).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_over_a_packet_with_its_checksum_is_zero() {
        let target = "fd00::64".parse().unwrap();
        let source = "fe80::7".parse().unwrap();
        let packet = unsolicited(source, target, [2, 0, 0, 0, 0, 7]);
        assert_eq!(packet.len(), 40 + 32);
        assert_eq!(checksum(source, ALL_NODES, &packet[40..]), 0);
        assert_eq!(packet[40..42], [136, 0]);
    }

    #[test]
    fn a_probe_goes_to_the_group_of_its_target_and_says_nothing_of_its_sender() {
        let target: Ipv6Addr = "fd00::12:3456".parse().unwrap();
        let (packet, to) = probe(target);
        assert_eq!(to, [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
        assert_eq!(packet.len(), 40 + 24);
        assert_eq!(packet[8..24], [0; 16]);
        assert_eq!(
            packet[24..40],
            "ff02::1:ff12:3456".parse::<Ipv6Addr>().unwrap().octets()
        );
    }

    #[test]
    fn whoever_advertises_an_address_or_probes_for_it_claims_it() {
        let (target, other) = ("fd00::64".parse().unwrap(), "fd00::65".parse().unwrap());
        let advertised = unsolicited(target, target, [2, 0, 0, 0, 0, 7]);
        assert!(claims(&advertised, target));
        assert!(!claims(&advertised, other));
        assert!(claims(&probe(target).0, target));
        assert!(!claims(&advertised[..50], target));
        assert!(!claims(&[], target));
    }
}
