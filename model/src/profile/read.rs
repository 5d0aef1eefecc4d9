//! Profile text to [`Profile`], strictly: what is not understood is refused, since a rule that is silently left out is a
//! port that is silently not tested.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Condition, Destination, Direction, PortSpec, Profile, Rule, Scope, Severity, Source, StandIn, VARIABLES,
};
use crate::{
    port::{PortRange, Protocol},
    source::{Complaints, Place, Refused, SourceText, nearest},
    version::Minor,
    yaml::{
        self,
        fields::{At, Fields},
    },
};

/// Reads a profile.
///
/// # Errors
/// Every complaint at once, with line, column and the nearest valid word.
pub fn read(source: &SourceText) -> Result<Profile, Refused> {
    let mut complaints = Complaints::about(source);
    let profile = yaml::documents(source, &mut complaints).and_then(|documents| match documents.as_slice() {
        [document] => profile(&At::document(document), &mut complaints),
        _ => {
            let message = format!("a profile is one document, found {}", documents.len());
            complaints.add_with_help(Place::START, message, "start with `schema: plumbline/profile/v1`");
            None
        }
    });
    match profile {
        Some(profile) if complaints.is_empty() => Ok(profile),
        _ => Err(complaints.into_refused()),
    }
}

fn profile(document: &At<'_>, complaints: &mut Complaints) -> Option<Profile> {
    let mut fields = document.fields(complaints)?;
    if let Some(schema) = fields.required("schema", "write `schema: plumbline/profile/v1`", complaints) {
        schema.choice(complaints, &[("plumbline/profile/v1", ())]);
    }
    let id = text(&mut fields, "id", complaints);
    let title = text(&mut fields, "title", complaints);
    let sources = texts(&mut fields, "sources", complaints);
    let versions = versions(&mut fields, complaints);
    let variables = variables(&mut fields, complaints);
    let stand_ins = match fields.optional("stand_ins") {
        Some(list) => list
            .items(complaints)
            .iter()
            .filter_map(|item| stand_in(item, complaints))
            .collect(),
        None => Vec::new(),
    };
    let mut rules = Vec::new();
    let mut ids = BTreeMap::new();
    if let Some(list) = fields.required("rules", "write a list of rules", complaints) {
        for item in list.items(complaints) {
            let Some(rule) = rule(&item, &variables, complaints) else {
                continue;
            };
            if let Some(line) = ids.insert(rule.id.clone(), item.place().line) {
                let message = format!("rule id `{}` is written twice", rule.id);
                complaints.add_with_help(
                    item.place(),
                    message,
                    format!("rename one; the other is in line {line}"),
                );
            }
            rules.push(rule);
        }
    }
    fields.finish(complaints);
    Some(Profile {
        id: id?,
        title: title?,
        sources,
        versions,
        stand_ins,
        rules,
    })
}

fn versions(fields: &mut Fields<'_>, complaints: &mut Complaints) -> Vec<Minor> {
    let mut versions: Vec<Minor> = Vec::new();
    let Some(list) = fields.required("versions", "write `versions: [\"1.28\", \"1.29\"]`", complaints) else {
        return versions;
    };
    for item in list.items(complaints) {
        let Some(version) = item.parsed::<Minor>(complaints, "a minor version", "write it like \"1.29\"")
        else {
            continue;
        };
        if versions.last().is_some_and(|last| *last >= version.value) {
            complaints.add(version.place, "versions must ascend");
        }
        versions.push(version.value);
    }
    if versions.is_empty() {
        complaints.add_with_help(
            list.place(),
            "a profile knows at least one version",
            "write `versions: [\"1.29\"]`",
        );
    }
    versions
}

fn variables(fields: &mut Fields<'_>, complaints: &mut Complaints) -> BTreeMap<String, u16> {
    let mut variables = BTreeMap::new();
    let Some(entries) = fields.optional("variables").and_then(|at| at.fields(complaints)) else {
        return variables;
    };
    for entry in entries.entries() {
        if !VARIABLES.contains(&entry.key.as_str()) {
            let help = format!("valid: {}", VARIABLES.join(", "));
            complaints.add_with_help(entry.place, format!("unknown variable `{}`", entry.key), help);
        }
        let at = At {
            node: &entry.value,
            path: format!("variables.{}", entry.key),
        };
        if let Some(port) = at.number::<u16>(complaints, 1..=u16::MAX) {
            variables.insert(entry.key.clone(), port.value);
        }
    }
    variables
}

fn stand_in(item: &At<'_>, complaints: &mut Complaints) -> Option<StandIn> {
    let mut fields = item.fields(complaints)?;
    let source = choice(&mut fields, "source", &SOURCES, complaints);
    let when = condition(&mut fields, complaints);
    let by = sources(&mut fields, "by", complaints);
    let why = text(&mut fields, "why", complaints);
    fields.finish(complaints);
    Some(StandIn {
        source: source?,
        when,
        by,
        why: why?,
    })
}

fn rule(item: &At<'_>, variables: &BTreeMap<String, u16>, complaints: &mut Complaints) -> Option<Rule> {
    let mut fields = item.fields(complaints)?;
    let id = text(&mut fields, "id", complaints);
    let destination = choice(&mut fields, "to", &DESTINATIONS, complaints);
    let protocol = fields
        .required("protocol", "write tcp, udp, icmp or ip:N", complaints)
        .and_then(|at| at.parsed::<Protocol>(complaints, "a protocol", "write tcp, udp, icmp or ip:N"));
    let ports = ports(&mut fields, variables, complaints);
    let sources = sources(&mut fields, "from", complaints);
    let scope = defaulted(&mut fields, "scope", &SCOPES, Scope::Remote, complaints);
    let through_services = fields
        .optional("through_services")
        .and_then(|at| at.boolean(complaints))
        .unwrap_or(false);
    let direction = defaulted(
        &mut fields,
        "direction",
        &DIRECTIONS,
        Direction::Inbound,
        complaints,
    );
    let severity = defaulted(&mut fields, "severity", &SEVERITIES, Severity::Fail, complaints);
    let since = minor(&mut fields, "since", complaints);
    let until = minor(&mut fields, "until", complaints);
    let when = condition(&mut fields, complaints);
    let in_document = fields
        .optional("table")
        .and_then(|at| at.boolean(complaints))
        .unwrap_or(true);
    let doc_used_by = match in_document {
        true => text(&mut fields, "used_by", complaints),
        false => None,
    };
    let reading = fields
        .optional("reading")
        .and_then(|at| at.text(complaints))
        .map(|reading| reading.value);
    let purpose = text(&mut fields, "purpose", complaints);
    let cited = texts(&mut fields, "cited", complaints);
    let place = fields.place;
    fields.finish(complaints);
    let protocol = protocol?.value;
    let rule = Rule {
        id: id?,
        destination: destination?,
        listed: BTreeSet::new(),
        protocol,
        ports,
        sources,
        scope,
        through_services,
        direction,
        since,
        until,
        when,
        severity,
        doc_used_by,
        reading,
        purpose: purpose?,
        cited,
        in_document,
    };
    check(&rule, place, complaints);
    Some(rule)
}

/// What must agree within a rule.
fn check(rule: &Rule, place: Place, complaints: &mut Complaints) {
    if !rule.in_document && rule.severity == Severity::Fail {
        complaints.add_with_help(
            place,
            "a rule that stands in no table can only warn",
            "write `severity: warn`",
        );
    }
    if rule
        .since
        .zip(rule.until)
        .is_some_and(|(since, until)| since > until)
    {
        complaints.add_with_help(place, "`since` is above `until`", "exchange them");
    }
    let has_ports = matches!(rule.protocol, Protocol::Tcp | Protocol::Udp);
    if rule.through_services && !(has_ports && rule.scope == Scope::Remote) {
        let message = "Services are reached over the network by TCP or UDP";
        complaints.add_with_help(place, message, "remove `through_services`");
    }
    if has_ports == rule.ports.is_empty() {
        let help = if has_ports {
            "write `ports: [22, 30000-32767]`"
        } else {
            "write `ports: []`"
        };
        complaints.add_with_help(place, "tcp and udp rules have ports, others have none", help);
    }
}

fn ports(
    fields: &mut Fields<'_>,
    variables: &BTreeMap<String, u16>,
    complaints: &mut Complaints,
) -> Vec<PortSpec> {
    let Some(list) = fields.required("ports", "write `ports: [22, 30000-32767]`", complaints) else {
        return Vec::new();
    };
    let mut ports = Vec::new();
    for item in list.items(complaints) {
        let Some(text) = item.text(complaints) else {
            continue;
        };
        let Some(name) = text.value.strip_prefix('$') else {
            let help = "write N or A-B with numbers from 1 to 65535, the smaller first";
            let range = item.parsed::<PortRange>(complaints, "a port or a range of ports", help);
            ports.extend(range.map(|range| PortSpec::Range(range.value)));
            continue;
        };
        match variables.get(name) {
            Some(default) => ports.push(PortSpec::Variable {
                name: name.to_owned(),
                default: *default,
            }),
            None => {
                let help = match nearest(name, variables.keys().map(String::as_str)) {
                    Some(word) => format!("did you mean `${word}`?"),
                    None => "declare it under `variables`".to_owned(),
                };
                complaints.add_with_help(text.place, format!("unknown variable `${name}`"), help);
            }
        }
    }
    ports
}

fn sources(fields: &mut Fields<'_>, key: &'static str, complaints: &mut Complaints) -> BTreeSet<Source> {
    let Some(list) = fields.required(
        key,
        "write a list of sources, for example [cluster_nodes]",
        complaints,
    ) else {
        return BTreeSet::new();
    };
    list.items(complaints)
        .iter()
        .filter_map(|item| Some(item.choice(complaints, &SOURCES)?.value))
        .collect()
}

fn condition(fields: &mut Fields<'_>, complaints: &mut Complaints) -> Option<Condition> {
    let text = fields.optional("when")?.text(complaints)?;
    text.value
        .parse()
        .map_err(|error| complaints.add(text.place, format!("failed to {error}")))
        .ok()
}

fn minor(fields: &mut Fields<'_>, key: &'static str, complaints: &mut Complaints) -> Option<Minor> {
    let help = "write it like \"1.29\"";
    Some(
        fields
            .optional(key)?
            .parsed::<Minor>(complaints, "a minor version", help)?
            .value,
    )
}

fn text(fields: &mut Fields<'_>, key: &'static str, complaints: &mut Complaints) -> Option<String> {
    let help = format!("write `{key}: ...`");
    Some(fields.required(key, &help, complaints)?.text(complaints)?.value)
}

fn texts(fields: &mut Fields<'_>, key: &'static str, complaints: &mut Complaints) -> Vec<String> {
    let help = format!("write `{key}:` and a list");
    let Some(list) = fields.required(key, &help, complaints) else {
        return Vec::new();
    };
    list.items(complaints)
        .iter()
        .filter_map(|item| Some(item.text(complaints)?.value))
        .collect()
}

fn choice<T: Clone>(
    fields: &mut Fields<'_>,
    key: &'static str,
    words: &[(&str, T)],
    complaints: &mut Complaints,
) -> Option<T> {
    let all = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    let at = fields.required(key, &format!("valid: {all}"), complaints)?;
    Some(at.choice(complaints, words)?.value)
}

fn defaulted<T: Clone>(
    fields: &mut Fields<'_>,
    key: &'static str,
    words: &[(&str, T)],
    default: T,
    complaints: &mut Complaints,
) -> T {
    fields
        .optional(key)
        .and_then(|at| at.choice(complaints, words))
        .map_or(default, |word| word.value)
}

const DESTINATIONS: [(&str, Destination); 7] = [
    ("control_plane", Destination::ControlPlane),
    ("load_balancer", Destination::LoadBalancer),
    ("worker", Destination::Worker),
    ("any_node", Destination::AnyNode),
    ("added_cluster_node", Destination::AddedClusterNode),
    ("added_cluster_vip", Destination::AddedClusterVip),
    ("external", Destination::External),
];

const SOURCES: [(&str, Source); 10] = [
    ("admin_workstation", Source::AdminWorkstation),
    ("admin_cluster_nodes", Source::AdminClusterNodes),
    ("control_plane", Source::ControlPlane),
    ("load_balancer", Source::LoadBalancer),
    ("worker", Source::Worker),
    ("cluster_nodes", Source::ClusterNodes),
    ("any_client", Source::AnyClient),
    ("self_node", Source::SelfNode),
    ("loopback", Source::Loopback),
    ("floating_ip", Source::FloatingIp),
];

const SCOPES: [(&str, Scope); 3] = [
    ("remote", Scope::Remote),
    ("self_node", Scope::SelfNode),
    ("loopback", Scope::Loopback),
];

const DIRECTIONS: [(&str, Direction); 3] = [
    ("inbound", Direction::Inbound),
    ("both", Direction::Both),
    ("outbound", Direction::Outbound),
];

const SEVERITIES: [(&str, Severity); 3] = [
    ("info", Severity::Info),
    ("warn", Severity::Warn),
    ("fail", Severity::Fail),
];
