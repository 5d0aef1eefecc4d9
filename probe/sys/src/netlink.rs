//! Netlink: the one codec and the one socket under [`crate::route`] and the packet filter's reader and writer.
//!
//! A message is a header, a fixed part that depends on its type, and attributes, which nest:
//!
//! ```text
//!  0               2               4                                8                12               16
//! +---------------+---------------+----------------+----------------+----------------+----------------+
//! |            length             |      type      |     flags      |    sequence    |      port      |
//! +---------------+---------------+----------------+----------------+----------------+----------------+
//! | fixed part (ifinfomsg, rtmsg, nfgenmsg, ...), padded to 4        | attribute | attribute | ...     |
//! +------------------------------------------------------------------+---------------------------------+
//!
//! attribute:  | length (2) | type (2, top bits: nested, network order) | value, padded to 4 |
//! ```
//!
//! Sockets are blocking, with a receive timeout, and have no task of their own: a call is one question and its answers. A
//! socket belongs to the network namespace of the thread that opened it, for its whole life.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, sockopt};

mod message;
#[cfg(test)]
mod tests;

pub use message::{Attribute, Attributes, Message, Nest, Reply, Verdict, split};

/// Which part of the kernel a socket talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Links, addresses, routes, neighbours.
    Route,
    /// The packet filter and connection tracking.
    Netfilter,
    /// Sockets.
    SockDiag,
}

/// Why a netlink exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No socket.
    #[error("open a netlink socket")]
    Open(#[source] io::Error),
    /// The request did not leave.
    #[error("send a netlink request")]
    Send(#[source] io::Error),
    /// No answer came: a timeout, or the kernel dropped answers because the receive buffer was full.
    #[error("receive a netlink answer")]
    Receive(#[source] io::Error),
    /// The kernel said no.
    #[error("have the kernel accept netlink request {index}{}", said(.detail))]
    Refused {
        /// Which message of the exchange, from 0.
        index: usize,
        /// What the kernel said in words (extended acknowledgement); often nothing.
        detail: Option<String>,
        /// The errno.
        #[source]
        source: io::Error,
    },
    /// An attribute is longer than its 16-bit length can say.
    #[error("encode a netlink request: an attribute exceeds 65535 octets")]
    Oversized,
    /// The answer does not parse.
    #[error("parse a netlink answer: {0}")]
    Malformed(&'static str),
    /// What was being listed changed under each attempt.
    #[error("list through netlink: the list changed during each of {DUMP_ATTEMPTS} attempts")]
    Unstable,
}

impl Error {
    /// The errno with which the kernel refused, if that is what happened.
    pub fn refused_errno(&self) -> Option<i32> {
        match self {
            Self::Refused { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}

fn said(detail: &Option<String>) -> String {
    detail
        .as_ref()
        .map_or_else(String::new, |text| format!(" (\"{text}\")"))
}

/// A netlink socket.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    next_sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// [`Error::Open`], for example where the protocol is not built into the kernel.
    pub fn open(protocol: Protocol) -> Result<Self, Error> {
        let open = |error: rustix::io::Errno| Error::Open(error.into());
        let protocol = match protocol {
            // `None` is 0, which is NETLINK_ROUTE.
            Protocol::Route => None,
            Protocol::Netfilter => Some(netlink::NETFILTER),
            Protocol::SockDiag => Some(netlink::SOCK_DIAG),
        };
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )
        .map_err(open)?;
        sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, Some(ANSWER_TIMEOUT)).map_err(open)?;
        // Larger buffers are an optimisation: a smaller one fails with an error, never silently.
        let _ = sockopt::set_socket_send_buffer_size(&fd, BUFFER_BYTES);
        let _ = sockopt::set_socket_recv_buffer_size(&fd, BUFFER_BYTES);
        for option in [
            libc::NETLINK_EXT_ACK,
            libc::NETLINK_CAP_ACK,
            libc::NETLINK_GET_STRICT_CHK,
        ] {
            // Kernels before 4.20 lack strict checking; they answer with more than was asked for, which readers filter.
            let _ = enable(&fd, option);
        }
        Ok(Self {
            fd,
            next_sequence: 1,
            buffer: vec![0; RECEIVE_BYTES],
        })
    }

    /// Sends one request and waits for its acknowledgement.
    ///
    /// # Errors
    /// [`Error::Refused`] with index 0 if the kernel says no.
    pub fn request(&mut self, message: Message) -> Result<(), Error> {
        self.transact(vec![message.acknowledged()])
    }

    /// Sends several messages as one datagram, in order, and waits until each of them that asks for an acknowledgement
    /// ([`Message::acknowledged`]) has it. This is how a packet filter batch (begin, changes, end) becomes one transaction.
    ///
    /// # Errors
    /// [`Error::Refused`] for the first message that the kernel refused.
    pub fn transact(&mut self, messages: Vec<Message>) -> Result<(), Error> {
        let first = self.next_sequence;
        let mut awaited: Vec<bool> = messages.iter().map(Message::wants_acknowledgement).collect();
        self.send(messages)?;
        while awaited.contains(&true) {
            let mut refused = None;
            self.receive(|reply| {
                let index = reply.sequence.wrapping_sub(first) as usize;
                let Some(slot) = awaited.get_mut(index) else {
                    return Ok(());
                };
                if let Some(verdict) = reply.verdict()? {
                    *slot = false;
                    if verdict.errno != 0 && refused.is_none() {
                        refused = Some(verdict.into_error(index));
                    }
                }
                Ok(())
            })?;
            if let Some(error) = refused {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Sends one request that has one answer (for example "get this table") and returns it; `None` if the kernel only
    /// acknowledged.
    ///
    /// # Errors
    /// [`Error::Refused`] if the kernel says no, ENOENT included.
    pub fn get(&mut self, message: Message) -> Result<Option<Reply>, Error> {
        let first = self.next_sequence;
        self.send(vec![message.acknowledged()])?;
        let mut answer = None;
        let mut end = None;
        while end.is_none() {
            self.receive(|reply| {
                if reply.sequence != first {
                    return Ok(());
                }
                match reply.verdict()? {
                    Some(verdict) => end = Some(verdict),
                    None => answer = Some(reply),
                }
                Ok(())
            })?;
        }
        match end {
            Some(verdict) if verdict.errno != 0 => Err(verdict.into_error(0)),
            _ => Ok(answer),
        }
    }

    /// Lists: sends one request with the dump flag and returns every answer up to the end of the list. A list that changed
    /// while it was read is read again.
    ///
    /// # Errors
    /// [`Error::Refused`] if the kernel says no, [`Error::Unstable`] if the list never held still.
    pub fn dump(&mut self, message: &Message) -> Result<Vec<Reply>, Error> {
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(list) = self.dump_once(message.clone().dumping())? {
                return Ok(list);
            }
        }
        Err(Error::Unstable)
    }

    /// `None` if the list changed meanwhile.
    fn dump_once(&mut self, message: Message) -> Result<Option<Vec<Reply>>, Error> {
        let first = self.next_sequence;
        self.send(vec![message])?;
        let mut list = Vec::new();
        let mut interrupted = false;
        let mut end = None;
        while end.is_none() {
            self.receive(|reply| {
                if reply.sequence != first {
                    return Ok(());
                }
                interrupted |= reply.was_interrupted();
                match reply.verdict()? {
                    Some(verdict) => end = Some(verdict),
                    None => list.push(reply),
                }
                Ok(())
            })?;
        }
        match end {
            Some(verdict) if verdict.errno != 0 => Err(verdict.into_error(0)),
            _ => Ok((!interrupted).then_some(list)),
        }
    }

    fn send(&mut self, messages: Vec<Message>) -> Result<(), Error> {
        let mut datagram = Vec::new();
        for message in messages {
            message.encode(self.next_sequence, &mut datagram)?;
            self.next_sequence = self.next_sequence.wrapping_add(1);
        }
        // Not connected: a netlink socket sends to port 0, the kernel, by default.
        rustix::net::send(&self.fd, &datagram, SendFlags::empty())
            .map_err(|error| Error::Send(error.into()))?;
        Ok(())
    }

    /// One datagram, which may hold many messages.
    fn receive(&mut self, mut each: impl FnMut(Reply) -> Result<(), Error>) -> Result<(), Error> {
        let (_, length) = loop {
            match rustix::net::recv(&self.fd, &mut self.buffer[..], RecvFlags::TRUNC) {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Error::Receive(error.into())),
                Ok(received) => break received,
            }
        };
        let datagram = self
            .buffer
            .get(..length)
            .ok_or(Error::Malformed("a datagram larger than the receive buffer"))?;
        split(datagram, &mut each)
    }
}

/// Sets a boolean option of the netlink level, which rustix does not know.
fn enable(fd: &OwnedFd, option: libc::c_int) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let on: libc::c_int = 1;
    #[expect(clippy::cast_possible_truncation, reason = "the size of an int")]
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `on` lives across the call and `length` is its size; the kernel copies it and keeps no pointer.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            std::ptr::from_ref(&on).cast(),
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The kernel answers at once, but takes a lock that other tools hold for as long as they change thousands of rules.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// A list that changes during each of that many readings changes faster than we can read it.
const DUMP_ATTEMPTS: usize = 5;
/// Kernel buffers: a batch that creates 400 links, or the acknowledgements of one, fits. The system's limit may be lower.
const BUFFER_BYTES: usize = 1 << 20;
/// The kernel fills at most 32 KiB per datagram of a dump; a single large rule or set may exceed that.
const RECEIVE_BYTES: usize = 256 << 10;
