//! Frames of ARP, neighbour discovery and VRRP on one interface (packet(7)): sent from its own link address, and heard.
//!
//! Nothing about the interface changes: it does not become promiscuous, and nothing is sent to hear something. To hear a
//! multicast group the socket asks for its link address ([`LinkSocket::hear_group`], `PACKET_ADD_MEMBERSHIP`): the interface's
//! receive filter then lets those frames in too, for as long as the socket is open. No group is joined at the IP layer, so that no
//! IGMP or MLD report leaves; `ip maddress show` lists the link address meanwhile, under `link`.
//!
//! Link headers are stripped, so that every kind of interface looks alike. Frames with a VLAN tag belong to another interface and
//! are not heard, nor is what this host sends itself.

use std::{
    mem::{MaybeUninit, size_of},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    time::Duration,
};

use rustix::{io::Errno, net::sockopt};

/// A packet socket on one interface.
#[derive(Debug)]
pub struct LinkSocket {
    socket: OwnedFd,
    interface: i32,
    buffer: Vec<u8>,
}

/// A frame that was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The link address that it came from.
    pub from: [u8; 6],
    /// To whom it went.
    pub to: Cast,
    /// What is in it.
    pub protocol: EtherType,
    /// The packet, cut after some hundred octets.
    pub packet: Vec<u8>,
}

/// To whom a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cast {
    /// To this host alone.
    Host,
    /// To everybody on the link.
    Broadcast,
    /// To a group.
    Multicast,
}

/// What is in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EtherType {
    /// ARP.
    Arp,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// Why there is no such socket.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// CAP_NET_RAW is missing, or there are no packet sockets.
    #[error("open a packet socket")]
    Open(#[source] Errno),
    /// The kernel refused the filter.
    #[error("attach the filter to the packet socket")]
    Filter(#[source] Errno),
    /// The interface is gone.
    #[error("bind the packet socket to interface {interface}")]
    Bind {
        /// Its index.
        interface: u32,
        /// Why.
        #[source]
        source: Errno,
    },
}

impl LinkError {
    /// Whether CAP_NET_RAW is what is missing.
    pub fn is_privilege(&self) -> bool {
        matches!(self, Self::Open(Errno::PERM | Errno::ACCESS))
    }
}

/// `ff:ff:ff:ff:ff:ff`.
pub const BROADCAST: [u8; 6] = [0xff; 6];

impl LinkSocket {
    /// Hears and sends on the interface of this index from now on.
    ///
    /// # Errors
    /// [`LinkError::Open`] with EPERM where CAP_NET_RAW is missing.
    pub fn open(interface: u32) -> Result<Self, LinkError> {
        // Protocol 0 receives nothing: the filter is in place before the first packet.
        // SAFETY: a plain call that takes no pointers.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(LinkError::Open(last_error()));
        }
        // SAFETY: `fd` was just returned by socket(2) and nothing else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let bind_error = |source| LinkError::Bind { interface, source };
        let opened = Self {
            socket,
            interface: i32::try_from(interface).map_err(|_| bind_error(Errno::NODEV))?,
            buffer: vec![0; SNAPSHOT_BYTES],
        };
        opened.attach_filter().map_err(LinkError::Filter)?;
        opened.bind().map_err(bind_error)?;
        Ok(opened)
    }

    /// Has frames to this group's link address let in, too.
    ///
    /// # Errors
    /// What setsockopt(2) says.
    pub fn hear_group(&self, mac: [u8; 6]) -> Result<(), Errno> {
        let mut request = libc::packet_mreq {
            mr_ifindex: self.interface,
            mr_type: PACKET_MR_MULTICAST,
            mr_alen: 6,
            mr_address: [0; 8],
        };
        request.mr_address[..6].copy_from_slice(&mac);
        self.set(libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
    }

    /// Sends one packet in one frame.
    ///
    /// # Errors
    /// ENETDOWN when the interface is down, and whatever else sendto(2) says.
    pub fn send(&self, protocol: EtherType, to: [u8; 6], packet: &[u8]) -> Result<(), Errno> {
        let mut address = self.address(protocol.number());
        address.sll_halen = 6;
        address.sll_addr[..6].copy_from_slice(&to);
        // SAFETY: `packet` is readable for its length and `address` for its size; both live across the call.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                packet.as_ptr().cast(),
                packet.len(),
                libc::MSG_DONTWAIT,
                (&raw const address).cast(),
                length_of::<libc::sockaddr_ll>(),
            )
        };
        if sent < 0 { Err(last_error()) } else { Ok(()) }
    }

    /// The next frame. Waits for at most this long, rounded up to a millisecond; `None` if there is nothing by then.
    ///
    /// # Errors
    /// ENETDOWN when the interface goes away, and whatever else the kernel says.
    pub fn receive(&mut self, wait: Duration) -> Result<Option<Frame>, Errno> {
        if !wait.is_zero() {
            // No timeout at all would be one without end.
            let wait = wait.max(Duration::from_millis(1));
            sockopt::set_socket_timeout(&self.socket, sockopt::Timeout::Recv, Some(wait))?;
        }
        let flags = if wait.is_zero() { libc::MSG_DONTWAIT } else { 0 };
        let (length, address) = match self.receive_raw(flags) {
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            other => other?,
        };
        let to = match address.sll_pkttype {
            PACKET_HOST => Cast::Host,
            PACKET_BROADCAST => Cast::Broadcast,
            PACKET_MULTICAST => Cast::Multicast,
            // Addressed to others: seen because somebody made the interface promiscuous.
            _ => return Ok(None),
        };
        let Some(protocol) = EtherType::of(u16::from_be(address.sll_protocol)) else {
            return Ok(None);
        };
        let [m0, m1, m2, m3, m4, m5, ..] = address.sll_addr;
        Ok(Some(Frame {
            from: [m0, m1, m2, m3, m4, m5],
            to,
            protocol,
            packet: self.buffer.get(..length).unwrap_or_default().to_vec(),
        }))
    }

    /// Frames that passed the filter and found no room since this was last asked.
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

    fn address(&self, protocol: u16) -> libc::sockaddr_ll {
        // SAFETY: all zeros is a valid value of this plain structure.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = AF_PACKET;
        address.sll_protocol = protocol.to_be();
        address.sll_ifindex = self.interface;
        address
    }

    fn bind(&self) -> Result<(), Errno> {
        let address = self.address(ETH_P_ALL);
        // SAFETY: `address` lives across the call and the length is its size.
        let result = unsafe {
            libc::bind(
                self.socket.as_raw_fd(),
                (&raw const address).cast(),
                length_of::<libc::sockaddr_ll>(),
            )
        };
        if result == 0 { Ok(()) } else { Err(last_error()) }
    }

    fn attach_filter(&self) -> Result<(), Errno> {
        let mut program = PROGRAM;
        let header = libc::sock_fprog {
            len: PROGRAM_LENGTH,
            filter: program.as_mut_ptr(),
        };
        // The kernel copies header and program.
        self.set(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &header)
    }

    fn set<T>(&self, level: libc::c_int, option: libc::c_int, value: &T) -> Result<(), Errno> {
        // SAFETY: `value` is readable for its size and lives across the call, as does what it points to.
        let result = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                level,
                option,
                std::ptr::from_ref(value).cast(),
                length_of::<T>(),
            )
        };
        if result == 0 { Ok(()) } else { Err(last_error()) }
    }
}

impl EtherType {
    fn number(self) -> u16 {
        match self {
            Self::Arp => 0x0806,
            Self::Ipv4 => 0x0800,
            Self::Ipv6 => 0x86dd,
        }
    }

    fn of(number: u16) -> Option<Self> {
        let all = [Self::Arp, Self::Ipv4, Self::Ipv6];
        all.into_iter().find(|protocol| protocol.number() == number)
    }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[expect(clippy::cast_possible_truncation, reason = "sizes of a few dozen octets")]
const fn length_of<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

/// The classic BPF program that lets through ARP, neighbour solicitations and advertisements, and VRRP. Offsets count from the
/// network header.
///
/// ```text
///  0  A = the frame's type
///  1  sent by this host?    yes -> 17
///  2  A = the VLAN tag
///  3  of a VLAN?            yes -> 17
///  4  A = the frame's protocol
///  5  ARP?                  yes -> 16
///  6  IPv4?                 no -> 9
///  7  A = protocol of the packet
///  8  VRRP?                 yes -> 16, no -> 17
///  9  IPv6?                 no -> 17
/// 10  A = next header
/// 11  VRRP?                 yes -> 16
/// 12  ICMPv6?               no -> 17
/// 13  A = ICMPv6 type
/// 14  solicitation?         yes -> 16
/// 15  advertisement?        no -> 17
/// 16  keep
/// 17  ignore
/// ```
const PROGRAM: [libc::sock_filter; 18] = [
    statement(LOAD_WORD, FRAME_TYPE),
    jump(1, IF_EQUAL, 4, 17, 2),
    statement(LOAD_WORD, FRAME_VLAN_TAG),
    jump(3, IF_ANY_BIT, 0x0fff, 17, 4),
    statement(LOAD_WORD, FRAME_PROTOCOL),
    jump(5, IF_EQUAL, 0x0806, 16, 6),
    jump(6, IF_EQUAL, 0x0800, 7, 9),
    statement(LOAD_OCTET, 9),
    jump(8, IF_EQUAL, VRRP, 16, 17),
    jump(9, IF_EQUAL, 0x86dd, 10, 17),
    statement(LOAD_OCTET, 6),
    jump(11, IF_EQUAL, VRRP, 16, 12),
    jump(12, IF_EQUAL, ICMPV6, 13, 17),
    statement(LOAD_OCTET, 40),
    jump(14, IF_EQUAL, 135, 16, 15),
    jump(15, IF_EQUAL, 136, 16, 17),
    statement(RETURN, KEEP),
    statement(RETURN, 0),
];
#[expect(clippy::cast_possible_truncation, reason = "18 instructions")]
const PROGRAM_LENGTH: u16 = PROGRAM.len() as u16;

const fn statement(code: u16, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

/// The instruction `at`, which goes on at `yes` or at `no`.
const fn jump(at: u8, code: u16, k: u32, yes: u8, no: u8) -> libc::sock_filter {
    let (jt, jf) = (yes - at - 1, no - at - 1);
    libc::sock_filter { code, jt, jf, k }
}

/// Octets kept of a packet: an advertisement of VRRP with a dozen IPv6 addresses.
const SNAPSHOT_BYTES: usize = 512;
const KEEP: u32 = 512;
const VRRP: u32 = 112;
const ICMPV6: u32 = 58;
/// `SKF_AD_OFF + SKF_AD_PROTOCOL`: the frame's protocol, in host order.
const FRAME_PROTOCOL: u32 = 0xffff_f000;
/// `SKF_AD_OFF + SKF_AD_PKTTYPE`: 4 (`PACKET_OUTGOING`) for what this host sends.
const FRAME_TYPE: u32 = 0xffff_f004;
/// `SKF_AD_OFF + SKF_AD_VLAN_TAG`: the tag that the kernel took off the frame; its lower 12 bits are 0 without one.
const FRAME_VLAN_TAG: u32 = 0xffff_f02c;

// linux/bpf_common.h: class, size and mode in one number.
const LOAD_WORD: u16 = 0x20;
const LOAD_OCTET: u16 = 0x30;
const IF_EQUAL: u16 = 0x15;
const IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

// linux/if_ether.h, linux/if_packet.h; libc declares them wider than the fields that hold them.
const AF_PACKET: u16 = 17;
const ETH_P_ALL: u16 = 0x0003;
const PACKET_HOST: u8 = 0;
const PACKET_BROADCAST: u8 = 1;
const PACKET_MULTICAST: u8 = 2;
const PACKET_MR_MULTICAST: u16 = 0;
