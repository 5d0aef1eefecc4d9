//! `plumbline profiles list | show`.

use clap::{Args, Subcommand, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use plumbline_model::{
    id::Role,
    profile::{self, Profile, Row, VersionStanding},
    version::{Minor, Version},
};

use super::{Failure, print};
use crate::exit::Exit;

#[derive(Debug, Subcommand)]
pub(crate) enum ProfilesCommand {
    /// The profiles by name, with their versions and sources.
    List,
    /// A profile's tables for one version: exactly the rows of the document.
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The profile's name, for example gdc-bare-metal.
    name: String,
    /// The version, for example 1.29 or 1.29.1100-gke.84.
    #[arg(long)]
    version: Version,
    /// Only this role's table.
    #[arg(long, value_enum)]
    role: Option<RoleArg>,
    /// The format.
    #[arg(short = 'o', long = "output", value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum RoleArg {
    ControlPlane,
    LoadBalancer,
    Worker,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::ControlPlane => Self::ControlPlane,
            RoleArg::LoadBalancer => Self::LoadBalancer,
            RoleArg::Worker => Self::Worker,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Table,
    Json,
}

pub(crate) fn profiles(command: &ProfilesCommand) -> Result<Exit, Failure> {
    match command {
        ProfilesCommand::List => list(),
        ProfilesCommand::Show(args) => show(args),
    }
}

fn list() -> Result<Exit, Failure> {
    let mut table = plain_table(["NAME", "VERSIONS", "RULES", "TITLE"]);
    for name in profile::BUILTIN {
        let profile = builtin(name)?;
        let versions: Vec<String> = profile.versions.iter().map(Minor::to_string).collect();
        table.add_row([
            profile.id,
            versions.join(" "),
            profile.rules.len().to_string(),
            profile.title,
        ]);
    }
    print(&format!("{}\n", table.trim_fmt()))?;
    Ok(Exit::Passed)
}

fn show(args: &ShowArgs) -> Result<Exit, Failure> {
    let profile = builtin(&args.name)?;
    let minor = args.version.minor();
    if let VersionStanding::NeverExisted { below, above } = profile.standing(minor) {
        return Err(Failure::usage_message(format!(
            "show {}: version {minor} never existed; the nearest are {below} and {above}",
            profile.id
        )));
    }
    let rows = profile.rows(minor, args.role.map(Role::from));
    match args.output {
        Output::Json => {
            let json = serde_json::to_string_pretty(&rows).map_err(|error| Failure::usage(&error))?;
            print(&format!("{json}\n"))?;
        }
        Output::Table => print(&format!(
            "{}\n{}",
            show_table(&rows).trim_fmt(),
            footnote(&profile, minor)
        ))?,
    }
    Ok(Exit::Passed)
}

fn show_table(rows: &[Row]) -> Table {
    let mut table = plain_table([
        "ROLE",
        "PROTO",
        "PORTS",
        "USED BY (DOCUMENT)",
        "SOURCES (OUR READING)",
        "SCOPE",
        "PURPOSE",
    ]);
    for row in rows {
        let ports = match row.first_port.zip(row.last_port) {
            Some((first, last)) if first == last => first.to_string(),
            Some((first, last)) => format!("{first}-{last}"),
            None => "-".to_owned(),
        };
        let sources: Vec<String> = row.sources.iter().map(word).collect();
        table.add_row([
            word(&row.role),
            row.protocol.to_string(),
            ports,
            row.doc_used_by.clone(),
            sources.join(" "),
            word(&row.scope),
            row.purpose.clone(),
        ]);
    }
    table
}

fn footnote(profile: &Profile, minor: Minor) -> String {
    let mut text = String::new();
    if let VersionStanding::NewerThan(newest) = profile.standing(minor) {
        text.push_str(&format!(
            "\n{minor} is newer than the newest table; these are the rows of {newest}.\n"
        ));
    }
    text.push_str("\nSources:\n");
    for source in &profile.sources {
        text.push_str(&format!("  {source}\n"));
    }
    text
}

/// A built-in profile by name.
pub(super) fn builtin(name: &str) -> Result<Profile, Failure> {
    let source = profile::builtin(name).ok_or_else(|| {
        let near = plumbline_model::source::nearest(name, profile::BUILTIN);
        let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
        Failure::usage_message(format!(
            "find profile {name:?}: `plumbline profiles list` names them{hint}"
        ))
    })?;
    profile::read(&source).map_err(|refused| Failure::usage(&refused))
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
