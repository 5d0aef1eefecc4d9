//! YAML text to a tree in which every key and value knows its place.
//!
//! A derived deserializer stops at the first complaint and reads the version `1.30` as the number 1.3. Administrators
//! want all complaints at once and their versions as they wrote them, so the parser's events (serde-saphyr's own parser)
//! are folded into a tree, and [`fields`] reads the tree strictly.

mod embedded;
pub(crate) mod fields;

use std::collections::BTreeMap;

use granit_parser::{self, ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};

pub(crate) use self::embedded::documents_within;
use crate::source::{Complaints, Place, SourceText};

/// A value in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Where it starts; an empty value stands where its key does.
    pub(crate) place: Place,
    /// What it is.
    pub(crate) value: Value,
}

/// What a node is. Scalars keep their text: what it means is up to the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A scalar.
    Scalar {
        /// The text without quotes.
        text: String,
        /// Whether it was written without quotes, so that it may be a number or a truth value.
        plain: bool,
    },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the text.
    Map(Vec<Entry>),
}

/// One key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The key.
    pub(crate) key: String,
    /// Where the key stands.
    pub(crate) place: Place,
    /// Its value.
    pub(crate) value: Node,
}

/// The documents of a stream; empty and comment-only ones are left out. `None` if the text cannot be parsed to its end;
/// the reason is then among the complaints. Repeated keys are complained about, and the first one counts.
pub(crate) fn documents(source: &SourceText, complaints: &mut Complaints) -> Option<Vec<Node>> {
    documents_at(&source.text, Origin::Whole, complaints)
}

/// Where the places of a text lie in the file that people see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The text is the file.
    Whole,
    /// The text is a block scalar of the file: so many lines above it, so many columns to its left.
    Block { lines: u32, columns: u32 },
    /// The text was written with escapes or was folded: everything in it stands where it starts.
    Point(Place),
}

impl Origin {
    fn place(self, line: usize, column: usize) -> Place {
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let (line, column) = (number(line), number(column));
        match self {
            Self::Whole => Place { line, column },
            Self::Block { lines, columns } => Place {
                line: line.saturating_add(lines),
                column: column.saturating_add(columns),
            },
            Self::Point(place) => place,
        }
    }

    fn of(self, marker: &Marker) -> Place {
        self.place(marker.line(), marker.col().saturating_add(1))
    }
}

fn documents_at(text: &str, origin: Origin, complaints: &mut Complaints) -> Option<Vec<Node>> {
    if !is_readable_text(text, origin, complaints) {
        return None;
    }
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut builder = Builder::new(origin, complaints);
    for event in Parser::new_from_str_with_options(text, options) {
        let outcome = match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => {
                builder
                    .complaints
                    .add_with_help(origin.of(error.marker()), error.info(), remedy(&error));
                Err(Stop)
            }
        };
        if outcome.is_err() {
            return None;
        }
    }
    Some(builder.documents)
}

/// Why reading ends early; the complaint has been made.
struct Stop;

/// A collection that is being read.
struct Frame {
    place: Place,
    anchor: usize,
    collection: Collection,
}

enum Collection {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        key: Option<Key>,
        seen: BTreeMap<String, Place>,
        /// What `<<` brings in; it yields to the mapping's own keys, wherever they stand.
        merged: Option<Node>,
    },
}

/// A key whose value is yet to come.
struct Key {
    name: String,
    place: Place,
    /// Whether it is the merge key of YAML 1.1, which bmctl's reader knows.
    is_merge: bool,
}

struct Builder<'c> {
    origin: Origin,
    complaints: &'c mut Complaints,
    documents: Vec<Node>,
    open: Vec<Frame>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    copied_bytes: usize,
}

impl<'c> Builder<'c> {
    fn new(origin: Origin, complaints: &'c mut Complaints) -> Self {
        Self {
            origin,
            complaints,
            documents: Vec::new(),
            open: Vec::new(),
            anchors: BTreeMap::new(),
            nodes: 0,
            copied_bytes: 0,
        }
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        let place = self.origin.of(&span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.check_tag(tag.as_deref(), place);
                let node = Node {
                    place,
                    value: scalar(&text, style, tag.as_deref()),
                };
                self.count(1, place)?;
                self.complete(node, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), place);
                self.count(1, place)?;
                self.open.push(Frame {
                    place,
                    anchor,
                    collection: Collection::List(Vec::new()),
                });
                Ok(())
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), place);
                self.count(1, place)?;
                let collection = Collection::Map {
                    entries: Vec::new(),
                    key: None,
                    seen: BTreeMap::new(),
                    merged: None,
                };
                self.open.push(Frame {
                    place,
                    anchor,
                    collection,
                });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(anchor, place),
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            // Directives, comments and anchor metadata say nothing about values; the rest of the enum is open.
            _ => Ok(()),
        }
    }

    /// The innermost list or map is whole.
    fn close(&mut self) -> Result<(), Stop> {
        let Some(frame) = self.open.pop() else {
            return Ok(());
        };
        let value = match frame.collection {
            Collection::List(items) => Value::List(items),
            Collection::Map {
                mut entries,
                mut seen,
                merged,
                ..
            } => {
                if let Some(node) = merged {
                    merge(&mut entries, &mut seen, node, self.complaints);
                }
                Value::Map(entries)
            }
        };
        let node = Node {
            place: frame.place,
            value,
        };
        self.complete(node, frame.anchor)
    }

    /// The value of an anchor once more, which weighs as much as it did the first time.
    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), Stop> {
        // The parser refuses an alias before its anchor; an anchor that is still open contains itself.
        let Some(anchored) = self.anchors.get(&anchor) else {
            self.complaints
                .add_with_help(place, "alias of a value that contains it", "write the value out");
            return Err(Stop);
        };
        let (weight, bytes) = (weight(anchored), text_bytes(anchored));
        self.count(weight, place)?;
        self.count_copied(bytes, place)?;
        if let Some(Node { value, .. }) = self.anchors.get(&anchor).cloned() {
            self.attach(Node { place, value });
        }
        Ok(())
    }

    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        if anchor != 0 {
            self.count(weight(&node), node.place)?;
            self.count_copied(text_bytes(&node), node.place)?;
            self.anchors.insert(anchor, node.clone());
        }
        self.attach(node);
        Ok(())
    }

    /// Puts a complete node where it belongs: into the innermost open collection, or among the documents.
    fn attach(&mut self, mut node: Node) {
        let complaints = &mut *self.complaints;
        match self.open.last_mut().map(|frame| &mut frame.collection) {
            None if node.value == Value::Null => {}
            None => self.documents.push(node),
            Some(Collection::List(items)) => items.push(node),
            Some(Collection::Map {
                entries,
                key,
                seen,
                merged,
            }) => match key.take() {
                None => *key = Some(key_of(node, complaints)),
                Some(Key {
                    name,
                    place,
                    is_merge,
                }) => {
                    if node.value == Value::Null {
                        node.place = place;
                    }
                    if let Some(first) = seen.get(&name) {
                        let line = first.line;
                        complaints.add_with_help(
                            place,
                            format!("key `{name}` is written twice"),
                            format!("keep one of them; the other is in line {line}"),
                        );
                        return;
                    }
                    seen.insert(name.clone(), place);
                    if is_merge {
                        *merged = Some(node);
                    } else {
                        entries.push(Entry {
                            key: name,
                            place,
                            value: node,
                        });
                    }
                }
            },
        }
    }

    fn count(&mut self, nodes: usize, place: Place) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            let message = format!("more than {MAX_NODES} values (aliases counted where they are used)");
            self.complaints
                .add_with_help(place, message, "give the cluster file alone; this is none");
            return Err(Stop);
        }
        Ok(())
    }

    /// Counts text that an anchor or an alias is about to copy: few values, each of megabytes, are a bomb, too.
    fn count_copied(&mut self, bytes: usize, place: Place) -> Result<(), Stop> {
        self.copied_bytes = self.copied_bytes.saturating_add(bytes);
        if self.copied_bytes > MAX_COPIED_BYTES {
            let message = format!("aliases repeat more than {MAX_COPIED_BYTES} bytes of text");
            self.complaints
                .add_with_help(place, message, "give the cluster file alone; this is none");
            return Err(Stop);
        }
        Ok(())
    }

    fn check_tag(&mut self, tag: Option<&Tag>, place: Place) {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            let message = format!("tag `{}` is not understood", tag.original());
            self.complaints.add_with_help(place, message, "remove the tag");
        }
    }
}

fn key_of(node: Node, complaints: &mut Complaints) -> Key {
    let (name, is_merge) = match node.value {
        Value::Scalar { text, plain } => {
            let is_merge = plain && text == "<<";
            (text, is_merge)
        }
        Value::Null | Value::List(_) | Value::Map(_) => {
            complaints.add_with_help(node.place, "a key must be a word", "write `name: value`");
            (String::new(), false)
        }
    };
    Key {
        name,
        place: node.place,
        is_merge,
    }
}

/// Adds what `<<` names: one mapping, or a list of them of which the earlier win. Entries keep the places where they are
/// written, so that a complaint points at the line to mend.
fn merge(
    entries: &mut Vec<Entry>,
    seen: &mut BTreeMap<String, Place>,
    node: Node,
    complaints: &mut Complaints,
) {
    let place = node.place;
    let sources = match node.value {
        Value::List(items) => items,
        value => vec![Node { place, value }],
    };
    for source in sources {
        let Value::Map(brought) = source.value else {
            let help = "write `<<: *NAME`, where `&NAME` stands before a mapping";
            complaints.add_with_help(source.place, "`<<` merges mappings, and this is none", help);
            continue;
        };
        for entry in brought {
            if !seen.contains_key(&entry.key) {
                seen.insert(entry.key.clone(), entry.place);
                entries.push(entry);
            }
        }
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let plain = style == ScalarStyle::Plain && !tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
    if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Value::Null;
    }
    Value::Scalar {
        text: text.to_owned(),
        plain,
    }
}

fn weight(node: &Node) -> usize {
    1 + match &node.value {
        Value::Null | Value::Scalar { .. } => 0,
        Value::List(items) => items.iter().map(weight).sum(),
        Value::Map(entries) => entries.iter().map(|entry| weight(&entry.value)).sum(),
    }
}

/// The bytes of a value's texts and keys.
fn text_bytes(node: &Node) -> usize {
    match &node.value {
        Value::Null => 0,
        Value::Scalar { text, .. } => text.len(),
        Value::List(items) => items.iter().map(text_bytes).sum(),
        Value::Map(entries) => entries
            .iter()
            .map(|entry| entry.key.len() + text_bytes(&entry.value))
            .sum(),
    }
}

/// Refuses what is no text before the parser sees it, so that the message says so instead of naming a stray character.
fn is_readable_text(text: &str, origin: Origin, complaints: &mut Complaints) -> bool {
    if text.len() > MAX_TEXT_BYTES {
        let message = format!("{} bytes are too many (at most {MAX_TEXT_BYTES})", text.len());
        complaints.add_with_help(
            origin.place(1, 1),
            message,
            "give the cluster file that bmctl reads, not a dump",
        );
        return false;
    }
    let is_stray = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    for (index, line) in text.split('\n').enumerate() {
        if let Some((column, character)) = line.chars().enumerate().find(|(_, c)| is_stray(*c)) {
            let place = origin.place(index + 1, column + 1);
            let message = format!(
                "control character U+{:04X}: this is not a text file",
                u32::from(character)
            );
            complaints.add_with_help(place, message, "give the cluster file that bmctl reads");
            return false;
        }
    }
    true
}

fn remedy(error: &ScanError) -> &'static str {
    match error.kind() {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabAtBlockScalarStart => "replace the tab with spaces: YAML indents with spaces only",
        ErrorKind::RecursionLimitExceeded => {
            "give the cluster file that bmctl reads: it never nests this deep"
        }
        ErrorKind::UnknownAnchor => "write the value out, or define its anchor before it",
        ErrorKind::UnclosedQuotedScalar | ErrorKind::DocumentIndicatorInQuotedScalar => {
            "close the quotation mark"
        }
        ErrorKind::MappingValueNotAllowed => "write a colon and a space after the key of the line above",
        ErrorKind::SimpleKeyExpected => "write a colon and a space after the key, `name: value`",
        _ => "compare the indentation and punctuation of this line with the lines above it",
    }
}

/// Cluster files of thousands of nodes stay under one megabyte; more than this is another file given by mistake.
const MAX_TEXT_BYTES: usize = 16 << 20;

/// A thousand nodes make about three thousand values. The cap ends alias bombs before they fill the memory.
const MAX_NODES: usize = 400_000;

/// What anchors and aliases may copy: as much as the largest text holds.
const MAX_COPIED_BYTES: usize = MAX_TEXT_BYTES;

/// The vendor's deepest field is eight levels down.
const MAX_DEPTH: usize = 48;

#[cfg(test)]
mod tests;
