//! The error queue of a socket (ip(7), IP_RECVERR): which ICMP error ended a connection attempt, and who sent it.
//!
//! SO_ERROR alone cannot tell a RST from an ICMP port-unreachable of a firewall, both are ECONNREFUSED; the queue can.

use std::{
    io::IoSliceMut,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, AsRawFd},
};

use rustix::io::Errno;

use crate::{
    control,
    sockaddr::{self, SOCKADDR_LEN},
};

/// One entry of an error queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueuedError {
    /// What the kernel made of it.
    pub errno: Errno,
    /// Who noticed.
    pub origin: Origin,
    /// ICMP type, of ICMP or ICMPv6 as `origin` says; 0 otherwise.
    pub icmp_type: u8,
    /// ICMP code; 0 otherwise.
    pub code: u8,
    /// The host that sent the ICMP error. It is one of our own addresses if our own kernel sent it.
    pub offender: Option<IpAddr>,
    /// `ee_info`: the MTU, where a packet was too big for a hop or for this host's own interface; else of no meaning.
    pub info: u32,
}

/// Where an error came from: `ee_origin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The local kernel, without any packet.
    Local,
    /// An ICMP error.
    Icmp,
    /// An ICMPv6 error.
    Icmp6,
    /// Anything else, for example a time stamp.
    Other(u8),
}

/// Asks the kernel to queue errors, for a socket of the given family.
pub(crate) fn enable(socket: impl AsFd, ipv6: bool) -> Result<(), Errno> {
    let (level, name) = if ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
    } else {
        (libc::IPPROTO_IP, libc::IP_RECVERR)
    };
    crate::tcp::set_flag(socket, level, name)
}

/// Takes the oldest entry off the queue. `None` if it is empty, or if the entry carries no extended error.
pub(crate) fn take(socket: impl AsFd) -> Option<QueuedError> {
    take_with_peer(socket).map(|(error, _)| error)
}

/// The same, with whom the packet was sent to that the error is about.
pub(crate) fn take_with_peer(socket: impl AsFd) -> Option<(QueuedError, Option<SocketAddr>)> {
    let mut payload = [0u8; PAYLOAD_LEN];
    let mut control = [0u8; CONTROL_LEN];
    let mut name = [0u8; SOCKADDR_LEN];
    let mut parts = [IoSliceMut::new(&mut payload)];
    // SAFETY: msghdr is plain old data, for which all zeroes is a valid value: no name, no parts, no control.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    // IoSliceMut is documented to have the layout of iovec on Unix.
    header.msg_iov = parts.as_mut_ptr().cast();
    header.msg_iovlen = parts.len() as _;
    header.msg_name = name.as_mut_ptr().cast();
    header.msg_namelen = libc::socklen_t::try_from(name.len()).unwrap_or(0);
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = control.len() as _;
    let descriptor = socket.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and the header points to three buffers of the
    // stated lengths that live until the end of this function.
    let received = unsafe {
        libc::recvmsg(
            descriptor,
            &raw mut header,
            libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT,
        )
    };
    if received < 0 {
        return None;
    }
    let len = header.msg_controllen.min(control.len());
    let name_len = usize::try_from(header.msg_namelen).map_or(0, |len| len.min(name.len()));
    Some((
        QueuedError::parse(&control[..len])?,
        sockaddr::read(&name[..name_len]),
    ))
}

impl QueuedError {
    /// Finds the extended error among control messages. `None` if there is none, or what is there is cut off.
    ///
    /// ```text
    ///   data of the message:  errno (u32) | origin | type | code | pad | info (u32) | data (u32) | sockaddr of the offender
    /// ```
    pub fn parse(control: &[u8]) -> Option<Self> {
        let mut errors = control::messages(control).filter(|message| {
            (message.level, message.kind) == (libc::IPPROTO_IP, libc::IP_RECVERR)
                || (message.level, message.kind) == (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
        });
        extended(errors.next()?.data)
    }
}

fn extended(data: &[u8]) -> Option<QueuedError> {
    let (fixed, offender) = data.split_first_chunk::<16>()?;
    let errno = i32::from_ne_bytes([fixed[0], fixed[1], fixed[2], fixed[3]]);
    // Zero stands for no error (a zero-copy notification), and the kernel's last number is 4095.
    if !(1..=4095).contains(&errno) {
        return None;
    }
    let origin = match fixed[4] {
        libc::SO_EE_ORIGIN_LOCAL => Origin::Local,
        libc::SO_EE_ORIGIN_ICMP => Origin::Icmp,
        libc::SO_EE_ORIGIN_ICMP6 => Origin::Icmp6,
        other => Origin::Other(other),
    };
    Some(QueuedError {
        errno: Errno::from_raw_os_error(errno),
        origin,
        icmp_type: fixed[5],
        code: fixed[6],
        info: u32::from_ne_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
        // AF_UNSPEC stands for "unknown".
        offender: sockaddr::read(offender).map(|offender| offender.ip().to_canonical()),
    })
}

/// The quoted packet is of no interest: what does not fit is cut off.
const PAYLOAD_LEN: usize = 64;
/// An extended error with an IPv6 offender takes 16 + 16 + 28 octets; twice that leaves room for a time stamp beside it.
const CONTROL_LEN: usize = 128;

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    const WORD: usize = size_of::<usize>();

    fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let mut message = (WORD + 8 + data.len()).to_ne_bytes().to_vec();
        message.extend(level.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(data);
        message.resize(message.len().next_multiple_of(WORD), 0);
        message
    }

    fn host_unreachable(offender: &[u8]) -> Vec<u8> {
        let mut data = libc::EHOSTUNREACH.to_ne_bytes().to_vec();
        data.extend([libc::SO_EE_ORIGIN_ICMP, 3, 1, 0]);
        data.extend([0; 8]);
        data.extend(offender);
        data
    }

    fn sockaddr(family: i32, rest: &[u8]) -> Vec<u8> {
        let mut sockaddr = u16::try_from(family).unwrap().to_ne_bytes().to_vec();
        sockaddr.extend(rest);
        sockaddr
    }

    #[test]
    fn the_offender_is_found_behind_other_control_messages() {
        let offender = sockaddr(libc::AF_INET, &[0, 0, 10, 77, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        let mut control = message(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &[7; 16]);
        control.extend(message(
            libc::IPPROTO_IP,
            libc::IP_RECVERR,
            &host_unreachable(&offender),
        ));
        let error = QueuedError::parse(&control).unwrap();
        assert_eq!((error.errno, error.origin), (Errno::HOSTUNREACH, Origin::Icmp));
        assert_eq!((error.icmp_type, error.code), (3, 1));
        assert_eq!(error.offender, Some(IpAddr::from([10, 77, 0, 1])));
    }

    #[test]
    fn an_ipv6_offender_is_read() {
        let mut rest = [0u8; 26];
        rest[6..22].copy_from_slice(&Ipv6Addr::LOCALHOST.octets());
        let control = message(
            libc::IPPROTO_IPV6,
            libc::IPV6_RECVERR,
            &host_unreachable(&sockaddr(libc::AF_INET6, &rest)),
        );
        assert_eq!(
            QueuedError::parse(&control).unwrap().offender,
            Some(Ipv6Addr::LOCALHOST.into())
        );
    }

    #[test]
    fn an_unknown_offender_is_none() {
        let control = message(
            libc::IPPROTO_IP,
            libc::IP_RECVERR,
            &host_unreachable(&sockaddr(libc::AF_UNSPEC, &[0; 14])),
        );
        assert_eq!(QueuedError::parse(&control).unwrap().offender, None);
    }

    #[test]
    fn a_number_that_is_no_errno_is_no_error() {
        for errno in [0, -1, 4096, i32::MAX, i32::MIN] {
            let mut data = host_unreachable(&[]);
            data[..4].copy_from_slice(&i32::to_ne_bytes(errno));
            let control = message(libc::IPPROTO_IP, libc::IP_RECVERR, &data);
            assert_eq!(QueuedError::parse(&control), None, "{errno}");
        }
    }

    #[test]
    fn control_messages_that_are_cut_off_anywhere_are_none_and_no_panic() {
        let offender = sockaddr(libc::AF_INET, &[0; 14]);
        let control = message(libc::IPPROTO_IP, libc::IP_RECVERR, &host_unreachable(&offender));
        for len in 0..WORD + 8 + 16 {
            assert_eq!(QueuedError::parse(&control[..len]), None, "{len}");
        }
        for length in [0, 1, WORD, WORD + 7, usize::MAX, usize::MAX - 6] {
            let mut control = control.clone();
            control[..WORD].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(QueuedError::parse(&control), None, "{length}");
        }
    }
}
