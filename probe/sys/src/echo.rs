//! Sockets for ICMP echo (RFC 792, RFC 4443 section 4): the unprivileged kind where the system allows it to this user
//! (`net.ipv4.ping_group_range`), else a raw one, which takes CAP_NET_RAW.
//!
//! ```text
//!   type | code | checksum (2) | identifier (2) | sequence (2) | data ...
//! ```
//!
//! The unprivileged kind has an identifier of the kernel's choice, and the kernel hands it answers to its own requests alone. A
//! raw one receives every answer that comes to this host, and its owner has to tell them apart by identifier.

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto},
};

use crate::{
    icmp_error::{self, QueuedError},
    tcp::set_option,
    udp::{Handling, handle},
};

/// A socket that sends echo requests to peers of one family and does not block. Its packets are never fragmented, and may be as
/// large as the interface takes.
#[derive(Debug)]
pub struct EchoSocket {
    socket: OwnedFd,
    ipv6: bool,
    raw: bool,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EchoAnswer {
    /// Who answered.
    pub from: IpAddr,
    /// Of which identifier; `None` where the kernel has made sure that it is ours.
    pub identifier: Option<u16>,
    /// Of which request.
    pub sequence: u16,
}

impl EchoSocket {
    /// A socket for peers of the family of `peer`, which speaks from `local`, or from whatever address the kernel finds.
    ///
    /// # Errors
    ///
    /// EACCES or EPERM if neither kind is allowed; EMFILE, ENFILE, ENOBUFS, ENOMEM; EAFNOSUPPORT without IPv6; EADDRNOTAVAIL if
    /// `local` is not this host's.
    pub fn toward(peer: IpAddr, local: Option<IpAddr>) -> Result<Self, Errno> {
        let ipv6 = peer.is_ipv6();
        let (family, protocol) = if ipv6 {
            (AddressFamily::INET6, ipproto::ICMPV6)
        } else {
            (AddressFamily::INET, ipproto::ICMP)
        };
        let open = |kind| net::socket_with(family, kind, FLAGS, Some(protocol));
        let (socket, raw) = match open(SocketType::DGRAM) {
            Ok(socket) => (socket, false),
            Err(Errno::ACCESS | Errno::PERM | Errno::PROTONOSUPPORT) => (open(SocketType::RAW)?, true),
            Err(errno) => return Err(errno),
        };
        icmp_error::enable(&socket, ipv6)?;
        handle(&socket, ipv6, Handling::Whole)?;
        if raw && !ipv6 {
            // Everything but answers stays out; a set bit is a type that does. IPv6 types are told apart when they are read.
            set_option(&socket, SOL_RAW, ICMP_FILTER, !(1 << ECHO_REPLY))?;
        }
        if let Some(local) = local {
            net::bind(&socket, &SocketAddr::new(local, 0))?;
        }
        Ok(Self { socket, ipv6, raw })
    }

    /// Sends a request of so many octets in all, IP header included. What is too little for the headers is sent with no data.
    ///
    /// # Errors
    ///
    /// EMSGSIZE if the interface takes no packet of this size, or an ICMP error has said so of an earlier one: the error queue
    /// tells which. ENETUNREACH, EHOSTUNREACH, EINVAL, EPERM, EACCES; EAGAIN and ENOBUFS where there is no room.
    pub fn send(&self, peer: IpAddr, identifier: u16, sequence: u16, octets: usize) -> Result<(), Errno> {
        let ip_header = if self.ipv6 { IPV6_HEADER } else { IPV4_HEADER };
        let mut packet = vec![0; octets.saturating_sub(ip_header).max(HEADER)];
        packet[0] = if self.ipv6 { ECHO_REQUEST_6 } else { ECHO_REQUEST };
        packet[4..6].copy_from_slice(&identifier.to_be_bytes());
        packet[6..8].copy_from_slice(&sequence.to_be_bytes());
        if !self.ipv6 {
            let sum = checksum(&packet);
            packet[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        net::sendto(
            &self.socket,
            &packet,
            SendFlags::NOSIGNAL,
            &SocketAddr::new(peer, 0),
        )
        .map(|_| ())
    }

    /// Takes the next answer. `None` if there is none; what is no answer is passed over.
    ///
    /// # Errors
    ///
    /// The pending error of the socket, which is thereby cleared.
    pub fn receive(&self) -> Result<Option<EchoAnswer>, Errno> {
        let mut octets = [0; ROOM];
        for _ in 0..MOST_PASSED_OVER {
            let (count, from) = match net::recvfrom(&self.socket, &mut octets, RecvFlags::empty()) {
                Ok((count, _, Some(from))) => (count, from),
                Ok((_, _, None)) | Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
                Err(errno) => return Err(errno),
            };
            let answer = octets.get(..count).and_then(|octets| self.read(octets));
            let from = SocketAddr::try_from(from).ok().map(|from| from.ip());
            if let Some(((identifier, sequence), from)) = answer.zip(from) {
                return Ok(Some(EchoAnswer {
                    from,
                    identifier: self.raw.then_some(identifier),
                    sequence,
                }));
            }
        }
        Ok(None)
    }

    fn read(&self, octets: &[u8]) -> Option<(u16, u16)> {
        // A raw IPv4 socket receives the IP header, too.
        let skipped = match self.raw && !self.ipv6 {
            true => usize::from(octets.first()? & 0x0f) * 4,
            false => 0,
        };
        let header = octets.get(skipped..)?.first_chunk::<HEADER>()?;
        let wanted = if self.ipv6 { ECHO_REPLY_6 } else { ECHO_REPLY };
        (header[0] == wanted).then(|| {
            (
                u16::from_be_bytes([header[4], header[5]]),
                u16::from_be_bytes([header[6], header[7]]),
            )
        })
    }

    /// The oldest entry of the error queue, which is thereby taken off it.
    pub fn take_icmp_error(&self) -> Option<QueuedError> {
        icmp_error::take(&self.socket)
    }
}

impl AsFd for EchoSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The internet checksum (RFC 1071).
fn checksum(octets: &[u8]) -> u16 {
    let words = octets.chunks(2).map(|pair| {
        let high = u32::from(pair[0]) << 8;
        high + pair.get(1).copied().map_or(0, u32::from)
    });
    let mut sum: u32 = words.fold(0, |sum, word| {
        let sum = sum + word;
        (sum & 0xffff) + (sum >> 16)
    });
    sum = (sum & 0xffff) + (sum >> 16);
    !u16::try_from(sum & 0xffff).unwrap_or_default()
}

const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;
const ECHO_REQUEST_6: u8 = 128;
const ECHO_REPLY_6: u8 = 129;
/// `SOL_RAW` and `ICMP_FILTER` of the kernel's headers, which libc lacks.
const SOL_RAW: i32 = 255;
const ICMP_FILTER: i32 = 1;
const HEADER: usize = 8;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
/// The longest IPv4 header, and what matters behind it; the rest of an answer is cut off.
const ROOM: usize = 128;
/// Packets of others that are passed over with one call: a raw socket hears all of this host's.
const MOST_PASSED_OVER: usize = 256;
const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_a_packet_with_its_checksum_is_zero() {
        let mut packet = [8, 0, 0, 0, 0x12, 0x34, 0, 7, 1, 2, 3];
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(checksum(&packet), 0);
    }
}
