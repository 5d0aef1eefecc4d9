//! Matches and targets of iptables as nf_tables carries them: a name, a revision and the C structure. What is not known
//! here is undecided, never assumed. Numbers inside are in host order, which is little-endian.

use std::net::IpAddr;

use super::{
    RejectKind,
    packet::Packet,
    packet::Passage,
    register::{Cell, Truth, compare},
};
use crate::{
    firewall::CompareOp,
    port::{Family, Protocol},
};

/// What a match may ask for beside the packet itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) packet: &'a Packet,
    /// The packet mark.
    pub(super) mark: &'a [Cell],
    /// The bit of connection tracking's state, as nf_tables and xt both number it, but for "untracked".
    pub(super) state: u32,
}

/// Whether a match holds.
pub(super) fn matches(name: &str, revision: u32, info: &[u8], context: Context<'_>) -> Truth {
    let decided = match (name, revision) {
        ("comment", _) => Some(Truth::Yes),
        ("tcp", 0) => tcp(info, context.packet),
        ("udp", 0) => udp(info, context.packet),
        ("multiport", 1) => multiport(info, context.packet),
        ("conntrack", 1..=3) => conntrack(info, revision, context.state),
        ("state", 0) => word(info, 0).map(|mask| Truth::from(mask & xt_state(context.state) != 0)),
        ("mark", 1) => mark(info, context.mark),
        ("addrtype", 1) => addrtype(info, context.packet),
        ("iprange", 1) => iprange(info, context.packet),
        ("pkttype", 0) => pkttype(info, context.packet),
        _ => None,
    };
    decided.unwrap_or(Truth::Maybe)
}

/// The ranges that a match compares ports with, ends included; none if it asks for no port, or is not known here.
pub(super) fn compared_ports(name: &str, revision: u32, info: &[u8]) -> Vec<(u16, u16)> {
    let range = |at: usize| Some((half(info, at)?, half(info, at + 2)?));
    match (name, revision) {
        ("tcp" | "udp", 0) => [range(0), range(4)].into_iter().flatten().collect(),
        ("multiport", 1) => multiport_ranges(info).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// What a target does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// The next rule.
    Continue,
    /// The packet is refused.
    Reject(RejectKind),
    /// The end of the chain with accept: the source address changes.
    SourceNat,
    /// The packet goes elsewhere.
    DestinationNat,
    /// The packet leaves connection tracking.
    Notrack,
    /// The mark changes: `(mark & !mask) ^ value`.
    Mark {
        /// Bits to flip.
        value: u32,
        /// Bits to clear first.
        mask: u32,
    },
    /// The mark changes somehow.
    UnknownMark,
    /// Unknown.
    Unknown,
}

/// What a target does.
pub(super) fn target(name: &str, revision: u32, info: &[u8], family: Family) -> Target {
    match name {
        "REJECT" => word(info, 0)
            .and_then(|with| reject(with, family))
            .map_or(Target::Unknown, Target::Reject),
        "LOG" | "NFLOG" | "ULOG" | "TRACE" | "AUDIT" | "CLASSIFY" | "TCPMSS" | "TCPOPTSTRIP" | "DSCP"
        | "TOS" | "TTL" | "HL" | "CHECKSUM" | "SET" | "RATEEST" | "SECMARK" | "CONNSECMARK" | "IDLETIMER"
        | "LED" | "TEE" | "ECN" => Target::Continue,
        "MARK" if revision == 2 => match (word(info, 0), word(info, 4)) {
            (Some(value), Some(mask)) => Target::Mark { value, mask },
            _ => Target::UnknownMark,
        },
        // CONNMARK may copy into the packet's mark.
        "MARK" | "CONNMARK" => Target::UnknownMark,
        "NOTRACK" => Target::Notrack,
        "CT" => match half(info, 0) {
            Some(flags) if flags & CT_NOTRACK != 0 => Target::Notrack,
            Some(_) => Target::Continue,
            None => Target::Unknown,
        },
        "SNAT" | "MASQUERADE" => Target::SourceNat,
        "DNAT" | "REDIRECT" | "NETMAP" | "TPROXY" => Target::DestinationNat,
        _ => Target::Unknown,
    }
}

/// `enum ipt_reject_with` and `enum ip6t_reject_with`.
pub(super) fn reject(with: u32, family: Family) -> Option<RejectKind> {
    let code = match (family, with) {
        (Family::Ipv4, 7) | (Family::Ipv6, 6) => return Some(RejectKind::TcpReset),
        (Family::Ipv4, 0) => 0,
        (Family::Ipv4, 1) => 1,
        (Family::Ipv4, 2) => 2,
        (Family::Ipv4, 3) => 3,
        (Family::Ipv4, 5) => 9,
        (Family::Ipv4, 6) => 10,
        (Family::Ipv4, 8) => 13,
        (Family::Ipv6, 0) => 0,
        (Family::Ipv6, 1) => 1,
        (Family::Ipv6, 2) => 2,
        (Family::Ipv6, 3) => 3,
        (Family::Ipv6, 4) => 4,
        (Family::Ipv6, 7) => 5,
        (Family::Ipv6, 8) => 6,
        _ => return None,
    };
    Some(RejectKind::Icmp {
        icmp_type: if family == Family::Ipv4 { 3 } else { 1 },
        code,
    })
}

/// `struct xt_tcp`: two source ports, two destination ports, option, flag mask, flag value, inversions.
fn tcp(info: &[u8], packet: &Packet) -> Option<Truth> {
    if packet.protocol != Protocol::Tcp {
        return Some(Truth::No);
    }
    let inverted = octet(info, 11)?;
    let (mask, value) = (octet(info, 9)?, octet(info, 10)?);
    let flags = Truth::from(packet.tcp_flags & mask == value).invert_if(inverted & 0x04 != 0);
    // A match on a TCP option number: options are not modelled.
    let option = if octet(info, 8)? == 0 {
        Truth::Yes
    } else {
        Truth::Maybe
    };
    Some(ports(info, inverted, packet)?.and(flags).and(option))
}

/// `struct xt_udp`: two source ports, two destination ports, inversions.
fn udp(info: &[u8], packet: &Packet) -> Option<Truth> {
    if packet.protocol != Protocol::Udp {
        return Some(Truth::No);
    }
    ports(info, octet(info, 8)?, packet)
}

fn ports(info: &[u8], inverted: u8, packet: &Packet) -> Option<Truth> {
    let source =
        port_within(packet.source_port, half(info, 0)?, half(info, 2)?).invert_if(inverted & 0x01 != 0);
    let destination =
        port_within(packet.destination_port, half(info, 4)?, half(info, 6)?).invert_if(inverted & 0x02 != 0);
    Some(source.and(destination))
}

fn port_within(port: Option<u16>, first: u16, last: u16) -> Truth {
    match port {
        Some(port) => Truth::from((first..=last).contains(&port)),
        None if first == 0 && last == u16::MAX => Truth::Yes,
        None => Truth::Maybe,
    }
}

/// `struct xt_multiport_v1`: which, count, 15 ports, 15 marks of "a range starts here", inversion.
fn multiport(info: &[u8], packet: &Packet) -> Option<Truth> {
    let which = octet(info, 0)?;
    let holds = multiport_ranges(info)?
        .into_iter()
        .fold(Truth::No, |holds, (first, last)| {
            let source = port_within(packet.source_port, first, last);
            let destination = port_within(packet.destination_port, first, last);
            holds.or(match which {
                0 => source,
                1 => destination,
                _ => source.or(destination),
            })
        });
    Some(holds.invert_if(octet(info, 47)? != 0))
}

fn multiport_ranges(info: &[u8]) -> Option<Vec<(u16, u16)>> {
    let count = usize::from(octet(info, 1)?).min(15);
    let mut ranges = Vec::new();
    let mut index = 0;
    while index < count {
        let first = half(info, 2 + 2 * index)?;
        if octet(info, 32 + index)? != 0 {
            index += 1;
        }
        ranges.push((first, half(info, 2 + 2 * index)?));
        index += 1;
    }
    Some(ranges)
}

/// `struct xt_conntrack_mtinfo1` to `3`: only matches on the state alone are decided.
fn conntrack(info: &[u8], revision: u32, state: u32) -> Option<Truth> {
    let (wanted, inverted) = (half(info, 146)?, half(info, 148)?);
    if wanted & !CONNTRACK_STATE_ALIAS != CONNTRACK_STATE {
        return None;
    }
    let mask = if revision == 1 {
        u16::from(octet(info, 150)?)
    } else {
        half(info, 150)?
    };
    Some(Truth::from(u32::from(mask) & xt_state(state) != 0).invert_if(inverted & CONNTRACK_STATE != 0))
}

/// nf_tables says "untracked" with bit 6, xt with bit 8.
fn xt_state(state: u32) -> u32 {
    if state == 1 << 6 { 1 << 8 } else { state }
}

/// `struct xt_mark_mtinfo1`: value, mask, inversion.
fn mark(info: &[u8], mark: &[Cell]) -> Option<Truth> {
    let (value, mask) = (info.get(0..4)?, info.get(4..8)?);
    let mut registers = super::register::Registers::new();
    registers.store(1, mark);
    registers.mask_xor(1, 1, 4, mask, &[0; 4]);
    Some(compare(&registers.load(1, 4), CompareOp::Eq, value).invert_if(octet(info, 8)? != 0))
}

/// `struct xt_addrtype_info_v1`: masks of types of the source and the destination, flags.
fn addrtype(info: &[u8], packet: &Packet) -> Option<Truth> {
    let (source, destination, flags) = (half(info, 0)?, half(info, 2)?, word(info, 4)?);
    let side = |mask: u16, inverted: bool, kind: Option<u32>| match (mask, kind) {
        (0, _) => Truth::Yes,
        (_, Some(kind)) => Truth::from(u32::from(mask) & (1 << kind) != 0).invert_if(inverted),
        (_, None) => Truth::Maybe,
    };
    // Bits 2 and 3 restrict the look-up to one interface.
    let limited = if flags & 0xc == 0 {
        Truth::Yes
    } else {
        Truth::Maybe
    };
    Some(
        side(source, flags & 1 != 0, source_type(packet))
            .and(side(destination, flags & 2 != 0, destination_type(packet)))
            .and(limited),
    )
}

/// The route type (`RTN_*`) of the destination, where the packet's way tells.
pub(super) fn destination_type(packet: &Packet) -> Option<u32> {
    match &packet.passage {
        Passage::Incoming { .. } => Some(RTN_LOCAL),
        Passage::Outgoing { interface } if interface == "lo" => Some(RTN_LOCAL),
        Passage::Outgoing { .. } | Passage::Forwarded { .. } => Some(RTN_UNICAST),
    }
}

/// The route type of the source, where the packet's way tells.
pub(super) fn source_type(packet: &Packet) -> Option<u32> {
    match &packet.passage {
        Passage::Outgoing { .. } => Some(RTN_LOCAL),
        Passage::Incoming { interface } if interface == "lo" => Some(RTN_LOCAL),
        Passage::Incoming { .. } | Passage::Forwarded { .. } => None,
    }
}

/// `struct xt_iprange_mtinfo`: source from and to, destination from and to (16 octets each), flags.
fn iprange(info: &[u8], packet: &Packet) -> Option<Truth> {
    let flags = octet(info, 64)?;
    let side = |wanted: u8, inverted: u8, at: usize, address: IpAddr| -> Option<Truth> {
        if flags & wanted == 0 {
            return Some(Truth::Yes);
        }
        let octets = match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let (first, last) = (
            info.get(at..at + octets.len())?,
            info.get(at + 16..at + 16 + octets.len())?,
        );
        let inside = first <= octets.as_slice() && octets.as_slice() <= last;
        Some(Truth::from(inside).invert_if(flags & inverted != 0))
    };
    Some(side(0x01, 0x10, 0, packet.source)?.and(side(0x02, 0x20, 32, packet.destination)?))
}

/// `struct xt_pkttype_info`: type, inversion. Tests are unicast to this host.
fn pkttype(info: &[u8], packet: &Packet) -> Option<Truth> {
    match packet.passage {
        Passage::Incoming { .. } => Some(Truth::from(word(info, 0)? == 0).invert_if(word(info, 4)? != 0)),
        Passage::Outgoing { .. } | Passage::Forwarded { .. } => None,
    }
}

/// Words for a match over ports, after the transport that was asked for before.
pub(super) fn describe(name: &str, revision: u32, info: &[u8], transport: &str) -> Option<String> {
    let range = |first: u16, last: u16| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    match (name, revision) {
        ("tcp" | "udp", 0) => {
            let inverted = octet(info, if name == "tcp" { 11 } else { 8 })?;
            let side = |at: usize, bit: u8, word: &str| -> Option<Option<String>> {
                let (first, last) = (half(info, at)?, half(info, at + 2)?);
                let not = if inverted & bit != 0 { "!= " } else { "" };
                let any = first == 0 && last == u16::MAX;
                Some((!any).then(|| format!("{name} {word} {not}{}", range(first, last))))
            };
            let words: Vec<String> = [side(0, 1, "sport")?, side(4, 2, "dport")?]
                .into_iter()
                .flatten()
                .collect();
            Some(if words.is_empty() {
                format!("-m {name}")
            } else {
                words.join(" ")
            })
        }
        ("multiport", 1) => {
            let word = ["sports", "dports", "ports"].get(usize::from(octet(info, 0)?))?;
            let not = if octet(info, 47)? != 0 { "!= " } else { "" };
            let ranges = multiport_ranges(info)?;
            let ports: Vec<String> = ranges
                .into_iter()
                .map(|(first, last)| range(first, last))
                .collect();
            Some(format!("{transport} {word} {not}{}", ports.join(",")))
        }
        _ => None,
    }
}

fn octet(info: &[u8], at: usize) -> Option<u8> {
    info.get(at).copied()
}

fn half(info: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*info.get(at..)?.first_chunk()?))
}

fn word(info: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*info.get(at..)?.first_chunk()?))
}

/// `XT_CONNTRACK_STATE`.
const CONNTRACK_STATE: u16 = 1;
/// `XT_CONNTRACK_STATE_ALIAS`: written as `-m state`.
const CONNTRACK_STATE_ALIAS: u16 = 1 << 13;
/// `XT_CT_NOTRACK`.
const CT_NOTRACK: u16 = 1;
/// `RTN_UNICAST`.
pub(super) const RTN_UNICAST: u32 = 1;
/// `RTN_LOCAL`.
pub(super) const RTN_LOCAL: u32 = 2;
