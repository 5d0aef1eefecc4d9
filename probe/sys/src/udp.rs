//! UDP sockets that never block: one that asks and hears ICMP errors, one that answers many at a time.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt},
};

use crate::{
    icmp_error::{self, QueuedError},
    tcp::{set_flag, set_option},
};

mod batch;

pub use batch::{Inbox, Outbox, Received};

/// A UDP socket that does not block and is not connected.
#[derive(Debug)]
pub struct UdpSocket(OwnedFd);

impl UdpSocket {
    /// A socket that asks peers of the family of `peer`, and queues ICMP errors. It speaks from `local`, or from whatever
    /// address the kernel finds for each peer, and from one port of its own for all its life.
    ///
    /// # Errors
    ///
    /// EMFILE, ENFILE, ENOBUFS, ENOMEM; EAFNOSUPPORT without IPv6; EADDRNOTAVAIL if `local` is not this host's;
    /// EADDRINUSE if there is no free port.
    pub fn toward(peer: IpAddr, local: Option<IpAddr>) -> Result<Self, Errno> {
        let socket = open(peer)?;
        icmp_error::enable(&socket, peer.is_ipv6())?;
        let any = || match peer {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        net::bind(&socket, &SocketAddr::new(local.unwrap_or_else(any), 0))?;
        Ok(Self(socket))
    }

    /// A socket like that of [`Self::toward`] for packets whose size matters: it tells the TTL of what it receives, sends with
    /// 255 (RFC 8762 section 4.2), and treats its datagrams as `handling` says.
    ///
    /// # Errors
    ///
    /// Those of [`Self::toward`].
    pub fn of_size(peer: IpAddr, local: Option<IpAddr>, handling: Handling) -> Result<Self, Errno> {
        let socket = Self::toward(peer, local)?;
        tell_ttl(&socket, peer.is_ipv6())?;
        send_with_most_hops(&socket, peer.is_ipv6())?;
        handle(&socket, peer.is_ipv6(), handling)?;
        Ok(socket)
    }

    /// A socket that answers on exactly this address and port, with a TTL of 255 (RFC 8762 section 4.3), tells the TTL of what
    /// it receives, and hears of no ICMP error.
    ///
    /// Neither SO_REUSEADDR nor SO_REUSEPORT is set: for UDP both would let us share a port with a service and take its
    /// datagrams. A socket of anybody on the port, on this address or on a wildcard, is an obstacle.
    ///
    /// # Errors
    ///
    /// EADDRINUSE, EACCES for privileged ports, EADDRNOTAVAIL if the address is not this host's, EMFILE.
    pub fn bind(local: SocketAddr) -> Result<Self, Errno> {
        let socket = open(local.ip())?;
        tell_ttl(&socket, local.is_ipv6())?;
        send_with_most_hops(&socket, local.is_ipv6())?;
        net::bind(&socket, &local)?;
        Ok(Self(socket))
    }

    /// Asks for room for `octets` of received datagrams, with what the kernel needs to keep them. Without CAP_NET_ADMIN the
    /// system's limit holds (net.core.rmem_max). Room that is not used takes no memory.
    ///
    /// # Errors
    ///
    /// None that a caller could meet.
    pub fn reserve(&self, octets: usize) -> Result<(), Errno> {
        if sockopt::set_socket_recv_buffer_size_force(&self.0, octets).is_ok() {
            return Ok(());
        }
        sockopt::set_socket_recv_buffer_size(&self.0, octets)
    }

    /// The address from which this host speaks to `peer`, as the routing stands now. Nothing is sent.
    ///
    /// # Errors
    ///
    /// ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL for routes that lead nowhere; EMFILE, ENFILE, ENOBUFS, ENOMEM.
    pub fn source_toward(peer: SocketAddr) -> Result<IpAddr, Errno> {
        let socket = open(peer.ip())?;
        net::connect(&socket, &peer)?;
        Ok(SocketAddr::try_from(net::getsockname(&socket)?)?.ip())
    }

    /// The local address and port.
    ///
    /// # Errors
    ///
    /// None that a caller could meet.
    pub fn local_address(&self) -> Result<SocketAddr, Errno> {
        SocketAddr::try_from(net::getsockname(&self.0)?)
    }

    /// Sends one datagram.
    ///
    /// # Errors
    ///
    /// What the kernel knows at once: ENETUNREACH, EHOSTUNREACH, EINVAL for routes that lead nowhere; EPERM and EACCES
    /// where the packet filter or a route forbids it; EAGAIN and ENOBUFS where there is no room. An ICMP error that is in
    /// the error queue and has not been told yet is told first, and then nothing is sent.
    pub fn send_to(&self, octets: &[u8], peer: SocketAddr) -> Result<(), Errno> {
        net::sendto(&self.0, octets, SendFlags::NOSIGNAL, &peer).map(|_| ())
    }

    /// Takes one datagram, cut off where `octets` ends. `None` if there is none.
    ///
    /// # Errors
    ///
    /// The pending error of the socket, which is thereby cleared.
    pub fn receive_from(&self, octets: &mut [u8]) -> Result<Option<(usize, SocketAddr)>, Errno> {
        match net::recvfrom(&self.0, octets, RecvFlags::empty()) {
            Ok((count, _, Some(from))) => Ok(SocketAddr::try_from(from).ok().map(|from| (count, from))),
            Ok((_, _, None)) | Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// The pending error of the socket, which is thereby cleared (SO_ERROR).
    pub fn take_error(&self) -> Option<Errno> {
        match sockopt::socket_error(&self.0) {
            Ok(pending) => pending.err(),
            Err(errno) => Some(errno),
        }
    }

    /// The oldest ICMP error of the socket, which is thereby taken off the queue, and whom the datagram was sent to that it
    /// is about.
    pub fn take_icmp_error(&self) -> Option<(QueuedError, Option<SocketAddr>)> {
        icmp_error::take_with_peer(&self.0)
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What becomes of a datagram that is too large for a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// It is never cut into fragments, here or on its way, and what this host knows of the path does not matter: it leaves if
    /// the interface takes it (`IP_PMTUDISC_PROBE`).
    Whole,
    /// It may be fragmented (`IP_PMTUDISC_DONT`).
    Fragmented,
}

fn tell_ttl(socket: impl AsFd, ipv6: bool) -> Result<(), Errno> {
    if ipv6 {
        set_flag(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT)
    } else {
        set_flag(socket, libc::IPPROTO_IP, libc::IP_RECVTTL)
    }
}

fn send_with_most_hops(socket: impl AsFd, ipv6: bool) -> Result<(), Errno> {
    if ipv6 {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, MOST_HOPS)
    } else {
        set_option(socket, libc::IPPROTO_IP, libc::IP_TTL, MOST_HOPS)
    }
}

pub(crate) fn handle(socket: impl AsFd, ipv6: bool, handling: Handling) -> Result<(), Errno> {
    let (level, name, whole, fragmented) = if ipv6 {
        (
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_PROBE,
            libc::IPV6_PMTUDISC_DONT,
        )
    } else {
        (
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_PROBE,
            libc::IP_PMTUDISC_DONT,
        )
    };
    let value = match handling {
        Handling::Whole => whole,
        Handling::Fragmented => fragmented,
    };
    set_option(socket, level, name, value)
}

/// The largest TTL.
const MOST_HOPS: i32 = 255;

fn open(peer: IpAddr) -> Result<OwnedFd, Errno> {
    let family = if peer.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket = net::socket_with(family, SocketType::DGRAM, FLAGS, None)?;
    if peer.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    Ok(socket)
}

const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

#[cfg(test)]
mod tests;
