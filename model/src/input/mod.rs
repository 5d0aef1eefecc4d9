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

use serde::{Deserialize, Serialize};

use crate::{
    cluster,
    inventory::Inventory,
    profile::Profile,
    source::{Diagnostic, Refused, SourceText},
    waiver::{self, Waiver},
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
pub fn read(texts: &[InputText], _profiles: &[SourceText]) -> Result<Understood, Refused> {
    let cluster = texts.iter().find(|text| text.purpose == Purpose::Cluster);
    let source = cluster.map_or_else(SourceText::default, InputText::source);
    let read = cluster::read(&source)?;
    let waivers = (texts.iter().find(|text| text.purpose == Purpose::Waivers))
        .map_or_else(|| Ok(Vec::new()), |text| waiver::read(&text.source()))?;
    Ok(Understood {
        inventory: Inventory::derive(&read.cluster),
        declared: None,
        waivers,
        findings: read.findings,
    })
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands a reference to what it may skip"
)]
fn is_cluster(purpose: &Purpose) -> bool {
    *purpose == Purpose::Cluster
}
