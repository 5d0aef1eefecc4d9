//! The classic BPF program that lets through TCP segments with SYN or RST, and ICMP errors.

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

/// Octets kept of a packet: the longest IP header with the longest TCP header, or an ICMP error with the headers that it
/// quotes.
pub(super) const SNAPSHOT_BYTES: usize = 256;

/// Offsets count from the network header, since link headers are stripped.
///
/// ```text
///  0  A = protocol of the frame
///  1  IPv4?    no -> 9
///  2  A = protocol of the packet
///  3  ICMP?    yes -> 16
///  4  TCP?     no -> 17
///  5  A = fragment offset
///  6  not 0?   yes -> 17
///  7  X = length of the IPv4 header
///  8  -> 14
///  9  IPv6?    no -> 17
/// 10  A = next header
/// 11  ICMPv6?  yes -> 16
/// 12  TCP?     no -> 17
/// 13  X = length of the IPv6 header
/// 14  A = TCP flags, at X + 13
/// 15  SYN or RST?  no -> 17
/// 16  keep
/// 17  ignore
/// ```
const PROGRAM: [libc::sock_filter; 18] = [
    statement(LOAD_HALF, FRAME_PROTOCOL),
    jump(IF_EQUAL, 0x0800, 0, 7),
    statement(LOAD_OCTET, 9),
    jump(IF_EQUAL, ICMP, 12, 0),
    jump(IF_EQUAL, TCP, 0, 12),
    statement(LOAD_HALF, 6),
    jump(IF_ANY_BIT, 0x1fff, 10, 0),
    statement(LOAD_X_HEADER_LENGTH, 0),
    statement(ALWAYS, 5),
    jump(IF_EQUAL, 0x86dd, 0, 7),
    statement(LOAD_OCTET, 6),
    jump(IF_EQUAL, ICMPV6, 4, 0),
    jump(IF_EQUAL, TCP, 0, 4),
    statement(LOAD_X, 40),
    statement(LOAD_OCTET_AT_X, 13),
    jump(IF_ANY_BIT, SYN_OR_RST, 0, 1),
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

const fn jump(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

const KEEP: u32 = 256;
const ICMP: u32 = 1;
const TCP: u32 = 6;
const ICMPV6: u32 = 58;
const SYN_OR_RST: u32 = 0x06;
/// `SKF_AD_OFF + SKF_AD_PROTOCOL`: the frame's protocol, in host order.
const FRAME_PROTOCOL: u32 = 0xffff_f000;

// linux/bpf_common.h: class, size and mode in one number.
const LOAD_HALF: u16 = 0x28;
const LOAD_OCTET: u16 = 0x30;
const LOAD_OCTET_AT_X: u16 = 0x50;
const LOAD_X: u16 = 0x01;
const LOAD_X_HEADER_LENGTH: u16 = 0xb1;
const IF_EQUAL: u16 = 0x15;
const IF_ANY_BIT: u16 = 0x45;
const ALWAYS: u16 = 0x05;
const RETURN: u16 = 0x06;
