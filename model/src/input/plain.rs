//! The plain inventory: a cluster of any distribution, as docs/inventory.md describes it.
//!
//! ```text
//! schema: plumbline/inventory/v1
//! name: text
//! profile: ID                      a built-in profile, or one that is given by --profile
//! with?: [ID]                      what is composed in: the network plugin
//! version: text                    v1.31.4+k3s1, 1.9.1, 4.17
//! options?: {NAME: VALUE}          of the profiles
//! variables?: {NAME: PORT}         of the profiles
//! vips?: {control_plane?: ADDRESS, ingress?: ADDRESS}
//! pods?, services?: [PREFIX]
//! pod_mtu?: OCTETS                what pods are set to get, if the network plugin does not find it out by itself
//! groups?: {NAME: {roles, labels?, version?, nodes: [NODE]}}
//! nodes?: [NODE]
//! vantages?, ports?, external?: see `outside`
//!
//! NODE = ADDRESS | FIRST-LAST | {address, ssh?, port?, name?, roles, labels?, version?}
//! ```
//!
//! A node has the roles of its group and its own; its own labels and version stand before its group's (`nodes`).

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::{
    laid::{self, Ranges, Vips},
    listed,
    nodes::{Listed, Listing},
    outside::{self, Outside},
    roles::Roles,
    settings::{self, Chosen, Settings},
};
use crate::{
    cluster::Checks,
    id::{NodeId, Role},
    inventory::{Inventory, LoadBalancerMode, LoadBalancerType, Node, Outward},
    source::{Complaints, Placed, Refused, SourceText},
    version::Version,
    yaml::{
        self, Value,
        fields::{At, Fields},
    },
};

/// The value of `schema`.
pub(super) const SCHEMA: &str = "plumbline/inventory/v1";

/// What a plain inventory says.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) inventory: Inventory,
    pub(super) checks: Checks,
    pub(super) outside: Outside,
    pub(super) roles: Roles,
}

/// Whether a document says that it is an inventory of ours, of whatever version.
pub(super) fn is_plain(document: &yaml::Node) -> bool {
    let Value::Map(entries) = &document.value else {
        return false;
    };
    entries.iter().any(|entry| {
        let is_ours = |text: &str| text.starts_with("plumbline/");
        entry.key == "schema" && matches!(&entry.value.value, Value::Scalar { text, .. } if is_ours(text))
    })
}

/// Reads an inventory; `None` if no inventory can be made of it, for reasons that are among the complaints.
pub(super) fn read(
    document: &yaml::Node,
    profiles: &[SourceText],
    complaints: &mut Complaints,
) -> Result<Option<Plain>, Refused> {
    let at = At::document(document);
    let Some(mut fields) = at.fields(complaints) else {
        return Ok(None);
    };
    if is_another_file(&mut fields, complaints) {
        return Ok(None);
    }
    schema(&mut fields, SCHEMA, complaints);
    let name = text(
        &mut fields,
        "name",
        "name the cluster, for example `name: plant-7`",
        complaints,
    );
    let chosen = Chosen::read(&mut fields, profiles, complaints)?;
    let version = fields
        .required("version", VERSION_HELP, complaints)
        .and_then(|at| version(&at, complaints));
    let settings = Settings::read(&mut fields, complaints);
    let vips = vips(&mut fields, complaints);
    let ranges = Ranges {
        pods: prefixes(&mut fields, "pods", complaints),
        services: prefixes(&mut fields, "services", complaints),
    };
    let pod_mtu = fields
        .optional("pod_mtu")
        .and_then(|at| at.number::<u32>(complaints, POD_MTUS));
    let roles = Roles::with(chosen.role_names.clone());
    let mut listing = Listing::with(&roles);
    listing.read(&mut fields, complaints);
    let (listed, laid) = (listing.nodes, listing.laid);
    let outside = outside::read(&mut fields, &roles, complaints);
    fields.finish(complaints);
    let checks = laid::check(
        (name.clone().unwrap_or_default(), laid),
        &vips,
        &ranges,
        complaints,
    );
    let (Some(name), Some(profile), Some(version)) = (name, &chosen.profile, version) else {
        return Ok(None);
    };
    let mut inventory = inventory(name, profile.value.clone(), version.value, listed);
    inventory.with = chosen.with.iter().map(|name| name.value.clone()).collect();
    settings.give(&mut inventory);
    settings::check(&inventory, (&chosen, &settings), profiles, complaints)?;
    (inventory.pods, inventory.services) = (values(&ranges.pods), values(&ranges.services));
    inventory.control_plane_vip = vips.control_plane.map(|vip| vip.value);
    inventory.ingress_vip = vips.ingress.map(|vip| vip.value);
    inventory.pod_mtu = pod_mtu.map(|mtu| mtu.value);
    Ok(Some(Plain {
        inventory,
        checks,
        outside,
        roles,
    }))
}

/// Whether this is a file of ours that stands beside a cluster's file: it is refused for that alone.
fn is_another_file(fields: &mut Fields<'_>, complaints: &mut Complaints) -> bool {
    const OTHERS: [(&str, &str, &str); 3] = [
        ("plumbline/site/", "a site file", "--site"),
        ("plumbline/waivers/", "a file of waivers", "--waivers"),
        ("plumbline/profile/", "a profile", "--profile"),
    ];
    let Some(at) = fields.optional("schema") else {
        return false;
    };
    let Value::Scalar { text, .. } = &at.node.value else {
        return false;
    };
    let Some((_, what, option)) = OTHERS.iter().find(|(schema, _, _)| text.starts_with(schema)) else {
        return false;
    };
    let help = format!("give the cluster's file, and this one beside it with `{option} FILE`");
    complaints.add_with_help(
        at.place(),
        format!("this is {what}, and describes no cluster"),
        help,
    );
    true
}

/// Refuses another schema than the one that is meant.
pub(super) fn schema(fields: &mut Fields<'_>, meant: &'static str, complaints: &mut Complaints) {
    if let Some(at) = fields.required("schema", &format!("write `schema: {meant}`"), complaints) {
        at.choice(complaints, &[(meant, ())]);
    }
}

fn inventory(name: String, profile: String, version: Version, listed: BTreeMap<NodeId, Listed>) -> Inventory {
    let nodes: Vec<Node> = listed
        .into_values()
        .map(|listed| listed.into_node(&version))
        .collect();
    let has_load_balancers = nodes.iter().any(|node| node.roles.contains(&Role::LoadBalancer));
    Inventory {
        name,
        profile,
        with: Vec::new(),
        options: BTreeMap::new(),
        variables: BTreeMap::new(),
        cluster_type: None,
        version,
        nodes,
        vantages: Vec::new(),
        load_balancer_mode: if has_load_balancers {
            LoadBalancerMode::Bundled
        } else {
            LoadBalancerMode::Manual
        },
        load_balancer_type: LoadBalancerType::Layer2,
        flat: false,
        direct_server_return: false,
        pod_mtu: None,
        control_plane_vip: None,
        ingress_vip: None,
        address_pools: Vec::new(),
        node_agent: false,
        pods: Vec::new(),
        services: Vec::new(),
        outward: Outward::default(),
    }
}

fn text(
    fields: &mut Fields<'_>,
    key: &'static str,
    help: &str,
    complaints: &mut Complaints,
) -> Option<String> {
    let text = fields.required(key, help, complaints)?.text(complaints)?;
    if text.value.trim().is_empty() || text.value.chars().count() > MAX_NAME {
        let message = format!("`{key}` has 1 to {MAX_NAME} characters");
        complaints.add_with_help(text.place, message, help);
        return None;
    }
    Some(text.value)
}

pub(super) fn version(at: &At<'_>, complaints: &mut Complaints) -> Option<Placed<Version>> {
    at.parsed(complaints, "a version", VERSION_HELP)
}

fn vips(fields: &mut Fields<'_>, complaints: &mut Complaints) -> Vips {
    let Some(mut fields) = fields.optional("vips").and_then(|at| at.fields(complaints)) else {
        return Vips::default();
    };
    let mut vip = |key| {
        let at = fields.optional(key)?;
        listed::address(&at, complaints)
    };
    let vips = Vips {
        control_plane: vip("control_plane"),
        ingress: vip("ingress"),
    };
    fields.finish(complaints);
    vips
}

fn prefixes(fields: &mut Fields<'_>, key: &'static str, complaints: &mut Complaints) -> Vec<Placed<IpNet>> {
    let Some(at) = fields.optional(key) else {
        return Vec::new();
    };
    let help = "write ADDRESS/LENGTH, for example 10.244.0.0/16";
    let mut out = Vec::new();
    let items = at.one_or_several();
    if items.len() > MAX_RANGES {
        let message = format!(
            "`{key}` has {} ranges, at most {MAX_RANGES} are read",
            items.len()
        );
        complaints.add_with_help(at.place(), message, "write the ranges that hold these");
        return out;
    }
    for item in items {
        let Some(prefix) = item.parsed::<IpNet>(complaints, "an address range in CIDR notation", help) else {
            continue;
        };
        if prefix.value != prefix.value.trunc() {
            let message = format!("`{}`: {} has host bits set", item.path, prefix.value);
            complaints.add_with_help(prefix.place, message, format!("write {}", prefix.value.trunc()));
        } else {
            out.push(prefix);
        }
    }
    out
}

fn values(prefixes: &[Placed<IpNet>]) -> Vec<IpNet> {
    prefixes.iter().map(|prefix| prefix.value).collect()
}

/// What every host has to take (RFC 791), and the largest of IP.
const POD_MTUS: std::ops::RangeInclusive<u32> = 576..=65_535;

const VERSION_HELP: &str = "write it as the product does, for example 1.31, v1.31.4+k3s1 or 4.17";

/// Distributions take one range of each family, some of them a handful.
const MAX_RANGES: usize = 100;

/// A cluster's name stands in headlines.
const MAX_NAME: usize = 128;
