//! Errors, as they are told to a person: with all their causes, once, at the edge.

use std::error::Error;

use plumbline_proto::convert::sanitised;

/// An error with its causes, as one line fit for a terminal.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat the cause in the message.
        if !line.ends_with(&cause_text) {
            line = format!("{line}: {cause_text}");
        }
        source = cause.source();
    }
    sanitised(&line)
}
