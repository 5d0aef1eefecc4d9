//! What a packet filter does with a packet, and by which rule.

use std::fmt;

use super::TableFamily;

/// What would become of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Every chain on its way lets it pass.
    Accepts,
    /// It is dropped without a word.
    Drops {
        /// Where.
        place: Place,
    },
    /// It is refused, and its sender is told.
    Rejects {
        /// Where.
        place: Place,
        /// How.
        kind: RejectKind,
    },
    /// It cannot be told from what was read.
    Unknown {
        /// The first place at which it cannot be told; absent if that is not one rule.
        place: Option<Place>,
        /// Why, as the end of "it cannot be told, since ...".
        why: String,
    },
}

/// How a sender is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectKind {
    /// By a TCP RST.
    TcpReset,
    /// By an ICMP or ICMPv6 error.
    Icmp {
        /// Type: 3 for IPv4, 1 for IPv6.
        icmp_type: u8,
        /// Code.
        code: u8,
    },
}

/// Where a packet filter decided.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The table's family.
    pub family: TableFamily,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// The rule's handle; absent if the chain's policy decided.
    pub handle: Option<u64>,
    /// The rule (or the policy) as a person reads it, close to nft's own words.
    pub rule: String,
    /// Who made it.
    pub manager: Manager,
}

/// Who manages a chain, and so where a fix belongs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Manager {
    /// firewalld: a change made past it is lost at its next reload.
    Firewalld {
        /// The zone that the packet resolved to; absent if no chain of a zone was passed.
        zone: Option<String>,
    },
    /// iptables (the nf_tables variant).
    Iptables {
        /// The chain, as `iptables -S` names it.
        chain: String,
    },
    /// nftables itself.
    Nftables,
}

impl Judgement {
    /// Whether the packet surely goes through.
    pub fn accepts(&self) -> bool {
        matches!(self, Self::Accepts)
    }

    /// Whether the packet surely does not go through, and where it ends.
    pub fn stopped_at(&self) -> Option<&Place> {
        match self {
            Self::Drops { place } | Self::Rejects { place, .. } => Some(place),
            Self::Accepts | Self::Unknown { .. } => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "table {} {}, chain {}",
            self.family.as_str(),
            self.table,
            self.chain
        )?;
        match self.handle {
            Some(handle) => write!(f, ", rule with handle {handle}: {}", self.rule),
            None => write!(f, ": {}", self.rule),
        }
    }
}

impl fmt::Display for RejectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TcpReset => f.write_str("TCP reset"),
            Self::Icmp { icmp_type, code } => write!(f, "ICMP {icmp_type}/{code}"),
        }
    }
}
