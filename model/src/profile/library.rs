//! Profiles by name: the built-in ones and those that the user adds, and which of them a cluster needs.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Profile,
    options::Options,
    read::{Head, glance, read_among},
};
use crate::{
    inventory::Inventory,
    source::{Complaints, Placed, Refused, SourceText, nearest},
};

/// Ids of the profiles that come with Plumbline: distributions first, then network plugins.
pub const BUILTIN: [&str; 9] = [
    "gdc-bare-metal",
    "kubeadm",
    "rke2",
    "k3s",
    "openshift",
    "talos",
    "kubespray",
    "cilium",
    "calico",
];

/// The text of a profile that comes with Plumbline, by its id or an alias; the text's name is the id.
pub fn builtin(name: &str) -> Option<SourceText> {
    by_id(name).or_else(|| {
        BUILTIN
            .into_iter()
            .filter_map(by_id)
            .find(|text| glance(text).0.is_called(name))
    })
}

fn by_id(id: &str) -> Option<SourceText> {
    let text = match id {
        "gdc-bare-metal" => include_str!("../../profiles/gdc-bare-metal.yaml"),
        "kubeadm" => include_str!("../../profiles/kubeadm.yaml"),
        "rke2" => include_str!("../../profiles/rke2.yaml"),
        "k3s" => include_str!("../../profiles/k3s.yaml"),
        "openshift" => include_str!("../../profiles/openshift.yaml"),
        "talos" => include_str!("../../profiles/talos.yaml"),
        "kubespray" => include_str!("../../profiles/kubespray.yaml"),
        "cilium" => include_str!("../../profiles/cilium.yaml"),
        "calico" => include_str!("../../profiles/calico.yaml"),
        _ => return None,
    };
    Some(SourceText {
        name: id.to_owned(),
        text: text.to_owned(),
    })
}

/// Every name by which a profile can be found, ids and aliases, among the built-in ones and these.
pub(crate) fn names(added: &[SourceText]) -> Vec<String> {
    Library::of(added).names()
}

/// The profile of a name, among the built-in ones and these.
pub(crate) fn find(name: &str, added: &[SourceText]) -> Option<SourceText> {
    Library::of(added).find(name)
}

/// Why the profiles of a cluster cannot be gathered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownProfile {
    /// No profile has this name.
    #[error("find profile {name:?}: `plumbline profiles list` names them{}", did_you_mean(.near.as_deref()))]
    Name {
        /// The name.
        name: String,
        /// The nearest name that a profile has.
        near: Option<String>,
    },
    /// A built-in profile that the cluster's profile does not compose in.
    #[error("compose {name:?} into {profile}: it takes {}", .takes.join(", "))]
    Composition {
        /// The profile that was to be composed in.
        name: String,
        /// The cluster's profile.
        profile: String,
        /// What can be composed in, or the word `nothing`.
        takes: Vec<String>,
    },
}

fn did_you_mean(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean {near}?"))
}

/// The texts of the profiles that apply to a cluster: see [`texts_of`].
///
/// # Errors
/// If a name is unknown, or a built-in profile is to be composed in where it does not belong.
pub fn texts_for(inventory: &Inventory, added: Vec<SourceText>) -> Result<Vec<SourceText>, UnknownProfile> {
    texts_of(&inventory.profile, &inventory.with, &added)
}

/// The texts of a profile and of what comes with it, every one once: its own and those that it extends, what is composed in
/// and what that extends, then those that were added and nobody named. A name is looked for among the built-in ids and
/// aliases first, then among the added texts.
///
/// # Errors
/// If a name is unknown, or a built-in profile is to be composed in where it does not belong.
pub fn texts_of(
    profile: &str,
    with: &[String],
    added: &[SourceText],
) -> Result<Vec<SourceText>, UnknownProfile> {
    let library = Library::of(added);
    let mut texts = Vec::new();
    library.gather(profile, &mut texts)?;
    let composes: Vec<String> = texts
        .iter()
        .flat_map(|text| composed_by(text, &library))
        .collect();
    for name in with {
        let text = library.find(name).ok_or_else(|| library.unknown(name))?;
        // What the user writes, the user may compose in anywhere.
        if builtin(&text.name).is_some_and(|known| known == text) && !composes.contains(&text.name) {
            return Err(UnknownProfile::Composition {
                name: name.clone(),
                profile: profile.to_owned(),
                takes: match composes.is_empty() {
                    true => vec!["nothing".to_owned()],
                    false => composes,
                },
            });
        }
        library.gather(name, &mut texts)?;
    }
    for text in added {
        take(text, &mut texts);
    }
    Ok(texts)
}

/// Names of the texts that a profile composes in.
fn composed_by(text: &SourceText, library: &Library<'_>) -> Vec<String> {
    let (head, _) = glance(text);
    let composed = head.composes.iter();
    composed
        .filter_map(|(name, _)| Some(library.find(&name.value)?.name))
        .collect()
}

fn take(text: &SourceText, texts: &mut Vec<SourceText>) -> bool {
    let is_new = !texts.contains(text);
    if is_new {
        texts.push(text.clone());
    }
    is_new
}

/// Reads the profiles of a run, lets what is composed in set options and what extends replace rules, and adds the rules that
/// the inputs declare.
///
/// # Errors
/// If one of them cannot be read, or a rule's id is in two of them.
pub fn all(texts: &[SourceText], declared: Option<&Profile>) -> Result<Vec<Profile>, Refused> {
    let read = |text: &SourceText| read_among(text, texts);
    let mut profiles: Vec<Profile> = texts.iter().map(read).collect::<Result<_, _>>()?;
    set_options(&mut profiles);
    replace_rules(&mut profiles);
    refuse_twins(texts, &profiles)?;
    profiles.extend(declared.cloned());
    Ok(profiles)
}

/// What a profile sets when another one is composed in becomes the default, of whomever the option is.
fn set_options(profiles: &mut [Profile]) {
    let mut sets: Vec<(String, String)> = Vec::new();
    for profile in profiles.iter() {
        for composition in &profile.composes {
            let is_there = |other: &Profile| other.is_called(&composition.profile);
            if profiles.iter().any(is_there) {
                sets.extend(composition.sets.clone());
            }
        }
    }
    for (option, value) in &sets {
        for profile in profiles.iter_mut() {
            profile.set_default(option, value);
        }
    }
}

pub(super) fn replace_rules(profiles: &mut [Profile]) {
    for index in 0..profiles.len() {
        let replaces = profiles[index].replaces.clone();
        let extended = extended_by(index, profiles);
        for other in extended {
            profiles[other].rules.retain(|rule| !replaces.contains(&rule.id));
        }
    }
}

/// Which profiles one extends, over any number of steps, itself left out.
fn extended_by(index: usize, profiles: &[Profile]) -> BTreeSet<usize> {
    let mut extended = BTreeSet::new();
    let mut waiting = vec![index];
    while let Some(next) = waiting.pop() {
        for name in &profiles[next].extends {
            let found = profiles.iter().position(|profile| profile.is_called(name));
            waiting.extend(found.filter(|found| *found != index && extended.insert(*found)));
        }
    }
    extended
}

/// A rule's id tells one rule from all others of a run, in reports and in waivers.
fn refuse_twins(texts: &[SourceText], profiles: &[Profile]) -> Result<(), Refused> {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for (text, profile) in texts.iter().zip(profiles) {
        let mut complaints = Complaints::about(text);
        for rule in &profile.rules {
            let owner = owners.entry(&rule.id).or_insert(&profile.id);
            if *owner != profile.id {
                complaints.add_with_help(
                    super::lint::place_of(text, &rule.id),
                    format!("rule id `{}` is also in profile {owner}", rule.id),
                    format!("rename it, for example `{}.{}`", profile.id, rule.id),
                );
            }
        }
        if !complaints.is_empty() {
            return Err(complaints.into_refused());
        }
    }
    Ok(())
}

/// Where profiles are looked for.
pub(super) struct Library<'a> {
    added: &'a [SourceText],
}

/// What the rules of a profile may use, its own and what it extends.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) options: Options,
    pub(super) variables: BTreeMap<String, u16>,
    /// Ids of rules of the profiles that it extends.
    pub(super) rules: BTreeSet<String>,
}

/// Where a way along `extends` leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Ever further, to its end.
    On,
    /// Back to where it began.
    Back,
}

impl<'a> Library<'a> {
    /// The built-in profiles and these.
    pub(super) fn of(added: &'a [SourceText]) -> Self {
        Self { added }
    }

    fn find(&self, name: &str) -> Option<SourceText> {
        let is_called = |text: &&SourceText| glance(text).0.is_called(name);
        builtin(name).or_else(|| self.added.iter().find(is_called).cloned())
    }

    fn names(&self) -> Vec<String> {
        let known = BUILTIN.into_iter().filter_map(by_id);
        known
            .chain(self.added.iter().cloned())
            .flat_map(|text| {
                let (head, _) = glance(&text);
                head.id.into_iter().chain(head.aliases)
            })
            .collect()
    }

    fn near(&self, name: &str) -> Option<String> {
        let names = self.names();
        nearest(name, names.iter().map(String::as_str)).map(str::to_owned)
    }

    fn unknown(&self, name: &str) -> UnknownProfile {
        UnknownProfile::Name {
            name: name.to_owned(),
            near: self.near(name),
        }
    }

    /// Takes a profile and, behind it, those that it extends.
    fn gather(&self, name: &str, texts: &mut Vec<SourceText>) -> Result<(), UnknownProfile> {
        let mut waiting = vec![name.to_owned()];
        while let Some(name) = waiting.pop() {
            let text = self.find(&name).ok_or_else(|| self.unknown(&name))?;
            // Whoever is there already has brought those that it extends.
            if take(&text, texts) {
                let extends = glance(&text).0.extends;
                waiting.extend(extends.into_iter().rev().map(|name| name.value));
            }
        }
        Ok(())
    }

    /// What the profile and those that it extends declare. Complains about names that are unknown.
    pub(super) fn scope(&self, head: &Head, complaints: &mut Complaints) -> Scope {
        let mut scope = Scope::default();
        let mut is_whole = true;
        for name in &head.extends {
            match self.find(&name.value) {
                _ if head.is_called(&name.value) => {
                    let message = format!("`{}` extends itself", name.value);
                    complaints.add_with_help(name.place, message, "remove it from `extends`");
                }
                Some(text) => {
                    if self.widen(&mut scope, text, head) == Turn::Back {
                        let message = format!("`{}` extends this profile in turn", name.value);
                        complaints.add_with_help(
                            name.place,
                            message,
                            "remove it from `extends` of one of the two",
                        );
                    }
                }
                None => {
                    self.complain(name, complaints);
                    // Read on as if the near name stood there, so that one slip is not told again by all that rests on it.
                    match self.near(&name.value).and_then(|near| self.find(&near)) {
                        Some(text) => {
                            self.widen(&mut scope, text, head);
                        }
                        None => is_whole = false,
                    }
                }
            }
        }
        let is_unknown = |id: &&Placed<String>| is_whole && !scope.rules.contains(&id.value);
        for replaced in head.replaces.iter().filter(is_unknown) {
            let message = format!("no profile that this one extends has a rule `{}`", replaced.value);
            let near = nearest(&replaced.value, scope.rules.iter().map(String::as_str));
            let help = near.map_or_else(
                || "remove it from `replaces`".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            complaints.add_with_help(replaced.place, message, help);
        }
        scope.options.extend(head.options.clone());
        scope.variables.extend(head.variables.clone());
        self.check_compositions(head, &scope, complaints);
        scope
    }

    /// Adds what a profile and those that it extends declare; the nearer one counts. Tells whether they lead back to the one
    /// that extends it, which adds nothing to itself.
    fn widen(&self, scope: &mut Scope, text: SourceText, by: &Head) -> Turn {
        let mut turn = Turn::On;
        let mut seen = Vec::new();
        let mut waiting = vec![text];
        while let Some(text) = waiting.pop() {
            if !take(&text, &mut seen) {
                continue;
            }
            let (head, rules) = glance(&text);
            if head.id.is_some() && head.id == by.id {
                turn = Turn::Back;
                continue;
            }
            scope.rules.extend(rules);
            for (name, option) in head.options {
                scope.options.entry(name).or_insert(option);
            }
            for (name, port) in head.variables {
                scope.variables.entry(name).or_insert(port);
            }
            for name in &head.extends {
                match self.find(&name.value) {
                    Some(text) => waiting.push(text),
                    // A profile that is looked at by itself need not be among those that can be found.
                    None if by.is_called(&name.value) => turn = Turn::Back,
                    None => {}
                }
            }
        }
        turn
    }

    /// Every option that a composition sets is one of this profile or of the one that is composed in.
    fn check_compositions(&self, head: &Head, scope: &Scope, complaints: &mut Complaints) {
        for (name, composition) in &head.composes {
            let Some(text) = self.find(&name.value) else {
                self.complain(name, complaints);
                continue;
            };
            let theirs = glance(&text).0.options;
            for (option, value) in &composition.sets {
                let declared = scope.options.get(option).or_else(|| theirs.get(option));
                if declared.is_some_and(|declared| declared.takes(value)) {
                    continue;
                }
                let message = format!(
                    "`{option}: {value}` is no option of this profile or of {}",
                    name.value
                );
                let words: Vec<&str> = match declared {
                    Some(declared) => declared.values.iter().map(String::as_str).collect(),
                    None => scope
                        .options
                        .keys()
                        .chain(theirs.keys())
                        .map(String::as_str)
                        .collect(),
                };
                complaints.add_with_help(name.place, message, format!("valid: {}", words.join(", ")));
            }
        }
    }

    fn complain(&self, name: &Placed<String>, complaints: &mut Complaints) {
        let help = match self.near(&name.value) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "take an id that `plumbline profiles list` names, or add its file".to_owned(),
        };
        complaints.add_with_help(name.place, format!("unknown profile `{}`", name.value), help);
    }
}
