//! The optional documents: NetworkGatewayGroup, BGPLoadBalancer, BGPPeer and ClusterCIDRConfig.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    address,
    documents::{RawCidrConfig, metadata},
};
use crate::{
    source::{Complaints, Placed},
    yaml::fields::{At, Fields},
};

/// A BGP peer with its places.
#[derive(Debug)]
pub(super) struct RawPeer {
    pub(super) address: Placed<IpAddr>,
    pub(super) asn: Placed<u32>,
    /// The cluster's own number in sessions with this peer, if its document says one.
    pub(super) local_asn: Option<Placed<u32>>,
    pub(super) control_plane_nodes: Vec<Placed<IpAddr>>,
}

/// A peer of `spec.loadBalancer.bgpPeers`.
pub(super) fn inline_peer(at: &At<'_>, complaints: &mut Complaints) -> Option<RawPeer> {
    let mut fields = at.fields(complaints)?;
    let (address, asn) = (
        peer_address(&mut fields, "ip", complaints),
        peer_asn(&mut fields, "asn", complaints),
    );
    let nodes = addresses(&mut fields, "controlPlaneNodes", complaints);
    fields.finish(complaints);
    Some(RawPeer {
        address: address?,
        asn: asn?,
        local_asn: None,
        control_plane_nodes: nodes,
    })
}

/// An autonomous system number, written as a number or as text.
pub(super) fn asn(at: &At<'_>, complaints: &mut Complaints) -> Option<Placed<u32>> {
    at.number::<u32>(complaints, 1..=u32::MAX)
}

/// A NetworkGatewayGroup document: its floating IPs.
pub(super) fn gateway_group(mut fields: Fields<'_>, complaints: &mut Complaints) -> Vec<Placed<IpAddr>> {
    let Some(mut spec) = spec(&mut fields, complaints) else {
        return Vec::new();
    };
    fields.finish(complaints);
    let floating_ips = addresses(&mut spec, "floatingIPs", complaints);
    spec.free(&["nodeSelector"]);
    spec.finish(complaints);
    floating_ips
}

/// A BGPLoadBalancer document: its peers.
pub(super) fn bgp_load_balancer(mut fields: Fields<'_>, complaints: &mut Complaints) -> Vec<RawPeer> {
    let Some(mut spec) = spec(&mut fields, complaints) else {
        return Vec::new();
    };
    fields.finish(complaints);
    let local_asn = spec.optional("localASN").and_then(|at| asn(&at, complaints));
    let mut peers = Vec::new();
    if let Some(list) = spec.optional("peers") {
        for item in list.items(complaints) {
            let Some(mut fields) = item.fields(complaints) else {
                continue;
            };
            let address = peer_address(&mut fields, "peerIP", complaints);
            let asn = peer_asn(&mut fields, "peerASN", complaints);
            let own = fields.optional("localASN");
            let local_asn = own.map_or_else(|| local_asn.clone(), |at| self::asn(&at, complaints));
            fields.free(&["name", "sessions", "selectors"]);
            fields.finish(complaints);
            peers.extend(
                address
                    .zip(asn)
                    .map(|(address, asn)| peer(address, asn, local_asn)),
            );
        }
    }
    spec.free(&["peerSelector", "addressPools"]);
    spec.finish(complaints);
    peers
}

/// A BGPPeer document.
pub(super) fn bgp_peer(mut fields: Fields<'_>, complaints: &mut Complaints) -> Option<RawPeer> {
    let mut spec = spec(&mut fields, complaints)?;
    fields.finish(complaints);
    let (address, number) = (
        peer_address(&mut spec, "peerIP", complaints),
        peer_asn(&mut spec, "peerASN", complaints),
    );
    let local_asn = spec.optional("localASN").and_then(|at| asn(&at, complaints));
    spec.free(&["sessions", "selectors"]);
    spec.finish(complaints);
    Some(peer(address?, number?, local_asn))
}

/// A ClusterCIDRConfig document.
pub(super) fn cidr_config(mut fields: Fields<'_>, complaints: &mut Complaints) -> Option<RawCidrConfig> {
    let metadata = metadata(&mut fields, complaints);
    let spec = fields.required("spec", "write `spec:` with `ipv4:` and `ipv6:`", complaints);
    fields.finish(complaints);
    let mut fields = spec?.fields(complaints)?;
    let ipv4 = fields
        .optional("ipv4")
        .and_then(|at| node_prefixes(&at, 32, complaints));
    let ipv6 = fields
        .optional("ipv6")
        .and_then(|at| node_prefixes(&at, 128, complaints));
    fields.free(&["nodeSelector"]);
    fields.finish(complaints);
    Some(RawCidrConfig {
        metadata: metadata?,
        ipv4,
        ipv6,
    })
}

fn spec<'a>(fields: &mut Fields<'a>, complaints: &mut Complaints) -> Option<Fields<'a>> {
    metadata(fields, complaints);
    fields
        .required("spec", "write `spec:` with its settings", complaints)?
        .fields(complaints)
}

fn node_prefixes(at: &At<'_>, longest: u8, complaints: &mut Complaints) -> Option<(Placed<IpNet>, u8)> {
    let mut fields = at.fields(complaints)?;
    let cidr = fields
        .required("cidr", "write `cidr: ADDRESS/LENGTH`", complaints)
        .and_then(|at| address::prefix(&at, complaints));
    let mask = fields.required("perNodeMaskSize", "write `perNodeMaskSize: LENGTH`", complaints);
    fields.finish(complaints);
    let (cidr, mask) = (cidr?, mask?);
    if cidr.value.max_prefix_len() != longest {
        let message = format!(
            "`{}.cidr`: {} is of the other address family",
            at.path, cidr.value
        );
        complaints.add_with_help(cidr.place, message, "exchange the two ranges");
        return None;
    }
    let mask = mask.number::<u8>(complaints, cidr.value.prefix_len()..=longest)?;
    Some((cidr, mask.value))
}

fn peer(address: Placed<IpAddr>, asn: Placed<u32>, local_asn: Option<Placed<u32>>) -> RawPeer {
    RawPeer {
        address,
        asn,
        local_asn,
        control_plane_nodes: Vec::new(),
    }
}

fn peer_address(
    fields: &mut Fields<'_>,
    key: &'static str,
    complaints: &mut Complaints,
) -> Option<Placed<IpAddr>> {
    let help = format!("write `{key}: IPV4`, the router's address");
    address::host_v4(&fields.required(key, &help, complaints)?, complaints)
}

fn peer_asn(fields: &mut Fields<'_>, key: &'static str, complaints: &mut Complaints) -> Option<Placed<u32>> {
    let help = format!("write `{key}: NUMBER`, the router's autonomous system number");
    asn(&fields.required(key, &help, complaints)?, complaints)
}

fn addresses(fields: &mut Fields<'_>, key: &'static str, complaints: &mut Complaints) -> Vec<Placed<IpAddr>> {
    match fields.optional(key) {
        Some(at) => at
            .items(complaints)
            .iter()
            .filter_map(|item| address::host_v4(item, complaints))
            .collect(),
        None => Vec::new(),
    }
}
