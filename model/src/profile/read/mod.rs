//! Profile text to [`Profile`], strictly: what is not understood is refused, since a rule that is silently left out is a
//! port that is silently not tested.

mod external;
mod head;
mod rule;

use std::collections::BTreeMap;

pub(super) use self::head::{Head, glance};
use self::rule::Words;
use super::{
    Profile, Rule,
    library::{Library, Scope},
};
use crate::{
    source::{Complaints, Place, Placed, Refused, SourceText},
    version::Minor,
    yaml::{
        self,
        fields::{At, Fields},
    },
};

/// Reads a profile; those that it extends are looked for among the built-in ones.
///
/// # Errors
/// Every complaint at once, with line, column and the nearest valid word.
pub fn read(source: &SourceText) -> Result<Profile, Refused> {
    read_among(source, &[])
}

/// Reads a profile; those that it extends are looked for among the built-in ones and these texts.
///
/// # Errors
/// Every complaint at once, with line, column and the nearest valid word.
pub fn read_among(source: &SourceText, others: &[SourceText]) -> Result<Profile, Refused> {
    let mut complaints = Complaints::about(source);
    let library = Library::of(others);
    let profile = yaml::documents(source, &mut complaints).and_then(|documents| match documents.as_slice() {
        [document] => profile(&At::document(document), &library, &mut complaints),
        _ => {
            let message = format!("a profile is one document, found {}", documents.len());
            complaints.add_with_help(Place::START, message, "start with `schema: plumbline/profile/v1`");
            None
        }
    });
    match profile {
        Some(profile) if complaints.is_empty() => Ok(profile),
        _ => Err(complaints.into_refused()),
    }
}

fn profile(document: &At<'_>, library: &Library<'_>, complaints: &mut Complaints) -> Option<Profile> {
    let mut fields = document.fields(complaints)?;
    if let Some(schema) = fields.required("schema", "write `schema: plumbline/profile/v1`", complaints) {
        schema.choice(complaints, &[("plumbline/profile/v1", ())]);
    }
    let head = head::head(&mut fields, complaints);
    let scope = library.scope(&head, complaints);
    let title = text(&mut fields, "title", complaints);
    let sources = texts(&mut fields, "sources", complaints);
    let versions = versions(&mut fields, complaints);
    let role_names = head::role_names(&mut fields, complaints);
    let overlay = head::overlay(&mut fields, complaints);
    let notes = optional_texts(&mut fields, "notes", complaints);
    let words = Words {
        variables: &scope.variables,
        options: &scope.options,
    };
    let stand_ins = match fields.optional("stand_ins") {
        Some(list) => list
            .items(complaints)
            .iter()
            .filter_map(|item| rule::stand_in(item, &words, complaints))
            .collect(),
        None => Vec::new(),
    };
    let external = external::sites(&mut fields, &words, complaints);
    let rules = rules(&mut fields, (&head, &scope), &words, complaints);
    fields.finish(complaints);
    Some(Profile {
        id: head.id?,
        title: title?,
        aliases: head.aliases,
        sources,
        versions,
        extends: head.extends.into_iter().map(|name| name.value).collect(),
        replaces: head.replaces.into_iter().map(|id| id.value).collect(),
        composes: head.composes.into_iter().map(|(_, compose)| compose).collect(),
        role_names,
        options: head.options,
        variables: head.variables,
        overlay,
        notes,
        stand_ins,
        external,
        rules,
    })
}

/// The rules; an id that is there already, here or in a profile that this one extends, is refused.
fn rules(
    fields: &mut Fields<'_>,
    (head, scope): (&Head, &Scope),
    words: &Words<'_>,
    complaints: &mut Complaints,
) -> Vec<Rule> {
    let mut rules = Vec::new();
    let Some(list) = fields.required("rules", "write a list of rules", complaints) else {
        return rules;
    };
    let mut lines: BTreeMap<String, u32> = BTreeMap::new();
    for item in list.items(complaints) {
        let read = rule::rules(&item, words, complaints);
        let Some(id) = read.first().map(|rule| rule.id.clone()) else {
            continue;
        };
        let is_replaced = head.replaces.iter().any(|replaced| replaced.value == id);
        if scope.rules.contains(&id) && !is_replaced {
            complaints.add_with_help(
                item.place(),
                format!("rule id `{id}` is taken by a profile that this one extends"),
                format!("rename it, or write `replaces: [{id}]` if it takes that rule's place"),
            );
        }
        if let Some(line) = lines.insert(id.clone(), item.place().line) {
            let message = format!("rule id `{id}` is written twice");
            let help = format!("rename one; the other is in line {line}");
            complaints.add_with_help(item.place(), message, help);
        }
        rules.extend(read);
    }
    rules
}

/// The versions; absent means that the tables stand for every version.
fn versions(fields: &mut Fields<'_>, complaints: &mut Complaints) -> Vec<Minor> {
    let mut versions: Vec<Minor> = Vec::new();
    let Some(list) = fields.optional("versions") else {
        return versions;
    };
    for item in list.items(complaints) {
        let Some(version) = item.parsed::<Minor>(complaints, "a minor version", "write it like \"1.29\"")
        else {
            continue;
        };
        if versions.last().is_some_and(|last| *last >= version.value) {
            complaints.add(version.place, "versions must ascend");
        }
        versions.push(version.value);
    }
    if versions.is_empty() {
        complaints.add_with_help(
            list.place(),
            "a profile with versions knows at least one",
            "write `versions: [\"1.29\"]`, or leave `versions` out if the tables stand for every version",
        );
    }
    versions
}

fn text(fields: &mut Fields<'_>, key: &'static str, complaints: &mut Complaints) -> Option<String> {
    let help = format!("write `{key}: ...`");
    Some(fields.required(key, &help, complaints)?.text(complaints)?.value)
}

fn texts(fields: &mut Fields<'_>, key: &'static str, complaints: &mut Complaints) -> Vec<String> {
    let help = format!("write `{key}:` and a list");
    match fields.required(key, &help, complaints) {
        Some(list) => values_of(placed_texts(&list, complaints)),
        None => Vec::new(),
    }
}

fn optional_texts(fields: &mut Fields<'_>, key: &'static str, complaints: &mut Complaints) -> Vec<String> {
    match fields.optional(key) {
        Some(list) => values_of(placed_texts(&list, complaints)),
        None => Vec::new(),
    }
}

fn placed_texts(list: &At<'_>, complaints: &mut Complaints) -> Vec<Placed<String>> {
    let items = list.items(complaints);
    items.iter().filter_map(|item| item.text(complaints)).collect()
}

fn values_of(texts: Vec<Placed<String>>) -> Vec<String> {
    texts.into_iter().map(|text| text.value).collect()
}

fn choice<T: Clone>(
    fields: &mut Fields<'_>,
    key: &'static str,
    words: &[(&str, T)],
    complaints: &mut Complaints,
) -> Option<T> {
    let all = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    let at = fields.required(key, &format!("valid: {all}"), complaints)?;
    Some(at.choice(complaints, words)?.value)
}

fn defaulted<T: Clone>(
    fields: &mut Fields<'_>,
    key: &'static str,
    words: &[(&str, T)],
    default: T,
    complaints: &mut Complaints,
) -> T {
    fields
        .optional(key)
        .and_then(|at| at.choice(complaints, words))
        .map_or(default, |word| word.value)
}
