//! `plumbline profiles lint [FILE...]`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use plumbline_model::{
    profile,
    source::{Diagnostic, Gravity, SourceText},
};
use serde::Serialize;

use super::super::{Failure, print, read_text};
use crate::exit::Exit;

#[derive(Debug, Args)]
pub(crate) struct LintArgs {
    /// Profile files; those that one of them extends may be among them. Without any, the built-in profiles.
    files: Vec<PathBuf>,
    /// The format.
    #[arg(short = 'o', long = "output", value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// One complaint a paragraph, as compilers write them.
    Text,
    /// A list of complaints.
    Json,
}

/// One complaint of `-o json`.
#[derive(Serialize)]
struct Complaint<'a> {
    file: &'a str,
    /// From 1.
    line: u32,
    /// In characters, from 1.
    column: u32,
    /// `error`: the profile cannot be read; `warning`: it can, and something is to be mended.
    gravity: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
}

pub(super) fn lint(args: &LintArgs) -> Result<Exit, Failure> {
    let texts = match args.files.as_slice() {
        [] => profile::BUILTIN
            .into_iter()
            .filter_map(profile::builtin)
            .collect(),
        files => files
            .iter()
            .map(|file| read_text(file))
            .collect::<Result<Vec<_>, _>>()?,
    };
    let complaints = complaints(&texts);
    let text = match args.output {
        Output::Text => text(&complaints, texts.len()),
        Output::Json => {
            let listed: Vec<Complaint<'_>> = complaints.iter().map(listed).collect();
            serde_json::to_string_pretty(&listed).map_err(|error| Failure::usage(&error))? + "\n"
        }
    };
    print(&text)?;
    Ok(match complaints.iter().map(|complaint| complaint.gravity).min() {
        None => Exit::Passed,
        Some(Gravity::Unreadable) => Exit::Usage,
        Some(_) => Exit::Failed,
    })
}

fn complaints(texts: &[SourceText]) -> Vec<Diagnostic> {
    let of = |text: &SourceText| profile::lint(text, texts).unwrap_or_else(|refused| refused.0);
    texts.iter().flat_map(of).collect()
}

fn text(complaints: &[Diagnostic], profiles: usize) -> String {
    let counted = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let profiles = counted(profiles, "profile");
    if complaints.is_empty() {
        return format!("{profiles}, nothing to mend\n");
    }
    let mut text = String::new();
    for complaint in complaints {
        text.push_str(&format!("{complaint}\n"));
    }
    text + &format!("{profiles}, {} to mend\n", counted(complaints.len(), "thing"))
}

fn listed(complaint: &Diagnostic) -> Complaint<'_> {
    Complaint {
        file: &complaint.file,
        line: complaint.line,
        column: complaint.column,
        gravity: match complaint.gravity {
            Gravity::Unreadable => "error",
            Gravity::Contradiction | Gravity::Fail | Gravity::Warn => "warning",
        },
        message: &complaint.message,
        help: complaint.help.as_deref(),
    }
}
