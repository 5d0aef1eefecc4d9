//! Texts that people wrote, and what is wrong with them: every complaint names file, line, column and the remedy.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

/// A file as it was read: the name for messages and the whole text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    /// What it means for whoever wants to use the text.
    pub gravity: Gravity,
    /// The id of the check that it belongs to (docs/checks.md); absent for what is no check, such as bad syntax.
    pub check: Option<&'static str>,
}

/// What a complaint means for whoever wants to use the text. Worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gravity {
    /// No cluster, profile or inventory can be made of the text: every command refuses it (exit code 2).
    Unreadable,
    /// It can be read and contradicts itself: an audit makes a finding of it, a plan of it would be of another cluster and is
    /// refused.
    Contradiction,
    /// It can be read and planned, and will not work: a finding that fails.
    Fail,
    /// It deserves a look: a finding that warns.
    Warn,
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

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Line, from 1.
    pub(crate) line: u32,
    /// Column in characters, from 1.
    pub(crate) column: u32,
}

impl Place {
    /// The first character: where a complaint about the whole text points.
    pub(crate) const START: Self = Self { line: 1, column: 1 };
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed<T> {
    /// The value.
    pub(crate) value: T,
    /// Where it starts.
    pub(crate) place: Place,
}

/// Complaints about one text, collected so that its author sees all of them at once.
#[derive(Debug)]
pub(crate) struct Complaints {
    file: String,
    list: Vec<Diagnostic>,
    /// Complaints beyond [`MAX_COLLECTED`].
    uncollected: usize,
    /// How many of the list do not keep the text from being read: they make room for those that do.
    mild: usize,
    /// The check that takes note of fields that nobody knows; without one they keep the text from being read.
    unknown_fields: Option<&'static str>,
    /// What was said once and is not said again for every item of a list.
    said: BTreeSet<String>,
}

impl Complaints {
    /// None so far.
    pub(crate) fn about(source: &SourceText) -> Self {
        Self {
            file: source.name.clone(),
            list: Vec::new(),
            uncollected: 0,
            mild: 0,
            unknown_fields: None,
            said: BTreeSet::new(),
        }
    }

    /// The name of the text that they are about.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// From here on, the author of the text may use fields that came after this build: one that is near no known one is noted
    /// by `check` and does not keep the text from being read.
    pub(crate) fn with_open_fields(self, check: &'static str) -> Self {
        Self {
            unknown_fields: Some(check),
            ..self
        }
    }

    /// The check that takes note of unknown fields, if they may be.
    pub(crate) fn unknown_fields(&self) -> Option<&'static str> {
        self.unknown_fields
    }

    /// Whether this is said for the first time. Every time is the first once a great deal was said.
    pub(crate) fn is_said_first(&mut self, what: String) -> bool {
        self.said.len() >= MAX_COLLECTED || self.said.insert(what)
    }

    /// Takes back the latest complaint with these words, because the one that is added next explains it. Only for one that
    /// keeps the text from being read, and only if the next does, too.
    pub(crate) fn retract(&mut self, message: &str) {
        let is_it = |one: &Diagnostic| one.gravity == Gravity::Unreadable && one.message == message;
        if let Some(at) = self.list.iter().rposition(is_it) {
            self.list.remove(at);
        }
    }

    /// Adds a complaint without a remedy: the text is not readable.
    pub(crate) fn add(&mut self, place: Place, message: impl Into<String>) {
        self.push(place, (Gravity::Unreadable, None), message.into(), None);
    }

    /// Adds a complaint of a check over what was read, and its remedy.
    pub(crate) fn find(
        &mut self,
        place: Place,
        (check, gravity): (&'static str, Gravity),
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(place, (gravity, Some(check)), message.into(), Some(help.into()));
    }

    /// Adds a complaint and what to write instead: the text is not readable.
    pub(crate) fn add_with_help(
        &mut self,
        place: Place,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(
            place,
            (Gravity::Unreadable, None),
            message.into(),
            Some(help.into()),
        );
    }

    /// Whether further complaints are counted only, so that working out remedies for them is wasted.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= MAX_COLLECTED
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether nothing keeps the text from being read; checks may have complained.
    pub(crate) fn is_readable(&self) -> bool {
        self.list
            .iter()
            .all(|complaint| complaint.gravity != Gravity::Unreadable)
    }

    /// What checks complained about in a text that [`Complaints::is_readable`], in the order of the lines.
    pub(crate) fn into_findings(mut self) -> Vec<Diagnostic> {
        self.put_in_order();
        self.list
    }

    fn put_in_order(&mut self) {
        self.list
            .sort_by_key(|complaint| (complaint.line, complaint.column));
        self.list.dedup();
    }

    /// The complaints in the order of the lines, without repetitions, those of checks included: whoever has to mend the text
    /// learns of everything at once.
    pub(crate) fn into_refused(mut self) -> Refused {
        self.put_in_order();
        if self.list.len() > MAX_COMPLAINTS && self.mild > 0 {
            // The screen is too small for everything: what keeps the text from being read comes first.
            self.list.sort_by_key(|complaint| complaint.gravity);
        }
        let more = self.list.len().saturating_sub(MAX_COMPLAINTS) + self.uncollected;
        self.list.truncate(MAX_COMPLAINTS);
        self.put_in_order();
        if more > 0
            && let Some(last) = self.list.last_mut()
        {
            last.help = Some(format!("mend these first; {more} further complaints follow"));
        }
        Refused(self.list)
    }

    fn push(
        &mut self,
        place: Place,
        (gravity, check): (Gravity, Option<&'static str>),
        message: String,
        help: Option<String>,
    ) {
        let is_mild = gravity != Gravity::Unreadable;
        if self.is_full() {
            self.uncollected += 1;
            if is_mild || self.mild == 0 {
                return;
            }
            // What keeps the text from being read is never lost among remarks.
            let last = self
                .list
                .iter()
                .rposition(|one| one.gravity != Gravity::Unreadable);
            if let Some(index) = last {
                self.list.remove(index);
                self.mild -= 1;
            }
        }
        self.mild += usize::from(is_mild);
        let (message, help) = (shortened(message), help.map(shortened));
        let file = self.file.clone();
        self.list.push(Diagnostic {
            file,
            line: place.line,
            column: place.column,
            message,
            help,
            gravity,
            check,
        });
    }
}

/// A complaint quotes the file, and a file may be one long line.
fn shortened(text: String) -> String {
    match text.char_indices().nth(MAX_MESSAGE_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// Five lines of a terminal: no message of ours about readable text is longer.
const MAX_MESSAGE_CHARS: usize = 400;

/// More complaints than this tell nobody more: a binary or mistaken file would fill the screen.
const MAX_COMPLAINTS: usize = 40;

/// Complaints are kept until they can be sorted by line; a megabyte of mistakes must not become a gigabyte of complaints.
const MAX_COLLECTED: usize = 1_000;

/// The nearest of `words` to what was written, if it is near enough to be a slip (a third of its length, at least one
/// edit; Levenshtein distance without regard to case).
pub fn nearest<'a>(written: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written_lower = written.to_lowercase();
    let length = written_lower.chars().count();
    let limit = (length / 3).max(1);
    words
        .into_iter()
        // The distance is at least the difference in length, and much cheaper not to compute.
        .filter(|word| word.chars().count().abs_diff(length) <= limit)
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
    fn what_keeps_a_text_from_being_read_is_not_lost_among_remarks() {
        let mut complaints = Complaints::about(&SourceText::default()).with_open_fields("CFG-001");
        let at = |line| Place { line, column: 1 };
        for line in 1..=2_000 {
            complaints.find(at(line), ("CFG-001", Gravity::Warn), "a remark", "nothing");
        }
        complaints.add_with_help(at(3_000), "a slip", "mend it");
        assert!(!complaints.is_readable());
        let refused = complaints.into_refused();
        assert!(refused.0.iter().any(|one| one.message == "a slip"), "{refused}");
        assert_eq!(refused.0.len(), MAX_COMPLAINTS);
    }

    #[test]
    fn a_slip_finds_its_word_and_nonsense_finds_none() {
        let words = ["controlPlaneVIP", "ingressVIP", "addressPools"];
        assert_eq!(nearest("controlplaneVip", words), Some("controlPlaneVIP"));
        assert_eq!(nearest("ingresVIP", words), Some("ingressVIP"));
        assert_eq!(nearest("banana", words), None);
    }
}
