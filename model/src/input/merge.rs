//! One inventory of several files: whom the admin cluster's file and the site file add, checked against the cluster and
//! against each other.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    outside::{self, DeclaredPort, Outside, To, WrittenVantage},
    site::{self, LabelEntry},
};
use crate::{
    id::{NodeId, Role},
    inventory::{ClusterType, Inventory, Outward, Vantage},
    profile::{Destination, Direction, Profile, Rule, Scope, Source, SourceName},
    source::{Complaints, Diagnostic, Place, Placed, Refused, nearest},
};

/// What one file adds, with the complaints about it.
pub(super) struct Part {
    pub(super) complaints: Complaints,
    pub(super) outside: Outside,
    pub(super) labels: Vec<LabelEntry>,
}

/// The id of the profile of declared ports, and the beginning of their rules' ids.
const DECLARED: &str = "user";

/// Puts the parts into the inventory: the inventory, the declared rules, and what checks complained about.
///
/// # Errors
/// Every complaint about every part.
pub(super) fn merge(
    mut inventory: Inventory,
    mut parts: Vec<Part>,
) -> Result<(Inventory, Option<Profile>, Vec<Diagnostic>), Refused> {
    for part in &mut parts {
        site::label(&mut inventory, &part.labels, &mut part.complaints);
    }
    add_vantages(&mut inventory, &mut parts);
    for part in &mut parts {
        inventory.outward.join(std::mem::take(&mut part.outside.outward));
    }
    check_names(&mut parts);
    let declared = declare(&inventory, &mut parts);
    let is_readable = parts.iter().all(|part| part.complaints.is_readable());
    let complaints = parts.into_iter().map(|part| part.complaints);
    if is_readable {
        let findings = complaints.flat_map(Complaints::into_findings).collect();
        return Ok((inventory, declared, findings));
    }
    Err(Refused(
        complaints
            .flat_map(|complaints| complaints.into_refused().0)
            .collect(),
    ))
}

/// The nodes of the admin cluster as vantages of the cluster that it manages.
pub(super) fn nodes_of_admin_cluster(
    admin: &Inventory,
    cluster: &Inventory,
    complaints: &mut Complaints,
) -> Outside {
    let stands_for = Source::AdminClusterNodes;
    match (cluster.cluster_type, admin.cluster_type) {
        (Some(kind), _) if kind != ClusterType::User => {
            let message = format!("no admin cluster manages {}: it is of type {kind}", cluster.name);
            complaints.add_with_help(Place::START, message, "run without --admin-cluster");
        }
        (_, Some(kind @ (ClusterType::User | ClusterType::Standalone))) => {
            let message = format!("{} is of type {kind} and manages no other cluster", admin.name);
            complaints.add_with_help(Place::START, message, "give the file of the admin cluster");
        }
        _ => {}
    }
    let shared: Vec<_> = (admin.nodes.iter())
        .filter_map(|node| Some((node, cluster.node(node.id)?)))
        .collect();
    if let [(node, twin), ..] = shared[..] {
        let place = Place {
            line: node.line,
            column: 1,
        };
        let message = format!(
            "{} of {} nodes of {} are nodes of {}, too; the first is {} (line {} of the cluster's file)",
            shared.len(),
            admin.nodes.len(),
            admin.name,
            cluster.name,
            node.id,
            twin.line
        );
        complaints.add_with_help(
            place,
            message,
            "give the file of the cluster that manages it, not its own",
        );
        return Outside::default();
    }
    let vantages = admin.nodes.iter().map(|node| {
        let place = Place {
            line: node.line,
            column: 1,
        };
        WrittenVantage {
            vantage: Vantage {
                id: node.id,
                ssh: node.ssh,
                name: node.name.clone().unwrap_or_else(|| admin.name.clone()),
                stands_for: BTreeSet::from([stands_for]),
                line: node.line,
            },
            place,
            stands_for: vec![Placed {
                value: stands_for,
                place,
            }],
            is_of_admin_cluster: true,
        }
    });
    Outside {
        vantages: vantages.collect(),
        ports: Vec::new(),
        outward: Outward::default(),
    }
}

fn add_vantages(inventory: &mut Inventory, parts: &mut [Part]) {
    let mut vantages: BTreeMap<NodeId, (Vantage, bool)> = BTreeMap::new();
    for part in parts {
        for written in &part.outside.vantages {
            if refuse_inside(written, inventory, &mut part.complaints) {
                continue;
            }
            let vantage = &written.vantage;
            match vantages.get_mut(&vantage.id) {
                None => {
                    vantages.insert(vantage.id, (vantage.clone(), written.is_of_admin_cluster));
                }
                // A node of the admin cluster may stand for others, too.
                Some((known, is_of_admin_cluster)) if *is_of_admin_cluster != written.is_of_admin_cluster => {
                    known.stands_for.extend(&vantage.stands_for);
                    *is_of_admin_cluster = false;
                }
                Some((known, _)) => {
                    let message = format!("the vantage {} is written twice", vantage.id);
                    let help = format!(
                        "write one with all that it stands for; the other is in line {}",
                        known.line
                    );
                    part.complaints.add_with_help(written.place, message, help);
                }
            }
        }
    }
    inventory.vantages = vantages.into_values().map(|(vantage, _)| vantage).collect();
}

/// A vantage stands outside the cluster; whether this one does not.
fn refuse_inside(written: &WrittenVantage, inventory: &Inventory, complaints: &mut Complaints) -> bool {
    let id = written.vantage.id;
    let vips = [
        ("control plane", inventory.control_plane_vip),
        ("ingress", inventory.ingress_vip),
    ];
    let of_vip = vips
        .into_iter()
        .find(|(_, vip)| vip.map(NodeId::from) == Some(id));
    let (message, help) = if let Some(node) = inventory.node(id) {
        let message = format!(
            "the vantage {id} is a node of the cluster (line {} of its file)",
            node.line
        );
        (
            message,
            "nodes speak for themselves: remove it, or write the address of a machine outside",
        )
    } else if let Some((which, _)) = of_vip {
        let message = format!("the vantage {id} is the {which} VIP");
        (message, "write the address of a machine outside the cluster")
    } else {
        return false;
    };
    complaints.add_with_help(written.place, message, help);
    true
}

/// A name of the user's own that only one side knows is a slip, or a vantage that nobody needs.
fn check_names(parts: &mut [Part]) {
    let named = |source: &Placed<Source>| match source.value {
        Source::Named(name) => Some(name),
        _ => None,
    };
    let standing: BTreeSet<SourceName> = parts
        .iter()
        .flat_map(|part| &part.outside.vantages)
        .flat_map(|vantage| vantage.stands_for.iter().filter_map(named))
        .collect();
    let asked: BTreeSet<SourceName> = parts
        .iter()
        .flat_map(|part| &part.outside.ports)
        .flat_map(|port| port.from.iter().filter_map(named))
        .collect();
    for part in parts {
        for source in part
            .outside
            .vantages
            .iter()
            .flat_map(|vantage| &vantage.stands_for)
        {
            let Some(name) = named(source).filter(|name| !asked.contains(name)) else {
                continue;
            };
            let near = nearest(name.as_str(), asked.iter().map(SourceName::as_str));
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("declare ports `from: [{name}]`, or remove it"),
            };
            let message = format!("no declared port has the source `{name}`");
            part.complaints.add_with_help(source.place, message, help);
        }
        for source in part.outside.ports.iter().flat_map(|port| &port.from) {
            let Some(name) = named(source).filter(|name| !standing.contains(name)) else {
                continue;
            };
            // Nobody stands for it: that is listed and warns, as for every other source.
            if let Some(near) = nearest(name.as_str(), standing.iter().map(SourceName::as_str)) {
                let message = format!("no vantage stands for `{name}`");
                part.complaints
                    .add_with_help(source.place, message, format!("did you mean `{near}`?"));
            }
        }
    }
}

/// The declared ports as rules.
fn declare(inventory: &Inventory, parts: &mut [Part]) -> Option<Profile> {
    let mut rules = Vec::new();
    let mut files = Vec::new();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for part in parts {
        let Part {
            complaints, outside, ..
        } = part;
        if !names.is_empty() {
            outside::refuse_repeated_names(&outside.ports, &names, complaints);
        }
        for port in &outside.ports {
            let place = format!("{}:{}", complaints.file(), port.name.place.line);
            names.insert(port.name.value.clone(), place.clone());
            rules.extend(rule(port, place, inventory, complaints));
        }
        if !outside.ports.is_empty() {
            files.push(complaints.file().to_owned());
        }
    }
    (!rules.is_empty()).then(|| Profile {
        id: DECLARED.to_owned(),
        title: "ports that the user declares".to_owned(),
        aliases: Vec::new(),
        sources: files,
        versions: Vec::new(),
        extends: Vec::new(),
        replaces: Vec::new(),
        composes: Vec::new(),
        role_names: BTreeMap::new(),
        options: BTreeMap::new(),
        variables: BTreeMap::new(),
        overlay: None,
        notes: Vec::new(),
        stand_ins: Vec::new(),
        external: Vec::new(),
        rules,
    })
}

fn rule(
    port: &DeclaredPort,
    cited: String,
    inventory: &Inventory,
    complaints: &mut Complaints,
) -> Option<Rule> {
    let (destination, listed) = destination(port, inventory, complaints)?;
    Some(Rule {
        id: format!("{DECLARED}.{}", port.name.value),
        destination,
        listed,
        protocol: port.protocol,
        ports: port.ports.clone(),
        sources: port.from.iter().map(|source| source.value).collect(),
        scope: Scope::Remote,
        through_services: false,
        direction: Direction::Inbound,
        since: None,
        until: None,
        when: None,
        severity: port.severity,
        doc_used_by: None,
        reading: None,
        purpose: port.purpose.clone(),
        cited: vec![cited],
        in_document: false,
        verified: true,
    })
}

fn destination(
    port: &DeclaredPort,
    inventory: &Inventory,
    complaints: &mut Complaints,
) -> Option<(Destination, BTreeSet<NodeId>)> {
    let with_role = |role: Role| {
        let nodes = inventory
            .nodes
            .iter()
            .filter(move |node| node.roles.contains(&role));
        nodes.map(|node| node.id)
    };
    let mut refuse_role = |role: Role, place: Place| {
        let message = format!(
            "the port `{}` is at nobody: no node has the role {}",
            port.name.value,
            role.as_str()
        );
        complaints.add_with_help(place, message, "write a role that nodes have, or their addresses");
    };
    match &port.to {
        To::AnyNode => Some((Destination::AnyNode, BTreeSet::new())),
        To::Role(role, place) => {
            if with_role(*role).next().is_none() {
                refuse_role(*role, *place);
                return None;
            }
            let destination = match role {
                Role::ControlPlane => Destination::ControlPlane,
                Role::LoadBalancer => Destination::LoadBalancer,
                Role::Worker => Destination::Worker,
            };
            Some((destination, BTreeSet::new()))
        }
        To::Listed {
            addresses,
            roles,
            place,
        } => {
            let mut nodes = BTreeSet::new();
            for role in roles {
                if with_role(*role).next().is_none() {
                    refuse_role(*role, *place);
                }
                nodes.extend(with_role(*role));
            }
            for address in addresses {
                let id = NodeId::from(address.value);
                if inventory.node(id).is_none() {
                    let message = format!("the port `{}` is at {id}, which is no node", port.name.value);
                    let help = "write addresses of nodes, as the cluster's file gives them";
                    complaints.add_with_help(address.place, message, help);
                }
                nodes.insert(id);
            }
            Some((Destination::ListedNodes, nodes))
        }
    }
}
