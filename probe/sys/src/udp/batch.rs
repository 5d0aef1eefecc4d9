//! Many datagrams with one system call (recvmmsg(2), sendmmsg(2)).

use std::{
    mem::zeroed,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd},
    ptr::null_mut,
};

use rustix::io::Errno;

use super::UdpSocket;
use crate::{
    control,
    sockaddr::{self, SOCKADDR_LEN},
};

/// Datagrams that are taken or sent with one call. More than that gains nothing, and a socket that is flooded is left after
/// so many for the next one.
const BATCH: usize = 64;
/// Octets kept of a datagram: a test packet, and enough behind it to know that it is longer.
const ROOM: usize = 128;
/// The TTL's control message takes 24 octets; the hop limit's as many.
const CONTROL_LEN: usize = 64;

/// Room for what one read brings.
pub struct Inbox {
    slots: Box<[Slot; BATCH]>,
    /// How many of them hold a datagram.
    count: usize,
}

/// A datagram that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received<'a> {
    /// Who sent it.
    pub from: SocketAddr,
    /// What it carries, cut off after 128 octets.
    pub octets: &'a [u8],
    /// How many octets it carries in all.
    pub length: usize,
    /// Its TTL or hop limit.
    pub ttl: Option<u8>,
}

/// Datagrams to be sent.
pub struct Outbox {
    slots: Box<[Slot; BATCH]>,
    count: usize,
}

/// One datagram, where the kernel reads and writes it.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Slot {
    control: [u8; CONTROL_LEN],
    control_len: usize,
    name: [u8; SOCKADDR_LEN],
    name_len: usize,
    payload: [u8; ROOM],
    payload_len: usize,
    /// The length of the datagram, of which `payload` may hold the beginning alone.
    length: usize,
}

const EMPTY: Slot = Slot {
    control: [0; CONTROL_LEN],
    control_len: 0,
    name: [0; SOCKADDR_LEN],
    name_len: 0,
    payload: [0; ROOM],
    payload_len: 0,
    length: 0,
};

impl UdpSocket {
    /// Takes what has arrived, 64 datagrams at most. Returns how many there are.
    ///
    /// # Errors
    ///
    /// The pending error of the socket, which is thereby cleared.
    pub fn receive_many(&self, inbox: &mut Inbox) -> Result<usize, Errno> {
        inbox.count = 0;
        let mut parts = [NO_PART; BATCH];
        let mut headers = headers(&mut inbox.slots, &mut parts, BATCH, Use::Receive);
        let descriptor = self.as_fd().as_raw_fd();
        // SAFETY: the descriptor is open for as long as `self` is borrowed; every header points to buffers of the stated
        // lengths in `inbox` and `parts`, which outlive the call; no time limit is given, since the socket does not block.
        let count = unsafe {
            libc::recvmmsg(
                descriptor,
                headers.as_mut_ptr(),
                BATCH_LEN,
                // The length of a datagram is told, not that of the part of it that there is room for.
                libc::MSG_TRUNC as _,
                null_mut(),
            )
        };
        let count = match usize::try_from(count) {
            Ok(count) => count,
            Err(_) => match last_error() {
                Errno::AGAIN | Errno::INTR => 0,
                errno => return Err(errno),
            },
        };
        for (slot, header) in inbox.slots.iter_mut().zip(&headers).take(count) {
            slot.length = usize::try_from(header.msg_len).unwrap_or(ROOM);
            slot.payload_len = slot.length.min(ROOM);
            slot.name_len =
                usize::try_from(header.msg_hdr.msg_namelen).map_or(0, |len| len.min(SOCKADDR_LEN));
            slot.control_len = header.msg_hdr.msg_controllen.min(CONTROL_LEN);
        }
        inbox.count = count;
        Ok(count)
    }

    /// Sends what is in the box, and empties it. Returns how many datagrams did not leave: the kernel had no room for them,
    /// or something of this host forbids them.
    pub fn send_many(&self, outbox: &mut Outbox) -> usize {
        let count = std::mem::take(&mut outbox.count);
        let mut parts = [NO_PART; BATCH];
        let mut headers = headers(&mut outbox.slots, &mut parts, count, Use::Send);
        let descriptor = self.as_fd().as_raw_fd();
        let (mut next, mut unsent) = (0, 0);
        while next < count {
            let rest = &mut headers[next..count];
            let rest_len = libc::c_uint::try_from(rest.len()).unwrap_or(0);
            // SAFETY: the descriptor is open for as long as `self` is borrowed; every header points to buffers of the stated
            // lengths in `outbox` and `parts`, which outlive the call.
            let sent = unsafe { libc::sendmmsg(descriptor, rest.as_mut_ptr(), rest_len, 0) };
            match usize::try_from(sent) {
                Ok(sent) if sent > 0 => next += sent,
                // The first of the rest is the one that fails: go on behind it.
                _ => {
                    unsent += 1;
                    next += 1;
                }
            }
        }
        unsent
    }
}

// === impl Inbox ===

impl Inbox {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            slots: Box::new([EMPTY; BATCH]),
            count: 0,
        }
    }

    /// How many datagrams one read brings at most.
    pub const fn capacity() -> usize {
        BATCH
    }

    /// What the last read brought. A datagram whose sender cannot be read is left out.
    pub fn iter(&self) -> impl Iterator<Item = Received<'_>> {
        self.slots.iter().take(self.count).filter_map(|slot| {
            Some(Received {
                from: sockaddr::read(slot.name.get(..slot.name_len)?)?,
                octets: slot.payload.get(..slot.payload_len)?,
                length: slot.length,
                ttl: slot.control.get(..slot.control_len).and_then(ttl),
            })
        })
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

// === impl Outbox ===

impl Outbox {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            slots: Box::new([EMPTY; BATCH]),
            count: 0,
        }
    }

    /// Adds a datagram. False if there is no room for another, or none for one of this length (128 octets).
    pub fn push(&mut self, to: SocketAddr, octets: &[u8]) -> bool {
        let Some(slot) = self.slots.get_mut(self.count) else {
            return false;
        };
        let Some(payload) = slot.payload.get_mut(..octets.len()) else {
            return false;
        };
        payload.copy_from_slice(octets);
        slot.payload_len = octets.len();
        slot.name_len = sockaddr::write(to, &mut slot.name);
        self.count += 1;
        true
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Receive,
    Send,
}

/// Headers that point to the first `count` slots, by way of `parts`.
fn headers(
    slots: &mut [Slot; BATCH],
    parts: &mut [libc::iovec; BATCH],
    count: usize,
    direction: Use,
) -> [libc::mmsghdr; BATCH] {
    // SAFETY: mmsghdr is plain old data, for which all zeroes is a valid value: no name, no parts, no control.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
    let places = headers.iter_mut().zip(slots).zip(parts).take(count);
    for ((header, slot), part) in places {
        let receiving = direction == Use::Receive;
        let payload_len = if receiving { ROOM } else { slot.payload_len };
        *part = libc::iovec {
            iov_base: slot.payload.as_mut_ptr().cast(),
            iov_len: payload_len,
        };
        let name_len = if receiving { SOCKADDR_LEN } else { slot.name_len };
        header.msg_hdr.msg_name = slot.name.as_mut_ptr().cast();
        header.msg_hdr.msg_namelen = libc::socklen_t::try_from(name_len).unwrap_or(0);
        header.msg_hdr.msg_iov = part;
        header.msg_hdr.msg_iovlen = 1;
        if receiving {
            header.msg_hdr.msg_control = slot.control.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL_LEN;
        }
    }
    headers
}

fn ttl(messages: &[u8]) -> Option<u8> {
    let mut found = control::messages(messages).filter(|message| {
        (message.level, message.kind) == (libc::IPPROTO_IP, libc::IP_TTL)
            || (message.level, message.kind) == (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT)
    });
    let value = i32::from_ne_bytes(*found.next()?.data.first_chunk()?);
    u8::try_from(value).ok()
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

const NO_PART: libc::iovec = libc::iovec {
    iov_base: null_mut(),
    iov_len: 0,
};
#[expect(clippy::cast_possible_truncation, reason = "64")]
const BATCH_LEN: libc::c_uint = BATCH as libc::c_uint;
