//! Neighbour solicitation and advertisement (RFC 4861 sections 4.3, 4.4), with the IPv6 header around them.
//!
//! ```text
//!  +------------------------------------------------------------+
//!  | IPv6 header: 40 octets, next header 58, hop limit 255      |
//!  +--------------+--------------+------------------------------+
//!  | 135 or 136   | code 0       | checksum                     |
//!  +--------------+--------------+------------------------------+
//!  | flags: router, solicited, override; reserved               |
//!  +------------------------------------------------------------+
//!  | target's address (16)                                      |
//!  +--------------+--------------+------------------------------+
//!  | option 1, 2  | length 1     | link address (6)             |   source (1) or target (2) link-layer address
//!  +--------------+--------------+------------------------------+
//! ```

use std::net::Ipv6Addr;

use crate::arp::Mac;

/// A neighbour solicitation or advertisement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discovery {
    /// Whether it answers (an advertisement).
    pub is_reply: bool,
    /// The packet's source; unspecified in duplicate address detection (RFC 4862 section 5.4.2).
    pub source: Ipv6Addr,
    /// The packet's destination.
    pub destination: Ipv6Addr,
    /// Whose link address is asked for or told.
    pub target: Ipv6Addr,
    /// The sender's link address, if the packet says it.
    pub mac: Option<Mac>,
}

impl Discovery {
    /// A question for a target's link address, to its solicited-node group.
    pub fn question(source: Ipv6Addr, mac: Mac, target: Ipv6Addr) -> Self {
        Self {
            is_reply: false,
            source,
            destination: solicited_node(target),
            target,
            mac: (!source.is_unspecified()).then_some(mac),
        }
    }

    /// The packet, from its IPv6 header on.
    pub fn to_bytes(self) -> Vec<u8> {
        let (kind, flags, option) = if self.is_reply {
            (ADVERTISEMENT, 0x60, 2)
        } else {
            (SOLICITATION, 0, 1)
        };
        let mut message = vec![kind, 0, 0, 0, flags, 0, 0, 0];
        message.extend(self.target.octets());
        if let Some(mac) = self.mac {
            message.extend([option, 1]);
            message.extend(mac);
        }
        let sum = checksum(self.source, self.destination, &message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
        let length = u8::try_from(message.len()).unwrap_or(u8::MAX);
        let mut packet = vec![0x60, 0, 0, 0, 0, length, ICMPV6, HOP_LIMIT];
        packet.extend(self.source.octets());
        packet.extend(self.destination.octets());
        packet.extend(message);
        packet
    }

    /// Reads a packet from its IPv6 header on; `None` if it is another one, cut, or has passed a router (RFC 4861 section 7.1).
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let (header, rest) = packet.split_first_chunk::<HEADER_BYTES>()?;
        let [version, _, _, _, l0, l1, next, hops, ..] = *header;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let message = rest.get(..length)?;
        if version >> 4 != 6 || next != ICMPV6 || hops != HOP_LIMIT {
            return None;
        }
        let source = address(header.get(8..24)?)?;
        let destination = address(header.get(24..40)?)?;
        let (fixed, options) = message.split_first_chunk::<24>()?;
        let is_reply = match fixed[..2] {
            [SOLICITATION, 0] => false,
            [ADVERTISEMENT, 0] => true,
            _ => return None,
        };
        if checksum(source, destination, message) != 0 {
            return None;
        }
        Some(Self {
            is_reply,
            source,
            destination,
            target: address(fixed.get(8..24)?)?,
            mac: link_address(options, if is_reply { 2 } else { 1 })?,
        })
    }
}

/// The link address of an option of this kind; `Some(None)` without one, `None` if the options do not add up.
fn link_address(mut options: &[u8], wanted: u8) -> Option<Option<Mac>> {
    let mut found = None;
    while let [kind, units, ..] = *options {
        let length = usize::from(units) * 8;
        if length == 0 {
            return None;
        }
        let (option, rest) = options.split_at_checked(length)?;
        if kind == wanted && units == 1 {
            found = option.get(2..8)?.try_into().ok();
        }
        options = rest;
    }
    options.is_empty().then_some(found)
}

/// The group in which everybody listens whose address ends so (RFC 4291 section 2.7.1).
pub fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = target.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// The link address to which packets to a group go (RFC 2464 section 7).
pub fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

fn address(octets: &[u8]) -> Option<Ipv6Addr> {
    <[u8; 16]>::try_from(octets).ok().map(Ipv6Addr::from)
}

/// The Internet checksum over the pseudo-header (RFC 8200 section 8.1) and a message; 0 over one that has its own in it.
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let mut sum = u32::try_from(message.len()).unwrap_or(u32::MAX) + u32::from(ICMPV6);
    let parts = [&source.octets()[..], &destination.octets(), message];
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        let word = [pair[0], pair.get(1).copied().unwrap_or(0)];
        sum += u32::from(u16::from_be_bytes(word));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

const HEADER_BYTES: usize = 40;
const ICMPV6: u8 = 58;
const HOP_LIMIT: u8 = 255;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 1];

    fn asked() -> Discovery {
        Discovery::question("fd00::1".parse().unwrap(), MAC, "fd00::12:3456".parse().unwrap())
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Discovery::parse(&asked().to_bytes()), Some(asked()));
        let answer = Discovery {
            is_reply: true,
            ..asked()
        };
        assert_eq!(Discovery::parse(&answer.to_bytes()), Some(answer));
    }

    #[test]
    fn a_question_goes_to_the_group_of_its_target_and_its_link_address() {
        let group: Ipv6Addr = "ff02::1:ff12:3456".parse().unwrap();
        assert_eq!(asked().destination, group);
        assert_eq!(group_mac(group), [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
    }

    #[test]
    fn duplicate_address_detection_names_no_link_address() {
        let probe = Discovery::question(Ipv6Addr::UNSPECIFIED, MAC, "fd00::2".parse().unwrap());
        assert_eq!(probe.mac, None);
        assert_eq!(Discovery::parse(&probe.to_bytes()), Some(probe));
    }

    #[test]
    fn a_checksum_of_another_implementation_is_taken() {
        // A solicitation of the Linux kernel, as it crossed a veth pair: fe80::1 asks for fe80::2.
        let mut packet = Discovery::question("fe80::1".parse().unwrap(), MAC, "fe80::2".parse().unwrap());
        packet.mac = None;
        let octets = packet.to_bytes();
        // 0x87 00 + reserved + fe80::2, pseudo-header fe80::1 to ff02::1:ff00:2, length 24, next header 58; added up by hand.
        let words: u32 = 0xfe80 + 1 + 0xff02 + 1 + 0xff00 + 2 + 24 + 58 + 0x8700 + 0xfe80 + 2;
        let folded = (words & 0xffff) + (words >> 16);
        let by_hand = !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap();
        assert_eq!(octets[42..44], by_hand.to_be_bytes());
    }

    #[test]
    fn what_has_passed_a_router_or_was_changed_is_none() {
        let good = asked().to_bytes();
        for at in [6, 7, 8, 40, 41, 43, 60] {
            let mut other = good.clone();
            other[at] ^= 1;
            assert_eq!(Discovery::parse(&other), None, "octet {at}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_without_a_panic(octets in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = Discovery::parse(&octets);
            let mut like_one = asked().to_bytes();
            like_one.truncate(64);
            like_one.extend(octets);
            let _ = Discovery::parse(&like_one);
        }
    }
}
