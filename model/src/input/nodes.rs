//! The nodes of a plain inventory: one by one, in ranges and in groups.
//!
//! ```text
//! groups ──► what they have in common ─┐
//! nodes  ──► each with its own ────────┴──► one node an address, and every line as it stands for the checks over the file
//! ```

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    net::IpAddr,
};

use super::{
    labels, laid,
    listed::{self, Room},
    plain::version,
    roles::Roles,
};
use crate::{
    cluster::LaidNode,
    id::{NodeId, Role},
    inventory::Node,
    source::{Complaints, Place, Placed},
    version::Version,
    yaml::{
        Value,
        fields::{At, Fields},
    },
};

/// A node as it is listed.
pub(super) struct Listed {
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
    pub(super) fn into_node(self, version: &Version) -> Node {
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
pub(super) struct Listing<'a> {
    roles: &'a Roles,
    pub(super) nodes: BTreeMap<NodeId, Listed>,
    /// Every node as it stands there, repeated ones included.
    pub(super) laid: Vec<LaidNode>,
    room: Room,
}

impl<'a> Listing<'a> {
    /// None yet; roles are called by these words.
    pub(super) fn with(roles: &'a Roles) -> Self {
        Self {
            roles,
            nodes: BTreeMap::new(),
            laid: Vec::new(),
            room: Room::of_nodes(),
        }
    }

    /// Takes the nodes of an inventory's fields.
    pub(super) fn read(&mut self, fields: &mut Fields<'_>, complaints: &mut Complaints) {
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
