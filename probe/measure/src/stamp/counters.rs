//! What reached a reflector, counted by source address and port.
//!
//! Members' addresses are known beforehand. All others are bounded here, since anybody may write any source address into a
//! datagram: so many of those that proved nothing, and, apart from them, so many of those that proved a member's key, which
//! a flood of forgeries must not displace: they tell of translation.

use std::{collections::HashMap, net::IpAddr};

/// What one address sent to one port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counts {
    /// Datagrams.
    pub received: u32,
    /// Those of them that proved a caller's key, for the first time.
    pub proven: u32,
    /// Those that proved nothing.
    pub unproven: u32,
    /// Those that proved a caller's key and were received before, or are too old to tell.
    pub replayed: u32,
}

/// What a datagram was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It proved a caller's key.
    Proven,
    /// It proved nothing.
    Unproven,
    /// It proved a caller's key once more.
    Replayed,
}

/// The counters of one reflector.
#[derive(Debug)]
pub struct Counters {
    sources: HashMap<IpAddr, Source>,
    counts: HashMap<(u32, u16), Counts>,
    unknown: Allowance,
    translated: Allowance,
    uncounted: u64,
}

#[derive(Debug, Clone, Copy)]
struct Source {
    number: u32,
    standing: Standing,
}

/// Whose an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Member,
    /// Nobody's, but it has sent what proves a member's key.
    Translated,
    /// Nobody's.
    Unknown,
}

/// What addresses that are no member's may take of the memory.
#[derive(Debug, Clone, Copy, Default)]
struct Allowance {
    addresses: u32,
    counts: u32,
}

impl Counters {
    /// Counters for the addresses of members.
    pub fn new(members: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut counters = Self {
            sources: HashMap::new(),
            counts: HashMap::new(),
            unknown: Allowance::default(),
            translated: Allowance::default(),
            uncounted: 0,
        };
        for address in members {
            if !counters.is_member(address) {
                counters.add(address, Standing::Member);
            }
        }
        counters
    }

    /// Whether this is a member's address.
    pub fn is_member(&self, address: IpAddr) -> bool {
        let source = self.sources.get(&address);
        source.is_some_and(|source| source.standing == Standing::Member)
    }

    /// Counts a datagram.
    pub fn count(&mut self, from: IpAddr, port: u16, kind: Kind) {
        match self.entry(from, port, kind) {
            None => self.uncounted = self.uncounted.saturating_add(1),
            Some(counts) => {
                let Counts {
                    received,
                    proven,
                    unproven,
                    replayed,
                } = counts;
                let of_kind = match kind {
                    Kind::Proven => proven,
                    Kind::Unproven => unproven,
                    Kind::Replayed => replayed,
                };
                *received = received.saturating_add(1);
                *of_kind = of_kind.saturating_add(1);
            }
        }
    }

    /// Everything that was counted, by address and port, in no order.
    pub fn counts(&self) -> impl Iterator<Item = (IpAddr, u16, Counts)> {
        let addresses: HashMap<u32, IpAddr> = self
            .sources
            .iter()
            .map(|(address, source)| (source.number, *address))
            .collect();
        self.counts
            .iter()
            .filter_map(move |((number, port), counts)| Some((*addresses.get(number)?, *port, *counts)))
    }

    /// Datagrams of addresses that are no member's, beyond those that are counted one by one.
    pub fn uncounted(&self) -> u64 {
        self.uncounted
    }

    fn entry(&mut self, from: IpAddr, port: u16, kind: Kind) -> Option<&mut Counts> {
        let source = match self.sources.get(&from).copied() {
            Some(source) if source.standing == Standing::Unknown && kind == Kind::Proven => {
                self.promote(from).unwrap_or(source)
            }
            Some(source) => source,
            None => self.admit(from, kind)?,
        };
        let place = (source.number, port);
        if !self.counts.contains_key(&place)
            && let Some(allowance) = self.allowance(source.standing)
        {
            if allowance.counts >= COUNTS {
                return None;
            }
            allowance.counts += 1;
        }
        Some(self.counts.entry(place).or_default())
    }

    /// A new address that is no member's.
    fn admit(&mut self, address: IpAddr, kind: Kind) -> Option<Source> {
        let standing = match kind {
            Kind::Proven | Kind::Replayed => Standing::Translated,
            Kind::Unproven => Standing::Unknown,
        };
        let allowance = self.allowance(standing)?;
        if allowance.addresses >= ADDRESSES {
            return None;
        }
        allowance.addresses += 1;
        Some(self.add(address, standing))
    }

    /// An unknown address has proven a member's key. What it took of the unknowns' allowance stays taken.
    fn promote(&mut self, address: IpAddr) -> Option<Source> {
        if self.translated.addresses >= ADDRESSES {
            return None;
        }
        let source = self.sources.get_mut(&address)?;
        source.standing = Standing::Translated;
        self.translated.addresses += 1;
        Some(*source)
    }

    fn add(&mut self, address: IpAddr, standing: Standing) -> Source {
        let number = u32::try_from(self.sources.len()).expect("members and allowances are far fewer");
        let source = Source { number, standing };
        self.sources.insert(address, source);
        source
    }

    fn allowance(&mut self, standing: Standing) -> Option<&mut Allowance> {
        match standing {
            Standing::Member => None,
            Standing::Translated => Some(&mut self.translated),
            Standing::Unknown => Some(&mut self.unknown),
        }
    }
}

/// Addresses of either kind that are counted one by one; a translated network shows a handful.
const ADDRESSES: u32 = 256;
/// Counters that they may take in all: each takes some 40 octets.
const COUNTS: u32 = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(last: u32) -> IpAddr {
        Ipv4Addr::from(0x0a00_0000 + last).into()
    }

    fn of(counters: &Counters, address: IpAddr) -> Vec<(u16, Counts)> {
        let mut counts: Vec<_> = counters
            .counts()
            .filter(|(from, ..)| *from == address)
            .map(|(_, port, counts)| (port, counts))
            .collect();
        counts.sort();
        counts
    }

    #[test]
    fn every_kind_is_counted_by_address_and_port() {
        let mut counters = Counters::new([address(1)]);
        for kind in [Kind::Proven, Kind::Unproven, Kind::Unproven, Kind::Replayed] {
            counters.count(address(1), 443, kind);
        }
        counters.count(address(1), 444, Kind::Proven);
        let first = Counts {
            received: 4,
            proven: 1,
            unproven: 2,
            replayed: 1,
        };
        let second = Counts {
            received: 1,
            proven: 1,
            ..Counts::default()
        };
        assert_eq!(of(&counters, address(1)), [(443, first), (444, second)]);
    }

    #[test]
    fn forgeries_cannot_fill_the_memory_nor_displace_members_or_translated_sources() {
        let mut counters = Counters::new([address(1)]);
        let forged = 300_000u32;
        for number in 0..forged {
            let port = u16::try_from(1 + number % 60_000).unwrap();
            counters.count(address(1000 + number % 3000), port, Kind::Unproven);
        }
        counters.count(address(1), 443, Kind::Proven);
        counters.count(address(500), 443, Kind::Proven);
        // An address that forgeries had used before.
        counters.count(address(1000), 443, Kind::Proven);
        assert!(
            counters.sources.len() <= 2 * 256 + 1,
            "{}",
            counters.sources.len()
        );
        assert!(
            counters.counts.len() <= 2 * 16 * 1024 + 3,
            "{}",
            counters.counts.len()
        );
        assert!([1, 500, 1000].iter().all(|last| {
            of(&counters, address(*last))
                .iter()
                .any(|(port, counts)| *port == 443 && counts.proven == 1)
        }));
        let counted: u64 = counters
            .counts()
            .map(|(_, _, counts)| u64::from(counts.received))
            .sum();
        assert_eq!(counted + counters.uncounted(), u64::from(forged) + 3);
    }

    #[test]
    fn recorded_packets_cannot_fill_the_memory_either() {
        let mut counters = Counters::new([address(1)]);
        for number in 0..100_000u32 {
            counters.count(address(1000 + number), 443, Kind::Replayed);
        }
        assert!(counters.sources.len() <= 257 && counters.counts.len() <= 256);
    }
}
