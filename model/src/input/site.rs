//! The site file: what the cluster's own file has no words for.
//!
//! ```text
//! schema: plumbline/site/v1
//! labels?: {ADDRESS or FIRST-LAST or PREFIX: {NAME: VALUE}}
//! vantages?, ports?, external?: see `outside`
//! ```

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;

use super::{
    labels,
    listed::{self, Room},
    outside::{self, Outside},
    plain,
    roles::Roles,
};
use crate::{
    inventory::Inventory,
    source::{Complaints, Place},
    yaml::{
        self,
        fields::{At, Fields},
    },
};

/// The value of `schema`.
pub(super) const SCHEMA: &str = "plumbline/site/v1";

/// What a site file says.
#[derive(Debug, Default)]
pub(super) struct Site {
    pub(super) labels: Vec<LabelEntry>,
    pub(super) outside: Outside,
}

/// Labels of some nodes.
#[derive(Debug)]
pub(super) struct LabelEntry {
    nodes: Nodes,
    /// As it is written.
    text: String,
    place: Place,
    labels: BTreeMap<String, String>,
}

/// Whom labels are for.
#[derive(Debug)]
enum Nodes {
    /// All of these are nodes.
    Listed(Vec<IpAddr>),
    /// Every node in it.
    Within(IpNet),
}

/// Reads a site file; what is wrong with it is among the complaints.
pub(super) fn read(documents: &[yaml::Node], roles: &Roles, complaints: &mut Complaints) -> Site {
    let [document] = documents else {
        let message = format!("a site file is one document, found {}", documents.len());
        complaints.add_with_help(Place::START, message, format!("start with `schema: {SCHEMA}`"));
        return Site::default();
    };
    let Some(mut fields) = At::document(document).fields(complaints) else {
        return Site::default();
    };
    plain::schema(&mut fields, SCHEMA, complaints);
    let labels = label_entries(&mut fields, complaints);
    let outside = outside::read(&mut fields, roles, complaints);
    fields.finish(complaints);
    Site { labels, outside }
}

fn label_entries(fields: &mut Fields<'_>, complaints: &mut Complaints) -> Vec<LabelEntry> {
    let entries = fields.optional("labels").and_then(|at| at.fields(complaints));
    let entries = entries.iter().flat_map(|entries| entries.entries());
    let mut room = Room::of_references();
    entries
        .filter_map(|entry| {
            let at = At {
                node: &entry.value,
                path: format!("labels.{}", entry.key),
            };
            let labels = labels::read(&at, complaints);
            Some(LabelEntry {
                nodes: nodes(&entry.key, entry.place, &mut room, complaints)?,
                text: entry.key.clone(),
                place: entry.place,
                labels,
            })
        })
        .collect()
}

fn nodes(key: &str, place: Place, room: &mut Room, complaints: &mut Complaints) -> Option<Nodes> {
    if let Ok(network) = key.parse::<IpNet>() {
        return Some(Nodes::Within(network));
    }
    match listed::read(key) {
        Ok(listed) => room
            .take(listed.len(), place, complaints)
            .then_some(Nodes::Listed(listed)),
        Err(why) => {
            let help = "write 10.0.0.5, 10.0.0.5-10.0.0.9 or 10.0.0.0/24 and a colon";
            complaints.add_with_help(place, format!("`labels`: \"{key}\" {why}"), help);
            None
        }
    }
}

/// Gives the nodes their labels.
pub(super) fn label(inventory: &mut Inventory, entries: &[LabelEntry], complaints: &mut Complaints) {
    // Who wrote a label of a node, for those who write it differently.
    let mut written: BTreeMap<(usize, &str), &LabelEntry> = BTreeMap::new();
    for entry in entries {
        for index in entry.indices(inventory, complaints) {
            let node = &mut inventory.nodes[index];
            for (name, value) in &entry.labels {
                let known = node.labels.insert(name.clone(), value.clone());
                let other = written.insert((index, name), entry);
                let Some(known) = known.filter(|known| known != value) else {
                    continue;
                };
                let where_else = other.map_or_else(
                    || "the cluster's file".to_owned(),
                    |other| format!("line {}", other.place.line),
                );
                let message = format!(
                    "`labels.{}`: node {} has {name}: {known} already, from {where_else}",
                    entry.text, node.id
                );
                complaints.add_with_help(entry.place, message, "write it in one place");
            }
        }
    }
}

impl LabelEntry {
    /// The nodes that are meant, by their places in the inventory.
    fn indices(&self, inventory: &Inventory, complaints: &mut Complaints) -> Vec<usize> {
        let all = inventory.nodes.iter().enumerate();
        let indices: Vec<usize> = match &self.nodes {
            Nodes::Within(network) => all
                .filter(|(_, node)| {
                    node.id
                        .address()
                        .is_some_and(|address| network.contains(&address))
                })
                .map(|(index, _)| index)
                .collect(),
            Nodes::Listed(addresses) => {
                let index_of = |address: &IpAddr| {
                    inventory
                        .nodes
                        .binary_search_by_key(&(*address).into(), |node| node.id)
                };
                let strangers: Vec<&IpAddr> = addresses
                    .iter()
                    .filter(|address| index_of(address).is_err())
                    .collect();
                if let [first, ..] = strangers[..] {
                    let message = match strangers.len() {
                        1 => format!("`labels.{}`: no node has the address {first}", self.text),
                        count => format!(
                            "`labels.{}`: no node has {count} of these addresses; the first is {first}",
                            self.text
                        ),
                    };
                    let help = "write addresses as the cluster's file gives them: the data address";
                    complaints.add_with_help(self.place, message, help);
                }
                addresses
                    .iter()
                    .filter_map(|address| index_of(address).ok())
                    .collect()
            }
        };
        if indices.is_empty() && matches!(self.nodes, Nodes::Within(_)) {
            let message = format!("`labels.{}`: no node is in it", self.text);
            complaints.add_with_help(
                self.place,
                message,
                "write a prefix that holds nodes, or remove it",
            );
        }
        indices
    }
}
