//! Everything that a user hands over about a cluster: texts to an inventory, declared rules, waivers and findings.
//!
//! ```text
//! cluster file ──► its shape ──► bmctl stream, kubectl list, PreflightCheck      ──► cluster   ─┐
//! (one)                     └──► plain inventory                                 ──► inventory ─┼─► Understood
//! admin cluster's file ──► nodes that stand for the admin cluster                ──► vantages  ─┤
//! site file ──► labels, vantages, ports of the user's own                                      ─┤
//! waivers                                                                                      ─┘
//! ```
//!
//! The same texts are line 1 of the evidence, so that `report` and `plumbline verify` understand them in the same way.

mod external;
mod labels;
mod laid;
mod listed;
mod merge;
mod nodes;
mod outside;
mod plain;
mod roles;
mod settings;
mod site;
mod sources;

use serde::{Deserialize, Serialize};

use self::{merge::Part, roles::Roles, site::Site};
use crate::{
    cluster::{self, Checks},
    inventory::Inventory,
    profile::Profile,
    source::{Complaints, Diagnostic, Refused, SourceText},
    waiver::{self, Waiver},
    yaml,
};

/// What an input is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The cluster that is audited; every run has exactly one.
    #[default]
    Cluster,
    /// `--admin-cluster`: the cluster that manages it, whose nodes are vantages.
    AdminCluster,
    /// `--site`: labels, vantages and ports that the cluster file cannot say.
    Site,
    /// `--waivers`.
    Waivers,
}

/// A text that the user handed over, and what for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputText {
    /// What it is for.
    #[serde(default, skip_serializing_if = "is_cluster")]
    pub purpose: Purpose,
    /// The name as the user gave it.
    pub name: String,
    /// The text.
    pub text: String,
}

/// Everything that the inputs say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Understood {
    /// The cluster's nodes, vantages and options.
    pub inventory: Inventory,
    /// Rules for ports of the user's own, which apply besides the profiles' rules; absent if none are declared.
    pub declared: Option<Profile>,
    /// Findings that somebody answers for.
    pub waivers: Vec<Waiver>,
    /// What the checks over the files complained about, by file and line.
    pub findings: Vec<Diagnostic>,
    /// What else the checks over the cluster file say.
    pub checks: Checks,
}

impl InputText {
    /// A text for a purpose.
    pub fn new(purpose: Purpose, source: SourceText) -> Self {
        Self {
            purpose,
            name: source.name,
            text: source.text,
        }
    }

    /// The text by itself.
    pub fn source(&self) -> SourceText {
        SourceText {
            name: self.name.clone(),
            text: self.text.clone(),
        }
    }
}

/// Reads the inputs of a run: one for [`Purpose::Cluster`], at most one for each other purpose. `profiles` are those that the
/// user adds, in which a plain inventory may find its own.
///
/// # Errors
/// If one of them cannot be read: every complaint about it at once, each with its place; nothing is guessed.
pub fn read(texts: &[InputText], profiles: &[SourceText]) -> Result<Understood, Refused> {
    let find = |purpose| texts.iter().find(|text| text.purpose == purpose);
    let of = |purpose| find(purpose).map(InputText::source);
    // Whoever mends one file learns what is wrong with the others, too.
    let mut refused = Vec::new();
    let main = kept(
        cluster_of(&of(Purpose::Cluster).unwrap_or_default(), profiles),
        &mut refused,
    );
    let admin = of(Purpose::AdminCluster)
        .and_then(|source| Some((kept(cluster_of(&source, profiles), &mut refused)?, source)));
    let waivers = of(Purpose::Waivers).and_then(|source| kept(waiver::read(&source), &mut refused));
    let roles = main
        .as_ref()
        .map_or_else(Roles::default, |main| main.roles.clone());
    let site = of(Purpose::Site).map(|source| site_of(&source, &roles));
    let Some(main) = main.filter(|_| refused.is_empty()) else {
        let site = site.filter(|site| !site.complaints.is_readable());
        refused.extend(site.into_iter().flat_map(|site| site.complaints.into_refused().0));
        return Err(Refused(refused));
    };
    let beside = admin
        .as_ref()
        .map(|(admin, _)| cluster::beside(&main.checks.layout, &admin.checks.layout));
    let admin = admin.map(|(admin, source)| {
        let mut complaints = Complaints::about(&source);
        let outside = merge::nodes_of_admin_cluster(&admin.inventory, &main.inventory, &mut complaints);
        Part {
            complaints,
            outside,
            labels: Vec::new(),
        }
    });
    let parts = main.part.into_iter().chain(admin).chain(site);
    let (inventory, declared, further) = merge::merge(main.inventory, parts.collect())?;
    Ok(Understood {
        inventory,
        declared,
        waivers: waivers.unwrap_or_default(),
        findings: main
            .findings
            .into_iter()
            .chain(beside.into_iter().flatten())
            .chain(further)
            .collect(),
        checks: main.checks,
    })
}

/// What was read; what was refused is kept for the end.
fn kept<T>(read: Result<T, Refused>, refused: &mut Vec<Diagnostic>) -> Option<T> {
    read.map_err(|complaints| refused.extend(complaints.0)).ok()
}

fn site_of(source: &SourceText, roles: &Roles) -> Part {
    let mut complaints = Complaints::about(source);
    let documents = yaml::documents(source, &mut complaints);
    let Site { labels, outside } = documents
        .map(|documents| site::read(&documents, roles, &mut complaints))
        .unwrap_or_default();
    Part {
        complaints,
        outside,
        labels,
    }
}

/// What a cluster's own file says.
struct Main {
    inventory: Inventory,
    /// Of a file of `bmctl`; what is found in a plain inventory is among the complaints of its part.
    findings: Vec<Diagnostic>,
    checks: Checks,
    /// What a plain inventory says besides.
    part: Option<Part>,
    roles: Roles,
}

/// Reads a cluster's file of whatever shape.
fn cluster_of(source: &SourceText, profiles: &[SourceText]) -> Result<Main, Refused> {
    let mut complaints = Complaints::about(source);
    let documents = yaml::documents(source, &mut complaints);
    let Some([document, further @ ..]) = documents
        .as_deref()
        .filter(|documents| documents.first().is_some_and(plain::is_plain))
    else {
        let read = cluster::of_documents(source, documents.as_deref(), complaints)?;
        return Ok(Main {
            inventory: Inventory::derive(&read.cluster),
            findings: read.findings,
            checks: read.checks,
            part: None,
            roles: Roles::default(),
        });
    };
    if let [second, ..] = further {
        let message = format!("an inventory is one document, found {}", further.len() + 1);
        complaints.add_with_help(second.place, message, "give each cluster a file of its own");
    }
    match plain::read(document, profiles, &mut complaints)? {
        Some(plain) if complaints.is_readable() => Ok(Main {
            inventory: plain.inventory,
            findings: Vec::new(),
            checks: plain.checks,
            part: Some(Part {
                complaints,
                outside: plain.outside,
                labels: Vec::new(),
            }),
            roles: plain.roles,
        }),
        _ => Err(complaints.into_refused()),
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands a reference to what it may skip"
)]
fn is_cluster(purpose: &Purpose) -> bool {
    *purpose == Purpose::Cluster
}
