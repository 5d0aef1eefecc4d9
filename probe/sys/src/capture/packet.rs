//! What a captured packet is, read from octets that anybody may have sent: every length is checked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A packet that tells something about a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// A TCP segment.
    Tcp(TcpSegment),
    /// A UDP datagram.
    Udp(UdpDatagram),
    /// An ICMP or ICMPv6 error.
    IcmpError(IcmpError),
}

/// A TCP segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpSegment {
    /// Its addresses and ports.
    pub tuple: Tuple,
    /// Its flags, as in the header.
    pub flags: u8,
}

/// A UDP datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpDatagram {
    /// Its addresses and ports.
    pub tuple: Tuple,
    /// What it carries, as much of it as was captured.
    pub payload: Vec<u8>,
}

/// An ICMP error and the packet that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IcmpError {
    /// Who sends it.
    pub source: IpAddr,
    /// Who is told.
    pub destination: IpAddr,
    /// Type.
    pub icmp_type: u8,
    /// Code.
    pub code: u8,
    /// Protocol of the quoted packet.
    pub quoted_protocol: u8,
    /// Addresses and ports of the quoted packet.
    pub quoted: Tuple,
}

/// Who talks to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tuple {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
}

impl Packet {
    /// Reads a packet that starts with its IP header. `None` for anything else than TCP, UDP and ICMP errors, for later
    /// fragments and for what is cut off within its headers.
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let (header, rest) = Header::parse(octets)?;
        match header.protocol {
            TCP => {
                let (source_port, destination_port) = ports(rest)?;
                let flags = *rest.get(13)?;
                let tuple = header.tuple(source_port, destination_port);
                Some(Self::Tcp(TcpSegment { tuple, flags }))
            }
            UDP => {
                let (source_port, destination_port) = ports(rest)?;
                Some(Self::Udp(UdpDatagram {
                    tuple: header.tuple(source_port, destination_port),
                    payload: rest.get(UDP_HEADER_LEN..)?.to_vec(),
                }))
            }
            ICMP if header.source.is_ipv4() => icmp_error(&header, rest, &ICMP_ERRORS),
            ICMPV6 if header.source.is_ipv6() => icmp_error(&header, rest, &ICMPV6_ERRORS),
            _ => None,
        }
    }
}

impl TcpSegment {
    /// A question: SYN without ACK.
    pub fn is_question(&self) -> bool {
        self.flags & (SYN | ACK | RST) == SYN
    }

    /// An answer: SYN with ACK.
    pub fn is_answer(&self) -> bool {
        self.flags & (SYN | ACK | RST) == SYN | ACK
    }

    /// A reset.
    pub fn is_reset(&self) -> bool {
        self.flags & RST != 0
    }
}

/// What is needed of an IP header.
struct Header {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
}

impl Header {
    /// The header, and what follows it.
    fn parse(octets: &[u8]) -> Option<(Self, &[u8])> {
        match octets.first()? >> 4 {
            4 => Self::parse_v4(octets),
            6 => Self::parse_v6(octets),
            _ => None,
        }
    }

    fn parse_v4(octets: &[u8]) -> Option<(Self, &[u8])> {
        let fixed = octets.first_chunk::<20>()?;
        let length = usize::from(fixed[0] & 0x0f) * 4;
        let fragment_offset = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x1fff;
        if length < fixed.len() || fragment_offset != 0 {
            return None;
        }
        let address = |at: usize| Some(Ipv4Addr::from(*octets.get(at..)?.first_chunk::<4>()?).into());
        let header = Self {
            source: address(12)?,
            destination: address(16)?,
            protocol: fixed[9],
        };
        Some((header, octets.get(length..)?))
    }

    /// Extension headers are skipped, a bounded number of them (RFC 8200, section 4): our tests carry none, but what is on
    /// the way may add some, and errors quote what they saw.
    ///
    /// ```text
    ///   next header (1) | length (1) | ...      in units of 8 octets, the first not counted; of a fragment header always 8
    /// ```
    fn parse_v6(octets: &[u8]) -> Option<(Self, &[u8])> {
        let fixed = octets.first_chunk::<40>()?;
        let address = |at: usize| Some(Ipv6Addr::from(*octets.get(at..)?.first_chunk::<16>()?).into());
        let (mut protocol, mut rest) = (fixed[6], octets.get(40..)?);
        for _ in 0..EXTENSIONS {
            let length = match (protocol, rest.get(1)) {
                (FRAGMENT, Some(_)) => {
                    let offset = u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]) & 0xfff8;
                    if offset != 0 {
                        return None;
                    }
                    8
                }
                (HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS, Some(length)) => (usize::from(*length) + 1) * 8,
                _ => break,
            };
            (protocol, rest) = (*rest.first()?, rest.get(length..)?);
        }
        let header = Self {
            source: address(8)?,
            destination: address(24)?,
            protocol,
        };
        Some((header, rest))
    }

    fn tuple(&self, source_port: u16, destination_port: u16) -> Tuple {
        Tuple {
            source: self.source,
            destination: self.destination,
            source_port,
            destination_port,
        }
    }
}

/// Type, code, checksum, four octets by type, then the packet that it is about: its IP header and at least eight octets.
fn icmp_error(header: &Header, octets: &[u8], errors: &[u8]) -> Option<Packet> {
    let [icmp_type, code, ..] = *octets else {
        return None;
    };
    if !errors.contains(&icmp_type) {
        return None;
    }
    let (quoted, rest) = Header::parse(octets.get(8..)?)?;
    let (source_port, destination_port) = ports(rest)?;
    Some(Packet::IcmpError(IcmpError {
        source: header.source,
        destination: header.destination,
        icmp_type,
        code,
        quoted_protocol: quoted.protocol,
        quoted: quoted.tuple(source_port, destination_port),
    }))
}

fn ports(transport: &[u8]) -> Option<(u16, u16)> {
    let [a, b, c, d] = *transport.first_chunk::<4>()?;
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
/// Ports, length, checksum (RFC 768).
const UDP_HEADER_LEN: usize = 8;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;
/// Each of the four kinds may occur once, destination options twice; a chain that goes on is nobody's test.
const EXTENSIONS: usize = 5;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
/// Destination unreachable, time exceeded, parameter problem (RFC 792).
const ICMP_ERRORS: [u8; 3] = [3, 11, 12];
/// Destination unreachable, packet too big, time exceeded, parameter problem (RFC 4443).
const ICMPV6_ERRORS: [u8; 4] = [1, 2, 3, 4];
