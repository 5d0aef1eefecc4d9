//! What a plain inventory chooses: its profiles, and the options and variables of these.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    id::Role,
    inventory::Inventory,
    profile::{self, Setting, UnknownProfile},
    source::{Complaints, Place, Placed, Refused, SourceText, nearest},
    yaml::fields::{At, Fields},
};

/// The profiles that an inventory names.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// The id of its own.
    pub(super) profile: Option<Placed<String>>,
    /// What is composed in.
    pub(super) with: Vec<Placed<String>>,
    /// Its own profile's words for roles, and those of the profiles that it extends.
    pub(super) role_names: BTreeMap<String, BTreeSet<Role>>,
}

impl Chosen {
    /// Reads `profile` and `with`.
    ///
    /// # Errors
    /// If the profile that is named does not read.
    pub(super) fn read(
        fields: &mut Fields<'_>,
        added: &[SourceText],
        complaints: &mut Complaints,
    ) -> Result<Self, Refused> {
        let names = Names::of(added);
        let mut chosen = Self::default();
        let help = format!("valid: {}", names.all());
        if let Some(at) = fields.required("profile", &help, complaints) {
            chosen.profile = names.one_of(&at, complaints);
        }
        if let Some(name) = &mut chosen.profile {
            name.value = id_of(&name.value, added)?;
            chosen.role_names = role_names(&name.value, added)?;
        }
        let Some(at) = fields.optional("with") else {
            return Ok(chosen);
        };
        for item in at.one_or_several() {
            let Some(mut name) = names.one_of(&item, complaints) else {
                continue;
            };
            name.value = id_of(&name.value, added)?;
            if chosen.with.iter().any(|other| other.value == name.value) {
                let message = format!("`{}`: `{}` is composed in already", item.path, name.value);
                complaints.add_with_help(name.place, message, "remove it");
            } else {
                chosen.with.push(name);
            }
        }
        Ok(chosen)
    }
}

/// An alias is as good as an id, and the id is what is recorded.
fn id_of(name: &str, added: &[SourceText]) -> Result<String, Refused> {
    match profile::find(name, added) {
        Some(text) => Ok(profile::read_among(&text, added)?.id),
        None => Ok(name.to_owned()),
    }
}

/// A distribution's own words; the nearer profile's count.
fn role_names(id: &str, added: &[SourceText]) -> Result<BTreeMap<String, BTreeSet<Role>>, Refused> {
    let mut words: BTreeMap<String, BTreeSet<Role>> = BTreeMap::new();
    let (mut waiting, mut seen) = (vec![id.to_owned()], BTreeSet::new());
    while let Some(name) = waiting.pop() {
        let Some(text) = profile::find(&name, added).filter(|text| seen.insert(text.name.clone())) else {
            continue;
        };
        let profile = profile::read_among(&text, added)?;
        let mut own: BTreeMap<String, BTreeSet<Role>> = BTreeMap::new();
        for (role, word) in profile.role_names {
            own.entry(word).or_default().insert(role);
        }
        own.append(&mut words);
        words = own;
        waiting.extend(profile.extends);
    }
    Ok(words)
}

/// Names of profiles.
struct Names(Vec<String>);

impl Names {
    fn of(added: &[SourceText]) -> Self {
        let mut names = profile::names(added);
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        Self(names)
    }

    fn all(&self) -> String {
        self.0.join(", ")
    }

    fn one_of(&self, at: &At<'_>, complaints: &mut Complaints) -> Option<Placed<String>> {
        let text = at.text(complaints)?;
        if self.0.contains(&text.value) {
            return Some(text);
        }
        let near = nearest(&text.value, self.0.iter().map(String::as_str));
        let near = near.map_or_else(String::new, |id| format!("did you mean `{id}`? "));
        let message = format!("`{}`: no profile is called \"{}\"", at.path, text.value);
        let help = format!(
            "{near}valid: {}; `--profile FILE` adds one of your own",
            self.all()
        );
        complaints.add_with_help(text.place, message, help);
        None
    }
}

/// Options and variables with their places.
#[derive(Debug, Default)]
pub(super) struct Settings {
    options: BTreeMap<String, Placed<String>>,
    variables: BTreeMap<String, Placed<u16>>,
}

impl Settings {
    /// Reads `options` and `variables`.
    pub(super) fn read(fields: &mut Fields<'_>, complaints: &mut Complaints) -> Self {
        Self {
            options: named(fields, "options", complaints, |at, complaints| {
                at.text(complaints)
            }),
            variables: named(fields, "variables", complaints, |at, complaints| {
                at.number::<u16>(complaints, 1..=u16::MAX)
            }),
        }
    }

    /// Puts them into the inventory.
    pub(super) fn give(&self, inventory: &mut Inventory) {
        let options = self.options.iter();
        inventory.options = options
            .map(|(name, value)| (name.clone(), value.value.clone()))
            .collect();
        let variables = self.variables.iter();
        inventory.variables = variables.map(|(name, port)| (name.clone(), port.value)).collect();
    }

    fn place_of(&self, setting: &Setting) -> Place {
        let place = match setting {
            Setting::Option(name) => self.options.get(name).map(|value| value.place),
            Setting::Variable(name) => self.variables.get(name).map(|port| port.place),
        };
        place.unwrap_or(Place::START)
    }
}

/// A mapping with names of the profiles' own.
fn named<T>(
    fields: &mut Fields<'_>,
    key: &'static str,
    complaints: &mut Complaints,
    read: impl Fn(&At<'_>, &mut Complaints) -> Option<Placed<T>>,
) -> BTreeMap<String, Placed<T>> {
    let entries = fields.optional(key).and_then(|at| at.fields(complaints));
    let entries = entries.iter().flat_map(|entries| entries.entries());
    entries
        .filter_map(|entry| {
            let at = At {
                node: &entry.value,
                path: format!("{key}.{}", entry.key),
            };
            Some((entry.key.clone(), read(&at, complaints)?))
        })
        .collect()
}

/// Complains about what the profiles of the inventory cannot use.
///
/// # Errors
/// If one of the profiles does not read.
pub(super) fn check(
    inventory: &Inventory,
    (chosen, settings): (&Chosen, &Settings),
    added: &[SourceText],
    complaints: &mut Complaints,
) -> Result<(), Refused> {
    let place_of = |wanted: &str| {
        let mut names = chosen.with.iter().chain(&chosen.profile);
        names
            .find(|name| name.value == wanted)
            .map_or(Place::START, |name| name.place)
    };
    let texts = match profile::texts_for(inventory, added.to_vec()) {
        Ok(texts) => texts,
        Err(UnknownProfile::Composition { name, profile, takes }) => {
            let message = format!("`{name}` cannot be composed into {profile}");
            complaints.add_with_help(place_of(&name), message, format!("it takes {}", takes.join(", ")));
            return Ok(());
        }
        Err(UnknownProfile::Name { name, .. }) => {
            let help = "`plumbline profiles list` names them; `--profile FILE` adds one of your own";
            complaints.add_with_help(place_of(&name), format!("no profile is called \"{name}\""), help);
            return Ok(());
        }
    };
    for misfit in profile::check_options(inventory, &profile::all(&texts, None)?) {
        complaints.add_with_help(settings.place_of(&misfit.setting), misfit.message, misfit.help);
    }
    Ok(())
}
