//! What a profile says before its rules: who it is, whom it extends and composes in, what a cluster can set.

use std::collections::{BTreeMap, BTreeSet};

use super::{choice, optional_texts, placed_texts, text};
use crate::{
    id::Role,
    profile::{
        Composition, Overlay,
        condition::is_built_in,
        options::{Choice, FALSE, Kind, Options, TRUE},
    },
    source::{Complaints, Placed, SourceText, nearest},
    yaml::{
        self, Value,
        fields::{At, Fields},
    },
};

/// What other profiles and texts have to know of a profile.
#[derive(Debug, Default)]
pub(in crate::profile) struct Head {
    pub(in crate::profile) id: Option<String>,
    pub(in crate::profile) aliases: Vec<String>,
    pub(in crate::profile) extends: Vec<Placed<String>>,
    pub(in crate::profile) replaces: Vec<Placed<String>>,
    pub(in crate::profile) composes: Vec<(Placed<String>, Composition)>,
    pub(in crate::profile) options: Options,
    pub(in crate::profile) variables: BTreeMap<String, u16>,
}

impl Head {
    /// Whether this is its id or another name of it.
    pub(in crate::profile) fn is_called(&self, name: &str) -> bool {
        self.id.as_deref() == Some(name) || self.aliases.iter().any(|alias| alias == name)
    }
}

/// The head of a text and the ids of its rules, as far as they can be read; what is wrong with it is for [`super::read`] to
/// say.
pub(in crate::profile) fn glance(source: &SourceText) -> (Head, BTreeSet<String>) {
    let mut unheard = Complaints::about(source);
    let documents = yaml::documents(source, &mut unheard).unwrap_or_default();
    let fields = documents
        .first()
        .and_then(|document| At::document(document).fields(&mut unheard));
    let Some(mut fields) = fields else {
        return (Head::default(), BTreeSet::new());
    };
    let head = head(&mut fields, &mut unheard);
    let rules = fields.optional("rules").map(|list| list.items(&mut unheard));
    let id_of = |rule: &At<'_>| text(&mut rule.fields(&mut unheard)?, "id", &mut unheard);
    let ids = rules.unwrap_or_default().iter().filter_map(id_of).collect();
    (head, ids)
}

pub(super) fn head(fields: &mut Fields<'_>, complaints: &mut Complaints) -> Head {
    Head {
        id: text(fields, "id", complaints),
        aliases: optional_texts(fields, "aliases", complaints),
        extends: few_texts(fields, "extends", complaints),
        replaces: match fields.optional("replaces") {
            Some(list) => placed_texts(&list, complaints),
            None => Vec::new(),
        },
        composes: composes(fields, complaints),
        options: options(fields, complaints),
        variables: variables(fields, complaints),
    }
}

/// Names of other profiles.
fn few_texts(fields: &mut Fields<'_>, key: &'static str, complaints: &mut Complaints) -> Vec<Placed<String>> {
    let Some(list) = fields.optional(key) else {
        return Vec::new();
    };
    let mut names = placed_texts(&list, complaints);
    few(&mut names, &list, complaints);
    names
}

/// Keeps only as many references to other profiles as are looked up.
fn few<T>(references: &mut Vec<T>, list: &At<'_>, complaints: &mut Complaints) {
    if references.len() > MAX_REFERENCES {
        let message = format!("more than {MAX_REFERENCES} other profiles");
        complaints.add_with_help(list.place(), message, "name only those that it needs");
        references.truncate(MAX_REFERENCES);
    }
}

fn composes(fields: &mut Fields<'_>, complaints: &mut Complaints) -> Vec<(Placed<String>, Composition)> {
    let Some(list) = fields.optional("composes") else {
        return Vec::new();
    };
    let items = list.items(complaints);
    let mut composes: Vec<_> = items
        .iter()
        .filter_map(|item| composition(item, complaints))
        .collect();
    few(&mut composes, &list, complaints);
    composes
}

/// `cilium`, or `{profile: cilium, sets: {cni: cilium}}`.
fn composition(item: &At<'_>, complaints: &mut Complaints) -> Option<(Placed<String>, Composition)> {
    let (profile, sets) = match item.node.value {
        Value::Map(_) => {
            let mut fields = item.fields(complaints)?;
            let help = "write `profile: ID`";
            let profile = fields.required("profile", help, complaints);
            let profile = profile.and_then(|at| at.text(complaints));
            let sets = fields
                .optional("sets")
                .and_then(|at| at.fields(complaints))
                .map_or_else(BTreeMap::new, |sets| words(&sets, complaints));
            fields.finish(complaints);
            (profile?, sets)
        }
        _ => (item.text(complaints)?, BTreeMap::new()),
    };
    let composition = Composition {
        profile: profile.value.clone(),
        sets,
    };
    Some((profile, composition))
}

/// Names of the author's own with a word each.
fn words(fields: &Fields<'_>, complaints: &mut Complaints) -> BTreeMap<String, String> {
    let word = |entry: &yaml::Entry| {
        let at = At {
            node: &entry.value,
            path: entry.key.clone(),
        };
        Some((entry.key.clone(), at.text(complaints)?.value))
    };
    fields.entries().iter().filter_map(word).collect()
}

fn options(fields: &mut Fields<'_>, complaints: &mut Complaints) -> Options {
    let mut options = Options::new();
    let Some(entries) = fields.optional("options").and_then(|at| at.fields(complaints)) else {
        return options;
    };
    for entry in entries.entries() {
        if !is_name(&entry.key) || is_built_in(&entry.key) {
            let message = format!("`{}` cannot be the name of an option", entry.key);
            let help = "take lower-case letters, digits and `_`, and no word that conditions have already";
            complaints.add_with_help(entry.place, message, help);
            continue;
        }
        let at = At {
            node: &entry.value,
            path: format!("options.{}", entry.key),
        };
        if let Some(option) = option(&at, complaints) {
            options.insert(entry.key.clone(), option);
        }
    }
    options
}

fn option(at: &At<'_>, complaints: &mut Complaints) -> Option<Choice> {
    let mut fields = at.fields(complaints)?;
    let title = text(&mut fields, "title", complaints);
    let (kind, values) = match fields.optional("values") {
        Some(list) => (Kind::Word, placed_texts(&list, complaints)),
        None => {
            choice(&mut fields, "kind", &[("bool", ())], complaints);
            (Kind::Bool, Vec::new())
        }
    };
    let values: Vec<String> = match kind {
        Kind::Word => super::values_of(values),
        Kind::Bool => vec![FALSE.to_owned(), TRUE.to_owned()],
    };
    let help = format!("valid: {}", values.join(", "));
    let default = fields
        .required("default", &help, complaints)
        .and_then(|at| at.text(complaints));
    fields.finish(complaints);
    let default = default?;
    if !values.contains(&default.value) {
        let near = nearest(&default.value, values.iter().map(String::as_str));
        let help = near.map_or(help, |near| format!("did you mean `{near}`?"));
        let message = format!("the default `{}` is no value of the option", default.value);
        complaints.add_with_help(default.place, message, help);
    }
    Some(Choice {
        title: title?,
        kind,
        values,
        default: default.value,
    })
}

fn variables(fields: &mut Fields<'_>, complaints: &mut Complaints) -> BTreeMap<String, u16> {
    let mut variables = BTreeMap::new();
    let Some(entries) = fields.optional("variables").and_then(|at| at.fields(complaints)) else {
        return variables;
    };
    for entry in entries.entries() {
        let at = At {
            node: &entry.value,
            path: format!("variables.{}", entry.key),
        };
        if let Some(port) = at.number::<u16>(complaints, 1..=u16::MAX) {
            variables.insert(entry.key.clone(), port.value);
        }
    }
    variables
}

pub(super) fn role_names(fields: &mut Fields<'_>, complaints: &mut Complaints) -> BTreeMap<Role, String> {
    let mut names = BTreeMap::new();
    let Some(mut entries) = fields.optional("role_names").and_then(|at| at.fields(complaints)) else {
        return names;
    };
    for role in Role::ALL {
        if let Some(name) = entries.optional(role.as_str()).and_then(|at| at.text(complaints)) {
            names.insert(role, name.value);
        }
    }
    entries.finish(complaints);
    names
}

pub(super) fn overlay(fields: &mut Fields<'_>, complaints: &mut Complaints) -> Option<Overlay> {
    let mut overlay = fields.optional("overlay")?.fields(complaints)?;
    let source = text(&mut overlay, "source", complaints);
    let mut octets = BTreeMap::new();
    let entries = overlay
        .required(
            "octets",
            "write `octets:` and `name: N` lines below it",
            complaints,
        )
        .and_then(|at| at.fields(complaints));
    for entry in entries.iter().flat_map(Fields::entries) {
        let at = At {
            node: &entry.value,
            path: format!("overlay.octets.{}", entry.key),
        };
        if let Some(number) = at.number::<u16>(complaints, 1..=MAX_OVERHEAD) {
            octets.insert(entry.key.clone(), number.value);
        }
    }
    overlay.finish(complaints);
    Some(Overlay {
        source: source?,
        octets,
    })
}

/// The names of options are words of conditions.
fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .chars()
            .all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_')
}

/// Each reference is looked up; no distribution builds on more than one or two others, and there are not many network plugins.
const MAX_REFERENCES: usize = 16;

/// The smallest MTU of IPv6 (RFC 8200 section 5): an overlay that takes more leaves nothing.
const MAX_OVERHEAD: u16 = 1280;
