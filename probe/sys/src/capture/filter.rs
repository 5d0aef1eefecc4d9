//! The classic BPF program that lets through TCP segments with SYN or RST, UDP datagrams of a test packet's length, and ICMP
//! errors.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno;

use super::{last_error, length_of};

/// Attaches the program.
pub(super) fn attach(socket: &OwnedFd) -> Result<(), Errno> {
    let mut program = PROGRAM;
    let header = libc::sock_fprog {
        len: PROGRAM_LENGTH,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: `header` and the program that it points to live across the call; the kernel copies both.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const header).cast(),
            length_of::<libc::sock_fprog>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}

/// Octets kept of a packet: the longest IP header with the longest TCP header or a whole test packet, or an ICMP error with
/// the headers that it quotes.
pub(super) const SNAPSHOT_BYTES: usize = 256;

/// Offsets count from the network header, since link headers are stripped. A VLAN tag is none of the packet: the kernel takes
/// it off before it shows the frame.
///
/// A busy host passes millions of datagrams a second through tunnels: those of tests are told from them by their length alone,
/// before anything is copied.
///
/// ```text
///  0  A = protocol of the frame
///  1  IPv4?             no -> 8
///  2  A = fragment offset
///  3  not 0?            yes -> 31
///  4  X = length of the IPv4 header
///  5  A = protocol of the packet
///  6  ICMP?             yes -> 22
///  7  -> 12
///  8  IPv6?             no -> 31
///  9  X = length of the IPv6 header
/// 10  A = next header
/// 11  ICMPv6?           yes -> 26
/// 12  TCP?              yes -> 18
/// 13  UDP?              yes -> 20
/// 14  hop-by-hop?       yes -> 30      extension headers: the reader skips them
/// 15  routing?          yes -> 30
/// 16  fragment?         yes -> 28
/// 17  options?          yes -> 30, no -> 31
/// 18  A = TCP flags, at X + 13
/// 19  SYN or RST?       yes -> 30, no -> 31
/// 20  A = UDP length, at X + 4
/// 21  a test packet's?  yes -> 30, no -> 31
/// 22  A = ICMP type, at X
/// 23  unreachable?      yes -> 30
/// 24  time exceeded?    yes -> 30
/// 25  bad parameter?    yes -> 30, no -> 31
/// 26  A = ICMPv6 type, at X
/// 27  not an error?     yes -> 31, no -> 30
/// 28  A = fragment offset
/// 29  not 0?            yes -> 31, no -> 30
/// 30  keep
/// 31  ignore
/// ```
const PROGRAM: [libc::sock_filter; 32] = [
    statement(LOAD_HALF, FRAME_PROTOCOL),
    jump(1, IF_EQUAL, 0x0800, 2, 8),
    statement(LOAD_HALF, 6),
    jump(3, IF_ANY_BIT, 0x1fff, 31, 4),
    statement(LOAD_X_HEADER_LENGTH, 0),
    statement(LOAD_OCTET, 9),
    jump(6, IF_EQUAL, ICMP, 22, 7),
    statement(ALWAYS, 12 - 8),
    jump(8, IF_EQUAL, 0x86dd, 9, 31),
    statement(LOAD_X, 40),
    statement(LOAD_OCTET, 6),
    jump(11, IF_EQUAL, ICMPV6, 26, 12),
    jump(12, IF_EQUAL, TCP, 18, 13),
    jump(13, IF_EQUAL, UDP, 20, 14),
    jump(14, IF_EQUAL, 0, 30, 15),
    jump(15, IF_EQUAL, 43, 30, 16),
    jump(16, IF_EQUAL, 44, 28, 17),
    jump(17, IF_EQUAL, 60, 30, 31),
    statement(LOAD_OCTET_AT_X, 13),
    jump(19, IF_ANY_BIT, SYN_OR_RST, 30, 31),
    statement(LOAD_HALF_AT_X, 4),
    jump(21, IF_EQUAL, TEST_PACKET, 30, 31),
    statement(LOAD_OCTET_AT_X, 0),
    jump(23, IF_EQUAL, 3, 30, 24),
    jump(24, IF_EQUAL, 11, 30, 25),
    jump(25, IF_EQUAL, 12, 30, 31),
    statement(LOAD_OCTET_AT_X, 0),
    jump(27, IF_NOT_BELOW, 128, 31, 30),
    statement(LOAD_HALF, 42),
    jump(29, IF_ANY_BIT, 0xfff8, 31, 30),
    statement(RETURN, KEEP),
    statement(RETURN, 0),
];
#[expect(clippy::cast_possible_truncation, reason = "32 instructions")]
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

const KEEP: u32 = 256;
const ICMP: u32 = 1;
const TCP: u32 = 6;
const UDP: u32 = 17;
const ICMPV6: u32 = 58;
const SYN_OR_RST: u32 = 0x06;
/// The length in the UDP header of an authenticated STAMP packet: 8 octets of header and 112 of payload (RFC 8762).
const TEST_PACKET: u32 = 8 + 112;
/// `SKF_AD_OFF + SKF_AD_PROTOCOL`: the frame's protocol, in host order.
const FRAME_PROTOCOL: u32 = 0xffff_f000;

// linux/bpf_common.h: class, size and mode in one number.
const LOAD_HALF: u16 = 0x28;
const LOAD_HALF_AT_X: u16 = 0x48;
const LOAD_OCTET: u16 = 0x30;
const LOAD_OCTET_AT_X: u16 = 0x50;
const LOAD_X: u16 = 0x01;
const LOAD_X_HEADER_LENGTH: u16 = 0xb1;
const IF_EQUAL: u16 = 0x15;
const IF_NOT_BELOW: u16 = 0x35;
const IF_ANY_BIT: u16 = 0x45;
const ALWAYS: u16 = 0x05;
const RETURN: u16 = 0x06;
