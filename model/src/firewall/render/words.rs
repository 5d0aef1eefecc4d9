//! Words for single values of a rule.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::{RejectWith, Verdict};

/// As nft writes it.
pub(super) fn verdict_text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accept => "accept".to_owned(),
        Verdict::Drop => "drop".to_owned(),
        Verdict::Queue => "queue".to_owned(),
        Verdict::Continue => "continue".to_owned(),
        Verdict::Return => "return".to_owned(),
        Verdict::Jump { chain } => format!("jump {chain}"),
        Verdict::Goto { chain } => format!("goto {chain}"),
    }
}

/// With what a packet is refused, in the words of the table's family.
pub(super) fn reject(with: RejectWith, is_ipv6: bool) -> String {
    match with {
        RejectWith::TcpReset => "reject with tcp reset".to_owned(),
        RejectWith::Icmp { code } if is_ipv6 => format!("reject with ICMPv6 1/{code}"),
        RejectWith::Icmp { code } => format!("reject with ICMP 3/{code}"),
        RejectWith::Icmpx { code: 0 } => "reject with icmpx no-route".to_owned(),
        RejectWith::Icmpx { code: 1 } => "reject with icmpx port-unreachable".to_owned(),
        RejectWith::Icmpx { code: 2 } => "reject with icmpx host-unreachable".to_owned(),
        RejectWith::Icmpx { code: 3 } => "reject with icmpx admin-prohibited".to_owned(),
        RejectWith::Icmpx { code } => format!("reject with icmpx {code}"),
    }
}

/// A transport by its name, where it has one.
pub(super) fn transport(data: &[u8]) -> Option<&'static str> {
    match data.first()? {
        1 => Some("icmp"),
        6 => Some("tcp"),
        17 => Some("udp"),
        58 => Some("icmpv6"),
        132 => Some("sctp"),
        _ => None,
    }
}

/// An address; iptables compares only the octets that a prefix covers.
pub(super) fn address(data: &[u8]) -> Option<String> {
    match data.len() {
        1..=4 => {
            let mut octets = [0; 4];
            octets[..data.len()].copy_from_slice(data);
            Some(Ipv4Addr::from(octets).to_string())
        }
        5..=16 => {
            let mut octets = [0; 16];
            octets[..data.len()].copy_from_slice(data);
            Some(Ipv6Addr::from(octets).to_string())
        }
        _ => None,
    }
}

/// A number of four octets as the host keeps it.
pub(super) fn host_order(data: &[u8]) -> Option<u32> {
    data.first_chunk().map(|octets| u32::from_le_bytes(*octets))
}

/// A name that stops before its 16th octet and has no final zero stands for every name that begins so.
pub(super) fn interface(data: &[u8]) -> String {
    match data.iter().position(|octet| *octet == 0) {
        Some(end) => format!("{:?}", String::from_utf8_lossy(&data[..end])),
        None => format!("\"{}*\"", String::from_utf8_lossy(data)),
    }
}

/// States of connections by their names, as far as they have one.
pub(super) fn states(bits: u32) -> String {
    const NAMES: [(u32, &str); 5] = [
        (1, "invalid"),
        (2, "established"),
        (4, "related"),
        (8, "new"),
        (64, "untracked"),
    ];
    let names: Vec<&str> = NAMES
        .iter()
        .filter(|(bit, _)| bits & bit != 0)
        .map(|(_, name)| *name)
        .collect();
    if names.is_empty() {
        bits.to_string()
    } else {
        names.join(",")
    }
}

/// The length of a prefix, if the mask is one.
pub(super) fn prefix(mask: &[u8]) -> Option<u32> {
    let ones: u32 = mask.iter().map(|octet| octet.leading_ones()).sum();
    let total: u32 = mask.iter().map(|octet| octet.count_ones()).sum();
    let contiguous = mask.windows(2).all(|pair| pair[0] == 0xff || pair[1] == 0);
    (ones == total && contiguous).then_some(ones)
}

/// The value before one, in big-endian order.
pub(super) fn before(value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    for octet in value.iter_mut().rev() {
        let (less, borrowed) = octet.overflowing_sub(1);
        *octet = less;
        if !borrowed {
            break;
        }
    }
    value
}
