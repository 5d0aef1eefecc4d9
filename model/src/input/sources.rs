//! The words by which files name sources of rules: those of the tables, and names of the user's own.

use crate::{
    profile::{Source, SourceName},
    source::{Complaints, Placed, nearest},
    yaml::fields::At,
};

/// What a list of sources is for, which decides about the valid words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// `stands_for` of a vantage: the cluster's own nodes need nobody to stand for them.
    StandsFor,
    /// `from` of a declared port.
    From,
}

impl Use {
    fn takes(self, source: Source) -> bool {
        match self {
            Self::StandsFor => !source.is_inside(),
            Self::From => !source.is_the_node_itself(),
        }
    }
}

/// A list of sources, or a single one: words of the tables, or names of the user's own.
pub(super) fn read(at: &At<'_>, wanted: Use, complaints: &mut Complaints) -> Vec<Placed<Source>> {
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
    let valid: Vec<&str> = Source::WORDS
        .iter()
        .filter(|(_, source)| wanted.takes(*source))
        .map(|(name, _)| *name)
        .collect();
    let all = format!("valid: {}, or a name of your own", valid.join(", "));
    if let Some((_, source)) = Source::WORDS.iter().find(|(name, _)| *name == word) {
        if wanted.takes(*source) {
            return Some(placed(*source));
        }
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
