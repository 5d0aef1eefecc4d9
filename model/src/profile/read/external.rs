//! Servers outside the site.

use std::collections::BTreeSet;

use super::{
    defaulted,
    rule::{SEVERITIES, Words, condition, minor, sources},
    text,
};
use crate::{
    profile::{ExternalSite, Severity, Source},
    source::Complaints,
    yaml::fields::{At, Fields},
};

pub(super) fn sites(
    fields: &mut Fields<'_>,
    words: &Words<'_>,
    complaints: &mut Complaints,
) -> Vec<ExternalSite> {
    let Some(list) = fields.optional("external") else {
        return Vec::new();
    };
    let mut items = list.items(complaints);
    if items.len() > MAX_SITES {
        complaints.add_with_help(
            list.place(),
            format!("more than {MAX_SITES} servers"),
            "name those without which installation or operation stops",
        );
        items.truncate(MAX_SITES);
    }
    items
        .iter()
        .filter_map(|item| site(item, words, complaints))
        .collect()
}

fn site(item: &At<'_>, words: &Words<'_>, complaints: &mut Complaints) -> Option<ExternalSite> {
    let mut fields = item.fields(complaints)?;
    let host = text(&mut fields, "host", complaints);
    let port = fields
        .optional("port")
        .and_then(|at| at.number::<u16>(complaints, 1..=u16::MAX))
        .map_or(443, |port| port.value);
    let from = match fields.entries().iter().any(|entry| entry.key == "from") {
        true => sources(&mut fields, "from", complaints),
        false => BTreeSet::from([Source::ClusterNodes]),
    };
    let since = minor(&mut fields, "since", complaints);
    let until = minor(&mut fields, "until", complaints);
    let when = condition(&mut fields, words, complaints);
    let severity = defaulted(&mut fields, "severity", &SEVERITIES, Severity::Fail, complaints);
    let purpose = text(&mut fields, "purpose", complaints);
    fields.finish(complaints);
    if !from
        .iter()
        .all(|source| matches!(source, Source::ClusterNodes | Source::AdminWorkstation))
    {
        complaints.add_with_help(
            item.place(),
            "only nodes and the admin workstation connect to the outside",
            "valid: cluster_nodes, admin_workstation",
        );
    }
    let host = host?;
    let plain = host.replace("{region}", "region");
    if crate::inventory::Server::read(&plain, port).is_none_or(|server| server.host != plain) {
        let message = format!("`{host}` is no name of a server");
        complaints.add_with_help(
            item.place(),
            message,
            "write it like `sts.example.com`; the port stands in `port`",
        );
    }
    Some(ExternalSite {
        host,
        port,
        sources: from,
        since,
        until,
        when,
        severity,
        purpose: purpose?,
    })
}

/// Half of the targets that an errand may have: each may be asked for through a proxy and without.
const MAX_SITES: usize = 48;
