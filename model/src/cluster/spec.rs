//! The header and `spec` of the Cluster document.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    address::{self, AddressRange},
    networking::{self, RawPeer},
};
use crate::{
    inventory::{ClusterType, LoadBalancerMode, LoadBalancerType},
    source::{Complaints, Place, Placed, nearest},
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
}

/// `spec.proxy`.
#[derive(Debug)]
pub(super) struct RawProxy {
    pub(super) url: Option<Placed<String>>,
    /// `noProxy`, each entry; those of one text all stand where the text does. `None` if the field is not there.
    pub(super) no_proxy: Option<Placed<Vec<Placed<String>>>>,
}

/// The document that only `bmctl` reads.
#[derive(Debug, Default)]
pub(super) struct RawHeader {
    /// Where it starts; absent if there is none.
    pub(super) place: Option<Place>,
    /// The files that hold secrets, by their fields.
    pub(super) key_paths: Vec<(&'static str, Placed<String>)>,
    pub(super) registry_mirrors: Vec<RawMirror>,
}

/// One of `registryMirrors`.
#[derive(Debug)]
pub(super) struct RawMirror {
    pub(super) endpoint: Placed<String>,
    pub(super) hosts: Vec<Placed<String>>,
}

/// `spec.controlPlane`.
#[derive(Debug)]
pub(super) struct RawControlPlane {
    pub(super) nodes: RawNodes,
    pub(super) nodes_place: Place,
    pub(super) cluster_name: Option<Placed<String>>,
    pub(super) mode: Option<Placed<LoadBalancerMode>>,
}

/// `spec.loadBalancer`.
#[derive(Debug)]
pub(super) struct RawLoadBalancer {
    pub(super) mode: Option<Placed<LoadBalancerMode>>,
    pub(super) kind: Option<Placed<LoadBalancerType>>,
    pub(super) port: Option<Placed<u16>>,
    pub(super) vips_place: Option<Place>,
    pub(super) control_plane_vip: Option<Placed<IpAddr>>,
    pub(super) ingress_vip: Option<Placed<IpAddr>>,
    pub(super) pools: Option<RawPools>,
    pub(super) nodes: Option<Placed<RawNodes>>,
    pub(super) local_asn: Option<Placed<u32>>,
    pub(super) peers: Vec<RawPeer>,
}

/// `spec.loadBalancer.addressPools`.
#[derive(Debug)]
pub(super) struct RawPools {
    pub(super) place: Place,
    pub(super) pools: Vec<RawAddressPool>,
    /// Whether every range could be read; otherwise what seems to be in no pool may be in one.
    pub(super) is_complete: bool,
}

/// One of `spec.loadBalancer.addressPools`.
#[derive(Debug)]
pub(super) struct RawAddressPool {
    pub(super) name: Option<Placed<String>>,
    pub(super) ranges: Vec<Placed<AddressRange>>,
    pub(super) avoid_buggy_ips: Option<Placed<bool>>,
    pub(super) manual_assign: Option<Placed<bool>>,
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

/// Whether a document without a kind can be the header: it has one of its fields, or nearly.
pub(super) fn is_header(fields: &Fields<'_>) -> bool {
    let names = KEY_PATHS.into_iter().chain(HEADER_LISTS);
    let is_near = |key: &str| nearest(key, names.clone()).is_some();
    fields.entries().iter().any(|entry| is_near(&entry.key))
}

/// The document that only `bmctl` reads. The files that it names hold secrets and are never opened.
pub(super) fn header(mut fields: Fields<'_>, complaints: &mut Complaints) -> RawHeader {
    let place = Some(fields.place);
    let mut key_paths = Vec::new();
    for key in KEY_PATHS {
        let path = fields.optional(key).and_then(|at| at.text(complaints));
        key_paths.extend(path.map(|path| (key, path)));
    }
    let registry_mirrors = match fields.optional("registryMirrors") {
        Some(at) => at
            .items(complaints)
            .iter()
            .filter_map(|item| mirror(item, complaints))
            .collect(),
        None => Vec::new(),
    };
    fields.free(&HEADER_LISTS);
    fields.finish(complaints);
    RawHeader {
        place,
        key_paths,
        registry_mirrors,
    }
}

fn mirror(at: &At<'_>, complaints: &mut Complaints) -> Option<RawMirror> {
    let mut fields = at.fields(complaints)?;
    let endpoint = fields
        .required("endpoint", "write `endpoint: https://HOST:PORT`", complaints)
        .and_then(|at| at.text(complaints));
    let hosts = match fields.optional("hosts") {
        Some(at) => texts(&at, complaints),
        None => Vec::new(),
    };
    fields.free(&["caCertPath", "pullCredentialConfigPath"]);
    fields.finish(complaints);
    Some(RawMirror {
        endpoint: endpoint?,
        hosts,
    })
}

fn texts(at: &At<'_>, complaints: &mut Complaints) -> Vec<Placed<String>> {
    at.items(complaints)
        .iter()
        .filter_map(|item| item.text(complaints))
        .collect()
}

fn flag(fields: &mut Fields<'_>, key: &'static str, complaints: &mut Complaints) -> Option<Placed<bool>> {
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
    let gke_connect_location = fields.optional("gkeConnect").and_then(|at| {
        let mut fields = at.fields(complaints)?;
        let location = fields.optional("location").and_then(|at| at.text(complaints));
        fields.free(&[
            "projectID",
            "connectServiceAccountSecret",
            "registerServiceAccountSecret",
        ]);
        fields.finish(complaints);
        location
    });
    fields.free(&[
        "authentication",
        "binaryAuthorization",
        "clusterOperations",
        "clusterSecurity",
    ]);
    fields.free(&[
        "gkeOnPremAPI",
        "kubevirt",
        "maintenanceBlocks",
        "nodeAccess",
        "nodePoolUpgradeStrategy",
    ]);
    fields.free(&[
        "osEnvironmentConfig",
        "periodicHealthCheck",
        "registryMirrors",
        "privateRegistries",
        "storage",
    ]);
    fields.free(&["workloadIdentityConfig", "credentials"]);
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
    })
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

fn load_balancer(at: &At<'_>, complaints: &mut Complaints) -> Option<RawLoadBalancer> {
    let mut fields = at.fields(complaints)?;
    let mode = fields
        .required("mode", "write `mode: bundled` or `mode: manual`", complaints)
        .and_then(|at| at.choice(complaints, &MODES));
    let kind = fields
        .optional("type")
        .and_then(|at| at.choice(complaints, &KINDS));
    let port = fields
        .required(
            "ports",
            "write `ports:` with `controlPlaneLBPort: 443`",
            complaints,
        )
        .and_then(|at| control_plane_port(&at, complaints));
    let vips_at = fields.required("vips", "write `vips:` with `controlPlaneVIP: IPV4`", complaints);
    let vips_place = vips_at.as_ref().map(At::place);
    let vips = vips_at.and_then(|at| vips(&at, complaints));
    let pools = fields
        .optional("addressPools")
        .map(|at| address_pools(&at, complaints));
    let pool = fields.optional("nodePoolSpec");
    let listed = pool.as_ref().and_then(|at| {
        let mut fields = at.fields(complaints)?;
        let list = fields.required(
            "nodes",
            "write `nodes:` with one `- address: IPV4` for each node",
            complaints,
        );
        fields.free(&[
            "clusterName",
            "kubeletConfig",
            "labels",
            "operatingSystem",
            "taints",
        ]);
        fields.finish(complaints);
        Some(nodes(&list?, complaints))
    });
    let nodes = pool.map(|at| Placed {
        value: listed.unwrap_or_default(),
        place: at.place(),
    });
    let local_asn = fields
        .optional("localASN")
        .and_then(|at| networking::asn(&at, complaints));
    let peers = match fields.optional("bgpPeers") {
        Some(at) => at
            .items(complaints)
            .iter()
            .filter_map(|item| networking::inline_peer(item, complaints))
            .collect(),
        None => Vec::new(),
    };
    fields.finish(complaints);
    let (control_plane_vip, ingress_vip) = vips.unwrap_or_default();
    Some(RawLoadBalancer {
        mode,
        kind,
        port,
        vips_place,
        control_plane_vip,
        ingress_vip,
        pools,
        nodes,
        local_asn,
        peers,
    })
}

fn control_plane_port(at: &At<'_>, complaints: &mut Complaints) -> Option<Placed<u16>> {
    let mut fields = at.fields(complaints)?;
    let port = fields.required(
        "controlPlaneLBPort",
        "write `controlPlaneLBPort: 443`",
        complaints,
    );
    fields.finish(complaints);
    port?.number::<u16>(complaints, 1..=u16::MAX)
}

/// The control plane's and the ingress VIP, as far as they could be read.
type Vips = (Option<Placed<IpAddr>>, Option<Placed<IpAddr>>);

fn vips(at: &At<'_>, complaints: &mut Complaints) -> Option<Vips> {
    let mut fields = at.fields(complaints)?;
    let control_plane = fields
        .required(
            "controlPlaneVIP",
            "write `controlPlaneVIP: IPV4`, an unused address",
            complaints,
        )
        .and_then(|at| address::host_v4(&at, complaints));
    let ingress = fields
        .optional("ingressVIP")
        .and_then(|at| address::host_v4(&at, complaints));
    fields.finish(complaints);
    Some((control_plane, ingress))
}

fn address_pools(at: &At<'_>, complaints: &mut Complaints) -> RawPools {
    let mut pools = RawPools {
        place: at.place(),
        pools: Vec::new(),
        is_complete: true,
    };
    for item in at.items(complaints) {
        let Some(mut fields) = item.fields(complaints) else {
            continue;
        };
        let name = fields
            .required("name", "write `name: NAME`", complaints)
            .and_then(|at| at.text(complaints));
        let avoid_buggy_ips = flag(&mut fields, "avoidBuggyIPs", complaints);
        let manual_assign = flag(&mut fields, "manualAssign", complaints);
        let list = fields.required("addresses", "write `addresses:` and a list of ranges", complaints);
        let items = list.map(|list| list.items(complaints)).unwrap_or_default();
        let ranges: Vec<_> = items
            .iter()
            .filter_map(|item| address::range(item, complaints))
            .collect();
        pools.is_complete &= !items.is_empty() && ranges.len() == items.len();
        fields.finish(complaints);
        pools.pools.push(RawAddressPool {
            name,
            ranges,
            avoid_buggy_ips,
            manual_assign,
        });
    }
    pools
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

/// Other fields of the header.
const HEADER_LISTS: [&str; 3] = ["registryMirrors", "privateRegistries", "proxy"];

/// Fields of the header that name files with secrets.
const KEY_PATHS: [&str; 6] = [
    "gcrKeyPath",
    "sshPrivateKeyPath",
    "gkeConnectAgentServiceAccountKeyPath",
    "gkeConnectRegisterServiceAccountKeyPath",
    "cloudOperationsServiceAccountKeyPath",
    "nodeAgentCredentialPath",
];

const TYPES: [(&str, ClusterType); 4] = [
    ("admin", ClusterType::Admin),
    ("user", ClusterType::User),
    ("hybrid", ClusterType::Hybrid),
    ("standalone", ClusterType::Standalone),
];

const MODES: [(&str, LoadBalancerMode); 2] = [
    ("bundled", LoadBalancerMode::Bundled),
    ("manual", LoadBalancerMode::Manual),
];

const KINDS: [(&str, LoadBalancerType); 2] = [
    ("layer2", LoadBalancerType::Layer2),
    ("bgp", LoadBalancerType::Bgp),
];

/// The vendor renumbered from 1.16 to 1.28 (release notes).
const NEVER_EXISTED: (Minor, Minor) = (Minor { major: 1, minor: 17 }, Minor { major: 1, minor: 27 });
