//! A text that is a value of another file: `spec.configYAML` of a PreflightCheck holds a whole cluster file. What is wrong in
//! it is told with lines of the outer file, which is the one that people have.

use super::{Node, Origin, Value, documents_at};
use crate::source::{Complaints, Place, SourceText};

/// The documents of the text that a scalar of `source` holds; `None` if it is no text or cannot be parsed to its end, with
/// the reason among the complaints.
pub(crate) fn documents_within(
    source: &SourceText,
    scalar: &Node,
    complaints: &mut Complaints,
) -> Option<Vec<Node>> {
    let Value::Scalar { text, .. } = &scalar.value else {
        return None;
    };
    documents_at(text, origin(&source.text, text, scalar.place), complaints)
}

/// Finds the text's lines again below its place. A block scalar with `|` stands there line by line, each indented by the
/// same spaces; in every other style the lines were folded or escaped, and have no lines of their own.
fn origin(outer: &str, inner: &str, place: Place) -> Origin {
    let first = usize::try_from(place.line)
        .unwrap_or(usize::MAX)
        .saturating_sub(1);
    let below: Vec<&str> = outer.lines().skip(first).collect();
    let inner: Vec<&str> = inner.lines().collect();
    let Some(written) = inner.iter().position(|line| !line.is_empty()) else {
        return Origin::Point(place);
    };
    for start in 0..=LINES_UNTIL_TEXT {
        let Some(lines) = below.get(start..) else { break };
        let indent = lines
            .get(written)
            .and_then(|line| line.trim_end_matches('\r').strip_suffix(inner[written]))
            .filter(|indent| indent.bytes().all(|byte| byte == b' '));
        if let Some(indent) = indent
            && stands_in(lines, &inner, indent)
        {
            let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
            return Origin::Block {
                lines: number(first + start),
                columns: number(indent.len()),
            };
        }
    }
    Origin::Point(place)
}

fn stands_in(lines: &[&str], inner: &[&str], indent: &str) -> bool {
    lines.len() >= inner.len()
        && lines.iter().zip(inner).all(|(outer, inner)| {
            let outer = outer.trim_end_matches('\r');
            match outer.strip_prefix(indent) {
                Some(rest) => rest == *inner,
                None => inner.is_empty() && outer.trim_start_matches(' ').is_empty(),
            }
        })
}

/// The text begins in the line of its place or in the next one: which of the two is the parser's business.
const LINES_UNTIL_TEXT: usize = 1;
