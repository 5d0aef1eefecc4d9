//! `plumbline profiles list | show | lint`.

mod lint;
mod show;

use clap::Subcommand;
use comfy_table::{ContentArrangement, Table, presets};
use plumbline_model::{
    profile::{self, Profile},
    version::Minor,
};

use self::{lint::LintArgs, show::ShowArgs};
use super::{Failure, print};
use crate::exit::Exit;

#[derive(Debug, Subcommand)]
pub(crate) enum ProfilesCommand {
    /// The profiles by name: distributions and network plugins, what fits together, and what an inventory can set.
    List,
    /// A profile's tables: exactly the rows of the document.
    Show(ShowArgs),
    /// What is wrong with profiles, and what a careful author would mend; without files, the built-in ones.
    #[command(after_help = LINT_HELP)]
    Lint(LintArgs),
}

const LINT_HELP: &str = "Exit codes: 0 nothing to mend, 1 something that a careful author would mend, 2 an error, or no such file.
docs/profiles.md is the guide to write a profile.";

pub(crate) fn profiles(command: &ProfilesCommand) -> Result<Exit, Failure> {
    match command {
        ProfilesCommand::List => list(),
        ProfilesCommand::Show(args) => show::show(args),
        ProfilesCommand::Lint(args) => lint::lint(args),
    }
}

fn list() -> Result<Exit, Failure> {
    let profiles: Vec<Profile> = profile::BUILTIN
        .into_iter()
        .filter_map(profile::builtin)
        .map(|text| profile::read(&text).map_err(|refused| Failure::usage(&refused)))
        .collect::<Result<_, _>>()?;
    let is_plugin = |plugin: &Profile| {
        let compositions = profiles.iter().flat_map(|profile| &profile.composes);
        compositions
            .into_iter()
            .any(|composed| plugin.is_called(&composed.profile))
    };
    let (plugins, distributions): (Vec<_>, Vec<_>) = profiles.iter().partition(|profile| is_plugin(profile));
    print(&format!(
        "Distributions (`profile:` of an inventory)\n{}\n\nNetwork plugins (`with:` of an inventory)\n{}\n\n\
         `plumbline profiles show NAME` prints the tables. A distribution that is not here is a file of some lines: docs/profiles.md.\n",
        of_group(&distributions).trim_fmt(),
        of_group(&plugins).trim_fmt()
    ))?;
    Ok(Exit::Passed)
}

fn of_group(profiles: &[&Profile]) -> Table {
    let mut table = plain_table([
        "NAME",
        "VERSIONS",
        "RULES",
        "BUILDS ON",
        "COMPOSES",
        "OPTIONS",
        "TITLE",
    ]);
    for profile in profiles {
        let composes: Vec<&str> = profile
            .composes
            .iter()
            .map(|composed| composed.profile.as_str())
            .collect();
        let options: Vec<&str> = profile.options.keys().map(String::as_str).collect();
        table.add_row([
            profile.id.clone(),
            versions(profile),
            profile.rules.len().to_string(),
            or_dash(profile.extends.join(" ")),
            or_dash(composes.join(" ")),
            or_dash(options.join(" ")),
            profile.title.clone(),
        ]);
    }
    table
}

fn versions(profile: &Profile) -> String {
    let versions: Vec<String> = profile.versions.iter().map(Minor::to_string).collect();
    match versions.is_empty() {
        true => "every".to_owned(),
        false => versions.join(" "),
    }
}

fn or_dash(text: String) -> String {
    match text.is_empty() {
        true => "-".to_owned(),
        false => text,
    }
}

/// A table without lines, which survives being pasted into a ticket.
pub(super) fn plain_table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    table
}

/// The word by which a unit-like enum is written in JSON.
pub(super) fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}
