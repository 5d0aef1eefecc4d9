//! ARP for IPv4 over Ethernet (RFC 826), and what RFC 5227 makes of it.
//!
//! ```text
//!   0                   1                   2                   3
//!   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!  +-------------------------------+-------------------------------+
//!  | hardware type: 1              | protocol: 0x0800              |
//!  +---------------+---------------+-------------------------------+
//!  | 6             | 4             | 1 request, 2 reply            |
//!  +---------------+---------------+-------------------------------+
//!  | sender's link address (6), sender's address (4),              |
//!  | target's link address (6), target's address (4)               |
//!  +---------------------------------------------------------------+
//! ```

use std::net::Ipv4Addr;

/// A link address of Ethernet.
pub type Mac = [u8; 6];

/// An ARP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arp {
    /// Whether it answers.
    pub is_reply: bool,
    /// The sender's link address.
    pub sender_mac: Mac,
    /// The sender's address; 0.0.0.0 in a probe.
    pub sender: Ipv4Addr,
    /// The target's link address; nothing in a request.
    pub target_mac: Mac,
    /// The target's address.
    pub target: Ipv4Addr,
}

/// What a packet that goes to everybody is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// An ordinary request: who has the target?
    Request,
    /// Is anybody using the target? (RFC 5227 section 2.1.1)
    Probe,
    /// The sender tells of itself (RFC 5227 section 2.3).
    Announcement,
    /// An answer to somebody.
    Reply,
}

/// Octets of an ARP packet for IPv4 over Ethernet.
pub const ARP_BYTES: usize = 28;

impl Arp {
    /// An ordinary request of a host for another's link address.
    pub fn request(sender_mac: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Self {
        Self {
            is_reply: false,
            sender_mac,
            sender,
            target_mac: [0; 6],
            target,
        }
    }

    /// A probe, from which nobody learns anything: it names no address of the sender.
    pub fn probe(sender_mac: Mac, target: Ipv4Addr) -> Self {
        Self::request(sender_mac, Ipv4Addr::UNSPECIFIED, target)
    }

    /// Reads a packet; `None` if it is another kind of ARP or cut. What follows it is padding.
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let octets: &[u8; ARP_BYTES] = octets.get(..ARP_BYTES)?.try_into().ok()?;
        let [
            fixed @ ..,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
        ] = octets;
        let is_reply = match fixed {
            [0, 1, 8, 0, 6, 4, 0, 1] => false,
            [0, 1, 8, 0, 6, 4, 0, 2] => true,
            _ => return None,
        };
        let mac = |at: usize| octets.get(at..at + 6)?.try_into().ok();
        let address = |at: usize| {
            let four: [u8; 4] = octets.get(at..at + 4)?.try_into().ok()?;
            Some(Ipv4Addr::from(four))
        };
        Some(Self {
            is_reply,
            sender_mac: mac(8)?,
            sender: address(14)?,
            target_mac: mac(18)?,
            target: address(24)?,
        })
    }

    /// The packet's octets.
    pub fn to_bytes(self) -> [u8; ARP_BYTES] {
        let mut octets = [0; ARP_BYTES];
        let operation = if self.is_reply { 2 } else { 1 };
        octets[..8].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, operation]);
        octets[8..14].copy_from_slice(&self.sender_mac);
        octets[14..18].copy_from_slice(&self.sender.octets());
        octets[18..24].copy_from_slice(&self.target_mac);
        octets[24..].copy_from_slice(&self.target.octets());
        octets
    }

    /// What it is for. An announcement may be written as a request or as a reply.
    pub fn purpose(&self) -> Purpose {
        if self.sender == self.target && !self.sender.is_unspecified() {
            Purpose::Announcement
        } else if self.is_reply {
            Purpose::Reply
        } else if self.sender.is_unspecified() {
            Purpose::Probe
        } else {
            Purpose::Request
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 1];

    #[test]
    fn what_is_written_is_read() {
        let asked = Arp::request(MAC, [10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        assert_eq!(Arp::parse(&asked.to_bytes()), Some(asked));
        let reply = Arp {
            is_reply: true,
            target_mac: [2; 6],
            ..asked
        };
        let mut padded = reply.to_bytes().to_vec();
        padded.resize(46, 0);
        assert_eq!(Arp::parse(&padded), Some(reply), "short frames are padded");
    }

    #[test]
    fn another_kind_or_a_cut_packet_is_none() {
        let good = Arp::probe(MAC, [10, 0, 0, 2].into()).to_bytes();
        for cut in 0..ARP_BYTES {
            assert_eq!(Arp::parse(&good[..cut]), None);
        }
        for at in 0..8 {
            let mut other = good;
            other[at] ^= 0x40;
            assert_eq!(Arp::parse(&other), None, "octet {at}");
        }
    }

    #[test]
    fn probes_announcements_and_questions_are_told_apart() {
        let (one, other) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        assert_eq!(Arp::probe(MAC, other).purpose(), Purpose::Probe);
        assert_eq!(Arp::request(MAC, one, other).purpose(), Purpose::Request);
        assert_eq!(Arp::request(MAC, one, one).purpose(), Purpose::Announcement);
        let gratuitous = Arp {
            is_reply: true,
            ..Arp::request(MAC, one, one)
        };
        assert_eq!(gratuitous.purpose(), Purpose::Announcement);
    }
}
