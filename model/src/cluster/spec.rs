//! `spec` of the Cluster document.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    address,
    load_balancer::{RawLoadBalancer, load_balancer},
};
use crate::{
    inventory::{ClusterType, LoadBalancerMode},
    source::{Complaints, Place, Placed},
    version::{Minor, Version},
    yaml::{
        Value,
        fields::{At, Fields},
    },
};

/// A node with the places of its addresses.
#[derive(Debug)]
pub(super) struct RawNode {
    pub(super) address: Placed<IpAddr>,
    pub(super) k8s_ip: Option<Placed<IpAddr>>,
}

/// A list of nodes.
#[derive(Debug, Default)]
pub(super) struct RawNodes {
    pub(super) nodes: Vec<RawNode>,
    /// Whether every one of them could be read; otherwise there are more than these.
    pub(super) is_complete: bool,
}

/// `spec` of the Cluster document. What could not be read, or is missing, is absent: it has been complained about, and the
/// checks look at the rest.
#[derive(Debug, Default)]
pub(super) struct RawSpec {
    pub(super) cluster_type: Option<Placed<ClusterType>>,
    pub(super) is_edge: Option<Placed<bool>>,
    pub(super) version: Option<Placed<Version>>,
    pub(super) control_plane: Option<RawControlPlane>,
    pub(super) load_balancer: Option<RawLoadBalancer>,
    pub(super) network: Option<RawNetwork>,
    pub(super) max_pods_per_node: Option<Placed<u16>>,
    pub(super) bypass_preflight_check: Option<Placed<bool>>,
    pub(super) proxy: Option<RawProxy>,
    pub(super) gke_connect_location: Option<Placed<String>>,
    /// `osEnvironmentConfig.addPackageRepo`.
    pub(super) adds_package_repository: Option<bool>,
}

/// `spec.proxy`.
#[derive(Debug)]
pub(super) struct RawProxy {
    pub(super) url: Option<Placed<String>>,
    /// `noProxy`, each entry; those of one text all stand where the text does. `None` if the field is not there.
    pub(super) no_proxy: Option<Placed<Vec<Placed<String>>>>,
}

/// `spec.controlPlane`.
#[derive(Debug)]
pub(super) struct RawControlPlane {
    pub(super) nodes: RawNodes,
    pub(super) nodes_place: Place,
    pub(super) cluster_name: Option<Placed<String>>,
    pub(super) mode: Option<Placed<LoadBalancerMode>>,
}

/// The `cidrBlocks` of pods or Services.
#[derive(Debug)]
pub(super) struct RawBlocks {
    pub(super) blocks: Vec<Placed<IpNet>>,
    /// Whether every one of them could be read.
    pub(super) is_complete: bool,
}

/// `spec.clusterNetwork`.
#[derive(Debug)]
pub(super) struct RawNetwork {
    pub(super) pods: Option<RawBlocks>,
    pub(super) services: Option<RawBlocks>,
    pub(super) flat_ipv4: bool,
    pub(super) advanced_networking: Option<Placed<bool>>,
    pub(super) bundled_ingress: Option<Placed<bool>>,
    pub(super) direct_server_return: bool,
}

/// A list of texts.
pub(super) fn texts(at: &At<'_>, complaints: &mut Complaints) -> Vec<Placed<String>> {
    at.items(complaints)
        .iter()
        .filter_map(|item| item.text(complaints))
        .collect()
}

/// A field that is true or false.
pub(super) fn flag(
    fields: &mut Fields<'_>,
    key: &'static str,
    complaints: &mut Complaints,
) -> Option<Placed<bool>> {
    let at = fields.optional(key)?;
    let value = at.boolean(complaints)?;
    Some(Placed {
        value,
        place: at.place(),
    })
}

/// Reads `spec`.
pub(super) fn spec(at: &At<'_>, complaints: &mut Complaints) -> Option<RawSpec> {
    let mut fields = at.fields(complaints)?;
    let cluster_type = fields
        .required(
            "type",
            "write `type:`, one of admin, user, hybrid, standalone",
            complaints,
        )
        .and_then(|at| at.choice(complaints, &TYPES));
    let is_edge = fields
        .optional("profile")
        .and_then(|at| at.choice(complaints, &[("default", false), ("edge", true)]));
    let version = fields
        .required(
            "anthosBareMetalVersion",
            "write the version, for example 1.29.1100-gke.84",
            complaints,
        )
        .and_then(|at| version(&at, complaints));
    let control_plane = fields
        .required(
            "controlPlane",
            "write `controlPlane:` with `nodePoolSpec:` and its nodes",
            complaints,
        )
        .and_then(|at| control_plane(&at, complaints));
    let load_balancer = fields
        .required(
            "loadBalancer",
            "write `loadBalancer:` with `mode:`, `ports:` and `vips:`",
            complaints,
        )
        .and_then(|at| load_balancer(&at, complaints));
    let network = fields
        .required(
            "clusterNetwork",
            "write `clusterNetwork:` with `pods:` and `services:`",
            complaints,
        )
        .and_then(|at| network(&at, complaints));
    let max_pods_per_node = fields
        .optional("nodeConfig")
        .and_then(|at| max_pods_per_node(&at, complaints));
    let bypass_preflight_check = flag(&mut fields, "bypassPreflightCheck", complaints);
    let proxy = fields.optional("proxy").and_then(|at| proxy(&at, complaints));
    let gke_connect_location = fields
        .optional("gkeConnect")
        .and_then(|at| gke_connect_location(&at, complaints));
    // What else it says is about the operating system.
    let adds_package_repository = fields.optional("osEnvironmentConfig").and_then(|at| {
        at.fields(complaints)?
            .optional("addPackageRepo")?
            .boolean(complaints)
    });
    fields.free(&ELSEWHERE);
    fields.finish(complaints);
    Some(RawSpec {
        cluster_type,
        is_edge,
        version,
        control_plane,
        load_balancer,
        network,
        max_pods_per_node,
        bypass_preflight_check,
        proxy,
        gke_connect_location,
        adds_package_repository,
    })
}

fn gke_connect_location(at: &At<'_>, complaints: &mut Complaints) -> Option<Placed<String>> {
    let mut fields = at.fields(complaints)?;
    let location = fields.optional("location").and_then(|at| at.text(complaints));
    fields.free(&[
        "projectID",
        "connectServiceAccountSecret",
        "registerServiceAccountSecret",
    ]);
    fields.finish(complaints);
    location
}

/// Reads a version, and refuses those that never existed.
pub(super) fn version(at: &At<'_>, complaints: &mut Complaints) -> Option<Placed<Version>> {
    let help = "write MAJOR.MINOR[.PATCH[-gke.N]], for example 1.29.1100-gke.84";
    let version = at.parsed::<Version>(complaints, "a version", help)?;
    if !version.value.is_of_bmctl() {
        let message = format!("`{}`: \"{}\" is not a version of `bmctl`", at.path, version.value);
        complaints.add_with_help(version.place, message, help);
        return None;
    }
    let minor = version.value.minor();
    if (NEVER_EXISTED.0..=NEVER_EXISTED.1).contains(&minor) {
        let message = format!(
            "`{}`: version {minor} never existed: 1.16 was followed by 1.28",
            at.path
        );
        let middle = (NEVER_EXISTED.0.minor + NEVER_EXISTED.1.minor) / 2;
        let near = if minor.minor <= middle { "1.16" } else { "1.28" };
        complaints.add_with_help(version.place, message, format!("the nearest version is {near}"));
        return None;
    }
    Some(version)
}

/// Reads a list of nodes.
pub(super) fn nodes(at: &At<'_>, complaints: &mut Complaints) -> RawNodes {
    let items = at.items(complaints);
    let nodes: Vec<RawNode> = items.iter().filter_map(|item| node(item, complaints)).collect();
    RawNodes {
        is_complete: nodes.len() == items.len() && matches!(at.node.value, Value::List(_)),
        nodes,
    }
}

fn node(at: &At<'_>, complaints: &mut Complaints) -> Option<RawNode> {
    let mut fields = at.fields(complaints)?;
    let address = fields
        .required("address", "write `address: IPV4`", complaints)
        .and_then(|at| address::host_v4(&at, complaints));
    let k8s_ip = fields
        .optional("k8sIP")
        .and_then(|at| address::host_v4(&at, complaints));
    fields.free(&["labels", "taints"]);
    fields.finish(complaints);
    Some(RawNode {
        address: address?,
        k8s_ip,
    })
}

fn control_plane(at: &At<'_>, complaints: &mut Complaints) -> Option<RawControlPlane> {
    let mut fields = at.fields(complaints)?;
    let pool = fields.required("nodePoolSpec", "write `nodePoolSpec:` with `nodes:`", complaints);
    let mode = fields.optional("loadBalancer").and_then(|at| {
        let mut fields = at.fields(complaints)?;
        let mode = fields
            .optional("mode")
            .and_then(|at| at.choice(complaints, &MODES));
        if let Some(at) = fields.optional("keepalivedVRRPGARPMasterRepeat") {
            at.number::<u32>(complaints, 0..=u32::MAX);
        }
        fields.finish(complaints);
        mode
    });
    fields.free(&["apiServerCertExtraSANs", "apiServerArgs"]);
    fields.finish(complaints);
    let pool = pool?;
    let mut fields = pool.fields(complaints)?;
    let list = fields.required(
        "nodes",
        "write `nodes:` with one `- address: IPV4` for each node",
        complaints,
    );
    let cluster_name = fields.optional("clusterName").and_then(|at| at.text(complaints));
    fields.free(&["kubeletConfig", "labels", "taints", "operatingSystem"]);
    fields.finish(complaints);
    let list = list?;
    Some(RawControlPlane {
        nodes: nodes(&list, complaints),
        nodes_place: list.place(),
        cluster_name,
        mode,
    })
}

fn network(at: &At<'_>, complaints: &mut Complaints) -> Option<RawNetwork> {
    let mut fields = at.fields(complaints)?;
    let pods = cidr_blocks(&mut fields, "pods", complaints);
    let services = cidr_blocks(&mut fields, "services", complaints);
    let flat_ipv4 = flag(&mut fields, "flatIPv4", complaints);
    let advanced_networking = flag(&mut fields, "advancedNetworking", complaints);
    flag(&mut fields, "multipleNetworkInterfaces", complaints);
    let bundled_ingress = flag(&mut fields, "bundledIngress", complaints);
    let direct_server_return = fields
        .optional("forwardMode")
        .and_then(|at| at.choice(complaints, &[("snat", false), ("dsr", true)]))
        .is_some_and(|mode| mode.value);
    fields.free(&["sriovOperator"]);
    fields.finish(complaints);
    Some(RawNetwork {
        pods,
        services,
        flat_ipv4: flat_ipv4.is_some_and(|flat| flat.value),
        advanced_networking,
        bundled_ingress,
        direct_server_return,
    })
}

fn cidr_blocks(fields: &mut Fields<'_>, key: &'static str, complaints: &mut Complaints) -> Option<RawBlocks> {
    let at = fields.required(
        key,
        "write it with `cidrBlocks:` and a list of ranges",
        complaints,
    )?;
    let mut fields = at.fields(complaints)?;
    let list = fields.required(
        "cidrBlocks",
        "write `cidrBlocks:` and a list of ranges",
        complaints,
    );
    fields.finish(complaints);
    let list = list?;
    let items = list.items(complaints);
    if items.is_empty() {
        let message = format!("`{}` has no range", list.path);
        complaints.add_with_help(list.place(), message, "write `- ADDRESS/LENGTH` below it");
    }
    let blocks: Vec<_> = items
        .iter()
        .filter_map(|item| address::prefix(item, complaints))
        .collect();
    Some(RawBlocks {
        is_complete: !items.is_empty() && blocks.len() == items.len(),
        blocks,
    })
}

fn max_pods_per_node(at: &At<'_>, complaints: &mut Complaints) -> Option<Placed<u16>> {
    let mut fields = at.fields(complaints)?;
    let density = fields.optional("podDensity");
    fields.free(&["containerRuntime", "registryMirrors", "privateRegistries"]);
    fields.finish(complaints);
    let mut fields = density?.fields(complaints)?;
    let most = fields.optional("maxPodsPerNode");
    fields.finish(complaints);
    most?.number::<u16>(complaints, 0..=u16::MAX)
}

/// `noProxy` is documented as one comma-separated text; files in the field also have a list. Both are accepted.
fn proxy(at: &At<'_>, complaints: &mut Complaints) -> Option<RawProxy> {
    let mut fields = at.fields(complaints)?;
    let url = fields.optional("url").and_then(|at| at.text(complaints));
    let no_proxy = fields.optional("noProxy").map(|at| {
        let written = match &at.node.value {
            Value::List(_) => texts(&at, complaints),
            _ => at.text(complaints).into_iter().collect(),
        };
        Placed {
            value: written.iter().flat_map(entries).collect(),
            place: at.place(),
        }
    });
    fields.finish(complaints);
    Some(RawProxy { url, no_proxy })
}

/// The entries of a comma-separated text; an item of a list may be one, too.
fn entries(text: &Placed<String>) -> Vec<Placed<String>> {
    let words = text.value.split([',', ' ', '\n']).filter(|word| !word.is_empty());
    words
        .map(|word| Placed {
            value: word.to_owned(),
            place: text.place,
        })
        .collect()
}

/// Fields of `spec` that say nothing about the network.
const ELSEWHERE: [&str; 16] = [
    "authentication",
    "binaryAuthorization",
    "clusterOperations",
    "clusterSecurity",
    "credentials",
    "gkeOnPremAPI",
    "kubevirt",
    "maintenanceBlocks",
    "nodeAccess",
    "nodePoolUpgradeStrategy",
    "osEnvironmentConfig",
    "periodicHealthCheck",
    "privateRegistries",
    "registryMirrors",
    "storage",
    "workloadIdentityConfig",
];

const TYPES: [(&str, ClusterType); 4] = [
    ("admin", ClusterType::Admin),
    ("user", ClusterType::User),
    ("hybrid", ClusterType::Hybrid),
    ("standalone", ClusterType::Standalone),
];

pub(super) const MODES: [(&str, LoadBalancerMode); 2] = [
    ("bundled", LoadBalancerMode::Bundled),
    ("manual", LoadBalancerMode::Manual),
];

/// The vendor renumbered from 1.16 to 1.28 (release notes).
const NEVER_EXISTED: (Minor, Minor) = (Minor { major: 1, minor: 17 }, Minor { major: 1, minor: 27 });
