//! Load balancer modes: who carries VIPs, and which version allows it.

use super::Checking;
use crate::{
    cluster::documents::RawCluster,
    inventory::{LoadBalancerMode, LoadBalancerType},
    report::check,
    source::Gravity,
    version::Minor,
};

/// CFG-016: manual load balancing leaves everything to a device outside; separated load balancers came with 1.32.
pub(super) fn agree(cluster: &RawCluster, checking: &mut Checking<'_>) {
    let Some(spec) = &cluster.spec else { return };
    let Some(load_balancer) = &spec.load_balancer else {
        return;
    };
    let Some(mode) = load_balancer.mode.as_ref().map(|mode| mode.value) else {
        return;
    };
    let weight = (check::CFG_MODES, Gravity::Contradiction);
    if mode == LoadBalancerMode::Manual {
        let help = "remove it, or write `mode: bundled`";
        if let Some(pools) = &load_balancer.pools {
            let message = "mode manual has no addressPools: a device outside announces the addresses";
            checking.complain(pools.place, weight, message, help);
        }
        if let Some(nodes) = &load_balancer.nodes {
            let message = "mode manual has no load balancer nodes: a device outside balances";
            checking.complain(nodes.place, weight, message, help);
        }
        if let Some(kind) = load_balancer
            .kind
            .as_ref()
            .filter(|kind| kind.value == LoadBalancerType::Bgp)
        {
            let message = "mode manual has no type bgp: a device outside announces the addresses";
            checking.complain(kind.place, (check::CFG_MODES, Gravity::Warn), message, help);
        }
    }
    let own = spec
        .control_plane
        .as_ref()
        .and_then(|control_plane| control_plane.mode.as_ref());
    if let Some(own) = own {
        let version = spec.version.as_ref().map(|version| version.value.minor());
        if version.is_some_and(|version| version < SEPARATED_SINCE) {
            let message =
                format!("`spec.controlPlane.loadBalancer` needs version {SEPARATED_SINCE} or later");
            checking.complain(own.place, weight, message, "remove it");
        } else if own.value == LoadBalancerMode::Manual && mode == LoadBalancerMode::Bundled {
            let message = "`spec.controlPlane.loadBalancer.mode`: manual needs `spec.loadBalancer.mode: manual` as well";
            checking.complain(own.place, weight, message, "write the same mode in both places");
        }
    }
    let detail = match mode {
        LoadBalancerMode::Bundled => "bundled: the cluster's own nodes carry VIPs",
        LoadBalancerMode::Manual => "manual: a device outside carries VIPs",
    };
    checking.made(check::CFG_MODES, detail);
}

/// `spec.controlPlane.loadBalancer` exists from here on (field reference).
const SEPARATED_SINCE: Minor = Minor { major: 1, minor: 32 };
