//! What a path to a member carries.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{id::NodeId, port::Family};

/// The way from this node to another, at its address of one family. All sizes are those of whole IP packets, in octets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathSeen {
    /// To whom.
    pub dst: NodeId,
    /// At its address of which family.
    pub family: Family,
    /// With what it was measured.
    pub by: PathMethod,
    /// The MTU of the interface that packets leave by; absent if it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Small echo requests and their answers.
    pub echo: EchoSeen,
    /// Sizes that were tried with fragmentation forbidden, ascending; at most [`MAX_SIZES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sizes: Vec<SizeSeen>,
    /// ICMP errors that said that a packet is too big, in the order in which they came, each once; at most [`MAX_TOLD`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<TooBig>,
    /// A datagram that had to be cut into fragments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fragments: Option<SizeSeen>,
    /// Many datagrams of the largest size, over several source ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flows: Option<FlowsSeen>,
    /// Hops forth and back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hops: Option<Hops>,
}

/// With what a path was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum PathMethod {
    /// Authenticated STAMP packets, padded, to this UDP port. The answers are small, so that only the way forth counts.
    Stamp {
        /// The port.
        port: u16,
    },
    /// Echo requests. The answers are as large as the questions, and IPv4's may be fragmented on their way.
    Echo,
    /// Nothing answered.
    Nothing,
    /// One of the two has no address of the family.
    NoAddress,
}

/// What came of small echo requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EchoSeen {
    /// Requests that left.
    pub sent: u32,
    /// Answers.
    pub answered: u32,
    /// Whether no socket for echo requests could be opened: neither an unprivileged one nor a raw one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub denied: bool,
}

/// What became of packets of one size. Each was followed by a small packet, without a pause between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeSeen {
    /// The size of the IP packet.
    pub octets: u32,
    /// Packets that left.
    pub sent: u32,
    /// How many were answered.
    pub answered: u32,
    /// How many were not, though the small packet behind them was: that is no loss by chance if it happens every time.
    pub lost_alone: u32,
    /// How many were neither answered nor the small packet behind them.
    pub lost_both: u32,
    /// The MTU by which this host itself refused to send, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<u32>,
    /// The MTU that an ICMP error gave as the reason, if one came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<u32>,
}

/// An ICMP error that says that a packet is too big (type 3 code 4, RFC 1191; ICMPv6 type 2, RFC 4443 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TooBig {
    /// The MTU of the next hop.
    pub mtu: u32,
    /// Who said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<IpAddr>,
}

/// Datagrams of the largest size that passes, one after the other over several source ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowsSeen {
    /// The size of the IP packets.
    pub octets: u32,
    /// Source ports.
    pub flows: u32,
    /// Datagrams of the first round.
    pub sent: u32,
    /// Answers to them.
    pub answered: u32,
    /// Datagrams of the second round, on those source ports that had lost any in the first.
    pub again_sent: u32,
    /// Answers to them.
    pub again_answered: u32,
    /// Small packets between those of the second round.
    pub beside_sent: u32,
    /// Answers to them.
    pub beside_answered: u32,
}

/// By how many routers a packet's time to live was lowered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hops {
    /// On the way forth: what the responder said of a packet that was sent with 255 (RFC 8762 section 4.2).
    pub forth: u8,
    /// On the way back, of an answer that is sent with 255.
    pub back: u8,
}

/// Sizes of one path at most.
pub const MAX_SIZES: usize = 32;

/// Different ICMP errors of one path at most.
pub const MAX_TOLD: usize = 4;

impl PathSeen {
    /// A path on which nothing was done.
    pub fn not_measured(dst: NodeId, family: Family, by: PathMethod) -> Self {
        Self {
            dst,
            family,
            by,
            mtu: None,
            echo: EchoSeen::default(),
            sizes: Vec::new(),
            told: Vec::new(),
            fragments: None,
            flows: None,
            hops: None,
        }
    }

    /// The largest size that was answered.
    pub fn carries(&self) -> Option<u32> {
        let passed = self.sizes.iter().filter(|size| size.answered > 0);
        passed.map(|size| size.octets).max()
    }

    /// The smallest size above that of which every packet was lost.
    pub fn smallest_lost(&self) -> Option<&SizeSeen> {
        let carries = self.carries()?;
        self.sizes
            .iter()
            .find(|size| size.octets > carries && size.answered == 0)
    }
}
