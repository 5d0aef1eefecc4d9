//! The packet that is put to a ruleset.

use std::net::IpAddr;

use crate::port::{Family, Protocol};

/// A packet as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packet {
    /// How it passes the host.
    pub passage: Passage,
    /// Transport.
    pub protocol: Protocol,
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// Source port; absent if it is not known, so that a rule about it cannot be decided.
    pub source_port: Option<u16>,
    /// Destination port.
    pub destination_port: Option<u16>,
    /// TCP flags as in the header (SYN is 2, ACK 16); not used for other protocols.
    pub tcp_flags: u8,
    /// What connection tracking would say.
    pub connection: Connection,
}

/// How a packet passes a host, by interface names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Passage {
    /// To a local socket.
    Incoming {
        /// Where it comes in.
        interface: String,
    },
    /// From a local socket.
    Outgoing {
        /// Where it goes out.
        interface: String,
    },
    /// Through the host.
    Forwarded {
        /// Where it comes in.
        from: String,
        /// Where it goes out.
        to: String,
    },
}

/// What connection tracking knows of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Connection {
    /// The first packet of a connection.
    New,
    /// An answer, or any later packet.
    Established,
}

impl Packet {
    /// The first segment of a TCP connection to a local port.
    pub fn incoming_syn(interface: &str, source: IpAddr, destination: IpAddr, port: u16) -> Self {
        Self::incoming(interface, Protocol::Tcp, source, destination, port)
    }

    /// The first packet to a local port: a SYN, or a datagram that begins a conversation.
    pub fn incoming(
        interface: &str,
        protocol: Protocol,
        source: IpAddr,
        destination: IpAddr,
        port: u16,
    ) -> Self {
        Self {
            passage: Passage::Incoming {
                interface: interface.to_owned(),
            },
            protocol,
            source,
            destination,
            source_port: None,
            destination_port: Some(port),
            tcp_flags: SYN,
            connection: Connection::New,
        }
    }

    /// The first packet that a local process sends to a port elsewhere.
    pub fn outgoing(
        interface: &str,
        protocol: Protocol,
        source: IpAddr,
        destination: IpAddr,
        port: u16,
    ) -> Self {
        let passage = Passage::Outgoing {
            interface: interface.to_owned(),
        };
        Self {
            passage,
            ..Self::incoming(interface, protocol, source, destination, port)
        }
    }

    /// The first segment of a TCP connection that a local process opens.
    pub fn outgoing_syn(interface: &str, source: IpAddr, destination: IpAddr, port: u16) -> Self {
        Self::outgoing(interface, Protocol::Tcp, source, destination, port)
    }

    /// The answer (SYN-ACK, or a datagram back) that the same host gives to a question of which this is the incoming end,
    /// or receives to one of which this is the outgoing end.
    #[must_use]
    pub fn answer(&self) -> Self {
        Self {
            passage: match &self.passage {
                Passage::Incoming { interface } => Passage::Outgoing {
                    interface: interface.clone(),
                },
                Passage::Outgoing { interface } => Passage::Incoming {
                    interface: interface.clone(),
                },
                Passage::Forwarded { from, to } => Passage::Forwarded {
                    from: to.clone(),
                    to: from.clone(),
                },
            },
            protocol: self.protocol,
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            tcp_flags: SYN | ACK,
            connection: Connection::Established,
        }
    }

    /// The family of its addresses.
    pub fn family(&self) -> Family {
        Family::of(self.destination)
    }
}

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
