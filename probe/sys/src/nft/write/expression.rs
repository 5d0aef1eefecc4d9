//! What conditions and actions are to the kernel: expressions over registers.

use std::net::IpAddr;

use super::{Action, Family, IpVersion, Match, NFPROTO_IPV4, NFPROTO_IPV6, Transport};
use crate::{netlink::Nest, nft::kernel as k};

impl IpVersion {
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::V4 => NFPROTO_IPV4,
            Self::V6 => NFPROTO_IPV6,
        }
    }
}

impl Match {
    pub(super) fn write(&self, family: Family, list: &mut Nest) {
        match self {
            Self::InInterface(name) => write_interface(list, k::META_KEY_IIFNAME, name),
            Self::OutInterface(name) => write_interface(list, k::META_KEY_OIFNAME, name),
            Self::Source(address, prefix) => write_network(list, family, *address, *prefix, true),
            Self::Destination(address, prefix) => write_network(list, family, *address, *prefix, false),
            Self::Transport(transport) => write_transport(list, *transport),
            Self::SourcePorts(transport, first, last) => write_ports(list, *transport, 0, *first, *last),
            Self::DestinationPorts(transport, first, last) => write_ports(list, *transport, 2, *first, *last),
            Self::Version(version) => write_version(list, family, *version),
            Self::TcpReset => write_tcp_reset(list),
            Self::NewConnection => write_new_connection(list),
            Self::MoreConnectionsThan(count) => write_connection_limit(list, *count),
            Self::LongerThan(version, octets) => write_longer_than(family, list, *version, *octets),
            Self::Fragment(version) => write_fragment(family, list, *version),
            Self::Chance { below, of } => write_chance(list, *below, *of),
        }
    }
}

impl Action {
    pub(super) fn write(self, family: Family, list: &mut Nest) {
        if let (Family::Inet, Some(version)) = (family, self.version()) {
            write_nfproto(list, version.number());
        }
        expression(list, "counter", |_| {});
        match self {
            Self::Count => {}
            Self::Accept => write_verdict(list, k::VERDICT_ACCEPT),
            Self::Drop => write_verdict(list, k::VERDICT_DROP),
            Self::RejectTcpReset => write_reject(list, k::REJECT_TCP_RST, 0),
            Self::RejectIcmp { code } | Self::RejectIcmp6 { code } => {
                write_reject(list, k::REJECT_ICMP, code)
            }
            Self::SourceNat(address) => write_nat(list, k::NAT_SOURCE, address, None),
            Self::Masquerade => expression(list, "masq", |_| {}),
            Self::DestinationNat { address, port } => write_nat(list, k::NAT_DESTINATION, address, port),
        }
    }

    /// The family whose packets it can be done to; absent for all.
    fn version(self) -> Option<IpVersion> {
        match self {
            Self::RejectIcmp { .. } => Some(IpVersion::V4),
            Self::RejectIcmp6 { .. } => Some(IpVersion::V6),
            Self::SourceNat(address) | Self::DestinationNat { address, .. } => Some(IpVersion::of(address)),
            Self::Count | Self::Accept | Self::Drop | Self::RejectTcpReset | Self::Masquerade => None,
        }
    }
}

/// `{ name, data }`, one element of a rule's list.
fn expression(list: &mut Nest, name: &str, fill: impl FnOnce(&mut Nest)) {
    list.nested(k::LIST_ELEM, |element| {
        element.text(k::EXPR_NAME, name).nested(k::EXPR_DATA, fill);
    });
}

fn write_meta(list: &mut Nest, key: u32) {
    expression(list, "meta", |data| {
        data.be32(k::META_DREG, k::REGISTER_1).be32(k::META_KEY, key);
    });
}

fn write_payload(list: &mut Nest, base: u32, offset: u32, length: u32) {
    expression(list, "payload", |data| {
        data.be32(k::PAYLOAD_DREG, k::REGISTER_1)
            .be32(k::PAYLOAD_BASE, base)
            .be32(k::PAYLOAD_OFFSET, offset)
            .be32(k::PAYLOAD_LEN, length);
    });
}

fn write_compare(list: &mut Nest, op: u32, value: &[u8]) {
    expression(list, "cmp", |data| {
        data.be32(k::CMP_SREG, k::REGISTER_1)
            .be32(k::CMP_OP, op)
            .nested(k::CMP_DATA, |inner| {
                inner.bytes(k::DATA_VALUE, value);
            });
    });
}

fn write_interface(list: &mut Nest, key: u32, name: &str) {
    // The kernel holds names in 16 octets, padded with zeros.
    let mut padded = [0; INTERFACE_NAME_BYTES];
    for (slot, octet) in padded.iter_mut().zip(name.bytes()) {
        *slot = octet;
    }
    write_meta(list, key);
    write_compare(list, k::CMP_EQ, &padded);
}

fn write_nfproto(list: &mut Nest, family: u8) {
    write_meta(list, k::META_KEY_NFPROTO);
    write_compare(list, k::CMP_EQ, &[family]);
}

fn write_network(list: &mut Nest, family: Family, address: IpAddr, prefix: u8, source: bool) {
    let (octets, offset) = match address {
        IpAddr::V4(v4) => (v4.octets().to_vec(), if source { 12 } else { 16 }),
        IpAddr::V6(v6) => (v6.octets().to_vec(), if source { 8 } else { 24 }),
    };
    write_version(list, family, IpVersion::of(address));
    let mask: Vec<u8> = (0..octets.len())
        .map(|index| {
            let bits = usize::from(prefix).saturating_sub(index * 8).min(8);
            0xff_u8
                .checked_shl(u32::try_from(8 - bits).unwrap_or(0))
                .unwrap_or(0)
        })
        .collect();
    let network: Vec<u8> = octets
        .iter()
        .zip(&mask)
        .map(|(octet, bits)| octet & bits)
        .collect();
    let length = u32::try_from(octets.len()).unwrap_or(0);
    write_payload(list, k::PAYLOAD_NETWORK, offset, length);
    if mask.iter().any(|bits| *bits != 0xff) {
        write_mask(list, &mask);
    }
    write_compare(list, k::CMP_EQ, &network);
}

/// Leaves of the first register's value what the mask has.
fn write_mask(list: &mut Nest, mask: &[u8]) {
    expression(list, "bitwise", |data| {
        data.be32(k::BITWISE_SREG, k::REGISTER_1)
            .be32(k::BITWISE_DREG, k::REGISTER_1)
            .be32(k::BITWISE_LEN, u32::try_from(mask.len()).unwrap_or(0))
            .nested(k::BITWISE_MASK, |inner| {
                inner.bytes(k::DATA_VALUE, mask);
            })
            .nested(k::BITWISE_XOR, |inner| {
                inner.bytes(k::DATA_VALUE, &vec![0; mask.len()]);
            });
    });
}

/// In a table that sees packets of several families.
fn write_version(list: &mut Nest, family: Family, version: IpVersion) {
    match family {
        Family::Inet => write_nfproto(list, version.number()),
        Family::Bridge => {
            let ether_type: u16 = match version {
                IpVersion::V4 => 0x0800,
                IpVersion::V6 => 0x86dd,
            };
            write_meta(list, k::META_KEY_PROTOCOL);
            write_compare(list, k::CMP_EQ, &ether_type.to_be_bytes());
        }
        Family::Ip | Family::Ip6 => {}
    }
}

/// The total length of an IPv4 header (RFC 791), or the payload length of an IPv6 header (RFC 8200), in the network's order.
fn write_longer_than(family: Family, list: &mut Nest, version: IpVersion, octets: u16) {
    write_version(list, family, version);
    let (offset, least) = match version {
        IpVersion::V4 => (2, octets.saturating_add(1)),
        IpVersion::V6 => (4, octets.saturating_add(1).saturating_sub(IPV6_HEADER)),
    };
    write_payload(list, k::PAYLOAD_NETWORK, offset, 2);
    write_compare(list, k::CMP_GTE, &least.to_be_bytes());
}

/// IPv4: neither flags nor offset are those of a whole packet, which may have "don't fragment" alone. IPv6: the next header.
fn write_fragment(family: Family, list: &mut Nest, version: IpVersion) {
    write_version(list, family, version);
    match version {
        IpVersion::V4 => {
            write_payload(list, k::PAYLOAD_NETWORK, 6, 2);
            for whole in [0x0000u16, 0x4000] {
                write_compare(list, k::CMP_NEQ, &whole.to_be_bytes());
            }
        }
        IpVersion::V6 => {
            write_payload(list, k::PAYLOAD_NETWORK, 6, 1);
            write_compare(list, k::CMP_EQ, &[FRAGMENT_HEADER]);
        }
    }
}

const IPV6_HEADER: u16 = 40;
/// The next header of an IPv6 fragment (RFC 8200 section 4.5).
const FRAGMENT_HEADER: u8 = 44;

fn write_tcp_reset(list: &mut Nest) {
    write_payload(list, k::PAYLOAD_TRANSPORT, TCP_FLAGS_OFFSET, 1);
    write_mask(list, &[TCP_RST]);
    write_compare(list, k::CMP_NEQ, &[0]);
}

fn write_new_connection(list: &mut Nest) {
    expression(list, "ct", |data| {
        data.be32(k::CT_DREG, k::REGISTER_1)
            .be32(k::CT_KEY, k::CT_KEY_STATE);
    });
    // Unlike what stands in packets, the state is a number in the host's order.
    write_mask(list, &k::CT_STATE_NEW.to_ne_bytes());
    write_compare(list, k::CMP_NEQ, &[0; 4]);
}

fn write_connection_limit(list: &mut Nest, count: u32) {
    expression(list, "connlimit", |data| {
        data.be32(k::CONNLIMIT_COUNT, count)
            .be32(k::CONNLIMIT_FLAGS, k::CONNLIMIT_OVER);
    });
}

fn write_transport(list: &mut Nest, transport: Transport) {
    write_meta(list, k::META_KEY_L4PROTO);
    write_compare(list, k::CMP_EQ, &[transport.number()]);
}

fn write_ports(list: &mut Nest, transport: Transport, offset: u32, first: u16, last: u16) {
    write_transport(list, transport);
    write_payload(list, k::PAYLOAD_TRANSPORT, offset, 2);
    if first == last {
        write_compare(list, k::CMP_EQ, &first.to_be_bytes());
    } else {
        write_compare(list, k::CMP_GTE, &first.to_be_bytes());
        write_compare(list, k::CMP_LTE, &last.to_be_bytes());
    }
}

fn write_chance(list: &mut Nest, below: u32, of: u32) {
    expression(list, "numgen", |data| {
        data.be32(k::NUMGEN_DREG, k::REGISTER_1)
            .be32(k::NUMGEN_MODULUS, of)
            .be32(k::NUMGEN_TYPE, k::NUMGEN_RANDOM);
    });
    // Comparisons go octet by octet, so the number has to be big endian first.
    expression(list, "byteorder", |data| {
        data.be32(k::BYTEORDER_SREG, k::REGISTER_1)
            .be32(k::BYTEORDER_DREG, k::REGISTER_1)
            .be32(k::BYTEORDER_OP, k::BYTEORDER_HTON)
            .be32(k::BYTEORDER_LEN, 4)
            .be32(k::BYTEORDER_SIZE, 4);
    });
    write_compare(list, k::CMP_LT, &below.to_be_bytes());
}

fn write_verdict(list: &mut Nest, code: u32) {
    expression(list, "immediate", |data| {
        data.be32(k::IMMEDIATE_DREG, k::REGISTER_VERDICT)
            .nested(k::IMMEDIATE_DATA, |inner| {
                inner.nested(k::DATA_VERDICT, |verdict| {
                    verdict.be32(k::VERDICT_CODE, code);
                });
            });
    });
}

/// Puts octets into a register.
fn write_value(list: &mut Nest, register: u32, octets: &[u8]) {
    expression(list, "immediate", |data| {
        data.be32(k::IMMEDIATE_DREG, register)
            .nested(k::IMMEDIATE_DATA, |inner| {
                inner.bytes(k::DATA_VALUE, octets);
            });
    });
}

fn write_nat(list: &mut Nest, kind: u32, address: IpAddr, port: Option<u16>) {
    match address {
        IpAddr::V4(v4) => write_value(list, k::REGISTER_1, &v4.octets()),
        IpAddr::V6(v6) => write_value(list, k::REGISTER_1, &v6.octets()),
    }
    if let Some(port) = port {
        write_value(list, k::REGISTER_2, &port.to_be_bytes());
    }
    expression(list, "nat", |data| {
        data.be32(k::NAT_TYPE, kind)
            .be32(k::NAT_FAMILY, IpVersion::of(address).number().into())
            .be32(k::NAT_ADDRESS_SREG, k::REGISTER_1);
        if port.is_some() {
            data.be32(k::NAT_PORT_SREG, k::REGISTER_2);
        }
    });
}

fn write_reject(list: &mut Nest, kind: u32, code: u8) {
    expression(list, "reject", |data| {
        data.be32(k::REJECT_TYPE, kind);
        if kind == k::REJECT_ICMP {
            data.u8(k::REJECT_ICMP_CODE, code);
        }
    });
}

/// `IFNAMSIZ`.
const INTERFACE_NAME_BYTES: usize = 16;
/// RFC 9293 section 3.1.
const TCP_FLAGS_OFFSET: u32 = 13;
const TCP_RST: u8 = 0x04;
