//! A ruleset as it is walked: chains and sets by name, since a ruleset of thousands of chains jumps to each of them.

use std::collections::BTreeMap;

use super::{Base, Chain, Hook, Packet, Passage, Ruleset, Set, Table, TableFamily};
use crate::port::Family;

/// A ruleset with what its tables hold by name.
#[derive(Debug)]
pub(super) struct Index<'a> {
    pub(super) ruleset: &'a Ruleset,
    /// In the order of the kernel's listing.
    pub(super) tables: Vec<Names<'a>>,
}

/// A table's chains and sets by name. Of two with one name the first counts.
#[derive(Debug)]
pub(super) struct Names<'a> {
    pub(super) table: &'a Table,
    chains: BTreeMap<&'a str, &'a Chain>,
    sets: BTreeMap<&'a str, &'a Set>,
    /// Chains that are attached to a hook, in the order of the kernel's listing.
    attached: Vec<(&'a Chain, &'a Base)>,
}

/// A base chain with the table that it is in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attached<'i, 'a> {
    pub(super) names: &'i Names<'a>,
    pub(super) chain: &'a Chain,
    pub(super) base: &'a Base,
}

impl<'a> Index<'a> {
    pub(super) fn of(ruleset: &'a Ruleset) -> Self {
        Self {
            ruleset,
            tables: ruleset.tables.iter().map(Names::of).collect(),
        }
    }

    /// The base chains at a hook that see this packet, in the kernel's order: by priority, and of the same priority the one
    /// that was made last comes first.
    pub(super) fn base_chains(&self, hook: Hook, packet: &Packet) -> Vec<Attached<'_, 'a>> {
        let device = match (&packet.passage, hook) {
            (Passage::Incoming { interface }, _) | (Passage::Outgoing { interface }, _) => interface,
            (Passage::Forwarded { from, .. }, Hook::Ingress) => from,
            (Passage::Forwarded { to, .. }, _) => to,
        };
        let family = packet.family();
        let is_at = |table: &Table| {
            let is_by_device = matches!(hook, Hook::Ingress | Hook::Egress);
            sees(table, family) && (table.family != TableFamily::Netdev || is_by_device)
        };
        let tables = self.tables.iter().filter(|names| is_at(names.table));
        let attached = tables.flat_map(|names| names.attached.iter().map(move |own| (names, *own)));
        let mut chains: Vec<Attached<'_, 'a>> = attached
            .map(|(names, (chain, base))| Attached { names, chain, base })
            .filter(|Attached { base, .. }| {
                base.hook == hook && (base.devices.is_empty() || base.devices.contains(device))
            })
            // Translation looks at the first packet of a connection only.
            .filter(|Attached { base, .. }| base.kind != "nat" || packet.connection == super::Connection::New)
            .collect();
        chains.reverse();
        chains.sort_by_key(|attached| attached.base.priority);
        chains
    }
}

impl<'a> Names<'a> {
    fn of(table: &'a Table) -> Self {
        let mut names = Self {
            table,
            chains: BTreeMap::new(),
            sets: BTreeMap::new(),
            attached: Vec::new(),
        };
        for chain in &table.chains {
            names.chains.entry(&chain.name).or_insert(chain);
            names
                .attached
                .extend(chain.base.as_ref().map(|base| (chain, base)));
        }
        for set in &table.sets {
            names.sets.entry(&set.name).or_insert(set);
        }
        names
    }

    pub(super) fn chain(&self, name: &str) -> Option<&'a Chain> {
        self.chains.get(name).copied()
    }

    pub(super) fn set(&self, name: &str) -> Option<&'a Set> {
        self.sets.get(name).copied()
    }
}

/// Whether a table sees packets of a family at some hook.
pub(super) fn sees(table: &Table, family: Family) -> bool {
    !table.dormant
        && match table.family {
            TableFamily::Inet | TableFamily::Netdev => true,
            TableFamily::Ip => family == Family::Ipv4,
            TableFamily::Ip6 => family == Family::Ipv6,
            TableFamily::Arp | TableFamily::Bridge => false,
        }
}
