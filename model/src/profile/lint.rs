//! What is readable in a profile and yet deserves a look: each with its line, as reading errors have.
//!
//! ```text
//! a rule that can never apply     its condition contradicts itself; its versions are not on the profile's axis
//! two rules that ask for one port of one role for one source, of which one is redundant
//! a loopback rule whose port another rule wants to be reached remotely
//! options, variables and stand-ins that no rule uses
//! `reading` missing where "used by" has several meanings; empty purpose, citation or source
//! ports of a rule that are out of order or overlap
//! an id or alias that a built-in profile has, which is found instead
//! ```

mod places;

use std::collections::BTreeSet;

use self::places::Places;
pub(super) use self::places::place_of;
use super::{PortSpec, Profile, Rule, Scope, Source, builtin, read_among};
use crate::{
    source::{Diagnostic, Gravity, Place, Refused, SourceText},
    version::Minor,
};

/// Reads a profile and looks for what a careful author would mend, in the order of the lines. Those that it extends are
/// looked for among the built-in ones and `others`.
///
/// # Errors
/// If the text cannot be read: every complaint at once.
pub fn lint(source: &SourceText, others: &[SourceText]) -> Result<Vec<Diagnostic>, Refused> {
    let profile = read_among(source, others)?;
    let mut linter = Linter {
        file: &source.name,
        places: Places::of(source),
        found: Vec::new(),
    };
    linter.names(source, &profile);
    linter.unused(&profile);
    for rule in &profile.rules {
        linter.versions(rule, &profile.versions);
        linter.words(rule);
        linter.ports(rule);
    }
    linter.pairs(&profile.rules);
    let mut found = linter.found;
    found.sort_by_key(|complaint| (complaint.line, complaint.column));
    // A rule of TCP and UDP is two rules in one place.
    found.dedup();
    Ok(found)
}

struct Linter<'a> {
    file: &'a str,
    places: Places,
    found: Vec<Diagnostic>,
}

impl Linter<'_> {
    fn find(&mut self, place: Place, message: String, help: impl Into<String>) {
        self.found.push(Diagnostic {
            file: self.file.to_owned(),
            line: place.line,
            column: place.column,
            message,
            help: Some(help.into()),
            gravity: Gravity::Warn,
            check: None,
        });
    }

    fn names(&mut self, source: &SourceText, profile: &Profile) {
        for (key, name) in
            std::iter::once(("id", &profile.id)).chain(profile.aliases.iter().map(|name| ("aliases", name)))
        {
            // A built-in profile is not its own rival.
            if builtin(name).is_some_and(|known| known.text != source.text) {
                let message =
                    format!("a built-in profile is called `{name}` and is found instead of this one");
                self.find(self.places.key(key), message, "take another name");
            }
        }
        if profile.sources.iter().all(|source| source.trim().is_empty()) {
            let help = "name the page, its date or its revision, so that others can compare";
            self.find(self.places.key("sources"), "no source is named".to_owned(), help);
        }
    }

    fn unused(&mut self, profile: &Profile) {
        let of_rules = profile.rules.iter().filter_map(|rule| rule.when.as_ref());
        let of_stand_ins = profile
            .stand_ins
            .iter()
            .filter_map(|stand_in| stand_in.when.as_ref());
        let asked: BTreeSet<&str> = of_rules
            .chain(of_stand_ins)
            .flat_map(|when| when.options())
            .collect();
        for name in profile
            .options
            .keys()
            .filter(|name| !asked.contains(name.as_str()))
        {
            let message = format!("no condition asks for the option `{name}`");
            let help = format!("write `when: {name}` or `when: {name} == VALUE` at a rule, or remove it");
            self.find(self.places.option(name), message, help);
        }
        let specs = profile.rules.iter().flat_map(|rule| &rule.ports);
        let variables: BTreeSet<&str> = specs
            .filter_map(|spec| match spec {
                PortSpec::Variable { name, .. } => Some(name.as_str()),
                PortSpec::Range(_) => None,
            })
            .collect();
        for name in profile
            .variables
            .keys()
            .filter(|name| !variables.contains(name.as_str()))
        {
            let message = format!("no rule uses the variable `{name}`");
            let help = format!("write `${name}` among a rule's ports, or remove it");
            self.find(self.places.variable(name), message, help);
        }
        let sources: BTreeSet<Source> = profile
            .rules
            .iter()
            .flat_map(|rule| rule.sources.clone())
            .collect();
        // Those who extend this profile have rules and stand-ins of their own.
        for (index, _) in profile
            .stand_ins
            .iter()
            .enumerate()
            .filter(|(_, stand_in)| !sources.contains(&stand_in.source))
        {
            let message = "no rule has the source whose place is taken".to_owned();
            self.find(self.places.stand_in(index), message, "remove it");
        }
    }

    fn versions(&mut self, rule: &Rule, axis: &[Minor]) {
        if rule
            .when
            .as_ref()
            .is_some_and(super::Condition::contradicts_itself)
        {
            let message = format!(
                "rule `{}` can never apply: its condition contradicts itself",
                rule.id
            );
            let help = "write a rule for each case; terms joined by && must all hold";
            self.find(self.places.of_rule(&rule.id, "when"), message, help);
        }
        for (key, version) in [("since", rule.since), ("until", rule.until)] {
            let Some(version) = version.filter(|version| !axis.contains(version)) else {
                continue;
            };
            let (message, help) = match axis {
                [] => (
                    format!(
                        "rule `{}` depends on a version, and the profile has none",
                        rule.id
                    ),
                    "declare `versions` at the top".to_owned(),
                ),
                axis => {
                    let all: Vec<String> = axis.iter().map(Minor::to_string).collect();
                    (
                        format!("{version} is no version of this profile"),
                        format!(
                            "nearest: {}; valid: {}",
                            nearest_version(version, axis),
                            all.join(", ")
                        ),
                    )
                }
            };
            self.find(self.places.of_rule(&rule.id, key), message, help);
        }
    }

    fn words(&mut self, rule: &Rule) {
        let place = |key: &str| self.places.of_rule(&rule.id, key);
        let mut missing = Vec::new();
        if rule.reading.as_deref().is_none_or(is_blank) && needs_reading(rule) {
            let used_by = rule.doc_used_by.as_deref().unwrap_or_default();
            missing.push((
                place("used_by"),
                format!("rule `{}`: \"{used_by}\" does not say who sends", rule.id),
                "write `reading:` and why `from` is what it is",
            ));
        }
        if is_blank(&rule.purpose) {
            missing.push((
                place("purpose"),
                format!("rule `{}` has no purpose", rule.id),
                "say what listens there, in the words of those who run it",
            ));
        }
        if rule.cited.iter().all(|cited| is_blank(cited)) {
            missing.push((
                place("cited"),
                format!("rule `{}` cites nothing", rule.id),
                "name the source and its table, so that others can compare",
            ));
        }
        for (place, message, help) in missing {
            self.find(place, message, help);
        }
    }

    fn ports(&mut self, rule: &Rule) {
        let ranges: Vec<(u16, u16)> = rule.ports.iter().map(PortSpec::in_document).collect();
        for pair in ranges.windows(2) {
            let ((_, last), (first, _)) = (pair[0], pair[1]);
            if first <= last {
                let message = format!("rule `{}`: port {first} stands behind {last}", rule.id);
                let help = "write ports in ascending order, each once";
                self.find(self.places.of_rule(&rule.id, "ports"), message, help);
            }
        }
    }

    fn pairs(&mut self, rules: &[Rule]) {
        for (index, rule) in rules.iter().enumerate() {
            for other in &rules[..index] {
                if !meet(rule, other) {
                    continue;
                }
                let line = self.places.of_rule(&other.id, "id").line;
                match (rule.scope, other.scope) {
                    (Scope::Loopback, Scope::Remote) | (Scope::Remote, Scope::Loopback) => {
                        let message = format!(
                            "rules `{}` and `{}` (line {line}) want one port to be reached and not to be",
                            rule.id, other.id
                        );
                        let help = "keep the one that the document says";
                        self.find(self.places.of_rule(&rule.id, "scope"), message, help);
                    }
                    (own, theirs) if own == theirs && is_redundant(rule, other) => {
                        let message = format!(
                            "rule `{}` asks for what `{}` (line {line}) asks for already",
                            rule.id, other.id
                        );
                        let help = "make one of the two, or give them conditions that tell them apart";
                        self.find(self.places.of_rule(&rule.id, "ports"), message, help);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Whether a source of one word has several meanings: "Self" is the node, its cluster or the host; nothing is anybody; "All"
/// is plain only if it is every node or every client.
fn needs_reading(rule: &Rule) -> bool {
    let Some(used_by) = &rule.doc_used_by else {
        return true;
    };
    let everybody = [Source::ClusterNodes, Source::AnyClient].map(|source| BTreeSet::from([source]));
    match used_by.trim().to_lowercase().as_str() {
        "" | "self" => true,
        "all" => !everybody.contains(&rule.sources),
        _ => rule.scope == Scope::Loopback,
    }
}

/// Whether two rules concern one port of one role in one version.
fn meet(rule: &Rule, other: &Rule) -> bool {
    let begins_after = |a: &Rule, b: &Rule| a.since.zip(b.until).is_some_and(|(since, until)| since > until);
    (rule.destination, rule.protocol) == (other.destination, other.protocol)
        && !begins_after(rule, other)
        && !begins_after(other, rule)
        && rule
            .ports
            .iter()
            .any(|own| other.ports.iter().any(|theirs| overlap(own, theirs)))
}

/// Whether one of two rules that meet would ask for nothing if the other one stood alone.
fn is_redundant(rule: &Rule, other: &Rule) -> bool {
    let (own, theirs) = (rule.when.as_ref(), other.when.as_ref());
    // Two conditions are two cases, of which nobody else can tell whether they overlap.
    (own == theirs || own.is_none() || theirs.is_none())
        && rule.sources.intersection(&other.sources).next().is_some()
}

fn overlap(own: &PortSpec, theirs: &PortSpec) -> bool {
    let (own, theirs) = (own.in_document(), theirs.in_document());
    own.0 <= theirs.1 && theirs.0 <= own.1
}

fn nearest_version(version: Minor, axis: &[Minor]) -> String {
    let distance = |known: &&Minor| {
        (
            known.major.abs_diff(version.major),
            known.minor.abs_diff(version.minor),
        )
    };
    axis.iter()
        .min_by_key(distance)
        .map_or_else(String::new, Minor::to_string)
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}
