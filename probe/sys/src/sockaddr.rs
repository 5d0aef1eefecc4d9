//! Socket addresses as the kernel writes them.
//!
//! ```text
//!   sockaddr_in:   family (2) | port (2) | address (4) | zero (8)
//!   sockaddr_in6:  family (2) | port (2) | flow information (4) | address (16) | scope (4)
//! ```
//!
//! The family and the scope are in the host's byte order, everything else in the network's.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The length of the longest.
pub(crate) const SOCKADDR_LEN: usize = 28;

/// Reads one; `None` for other families and for what is cut off.
pub(crate) fn read(octets: &[u8]) -> Option<SocketAddr> {
    let (family, rest) = octets.split_first_chunk::<2>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let port = u16::from_be_bytes(*port);
    match i32::from(u16::from_ne_bytes(*family)) {
        libc::AF_INET => {
            let address = Ipv4Addr::from(*rest.first_chunk::<4>()?);
            Some(SocketAddrV4::new(address, port).into())
        }
        libc::AF_INET6 => {
            let (_, rest) = rest.split_first_chunk::<4>()?;
            let (address, rest) = rest.split_first_chunk::<16>()?;
            let scope = u32::from_ne_bytes(*rest.first_chunk()?);
            Some(SocketAddrV6::new(Ipv6Addr::from(*address), port, 0, scope).into())
        }
        _ => None,
    }
}

/// Writes one, and returns its length.
pub(crate) fn write(address: SocketAddr, octets: &mut [u8; SOCKADDR_LEN]) -> usize {
    *octets = [0; SOCKADDR_LEN];
    octets[2..4].copy_from_slice(&address.port().to_be_bytes());
    let family = match address {
        SocketAddr::V4(address) => {
            octets[4..8].copy_from_slice(&address.ip().octets());
            libc::AF_INET
        }
        SocketAddr::V6(address) => {
            octets[8..24].copy_from_slice(&address.ip().octets());
            octets[24..28].copy_from_slice(&address.scope_id().to_ne_bytes());
            libc::AF_INET6
        }
    };
    let family = u16::try_from(family).expect("both families are below a hundred");
    octets[..2].copy_from_slice(&family.to_ne_bytes());
    if address.is_ipv4() { 16 } else { SOCKADDR_LEN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_is_cut_off_is_not() {
        for address in ["10.0.0.1:443", "[fd00::1]:6081", "[fe80::1%7]:6081"] {
            let address: SocketAddr = address.parse().unwrap();
            let mut octets = [0xff; SOCKADDR_LEN];
            let length = write(address, &mut octets);
            assert_eq!(read(&octets[..length]), Some(address));
            let shortest = if address.is_ipv4() { 8 } else { SOCKADDR_LEN };
            assert_eq!(read(&octets[..shortest - 1]), None);
        }
        assert_eq!(read(&[0; SOCKADDR_LEN]), None, "AF_UNSPEC");
    }
}
