//! Changing the packet filter: tables, base chains and simple rules, all of a batch or nothing.

use std::net::IpAddr;

use super::kernel as k;
use crate::netlink::{self, Message, Socket};

mod expression;

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
    /// Frames that a bridge handles, whatever they carry.
    Bridge,
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

/// A version of the Internet Protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
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
    /// The packet is of this family.
    Version(IpVersion),
    /// The transport is this one.
    Transport(Transport),
    /// The transport is this one, and the source port is from the first to the last number.
    SourcePorts(Transport, u16, u16),
    /// The transport is this one, and the destination port is from the first to the last number.
    DestinationPorts(Transport, u16, u16),
    /// A TCP segment with the RST flag. Comes after a match of the transport.
    TcpReset,
    /// Connection tracking has not seen this connection before. From here on it tracks in this namespace.
    NewConnection,
    /// More connections than this are tracked here at the same time. Comes after [`Self::NewConnection`].
    MoreConnectionsThan(u32),
    /// The IP packet is of this version and has more octets than this, at most 65,534.
    LongerThan(IpVersion, u16),
    /// The packet is a fragment of an IP packet of this version.
    Fragment(IpVersion),
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
    /// The end, with an ICMP destination unreachable of this code, for IPv4 packets. In an inet table the kernel wants the
    /// family to be matched before, which is therefore done here.
    RejectIcmp {
        /// Code of type 3.
        code: u8,
    },
    /// The same for IPv6 packets, with an ICMPv6 destination unreachable (RFC 4443 section 3.1).
    RejectIcmp6 {
        /// Code of type 1. The kernel sends 0, 1, 3, 4, 5 and 6.
        code: u8,
    },
    /// From now on the connection's source is this address. In a [`Batch::create_nat_chain`] after routing.
    SourceNat(IpAddr),
    /// From now on the connection's source is the address of the interface that it leaves by. In a nat chain after routing.
    Masquerade,
    /// From now on the connection's destination is this. In a nat chain before routing, or of the output hook.
    DestinationNat {
        /// The new address.
        address: IpAddr,
        /// The new port; the old one if absent. Then the transport has to be matched before.
        port: Option<u16>,
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
        let attached = Attached {
            kind: "filter",
            hook,
            priority,
            policy,
        };
        self.create_chain(family, table, chain, attached)
    }

    /// Creates a chain that translates addresses: it sees the first packet of each connection only. Addresses are usually
    /// translated at priority -100 before routing and at 100 after it.
    pub fn create_nat_chain(
        &mut self,
        family: Family,
        table: &str,
        chain: &str,
        hook: Hook,
        priority: i32,
    ) -> &mut Self {
        let attached = Attached {
            kind: "nat",
            hook,
            priority,
            policy: Policy::Accept,
        };
        self.create_chain(family, table, chain, attached)
    }

    fn create_chain(&mut self, family: Family, table: &str, chain: &str, attached: Attached) -> &mut Self {
        let message = change(k::MSG_NEWCHAIN, NLM_F_CREATE, family).with(|top| {
            top.text(k::CHAIN_TABLE, table)
                .text(k::CHAIN_NAME, chain)
                .nested(k::CHAIN_HOOK, |inner| {
                    inner
                        .be32(k::HOOK_HOOKNUM, attached.hook.number())
                        .be32(k::HOOK_PRIORITY, attached.priority.cast_unsigned());
                })
                .be32(k::CHAIN_POLICY, attached.policy.number())
                .text(k::CHAIN_TYPE, attached.kind);
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
            Self::Bridge => NFPROTO_BRIDGE,
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

/// Where and as what a chain is attached.
struct Attached {
    kind: &'static str,
    hook: Hook,
    priority: i32,
    policy: Policy,
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
const NFPROTO_BRIDGE: u8 = 7;
const NFPROTO_IPV6: u8 = 10;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;
