//! One cluster, and of the node pools its own: what kubectl prints may be of several clusters, and holds the pools that
//! controllers make of the nodes that the cluster's own document lists.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    check,
    documents::{Documents, Metadata, Other, RawCluster, RawPool},
    shape::{BARE_METAL, CLUSTER_FILE, PREFLIGHT_CHECK},
    spec::RawNodes,
};
use crate::source::{Complaints, Gravity, Place};

/// Takes the one cluster, and leaves its own pools. `None` if there is not exactly one cluster, with the reason among the
/// complaints.
pub(super) fn one(mut documents: Documents, complaints: &mut Complaints) -> Option<(RawCluster, Documents)> {
    if documents.clusters.len() > 1 {
        several(&documents.clusters, complaints);
        return None;
    }
    let Some(cluster) = documents.clusters.pop() else {
        // A document that could not be told has been complained about already.
        if complaints.is_readable() {
            none(&documents, complaints);
        }
        return None;
    };
    if let Some(metadata) = &cluster.metadata {
        documents.is_live |= metadata.is_live;
        if documents.is_live {
            documents.pools.retain(|pool| is_own(pool, metadata, complaints));
        }
        let made = Made::of(&cluster);
        documents
            .pools
            .retain(|pool| !made.is_pool(pool, metadata, documents.is_live));
    }
    note_others(&documents.others, complaints);
    Some((cluster, documents))
}

fn several(clusters: &[RawCluster], complaints: &mut Complaints) {
    let name = |cluster: &RawCluster| {
        let line = cluster.place.line;
        let Some(metadata) = &cluster.metadata else {
            return format!("one without a name (line {line})");
        };
        let namespace = metadata.namespace.as_ref();
        let namespace = namespace.map_or(String::new(), |namespace| {
            format!(" in namespace {}", namespace.value)
        });
        format!("{}{namespace} (line {line})", metadata.name)
    };
    let mut names: Vec<String> = clusters.iter().take(MAX_NAMED).map(name).collect();
    if clusters.len() > MAX_NAMED {
        names.push(format!("{} more", clusters.len() - MAX_NAMED));
    }
    let place = clusters.get(1).map_or(Place::START, |cluster| cluster.place);
    let message = format!("more than one document of kind Cluster: {}", names.join(", "));
    let help = format!("give each cluster a file of its own; of a live one {PRINTED}");
    complaints.add_with_help(place, message, help);
}

/// Says what the file is, if that can be told, and what to give instead.
fn none(documents: &Documents, complaints: &mut Complaints) {
    let others = by_kind(&documents.others);
    let is = |kind: &str, group: &str| others.contains_key(&(group, kind));
    let place = documents.others.first().map_or(Place::START, |other| other.place);
    if is("Config", "") {
        let message = "this is a kubeconfig: it says how to reach a cluster, not what the cluster is made of";
        complaints.add_with_help(place, message, format!("{CLUSTER_FILE}, or {PRINTED}"));
        return;
    }
    if is(PREFLIGHT_CHECK, BARE_METAL) {
        let (message, help) = if documents.others.len() > 1 {
            (
                "more than one PreflightCheck, and no document of kind Cluster",
                "give one of them",
            )
        } else {
            (
                "this PreflightCheck holds no cluster file (`spec.configYAML`)",
                PRINTED,
            )
        };
        complaints.add_with_help(place, message, help);
        return;
    }
    if let Some(pool) = documents.pools.first() {
        let message = "no document of kind Cluster, only node pools";
        let place = pool
            .metadata
            .as_ref()
            .map_or(Place::START, |metadata| metadata.place);
        complaints.add_with_help(place, message, PRINTED);
        return;
    }
    let listed: Vec<String> = others
        .iter()
        .take(MAX_NAMED)
        .map(|((group, kind), (_, count))| named(kind, group, *count))
        .collect();
    let message = match listed.as_slice() {
        [] if documents.is_live => "no document of kind Cluster: the list is empty".to_owned(),
        [] => "no document of kind Cluster".to_owned(),
        kinds => format!("no document of kind Cluster, but {}", kinds.join(", ")),
    };
    let help = if documents.is_live {
        PRINTED.to_owned()
    } else {
        format!(
            "{CLUSTER_FILE}; for another distribution write an inventory (`schema: plumbline/inventory/v1`)"
        )
    };
    complaints.add_with_help(place, message, help);
}

/// A list of all namespaces has the pools of all clusters.
fn is_own(pool: &RawPool, cluster: &Metadata, complaints: &mut Complaints) -> bool {
    let (Some(metadata), Some(cluster_name)) = (&pool.metadata, &pool.cluster_name) else {
        return true;
    };
    let is_near = match (&metadata.namespace, &cluster.namespace) {
        (Some(own), Some(clusters)) => own.value == clusters.value,
        _ => true,
    };
    if cluster_name.value == cluster.name && is_near {
        return true;
    }
    let message = format!(
        "NodePool `{}` belongs to the cluster `{}` and is left out",
        metadata.name, cluster_name.value
    );
    let help = format!("nothing, if only `{}` is meant", cluster.name);
    complaints.find(metadata.place, (check::READS, Gravity::Warn), message, help);
    false
}

/// Nodes that the Cluster document lists, of which controllers make node pools.
struct Made {
    control_plane: BTreeSet<IpAddr>,
    load_balancer: BTreeSet<IpAddr>,
}

impl Made {
    fn of(cluster: &RawCluster) -> Self {
        let addresses = |nodes: &RawNodes| nodes.nodes.iter().map(|node| node.address.value).collect();
        let spec = cluster.spec.as_ref();
        let control_plane = spec.and_then(|spec| spec.control_plane.as_ref());
        let load_balancer = spec.and_then(|spec| spec.load_balancer.as_ref()?.nodes.as_ref());
        Self {
            control_plane: control_plane
                .map(|plane| addresses(&plane.nodes))
                .unwrap_or_default(),
            load_balancer: load_balancer
                .map(|nodes| addresses(&nodes.value))
                .unwrap_or_default(),
        }
    }

    /// Whether the pool is one of those: every node of it is listed there. In a file for bmctl that is a mistake, unless the
    /// pool has the name that controllers give (the cluster's own or its namespace's, with `-lb` for load balancers).
    fn is_pool(&self, pool: &RawPool, cluster: &Metadata, is_live: bool) -> bool {
        let nodes = &pool.nodes.nodes;
        let is_listed =
            |list: &&BTreeSet<IpAddr>| nodes.iter().all(|node| list.contains(&node.address.value));
        if nodes.is_empty() || ![&self.control_plane, &self.load_balancer].iter().any(is_listed) {
            return false;
        }
        let Some(metadata) = &pool.metadata else {
            return is_live;
        };
        let name = metadata.name.trim_end_matches("-lb");
        let namespace = cluster.namespace.as_ref();
        is_live || name == cluster.name || namespace.is_some_and(|namespace| name == namespace.value)
    }
}

/// One remark for each kind: lists have thousands of machines.
fn note_others(others: &[Other], complaints: &mut Complaints) {
    for ((group, kind), (place, count)) in by_kind(others) {
        let what = named(kind, group, count);
        let (message, help) = if kind == "Secret" {
            (
                format!("{what}: the evidence of a run holds the whole file"),
                "remove it from the file before the report goes to others",
            )
        } else {
            (
                format!("{what}: this kind says nothing about the network and is not looked at"),
                "nothing, or remove it",
            )
        };
        complaints.find(place, (check::READS, Gravity::Warn), message, help);
    }
}

fn by_kind(others: &[Other]) -> BTreeMap<(&str, &str), (Place, usize)> {
    let mut kinds: BTreeMap<(&str, &str), (Place, usize)> = BTreeMap::new();
    for other in others {
        let key = (other.group.as_str(), other.kind.as_str());
        kinds.entry(key).or_insert((other.place, 0)).1 += 1;
    }
    kinds
}

fn named(kind: &str, group: &str, count: usize) -> String {
    let of = if group.is_empty() {
        String::new()
    } else {
        format!(" of {group}")
    };
    match count {
        1 => format!("a document of kind `{kind}`{of}"),
        _ => format!("{count} documents of kind `{kind}`{of}"),
    }
}

/// What to give of a live cluster.
const PRINTED: &str = "give what `kubectl get clusters.baremetal.cluster.gke.io,nodepools.baremetal.cluster.gke.io \
                       --namespace NAMESPACE -o yaml` prints";

/// More names than these are a list for a file, not for a message.
const MAX_NAMED: usize = 6;
