//! Servers outside the site that installation and operation need.

use std::collections::BTreeSet;

use super::{Condition, Severity, Source};
use crate::{inventory::Inventory, version::Minor};

/// A server outside the site, which speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalSite {
    /// Its name; `{region}` in it stands for the region of the cluster's registration.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// Who needs it: cluster nodes, the admin workstation, or both.
    pub sources: BTreeSet<Source>,
    /// First minor version that needs it.
    pub since: Option<Minor>,
    /// Last minor version that needs it.
    pub until: Option<Minor>,
    /// The condition on the cluster under which it is needed; absent means always.
    pub when: Option<Condition>,
    /// What its absence does to the verdict.
    pub severity: Severity,
    /// What for.
    pub purpose: String,
}

impl ExternalSite {
    /// Its name in this cluster, if that needs it at one of its versions.
    pub fn host_in(&self, inventory: &Inventory) -> Option<String> {
        let applies_to = |version: Minor| {
            self.since.is_none_or(|since| since <= version) && self.until.is_none_or(|until| version <= until)
        };
        let mut versions = inventory.nodes.iter().map(|node| node.version.minor());
        let is_needed =
            versions.any(applies_to) && self.when.as_ref().is_none_or(|when| when.holds_for(inventory));
        match &inventory.outward.gke_connect_region {
            _ if !is_needed => None,
            Some(region) => Some(self.host.replace(REGION, region)),
            None => (!self.host.contains(REGION)).then(|| self.host.clone()),
        }
    }
}

/// What stands for the region.
const REGION: &str = "{region}";
