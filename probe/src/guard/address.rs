//! Addresses that are never a peer's.

use std::{fmt, net::IpAddr};

/// Why an address is never a peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forbidden {
    /// 0.0.0.0/8 or `::`.
    Unspecified,
    /// 127.0.0.0/8 or `::1`.
    Loopback,
    /// 224.0.0.0/4 or `ff00::/8`.
    Multicast,
    /// 255.255.255.255 and the rest of 240.0.0.0/4.
    Broadcast,
    /// 169.254.0.0/16 or `fe80::/10`.
    LinkLocal,
    /// `fd00:ec2::254`, a cloud's metadata service.
    Metadata,
    /// An IPv4 address in IPv6 clothes.
    Mapped,
}

/// Checks an address; loopback is a peer's only where the whole run is on loopback.
pub(super) fn check(address: IpAddr, on_loopback: bool) -> Result<(), Forbidden> {
    let forbidden = if address.is_loopback() {
        (!on_loopback).then_some(Forbidden::Loopback)
    } else {
        match address {
            IpAddr::V4(address) => match address.octets() {
                [0, ..] => Some(Forbidden::Unspecified),
                [169, 254, ..] => Some(Forbidden::LinkLocal),
                [224..=239, ..] => Some(Forbidden::Multicast),
                [240..=255, ..] => Some(Forbidden::Broadcast),
                _ => None,
            },
            IpAddr::V6(address) => match address.segments() {
                [0, 0, 0, 0, 0, 0, 0, 0] => Some(Forbidden::Unspecified),
                [0, 0, 0, 0, 0, 0xffff, ..] => Some(Forbidden::Mapped),
                [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254] => Some(Forbidden::Metadata),
                [0xfe80..=0xfebf, ..] => Some(Forbidden::LinkLocal),
                [0xff00..=0xffff, ..] => Some(Forbidden::Multicast),
                _ => None,
            },
        }
    };
    forbidden.map_or(Ok(()), Err)
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "an unspecified address",
            Self::Loopback => "a loopback address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "a broadcast or reserved address",
            Self::LinkLocal => "a link-local address, where metadata services live",
            Self::Metadata => "a metadata service",
            Self::Mapped => "an IPv4 address written as IPv6",
        })
    }
}
