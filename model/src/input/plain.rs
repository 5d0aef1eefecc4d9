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
//! groups?: {NAME: {roles, labels?, version?, nodes: [NODE]}}
//! nodes?: [NODE]
//! vantages?, ports?: see `outside`
//!
//! NODE = ADDRESS | FIRST-LAST | {address, ssh?, port?, name?, roles, labels?, version?}
//! ```
//!
//! A node has the roles of its group and its own; its own labels and version stand before its group's.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    net::IpAddr,
};

use ipnet::IpNet;

use super::{
    labels,
    laid::{self, Ranges, Vips},
    listed::{self, Room},
    outside::{self, Outside},
    roles::Roles,
    settings::{self, Chosen, Settings},
};
use crate::{
    cluster::{Checks, LaidNode},
    id::{NodeId, Role},
    inventory::{Inventory, LoadBalancerMode, LoadBalancerType, Node},
    source::{Complaints, Place, Placed, Refused, SourceText},
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
    let roles = Roles::with(chosen.role_names.clone());
    let mut listing = Listing {
        roles: &roles,
        nodes: BTreeMap::new(),
        laid: Vec::new(),
        room: Room::of_nodes(),
    };
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
        control_plane_vip: None,
        ingress_vip: None,
        node_agent: false,
        pods: Vec::new(),
        services: Vec::new(),
    }
}

/// A node as it is listed.
struct Listed {
    address: IpAddr,
    ssh: Option<IpAddr>,
    ssh_port: Option<u16>,
    name: Option<String>,
    roles: BTreeSet<Role>,
    labels: BTreeMap<String, String>,
    version: Option<Version>,
    pool: String,
    line: u32,
}

impl Listed {
    fn into_node(self, version: &Version) -> Node {
        Node {
            id: NodeId::from(self.address),
            ssh: self.ssh.unwrap_or(self.address),
            ssh_port: self.ssh_port,
            name: self.name,
            roles: self.roles,
            version: self.version.unwrap_or_else(|| version.clone()),
            pool: self.pool,
            line: self.line,
            labels: self.labels,
        }
    }
}

/// What nodes of a group have in common.
#[derive(Default)]
struct Common {
    pool: String,
    roles: BTreeSet<Role>,
    /// Whether roles are written, so that wrong ones are not complained about at every node.
    has_roles: bool,
    labels: BTreeMap<String, String>,
    version: Option<Version>,
}

/// Nodes in the making.
struct Listing<'a> {
    roles: &'a Roles,
    nodes: BTreeMap<NodeId, Listed>,
    /// Every node as it stands there, repeated ones included.
    laid: Vec<LaidNode>,
    room: Room,
}

impl Listing<'_> {
    fn read(&mut self, fields: &mut Fields<'_>, complaints: &mut Complaints) {
        let place = fields.place;
        let mut is_written = false;
        if let Some(groups) = fields.optional("groups") {
            is_written = true;
            for entry in groups
                .fields(complaints)
                .iter()
                .flat_map(|groups| groups.entries())
            {
                let at = At {
                    node: &entry.value,
                    path: format!("groups.{}", entry.key),
                };
                self.group(&entry.key, &at, complaints);
            }
        }
        if let Some(nodes) = fields.optional("nodes") {
            is_written = true;
            self.list(&nodes, &Common::default(), complaints);
        }
        // What is listed and wrong has been complained about.
        if !is_written || (self.nodes.is_empty() && complaints.is_empty()) {
            complaints.add_with_help(
                place,
                "the inventory lists no nodes",
                "write `nodes:` or `groups:`, as docs/inventory.md shows",
            );
        }
        self.refuse_repeated_names(complaints);
    }

    fn group(&mut self, name: &str, at: &At<'_>, complaints: &mut Complaints) {
        let Some(mut fields) = at.fields(complaints) else {
            return;
        };
        let common = Common {
            pool: name.to_owned(),
            ..self.common(&mut fields, complaints)
        };
        let nodes = fields.required(
            "nodes",
            "list the group's nodes, for example [10.0.0.5-10.0.0.9]",
            complaints,
        );
        fields.finish(complaints);
        if let Some(nodes) = nodes {
            self.list(&nodes, &common, complaints);
        }
    }

    /// What a group and a node are written with alike.
    fn common(&self, fields: &mut Fields<'_>, complaints: &mut Complaints) -> Common {
        let roles = fields.optional("roles");
        let labels = fields.optional("labels");
        let version_at = fields.optional("version");
        Common {
            pool: String::new(),
            has_roles: roles.is_some(),
            roles: roles
                .map(|at| self.roles.read(&at, complaints))
                .unwrap_or_default(),
            labels: labels.map(|at| labels::read(&at, complaints)).unwrap_or_default(),
            version: version_at
                .and_then(|at| version(&at, complaints))
                .map(|version| version.value),
        }
    }

    fn list(&mut self, at: &At<'_>, common: &Common, complaints: &mut Complaints) {
        for item in at.items(complaints) {
            if matches!(item.node.value, Value::Map(_)) {
                self.node(&item, common, complaints);
                continue;
            }
            for address in listed::addresses(&item, &mut self.room, complaints) {
                let listed = Listed {
                    address: address.value,
                    ssh: None,
                    ssh_port: None,
                    name: None,
                    roles: common.roles.clone(),
                    labels: common.labels.clone(),
                    version: common.version.clone(),
                    pool: common.pool.clone(),
                    line: address.place.line,
                };
                self.add(listed, common.has_roles, address.place, &item.path, complaints);
            }
        }
    }

    fn node(&mut self, at: &At<'_>, common: &Common, complaints: &mut Complaints) {
        let Some(mut fields) = at.fields(complaints) else {
            return;
        };
        let address = fields
            .required("address", listed::ONE_ADDRESS, complaints)
            .and_then(|at| listed::address(&at, complaints));
        let ssh = fields
            .optional("ssh")
            .and_then(|at| listed::address(&at, complaints));
        let ssh_port = fields
            .optional("port")
            .and_then(|at| at.number::<u16>(complaints, 1..=u16::MAX));
        let name = fields
            .optional("name")
            .and_then(|at| listed::name(&at, complaints));
        let own = self.common(&mut fields, complaints);
        fields.finish(complaints);
        let Some(address) = address else {
            return;
        };
        if !self.room.take(1, address.place, complaints) {
            return;
        }
        let mut labels = common.labels.clone();
        labels.extend(own.labels);
        let listed = Listed {
            address: address.value,
            ssh: ssh.map(|ssh| ssh.value),
            ssh_port: ssh_port.map(|port| port.value),
            name: name.map(|name| name.value),
            roles: common.roles.union(&own.roles).copied().collect(),
            labels,
            version: own.version.or_else(|| common.version.clone()),
            pool: common.pool.clone(),
            line: address.place.line,
        };
        let has_roles = common.has_roles || own.has_roles;
        self.add(listed, has_roles, address.place, &at.path, complaints);
    }

    fn add(
        &mut self,
        listed: Listed,
        has_roles: bool,
        place: Place,
        path: &str,
        complaints: &mut Complaints,
    ) {
        if listed.roles.is_empty() && !has_roles {
            let message = format!("`{path}`: node {} has no roles", listed.address);
            let help = format!(
                "write `roles: [...]` for it or its group; valid: {}",
                self.roles.all()
            );
            complaints.add_with_help(place, message, help);
        }
        let address = Placed {
            value: listed.address,
            place,
        };
        self.laid.push(laid::node(address, &listed.roles, &listed.pool));
        // The checks tell of one that is listed twice.
        match self.nodes.entry(NodeId::from(listed.address)) {
            Entry::Occupied(mut first) => first.get_mut().roles.extend(listed.roles),
            Entry::Vacant(vacant) => {
                vacant.insert(listed);
            }
        }
    }

    fn refuse_repeated_names(&self, complaints: &mut Complaints) {
        let mut seen: BTreeMap<&str, &Listed> = BTreeMap::new();
        for node in self.nodes.values() {
            let Some(name) = &node.name else { continue };
            if let Some(other) = seen.insert(name, node) {
                let (first, second) = (other.line.min(node.line), other.line.max(node.line));
                let place = Place {
                    line: second,
                    column: 1,
                };
                let message = format!(
                    "two nodes are called `{name}`: {} and {}",
                    other.address, node.address
                );
                complaints.add_with_help(
                    place,
                    message,
                    format!("rename one; the first is in line {first}"),
                );
            }
        }
    }
}

fn text(
    fields: &mut Fields<'_>,
    key: &'static str,
    help: &str,
    complaints: &mut Complaints,
) -> Option<String> {
    let text = fields.required(key, help, complaints)?.text(complaints)?;
    if text.value.trim().is_empty() || text.value.len() > MAX_NAME {
        let message = format!("`{key}` has 1 to {MAX_NAME} characters");
        complaints.add_with_help(text.place, message, help);
        return None;
    }
    Some(text.value)
}

fn version(at: &At<'_>, complaints: &mut Complaints) -> Option<Placed<Version>> {
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

const VERSION_HELP: &str = "write it as the product does, for example 1.31, v1.31.4+k3s1 or 4.17";

/// Distributions take one range of each family, some of them a handful.
const MAX_RANGES: usize = 100;

/// A cluster's name stands in headlines.
const MAX_NAME: usize = 128;
