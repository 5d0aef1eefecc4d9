//! `plumbline profiles show NAME`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use comfy_table::Table;
use plumbline_model::{
    id::Role,
    profile::{self, Choice, Destination, Profile, Row, VersionStanding},
    source::SourceText,
    version::{Minor, Version},
};
use serde::Serialize;

use super::{
    super::{Failure, print, read_text},
    or_dash, plain_table, word,
};
use crate::exit::Exit;

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The profile's name, for example gdc-bare-metal or k3s; or a profile's file.
    name: String,
    /// The version, for example 1.29 or 1.29.1100-gke.84; only where tables depend on it.
    #[arg(long)]
    version: Option<Version>,
    /// Only this role's table.
    #[arg(long, value_enum)]
    role: Option<RoleArg>,
    /// A network plugin that is composed in, for example cilium; may be repeated.
    #[arg(long, value_name = "NAME")]
    with: Vec<String>,
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

/// A row and whose it is.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    row: Row,
    /// The profile's id.
    profile: &'a str,
}

pub(super) fn show(args: &ShowArgs) -> Result<Exit, Failure> {
    let profiles = gather(args)?;
    let mut shown = Vec::new();
    for profile in &profiles {
        let rows = rows(profile, args)?;
        shown.extend(rows.into_iter().map(|row| Shown {
            row,
            profile: &profile.id,
        }));
    }
    match args.output {
        Output::Json => {
            let json = serde_json::to_string_pretty(&shown).map_err(|error| Failure::usage(&error))?;
            print(&format!("{json}\n"))?;
        }
        Output::Table => print(&format!(
            "{}\n{}",
            table(&shown, &profiles).trim_fmt(),
            footnotes(&profiles, &shown, args.version.as_ref().map(Version::minor))
        ))?,
    }
    Ok(Exit::Passed)
}

/// The profile, those that it extends, and what is composed in.
fn gather(args: &ShowArgs) -> Result<Vec<Profile>, Failure> {
    let path = PathBuf::from(&args.name);
    let is_file = profile::builtin(&args.name).is_none() && path.is_file();
    let added = match is_file {
        true => vec![read_text(&path)?],
        false => Vec::new(),
    };
    let name = name_of(&args.name, &added)?;
    let texts = profile::texts_of(&name, &args.with, &added).map_err(|unknown| Failure::usage(&unknown))?;
    profile::all(&texts, None).map_err(|refused| Failure::usage(&refused))
}

/// By which name a profile is found: a file's own id.
fn name_of(name: &str, added: &[SourceText]) -> Result<String, Failure> {
    match added.first() {
        Some(text) => Ok(profile::read(text)
            .map_err(|refused| Failure::usage(&refused))?
            .id),
        None if Path::new(name)
            .extension()
            .is_some_and(|end| end == "yaml" || end == "yml") =>
        {
            Err(Failure::usage_message(format!(
                "read {name}: there is no such file"
            )))
        }
        None => Ok(name.to_owned()),
    }
}

fn rows(profile: &Profile, args: &ShowArgs) -> Result<Vec<Row>, Failure> {
    let role = args.role.map(Role::from);
    let Some(version) = &args.version else {
        return match (profile.versions.first(), profile.versions.last()) {
            (Some(first), Some(last)) => Err(Failure::usage_message(format!(
                "show {}: its tables depend on the version: add `--version V`, from {first} to {last}",
                profile.id
            ))),
            _ => Ok(profile.rows_of_every_version(role)),
        };
    };
    let minor = version.minor();
    match profile.standing(minor) {
        VersionStanding::NeverExisted { below, above } => Err(Failure::usage_message(format!(
            "show {}: version {minor} never existed; the nearest are {below} and {above}",
            profile.id
        ))),
        VersionStanding::Known | VersionStanding::NewerThan(_) => Ok(profile.rows(minor, role)),
    }
}

fn table(shown: &[Shown<'_>], profiles: &[Profile]) -> Table {
    let mut table = plain_table([
        "ROLE",
        "PROTO",
        "PORTS",
        "USED BY (DOCUMENT)",
        "SOURCES (OUR READING)",
        "SCOPE",
        "ONLY IF",
        "PURPOSE",
        "NOTES",
    ]);
    for Shown { row, profile } in shown {
        let ports = match row.first_port.zip(row.last_port) {
            Some((first, last)) if first == last => first.to_string(),
            Some((first, last)) => format!("{first}-{last}"),
            None => "-".to_owned(),
        };
        let sources: Vec<String> = row.sources.iter().map(word).collect();
        let of = profiles.iter().find(|known| known.id == *profile);
        table.add_row([
            role_name(row.role, of, profiles),
            row.protocol.to_string(),
            ports,
            or_dash(row.doc_used_by.clone()),
            sources.join(" "),
            word(&row.scope),
            or_dash(row.when.clone().unwrap_or_default()),
            row.purpose.clone(),
            or_dash(notes(row)),
        ]);
    }
    table
}

/// `control_plane (server)`: our word and the distribution's.
fn role_name(destination: Destination, own: Option<&Profile>, profiles: &[Profile]) -> String {
    // The first profile is the distribution's; what it extends or composes in keeps to its words.
    let name = destination.role().and_then(|role| {
        profiles
            .iter()
            .chain(own)
            .find_map(|profile| profile.name_of(role))
    });
    match name {
        Some(name) if name != word(&destination) => format!("{} ({name})", word(&destination)),
        _ => word(&destination),
    }
}

fn notes(row: &Row) -> String {
    let mut notes = Vec::new();
    if row.first_port.is_none() {
        notes.push("not tested (1)");
    }
    if !row.verified {
        notes.push("unverified, only warns");
    } else if row.severity < profile::Severity::Fail {
        notes.push("only warns");
    }
    notes.join("; ")
}

fn footnotes(profiles: &[Profile], shown: &[Shown<'_>], minor: Option<Minor>) -> String {
    let mut text = String::new();
    for profile in profiles {
        if let Some(VersionStanding::NewerThan(newest)) = minor.map(|minor| profile.standing(minor)) {
            let minor = minor.map(|minor| minor.to_string()).unwrap_or_default();
            text.push_str(&format!(
                "\n{minor} is newer than the newest table; these are the rows of {newest}.\n"
            ));
        }
    }
    if shown.iter().any(|shown| shown.row.first_port.is_none()) {
        text.push_str("\n(1) A protocol without ports: listed so that it is allowed, and not tested.\n");
    }
    let options: Vec<String> = profiles.iter().flat_map(options).collect();
    push_list(
        &mut text,
        "Options (`options:` of an inventory, or the default)",
        &options,
    );
    push_list(
        &mut text,
        "Variables (`variables:` of an inventory, or the document's port)",
        &variables(profiles),
    );
    let overlays: Vec<String> = profiles.iter().flat_map(overlay).collect();
    push_list(&mut text, "What encapsulation takes from the MTU", &overlays);
    let notes: Vec<String> = profiles
        .iter()
        .flat_map(|profile| profile.notes.clone())
        .collect();
    push_list(&mut text, "Notes", &notes);
    let sources: Vec<String> = profiles
        .iter()
        .flat_map(|profile| profile.sources.clone())
        .collect();
    push_list(&mut text, "Sources", &sources);
    text
}

fn push_list(text: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    text.push_str(&format!("\n{title}:\n"));
    for line in lines {
        text.push_str(&format!("  {line}\n"));
    }
}

fn options(profile: &Profile) -> Vec<String> {
    let line = |(name, option): (&String, &Choice)| {
        let values = option.values.iter();
        let values: Vec<&str> = values
            .map(String::as_str)
            .filter(|value| *value != option.default)
            .collect();
        format!(
            "{name}: {} (or {}): {}",
            option.default,
            values.join(", "),
            option.title
        )
    };
    profile.options.iter().map(line).collect()
}

/// `vxlan: 50 octets (SOURCE)`.
fn overlay(profile: &Profile) -> Vec<String> {
    let Some(overlay) = &profile.overlay else {
        return Vec::new();
    };
    let line = |(name, octets)| format!("{name}: {octets} octets ({})", overlay.source);
    overlay.octets.iter().map(line).collect()
}

/// Each once: a variable that several profiles know is one setting.
fn variables(profiles: &[Profile]) -> Vec<String> {
    let variables = profiles.iter().flat_map(|profile| &profile.variables);
    let mut lines: Vec<String> = variables.map(|(name, port)| format!("{name}: {port}")).collect();
    lines.sort_unstable();
    lines.dedup();
    lines
}
