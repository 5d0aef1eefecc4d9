//! Keeps commands from people's shells that a node could have put words into.
//!
//! Commands that mend a finding hold names that a probe told of: interfaces, tables, chains, zones, files. A kernel takes almost
//! any octet in them, and a dishonest probe needs no kernel. People paste these commands, as root. So where a node tells of a
//! name with characters that a shell or nft would act on, none of its findings' commands holds such a character: they are left
//! out, and the finding says so. What may get into a command is listed in [`settings`], field by field.

mod settings;

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, MAX_EVIDENCE};
use crate::{firewall::Ruleset, id::NodeId, ledger::Ledger, ledger::NodeLog, observation::HostFacts};

/// What in a node's names has a meaning of its own on a command line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Oddities<'a> {
    characters: BTreeSet<char>,
    /// Plain in every character, and an option by the first.
    options: BTreeSet<&'a str>,
    /// There are more of those than are kept.
    has_many: bool,
}

/// Leaves out the commands that could hold more than what we wrote.
pub(super) fn withhold(ledger: &Ledger<'_>, findings: &mut [Finding]) {
    let odd: BTreeMap<NodeId, Oddities<'_>> = ledger
        .nodes
        .iter()
        .map(|(node, log)| (*node, Oddities::of(log)))
        .filter(|(_, odd)| *odd != Oddities::default())
        .collect();
    if odd.is_empty() {
        return;
    }
    let lines = lines(ledger);
    for finding in findings {
        let parties = parties(finding, &lines);
        // Of a finding that names nobody, or not all on whose word it rests, anybody's names may be in the commands.
        let is_of_all = parties.is_empty() || finding.evidence.len() >= MAX_EVIDENCE;
        let concerned: Vec<&Oddities<'_>> = odd
            .iter()
            .filter(|(node, _)| is_of_all || parties.contains(node))
            .map(|(_, odd)| odd)
            .collect();
        let before = finding.fix.commands.len();
        finding
            .fix
            .commands
            .retain(|command| !concerned.iter().any(|odd| odd.may_be_in(command)));
        if finding.fix.commands.len() < before {
            finding.fix.text.push_str(WITHHELD);
        }
    }
}

/// Who told what rules take names from, by the line of the evidence.
fn lines(ledger: &Ledger<'_>) -> BTreeMap<u32, NodeId> {
    let of_log = |log: &NodeLog<'_>| -> Vec<u32> {
        let facts = [log.facts_first, log.facts].map(|told| told.map(|told| told.line));
        let settings = [
            log.host.map(|told| told.line),
            log.firewalls.map(|told| told.line),
            log.ruleset.map(|told| told.line),
        ];
        let link = log.link.iter().map(|told| told.line);
        let heard = log.overheard.iter().map(|told| told.line);
        let of_once = facts.into_iter().chain(settings).flatten();
        of_once.chain(link).chain(heard).collect()
    };
    let logs = ledger.nodes.iter();
    logs.flat_map(|(node, log)| of_log(log).into_iter().map(|line| (line, *node)))
        .collect()
}

/// The nodes whose names a finding's commands can hold: those that it names, and those on whose word it rests.
fn parties(finding: &Finding, lines: &BTreeMap<u32, NodeId>) -> BTreeSet<NodeId> {
    let sides = finding.cause.between.iter().flatten().flatten().copied();
    let tests = finding.affects.iter().flat_map(|test| [test.src, test.dst]);
    let told = finding
        .evidence
        .iter()
        .filter_map(|line| lines.get(line))
        .copied();
    let named = finding.cause.node.into_iter().chain(sides).chain(tests);
    named.chain(told).collect()
}

impl<'a> Oddities<'a> {
    fn of(log: &NodeLog<'a>) -> Self {
        let mut odd = Self::default();
        for facts in [log.facts_first, log.facts].into_iter().flatten() {
            odd.host(facts.what);
        }
        if let Some(ruleset) = log.ruleset {
            odd.ruleset(ruleset.what);
        }
        odd.settings(log);
        odd
    }

    fn host(&mut self, facts: &'a HostFacts) {
        self.name(&facts.hostname);
        for interface in &facts.interfaces {
            self.name(&interface.name);
            self.name(&interface.mac);
            interface.addresses.iter().for_each(|address| self.name(address));
        }
        for neighbor in &facts.neighbors {
            self.name(&neighbor.mac);
            self.name(&neighbor.interface);
        }
        if let Some(ruleset) = &facts.ruleset {
            self.ruleset(ruleset);
        }
    }

    fn ruleset(&mut self, ruleset: &'a Ruleset) {
        for table in &ruleset.tables {
            self.name(&table.name);
            table.chains.iter().for_each(|chain| self.name(&chain.name));
        }
    }

    fn name(&mut self, name: &'a str) {
        self.characters.extend(name.chars().filter(|c| !is_plain(*c)));
        if name.starts_with('-') {
            match self.options.len() < MOST_OPTIONS {
                true => self.options.insert(name),
                false => std::mem::replace(&mut self.has_many, true),
            };
        }
    }

    fn may_be_in(&self, command: &str) -> bool {
        let mut words = command.split(|c| !is_plain(c));
        command.chars().any(|c| self.characters.contains(&c))
            || self.has_many
            || words.any(|word| self.options.contains(word))
    }
}

/// What no shell and no nft acts on, wherever it stands; the characters of all names that tools give, firewalld's `@` and
/// Shorewall's `~` and `%` among them.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/' | '@' | '+' | '~' | '%')
}

/// Names that begin like an option, of one node. No tool makes any.
const MOST_OPTIONS: usize = 64;

/// Follows the remedy.
const WITHHELD: &str = " Commands are left out: a name that this node's probe told of (an interface, a chain, a zone, a file) \
                        holds characters that a shell would act on; look at it there before you type it.";

#[cfg(test)]
mod tests;
