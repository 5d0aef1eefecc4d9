//! What a rule can ask about the packet under way: its octets, what the kernel and connection tracking know of it.

use std::net::IpAddr;

use super::{
    Connection, Hook, Packet, Passage, PayloadBase, Ruleset,
    register::{Cell, known},
    xt,
};
use crate::port::{Family, Protocol};

/// The packet while it walks: rules may change its mark or its octets.
#[derive(Debug, Clone)]
pub(super) struct Traveller<'a> {
    pub(super) packet: &'a Packet,
    ruleset: &'a Ruleset,
    /// Network header, then what is known of the transport header.
    octets: Vec<Cell>,
    network_length: usize,
    pub(super) mark: Vec<Cell>,
    connection_mark: Vec<Cell>,
    untracked: bool,
    hook: Hook,
    priority: i32,
}

/// What an expression loads.
#[derive(Debug)]
pub(super) enum Loaded {
    Value(Vec<Cell>),
    /// The kernel ends the rule: there is nothing to load.
    Nothing,
}

impl<'a> Traveller<'a> {
    pub(super) fn new(ruleset: &'a Ruleset, packet: &'a Packet) -> Self {
        let mut octets = network_header(packet);
        let network_length = octets.len();
        octets.extend(transport_header(packet));
        let connection_mark = match packet.connection {
            Connection::New => known(&[0; 4]),
            Connection::Established => vec![Cell::UNKNOWN; 4],
        };
        Self {
            packet,
            ruleset,
            octets,
            network_length,
            mark: known(&[0; 4]),
            connection_mark,
            untracked: false,
            hook: Hook::Ingress,
            priority: 0,
        }
    }

    pub(super) fn enter(&mut self, hook: Hook, priority: i32) {
        self.hook = hook;
        self.priority = priority;
    }

    pub(super) fn notrack(&mut self) {
        self.untracked = true;
    }

    pub(super) fn set_mark(&mut self, cells: Vec<Cell>) {
        self.mark = cells;
    }

    /// A rule changed what connection tracking remembers (a mark, a zone, a helper).
    pub(super) fn forget_connection(&mut self) {
        self.connection_mark = vec![Cell::UNKNOWN; 4];
    }

    pub(super) fn forget_payload(&mut self, base: PayloadBase, offset: u32, length: u32) {
        if let Some(start) = self.payload_start(base, offset) {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            self.octets
                .iter_mut()
                .skip(start)
                .take(length)
                .for_each(|cell| *cell = Cell::UNKNOWN);
        }
    }

    pub(super) fn payload(&self, base: PayloadBase, offset: u32, length: u32) -> Vec<Cell> {
        let start = self.payload_start(base, offset).unwrap_or(usize::MAX);
        // The kernel loads at most 16 registers of four octets.
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(64);
        (0..length)
            .map(|index| {
                let at = start.checked_add(index).and_then(|at| self.octets.get(at));
                at.copied().unwrap_or(Cell::UNKNOWN)
            })
            .collect()
    }

    fn payload_start(&self, base: PayloadBase, offset: u32) -> Option<usize> {
        let offset = usize::try_from(offset).ok()?;
        match base {
            PayloadBase::Network => Some(offset),
            PayloadBase::Transport => self.network_length.checked_add(offset),
            PayloadBase::Link | PayloadBase::Inner => None,
        }
    }

    /// `NFT_META_*`.
    pub(super) fn meta(&self, key: u32) -> Vec<Cell> {
        let family = self.packet.family();
        match key {
            1 => known(&if family == Family::Ipv4 {
                [0x08, 0x00]
            } else {
                [0x86, 0xdd]
            }),
            3 => self.mark.clone(),
            4 => self.index(self.in_interface()),
            5 => self.index(self.out_interface()),
            6 => name(self.in_interface()),
            7 => name(self.out_interface()),
            8 => device_type(self.in_interface()),
            9 => device_type(self.out_interface()),
            // Not traced.
            12 => known(&[0]),
            15 => known(&[nfproto(family)]),
            16 => known(&[protocol_number(self.packet.protocol)]),
            // PACKET_HOST: tests are unicast.
            19 if matches!(self.packet.passage, Passage::Incoming { .. }) => known(&[0]),
            _ => vec![Cell::UNKNOWN; 16],
        }
    }

    /// `NFT_CT_*`.
    pub(super) fn connection(&self, key: u32, direction: Option<u8>) -> Loaded {
        if key == CT_STATE {
            return Loaded::Value(known(&self.connection_state().to_le_bytes()));
        }
        if self.untracked || self.before_tracking() {
            return Loaded::Nothing;
        }
        let is_new = self.packet.connection == Connection::New;
        let unknown = || vec![Cell::UNKNOWN; 16];
        let by_direction = |original: &dyn Fn() -> Vec<Cell>, reply: &dyn Fn() -> Vec<Cell>| match direction {
            Some(0) if is_new => original(),
            Some(1) if is_new => reply(),
            _ => unknown(),
        };
        let packet = self.packet;
        Loaded::Value(match key {
            // Direction: the question's.
            1 if is_new => known(&[0]),
            // Status: not translated, as far as is known; whether translation was considered is not.
            2 if is_new => [
                &[Cell::partial(0, 0x7f), Cell::partial(0, 0xfe)][..],
                &known(&[0, 0]),
            ]
            .concat(),
            2 => vec![
                Cell::partial(0, 0x30),
                Cell::UNKNOWN,
                Cell::UNKNOWN,
                Cell::UNKNOWN,
            ],
            3 => self.connection_mark.clone(),
            // Helper: none is attached to what we send.
            6 => return Loaded::Nothing,
            7 => known(&[nfproto(packet.family())]),
            10 => known(&[protocol_number(packet.protocol)]),
            8 | 19 | 21 => by_direction(&|| address(packet.source), &|| address(packet.destination)),
            9 | 20 | 22 => by_direction(&|| address(packet.destination), &|| address(packet.source)),
            11 => by_direction(&|| port(packet.source_port), &|| port(packet.destination_port)),
            12 => by_direction(&|| port(packet.destination_port), &|| port(packet.source_port)),
            _ => unknown(),
        })
    }

    /// One bit of `NF_CT_STATE_*`.
    pub(super) fn connection_state(&self) -> u32 {
        const INVALID: u32 = 1;
        const ESTABLISHED: u32 = 2;
        const NEW: u32 = 8;
        const UNTRACKED: u32 = 64;
        if self.untracked {
            UNTRACKED
        } else if self.before_tracking() {
            INVALID
        } else {
            match self.packet.connection {
                Connection::New => NEW,
                Connection::Established => ESTABLISHED,
            }
        }
    }

    /// `NFT_FIB_RESULT_ADDRTYPE` of the source or the destination; everything else about routes is unknown.
    pub(super) fn route(&self, result: u32, flags: u32) -> Vec<Cell> {
        const SOURCE: u32 = 1;
        const DESTINATION: u32 = 2;
        let kind = match (result, flags) {
            (FIB_ADDRTYPE, SOURCE) => xt::source_type(self.packet),
            (FIB_ADDRTYPE, DESTINATION) => xt::destination_type(self.packet),
            _ => None,
        };
        kind.map_or_else(|| vec![Cell::UNKNOWN; 16], |kind| known(&kind.to_le_bytes()))
    }

    /// Connection tracking looks at a packet at priority -200 of the first hook that it passes.
    fn before_tracking(&self) -> bool {
        match self.hook {
            Hook::Ingress => true,
            Hook::Prerouting | Hook::Output => self.priority < CONNTRACK_PRIORITY,
            Hook::Input | Hook::Forward | Hook::Postrouting | Hook::Egress | Hook::Unknown => false,
        }
    }

    fn in_interface(&self) -> Interface<'_> {
        let name = match &self.packet.passage {
            Passage::Incoming { interface } => Some(interface),
            Passage::Forwarded { from, .. } => Some(from),
            Passage::Outgoing { .. } => None,
        };
        match (self.hook, name) {
            // Kernels differ in whether a forwarded packet still has its input device here.
            (Hook::Postrouting | Hook::Egress, Some(_)) => Interface::Unknown,
            (_, Some(name)) => Interface::Is(name),
            (_, None) => Interface::Absent,
        }
    }

    fn out_interface(&self) -> Interface<'_> {
        match (self.hook, &self.packet.passage) {
            (Hook::Ingress | Hook::Prerouting | Hook::Input, _) | (_, Passage::Incoming { .. }) => {
                Interface::Absent
            }
            (_, Passage::Outgoing { interface }) => Interface::Is(interface),
            (_, Passage::Forwarded { to, .. }) => Interface::Is(to),
        }
    }

    fn index(&self, interface: Interface<'_>) -> Vec<Cell> {
        match interface {
            Interface::Absent => known(&[0; 4]),
            // The loopback device is the first of every namespace.
            Interface::Is("lo") => known(&1_u32.to_le_bytes()),
            Interface::Is(name) => match self.ruleset.interface_index(name) {
                Some(index) => known(&index.to_le_bytes()),
                None => vec![Cell::UNKNOWN; 4],
            },
            Interface::Unknown => vec![Cell::UNKNOWN; 4],
        }
    }
}

/// A device at a hook.
#[derive(Debug, Clone, Copy)]
enum Interface<'a> {
    Is(&'a str),
    Absent,
    Unknown,
}

fn name(interface: Interface<'_>) -> Vec<Cell> {
    let text = match interface {
        Interface::Is(name) => name,
        Interface::Absent => "",
        Interface::Unknown => return vec![Cell::UNKNOWN; IFNAMSIZ],
    };
    let mut padded = [0; IFNAMSIZ];
    padded
        .iter_mut()
        .zip(text.bytes())
        .for_each(|(slot, octet)| *slot = octet);
    known(&padded)
}

fn device_type(interface: Interface<'_>) -> Vec<Cell> {
    const ARPHRD_LOOPBACK: u16 = 772;
    match interface {
        Interface::Is("lo") => known(&ARPHRD_LOOPBACK.to_le_bytes()),
        _ => vec![Cell::UNKNOWN; 4],
    }
}

fn address(address: IpAddr) -> Vec<Cell> {
    match address {
        IpAddr::V4(v4) => known(&v4.octets()),
        IpAddr::V6(v6) => known(&v6.octets()),
    }
}

fn port(port: Option<u16>) -> Vec<Cell> {
    port.map_or_else(|| vec![Cell::UNKNOWN; 2], |port| known(&port.to_be_bytes()))
}

fn nfproto(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 2,
        Family::Ipv6 => 10,
    }
}

fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Icmp => 1,
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Ip(number) => number,
    }
}

/// No options, not fragmented; what the sender's kernel fills in (length, identification, TTL, checksum) is unknown.
fn network_header(packet: &Packet) -> Vec<Cell> {
    let unknown = |count: usize| vec![Cell::UNKNOWN; count];
    let protocol = known(&[protocol_number(packet.protocol)]);
    let (source, destination) = (address(packet.source), address(packet.destination));
    match packet.family() {
        Family::Ipv4 => [
            known(&[0x45]),
            unknown(5),
            // Only "do not fragment" may be set.
            vec![Cell::partial(0, 0xbf), Cell::known(0)],
            unknown(1),
            protocol,
            unknown(2),
            source,
            destination,
        ]
        .concat(),
        Family::Ipv6 => [
            vec![Cell::partial(0x60, 0xf0)],
            unknown(5),
            protocol,
            unknown(1),
            source,
            destination,
        ]
        .concat(),
    }
}

/// Ports, and the flags of TCP; what is beyond is unknown.
fn transport_header(packet: &Packet) -> Vec<Cell> {
    let ports = [port(packet.source_port), port(packet.destination_port)].concat();
    match packet.protocol {
        Protocol::Tcp => [ports, vec![Cell::UNKNOWN; 9], known(&[packet.tcp_flags])].concat(),
        Protocol::Udp => ports,
        Protocol::Icmp | Protocol::Ip(_) => Vec::new(),
    }
}

/// `NFT_CT_STATE`.
const CT_STATE: u32 = 0;
/// `NFT_FIB_RESULT_ADDRTYPE`.
const FIB_ADDRTYPE: u32 = 3;
/// `NF_IP_PRI_CONNTRACK`.
const CONNTRACK_PRIORITY: i32 = -200;
/// Octets of an interface name in the kernel.
const IFNAMSIZ: usize = 16;
