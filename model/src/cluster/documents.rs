//! The stream's documents, each with its own type and every value in its place. Nothing is compared across documents here.

use ipnet::IpNet;

use super::{
    header::RawHeader,
    networking::{self, RawPeer},
    spec::{self, RawNodes, RawSpec},
};
use crate::{
    source::{Complaints, Place, Placed},
    version::Version,
    yaml::{Entry, Node, Value, fields::Fields},
};

/// Everything that was read from the stream.
#[derive(Debug, Default)]
pub(super) struct Documents {
    pub(super) header: RawHeader,
    pub(super) clusters: Vec<RawCluster>,
    pub(super) pools: Vec<RawPool>,
    pub(super) floating_ips: Vec<Placed<std::net::IpAddr>>,
    pub(super) peers: Vec<RawPeer>,
    pub(super) cidr_configs: Vec<RawCidrConfig>,
    /// Whether it is what kubectl prints: lists exist there only.
    pub(super) is_live: bool,
    /// Documents of other kinds.
    pub(super) others: Vec<Other>,
}

/// A document of a kind that says nothing about the network.
#[derive(Debug)]
pub(super) struct Other {
    pub(super) place: Place,
    pub(super) kind: String,
    /// `apiVersion` up to the slash; empty for the core kinds.
    pub(super) group: String,
}

/// `metadata` as far as it is used.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) namespace: Option<Placed<String>>,
    /// Whether a live cluster wrote it, so that its controllers' own documents are among the others.
    pub(super) is_live: bool,
    /// The annotations whose values are one text, by name.
    pub(super) annotations: Vec<(String, Placed<String>)>,
}

/// A Cluster document. What could not be read, or is missing, is absent, and has been complained about.
#[derive(Debug)]
pub(super) struct RawCluster {
    pub(super) place: Place,
    pub(super) metadata: Option<Metadata>,
    pub(super) spec: Option<RawSpec>,
}

/// A NodePool document. What could not be read, or is missing, is absent, and has been complained about.
#[derive(Debug)]
pub(super) struct RawPool {
    pub(super) metadata: Option<Metadata>,
    pub(super) cluster_name: Option<Placed<String>>,
    pub(super) version: Option<Placed<Version>>,
    pub(super) nodes: RawNodes,
}

/// A ClusterCIDRConfig document.
#[derive(Debug)]
pub(super) struct RawCidrConfig {
    pub(super) metadata: Metadata,
    pub(super) ipv4: Option<(Placed<IpNet>, u8)>,
    pub(super) ipv6: Option<(Placed<IpNet>, u8)>,
}

/// The file's `metadata.name`, namespace and annotations.
pub(super) fn metadata(fields: &mut Fields<'_>, complaints: &mut Complaints) -> Option<Metadata> {
    let mut fields = fields
        .required("metadata", "write `metadata:` with `name:`", complaints)?
        .fields(complaints)?;
    let place = fields.place;
    let name = fields
        .required("name", "write `name: NAME`", complaints)
        .and_then(|at| at.text(complaints));
    let namespace = fields.optional("namespace").and_then(|at| at.text(complaints));
    let annotations = fields
        .optional("annotations")
        .map(|at| annotations(at.node))
        .unwrap_or_default();
    let (uid, version) = (fields.optional("uid"), fields.optional("resourceVersion"));
    let is_live = uid.is_some() || version.is_some();
    // Names of the user's own, and what a live cluster adds.
    fields.free(&[
        "labels",
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
    ]);
    fields.free(&[
        "generateName",
        "generation",
        "managedFields",
        "ownerReferences",
        "selfLink",
    ]);
    fields.finish(complaints);
    Some(Metadata {
        place,
        name: name?.value,
        namespace,
        is_live,
        annotations,
    })
}

/// Reads a document of one of the kinds of `shape.rs` after its kind and API version.
pub(super) fn document(
    kind: &str,
    mut fields: Fields<'_>,
    documents: &mut Documents,
    complaints: &mut Complaints,
) {
    // A live cluster's report about itself.
    fields.free(&["status"]);
    match kind {
        "Cluster" => documents.clusters.push(cluster(fields, complaints)),
        "NodePool" => documents.pools.push(pool(fields, complaints)),
        "NetworkGatewayGroup" => documents
            .floating_ips
            .extend(networking::gateway_group(fields, complaints)),
        "BGPLoadBalancer" => documents
            .peers
            .extend(networking::bgp_load_balancer(fields, complaints)),
        "BGPPeer" => documents.peers.extend(networking::bgp_peer(fields, complaints)),
        "ClusterCIDRConfig" => documents
            .cidr_configs
            .extend(networking::cidr_config(fields, complaints)),
        // A Namespace has nothing but its metadata.
        _ => {
            metadata(&mut fields, complaints);
            fields.free(&["spec"]);
            fields.finish(complaints);
        }
    }
}

fn cluster(mut fields: Fields<'_>, complaints: &mut Complaints) -> RawCluster {
    let place = fields.place;
    let metadata = metadata(&mut fields, complaints);
    let spec = fields.required("spec", "write `spec:` with the cluster's settings", complaints);
    let spec = spec.and_then(|at| spec::spec(&at, complaints));
    fields.finish(complaints);
    RawCluster {
        place,
        metadata,
        spec,
    }
}

fn pool(mut fields: Fields<'_>, complaints: &mut Complaints) -> RawPool {
    let metadata = metadata(&mut fields, complaints);
    let spec = fields.required(
        "spec",
        "write `spec:` with `clusterName:` and `nodes:`",
        complaints,
    );
    let spec = spec.and_then(|at| at.fields(complaints));
    fields.finish(complaints);
    let Some(mut fields) = spec else {
        return RawPool {
            metadata,
            cluster_name: None,
            version: None,
            nodes: RawNodes::default(),
        };
    };
    let help = "write `clusterName: NAME`, the name of the Cluster document";
    let cluster_name = fields
        .required("clusterName", help, complaints)
        .and_then(|at| at.text(complaints));
    let version = fields
        .optional("anthosBareMetalVersion")
        .and_then(|at| spec::version(&at, complaints));
    let nodes = match fields.optional("nodes") {
        Some(at) => spec::nodes(&at, complaints),
        // A pool may be empty.
        None => RawNodes {
            nodes: Vec::new(),
            is_complete: true,
        },
    };
    fields.free(&[
        "taints",
        "labels",
        "upgradeStrategy",
        "kubeletConfig",
        "operatingSystem",
        "profile",
        "bypassPreflightCheck",
    ]);
    fields.finish(complaints);
    RawPool {
        metadata,
        cluster_name,
        version,
        nodes,
    }
}

impl Metadata {
    /// Node Agent is enabled by an annotation of the Cluster (vendor: "Migrate clusters to use Node Agent"); its exact name
    /// differs between releases, so every one that names it and says yes counts.
    pub(super) fn asks_for_node_agent(&self) -> bool {
        let says_yes = |text: &str| matches!(text.to_lowercase().as_str(), "true" | "enable" | "enabled");
        self.annotations.iter().any(|(name, value)| {
            let name = name.rsplit('/').next().unwrap_or_default().to_lowercase();
            (name.contains("node-agent") || name.contains("nodeagent")) && says_yes(&value.value)
        })
    }
}

/// What `kubectl apply` leaves is the whole document once more, and says nothing about the cluster of today.
fn annotations(node: &Node) -> Vec<(String, Placed<String>)> {
    let Value::Map(entries) = &node.value else {
        return Vec::new();
    };
    let is_own = |name: &str| !name.starts_with("kubectl.kubernetes.io/");
    let read = |entry: &Entry| match &entry.value.value {
        Value::Scalar { text, .. } if is_own(&entry.key) => Some((
            entry.key.clone(),
            Placed {
                value: text.clone(),
                place: entry.value.place,
            },
        )),
        _ => None,
    };
    entries.iter().filter_map(read).collect()
}
