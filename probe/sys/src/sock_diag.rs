//! Sockets that wait for others (sock_diag(7)): TCP listeners, and UDP sockets that are bound to a port and to no peer.
//!
//! ```text
//!   request: family | protocol | extensions | pad | states (4) | id (48)
//!   answer:  family | state | timer | retransmits | id (48) | expires (4) | queues (8) | uid (4) | inode (4) | attributes
//!   id:      source port (2) | destination port (2) | source (16) | destination (16) | interface (4) | cookie (8)
//! ```
//!
//! Unlike `/proc/net/tcp` it says whether a socket at `::` waits for IPv4 as well.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::netlink::{self, Attributes, Message, Protocol, Reply, Socket};

/// Which sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP, listening.
    Tcp,
    /// UDP, not connected.
    Udp,
}

/// A socket that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    /// Its local address; unspecified for all of its family.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Whether it waits at `::` for IPv4 as well.
    pub dual_stack: bool,
    /// The inode by which `/proc/PID/fd` knows it; 0 if no process has it, as with the kernel's own.
    pub inode: u32,
}

/// Why they are not known.
#[derive(Debug, thiserror::Error)]
#[error("list the sockets of this host")]
pub struct Error(#[from] netlink::Error);

/// Every waiting socket of the calling thread's network namespace, in no particular order.
///
/// # Errors
/// If the kernel does not list them: a kernel without `tcp_diag` or `udp_diag`.
pub fn waiting(transport: Transport) -> Result<Vec<Waiting>, Error> {
    let mut socket = Socket::open(Protocol::SockDiag)?;
    let (number, states) = match transport {
        Transport::Tcp => (libc::IPPROTO_TCP, 1_u32 << TCP_LISTEN),
        Transport::Udp => (libc::IPPROTO_UDP, 1_u32 << TCP_CLOSE),
    };
    let number = u8::try_from(number).expect("both transports have numbers below 256");
    let mut all = BTreeSet::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let mut fixed = [0; REQUEST_BYTES];
        fixed[0] = u8::try_from(family).expect("both families have numbers below 256");
        fixed[1] = number;
        fixed[4..8].copy_from_slice(&states.to_ne_bytes());
        for reply in socket.dump(&Message::new(SOCK_DIAG_BY_FAMILY, 0, &fixed))? {
            all.extend(Waiting::read(&reply)?);
        }
    }
    Ok(all.into_iter().collect())
}

impl Waiting {
    /// The socket of an answer; `None` for another message or family, or without a port.
    ///
    /// # Errors
    /// If the message is shorter than its fixed part, or its attributes do not add up.
    pub fn read(reply: &Reply) -> Result<Option<Self>, netlink::Error> {
        if reply.kind != SOCK_DIAG_BY_FAMILY {
            return Ok(None);
        }
        let (fixed, attributes) = reply.parts::<ANSWER_BYTES>()?;
        Ok(socket(fixed, attributes))
    }
}

fn socket(fixed: &[u8; ANSWER_BYTES], attributes: Attributes<'_>) -> Option<Waiting> {
    let port = u16::from_be_bytes(*fixed[ID..].first_chunk()?);
    let source = &fixed[ID + 4..ID + 20];
    let inode = u32::from_ne_bytes(*fixed.last_chunk()?);
    let address = match i32::from(fixed[0]) {
        libc::AF_INET => IpAddr::from(Ipv4Addr::from(*source.first_chunk::<4>()?)),
        libc::AF_INET6 => Ipv6Addr::from(*source.first_chunk::<16>()?).to_canonical(),
        _ => return None,
    };
    let is_ipv6_only = attributes
        .get(INET_DIAG_SKV6ONLY)
        .and_then(netlink::Attribute::u8)
        .is_some_and(|flag| flag != 0);
    (port != 0).then_some(Waiting {
        address,
        port,
        dual_stack: address == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && !is_ipv6_only,
        inode,
    })
}

/// `struct inet_diag_req_v2`.
const REQUEST_BYTES: usize = 56;
/// `struct inet_diag_msg`.
const ANSWER_BYTES: usize = 72;
/// Where the id begins, in both.
const ID: usize = 4;

// linux/sock_diag.h, linux/inet_diag.h, net/tcp_states.h.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INET_DIAG_SKV6ONLY: u16 = 11;
const TCP_CLOSE: u32 = 7;
const TCP_LISTEN: u32 = 10;

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, UdpSocket};

    use super::*;

    fn found(transport: Transport, address: SocketAddr) -> Option<Waiting> {
        let all = waiting(transport).unwrap();
        let mut of_port = all.into_iter().filter(|socket| socket.port == address.port());
        let socket = of_port.next();
        assert_eq!(of_port.next(), None);
        socket
    }

    #[test]
    fn a_listener_is_found_while_it_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = found(Transport::Tcp, address).unwrap();
        assert_eq!((socket.address, socket.dual_stack), (address.ip(), false));
        assert_ne!(socket.inode, 0);
        drop(listener);
        assert_eq!(found(Transport::Tcp, address), None);
    }

    #[test]
    fn a_udp_socket_is_found_unless_it_is_connected() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        assert!(found(Transport::Udp, address).is_some());
        socket.connect(address).unwrap();
        assert_eq!(found(Transport::Udp, address), None);
    }

    #[test]
    fn a_socket_at_all_addresses_says_whether_it_serves_ipv4_as_well() {
        for ipv6_only in [false, true] {
            let listener = rustix::net::socket(
                rustix::net::AddressFamily::INET6,
                rustix::net::SocketType::STREAM,
                None,
            )
            .unwrap();
            rustix::net::sockopt::set_ipv6_v6only(&listener, ipv6_only).unwrap();
            let any: SocketAddr = "[::]:0".parse().unwrap();
            rustix::net::bind(&listener, &any).unwrap();
            rustix::net::listen(&listener, 1).unwrap();
            let address = SocketAddr::try_from(rustix::net::getsockname(&listener).unwrap()).unwrap();
            let socket = found(Transport::Tcp, address).unwrap();
            assert_eq!((socket.address, socket.dual_stack), (address.ip(), !ipv6_only));
        }
    }

    fn answer(payload: &[u8]) -> Reply {
        let length = u32::try_from(16 + payload.len()).unwrap();
        let mut datagram = length.to_ne_bytes().to_vec();
        datagram.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        datagram.extend([0; 10]);
        datagram.extend(payload);
        let mut replies = Vec::new();
        netlink::split(&datagram, &mut |reply| {
            replies.push(reply);
            Ok(())
        })
        .unwrap();
        replies.remove(0)
    }

    #[test]
    fn an_answer_that_is_cut_off_is_an_error_and_no_panic() {
        for len in 0..ANSWER_BYTES {
            let reply = answer(&vec![0; len]);
            assert!(Waiting::read(&reply).is_err(), "{len}");
        }
    }
}
