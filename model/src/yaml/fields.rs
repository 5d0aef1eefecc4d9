//! Strict reading of a tree: every field is asked for by its name, and what nobody asked for is refused with the nearest
//! name that was asked for.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr};

use super::{Entry, Node, Value};
use crate::source::{Complaints, Gravity, Place, Placed, nearest};

/// A node together with the path by which messages call it.
#[derive(Debug, Clone)]
pub(crate) struct At<'a> {
    /// The node.
    pub(crate) node: &'a Node,
    /// For example `spec.loadBalancer.vips`.
    pub(crate) path: String,
}

/// The fields of a mapping.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    /// Where the mapping starts.
    pub(crate) place: Place,
    path: String,
    entries: &'a [Entry],
    known: Vec<&'static str>,
}

impl<'a> At<'a> {
    /// A node that is a whole document.
    pub(crate) fn document(node: &'a Node) -> Self {
        Self {
            node,
            path: String::new(),
        }
    }

    /// The node's place.
    pub(crate) fn place(&self) -> Place {
        self.node.place
    }

    /// The node as a mapping.
    pub(crate) fn fields(&self, complaints: &mut Complaints) -> Option<Fields<'a>> {
        match &self.node.value {
            Value::Map(entries) => Some(Fields {
                place: self.place(),
                path: self.path.clone(),
                entries,
                known: Vec::new(),
            }),
            _ => self.refuse(
                complaints,
                "a mapping",
                "write `name: value` lines below it, indented further",
            ),
        }
    }

    /// The node as a list; each item's path has its index.
    pub(crate) fn items(&self, complaints: &mut Complaints) -> Vec<Self> {
        match &self.node.value {
            Value::List(nodes) => (nodes.iter().enumerate())
                .map(|(index, node)| At {
                    node,
                    path: format!("{}[{index}]", self.path),
                })
                .collect(),
            _ => {
                let _: Option<()> = self.refuse(complaints, "a list", "write `- item` lines below it");
                Vec::new()
            }
        }
    }

    /// The items of a list, or a value that is no list by itself: `roles: worker` is `roles: [worker]`.
    pub(crate) fn one_or_several(&self) -> Vec<Self> {
        match &self.node.value {
            Value::List(nodes) => (nodes.iter().enumerate())
                .map(|(index, node)| At {
                    node,
                    path: format!("{}[{index}]", self.path),
                })
                .collect(),
            _ => vec![self.clone()],
        }
    }

    /// The node as text.
    pub(crate) fn text(&self, complaints: &mut Complaints) -> Option<Placed<String>> {
        match &self.node.value {
            Value::Scalar { text, .. } => Some(Placed {
                value: text.clone(),
                place: self.place(),
            }),
            _ => self.refuse(complaints, "one value", "write `name: value` on one line"),
        }
    }

    /// The node as anything that reads from text; `help` says what to write.
    pub(crate) fn parsed<T: FromStr>(
        &self,
        complaints: &mut Complaints,
        what: &str,
        help: &str,
    ) -> Option<Placed<T>> {
        let text = self.text(complaints)?;
        match text.value.parse() {
            Ok(value) => Some(Placed {
                value,
                place: text.place,
            }),
            Err(_) => {
                let message = format!("`{}`: \"{}\" is not {what}", self.path, text.value);
                complaints.add_with_help(text.place, message, help);
                None
            }
        }
    }

    /// The node as a whole number within bounds.
    pub(crate) fn number<T>(&self, complaints: &mut Complaints, range: RangeInclusive<T>) -> Option<Placed<T>>
    where
        T: FromStr + PartialOrd + Display,
    {
        let (low, high) = (range.start(), range.end());
        let what = format!("a whole number from {low} to {high}");
        let help = format!("write a number from {low} to {high}");
        if let Some(decimal) = self.octal() {
            let message = format!(
                "`{}`: a number that starts with 0 is octal to some readers of YAML and decimal to others",
                self.path
            );
            let help = format!("write {decimal}, if that is meant");
            complaints.add_with_help(self.place(), message, help);
            return None;
        }
        let number = self.parsed::<T>(complaints, &what, &help)?;
        if range.contains(&number.value) {
            return Some(number);
        }
        complaints.add_with_help(
            number.place,
            format!("`{}`: {} is not {what}", self.path, number.value),
            help,
        );
        None
    }

    /// The node as a truth value; in a vendor's file also in the other words that its own reader takes.
    pub(crate) fn boolean(&self, complaints: &mut Complaints) -> Option<bool> {
        let is_vendors = complaints.unknown_fields().is_some();
        match &self.node.value {
            Value::Scalar { text, plain: true } if text == "true" => Some(true),
            Value::Scalar { text, plain: true } if text == "false" => Some(false),
            Value::Scalar { text, plain: true } if is_vendors && TRUE.contains(&text.as_str()) => Some(true),
            Value::Scalar { text, plain: true } if is_vendors && FALSE.contains(&text.as_str()) => {
                Some(false)
            }
            _ => self.refuse(
                complaints,
                "true or false",
                "write true or false, without quotation marks",
            ),
        }
    }

    /// The node as one of some words.
    pub(crate) fn choice<T: Clone>(
        &self,
        complaints: &mut Complaints,
        words: &[(&str, T)],
    ) -> Option<Placed<T>> {
        let text = self.text(complaints)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(Placed {
                value: value.clone(),
                place: text.place,
            });
        }
        let names = words.iter().map(|(word, _)| *word);
        let all = names.clone().collect::<Vec<_>>().join(", ");
        let help = match nearest(&text.value, names) {
            Some(word) => format!("did you mean `{word}`? valid: {all}"),
            None => format!("valid: {all}"),
        };
        complaints.add_with_help(
            text.place,
            format!("`{}`: unknown value \"{}\"", self.path, text.value),
            help,
        );
        None
    }

    /// The decimal reading of a number that YAML 1.1, which bmctl's reader follows, takes for an octal one.
    fn octal(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Scalar { text, plain: true } if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                let decimal = text.trim_start_matches('0');
                (text.starts_with('0') && !decimal.is_empty()).then_some(decimal)
            }
            _ => None,
        }
    }

    fn refuse<T>(&self, complaints: &mut Complaints, expected: &str, help: &str) -> Option<T> {
        let found = match &self.node.value {
            Value::Null => "nothing".to_owned(),
            Value::Scalar { text, .. } => format!("\"{text}\""),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        };
        let name = if self.path.is_empty() {
            "document"
        } else {
            &self.path
        };
        complaints.add_with_help(
            self.place(),
            format!("`{name}`: expected {expected}, found {found}"),
            help,
        );
        None
    }
}

impl<'a> Fields<'a> {
    /// The field's value; an empty value counts as absent.
    pub(crate) fn optional(&mut self, key: &'static str) -> Option<At<'a>> {
        self.known.push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        (entry.value.value != Value::Null).then(|| At {
            node: &entry.value,
            path: self.path_of(key),
        })
    }

    /// The field's value, or a complaint that it is missing; `help` says what to write.
    pub(crate) fn required(
        &mut self,
        key: &'static str,
        help: &str,
        complaints: &mut Complaints,
    ) -> Option<At<'a>> {
        let found = self.optional(key);
        if found.is_none() {
            // An empty value points at its key, an absent one at the mapping that lacks it.
            let place = self
                .entries
                .iter()
                .find(|entry| entry.key == key)
                .map_or(self.place, |entry| entry.place);
            complaints.add_with_help(place, self.missing(key), help);
        }
        found
    }

    /// Fields that are allowed and not looked into.
    pub(crate) fn free(&mut self, keys: &[&'static str]) {
        self.known.extend(keys);
    }

    /// Every entry, for mappings with names of the user's own.
    pub(crate) fn entries(&self) -> &'a [Entry] {
        self.entries
    }

    /// Refuses every field that was not asked for. Where unknown fields may be ([`Complaints::with_open_fields`]), only those
    /// that look like a slip of a known name are refused, and the others noted.
    pub(crate) fn finish(self, complaints: &mut Complaints) {
        if let Some(check) = complaints.unknown_fields() {
            self.note_unknown(check, complaints);
            return;
        }
        for entry in self
            .entries
            .iter()
            .filter(|entry| !self.known.contains(&entry.key.as_str()))
        {
            let message = format!("unknown field `{}`", self.path_of(&entry.key));
            if complaints.is_full() {
                complaints.add(entry.place, message);
                continue;
            }
            match nearest(&entry.key, self.known.iter().copied()) {
                Some(word) => {
                    self.explain_missing(word, complaints);
                    complaints.add_with_help(entry.place, message, format!("did you mean `{word}`?"))
                }
                None => complaints.add_with_help(entry.place, message, self.valid_names()),
            }
        }
    }

    /// A misspelt field is told once: that the field it was meant to be is missing only follows from it.
    fn explain_missing(&self, word: &str, complaints: &mut Complaints) {
        if !self.entries.iter().any(|entry| entry.key == word) {
            complaints.retract(&self.missing(word));
        }
    }

    fn missing(&self, key: &str) -> String {
        format!("`{}` is missing", self.path_of(key))
    }

    fn note_unknown(&self, check: &'static str, complaints: &mut Complaints) {
        let is_known = |entry: &&Entry| self.known.contains(&entry.key.as_str());
        for (count, entry) in self.entries.iter().filter(|entry| !is_known(entry)).enumerate() {
            let path = self.path_of(&entry.key);
            if count == MAX_UNKNOWN {
                let message = format!("more than {MAX_UNKNOWN} unknown fields, up to `{path}`");
                complaints.add_with_help(entry.place, message, "give the cluster file; this is none");
                return;
            }
            let meant = nearest(&entry.key, self.known.iter().copied());
            if let Some(word) = meant {
                self.explain_missing(word, complaints);
            }
            if !complaints.is_said_first(without_indices(&path)) {
                continue;
            }
            let message = format!("unknown field `{path}`");
            match meant {
                Some(word) => {
                    complaints.add_with_help(entry.place, message, format!("did you mean `{word}`?"));
                }
                None => complaints.find(
                    entry.place,
                    (check, Gravity::Warn),
                    format!("{message}: it is not looked at"),
                    "compare it with the vendor's field reference of this version; remove it if it is not there",
                ),
            }
        }
    }

    fn valid_names(&self) -> String {
        let mut names = self.known.clone();
        names.sort_unstable();
        format!("remove it; valid here: {}", names.join(", "))
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

/// The same field of every item of a list.
fn without_indices(path: &str) -> String {
    let mut is_outside = true;
    path.chars()
        .filter(|c| {
            match c {
                '[' => is_outside = false,
                ']' => is_outside = true,
                _ => return is_outside,
            }
            false
        })
        .collect()
}

/// The vendor's largest mapping has thirty fields: a mapping with more unknown ones than this belongs to another file.
const MAX_UNKNOWN: usize = 200;

/// Further words for truth of YAML 1.1, which bmctl's reader follows (its single letters are left out: nobody means them).
const TRUE: [&str; 8] = ["True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"];

/// Further words for untruth.
const FALSE: [&str; 8] = ["False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"];
