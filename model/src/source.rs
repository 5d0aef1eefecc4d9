//! Texts that people wrote, and what is wrong with them: every complaint names file, line, column and the remedy.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A file as it was read: the name for messages and the whole text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceText {
    /// The name as the user gave it (path or profile name).
    pub name: String,
    /// The text.
    pub text: String,
}

/// One complaint about a text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// The file's name.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong, lower case, without a full stop.
    pub message: String,
    /// What to write instead, if that can be told.
    pub help: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

/// Why a text was refused: at least one complaint, in the order of the lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Refused(pub Vec<Diagnostic>);

/// The nearest of `words` to what was written, if it is near enough to be a slip (a third of its length, at least one
/// edit; Levenshtein distance without regard to case).
pub fn nearest<'a>(written: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written_lower = written.to_lowercase();
    let limit = (written_lower.chars().count() / 3).max(1);
    words
        .into_iter()
        .map(|word| (distance(&written_lower, &word.to_lowercase()), word))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, word)| word)
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_nonsense_finds_none() {
        let words = ["controlPlaneVIP", "ingressVIP", "addressPools"];
        assert_eq!(nearest("controlplaneVip", words), Some("controlPlaneVIP"));
        assert_eq!(nearest("ingresVIP", words), Some("ingressVIP"));
        assert_eq!(nearest("banana", words), None);
    }
}
