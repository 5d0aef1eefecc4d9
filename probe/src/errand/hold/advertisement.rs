//! An unsolicited neighbour advertisement (RFC 4861 sections 4.4 and 7.2.6).
//!
//! ```text
//!   IPv6 header, hop limit 255, to ff02::1
//!  +---------------+---------------+-------------------------------+
//!  | type 136      | code 0        | checksum                      |
//!  +---------------+---------------+-------------------------------+
//!  | O: override what is cached (0x20)                             |
//!  +---------------------------------------------------------------+
//!  | target (16 octets): the address that is told of               |
//!  +---------------+---------------+-------------------------------+
//!  | option 2      | 1             | target's link address (6)     |
//!  +---------------+---------------+-------------------------------+
//! ```

use std::net::Ipv6Addr;

/// The packet that tells everybody on the link where an address is.
pub(super) fn unsolicited(source: Ipv6Addr, target: Ipv6Addr, mac: [u8; 6]) -> Vec<u8> {
    let mut message = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    message.extend(target.octets());
    message.extend([2, 1]);
    message.extend(mac);
    let sum = checksum(source, ALL_NODES, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let length = u8::try_from(message.len()).unwrap_or(u8::MAX);
    let mut packet = vec![0x60, 0, 0, 0, 0, length, ICMPV6, 255];
    packet.extend(source.octets());
    packet.extend(ALL_NODES.octets());
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
}
