//! TCP sockets that never block: connecting from a chosen address, listening on one, closing by RST.

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt},
};

use crate::icmp_error::{self, QueuedError};

/// A TCP socket that does not block.
#[derive(Debug)]
pub struct TcpSocket(OwnedFd);

/// A listening TCP socket that does not block. What it accepts closes by RST.
#[derive(Debug)]
pub struct TcpListener(OwnedFd);

/// How far a connection attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connecting {
    /// The connection stands; the loopback interface is that fast at times.
    Connected,
    /// The SYN was sent or queued; epoll says when something is heard.
    InProgress,
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// So many octets, at least one.
    Octets(usize),
    /// Nothing yet.
    Nothing,
    /// The peer closed its direction.
    Closed,
}

// === impl TcpSocket ===

impl TcpSocket {
    /// A socket that connects to addresses of the family of `peer`, and queues ICMP errors. Its local port may be shared
    /// with others of the kind that connect elsewhere (SO_REUSEADDR), without which [`TcpSocket::bind_again`] would find
    /// the port taken by them.
    ///
    /// # Errors
    ///
    /// EMFILE, ENFILE, ENOBUFS, ENOMEM; EAFNOSUPPORT without IPv6.
    pub fn toward(peer: IpAddr) -> Result<Self, Errno> {
        let family = if peer.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let socket = net::socket_with(family, SocketType::STREAM, FLAGS, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        icmp_error::enable(&socket, peer.is_ipv6())?;
        Ok(Self(socket))
    }

    /// Makes closing the socket, or [`TcpSocket::disconnect`], send a RST (SO_LINGER of zero): no TIME_WAIT on either end.
    ///
    /// # Errors
    ///
    /// None that a caller could meet.
    pub fn reset_on_close(&self) -> Result<(), Errno> {
        sockopt::set_socket_linger(&self.0, Some(Duration::ZERO))
    }

    /// Chooses the source address, and leaves the port to connect(2), which then needs only a free 5-tuple
    /// (IP_BIND_ADDRESS_NO_PORT): the ports of one address are enough for any number of peers.
    ///
    /// # Errors
    ///
    /// EADDRNOTAVAIL if the address is not this host's.
    pub fn bind_address(&self, local: IpAddr) -> Result<(), Errno> {
        set_flag(&self.0, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT)?;
        net::bind(&self.0, &SocketAddr::new(local, 0))
    }

    /// Chooses source address and port, to ask again with the 5-tuple of an attempt that has just ended. The port stays the
    /// socket's own from then on, through every [`TcpSocket::disconnect`].
    ///
    /// # Errors
    ///
    /// EADDRINUSE if somebody else took the port meanwhile, EADDRNOTAVAIL if the address is gone.
    pub fn bind_again(&self, local: SocketAddr) -> Result<(), Errno> {
        net::bind(&self.0, &local)
    }

    /// Starts to connect.
    ///
    /// # Errors
    ///
    /// What the kernel knows at once: ENETUNREACH, EHOSTUNREACH, EACCES, EPERM, EINVAL for routes that lead nowhere,
    /// EADDRNOTAVAIL if no local port is free.
    pub fn connect(&self, peer: SocketAddr) -> Result<Connecting, Errno> {
        match net::connect(&self.0, &peer) {
            Ok(()) => Ok(Connecting::Connected),
            Err(Errno::INPROGRESS | Errno::INTR) => Ok(Connecting::InProgress),
            Err(errno) => Err(errno),
        }
    }

    /// Ends the connection or the attempt and makes the socket ready for another [`TcpSocket::connect`]. A connection that
    /// stands ends by RST. What is in the error queue stays there.
    ///
    /// # Errors
    ///
    /// None that a caller could meet; whoever gets one should close the socket.
    pub fn disconnect(&self) -> Result<(), Errno> {
        net::connect_unspec(&self.0)?;
        // The kernel leaves ECONNRESET behind, which the next attempt would take for its own failure.
        self.take_error();
        Ok(())
    }

    /// Takes leave in order: a connection that stands sends its FIN, an attempt under way ends without a packet. Returns
    /// whether a connection stands, which may then still be read from.
    ///
    /// The kernel decides under the socket's lock, so that a connection that was established a moment ago is never taken
    /// for an attempt and reset, as [`TcpSocket::disconnect`] would do.
    pub fn finish_writing(&self) -> bool {
        // ENOTCONN, the one error there is, says that no connection stands; an attempt that was ended says nothing.
        let _ = net::shutdown(&self.0, net::Shutdown::Write);
        let stands = self.is_connected();
        if !stands {
            // As after a disconnect.
            self.take_error();
        }
        stands
    }

    /// Whether a connection stands, or stood until its peer ended it.
    pub fn is_connected(&self) -> bool {
        net::getpeername(&self.0).is_ok()
    }

    /// The local address and port, once known.
    ///
    /// # Errors
    ///
    /// None that a caller could meet.
    pub fn local_address(&self) -> Result<SocketAddr, Errno> {
        SocketAddr::try_from(net::getsockname(&self.0)?)
    }

    /// The pending error of the socket, which is thereby cleared (SO_ERROR).
    pub fn take_error(&self) -> Option<Errno> {
        match sockopt::socket_error(&self.0) {
            Ok(pending) => pending.err(),
            Err(errno) => Some(errno),
        }
    }

    /// The oldest ICMP error of the socket, which is thereby taken off the queue.
    pub fn take_icmp_error(&self) -> Option<QueuedError> {
        icmp_error::take(&self.0)
    }

    /// Sends what fits into the send buffer and returns how much that was.
    ///
    /// # Errors
    ///
    /// EAGAIN if nothing fits; the connection's error otherwise.
    pub fn send(&self, octets: &[u8]) -> Result<usize, Errno> {
        net::send(&self.0, octets, SendFlags::NOSIGNAL)
    }

    /// Reads what is there.
    ///
    /// # Errors
    ///
    /// The connection's error: ECONNRESET after a RST.
    pub fn receive(&self, octets: &mut [u8]) -> Result<Received, Errno> {
        match net::recv(&self.0, octets, RecvFlags::empty()) {
            Ok((0, _)) => Ok(Received::Closed),
            Ok((count, _)) => Ok(Received::Octets(count)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Received::Nothing),
            Err(errno) => Err(errno),
        }
    }
}

impl AsFd for TcpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

// === impl TcpListener ===

impl TcpListener {
    /// Listens on exactly this address.
    ///
    /// SO_REUSEADDR is set, so that connections of an earlier responder that still linger are no obstacle; a socket of
    /// anybody that listens on the port, on this address or on a wildcard, still is one. SO_REUSEPORT is not set, which
    /// would let us share a port with a service and take its connections.
    ///
    /// # Errors
    ///
    /// EADDRINUSE, EACCES for privileged ports, EADDRNOTAVAIL if the address is not this host's, EMFILE.
    pub fn bind(local: SocketAddr, backlog: u16) -> Result<Self, Errno> {
        let family = if local.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let socket = net::socket_with(family, SocketType::STREAM, FLAGS, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        if local.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        // Accepted sockets inherit it.
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
        net::bind(&socket, &local)?;
        net::listen(&socket, backlog.into())?;
        Ok(Self(socket))
    }

    /// Takes one connection; `None` if there is none.
    ///
    /// # Errors
    ///
    /// EMFILE, ENFILE, ENOBUFS, ENOMEM: the connection stays in the queue.
    pub fn accept(&self) -> Result<Option<(TcpSocket, SocketAddr)>, Errno> {
        match net::acceptfrom_with(&self.0, FLAGS) {
            Ok((socket, Some(peer))) => Ok(SocketAddr::try_from(peer)
                .ok()
                .map(|peer| (TcpSocket(socket), peer))),
            Ok((_, None)) => Ok(None),
            // A connection that was reset before it was taken.
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// The address and port that it listens on.
    ///
    /// # Errors
    ///
    /// None that a caller could meet.
    pub fn local_address(&self) -> Result<SocketAddr, Errno> {
        SocketAddr::try_from(net::getsockname(&self.0)?)
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Switches a socket option on that rustix has no call for.
pub(crate) fn set_flag(socket: impl AsFd, level: i32, name: i32) -> Result<(), Errno> {
    set_option(socket, level, name, 1)
}

/// Has a connection that is made later carry segments of so many octets at most, in both directions: the peer is told so in the
/// SYN, and this end keeps to it (tcp(7), `TCP_MAXSEG`).
///
/// # Errors
/// What setsockopt(2) says.
pub fn limit_segments(socket: impl AsFd, octets: u16) -> Result<(), Errno> {
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_MAXSEG, octets.into())
}

/// Sets a socket option that is an int and that rustix has no call for.
pub(crate) fn set_option(socket: impl AsFd, level: i32, name: i32, value: libc::c_int) -> Result<(), Errno> {
    let length = libc::socklen_t::try_from(size_of_val(&value)).expect("an int has four octets");
    let descriptor = socket.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open for as long as `socket` is borrowed; the value is an int that outlives the call, and
    // `length` is its size.
    let result = unsafe { libc::setsockopt(descriptor, level, name, (&raw const value).cast(), length) };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error()
            .raw_os_error()
            .map_or(Errno::INVAL, Errno::from_raw_os_error))
    }
}

const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

#[cfg(test)]
mod tests;
