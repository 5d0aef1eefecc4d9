//! What reached the responder, counted by source address and port.
//!
//! Addresses of the roster are few and known; everybody else's are bounded here: a connection takes a handshake, which a
//! forged source address cannot complete, but one host may hold many addresses of an IPv6 network.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use plumbline_measure::{
    pacer::{Pacer, Permit},
    time::Timestamp,
};
use plumbline_model::{
    id::NodeId,
    observation::{Heard, Record},
    port::{Family, PortSet, Protocol},
};

/// The counters.
#[derive(Debug)]
pub(super) struct Tally {
    sources: Vec<Source>,
    by_address: HashMap<IpAddr, usize>,
    counts: HashMap<(usize, u16), Counts>,
    strangers: usize,
    stranger_entries: usize,
    uncounted: u64,
}

#[derive(Debug)]
struct Source {
    address: IpAddr,
    /// The member of the roster whose address it is.
    node: Option<NodeId>,
    /// What it may still waste: hellos that prove nothing.
    patience: Pacer,
}

/// What one source did at one port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Counts {
    accepted: u32,
    proven: u32,
    unproven: u32,
}

/// Somebody who connected, as the counters know him. `None` stands for the strangers beyond [`STRANGERS`].
pub(super) type SourceId = Option<usize>;

impl Tally {
    /// Counters for the addresses of a roster. An address that two members claim is counted for the first.
    pub(super) fn new(roster: impl Iterator<Item = (IpAddr, NodeId)>) -> Self {
        let mut tally = Self {
            sources: Vec::new(),
            by_address: HashMap::new(),
            counts: HashMap::new(),
            strangers: 0,
            stranger_entries: 0,
            uncounted: 0,
        };
        for (address, node) in roster {
            if !tally.by_address.contains_key(&address) {
                tally.add(address, Some(node));
            }
        }
        tally
    }

    /// Counts a connection.
    pub(super) fn accepted(&mut self, address: IpAddr, port: u16) -> SourceId {
        let source = self.by_address.get(&address).copied().or_else(|| {
            (self.strangers < STRANGERS).then(|| {
                self.strangers += 1;
                self.add(address, None)
            })
        });
        self.count(source, port, |counts| &mut counts.accepted);
        source
    }

    /// Counts a hello that was proven.
    pub(super) fn proven(&mut self, source: SourceId, port: u16) {
        self.count(source, port, |counts| &mut counts.proven);
    }

    /// Counts a hello that was not.
    pub(super) fn unproven(&mut self, source: SourceId, port: u16, now: Timestamp) {
        self.count(source, port, |counts| &mut counts.unproven);
        if let Some(source) = source {
            self.sources[source].patience.take(now);
        }
    }

    /// Whether a connection of this source is worth reading: not of one that has just wasted its patience.
    pub(super) fn is_worth_reading(&self, source: SourceId, now: Timestamp) -> bool {
        source.is_some_and(|source| self.sources[source].patience.ready_at(now) == Permit::Granted)
    }

    /// Whether the source's address is on the roster.
    pub(super) fn is_on_roster(&self, source: SourceId) -> bool {
        source.is_some_and(|source| self.sources[source].node.is_some())
    }

    /// One record for each source address and equal counts, ascending; and how much was left uncounted.
    pub(super) fn into_records(self) -> (Vec<Record>, u64) {
        let mut by_source = BTreeMap::<(IpAddr, Counts), (Option<NodeId>, Vec<u16>)>::new();
        for ((source, port), counts) in self.counts {
            let source = &self.sources[source];
            by_source
                .entry((source.address, counts))
                .or_insert((source.node, Vec::new()))
                .1
                .push(port);
        }
        let records = by_source.into_iter().map(|((address, counts), (src, ports))| {
            Record::Heard(Heard {
                src,
                address,
                family: Family::of(address),
                protocol: Protocol::Tcp,
                ports: ports.into_iter().collect::<PortSet>(),
                accepted: counts.accepted,
                proven: counts.proven,
                unproven: counts.unproven,
                replayed: 0,
            })
        });
        (records.collect(), self.uncounted)
    }

    fn add(&mut self, address: IpAddr, node: Option<NodeId>) -> usize {
        self.sources.push(Source {
            address,
            node,
            patience: Pacer::new(UNPROVEN_RATE, UNPROVEN_BURST),
        });
        self.by_address.insert(address, self.sources.len() - 1);
        self.sources.len() - 1
    }

    fn count(&mut self, source: SourceId, port: u16, counter: impl Fn(&mut Counts) -> &mut u32) {
        let Some(source) = source else {
            self.uncounted += 1;
            return;
        };
        if self.sources[source].node.is_none() && !self.counts.contains_key(&(source, port)) {
            if self.stranger_entries >= STRANGER_ENTRIES {
                self.uncounted += 1;
                return;
            }
            self.stranger_entries += 1;
        }
        let counter = counter(self.counts.entry((source, port)).or_default());
        *counter = counter.saturating_add(1);
    }
}

/// Addresses outside the roster that are counted one by one; a translated network shows a handful.
const STRANGERS: usize = 256;
/// Counters that they may take in all: each takes some 40 octets.
const STRANGER_ENTRIES: usize = 16 * 1024;
/// Unproven hellos a second, and at once, after which a source's connections are closed unread: an HMAC costs a
/// microsecond, so that no source can take more than a small part of a thread.
const UNPROVEN_RATE: u32 = 100;
const UNPROVEN_BURST: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u32) -> IpAddr {
        std::net::Ipv4Addr::from(0x0a00_0000 + last).into()
    }

    fn heard(tally: Tally) -> Vec<Heard> {
        let (records, _) = tally.into_records();
        records
            .into_iter()
            .map(|record| match record {
                Record::Heard(heard) => heard,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn ports_with_equal_counts_share_a_record() {
        let node = NodeId::from(address(1));
        let mut tally = Tally::new([(address(1), node)].into_iter());
        for port in [443, 444, 445] {
            let source = tally.accepted(address(1), port);
            tally.proven(source, port);
        }
        tally.accepted(address(1), 446);
        let heard = heard(tally);
        let seen: Vec<(String, u32, u32)> = heard
            .iter()
            .map(|heard| (heard.ports.to_string(), heard.accepted, heard.proven))
            .collect();
        assert_eq!(seen, [("446".to_owned(), 1, 0), ("443-445".to_owned(), 1, 1)]);
        assert!(heard.iter().all(|heard| heard.src == Some(node)));
    }

    #[test]
    fn strangers_cannot_fill_the_memory_nor_displace_the_roster() {
        let mut tally = Tally::new([(address(1), NodeId::from(address(1)))].into_iter());
        for stranger in 0..1000 {
            for port in 1..=100 {
                tally.accepted(address(1000 + stranger), port);
            }
        }
        tally.accepted(address(1), 443);
        assert!(tally.sources.len() <= STRANGERS + 1 && tally.counts.len() <= STRANGER_ENTRIES + 1);
        let (records, uncounted) = tally.into_records();
        let of_roster = |record: &&Record| matches!(record, Record::Heard(heard) if heard.src.is_some());
        assert_eq!(records.iter().filter(of_roster).count(), 1);
        assert_eq!(uncounted, 1000 * 100 - u64::try_from(STRANGER_ENTRIES).unwrap());
    }

    #[test]
    fn a_source_that_proves_nothing_loses_patience_and_regains_it() {
        let mut tally = Tally::new([(address(1), NodeId::from(address(1)))].into_iter());
        let source = tally.accepted(address(1), 443);
        let now = Timestamp::from_nanos(1);
        let mut wasted = 0;
        while tally.is_worth_reading(source, now) {
            tally.unproven(source, 443, now);
            wasted += 1;
        }
        assert_eq!(wasted, UNPROVEN_BURST);
        assert!(tally.is_worth_reading(source, now + std::time::Duration::from_secs(1)));
    }
}
