//! The words by which files name roles: ours, and those of the profile.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    id::Role,
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
