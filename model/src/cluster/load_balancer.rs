//! `spec.loadBalancer`: who carries VIPs, which they are, and the pools of addresses for Services.

use std::net::IpAddr;

use super::{
    address::{self, AddressRange},
    networking::{self, RawPeer},
    spec::{self, RawNodes},
};
use crate::{
    inventory::{LoadBalancerMode, LoadBalancerType},
    source::{Complaints, Place, Placed},
    yaml::fields::At,
};

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

/// Reads `spec.loadBalancer`.
pub(super) fn load_balancer(at: &At<'_>, complaints: &mut Complaints) -> Option<RawLoadBalancer> {
    let mut fields = at.fields(complaints)?;
    let mode = fields
        .required("mode", "write `mode: bundled` or `mode: manual`", complaints)
        .and_then(|at| at.choice(complaints, &spec::MODES));
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
        Some(spec::nodes(&list?, complaints))
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
        let avoid_buggy_ips = spec::flag(&mut fields, "avoidBuggyIPs", complaints);
        let manual_assign = spec::flag(&mut fields, "manualAssign", complaints);
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

const KINDS: [(&str, LoadBalancerType); 2] = [
    ("layer2", LoadBalancerType::Layer2),
    ("bgp", LoadBalancerType::Bgp),
];
