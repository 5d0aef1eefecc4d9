//! What a cluster can set: options (words) and variables (ports), and what of it no profile of a run knows.

use std::collections::{BTreeMap, BTreeSet};

use super::Profile;
use crate::{inventory::Inventory, source::nearest};

/// An option that a profile declares: one word out of a few, or a truth value. An inventory sets it under `options:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What it decides, for people.
    pub title: String,
    /// How it is written.
    pub kind: Kind,
    /// The words that it takes; `true` and `false` for a truth value.
    pub values: Vec<String>,
    /// What counts where the inventory does not set it: one of the values.
    pub default: String,
}

/// How an option is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`; a condition asks for it by its name alone.
    Bool,
    /// A word; a condition asks for `name == word`.
    Word,
}

impl Choice {
    /// Whether a text is one of its values.
    pub fn takes(&self, value: &str) -> bool {
        self.values.iter().any(|known| known == value)
    }
}

/// Something that an inventory sets and that no profile of the run can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Misfit {
    /// Where the inventory sets it.
    pub setting: Setting,
    /// What is wrong, lower case, without a full stop.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// A setting of an inventory, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// `options.NAME`.
    Option(String),
    /// `variables.NAME`.
    Variable(String),
}

/// What an inventory sets that no profile of the run declares, and values that an option does not take. Every misfit at
/// once, in the order of the names; none means that everything that is set has an effect.
pub fn check_options(inventory: &Inventory, profiles: &[Profile]) -> Vec<Misfit> {
    let options = inventory
        .options
        .iter()
        .filter_map(|(name, value)| option_misfit(name, value, profiles));
    let variables = inventory
        .variables
        .keys()
        .filter_map(|name| variable_misfit(name, profiles));
    options.chain(variables).collect()
}

fn option_misfit(name: &str, value: &str, profiles: &[Profile]) -> Option<Misfit> {
    let setting = Setting::Option(name.to_owned());
    let mut declarations = profiles
        .iter()
        .filter_map(|profile| Some((profile, profile.options.get(name)?)))
        .peekable();
    if declarations.peek().is_none() {
        let known = profiles.iter().flat_map(|profile| profile.options.keys());
        return Some(Misfit {
            setting,
            message: format!("no profile of this run declares the option `{name}`"),
            help: remedy(name, known, profiles),
        });
    }
    let (profile, option) = declarations.find(|(_, option)| !option.takes(value))?;
    let all = option.values.join(", ");
    let near = nearest(value, option.values.iter().map(String::as_str));
    Some(Misfit {
        setting,
        message: format!(
            "`{value}` is no value of the option `{name}` of profile {}",
            profile.id
        ),
        help: match near {
            Some(near) => format!("did you mean `{near}`? valid: {all}"),
            None => format!("valid: {all}"),
        },
    })
}

fn variable_misfit(name: &str, profiles: &[Profile]) -> Option<Misfit> {
    if profiles
        .iter()
        .any(|profile| profile.variables.contains_key(name))
    {
        return None;
    }
    let known = profiles.iter().flat_map(|profile| profile.variables.keys());
    Some(Misfit {
        setting: Setting::Variable(name.to_owned()),
        message: format!("no profile of this run declares the variable `{name}`"),
        help: remedy(name, known, profiles),
    })
}

fn remedy<'a>(name: &str, known: impl Iterator<Item = &'a String>, profiles: &[Profile]) -> String {
    let known: BTreeSet<&str> = known.map(String::as_str).collect();
    if let Some(near) = nearest(name, known.iter().copied()) {
        return format!("did you mean `{near}`?");
    }
    let ids: Vec<&str> = profiles.iter().map(|profile| profile.id.as_str()).collect();
    let all: Vec<&str> = known.into_iter().collect();
    match all.as_slice() {
        [] => format!("remove it; {} know none", ids.join(", ")),
        all => format!("remove it; {} know {}", ids.join(", "), all.join(", ")),
    }
}

impl Profile {
    /// The value of an option that this profile declares in a cluster.
    pub fn value_of<'a>(&'a self, option: &str, inventory: &'a Inventory) -> Option<&'a str> {
        let declared = self.options.get(option)?;
        Some(inventory.options.get(option).unwrap_or(&declared.default))
    }

    /// Gives an option another default, here and in the conditions that ask for it.
    pub(super) fn set_default(&mut self, option: &str, value: &str) {
        if let Some(declared) = self.options.get_mut(option) {
            value.clone_into(&mut declared.default);
        }
        let of_rules = self.rules.iter_mut().filter_map(|rule| rule.when.as_mut());
        let of_stand_ins = self
            .stand_ins
            .iter_mut()
            .filter_map(|stand_in| stand_in.when.as_mut());
        for condition in of_rules.chain(of_stand_ins) {
            condition.set_default(option, value);
        }
    }
}

/// What a text of an option of kind bool can be.
pub(super) const TRUE: &str = "true";
pub(super) const FALSE: &str = "false";

/// Options by name.
pub(super) type Options = BTreeMap<String, Choice>;
