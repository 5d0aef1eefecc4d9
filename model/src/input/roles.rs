//! The words by which files name roles and sources: ours, and those of the profile.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    id::Role,
    profile::{Source, SourceName},
    source::{Complaints, Placed, nearest},
    yaml::fields::At,
};

/// Names of roles: what a file may write, and what is meant.
#[derive(Debug, Clone)]
pub(super) struct Roles {
    words: BTreeMap<String, BTreeSet<Role>>,
    /// As valid words are listed: the profile's own first.
    all: String,
}

impl Roles {
    /// Our own words, and these of the distribution.
    pub(super) fn with(own: BTreeMap<String, BTreeSet<Role>>) -> Self {
        let ours = Role::ALL.map(|role| (role.as_str().to_owned(), BTreeSet::from([role])));
        let all: Vec<&str> = own
            .keys()
            .map(String::as_str)
            .filter(|word| ours.iter().all(|(our, _)| our != word))
            .chain(Role::ALL.map(Role::as_str))
            .collect();
        Self {
            all: all.join(", "),
            words: ours.iter().cloned().chain(own.clone()).collect(),
        }
    }

    /// Every valid word, for messages.
    pub(super) fn all(&self) -> &str {
        &self.all
    }

    /// Every valid word.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.words.keys().map(String::as_str)
    }

    /// What a word means.
    pub(super) fn get(&self, word: &str) -> Option<&BTreeSet<Role>> {
        self.words.get(word)
    }

    /// A list of words, or a single one.
    pub(super) fn read(&self, at: &At<'_>, complaints: &mut Complaints) -> BTreeSet<Role> {
        let mut roles = BTreeSet::new();
        for item in at.one_or_several() {
            let Some(text) = item.text(complaints) else {
                continue;
            };
            match self.get(&text.value) {
                Some(meant) => roles.extend(meant),
                None => self.refuse(&text, &item.path, complaints),
            }
        }
        roles
    }

    fn refuse(&self, text: &Placed<String>, path: &str, complaints: &mut Complaints) {
        let near = nearest(&text.value, self.words.keys().map(String::as_str));
        let near = near.map_or_else(String::new, |word| format!("did you mean `{word}`? "));
        complaints.add_with_help(
            text.place,
            format!("`{path}`: unknown role \"{}\"", text.value),
            format!("{near}valid: {}", self.all),
        );
    }
}

impl Default for Roles {
    fn default() -> Self {
        Self::with(BTreeMap::new())
    }
}

/// What a list of sources is for, which decides about the valid words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// `stands_for` of a vantage: the cluster's own nodes need nobody to stand for them.
    StandsFor,
    /// `from` of a declared port.
    From,
}

impl Use {
    fn words(self) -> &'static [(&'static str, Source)] {
        match self {
            Self::StandsFor => &OUTSIDE,
            Self::From => &SOURCES,
        }
    }
}

/// A list of sources, or a single one: words of the tables, or names of the user's own.
pub(super) fn sources(at: &At<'_>, wanted: Use, complaints: &mut Complaints) -> Vec<Placed<Source>> {
    let items = at.one_or_several();
    items
        .iter()
        .filter_map(|item| source(item, wanted, complaints))
        .collect()
}

fn source(at: &At<'_>, wanted: Use, complaints: &mut Complaints) -> Option<Placed<Source>> {
    let text = at.text(complaints)?;
    let placed = |value| Placed {
        value,
        place: text.place,
    };
    let word = text.value.as_str();
    if let Some((_, source)) = wanted.words().iter().find(|(name, _)| *name == word) {
        return Some(placed(*source));
    }
    let valid: Vec<&str> = wanted.words().iter().map(|(name, _)| *name).collect();
    let all = format!("valid: {}, or a name of your own", valid.join(", "));
    if INSIDE.contains(&word) {
        let message = format!(
            "`{}`: `{word}` are the cluster's own nodes, which speak for themselves",
            at.path
        );
        complaints.add_with_help(text.place, message, all);
        return None;
    }
    // A slip in a word of the tables would be a name that nobody else uses.
    if let Some(near) = nearest(word, valid.iter().copied()) {
        let message = format!("`{}`: unknown source \"{word}\"", at.path);
        complaints.add_with_help(text.place, message, format!("did you mean `{near}`? {all}"));
        return None;
    }
    match word.parse::<SourceName>() {
        Ok(name) => Some(placed(Source::Named(name))),
        Err(_) => {
            let message = format!("`{}`: \"{word}\" names no source", at.path);
            let help =
                "a name of your own has up to 32 lower-case letters, digits and underscores, a letter first";
            complaints.add_with_help(text.place, message, format!("{help}; {all}"));
            None
        }
    }
}

/// Sources outside the cluster, for which a vantage may stand.
const OUTSIDE: [(&str, Source); 5] = [
    ("external_load_balancer", Source::ExternalLoadBalancer),
    ("any_client", Source::AnyClient),
    ("admin_cluster_nodes", Source::AdminClusterNodes),
    ("admin_workstation", Source::AdminWorkstation),
    ("floating_ip", Source::FloatingIp),
];

/// Sources that a declared port may name.
const SOURCES: [(&str, Source); 9] = [
    ("external_load_balancer", Source::ExternalLoadBalancer),
    ("any_client", Source::AnyClient),
    ("admin_cluster_nodes", Source::AdminClusterNodes),
    ("admin_workstation", Source::AdminWorkstation),
    ("floating_ip", Source::FloatingIp),
    ("cluster_nodes", Source::ClusterNodes),
    ("control_plane", Source::ControlPlane),
    ("load_balancer", Source::LoadBalancer),
    ("worker", Source::Worker),
];

/// Words of the tables that mean nodes of the cluster.
const INSIDE: [&str; 6] = [
    "cluster_nodes",
    "control_plane",
    "load_balancer",
    "worker",
    "self_node",
    "loopback",
];
