//! A profile's tables as its document shows them: rows for people, by version and role.

use serde::Serialize;

use super::{Destination, Direction, PortSpec, Profile, Rule, Scope, Severity, Source};
use crate::{id::Role, port::Protocol, version::Minor};

/// One element of `plumbline profiles show -o json`: a row of a table (one for each range of a row of several, and one
/// for a protocol without ports).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The rule's id.
    pub id: String,
    /// Where the traffic must arrive.
    pub role: Destination,
    /// Transport.
    pub protocol: Protocol,
    /// Lowest port; absent for protocols without ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_port: Option<u16>,
    /// Highest port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_port: Option<u16>,
    /// The document's direction column.
    pub direction: Direction,
    /// The document's "used by".
    pub doc_used_by: String,
    /// Our reading of it.
    pub sources: Vec<Source>,
    /// How far it must be reachable.
    pub scope: Scope,
    /// The document's purpose.
    pub purpose: String,
    /// Citations.
    pub cited: Vec<String>,
    /// The condition under which it applies; absent means always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// What a failure does to the verdict.
    pub severity: Severity,
    /// Whether the cited revision of the document was seen to say it.
    pub verified: bool,
}

/// Whether a version has tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionStanding {
    /// It is one of the known versions, or older than the oldest (whose tables then count).
    Known,
    /// Newer than the newest known version: the newest tables are used, with a warning.
    NewerThan(Minor),
    /// It never existed (1.17 to 1.27 of GDC): the nearest versions below and above.
    NeverExisted {
        /// The last version before the gap.
        below: Minor,
        /// The first version after the gap.
        above: Minor,
    },
}

impl Profile {
    /// The document's rows for a version, all roles (the multi-cluster table included) or one: its own and those of every
    /// node. Exactly the rows of the tables: supplementary rules are not rows.
    pub fn rows(&self, version: Minor, role: Option<Role>) -> Vec<Row> {
        self.rows_of(role, |rule| rule.applies_to(version))
    }

    /// As [`Profile::rows`], of every version.
    pub fn rows_of_every_version(&self, role: Option<Role>) -> Vec<Row> {
        self.rows_of(role, |_| true)
    }

    fn rows_of(&self, role: Option<Role>, has_rule: impl Fn(&Rule) -> bool) -> Vec<Row> {
        self.rules
            .iter()
            .filter(|rule| rule.in_document && has_rule(rule))
            .filter(|rule| role.is_none_or(|role| rule.destination.includes(role)))
            .flat_map(Rule::rows)
            .collect()
    }

    /// Whether this version has tables.
    pub fn standing(&self, version: Minor) -> VersionStanding {
        if self.versions.is_empty() {
            return VersionStanding::Known;
        }
        match self.versions.binary_search(&version) {
            // Everything older than the oldest is covered by its "and earlier".
            Ok(_) | Err(0) => VersionStanding::Known,
            Err(index) => match self.versions.get(index) {
                Some(above) => VersionStanding::NeverExisted {
                    below: self.versions[index - 1],
                    above: *above,
                },
                None => VersionStanding::NewerThan(self.versions[index - 1]),
            },
        }
    }
}

impl Rule {
    fn rows(&self) -> Vec<Row> {
        let ranges: Vec<Option<(u16, u16)>> = match self.ports.as_slice() {
            [] => vec![None],
            ports => ports.iter().map(|spec| Some(spec.in_document())).collect(),
        };
        ranges.into_iter().map(|ports| self.row(ports)).collect()
    }

    fn row(&self, ports: Option<(u16, u16)>) -> Row {
        Row {
            id: self.id.clone(),
            role: self.destination,
            protocol: self.protocol,
            first_port: ports.map(|(first, _)| first),
            last_port: ports.map(|(_, last)| last),
            direction: self.direction,
            doc_used_by: self.doc_used_by.clone().unwrap_or_default(),
            sources: self.sources.iter().copied().collect(),
            scope: self.scope,
            purpose: self.purpose.clone(),
            cited: self.cited.clone(),
            when: self.when.as_ref().map(|when| when.text.clone()),
            severity: self.severity,
            verified: self.verified,
        }
    }
}

impl PortSpec {
    /// First and last port in the document.
    pub(super) fn in_document(&self) -> (u16, u16) {
        match self {
            Self::Range(range) => (range.first(), range.last()),
            Self::Variable { default, .. } => (*default, *default),
        }
    }
}
