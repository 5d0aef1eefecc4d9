//! Packet capture (packet(7)): the frames of tests as they cross an interface, before the input filter and after the output
//! filter of the host.
//!
//! The kernel passes on only TCP segments with SYN or RST, UDP datagrams as long as a test packet, and ICMP errors, cut short;
//! which of them matter is decided by the caller. Link headers are stripped ("cooked"), so that every kind of interface looks
//! alike, and a frame with a VLAN tag like one without.

use std::{
    mem::{MaybeUninit, size_of},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    time::Duration,
};

use rustix::{io::Errno, net::sockopt};

mod filter;
mod packet;
#[cfg(test)]
mod tests;

pub use packet::{IcmpError, Packet, TcpSegment, Tuple, UdpDatagram};

/// A packet socket that captures.
#[derive(Debug)]
pub struct Capture {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

/// A captured packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// Which way it went.
    pub direction: Direction,
    /// The interface's index.
    pub interface: u32,
    /// Whether the interface leads back to this host: what goes out there has not left.
    pub is_loopback: bool,
    /// What it is.
    pub packet: Packet,
}

/// Which way a packet crosses an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// To this host, before its input filter.
    Incoming,
    /// From this host, after its output filter.
    Outgoing,
}

/// Why nothing is captured.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// CAP_NET_RAW is missing, or there are no packet sockets.
    #[error("open a packet socket")]
    Open(#[source] Errno),
    /// The kernel refused the filter.
    #[error("attach the filter to the packet socket")]
    Filter(#[source] Errno),
    /// The interface is gone.
    #[error("bind the packet socket to {}", interface_text(.interface))]
    Bind {
        /// Its index; absent for all interfaces.
        interface: Option<u32>,
        /// Why.
        #[source]
        source: Errno,
    },
}

fn interface_text(interface: &Option<u32>) -> String {
    interface.map_or_else(
        || "all interfaces".to_owned(),
        |index| format!("interface {index}"),
    )
}

impl Capture {
    /// Captures from now on, on one interface by its index or on all of the network namespace.
    ///
    /// # Errors
    /// [`OpenError::Open`] with EPERM where CAP_NET_RAW is missing.
    pub fn open(interface: Option<u32>) -> Result<Self, OpenError> {
        // Protocol 0 receives nothing: the filter is in place before the first packet.
        // SAFETY: a plain call that takes no pointers.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(OpenError::Open(last_error()));
        }
        // SAFETY: `fd` was just returned by socket(2) and nothing else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(WAIT)).map_err(OpenError::Open)?;
        // Without CAP_NET_ADMIN the system's limit holds; what does not fit is counted as lost.
        if sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER_BYTES).is_err() {
            let _ = sockopt::set_socket_recv_buffer_size(&socket, BUFFER_BYTES);
        }
        filter::attach(&socket).map_err(OpenError::Filter)?;
        bind(&socket, interface).map_err(|source| OpenError::Bind { interface, source })?;
        Ok(Self {
            socket,
            buffer: vec![0; filter::SNAPSHOT_BYTES],
        })
    }

    /// The next packet. Waits for at most a tenth of a second; `None` if there is nothing by then.
    ///
    /// # Errors
    /// ENETDOWN when the interface goes away, and whatever else recvfrom(2) says.
    pub fn wait(&mut self) -> Result<Option<Captured>, Errno> {
        self.receive(0)
    }

    /// The next packet that has been captured already. `None` if there is none.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn take(&mut self) -> Result<Option<Captured>, Errno> {
        self.receive(libc::MSG_DONTWAIT)
    }

    /// Packets that passed the filter and found no room since this was last asked.
    ///
    /// # Errors
    /// What getsockopt(2) says.
    pub fn lost(&self) -> Result<u32, Errno> {
        let mut statistics = MaybeUninit::<libc::tpacket_stats>::zeroed();
        let mut length = length_of::<libc::tpacket_stats>();
        // SAFETY: `statistics` is writable for `length` octets, and both live across the call.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                statistics.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if result != 0 {
            return Err(last_error());
        }
        // SAFETY: all zeros is a valid value of this plain structure, and the kernel only wrote into it.
        Ok(unsafe { statistics.assume_init() }.tp_drops)
    }

    fn receive(&mut self, flags: libc::c_int) -> Result<Option<Captured>, Errno> {
        loop {
            let (length, address) = match self.receive_raw(flags) {
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => continue,
                other => other?,
            };
            let direction = match address.sll_pkttype {
                PACKET_HOST => Direction::Incoming,
                PACKET_OUTGOING => Direction::Outgoing,
                // Addressed to others: seen because somebody made the interface promiscuous.
                _ => continue,
            };
            let octets = self.buffer.get(..length).unwrap_or(&self.buffer);
            if let Some(packet) = Packet::parse(octets) {
                let interface = u32::try_from(address.sll_ifindex).unwrap_or(0);
                return Ok(Some(Captured {
                    direction,
                    interface,
                    is_loopback: address.sll_hatype == libc::ARPHRD_LOOPBACK,
                    packet,
                }));
            }
        }
    }

    fn receive_raw(&mut self, flags: libc::c_int) -> Result<(usize, libc::sockaddr_ll), Errno> {
        let mut address = MaybeUninit::<libc::sockaddr_ll>::zeroed();
        let mut address_length = length_of::<libc::sockaddr_ll>();
        // SAFETY: `buffer` is writable for its length, `address` for `address_length`; all of them live across the call.
        let length = unsafe {
            libc::recvfrom(
                self.socket.as_raw_fd(),
                self.buffer.as_mut_ptr().cast(),
                self.buffer.len(),
                flags,
                address.as_mut_ptr().cast(),
                &raw mut address_length,
            )
        };
        let length = usize::try_from(length).map_err(|_| last_error())?;
        // SAFETY: all zeros is a valid value of this plain structure, and the kernel only wrote into it.
        Ok((length, unsafe { address.assume_init() }))
    }
}

fn bind(socket: &OwnedFd, interface: Option<u32>) -> Result<(), Errno> {
    // SAFETY: all zeros is a valid value of this plain structure.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = AF_PACKET;
    // Every protocol: only so are outgoing packets seen, too.
    address.sll_protocol = ETH_P_ALL.to_be();
    // 0 stands for all interfaces.
    address.sll_ifindex = i32::try_from(interface.unwrap_or(0)).map_err(|_| Errno::NODEV)?;
    // SAFETY: `address` lives across the call and the length is its size.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            length_of::<libc::sockaddr_ll>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[expect(clippy::cast_possible_truncation, reason = "sizes of a few dozen octets")]
const fn length_of<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

/// How long [`Capture::wait`] waits: a capture that is told to end ends within this time.
const WAIT: Duration = Duration::from_millis(100);
/// Room for about ten thousand captured headers, while the reader is kept from its processor for a second.
const BUFFER_BYTES: usize = 8 << 20;

// linux/if_ether.h, linux/if_packet.h; libc declares them wider than the fields that hold them.
const AF_PACKET: u16 = 17;
const ETH_P_ALL: u16 = 0x0003;
const PACKET_HOST: u8 = 0;
const PACKET_OUTGOING: u8 = 4;
