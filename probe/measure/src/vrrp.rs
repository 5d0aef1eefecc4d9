//! VRRP advertisements of versions 2 (RFC 3768) and 3 (RFC 9568), from the IP header on. They are only read.
//!
//! ```text
//!  +-------+-------+---------------+---------------+---------------+
//!  | 2, 3  | 1     | virtual rtr id| priority      | address count |
//!  +-------+-------+---------------+---------------+---------------+
//!  | authentication (2), interval  | checksum                      |
//!  +-------------------------------+-------------------------------+
//!  | addresses: 4 octets each, or 16 over IPv6                     |
//!  +---------------------------------------------------------------+
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An advertisement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advert {
    /// Whose it is, by the IP header.
    pub sender: IpAddr,
    /// TTL or hop limit as it arrived; 255 unless it has passed a router.
    pub ttl: u8,
    /// 2 or 3.
    pub version: u8,
    /// The virtual router's id.
    pub vrid: u8,
    /// Priority; 0 from a master that steps down, 255 from the addresses' owner.
    pub priority: u8,
    /// Addresses that the virtual router answers for.
    pub addresses: Vec<IpAddr>,
}

/// IP protocol number of VRRP.
pub const VRRP: u8 = 112;

impl Advert {
    /// Reads a packet from its IP header on; `None` if it is none, or its addresses are cut. The checksum is not looked at: an
    /// advertisement with a bad one is still somebody else's.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let (sender, ttl, message) = match packet.first()? >> 4 {
            4 => {
                let header = usize::from(packet.first()? & 0xf) * 4;
                let total = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
                let is_vrrp = packet.get(9) == Some(&VRRP) && header >= 20;
                let sender: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
                let message = packet.get(header..total)?;
                is_vrrp.then_some((IpAddr::from(Ipv4Addr::from(sender)), *packet.get(8)?, message))?
            }
            6 => {
                let length = usize::from(u16::from_be_bytes([*packet.get(4)?, *packet.get(5)?]));
                let sender: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
                let message = packet.get(40..40 + length)?;
                let is_vrrp = packet.get(6) == Some(&VRRP);
                is_vrrp.then_some((IpAddr::from(Ipv6Addr::from(sender)), *packet.get(7)?, message))?
            }
            _ => return None,
        };
        let (&[kind, vrid, priority, count, _, _, _, _], rest) = message.split_first_chunk::<8>()?;
        if kind & 0xf != ADVERTISEMENT || !(2..=3).contains(&(kind >> 4)) {
            return None;
        }
        Some(Self {
            sender,
            ttl,
            version: kind >> 4,
            vrid,
            priority,
            addresses: addresses(rest, usize::from(count), sender.is_ipv4())?,
        })
    }
}

fn addresses(octets: &[u8], count: usize, is_ipv4: bool) -> Option<Vec<IpAddr>> {
    let size = if is_ipv4 { 4 } else { 16 };
    let listed = octets.get(..count * size)?.chunks_exact(size);
    let address = |octets: &[u8]| {
        let four = <[u8; 4]>::try_from(octets).ok().map(IpAddr::from);
        four.or_else(|| <[u8; 16]>::try_from(octets).ok().map(IpAddr::from))
    };
    listed.map(address).collect()
}

const ADVERTISEMENT: u8 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ipv4(ttl: u8, message: &[u8]) -> Vec<u8> {
        let total = u8::try_from(20 + message.len()).unwrap();
        let mut packet = vec![
            0x45, 0xc0, 0, total, 0, 1, 0, 0, ttl, VRRP, 0, 0, 10, 0, 0, 7, 224, 0, 0, 18,
        ];
        packet.extend(message);
        packet
    }

    #[test]
    fn version_2_with_its_authentication_is_read() {
        let mut message = vec![0x21, 51, 100, 2, 1, 1, 0, 0, 10, 0, 0, 49, 10, 0, 0, 50];
        message.extend(*b"password");
        let advert = Advert::parse(&ipv4(255, &message)).unwrap();
        assert_eq!(
            (advert.version, advert.vrid, advert.priority, advert.ttl),
            (2, 51, 100, 255)
        );
        assert_eq!(
            advert.addresses,
            [IpAddr::from([10, 0, 0, 49]), IpAddr::from([10, 0, 0, 50])]
        );
        assert_eq!(advert.sender, IpAddr::from([10, 0, 0, 7]));
    }

    #[test]
    fn version_3_over_ipv6_is_read() {
        let mut packet = vec![0x60, 0, 0, 0, 0, 24, VRRP, 254];
        let sender: Ipv6Addr = "fe80::7".parse().unwrap();
        let address: Ipv6Addr = "fd00::49".parse().unwrap();
        packet.extend(sender.octets());
        packet.extend([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12]);
        packet.extend([0x31, 7, 200, 1, 0, 100, 0, 0]);
        packet.extend(address.octets());
        let advert = Advert::parse(&packet).unwrap();
        assert_eq!((advert.version, advert.vrid, advert.ttl), (3, 7, 254));
        assert_eq!(advert.addresses, [IpAddr::from(address)]);
    }

    #[test]
    fn another_kind_or_one_whose_addresses_are_cut_is_none() {
        assert_eq!(Advert::parse(&ipv4(255, &[0x22, 51, 100, 0, 1, 1, 0, 0])), None);
        assert_eq!(Advert::parse(&ipv4(255, &[0x41, 51, 100, 0, 1, 1, 0, 0])), None);
        assert_eq!(
            Advert::parse(&ipv4(255, &[0x21, 51, 100, 2, 1, 1, 0, 0, 10, 0, 0, 49])),
            None
        );
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_without_a_panic(octets in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = Advert::parse(&octets);
            let _ = Advert::parse(&ipv4(255, &octets));
        }
    }
}
