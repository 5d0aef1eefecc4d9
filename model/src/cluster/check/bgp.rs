//! BGP: sessions that can come up, and enough of them.

use std::{collections::BTreeMap, net::IpAddr};

use super::{Checking, counted};
use crate::{
    cluster::{
        documents::{Documents, RawCluster},
        load_balancer::RawLoadBalancer,
        networking::RawPeer,
        spec::{RawNode, RawSpec},
    },
    inventory::{ClusterType, LoadBalancerMode, LoadBalancerType},
    report::check::CFG_BGP,
    source::{Gravity, Place, Placed},
};

/// CFG-015.
pub(super) fn sessions(cluster: &RawCluster, documents: &Documents, checking: &mut Checking<'_>) {
    let Some(spec) = &cluster.spec else { return };
    let Some(load_balancer) = &spec.load_balancer else {
        return;
    };
    nodes_of_peers(spec, load_balancer, checking);
    own_numbers(load_balancer, documents, checking);
    let is_bundled = load_balancer
        .mode
        .as_ref()
        .is_some_and(|mode| mode.value == LoadBalancerMode::Bundled);
    let kind = load_balancer.kind.as_ref();
    match kind.filter(|kind| kind.value == LoadBalancerType::Bgp) {
        Some(kind) if is_bundled => {
            needs(spec, load_balancer, kind.place, documents, checking);
            enough_peers(spec, load_balancer, checking);
            let peers = load_balancer.peers.len() + documents.peers.len();
            checking.made(
                CFG_BGP,
                format!("{} in other autonomous systems", counted(peers, "peer")),
            );
        }
        Some(_) => {}
        None => unused(load_balancer, checking),
    }
}

/// Peers name control plane nodes only.
fn nodes_of_peers(spec: &RawSpec, load_balancer: &RawLoadBalancer, checking: &mut Checking<'_>) {
    let Some(control_plane) = spec
        .control_plane
        .as_ref()
        .filter(|control_plane| control_plane.nodes.is_complete)
    else {
        return;
    };
    for peer in &load_balancer.peers {
        for node in &peer.control_plane_nodes {
            if !control_plane
                .nodes
                .nodes
                .iter()
                .any(|own| is_same(own, node.value))
            {
                let message = format!("`controlPlaneNodes`: {} is no control plane node", node.value);
                let help = "list addresses of spec.controlPlane.nodePoolSpec.nodes";
                checking.complain(node.place, (CFG_BGP, Gravity::Contradiction), message, help);
            }
        }
    }
}

fn is_same(node: &RawNode, address: IpAddr) -> bool {
    node.address.value == address || node.k8s_ip.as_ref().is_some_and(|k8s_ip| k8s_ip.value == address)
}

/// The sessions are external ones: both sides have numbers of their own. One finding for each number of our own.
fn own_numbers(load_balancer: &RawLoadBalancer, documents: &Documents, checking: &mut Checking<'_>) {
    let clusters = load_balancer.local_asn.as_ref();
    let mut same: BTreeMap<Place, (u32, Vec<&RawPeer>)> = BTreeMap::new();
    for peer in load_balancer.peers.iter().chain(&documents.peers) {
        let Some(own) = peer.local_asn.as_ref().or(clusters) else {
            continue;
        };
        if own.value == peer.asn.value {
            same.entry(own.place)
                .or_insert((own.value, Vec::new()))
                .1
                .push(peer);
        }
    }
    for (asn, peers) in same.into_values() {
        let Some(first) = peers.first() else { continue };
        let more = match peers.len() {
            1 => String::new(),
            count => format!(", and {} more", counted(count - 1, "peer")),
        };
        let message = format!(
            "peer {} has the cluster's own autonomous system number {asn}{more}: sessions are external ones",
            first.address.value
        );
        let help = "write another `localASN`, or the routers' own number";
        checking.complain(first.asn.place, (CFG_BGP, Gravity::Fail), message, help);
    }
}

/// What BGP cannot do without; said only if nothing was left unread that could be it.
fn needs(
    spec: &RawSpec,
    load_balancer: &RawLoadBalancer,
    place: Place,
    documents: &Documents,
    checking: &mut Checking<'_>,
) {
    if !checking.is_all_read {
        return;
    }
    let fail = (CFG_BGP, Gravity::Fail);
    let advanced = spec
        .network
        .as_ref()
        .and_then(|network| network.advanced_networking.as_ref());
    if !advanced.is_some_and(|flag| flag.value) {
        let place = advanced.map_or(place, |flag| flag.place);
        let message = "type bgp needs advanced networking";
        let help = "write `advancedNetworking: true` in `spec.clusterNetwork`";
        checking.complain(place, fail, message, help);
    }
    if load_balancer.local_asn.is_none() {
        let help = "write `localASN: NUMBER` in `spec.loadBalancer`, for example 65001";
        checking.complain(
            place,
            fail,
            "type bgp needs the cluster's own autonomous system number",
            help,
        );
    }
    let is_admin = spec
        .cluster_type
        .as_ref()
        .is_some_and(|kind| kind.value == ClusterType::Admin);
    if documents.floating_ips.is_empty() && !is_admin {
        let message = "type bgp without floating IPs: nobody announces the addresses of Services";
        let help = "add a NetworkGatewayGroup document with `floatingIPs:`, one for each rack or more";
        checking.complain(place, fail, message, help);
    }
}

/// Every control plane node has two sessions, so that a router may fail.
fn enough_peers(spec: &RawSpec, load_balancer: &RawLoadBalancer, checking: &mut Checking<'_>) {
    let Some(control_plane) = spec.control_plane.as_ref().filter(|_| checking.is_all_read) else {
        return;
    };
    let peers_of = |node: &RawNode| {
        let speaks = |peer: &&RawPeer| {
            let listed = &peer.control_plane_nodes;
            listed.is_empty() || listed.iter().any(|address| is_same(node, address.value))
        };
        load_balancer.peers.iter().filter(speaks).count()
    };
    let having = |count: usize| -> Vec<&Placed<IpAddr>> {
        let nodes = control_plane.nodes.nodes.iter();
        nodes
            .filter(|node| peers_of(node) == count)
            .map(|node| &node.address)
            .collect()
    };
    let all = control_plane.nodes.nodes.len();
    for (count, gravity) in [(0, Gravity::Fail), (1, Gravity::Warn)] {
        let nodes = having(count);
        let Some(first) = nodes.first() else { continue };
        let has = if count == 0 { "no BGP peer" } else { "1 BGP peer" };
        let why = if count == 0 {
            "announces no VIP"
        } else {
            "is cut off when that router fails"
        };
        let message = match nodes.len() {
            1 => format!("control plane node {} has {has}: it {why}", first.value),
            several => format!(
                "{several} of {all} control plane nodes have {has} each (the first is {}): such a node {why}",
                first.value
            ),
        };
        let help = "list two peers for every control plane node in `spec.loadBalancer.bgpPeers`";
        checking.complain(first.place, (CFG_BGP, gravity), message, help);
    }
}

/// Settings that only type bgp looks at.
fn unused(load_balancer: &RawLoadBalancer, checking: &mut Checking<'_>) {
    if let Some(peer) = load_balancer.peers.first() {
        let message = format!(
            "{} of `spec.loadBalancer.bgpPeers`, and the type is layer2: nobody speaks with them",
            counted(load_balancer.peers.len(), "peer")
        );
        let help = "write `type: bgp`, or remove them";
        checking.complain(peer.address.place, (CFG_BGP, Gravity::Warn), message, help);
    }
}
