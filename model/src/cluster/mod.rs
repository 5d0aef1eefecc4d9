//! The `bmctl` cluster file: text to a validated [`Cluster`], or complaints with line, column and remedy.
//!
//! ```text
//! text ─► yaml::documents ─► shape ─► documents (one type for each kind, every field placed) ─► select ─► check ─► Cluster
//!                            stream, list                                                      one cluster
//!                            or PreflightCheck                                                 and its pools
//! ```
//!
//! The stream that `bmctl` reads starts with a header that only it understands and that has no kind; its key files are never
//! opened. What a live cluster tells has none.

mod address;
mod check;
mod documents;
mod header;
mod load_balancer;
mod networking;
mod select;
mod shape;
mod spec;

use std::{collections::BTreeMap, fmt, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub(crate) use self::check::{Checking, Dialect, LaidNode, Layout, List, beside, layout as check_layout};
pub use self::{
    address::AddressRange,
    check::{Checked, Checks},
};
use crate::{
    inventory::{ClusterType, LoadBalancerMode, LoadBalancerType},
    source::{Complaints, Diagnostic, Refused, SourceText},
    version::Version,
    yaml::{self, Node},
};

/// A validated cluster file. What its fields mean is the vendor's cluster configuration field reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// `metadata.name` of the Cluster document.
    pub name: String,
    /// `metadata.namespace` of the Cluster document.
    pub namespace: String,
    /// `spec.type`.
    pub cluster_type: ClusterType,
    /// `spec.anthosBareMetalVersion`.
    pub version: Version,
    /// `spec.controlPlane.nodePoolSpec.nodes`, at least one.
    pub control_plane: Vec<ListedNode>,
    /// `spec.loadBalancer`.
    pub load_balancer: LoadBalancer,
    /// `spec.clusterNetwork`.
    pub network: ClusterNetwork,
    /// The NodePool documents.
    pub pools: Vec<NodePool>,
    /// `spec.nodeConfig.podDensity.maxPodsPerNode`; absent means the vendor's default of 110.
    pub max_pods_per_node: Option<u16>,
    /// Whether an annotation asks for Node Agent (1.33 and later).
    pub node_agent: bool,
    /// `spec.bypassPreflightCheck`.
    pub bypass_preflight_check: bool,
    /// Floating IPs of NetworkGatewayGroup documents.
    pub floating_ips: Vec<IpAddr>,
    /// BGP peers of the control plane and of BGPLoadBalancer and BGPPeer documents.
    pub bgp_peers: Vec<BgpPeer>,
    /// The ClusterCIDRConfig documents.
    pub cidr_configs: Vec<CidrConfig>,
    /// The document that only `bmctl` reads; empty if there is none, as in what a live cluster tells.
    pub header: Header,
    /// `spec.proxy`.
    pub proxy: Option<Proxy>,
    /// `spec.gkeConnect.location`: the region of the hosts to which the cluster registers.
    pub gke_connect_location: Option<String>,
    /// `spec.osEnvironmentConfig.addPackageRepo`: nodes are given the vendor's package repository, unless it says no.
    pub adds_package_repository: bool,
    /// `metadata.annotations` of the Cluster document whose values are one text, without those of `kubectl` itself.
    pub annotations: BTreeMap<String, String>,
}

/// The document that only `bmctl` reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// The files that hold secrets. They are never opened.
    pub key_paths: Vec<KeyPath>,
    /// `registryMirrors`.
    pub registry_mirrors: Vec<RegistryMirror>,
}

/// Where a secret lies; never what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPath {
    /// The header's field, for example `sshPrivateKeyPath`.
    pub field: String,
    /// The path as it is written.
    pub path: String,
    /// The line, from 1.
    pub line: u32,
}

/// One of the header's `registryMirrors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryMirror {
    /// `endpoint`: `https://HOST:PORT` and perhaps a path.
    pub endpoint: String,
    /// `hosts`: the registries that it stands for.
    pub hosts: Vec<String>,
    /// The line of the endpoint, from 1.
    pub line: u32,
}

/// `spec.proxy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// `url`; it may hold a password.
    pub url: Option<String>,
    /// `noProxy`, written as a list or as one comma-separated text.
    pub no_proxy: Vec<String>,
}

/// A node as a pool lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedNode {
    /// `address`: SSH, and data too unless `k8sIP` is set.
    pub address: IpAddr,
    /// `k8sIP`: the address of Kubernetes traffic.
    pub k8s_ip: Option<IpAddr>,
    /// The line that lists it, from 1.
    pub line: u32,
}

impl ListedNode {
    /// The address of Kubernetes traffic, which is the node's id.
    pub fn data_address(&self) -> IpAddr {
        self.k8s_ip.unwrap_or(self.address)
    }
}

/// `spec.loadBalancer`, and `spec.controlPlane.loadBalancer.mode`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadBalancer {
    /// `mode`.
    pub mode: LoadBalancerMode,
    /// `type`; layer 2 unless written.
    pub kind: LoadBalancerType,
    /// `spec.controlPlane.loadBalancer.mode` (1.32 and later).
    pub control_plane_mode: Option<LoadBalancerMode>,
    /// `ports.controlPlaneLBPort`.
    pub control_plane_port: u16,
    /// `vips.controlPlaneVIP`.
    pub control_plane_vip: IpAddr,
    /// `vips.ingressVIP`.
    pub ingress_vip: Option<IpAddr>,
    /// `addressPools[]`.
    pub address_pools: Vec<AddressPool>,
    /// `nodePoolSpec.nodes`; empty means that the control plane nodes carry bundled load balancers.
    pub nodes: Vec<ListedNode>,
}

/// One of `spec.loadBalancer.addressPools`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressPool {
    /// `name`.
    pub name: String,
    /// `addresses`.
    pub ranges: Vec<AddressRange>,
    /// `avoidBuggyIPs`: addresses that end in .0 and .255 are left out.
    pub avoid_buggy_ips: bool,
    /// `manualAssign`: addresses are given to Services that ask for them only.
    pub manual_assign: bool,
}

/// `spec.clusterNetwork`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterNetwork {
    /// `pods.cidrBlocks`.
    pub pods: Vec<IpNet>,
    /// `services.cidrBlocks`.
    pub services: Vec<IpNet>,
    /// `flatIPv4`: pods are routable and no tunnel is used.
    pub flat_ipv4: bool,
    /// `advancedNetworking`: needed by BGP and egress NAT.
    pub advanced_networking: bool,
    /// `forwardMode: dsr`: load balanced packets carry an option more.
    pub direct_server_return: bool,
}

/// A NodePool document: workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePool {
    /// `metadata.name`.
    pub name: String,
    /// Its own version, at most the cluster's.
    pub version: Option<Version>,
    /// `spec.nodes`.
    pub nodes: Vec<ListedNode>,
}

/// A BGP peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BgpPeer {
    /// Its address (IPv4 only).
    pub address: IpAddr,
    /// Its autonomous system number.
    pub asn: u32,
    /// The cluster's own number in sessions with it.
    pub local_asn: Option<u32>,
    /// Whose sessions those are.
    pub used_by: BgpUse,
    /// Control plane nodes that peer with it; empty means all.
    pub control_plane_nodes: Vec<IpAddr>,
}

/// Whose BGP sessions a peer is for, and so from which addresses they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BgpUse {
    /// `spec.loadBalancer.bgpPeers`: from control plane nodes; for Services too, unless other peers are for them.
    ControlPlane,
    /// BGPLoadBalancer and BGPPeer documents: from the floating IPs of the NetworkGatewayGroup.
    Services,
}

/// A ClusterCIDRConfig document (dual stack).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CidrConfig {
    /// `metadata.name`.
    pub name: String,
    /// `spec.ipv4`: range and per-node prefix length.
    pub ipv4: Option<(IpNet, u8)>,
    /// `spec.ipv6`: range and per-node prefix length.
    pub ipv6: Option<(IpNet, u8)>,
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.cluster_type, self.name, self.version)
    }
}

/// A cluster file that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The cluster.
    pub cluster: Cluster,
    /// What the checks over the file (group config) complained about, in the order of the lines.
    pub findings: Vec<Diagnostic>,
    /// What else the checks over the file say.
    pub checks: Checks,
}

/// Reads a cluster file.
///
/// # Errors
/// If no cluster can be made of it: every complaint at once, each with its place; nothing is guessed.
pub fn read(source: &SourceText) -> Result<Read, Refused> {
    let mut complaints = Complaints::about(source);
    let trees = yaml::documents(source, &mut complaints);
    of_documents(source, trees.as_deref(), complaints)
}

/// Reads a cluster file whose documents have been parsed: `trees` are they, if they could be, and `complaints` what was said
/// of them.
pub(crate) fn of_documents(
    source: &SourceText,
    trees: Option<&[Node]>,
    complaints: Complaints,
) -> Result<Read, Refused> {
    let mut complaints = complaints.with_open_fields(check::READS);
    let cluster = trees
        .map(|trees| shape::read(source, trees, &mut complaints))
        .and_then(|documents| select::one(documents, &mut complaints))
        .and_then(|(cluster, documents)| check::check(cluster, documents, &mut complaints));
    match cluster {
        Some((cluster, checks)) if complaints.is_readable() => Ok(Read {
            cluster,
            findings: complaints.into_findings(),
            checks,
        }),
        _ => Err(complaints.into_refused()),
    }
}

#[cfg(test)]
mod tests;
