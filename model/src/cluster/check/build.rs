//! The step from placed values to a [`Cluster`].

use ipnet::IpNet;

use crate::{
    cluster::{
        AddressPool, BgpPeer, BgpUse, CidrConfig, Cluster, ClusterNetwork, Header, KeyPath, ListedNode,
        LoadBalancer, NodePool, Proxy, RegistryMirror,
        documents::{Documents, RawCluster, RawPool},
        header::{RawHeader, RawMirror},
        load_balancer::{RawAddressPool, RawLoadBalancer},
        networking::RawPeer,
        spec::{RawBlocks, RawNode, RawNodes, RawProxy},
    },
    inventory::{LoadBalancerMode, LoadBalancerType},
    source::{Complaints, Placed},
};

/// Builds the cluster. `None` if something that a cluster needs could not be read; that has been complained about.
pub(super) fn build(
    cluster: RawCluster,
    documents: Documents,
    complaints: &mut Complaints,
) -> Option<Cluster> {
    let metadata = cluster.metadata?;
    let node_agent = metadata.asks_for_node_agent();
    let namespace = match metadata.namespace {
        Some(namespace) => namespace.value,
        None => {
            let help = format!("write `namespace: cluster-{}`", metadata.name);
            complaints.add_with_help(metadata.place, "`metadata.namespace` is missing", help);
            return None;
        }
    };
    let spec = cluster.spec?;
    let (control_plane, network) = (spec.control_plane?, spec.network?);
    let own_mode = control_plane.mode.as_ref().map(|mode| mode.value);
    let raw_balancer = spec.load_balancer?;
    let bgp_peers = (raw_balancer.peers.iter().map(|peer| (peer, BgpUse::ControlPlane)))
        .chain(documents.peers.iter().map(|peer| (peer, BgpUse::Services)))
        .map(|(peer, used_by)| bgp_peer(peer, used_by, raw_balancer.local_asn.as_ref()));
    Some(Cluster {
        header: header(documents.header),
        annotations: metadata
            .annotations
            .into_iter()
            .map(|(name, value)| (name, value.value))
            .collect(),
        proxy: spec.proxy.map(proxy),
        adds_package_repository: spec.adds_package_repository.unwrap_or(true),
        gke_connect_location: spec.gke_connect_location.map(|location| location.value),
        name: metadata.name,
        namespace,
        cluster_type: spec.cluster_type?.value,
        version: spec.version?.value,
        control_plane: listed(&control_plane.nodes),
        bgp_peers: bgp_peers.collect(),
        load_balancer: load_balancer(&raw_balancer, own_mode)?,
        network: ClusterNetwork {
            pods: blocks(&network.pods?),
            services: blocks(&network.services?),
            flat_ipv4: network.flat_ipv4,
            advanced_networking: network.advanced_networking.is_some_and(|flag| flag.value),
            direct_server_return: network.direct_server_return,
        },
        pools: documents
            .pools
            .into_iter()
            .map(node_pool)
            .collect::<Option<_>>()?,
        max_pods_per_node: spec.max_pods_per_node.map(|most| most.value),
        node_agent,
        bypass_preflight_check: spec.bypass_preflight_check.is_some_and(|flag| flag.value),
        floating_ips: documents
            .floating_ips
            .iter()
            .map(|address| address.value)
            .collect(),
        cidr_configs: documents
            .cidr_configs
            .into_iter()
            .map(|config| CidrConfig {
                name: config.metadata.name,
                ipv4: config.ipv4.map(|(cidr, mask)| (cidr.value, mask)),
                ipv6: config.ipv6.map(|(cidr, mask)| (cidr.value, mask)),
            })
            .collect(),
    })
}

fn node_pool(pool: RawPool) -> Option<NodePool> {
    Some(NodePool {
        name: pool.metadata?.name,
        version: pool.version.map(|version| version.value),
        nodes: listed(&pool.nodes),
    })
}

fn blocks(raw: &RawBlocks) -> Vec<IpNet> {
    raw.blocks.iter().map(|block| block.value).collect()
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

fn load_balancer(
    raw: &RawLoadBalancer,
    control_plane_mode: Option<LoadBalancerMode>,
) -> Option<LoadBalancer> {
    Some(LoadBalancer {
        mode: raw.mode.as_ref()?.value,
        kind: raw
            .kind
            .as_ref()
            .map_or(LoadBalancerType::Layer2, |kind| kind.value),
        control_plane_mode,
        control_plane_port: raw.port.as_ref()?.value,
        control_plane_vip: raw.control_plane_vip.as_ref()?.value,
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
    })
}

fn listed(list: &RawNodes) -> Vec<ListedNode> {
    let listed = |node: &RawNode| ListedNode {
        address: node.address.value,
        k8s_ip: node.k8s_ip.as_ref().map(|address| address.value),
        line: node.address.place.line,
    };
    list.nodes.iter().map(listed).collect()
}
