//! Fields that a cluster's type allows or asks for.

use super::Checking;
use crate::{
    cluster::documents::{Documents, RawCluster},
    inventory::{ClusterType, LoadBalancerMode},
    report::check,
    source::{Gravity, Place},
};

/// CFG-003: admin clusters run no workloads; the edge profile is for standalone clusters; the others need a way in.
pub(super) fn of_type(cluster: &RawCluster, documents: &Documents, checking: &mut Checking<'_>) {
    let Some(spec) = &cluster.spec else { return };
    let Some(cluster_type) = spec.cluster_type.as_ref().map(|kind| kind.value) else {
        return;
    };
    if let Some(edge) = spec.is_edge.as_ref().filter(|edge| edge.value)
        && cluster_type != ClusterType::Standalone
    {
        let message = format!("`spec.profile`: edge is for standalone clusters, this one is {cluster_type}");
        let weight = (check::CFG_FIELDS, Gravity::Contradiction);
        checking.complain(edge.place, weight, message, "write `profile: default`");
    }
    if let Some(control_plane) = &spec.control_plane
        && control_plane.nodes.nodes.is_empty()
        && control_plane.nodes.is_complete
    {
        let help = "list at least one `- address: IPV4` (three for high availability)";
        checking
            .complaints
            .add_with_help(control_plane.nodes_place, "the control plane has no nodes", help);
    }
    if cluster_type == ClusterType::Admin {
        of_admin(cluster, documents, checking);
    } else {
        needs_way_in(cluster, cluster_type, checking);
    }
    checking.made(
        check::CFG_FIELDS,
        format!("every field is one of {cluster_type} clusters"),
    );
}

fn of_admin(cluster: &RawCluster, documents: &Documents, checking: &mut Checking<'_>) {
    let mut refuse = |place: Place, field: &str| {
        let message = format!("an admin cluster has no {field}");
        let help = "remove it, or write `type: hybrid` if workloads shall run here";
        checking.complain(place, (check::CFG_FIELDS, Gravity::Contradiction), message, help);
    };
    let load_balancer = cluster.spec.as_ref().and_then(|spec| spec.load_balancer.as_ref());
    if let Some(vip) = load_balancer.and_then(|balancer| balancer.ingress_vip.as_ref()) {
        refuse(vip.place, "ingressVIP");
    }
    if let Some(pools) = load_balancer.and_then(|balancer| balancer.pools.as_ref()) {
        refuse(pools.place, "addressPools");
    }
    for pool in &documents.pools {
        if let Some(metadata) = &pool.metadata {
            refuse(metadata.place, "NodePool");
        }
    }
}

/// Where the cluster itself balances load, workloads are reached through an ingress VIP that comes from a pool.
fn needs_way_in(cluster: &RawCluster, cluster_type: ClusterType, checking: &mut Checking<'_>) {
    let Some(spec) = cluster.spec.as_ref().filter(|_| checking.is_all_read) else {
        return;
    };
    let Some(load_balancer) = &spec.load_balancer else {
        return;
    };
    let is_bundled = load_balancer
        .mode
        .as_ref()
        .is_some_and(|mode| mode.value == LoadBalancerMode::Bundled);
    let has_ingress = spec
        .network
        .as_ref()
        .and_then(|network| network.bundled_ingress.as_ref())
        .is_none_or(|flag| flag.value);
    if let Some(place) = load_balancer
        .vips_place
        .filter(|_| is_bundled && has_ingress && load_balancer.ingress_vip.is_none())
    {
        let message = format!("a {cluster_type} cluster with bundled load balancers needs an ingressVIP");
        let help = match &load_balancer.pools {
            Some(_) => "write `ingressVIP: IPV4`, an address of a pool",
            None => "write `ingressVIP: IPV4`, and `addressPools:` with a pool that has it",
        };
        checking.complain(place, (check::CFG_FIELDS, Gravity::Fail), message, help);
    }
}
