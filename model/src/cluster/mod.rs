//! The `bmctl` cluster file: text to a validated [`Cluster`], or complaints with line, column and remedy.
//!
//! ```text
//! text -> yaml::documents -> documents (one type for each kind, every field placed) -> check -> Cluster
//! ```
//!
//! The stream starts with a header that only `bmctl` understands and that has no kind; its key files are never opened.

mod address;
mod check;
mod documents;
mod networking;
mod spec;

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

pub use self::address::AddressRange;
use crate::{
    inventory::{ClusterType, LoadBalancerMode, LoadBalancerType},
    source::{Complaints, Diagnostic, Refused, SourceText},
    version::Version,
    yaml,
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
    /// `addressPools[]`, all their ranges.
    pub address_ranges: Vec<AddressRange>,
    /// `nodePoolSpec.nodes`; empty means that the control plane nodes carry bundled load balancers.
    pub nodes: Vec<ListedNode>,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BgpPeer {
    /// Its address (IPv4 only).
    pub address: IpAddr,
    /// Its autonomous system number.
    pub asn: u32,
    /// Control plane nodes that peer with it; empty means all.
    pub control_plane_nodes: Vec<IpAddr>,
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
}

/// Reads a cluster file.
///
/// # Errors
/// If no cluster can be made of it: every complaint at once, each with its place; nothing is guessed.
pub fn read(source: &SourceText) -> Result<Read, Refused> {
    let mut complaints = Complaints::about(source);
    let cluster = yaml::documents(source, &mut complaints)
        .map(|trees| documents::read(&trees, &mut complaints))
        .and_then(|documents| check::check(documents, &mut complaints));
    match cluster {
        Some(cluster) if complaints.is_readable() => Ok(Read {
            cluster,
            findings: complaints.into_findings(),
        }),
        _ => Err(complaints.into_refused()),
    }
}

#[cfg(test)]
mod tests;
