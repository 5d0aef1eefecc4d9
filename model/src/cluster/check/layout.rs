//! A cluster as its file lays it out: nodes, VIPs, pools and ranges, every value in its place.
//!
//! Every reader of a file that describes a cluster makes one; the checks need to know nothing else of the file.

use std::net::IpAddr;

use ipnet::IpNet;

use super::overlap::overlap;
use crate::{
    cluster::{
        AddressRange,
        documents::{Documents, RawCluster},
        header::RawMirror,
        spec::{RawBlocks, RawNode, RawSpec},
    },
    inventory::{ClusterType, LoadBalancerMode, LoadBalancerType},
    source::{Place, Placed},
    version::Version,
};

/// A cluster as its file lays it out, as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Layout {
    /// In whose words the file is written.
    pub(crate) dialect: Dialect,
    /// The file's name.
    pub(crate) file: String,
    /// The cluster's name.
    pub(crate) name: String,
    /// The type, of clusters that bmctl makes.
    pub(crate) cluster_type: Option<ClusterType>,
    /// The version.
    pub(crate) version: Option<Placed<Version>>,
    /// Every node, in the order of the file.
    pub(crate) nodes: Vec<LaidNode>,
    /// Where the list of control plane nodes stands, if every node of it could be read: only then their number is known.
    pub(crate) control_plane: Option<Place>,
    /// Likewise for the load balancer nodes, if they are nodes of their own.
    pub(crate) load_balancers: Option<Place>,
    /// Whether every list of nodes could be read to the end.
    pub(crate) are_nodes_complete: bool,
    /// Who carries VIPs.
    pub(crate) mode: Option<LoadBalancerMode>,
    /// How they are announced.
    pub(crate) kind: Option<LoadBalancerType>,
    /// The control plane VIP.
    pub(crate) control_plane_vip: Option<Placed<IpAddr>>,
    /// The port at the control plane VIP.
    pub(crate) control_plane_port: Option<Placed<u16>>,
    /// The ingress VIP, where the cluster may have one.
    pub(crate) ingress_vip: Option<Placed<IpAddr>>,
    /// The pools of addresses for Services, where the cluster may have some.
    pub(crate) pools: Vec<LaidPool>,
    /// Whether every range of every pool could be read.
    pub(crate) are_pools_complete: bool,
    /// Floating IPs of egress gateways.
    pub(crate) floating_ips: Vec<Placed<IpAddr>>,
    /// Routers with which the cluster speaks BGP.
    pub(crate) peers: Vec<Placed<IpAddr>>,
    /// Addresses of others that nodes and pods must reach: proxy, registry mirror, name and time servers.
    pub(crate) outside: Vec<(&'static str, Placed<IpAddr>)>,
    /// Pod ranges, those of ClusterCIDRConfig documents included.
    pub(crate) pods: Vec<Placed<IpNet>>,
    /// Service ranges.
    pub(crate) services: Vec<Placed<IpNet>>,
    /// Whether every pod range could be read.
    pub(crate) are_pods_complete: bool,
    /// How many pods a node may run.
    pub(crate) pods_per_node: PodsPerNode,
    /// Pod ranges with the length of each node's block, where the file says it.
    pub(crate) node_blocks: Vec<(Placed<IpNet>, u8)>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LaidNode {
    /// Where SSH reaches it.
    pub(crate) address: Placed<IpAddr>,
    /// Its address of Kubernetes traffic, if it is another one.
    pub(crate) k8s_ip: Option<Placed<IpAddr>>,
    /// The list that has it.
    pub(crate) list: List,
}

/// A list of nodes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum List {
    /// The control plane.
    ControlPlane,
    /// The load balancer node pool.
    LoadBalancers,
    /// A node pool by its name.
    Pool(String),
    /// A group of a plain inventory by its name.
    Group(String),
    /// The nodes of a plain inventory that no group has.
    Ungrouped,
}

/// In whose words a file is written: complaints use them, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Dialect {
    /// A file of `bmctl`.
    #[default]
    Bmctl,
    /// A plain inventory, of whatever distribution: what only `bmctl` asks for is not asked of it.
    Plain,
}

/// A pool of addresses for Services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LaidPool {
    /// Its ranges, first and last address in order.
    pub(crate) ranges: Vec<Placed<AddressRange>>,
    /// Whether addresses that end in .0 and .255 are left out (`avoidBuggyIPs`).
    pub(crate) avoids_buggy_ips: bool,
}

/// How many pods a node may run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum PodsPerNode {
    /// It is not known, or does not decide how large a node's block of addresses is.
    #[default]
    Unknown,
    /// The distribution's own number.
    Default(u16),
    /// What the file says.
    Written(Placed<u16>),
}

impl PodsPerNode {
    /// The number, if it is known. Where not all could be read, the field may be there under a name that nobody knows.
    pub(crate) fn told(&self, is_all_read: bool) -> Option<u16> {
        match self {
            Self::Default(pods) => is_all_read.then_some(*pods),
            Self::Written(pods) => Some(pods.value),
            Self::Unknown => None,
        }
    }
}

impl LaidNode {
    /// The address of Kubernetes traffic.
    pub(crate) fn data(&self) -> &Placed<IpAddr> {
        self.k8s_ip.as_ref().unwrap_or(&self.address)
    }

    /// Its addresses, each once.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Placed<IpAddr>> {
        let other = self
            .k8s_ip
            .as_ref()
            .filter(|k8s_ip| k8s_ip.value != self.address.value);
        [Some(&self.address), other].into_iter().flatten()
    }
}

impl std::fmt::Display for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ControlPlane => f.write_str("the control plane"),
            Self::LoadBalancers => f.write_str("the load balancer node pool"),
            Self::Pool(name) => write!(f, "NodePool `{name}`"),
            Self::Group(name) => write!(f, "group `{name}`"),
            Self::Ungrouped => f.write_str("the ungrouped nodes"),
        }
    }
}

impl Layout {
    /// The layout of a cluster that bmctl makes.
    pub(super) fn of_cluster(cluster: &RawCluster, documents: &Documents, file: &str) -> Self {
        let mut layout = Self {
            file: file.to_owned(),
            name: cluster
                .metadata
                .as_ref()
                .map(|metadata| metadata.name.clone())
                .unwrap_or_default(),
            floating_ips: documents.floating_ips.clone(),
            are_nodes_complete: true,
            are_pools_complete: true,
            ..Self::default()
        };
        if let Some(spec) = &cluster.spec {
            layout.cluster_type = spec.cluster_type.as_ref().map(|kind| kind.value);
            layout.version.clone_from(&spec.version);
            layout.take_control_plane(spec);
            layout.take_load_balancer(spec);
            layout.take_network(spec);
            let proxy = spec.proxy.as_ref().and_then(|proxy| proxy.url.as_ref());
            layout
                .outside
                .extend(proxy.and_then(host_of).map(|host| ("proxy", host)));
        }
        for pool in &documents.pools {
            let name = pool.metadata.as_ref().map(|metadata| metadata.name.clone());
            layout.take_nodes(&pool.nodes.nodes, &List::Pool(name.unwrap_or_default()));
            layout.are_nodes_complete &= pool.nodes.is_complete;
        }
        layout
            .peers
            .extend(documents.peers.iter().map(|peer| peer.address.clone()));
        let mirror = |mirror: &RawMirror| host_of(&mirror.endpoint).map(|host| ("registry mirror", host));
        layout
            .outside
            .extend(documents.header.registry_mirrors.iter().filter_map(mirror));
        for config in &documents.cidr_configs {
            for (range, mask) in [&config.ipv4, &config.ipv6].into_iter().flatten() {
                // It repeats the pod range, or should.
                let is_known = |known: &Placed<IpNet>| overlap(&known.value, &range.value);
                if !layout.pods.iter().any(is_known) {
                    layout.pods.push(range.clone());
                }
                layout.node_blocks.push((range.clone(), *mask));
            }
        }
        layout
    }

    fn take_control_plane(&mut self, spec: &RawSpec) {
        let Some(control_plane) = &spec.control_plane else {
            self.are_nodes_complete = false;
            return;
        };
        self.take_nodes(&control_plane.nodes.nodes, &List::ControlPlane);
        self.control_plane = control_plane
            .nodes
            .is_complete
            .then_some(control_plane.nodes_place);
        self.are_nodes_complete &= control_plane.nodes.is_complete;
    }

    fn take_load_balancer(&mut self, spec: &RawSpec) {
        let Some(load_balancer) = &spec.load_balancer else {
            self.are_nodes_complete = false;
            return;
        };
        let is_admin = self.cluster_type == Some(ClusterType::Admin);
        self.mode = load_balancer.mode.as_ref().map(|mode| mode.value);
        let written = load_balancer.kind.as_ref().map(|kind| kind.value);
        self.kind = Some(written.unwrap_or(LoadBalancerType::Layer2));
        self.control_plane_vip
            .clone_from(&load_balancer.control_plane_vip);
        self.control_plane_port.clone_from(&load_balancer.port);
        let is_manual = self.mode == Some(LoadBalancerMode::Manual);
        // What must be removed needs no mending.
        if !is_admin {
            self.ingress_vip.clone_from(&load_balancer.ingress_vip);
        }
        if let Some(pools) = load_balancer.pools.as_ref().filter(|_| !is_admin && !is_manual) {
            self.are_pools_complete = pools.is_complete;
            self.pools.extend(pools.pools.iter().map(|pool| LaidPool {
                ranges: pool.ranges.clone(),
                avoids_buggy_ips: pool.avoid_buggy_ips.as_ref().is_some_and(|flag| flag.value),
            }));
        }
        if let Some(nodes) = load_balancer.nodes.as_ref().filter(|_| !is_manual) {
            self.take_nodes(&nodes.value.nodes, &List::LoadBalancers);
            self.load_balancers = nodes.value.is_complete.then_some(nodes.place);
            self.are_nodes_complete &= nodes.value.is_complete;
        }
        self.peers
            .extend(load_balancer.peers.iter().map(|peer| peer.address.clone()));
    }

    fn take_network(&mut self, spec: &RawSpec) {
        let blocks = |raw: Option<&RawBlocks>| raw.map(|raw| raw.blocks.clone()).unwrap_or_default();
        if let Some(network) = &spec.network {
            self.pods = blocks(network.pods.as_ref());
            self.services = blocks(network.services.as_ref());
            self.are_pods_complete = network.pods.as_ref().is_some_and(|pods| pods.is_complete);
        }
        self.pods_per_node = match &spec.max_pods_per_node {
            Some(written) => PodsPerNode::Written(written.clone()),
            None => PodsPerNode::Default(DEFAULT_PODS_PER_NODE),
        };
    }

    fn take_nodes(&mut self, nodes: &[RawNode], list: &List) {
        self.nodes.extend(nodes.iter().map(|node| LaidNode {
            address: node.address.clone(),
            k8s_ip: node.k8s_ip.clone(),
            list: list.clone(),
        }));
    }

    /// The VIPs with the names that the file has for them.
    pub(crate) fn vips(&self) -> impl Iterator<Item = (&'static str, &Placed<IpAddr>)> {
        let (control_plane, ingress) = match self.dialect {
            Dialect::Bmctl => ("controlPlaneVIP", "ingressVIP"),
            Dialect::Plain => ("control plane VIP", "ingress VIP"),
        };
        let named = [
            (control_plane, &self.control_plane_vip),
            (ingress, &self.ingress_vip),
        ];
        named
            .into_iter()
            .filter_map(|(name, vip)| Some((name, vip.as_ref()?)))
    }

    /// The nodes of one list.
    pub(crate) fn nodes_of(&self, list: &List) -> impl Iterator<Item = &LaidNode> {
        self.nodes.iter().filter(move |node| node.list == *list)
    }

    /// The ranges of all pools.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = &Placed<AddressRange>> {
        self.pools.iter().flat_map(|pool| &pool.ranges)
    }
}

/// The address in a URL or `HOST:PORT`, if the host is written as an address.
fn host_of(url: &Placed<String>) -> Option<Placed<IpAddr>> {
    let text = url.value.split_once("://").map_or(&*url.value, |(_, rest)| rest);
    let authority = text.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None => host.split(':').next()?,
    };
    Some(Placed {
        value: host.parse().ok()?,
        place: url.place,
    })
}

/// Pods of a node unless the file says otherwise (field reference).
const DEFAULT_PODS_PER_NODE: u16 = 110;
