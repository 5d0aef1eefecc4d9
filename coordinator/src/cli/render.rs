//! `plumbline render DIR --format F`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use plumbline_model::{canonical, report::Report};

use super::{Failure, print};
use crate::{exit::Exit, render, store};

#[derive(Debug, Args)]
pub(crate) struct RenderArgs {
    /// The report directory.
    dir: PathBuf,
    /// The format.
    #[arg(long, value_enum)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// One offline page.
    Html,
    /// What `check` prints.
    Text,
    /// report.json as it is.
    Json,
    /// The matrix.
    Csv,
}

/// Prints without verifying: `plumbline verify` is the command for that, and says more.
pub(crate) fn render(args: &RenderArgs) -> Result<Exit, Failure> {
    let bytes = store::read_file(&args.dir, "report.json").map_err(|error| Failure::usage(&error))?;
    let report: Report = canonical::decode(&bytes).map_err(|error| {
        Failure::usage_message(format!(
            "read {}: {}; `plumbline verify` tells what is wrong with it",
            args.dir.join("report.json").display(),
            super::chain(&error)
        ))
    })?;
    let text = match args.format {
        Format::Html => render::html(&report),
        Format::Text => render::text(&report, super::stdout_style()),
        Format::Json => String::from_utf8_lossy(&bytes).into_owned() + "\n",
        Format::Csv => render::csv(&report),
    };
    print(&text)?;
    Ok(Exit::Passed)
}
