//! What must agree across the documents, and the step from placed values to a [`Cluster`].

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    AddressPool, AddressRange, BgpPeer, BgpUse, CidrConfig, Cluster, ClusterNetwork, Header, KeyPath,
    ListedNode, LoadBalancer, NodePool, Proxy, RegistryMirror,
    documents::{Documents, RawCluster, RawPool},
    networking::RawPeer,
    spec::{RawAddressPool, RawHeader, RawLoadBalancer, RawMirror, RawNode, RawProxy},
};
use crate::{
    inventory::{ClusterType, LoadBalancerMode, LoadBalancerType},
    report::check,
    source::{Complaints, Gravity, Place, Placed, nearest},
    version::Minor,
};

/// Compares what must agree and builds the cluster. `None` if there is not exactly one.
pub(super) fn check(documents: Documents, complaints: &mut Complaints) -> Option<Cluster> {
    let Documents {
        header,
        mut clusters,
        pools,
        floating_ips,
        peers,
        cidr_configs,
    } = documents;
    for extra in clusters.iter().skip(1) {
        let help = "give each cluster a file of its own";
        complaints.add_with_help(extra.metadata.place, "a second document of kind Cluster", help);
    }
    if clusters.is_empty() {
        // A Cluster document that could not be read has been complained about already.
        if complaints.is_empty() {
            let help = "give the file that bmctl reads, bmctl-workspace/NAME/NAME.yaml";
            complaints.add_with_help(Place::START, "no document of kind Cluster", help);
        }
        return None;
    }
    let cluster = clusters.swap_remove(0);
    check_pools(&cluster, &pools, complaints);
    check_fields_of_type(&cluster, &pools, complaints);
    check_load_balancer_modes(&cluster, complaints);
    let nodes = check_nodes(&cluster, &pools, complaints);
    check_vips(&cluster, &nodes, complaints);
    check_ranges(&cluster.spec.load_balancer, &nodes, complaints);
    check_peers(&cluster, complaints);
    let node_agent = cluster.metadata.asks_for_node_agent();
    let namespace = match cluster.metadata.namespace {
        Some(namespace) => namespace.value,
        None => {
            let help = format!("write `namespace: cluster-{}`", cluster.metadata.name);
            complaints.add_with_help(cluster.metadata.place, "`metadata.namespace` is missing", help);
            return None;
        }
    };
    let spec = cluster.spec;
    let bgp_peers = (spec
        .load_balancer
        .peers
        .iter()
        .map(|peer| (peer, BgpUse::ControlPlane)))
    .chain(peers.iter().map(|peer| (peer, BgpUse::Services)))
    .map(|(peer, used_by)| bgp_peer(peer, used_by, spec.load_balancer.local_asn.as_ref()));
    Some(Cluster {
        header: self::header(header),
        annotations: cluster
            .metadata
            .annotations
            .into_iter()
            .map(|(name, value)| (name, value.value))
            .collect(),
        proxy: spec.proxy.map(proxy),
        gke_connect_location: spec.gke_connect_location.map(|location| location.value),
        name: cluster.metadata.name,
        namespace,
        cluster_type: spec.cluster_type.value,
        version: spec.version.value,
        control_plane: listed(&spec.control_plane.nodes),
        bgp_peers: bgp_peers.collect(),
        load_balancer: load_balancer(
            &spec.load_balancer,
            spec.control_plane.mode.as_ref().map(|mode| mode.value),
        ),
        network: ClusterNetwork {
            pods: spec.network.pods.iter().map(|block| block.value).collect(),
            services: spec.network.services.iter().map(|block| block.value).collect(),
            flat_ipv4: spec.network.flat_ipv4,
            advanced_networking: spec.network.advanced_networking.is_some_and(|flag| flag.value),
            direct_server_return: spec.network.direct_server_return,
        },
        pools: pools
            .into_iter()
            .map(|pool| NodePool {
                name: pool.metadata.name,
                version: pool.version.map(|version| version.value),
                nodes: listed(&pool.nodes),
            })
            .collect(),
        max_pods_per_node: spec.max_pods_per_node.map(|most| most.value),
        node_agent,
        bypass_preflight_check: spec.bypass_preflight_check.is_some_and(|flag| flag.value),
        floating_ips: floating_ips.iter().map(|address| address.value).collect(),
        cidr_configs: cidr_configs
            .into_iter()
            .map(|config| CidrConfig {
                name: config.metadata.name,
                ipv4: config.ipv4.map(|(cidr, mask)| (cidr.value, mask)),
                ipv6: config.ipv6.map(|(cidr, mask)| (cidr.value, mask)),
            })
            .collect(),
    })
}

fn header(raw: RawHeader) -> Header {
    let mirror = |mirror: RawMirror| RegistryMirror {
        endpoint: mirror.endpoint.value,
        hosts: mirror.hosts.into_iter().map(|host| host.value).collect(),
        line: mirror.endpoint.place.line,
    };
    let key_path = |(field, path): (&str, Placed<String>)| KeyPath {
        field: field.to_owned(),
        path: path.value,
        line: path.place.line,
    };
    Header {
        key_paths: raw.key_paths.into_iter().map(key_path).collect(),
        registry_mirrors: raw.registry_mirrors.into_iter().map(mirror).collect(),
    }
}

fn proxy(raw: RawProxy) -> Proxy {
    let no_proxy = raw.no_proxy.map(|list| list.value).unwrap_or_default();
    Proxy {
        url: raw.url.map(|url| url.value),
        no_proxy: no_proxy.into_iter().map(|entry| entry.value).collect(),
    }
}

fn bgp_peer(peer: &RawPeer, used_by: BgpUse, clusters: Option<&Placed<u32>>) -> BgpPeer {
    BgpPeer {
        address: peer.address.value,
        asn: peer.asn.value,
        local_asn: peer.local_asn.as_ref().or(clusters).map(|asn| asn.value),
        used_by,
        control_plane_nodes: peer.control_plane_nodes.iter().map(|node| node.value).collect(),
    }
}

fn address_pool(raw: &RawAddressPool) -> AddressPool {
    let is_set = |flag: &Option<Placed<bool>>| flag.as_ref().is_some_and(|flag| flag.value);
    AddressPool {
        name: raw
            .name
            .as_ref()
            .map(|name| name.value.clone())
            .unwrap_or_default(),
        ranges: raw.ranges.iter().map(|range| range.value).collect(),
        avoid_buggy_ips: is_set(&raw.avoid_buggy_ips),
        manual_assign: is_set(&raw.manual_assign),
    }
}

fn load_balancer(raw: &RawLoadBalancer, control_plane_mode: Option<LoadBalancerMode>) -> LoadBalancer {
    LoadBalancer {
        mode: raw.mode.value,
        kind: raw
            .kind
            .as_ref()
            .map_or(LoadBalancerType::Layer2, |kind| kind.value),
        control_plane_mode,
        control_plane_port: raw.port,
        control_plane_vip: raw.control_plane_vip.value,
        ingress_vip: raw.ingress_vip.as_ref().map(|vip| vip.value),
        address_pools: raw
            .pools
            .iter()
            .flat_map(|pools| &pools.pools)
            .map(address_pool)
            .collect(),
        nodes: raw
            .nodes
            .as_ref()
            .map(|nodes| listed(&nodes.value))
            .unwrap_or_default(),
    }
}

fn listed(nodes: &[RawNode]) -> Vec<ListedNode> {
    let listed = |node: &RawNode| ListedNode {
        address: node.address.value,
        k8s_ip: node.k8s_ip.as_ref().map(|address| address.value),
        line: node.address.place.line,
    };
    nodes.iter().map(listed).collect()
}

fn ranges(raw: &RawLoadBalancer) -> Vec<&Placed<AddressRange>> {
    let pools = raw.pools.iter().flat_map(|pools| &pools.pools);
    pools.flat_map(|pool| &pool.ranges).collect()
}

/// Pools belong to the file's cluster, live in its namespace, and are not newer than it.
fn check_pools(cluster: &RawCluster, pools: &[RawPool], complaints: &mut Complaints) {
    let name = cluster.metadata.name.as_str();
    for pool in pools {
        let referred = &pool.cluster_name;
        if referred.value != name {
            let message = format!(
                "NodePool `{}` belongs to the unknown cluster `{}`",
                pool.metadata.name, referred.value
            );
            let help = match nearest(&referred.value, [name]) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("write `clusterName: {name}`, or move the pool to its own cluster's file"),
            };
            complaints.add_with_help(referred.place, message, help);
        }
        if let (Some(own), Some(clusters)) = (&pool.metadata.namespace, &cluster.metadata.namespace)
            && own.value != clusters.value
        {
            let message = format!(
                "NodePool `{}` is in namespace `{}`, its cluster in `{}`",
                pool.metadata.name, own.value, clusters.value
            );
            complaints.add_with_help(
                own.place,
                message,
                format!("write `namespace: {}`", clusters.value),
            );
        }
        if pool.metadata.namespace.is_none() {
            let namespace = cluster
                .metadata
                .namespace
                .as_ref()
                .map_or("...", |namespace| &namespace.value);
            let help = format!("write `namespace: {namespace}`, the cluster's");
            complaints.add_with_help(pool.metadata.place, "`metadata.namespace` is missing", help);
        }
        if let Some(version) = &pool.version
            && version.value.minor() > cluster.spec.version.value.minor()
        {
            let (own, clusters) = (&version.value, &cluster.spec.version.value);
            let message = format!(
                "NodePool `{}` is newer ({own}) than its cluster ({clusters})",
                pool.metadata.name
            );
            complaints.add_with_help(
                version.place,
                message,
                "upgrade the cluster first, then its pools",
            );
        }
    }
    if let Some(written) = &cluster.spec.control_plane.cluster_name
        && written.value != name
    {
        let message = format!(
            "`spec.controlPlane.nodePoolSpec.clusterName` is `{}`",
            written.value
        );
        complaints.add_with_help(
            written.place,
            message,
            format!("write `clusterName: {name}`, or remove it"),
        );
    }
}

/// Admin clusters run no workloads; the edge profile is for standalone clusters.
fn check_fields_of_type(cluster: &RawCluster, pools: &[RawPool], complaints: &mut Complaints) {
    let spec = &cluster.spec;
    let cluster_type = spec.cluster_type.value;
    if let Some(edge) = spec.is_edge.as_ref().filter(|edge| edge.value)
        && cluster_type != ClusterType::Standalone
    {
        let message = format!("`spec.profile`: edge is for standalone clusters, this one is {cluster_type}");
        complaints.add_with_help(edge.place, message, "write `profile: default`");
    }
    if spec.control_plane.nodes.is_empty() {
        let help = "list at least one `- address: IPV4` (three for high availability)";
        complaints.add_with_help(
            spec.control_plane.nodes_place,
            "the control plane has no nodes",
            help,
        );
    }
    if cluster_type != ClusterType::Admin {
        return;
    }
    let refuse = |place: Place, field: &str, complaints: &mut Complaints| {
        let message = format!("an admin cluster has no {field}");
        complaints.add_with_help(
            place,
            message,
            "remove it, or write `type: hybrid` if workloads shall run here",
        );
    };
    if let Some(vip) = &spec.load_balancer.ingress_vip {
        refuse(vip.place, "ingressVIP", complaints);
    }
    if let Some(pools) = &spec.load_balancer.pools {
        refuse(pools.place, "addressPools", complaints);
    }
    for pool in pools {
        refuse(pool.metadata.place, "NodePool", complaints);
    }
}

/// Manual load balancing leaves everything to a device outside; separated load balancers came with 1.32.
fn check_load_balancer_modes(cluster: &RawCluster, complaints: &mut Complaints) {
    let load_balancer = &cluster.spec.load_balancer;
    if load_balancer.mode.value == LoadBalancerMode::Manual {
        let help = "remove it, or write `mode: bundled`";
        if let Some(pools) = &load_balancer.pools {
            let message = "mode manual has no addressPools: a device outside announces the addresses";
            complaints.add_with_help(pools.place, message, help);
        }
        if let Some(nodes) = &load_balancer.nodes {
            let message = "mode manual has no load balancer nodes: a device outside balances";
            complaints.add_with_help(nodes.place, message, help);
        }
    }
    let Some(mode) = &cluster.spec.control_plane.mode else {
        return;
    };
    if cluster.spec.version.value.minor() < SEPARATED_SINCE {
        let message = format!("`spec.controlPlane.loadBalancer` needs version {SEPARATED_SINCE} or later");
        complaints.add_with_help(mode.place, message, "remove it");
    }
    if mode.value == LoadBalancerMode::Manual && load_balancer.mode.value == LoadBalancerMode::Bundled {
        let message =
            "`spec.controlPlane.loadBalancer.mode`: manual needs `spec.loadBalancer.mode: manual` as well";
        complaints.add_with_help(mode.place, message, "write the same mode in both places");
    }
}

/// Every address of a node is its own. Returns all of them with their places.
fn check_nodes(
    cluster: &RawCluster,
    pools: &[RawPool],
    complaints: &mut Complaints,
) -> BTreeMap<IpAddr, (Place, String)> {
    let spec = &cluster.spec;
    let bundled = spec
        .load_balancer
        .nodes
        .as_ref()
        .map_or(&[][..], |nodes| &nodes.value);
    let lists = [("the control plane".to_owned(), &spec.control_plane.nodes[..])]
        .into_iter()
        .chain([("the load balancer node pool".to_owned(), bundled)])
        .chain(
            pools
                .iter()
                .map(|pool| (format!("NodePool `{}`", pool.metadata.name), &pool.nodes[..])),
        );
    let mut owners: BTreeMap<IpAddr, (Place, String)> = BTreeMap::new();
    for (list, nodes) in lists {
        for node in nodes {
            let k8s_ip = node
                .k8s_ip
                .as_ref()
                .filter(|k8s_ip| k8s_ip.value != node.address.value);
            for address in [Some(&node.address), k8s_ip].into_iter().flatten() {
                if let Some((first, owner)) = owners.get(&address.value) {
                    let message = format!("address {} in {list} is already a node of {owner}", address.value);
                    let help = format!(
                        "a node is in one pool only: keep this line or line {}",
                        first.line
                    );
                    complaints.add_with_help(address.place, message, help);
                } else {
                    owners.insert(address.value, (address.place, list.clone()));
                }
            }
        }
    }
    owners
}

/// VIPs are nobody's address; the control plane's is outside the pools, the ingress VIP inside.
fn check_vips(cluster: &RawCluster, nodes: &BTreeMap<IpAddr, (Place, String)>, complaints: &mut Complaints) {
    let load_balancer = &cluster.spec.load_balancer;
    let control_plane = &load_balancer.control_plane_vip;
    let vips = [
        ("controlPlaneVIP", Some(control_plane)),
        ("ingressVIP", load_balancer.ingress_vip.as_ref()),
    ];
    for (name, vip) in vips {
        let Some(vip) = vip else { continue };
        if let Some((place, owner)) = nodes.get(&vip.value) {
            let message = format!(
                "{name} {} is the address of a node of {owner} (line {})",
                vip.value, place.line
            );
            complaints.add_with_help(vip.place, message, "choose an address that nobody has");
        }
    }
    let pool_of = |address: IpAddr| {
        ranges(load_balancer)
            .into_iter()
            .find(|range| range.value.contains(address))
    };
    if let Some(range) = pool_of(control_plane.value) {
        let message = format!(
            "controlPlaneVIP {} is inside the address pool {} (line {})",
            control_plane.value, range.value, range.place.line
        );
        complaints.find(
            control_plane.place,
            (check::CFG_VIP_OUTSIDE_POOLS.id, Gravity::Contradiction),
            message,
            "choose an address outside the pools, or shrink the pool",
        );
    }
    // Elsewhere the ingress VIP is not announced from a pool, or not allowed at all.
    let needs_pool = load_balancer.mode.value == LoadBalancerMode::Bundled
        && cluster.spec.cluster_type.value != ClusterType::Admin
        && load_balancer.pools.as_ref().is_none_or(|pools| pools.is_complete);
    let Some(ingress) = &load_balancer.ingress_vip else {
        return;
    };
    if ingress.value == control_plane.value {
        let message = format!("ingressVIP {} is the controlPlaneVIP", ingress.value);
        complaints.add_with_help(ingress.place, message, "choose another address from the pools");
    } else if needs_pool && pool_of(ingress.value).is_none() {
        let message = format!("ingressVIP {} is in no address pool", ingress.value);
        let help = match ranges(load_balancer).first() {
            Some(range) => format!("choose an address from {}, or extend a pool", range.value),
            None => format!("write `addressPools:` with a pool that has {}", ingress.value),
        };
        complaints.add_with_help(ingress.place, message, help);
    }
}

/// Pools share no address with each other or with nodes.
fn check_ranges(
    load_balancer: &RawLoadBalancer,
    nodes: &BTreeMap<IpAddr, (Place, String)>,
    complaints: &mut Complaints,
) {
    let mut sorted = ranges(load_balancer);
    sorted.sort_by_key(|range| (range.value.first, range.value.last));
    for pair in sorted.windows(2) {
        let (early, late) = if pair[0].place < pair[1].place {
            (pair[0], pair[1])
        } else {
            (pair[1], pair[0])
        };
        if early.value.overlaps(late.value) {
            let message = format!(
                "the range {} overlaps {} (line {})",
                late.value, early.value, early.place.line
            );
            complaints.add_with_help(late.place, message, "make the ranges disjoint");
        }
    }
    for range in sorted {
        let inside = nodes.range(range.value.first..=range.value.last).next();
        if let Some((address, (place, owner))) = inside {
            let message = format!(
                "the range {} has the node {address} of {owner} (line {})",
                range.value, place.line
            );
            complaints.add_with_help(
                range.place,
                message,
                "leave the addresses of nodes out of the pools",
            );
        }
    }
}

/// Peers name control plane nodes only.
fn check_peers(cluster: &RawCluster, complaints: &mut Complaints) {
    let control_plane = &cluster.spec.control_plane.nodes;
    let is_known = |address: IpAddr| {
        let same = |node: &RawNode| {
            node.address.value == address
                || node.k8s_ip.as_ref().is_some_and(|k8s_ip| k8s_ip.value == address)
        };
        control_plane.iter().any(same)
    };
    for node in cluster
        .spec
        .load_balancer
        .peers
        .iter()
        .flat_map(|peer| &peer.control_plane_nodes)
    {
        if !is_known(node.value) {
            let message = format!("`controlPlaneNodes`: {} is no control plane node", node.value);
            complaints.add_with_help(
                node.place,
                message,
                "list addresses of spec.controlPlane.nodePoolSpec.nodes",
            );
        }
    }
}

/// `spec.controlPlane.loadBalancer` exists from here on (field reference).
const SEPARATED_SINCE: Minor = Minor { major: 1, minor: 32 };
