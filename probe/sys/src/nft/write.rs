//! Changing the packet filter: tables, base chains and simple rules, all of a batch or nothing.

use std::net::IpAddr;

use super::kernel as k;
use crate::netlink::{self, Message, Nest, Socket};

/// Changes that the kernel makes together or not at all.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    changes: Vec<Message>,
}

/// Which packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet,
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
}

/// Where a base chain is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Before the routing decision.
    Prerouting,
    /// On the way to a local socket.
    Input,
    /// On the way through.
    Forward,
    /// From a local socket.
    Output,
    /// After the routing decision.
    Postrouting,
}

/// What becomes of packets that reach the end of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// They pass.
    Accept,
    /// They are dropped.
    Drop,
}

/// A transport with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A condition of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// The packet came in by this interface.
    InInterface(String),
    /// The packet leaves by this interface.
    OutInterface(String),
    /// The source address is in this network.
    Source(IpAddr, u8),
    /// The destination address is in this network.
    Destination(IpAddr, u8),
    /// The transport is this one.
    Transport(Transport),
    /// The transport is this one, and the source port is from the first to the last number.
    SourcePorts(Transport, u16, u16),
    /// The transport is this one, and the destination port is from the first to the last number.
    DestinationPorts(Transport, u16, u16),
    /// By chance, in `below` of `of` cases.
    Chance {
        /// Cases that match.
        below: u32,
        /// All cases, from 1.
        of: u32,
    },
}

/// What a rule does with what it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing but counting.
    Count,
    /// On to the next base chain.
    Accept,
    /// The end, silently.
    Drop,
    /// The end, with a TCP RST (the packet has to be TCP).
    RejectTcpReset,
    /// The end, with an ICMP destination unreachable of this code; in an inet table the matches have to name IPv4 addresses
    /// or the kernel refuses the rule, which is why the family is matched here as well.
    RejectIcmp {
        /// Code of type 3.
        code: u8,
    },
}

/// A rule to be added; every rule counts what it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRule {
    /// Conditions, all of which have to hold.
    pub matches: Vec<Match>,
    /// What is done.
    pub action: Action,
}

/// Why a batch was not made.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The kernel refused one change, and with it all.
    #[error("change the packet filter: change {change} of the batch")]
    Refused {
        /// Which change, from 0 in the order in which they were added.
        change: usize,
        /// What the kernel said.
        #[source]
        source: netlink::Error,
    },
    /// The exchange failed.
    #[error("change the packet filter")]
    Exchange(#[source] netlink::Error),
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a table; one that exists is left as it is.
    pub fn create_table(&mut self, family: Family, table: &str) -> &mut Self {
        let message = change(k::MSG_NEWTABLE, NLM_F_CREATE, family).with(|top| {
            top.text(k::TABLE_NAME, table);
        });
        self.push(message)
    }

    /// Deletes a table with everything in it. The batch fails with ENOENT if there is none.
    pub fn delete_table(&mut self, family: Family, table: &str) -> &mut Self {
        let message = change(k::MSG_DELTABLE, 0, family).with(|top| {
            top.text(k::TABLE_NAME, table);
        });
        self.push(message)
    }

    /// Creates a filter chain at a hook. Chains of lower priority come first; 0 is where filters usually are.
    pub fn create_base_chain(
        &mut self,
        family: Family,
        table: &str,
        chain: &str,
        hook: Hook,
        priority: i32,
        policy: Policy,
    ) -> &mut Self {
        let message = change(k::MSG_NEWCHAIN, NLM_F_CREATE, family).with(|top| {
            top.text(k::CHAIN_TABLE, table)
                .text(k::CHAIN_NAME, chain)
                .nested(k::CHAIN_HOOK, |inner| {
                    inner
                        .be32(k::HOOK_HOOKNUM, hook.number())
                        .be32(k::HOOK_PRIORITY, priority.cast_unsigned());
                })
                .be32(k::CHAIN_POLICY, policy.number())
                .text(k::CHAIN_TYPE, "filter");
        });
        self.push(message)
    }

    /// Adds a rule at the end of a chain.
    pub fn append_rule(&mut self, family: Family, table: &str, chain: &str, rule: &NewRule) -> &mut Self {
        let message = change(k::MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, family).with(|top| {
            top.text(k::RULE_TABLE, table)
                .text(k::RULE_CHAIN, chain)
                .nested(k::RULE_EXPRESSIONS, |list| {
                    for condition in &rule.matches {
                        condition.write(family, list);
                    }
                    rule.action.write(family, list);
                });
        });
        self.push(message)
    }

    /// Makes the changes.
    ///
    /// # Errors
    /// [`WriteError::Refused`] with the change that the kernel refused; nothing has changed then.
    pub fn commit(self, socket: &mut Socket) -> Result<(), WriteError> {
        let mut messages = Vec::with_capacity(self.changes.len() + 2);
        messages.push(batch_mark(k::BATCH_BEGIN));
        messages.extend(self.changes);
        messages.push(batch_mark(k::BATCH_END));
        socket.transact(messages).map_err(|error| match error {
            // Index 0 is the mark that begins the batch.
            netlink::Error::Refused { index, .. } if index > 0 => WriteError::Refused {
                change: index - 1,
                source: error,
            },
            other => WriteError::Exchange(other),
        })
    }

    fn push(&mut self, message: Message) -> &mut Self {
        self.changes.push(message.acknowledged());
        self
    }
}

impl WriteError {
    /// The errno with which the kernel refused, if that is what happened.
    pub fn refused_errno(&self) -> Option<i32> {
        match self {
            Self::Refused { source, .. } | Self::Exchange(source) => source.refused_errno(),
        }
    }
}

impl Family {
    fn number(self) -> u8 {
        match self {
            Self::Inet => NFPROTO_INET,
            Self::Ip => NFPROTO_IPV4,
            Self::Ip6 => NFPROTO_IPV6,
        }
    }
}

impl Hook {
    fn number(self) -> u32 {
        match self {
            Self::Prerouting => 0,
            Self::Input => 1,
            Self::Forward => 2,
            Self::Output => 3,
            Self::Postrouting => 4,
        }
    }
}

impl Policy {
    fn number(self) -> u32 {
        match self {
            Self::Accept => k::VERDICT_ACCEPT,
            Self::Drop => k::VERDICT_DROP,
        }
    }
}

impl Transport {
    fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

impl Match {
    fn write(&self, family: Family, list: &mut Nest) {
        match self {
            Self::InInterface(name) => write_interface(list, k::META_KEY_IIFNAME, name),
            Self::OutInterface(name) => write_interface(list, k::META_KEY_OIFNAME, name),
            Self::Source(address, prefix) => write_network(list, family, *address, *prefix, true),
            Self::Destination(address, prefix) => write_network(list, family, *address, *prefix, false),
            Self::Transport(transport) => write_transport(list, *transport),
            Self::SourcePorts(transport, first, last) => write_ports(list, *transport, 0, *first, *last),
            Self::DestinationPorts(transport, first, last) => write_ports(list, *transport, 2, *first, *last),
            Self::Chance { below, of } => write_chance(list, *below, *of),
        }
    }
}

impl Action {
    fn write(self, family: Family, list: &mut Nest) {
        if matches!((self, family), (Self::RejectIcmp { .. }, Family::Inet)) {
            write_nfproto(list, NFPROTO_IPV4);
        }
        expression(list, "counter", |_| {});
        match self {
            Self::Count => {}
            Self::Accept => write_verdict(list, k::VERDICT_ACCEPT),
            Self::Drop => write_verdict(list, k::VERDICT_DROP),
            Self::RejectTcpReset => write_reject(list, k::REJECT_TCP_RST, 0),
            Self::RejectIcmp { code } => write_reject(list, k::REJECT_ICMP, code),
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
    let (number, octets, offset) = match address {
        IpAddr::V4(v4) => (NFPROTO_IPV4, v4.octets().to_vec(), if source { 12 } else { 16 }),
        IpAddr::V6(v6) => (NFPROTO_IPV6, v6.octets().to_vec(), if source { 8 } else { 24 }),
    };
    if family == Family::Inet {
        write_nfproto(list, number);
    }
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
        expression(list, "bitwise", |data| {
            data.be32(k::BITWISE_SREG, k::REGISTER_1)
                .be32(k::BITWISE_DREG, k::REGISTER_1)
                .be32(k::BITWISE_LEN, length)
                .nested(k::BITWISE_MASK, |inner| {
                    inner.bytes(k::DATA_VALUE, &mask);
                })
                .nested(k::BITWISE_XOR, |inner| {
                    inner.bytes(k::DATA_VALUE, &vec![0; mask.len()]);
                });
        });
    }
    write_compare(list, k::CMP_EQ, &network);
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

fn write_reject(list: &mut Nest, kind: u32, code: u8) {
    expression(list, "reject", |data| {
        data.be32(k::REJECT_TYPE, kind);
        if kind == k::REJECT_ICMP {
            data.u8(k::REJECT_ICMP_CODE, code);
        }
    });
}

fn change(message: u16, flags: u16, family: Family) -> Message {
    Message::new(k::message_type(message), flags, &[family.number(), 0, 0, 0])
}

/// `struct nfgenmsg` of a batch names the subsystem, in network order, where other messages have 0.
fn batch_mark(kind: u16) -> Message {
    let [high, low] = k::SUBSYSTEM.to_be_bytes();
    Message::new(kind, 0, &[0, 0, high, low])
}

const NFPROTO_INET: u8 = 1;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;
/// `IFNAMSIZ`.
const INTERFACE_NAME_BYTES: usize = 16;
