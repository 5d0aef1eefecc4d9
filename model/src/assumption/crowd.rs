//! How a sentence speaks of several: by name, by number, or of all of them.

use std::collections::BTreeSet;

use super::Scene;
use crate::id::NodeId;

/// Those of whom something is said.
#[derive(Debug)]
pub(super) struct Crowd {
    /// By name, or how many of how many.
    some: String,
    /// How many they are, if they are all there are, and more than one.
    all: Option<usize>,
    /// What each of them is.
    noun: &'static str,
}

impl Crowd {
    /// These, out of so many `noun`s.
    pub(super) fn of(scene: &Scene<'_>, nodes: &BTreeSet<NodeId>, out_of: usize, noun: &'static str) -> Self {
        let named = nodes.iter().take(MAX_NAMED).map(|node| scene.name(*node));
        let named = named.collect::<Vec<_>>().join(", ");
        Self {
            some: match nodes.len() {
                count if count > MAX_NAMED => format!("{count} of {out_of} {noun}s"),
                _ => named,
            },
            all: Some(nodes.len()).filter(|count| *count == out_of && *count > 1),
            noun,
        }
    }

    /// Of whom it is true: `both nodes`, `all 3 nodes`, `10.0.0.1`.
    pub(super) fn who(&self) -> String {
        let noun = self.noun;
        match self.all {
            Some(2) => format!("both {noun}s"),
            Some(count) => format!("all {count} {noun}s"),
            None => self.some.clone(),
        }
    }

    /// Of whom it is not: `answers neither node`, `answers none of the 3 nodes`, `does not answer 10.0.0.1`.
    pub(super) fn denied(&self, affirmed: &str, denied: &str) -> String {
        match self.none() {
            Some(none) => format!("{affirmed} {none}"),
            None => format!("{denied} {}", self.some),
        }
    }

    /// What they cannot: `neither node can`, `none of the 3 nodes can`, `10.0.0.1 cannot`.
    pub(super) fn cannot(&self) -> String {
        match self.none() {
            Some(none) => format!("{none} can"),
            None => format!("{} cannot", self.some),
        }
    }

    fn none(&self) -> Option<String> {
        let noun = self.noun;
        self.all.map(|count| match count {
            2 => format!("neither {noun}"),
            count => format!("none of the {count} {noun}s"),
        })
    }
}

/// Names that a sentence lists.
const MAX_NAMED: usize = 4;

/// Nodes in a sentence: all of a few by name, and how many more.
pub(super) fn listed(scene: &Scene<'_>, nodes: &[NodeId]) -> String {
    match nodes.len().saturating_sub(SHOWN) {
        0 => enumerated(&named(scene, nodes)),
        more => format!("{} and {more} more", named(scene, &nodes[..SHOWN]).join(", ")),
    }
}

fn named(scene: &Scene<'_>, nodes: &[NodeId]) -> Vec<String> {
    nodes.iter().map(|node| scene.name(*node)).collect()
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn enumerated(words: &[String]) -> String {
    match words {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// So many names are read in a sentence that is about them.
const SHOWN: usize = 6;
