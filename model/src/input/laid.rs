//! A plain inventory as its file lays it out, for the checks over the file that make sense for every distribution.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;

use crate::{
    cluster::{Checking, Checks, Dialect, LaidNode, Layout, List, check_layout},
    id::Role,
    source::{Complaints, Place, Placed},
};

/// The virtual addresses.
#[derive(Default)]
pub(super) struct Vips {
    pub(super) control_plane: Option<Placed<IpAddr>>,
    pub(super) ingress: Option<Placed<IpAddr>>,
}

/// Address ranges.
#[derive(Default)]
pub(super) struct Ranges {
    pub(super) pods: Vec<Placed<IpNet>>,
    pub(super) services: Vec<Placed<IpNet>>,
}

/// A node as the checks see it: by its own address. Where SSH reaches it may be a forwarded port that several share.
pub(super) fn node(address: Placed<IpAddr>, roles: &BTreeSet<Role>, group: &str) -> LaidNode {
    let list = match group {
        _ if roles.contains(&Role::ControlPlane) => List::ControlPlane,
        "" => List::Ungrouped,
        name => List::Group(name.to_owned()),
    };
    LaidNode {
        address,
        k8s_ip: None,
        list,
    }
}

/// Makes the checks. Nobody knows how many pods a node of another distribution runs, or who announces its VIPs: what rests on
/// that is not asked.
pub(super) fn check(
    (name, nodes): (String, Vec<LaidNode>),
    vips: &Vips,
    ranges: &Ranges,
    complaints: &mut Complaints,
) -> Checks {
    let is_all_read = complaints.is_readable();
    let layout = Layout {
        dialect: Dialect::Plain,
        file: complaints.file().to_owned(),
        name,
        // The nodes of the control plane are counted only if every one could be read.
        control_plane: is_all_read.then_some(Place::START),
        nodes,
        are_nodes_complete: is_all_read,
        control_plane_vip: vips.control_plane.clone(),
        ingress_vip: vips.ingress.clone(),
        are_pools_complete: true,
        pods: ranges.pods.clone(),
        services: ranges.services.clone(),
        are_pods_complete: is_all_read,
        ..Layout::default()
    };
    let mut checking = Checking::begin(complaints);
    check_layout(&layout, &mut checking);
    let made = checking.end();
    Checks::new(layout, made)
}
