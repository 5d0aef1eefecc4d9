//! What a plain inventory and a site file say in the same words: vantages, and ports of the user's own.
//!
//! ```text
//! vantages:
//! - address: ADDRESS              from where it asks
//!   name?: text                   what people call it; its address unless written
//!   ssh?: ADDRESS                 where SSH reaches it; its address unless written
//!   stands_for: [SOURCE]          any_client, admin_cluster_nodes, admin_workstation, ..., or names of the user's own
//! external: see `external`
//! ports:
//! - name: text                    the rule's id is user.NAME
//!   to: ROLE | any_node | [ADDRESS or FIRST-LAST or ROLE]
//!   protocol?: tcp | udp          tcp unless written
//!   ports: [2049, 20048-20050]
//!   from: [SOURCE]                as above, or cluster_nodes, control_plane, load_balancer, worker
//!   purpose: text
//!   severity?: info | warn | fail fail unless written
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    external,
    listed::{self, Room},
    roles::Roles,
    sources::{self, Use},
};
use crate::{
    id::{NodeId, Role},
    inventory::{Outward, Vantage},
    port::{PortRange, Protocol},
    profile::{PortSpec, Severity, Source},
    source::{Complaints, Place, Placed},
    yaml::fields::{At, Fields},
};

/// What a file says besides the cluster itself.
#[derive(Debug, Default)]
pub(super) struct Outside {
    pub(super) vantages: Vec<WrittenVantage>,
    pub(super) ports: Vec<DeclaredPort>,
    pub(super) outward: Outward,
}

/// A vantage as it is written.
#[derive(Debug)]
pub(super) struct WrittenVantage {
    pub(super) vantage: Vantage,
    pub(super) place: Place,
    /// With their places, for complaints.
    pub(super) stands_for: Vec<Placed<Source>>,
    /// Whether it is a node of the admin cluster, which another file may name once more for other sources.
    pub(super) is_of_admin_cluster: bool,
}

/// A port of the user's own.
#[derive(Debug)]
pub(super) struct DeclaredPort {
    pub(super) name: Placed<String>,
    pub(super) to: To,
    pub(super) protocol: Protocol,
    pub(super) ports: Vec<PortSpec>,
    pub(super) from: Vec<Placed<Source>>,
    pub(super) purpose: String,
    pub(super) severity: Severity,
}

/// Where a declared port is.
#[derive(Debug)]
pub(super) enum To {
    /// Every node.
    AnyNode,
    /// Nodes with a role.
    Role(Role, Place),
    /// Nodes one by one, and nodes with one of several roles.
    Listed {
        addresses: Vec<Placed<IpAddr>>,
        roles: BTreeSet<Role>,
        place: Place,
    },
}

/// Reads `vantages` and `ports` of a file's fields.
pub(super) fn read(fields: &mut Fields<'_>, roles: &Roles, complaints: &mut Complaints) -> Outside {
    let mut outside = Outside {
        outward: external::read(fields, complaints),
        ..Outside::default()
    };
    if let Some(list) = fields.optional("vantages") {
        let items = list.items(complaints);
        outside.vantages = items
            .iter()
            .filter_map(|item| vantage(item, complaints))
            .collect();
    }
    if let Some(list) = fields.optional("ports") {
        let items = list.items(complaints);
        let mut room = Room::of_references();
        outside.ports = items
            .iter()
            .filter_map(|item| port(item, roles, &mut room, complaints))
            .collect();
    }
    refuse_repeated_names(&outside.ports, &BTreeMap::new(), complaints);
    outside
}

/// Names make ids of rules. `others` are those of another file, with where they stand.
pub(super) fn refuse_repeated_names(
    ports: &[DeclaredPort],
    others: &BTreeMap<String, String>,
    complaints: &mut Complaints,
) {
    let mut seen = others.clone();
    for port in ports {
        let here = format!("line {}", port.name.place.line);
        if let Some(other) = seen.insert(port.name.value.clone(), here) {
            let message = format!("the port `{}` is declared twice", port.name.value);
            complaints.add_with_help(
                port.name.place,
                message,
                format!("rename one; the other is in {other}"),
            );
        }
    }
}

fn vantage(at: &At<'_>, complaints: &mut Complaints) -> Option<WrittenVantage> {
    let mut fields = at.fields(complaints)?;
    let address = fields
        .required("address", listed::ONE_ADDRESS, complaints)
        .and_then(|at| listed::address(&at, complaints));
    let ssh = fields
        .optional("ssh")
        .and_then(|at| listed::address(&at, complaints));
    let name = fields
        .optional("name")
        .and_then(|at| listed::name(&at, complaints))
        .map(|name| name.value);
    let help = "write whom it stands for, for example `stands_for: [any_client]`";
    let stands_for = fields
        .required("stands_for", help, complaints)
        .and_then(|at| some_sources(&at, Use::StandsFor, help, complaints));
    fields.finish(complaints);
    let (address, stands_for) = (address?, stands_for?);
    Some(WrittenVantage {
        vantage: Vantage {
            id: NodeId::from(address.value),
            ssh: ssh.map_or(address.value, |ssh| ssh.value),
            name: name.unwrap_or_else(|| address.value.to_string()),
            stands_for: stands_for.iter().map(|source| source.value).collect(),
            line: address.place.line,
        },
        place: address.place,
        stands_for,
        is_of_admin_cluster: false,
    })
}

fn port(at: &At<'_>, roles: &Roles, room: &mut Room, complaints: &mut Complaints) -> Option<DeclaredPort> {
    let mut fields = at.fields(complaints)?;
    let name = fields
        .required(
            "name",
            "name it in one word, for example `name: storage-nfs`",
            complaints,
        )
        .and_then(|at| rule_name(&at, complaints));
    let to_help = format!(
        "write any_node, a role ({}), or a list of node addresses",
        roles.all()
    );
    let to = fields
        .required("to", &to_help, complaints)
        .and_then(|at| to(&at, (roles, room), &to_help, complaints));
    let protocol = match fields.optional("protocol") {
        Some(at) => at.choice(complaints, &PROTOCOLS).map(|word| word.value),
        None => Some(Protocol::Tcp),
    };
    let ports = fields
        .required("ports", PORTS_HELP, complaints)
        .map(|at| ports(&at, complaints));
    let from = fields
        .required("from", FROM_HELP, complaints)
        .and_then(|at| some_sources(&at, Use::From, FROM_HELP, complaints));
    let purpose = fields
        .required(
            "purpose",
            "write what it is for: the firewall's team will ask",
            complaints,
        )
        .and_then(|at| at.text(complaints));
    let severity = match fields.optional("severity") {
        Some(at) => at.choice(complaints, &SEVERITIES).map(|word| word.value),
        None => Some(Severity::Fail),
    };
    fields.finish(complaints);
    let purpose = purpose.filter(|purpose| {
        let is_short = purpose.value.chars().count() <= MAX_PURPOSE;
        if !is_short {
            let message = format!("`purpose` has up to {MAX_PURPOSE} characters");
            complaints.add_with_help(purpose.place, message, "write a sentence: it stands in tables");
        }
        is_short
    });
    Some(DeclaredPort {
        name: name?,
        to: to?,
        protocol: protocol?,
        ports: ports.filter(|ports| !ports.is_empty())?,
        from: from?,
        purpose: purpose?.value,
        severity: severity?,
    })
}

/// At least one source, and all of those that are written.
fn some_sources(
    at: &At<'_>,
    wanted: Use,
    help: &str,
    complaints: &mut Complaints,
) -> Option<Vec<Placed<Source>>> {
    let written = at.one_or_several().len();
    if written == 0 {
        complaints.add_with_help(at.place(), format!("`{}` is empty", at.path), help);
        return None;
    }
    let sources = sources::read(at, wanted, complaints);
    (sources.len() == written).then_some(sources)
}

fn rule_name(at: &At<'_>, complaints: &mut Complaints) -> Option<Placed<String>> {
    let name = at.text(complaints)?;
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    let is_name =
        !name.value.is_empty() && name.value.len() <= MAX_NAME && name.value.chars().all(is_allowed);
    if is_name {
        return Some(name);
    }
    let message = format!("`{}`: \"{}\" is no name of a port", at.path, name.value);
    complaints.add_with_help(
        name.place,
        message,
        format!("write up to {MAX_NAME} lower-case letters, digits, `-`, `_` and `.`"),
    );
    None
}

fn to(
    at: &At<'_>,
    (roles, room): (&Roles, &mut Room),
    help: &str,
    complaints: &mut Complaints,
) -> Option<To> {
    let items = at.one_or_several();
    let single = match items.as_slice() {
        [] => {
            complaints.add_with_help(at.place(), format!("`{}` is empty", at.path), help);
            return None;
        }
        [item] => Some(item.text(complaints)?),
        _ => None,
    };
    match single.as_ref().map(|text| (text.value.as_str(), text.place)) {
        Some(("any_node", _)) => return Some(To::AnyNode),
        Some((word, place)) => {
            let meant: Vec<Role> = roles.get(word).into_iter().flatten().copied().collect();
            if let [role] = meant[..] {
                return Some(To::Role(role, place));
            }
        }
        None => {}
    }
    let (mut addresses, mut meant, mut is_whole) = (Vec::new(), BTreeSet::new(), true);
    for item in items {
        let text = item.text(complaints)?;
        if let Some(roles) = roles.get(&text.value) {
            meant.extend(roles);
        } else if text.value.starts_with(|c: char| c.is_ascii_digit()) || text.value.contains(':') {
            let listed = listed::addresses(&item, room, complaints);
            is_whole &= !listed.is_empty();
            addresses.extend(listed);
        } else {
            let near = crate::source::nearest(&text.value, roles.names().chain(["any_node"]));
            let near = near.map_or_else(String::new, |word| format!("did you mean `{word}`? "));
            let message = format!(
                "`{}`: \"{}\" is neither a role nor an address",
                item.path, text.value
            );
            complaints.add_with_help(text.place, message, format!("{near}{help}"));
            is_whole = false;
        }
    }
    is_whole.then(|| To::Listed {
        addresses,
        roles: meant,
        place: at.place(),
    })
}

fn ports(at: &At<'_>, complaints: &mut Complaints) -> Vec<PortSpec> {
    let items = at.one_or_several();
    if items.is_empty() {
        complaints.add_with_help(at.place(), format!("`{}` is empty", at.path), PORTS_HELP);
    }
    let range =
        |item: &At<'_>| item.parsed::<PortRange>(complaints, "a port or a range of ports", PORTS_HELP);
    let ranges: Vec<_> = items.iter().map(range).collect();
    // Half of what was meant is not tested in place of all of it.
    let all: Option<Vec<_>> = ranges.into_iter().collect();
    let specs = all.unwrap_or_default().into_iter();
    specs.map(|range| PortSpec::Range(range.value)).collect()
}

const FROM_HELP: &str = "write who connects, for example `from: [any_client]`";

const PORTS_HELP: &str = "write `ports: [2049, 20048-20050]`, numbers from 1 to 65535, the smaller first";

/// A rule's id stands in tables.
const MAX_NAME: usize = 48;

/// Every finding of the rule and every line of the firewall request repeat its purpose.
const MAX_PURPOSE: usize = 1_000;

const PROTOCOLS: [(&str, Protocol); 2] = [("tcp", Protocol::Tcp), ("udp", Protocol::Udp)];

const SEVERITIES: [(&str, Severity); 3] = [
    ("info", Severity::Info),
    ("warn", Severity::Warn),
    ("fail", Severity::Fail),
];
