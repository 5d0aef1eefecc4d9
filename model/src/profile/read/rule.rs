//! One rule, and who stands for its sources.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

use super::{choice, defaulted, text, texts};
use crate::{
    port::{InvalidProtocol, PortRange, Protocol},
    profile::{
        Condition, Destination, Direction, PortSpec, Rule, Scope, Severity, Source, StandIn, options::Options,
    },
    source::{Complaints, Place, nearest},
    version::Minor,
    yaml::fields::{At, Fields},
};

/// What a rule may refer to.
pub(super) struct Words<'a> {
    pub(super) variables: &'a BTreeMap<String, u16>,
    pub(super) options: &'a Options,
}

pub(super) fn stand_in(item: &At<'_>, words: &Words<'_>, complaints: &mut Complaints) -> Option<StandIn> {
    let mut fields = item.fields(complaints)?;
    let source = choice(&mut fields, "source", &Source::WORDS, complaints);
    let when = condition(&mut fields, words, complaints);
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

/// A rule; two of one id for `tcp+udp`, none if it cannot be read.
pub(super) fn rules(item: &At<'_>, words: &Words<'_>, complaints: &mut Complaints) -> Vec<Rule> {
    let Some((rule, protocols)) = rule(item, words, complaints) else {
        return Vec::new();
    };
    check(&rule, item.place(), complaints);
    let with = |protocol: &Protocol| Rule {
        protocol: *protocol,
        ..rule.clone()
    };
    protocols.iter().map(with).collect()
}

fn rule(item: &At<'_>, words: &Words<'_>, complaints: &mut Complaints) -> Option<(Rule, Vec<Protocol>)> {
    let mut fields = item.fields(complaints)?;
    let id = text(&mut fields, "id", complaints);
    let destination = choice(&mut fields, "to", &DESTINATIONS, complaints);
    let help = "write tcp, udp, tcp+udp, icmp or ip:N";
    let protocols = fields
        .required("protocol", help, complaints)
        .and_then(|at| at.parsed::<Protocols>(complaints, "a protocol", help));
    let ports = ports(&mut fields, words.variables, complaints);
    let sources = sources(&mut fields, "from", complaints);
    let scope = defaulted(&mut fields, "scope", &SCOPES, Scope::Remote, complaints);
    let through_services = truth(&mut fields, "through_services", false, complaints);
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
    let when = condition(&mut fields, words, complaints);
    let in_document = truth(&mut fields, "table", true, complaints);
    let verified = truth(&mut fields, "verified", true, complaints);
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
    fields.finish(complaints);
    let Protocols(protocols) = protocols?.value;
    let rule = Rule {
        id: id?,
        destination: destination?,
        listed: BTreeSet::new(),
        protocol: *protocols.first()?,
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
        verified,
    };
    Some((rule, protocols))
}

/// One protocol, or TCP and UDP where a table writes both in one row.
struct Protocols(Vec<Protocol>);

impl FromStr for Protocols {
    type Err = InvalidProtocol;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(match text {
            "tcp+udp" => vec![Protocol::Tcp, Protocol::Udp],
            _ => vec![text.parse()?],
        }))
    }
}

fn truth(fields: &mut Fields<'_>, key: &'static str, default: bool, complaints: &mut Complaints) -> bool {
    fields
        .optional(key)
        .and_then(|at| at.boolean(complaints))
        .unwrap_or(default)
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
    if !rule.verified && rule.severity == Severity::Fail {
        complaints.add_with_help(
            place,
            "a rule that nobody verified can only warn",
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
            "remove `ports`"
        };
        complaints.add_with_help(place, "tcp and udp rules have ports, others have none", help);
    }
}

fn ports(
    fields: &mut Fields<'_>,
    variables: &BTreeMap<String, u16>,
    complaints: &mut Complaints,
) -> Vec<PortSpec> {
    // Protocols without ports have nothing to write; that tcp and udp have is checked with the whole rule.
    let Some(list) = fields.optional("ports") else {
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

pub(super) fn sources(
    fields: &mut Fields<'_>,
    key: &'static str,
    complaints: &mut Complaints,
) -> BTreeSet<Source> {
    let Some(list) = fields.required(
        key,
        "write a list of sources, for example [cluster_nodes]",
        complaints,
    ) else {
        return BTreeSet::new();
    };
    list.items(complaints)
        .iter()
        .filter_map(|item| Some(item.choice(complaints, &Source::WORDS)?.value))
        .collect()
}

pub(super) fn condition(
    fields: &mut Fields<'_>,
    words: &Words<'_>,
    complaints: &mut Complaints,
) -> Option<Condition> {
    let text = fields.optional("when")?.text(complaints)?;
    Condition::read(&text.value, words.options)
        .map_err(|error| complaints.add(text.place, format!("failed to {error}")))
        .ok()
}

pub(super) fn minor(
    fields: &mut Fields<'_>,
    key: &'static str,
    complaints: &mut Complaints,
) -> Option<Minor> {
    let help = "write it like \"1.29\"";
    Some(
        fields
            .optional(key)?
            .parsed::<Minor>(complaints, "a minor version", help)?
            .value,
    )
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

pub(super) const SEVERITIES: [(&str, Severity); 3] = [
    ("info", Severity::Info),
    ("warn", Severity::Warn),
    ("fail", Severity::Fail),
];
