//! Where things stand in a profile's text: a [`super::Profile`] does not know its lines.

use std::collections::BTreeMap;

use crate::{
    source::{Complaints, Place, SourceText},
    yaml::{self, Entry, Node, Value, fields::At},
};

/// Places of what a linter complains about.
#[derive(Debug, Default)]
pub(super) struct Places {
    keys: BTreeMap<String, Place>,
    options: BTreeMap<String, Place>,
    variables: BTreeMap<String, Place>,
    stand_ins: Vec<Place>,
    rules: BTreeMap<String, (Place, BTreeMap<String, Place>)>,
}

impl Places {
    /// Of a text that can be read.
    pub(super) fn of(source: &SourceText) -> Self {
        let mut unheard = Complaints::about(source);
        let documents = yaml::documents(source, &mut unheard).unwrap_or_default();
        let Some(document) = documents.first() else {
            return Self::default();
        };
        let list = |key| match at(document, key).map(|node| &node.value) {
            Some(Value::List(items)) => items.as_slice(),
            _ => &[],
        };
        Self {
            keys: keys(document),
            options: at(document, "options").map(keys).unwrap_or_default(),
            variables: at(document, "variables").map(keys).unwrap_or_default(),
            stand_ins: list("stand_ins").iter().map(|item| item.place).collect(),
            rules: list("rules")
                .iter()
                .filter_map(|rule| Some((id(rule, &mut unheard)?, (rule.place, keys(rule)))))
                .collect(),
        }
    }

    pub(super) fn key(&self, key: &str) -> Place {
        self.keys.get(key).copied().unwrap_or(Place::START)
    }

    pub(super) fn option(&self, name: &str) -> Place {
        self.options.get(name).copied().unwrap_or(Place::START)
    }

    pub(super) fn variable(&self, name: &str) -> Place {
        self.variables.get(name).copied().unwrap_or(Place::START)
    }

    pub(super) fn stand_in(&self, index: usize) -> Place {
        self.stand_ins.get(index).copied().unwrap_or(Place::START)
    }

    /// A field of a rule; the rule itself where the field is not written.
    pub(super) fn of_rule(&self, id: &str, key: &str) -> Place {
        self.rules.get(id).map_or(Place::START, |(rule, keys)| {
            keys.get(key).copied().unwrap_or(*rule)
        })
    }
}

/// Where a rule stands in a text.
pub(in crate::profile) fn place_of(source: &SourceText, rule: &str) -> Place {
    let places = Places::of(source);
    places.rules.get(rule).map_or(Place::START, |(place, _)| *place)
}

fn entries(node: &Node) -> &[Entry] {
    match &node.value {
        Value::Map(entries) => entries,
        _ => &[],
    }
}

fn at<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    let entry = entries(node).iter().find(|entry| entry.key == key)?;
    Some(&entry.value)
}

fn keys(node: &Node) -> BTreeMap<String, Place> {
    let entries = entries(node).iter();
    entries.map(|entry| (entry.key.clone(), entry.place)).collect()
}

fn id(rule: &Node, unheard: &mut Complaints) -> Option<String> {
    let id = At {
        node: at(rule, "id")?,
        path: String::new(),
    };
    Some(id.text(unheard)?.value)
}
