//! `plumbline render DIR --format F`.

use std::{collections::BTreeMap, path::PathBuf};

use clap::{Args, ValueEnum};
use plumbline_identity::dsse::Envelope;
use plumbline_model::{canonical, evidence::Payload, input, profile, report::Report, source::SourceText};

use super::{Failure, print, remark};
use crate::{
    exit::Exit,
    render::{
        self, Extent,
        csv::{Reason, Wanted},
    },
    store,
};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RenderArgs {
    /// The report directory.
    dir: PathBuf,
    /// The format.
    #[arg(long, value_enum)]
    format: Format,
    /// What the rows of the CSV are.
    #[arg(long, value_enum, default_value_t = Rows::Matrix)]
    rows: Rows,
    /// Text and Markdown: every finding, every command, no line cut.
    #[arg(long)]
    full: bool,
}

const EXAMPLES: &str = "\
Nothing is verified: `plumbline verify` is the command for that.

Examples:
  plumbline render DIR --format text --full | less
  plumbline render DIR --format junit > plumbline.xml     for a pipeline
  plumbline render DIR --format markdown                  for a ticket
  plumbline render DIR --format csv --rows requests       what firewalls must let through";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One offline page.
    Html,
    /// What `check` prints.
    Text,
    /// report.json as it is.
    Json,
    /// The matrix, or the firewall request list (--rows).
    Csv,
    /// JUnit XML: a suite for each check, a case for each subject.
    Junit,
    /// For a ticket.
    #[value(alias = "md")]
    Markdown,
    /// Not built yet.
    #[value(hide = true)]
    Sarif,
}

/// What the rows of the CSV are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rows {
    /// Every test of the matrix.
    Matrix,
    /// The firewall request list: what did not work, by source, destination and rule.
    Requests,
    /// The same of everything that the rules ask for.
    AllRequests,
}

/// Prints without verifying: `plumbline verify` is the command for that, and says more.
pub(crate) fn render(args: &RenderArgs) -> Result<Exit, Failure> {
    if args.rows != Rows::Matrix && args.format != Format::Csv {
        return Err(Failure::usage_message(
            "render: --rows is for --format csv; another format has no rows to choose",
        ));
    }
    if args.full && !matches!(args.format, Format::Text | Format::Markdown) {
        return Err(Failure::usage_message(
            "render: --full is for --format text and markdown; the other formats always hold everything",
        ));
    }
    let bytes = store::read_file(&args.dir, "report.json").map_err(|error| Failure::usage(&error))?;
    let report: Report = canonical::decode(&bytes).map_err(|error| {
        Failure::usage_message(format!(
            "read {}: {}; `plumbline verify` tells what is wrong with it",
            args.dir.join("report.json").display(),
            super::chain(&error)
        ))
    })?;
    let extent = if args.full { Extent::Full } else { Extent::Brief };
    let text = match args.format {
        Format::Html => render::html(&report),
        Format::Text => render::text(&report, super::stdout_style(), extent),
        Format::Json => String::from_utf8_lossy(&bytes).into_owned() + "\n",
        Format::Csv => csv(args, &report),
        Format::Junit => render::junit(&report),
        Format::Markdown => render::markdown(&report, extent),
        Format::Sarif => {
            return Err(Failure::usage_message(
                "render as sarif: this build has no SARIF yet; it has html, text, json, csv, junit and markdown \
                 (junit is for pipelines, too)",
            ));
        }
    };
    print(&text)?;
    Ok(Exit::Passed)
}

fn csv(args: &RenderArgs, report: &Report) -> String {
    let wanted = match args.rows {
        Rows::Matrix => return render::csv::matrix(report),
        Rows::Requests => Wanted::Failed,
        Rows::AllRequests => Wanted::All,
    };
    let reasons = reasons(args, report);
    if reasons.is_empty() {
        remark("the evidence does not tell the profiles' words: the columns purpose and citation are empty");
    }
    render::csv::requests(report, &reasons, wanted)
}

/// A run record holds the texts of all inputs, of 16 MiB each at most; real ones are under a megabyte.
const MAX_RUN_RECORD_BYTES: u64 = 64 * 1024 * 1024;

/// What each rule is for, from the texts in the run record. A directory without evidence (a redacted report) has the names of
/// the profiles only: those of this build speak for themselves then.
fn reasons(args: &RenderArgs, report: &Report) -> BTreeMap<String, Reason> {
    let line = store::first_line(&args.dir, "evidence.jsonl", MAX_RUN_RECORD_BYTES).ok();
    let payload = line.and_then(|line| Envelope::parse(&line).ok()?.unverified_payload().ok());
    let run = payload.and_then(|payload| canonical::decode(&payload).ok());
    let (texts, declared) = match run {
        Some(Payload::Run(run)) => {
            let declared = input::read(&run.inputs, &run.profiles).ok();
            (run.profiles, declared.and_then(|understood| understood.declared))
        }
        _ => (built_in(report), None),
    };
    let profiles = profile::all(&texts, declared.as_ref()).unwrap_or_default();
    let rules = profiles.into_iter().flat_map(|profile| profile.rules);
    rules
        .map(|rule| {
            let reason = Reason {
                purpose: rule.purpose,
                cited: rule.cited,
            };
            (rule.id, reason)
        })
        .collect()
}

fn built_in(report: &Report) -> Vec<SourceText> {
    let names = report.inputs.iter().map(|input| input.name.as_str());
    names.filter_map(profile::builtin).collect()
}
