//! firewalld's XML files: bounded, without DTD and so without entities.

use roxmltree::{Document, ParsingOptions};

/// Parses a file.
///
/// # Errors
/// If it is not well-formed, declares a document type, or has more nodes than any file of firewalld's.
pub(super) fn parse(text: &str) -> Result<Document<'_>, roxmltree::Error> {
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: MAX_NODES,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(text, options)
}

/// A zone of a thousand rich rules has some ten thousand nodes.
const MAX_NODES: u32 = 50_000;
