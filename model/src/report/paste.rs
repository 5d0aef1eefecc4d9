//! Keeps commands from people's shells that a node could have put words into.
//!
//! Commands that mend a finding hold names that a probe told of: interfaces, tables, chains, zones. A kernel takes almost any
//! octet in them, and a dishonest probe needs no kernel. People paste these commands, as root. So where a node tells of a name
//! with characters that a shell or nft would act on, none of its findings' commands holds such a character: they are left out,
//! and the finding says so.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
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
    for finding in findings {
        let concerned: Vec<&Oddities<'_>> =
            parties(finding).iter().filter_map(|node| odd.get(node)).collect();
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

/// The nodes whose names a finding's commands can hold.
fn parties(finding: &Finding) -> BTreeSet<NodeId> {
    let sides = finding.cause.between.iter().flatten().flatten().copied();
    let tests = finding.affects.iter().flat_map(|test| [test.src, test.dst]);
    finding.cause.node.into_iter().chain(sides).chain(tests).collect()
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
        odd
    }

    fn host(&mut self, facts: &'a HostFacts) {
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
        let mut words = command.split(' ');
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
const WITHHELD: &str = " Commands are left out: a name that this node's probe told of (an interface, a table or a chain) holds \
                        characters that a shell would act on; look at it there before you type it.";

#[cfg(test)]
mod tests {
    use crate::{
        firewall::{Hook, Ruleset},
        report::{
            Report,
            stage::{CP, LB, Stage, W1, W2, firewalld_that_accepts, nft_that_drops},
        },
    };

    /// What somebody would run who pastes it.
    const HOSTILE: [&str; 8] = [
        "x; reboot",
        "$(reboot)",
        "`reboot`",
        "a\nreboot",
        "a' 'b",
        "x|reboot",
        "x accept\u{202e}",
        "-f",
    ];

    /// A node that stops a port by a ruleset of its own making.
    fn stopped_by(ruleset: Ruleset) -> Report {
        let stage = [LB, W1, W2].iter().fold(Stage::new(), |stage, src| {
            stage.silent(src, CP, "6444", Some((1, 0)), Some((1, 0)))
        });
        stage.filters(CP, ruleset).report()
    }

    fn commands(report: &Report) -> Vec<&String> {
        let findings = report.findings.iter();
        findings.flat_map(|finding| &finding.fix.commands).collect()
    }

    #[test]
    fn no_command_holds_a_name_that_a_shell_would_act_on() {
        for name in HOSTILE {
            let mut chain = nft_that_drops(Hook::Input, &[6444]);
            name.clone_into(&mut chain.tables[0].chains[0].name);
            let mut table = nft_that_drops(Hook::Input, &[6444]);
            name.clone_into(&mut table.tables[0].name);
            for ruleset in [chain, table] {
                let report = stopped_by(ruleset);
                let held = commands(&report)
                    .into_iter()
                    .find(|command| command.contains(name));
                assert_eq!((report.findings.len(), held), (1, None), "{name:?}");
                assert!(
                    report.findings[0].fix.text.contains("Commands are left out"),
                    "{name:?}"
                );
            }
        }
    }

    #[test]
    fn a_zone_is_a_part_of_a_name_and_held_to_the_same() {
        let mut ruleset = firewalld_that_accepts(&[10250, 4240]);
        let hostile = |name: &mut String| *name = name.replace("public", "x;reboot");
        for chain in &mut ruleset.tables[0].chains {
            hostile(&mut chain.name);
            for expression in chain.rules.iter_mut().flat_map(|rule| &mut rule.expressions) {
                use crate::firewall::{Expression, Verdict};
                if let Expression::Verdict {
                    verdict: Verdict::Jump { chain } | Verdict::Goto { chain },
                } = expression
                {
                    hostile(chain);
                }
            }
        }
        let report = stopped_by(ruleset);
        assert!(
            report.findings[0].cause.detail.contains("x;reboot"),
            "{report:#?}"
        );
        assert!(
            commands(&report).iter().all(|command| !command.contains(';')),
            "{report:#?}"
        );
    }

    #[test]
    fn ordinary_names_cost_no_command() {
        for name in [
            "KUBE-ROUTER-INPUT",
            "filter_IN_public",
            "~log0",
            "%dynamic",
            "f2b-sshd",
            "ufw6-user.input",
        ] {
            let mut ruleset = nft_that_drops(Hook::Input, &[6444]);
            name.clone_into(&mut ruleset.tables[0].chains[0].name);
            let report = stopped_by(ruleset);
            assert!(commands(&report)[0].contains(name), "{report:#?}");
            assert!(!report.findings[0].fix.text.contains("left out"));
        }
    }

    #[test]
    fn an_interface_and_its_addresses_are_names_too() {
        for spoil in [0, 1] {
            let stage = [LB, W1, W2].iter().fold(Stage::new(), |stage, src| {
                stage.silent(src, CP, "6444", Some((1, 0)), Some((1, 0)))
            });
            let stage = stage.knows(CP, move |facts| {
                facts.firewalld = true;
                let own = crate::observation::Interface {
                    name: if spoil == 0 { "e;reboot" } else { "eth0" }.to_owned(),
                    addresses: vec![format!("{CP}/24{}", if spoil == 1 { ";reboot" } else { "" })],
                    ..crate::observation::Interface::default()
                };
                facts.interfaces = vec![own];
            });
            let report = stage.report();
            assert!(!report.findings.is_empty());
            assert!(
                commands(&report)
                    .iter()
                    .all(|command| !command.contains("reboot")),
                "{report:#?}"
            );
        }
    }
}
