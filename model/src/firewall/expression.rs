//! The kernel's nf_tables expressions: a rule is a list of them over registers.

use serde::{Deserialize, Serialize};

use super::Octets;

/// One expression. Keys and registers are numbered as in the kernel's `linux/netfilter/nf_tables.h`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Expression {
    /// Loads what the kernel knows of the packet.
    Meta {
        /// `NFT_META_*`.
        key: u32,
        /// Register.
        to: u32,
    },
    /// Changes what the kernel knows of the packet.
    MetaSet {
        /// `NFT_META_*`.
        key: u32,
        /// Register.
        from: u32,
    },
    /// Loads octets of the packet.
    Payload {
        /// Counted from here.
        base: PayloadBase,
        /// Octets to skip.
        offset: u32,
        /// Octets to load.
        length: u32,
        /// Register.
        to: u32,
    },
    /// Changes octets of the packet.
    PayloadSet {
        /// Counted from here.
        base: PayloadBase,
        /// Octets to skip.
        offset: u32,
        /// Octets to write.
        length: u32,
    },
    /// Goes on if a register compares so with a constant.
    Compare {
        /// Register.
        from: u32,
        /// How.
        op: CompareOp,
        /// The constant.
        data: Octets,
    },
    /// Goes on if a register is inside (or outside) a range, ends included.
    Range {
        /// Register.
        from: u32,
        /// Whether it has to be outside.
        inverted: bool,
        /// The lower end.
        first: Octets,
        /// The upper end.
        last: Octets,
    },
    /// Computes bits.
    Bitwise {
        /// Register.
        from: u32,
        /// Register.
        to: u32,
        /// Octets.
        length: u32,
        /// What is computed.
        operation: Bitwise,
    },
    /// Swaps octets between network and host order.
    Byteorder {
        /// Register.
        from: u32,
        /// Register.
        to: u32,
        /// Octets altogether.
        length: u32,
        /// Octets of one number.
        size: u32,
    },
    /// Goes on if a register is in a set; a map also gives data or a verdict.
    Lookup {
        /// The set's name.
        set: String,
        /// Register.
        from: u32,
        /// Register of a map's data; 0 for a verdict map.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<u32>,
        /// Whether it has not to be in the set.
        inverted: bool,
    },
    /// Adds to a set while packets pass.
    SetUpdate {
        /// The set's name.
        set: String,
        /// Whether expressions hang on it (a meter), so that it may match or not.
        conditional: bool,
    },
    /// Loads a constant.
    Immediate {
        /// Register.
        to: u32,
        /// The constant.
        data: Octets,
    },
    /// Ends the rule.
    Verdict {
        /// How.
        verdict: Verdict,
    },
    /// Loads what connection tracking knows.
    Ct {
        /// `NFT_CT_*`.
        key: u32,
        /// 0 for the question's direction, 1 for the answer's; absent if the key has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        direction: Option<u8>,
        /// Register.
        to: u32,
    },
    /// Changes what connection tracking knows.
    CtSet {
        /// `NFT_CT_*`.
        key: u32,
    },
    /// Takes the packet out of connection tracking.
    Notrack,
    /// Counts.
    Counter {
        /// Packets so far.
        packets: u64,
        /// Octets so far.
        bytes: u64,
    },
    /// Refuses the packet and says so to its sender.
    Reject {
        /// How.
        with: RejectWith,
    },
    /// Writes to the log.
    Log,
    /// Goes on while a rate, a quota or a number of connections is kept: the expression's name.
    Limit {
        /// `limit`, `quota` or `connlimit`.
        name: String,
    },
    /// Loads a running or random number.
    Number {
        /// Register.
        to: u32,
        /// Numbers are below this.
        modulus: u32,
    },
    /// Asks the routing table.
    Fib {
        /// Register.
        to: u32,
        /// `NFT_FIB_RESULT_*`.
        result: u32,
        /// `NFTA_FIB_F_*`.
        flags: u32,
    },
    /// A named object.
    Object {
        /// `NFT_OBJECT_*`.
        object: u32,
        /// Its name; empty if a map chooses it.
        name: String,
    },
    /// Translates addresses.
    Nat {
        /// How.
        kind: NatKind,
    },
    /// Hands the packet to a program.
    Queue,
    /// A match of iptables.
    XtMatch {
        /// Name.
        name: String,
        /// Revision.
        revision: u32,
        /// Its structure.
        info: Octets,
    },
    /// A target of iptables.
    XtTarget {
        /// Name.
        name: String,
        /// Revision.
        revision: u32,
        /// Its structure.
        info: Octets,
    },
    /// Changes nothing about whether and how the packet goes on (`dup`, `last`, `flow_offload`, `secmark`).
    Aside {
        /// The expression's name.
        name: String,
    },
    /// One that is not read here.
    Other {
        /// The expression's name.
        name: String,
    },
}

/// Where a packet's octets are counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayloadBase {
    /// The frame.
    Link,
    /// The IP header.
    Network,
    /// The TCP or UDP header.
    Transport,
    /// What the transport carries.
    Inner,
}

/// How two strings of octets compare; greater and less as `memcmp` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompareOp {
    /// Equal.
    Eq,
    /// Not equal.
    Neq,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
}

/// A computation over bits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Bitwise {
    /// `(value & mask) ^ xor`.
    MaskXor {
        /// Kept bits.
        mask: Octets,
        /// Flipped bits.
        xor: Octets,
    },
    /// Another computation: the result is not known.
    Other,
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Verdict {
    /// On to the next base chain.
    Accept,
    /// The end.
    Drop,
    /// A program decides.
    Queue,
    /// On to the next rule.
    Continue,
    /// Back to the chain that jumped here.
    Return,
    /// To a chain, and back afterwards.
    Jump {
        /// Its name.
        chain: String,
    },
    /// To a chain for good.
    Goto {
        /// Its name.
        chain: String,
    },
}

/// How a packet is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum RejectWith {
    /// A TCP RST.
    TcpReset,
    /// An ICMP or ICMPv6 destination unreachable of this code.
    Icmp {
        /// Code, by the table's family.
        code: u8,
    },
    /// One that fits the packet's family: `NFT_REJECT_ICMPX_*`.
    Icmpx {
        /// 0 no route, 1 port unreachable, 2 host unreachable, 3 administratively prohibited.
        code: u8,
    },
}

/// Which way addresses are translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NatKind {
    /// The source changes (`snat`, `masquerade`).
    Source,
    /// The destination changes (`dnat`, `redirect`, `tproxy`).
    Destination,
}
