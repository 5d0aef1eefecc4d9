//! Dual stack: the ranges of both families agree.

use ipnet::IpNet;

use super::{Checking, Layout, capacity::node_mask};
use crate::{
    cluster::documents::{Documents, RawCluster},
    inventory::LoadBalancerMode,
    report::check::CFG_DUAL_STACK,
    source::{Gravity, Place, Placed},
};

/// CFG-019, of clusters with an IPv6 service range or a `ClusterCIDRConfig`.
pub(super) fn dual_stack(
    cluster: &RawCluster,
    documents: &Documents,
    layout: &Layout,
    checking: &mut Checking<'_>,
) {
    let services = layout.services.iter().find(|block| block.value.addr().is_ipv6());
    let config = documents.cidr_configs.iter().find(|config| config.ipv6.is_some());
    if services.is_none() && documents.cidr_configs.is_empty() {
        return;
    }
    let (is_all_read, fail) = (checking.is_all_read, (CFG_DUAL_STACK, Gravity::Fail));
    if let Some(services) = services.filter(|_| config.is_none() && is_all_read) {
        let place = documents
            .cidr_configs
            .first()
            .map_or(services.place, |config| config.metadata.place);
        let message = format!(
            "Services have the IPv6 range {} (line {}), and no ClusterCIDRConfig gives pods one",
            services.value, services.place.line
        );
        let help = "add a ClusterCIDRConfig document with `ipv4:` and `ipv6:`, each with `cidr:` and `perNodeMaskSize:`";
        checking.complain(place, fail, message, help);
    }
    if let Some((range, _)) = config
        .and_then(|config| config.ipv6.as_ref())
        .filter(|_| services.is_none() && is_all_read)
    {
        let message = format!(
            "pods have the IPv6 range {}, and Services have no IPv6 range",
            range.value
        );
        let help =
            "add an IPv6 range to `spec.clusterNetwork.services.cidrBlocks`, for example one of length /112";
        checking.complain(range.place, fail, message, help);
    }
    for config in &documents.cidr_configs {
        if let Some((range, mask)) = &config.ipv4 {
            same_range(cluster, range, checking);
            fits(layout, ("ipv4", range), *mask, checking);
        }
        if let Some((range, mask)) = &config.ipv6 {
            fits(layout, ("ipv6", range), *mask, checking);
        }
    }
    if let (Some(services), Some(place)) = (services, lacks_ipv6_pool(layout)) {
        let message = format!(
            "no address pool has an IPv6 range, and Services have {} (line {})",
            services.value, services.place.line
        );
        let help = "add an IPv6 range to a pool if Services of type LoadBalancer shall have IPv6 addresses";
        checking.complain(place, (CFG_DUAL_STACK, Gravity::Warn), message, help);
    }
    checking.made(CFG_DUAL_STACK, "the ranges of both families agree");
}

/// `spec.ipv4.cidr` repeats the pod range.
fn same_range(cluster: &RawCluster, range: &Placed<IpNet>, checking: &mut Checking<'_>) {
    let network = cluster.spec.as_ref().and_then(|spec| spec.network.as_ref());
    let Some(pods) = network
        .and_then(|network| network.pods.as_ref())
        .filter(|pods| pods.is_complete)
    else {
        return;
    };
    if pods.blocks.iter().any(|block| block.value == range.value) {
        return;
    }
    let Some(first) = pods.blocks.iter().find(|block| block.value.addr().is_ipv4()) else {
        return;
    };
    let message = format!(
        "`spec.ipv4.cidr` {} is not the pod range {} (line {})",
        range.value, first.value, first.place.line
    );
    let weight = (CFG_DUAL_STACK, Gravity::Fail);
    checking.complain(
        range.place,
        weight,
        message,
        format!("write `cidr: {}`", first.value),
    );
}

/// Whether a node's block has room for its pods, in the part of the config that bears the family's name.
fn fits(layout: &Layout, (part, range): (&str, &Placed<IpNet>), mask: u8, checking: &mut Checking<'_>) {
    let Some(pods) = layout.pods_per_node.told(checking.is_all_read) else {
        return;
    };
    let bits = 32 - node_mask(pods);
    // Both families have as many addresses: twice as many as pods.
    let needed = range.value.max_prefix_len() - bits;
    if mask > needed {
        let message =
            format!("`spec.{part}.perNodeMaskSize` {mask} is too small a block for {pods} pods a node");
        let weight = (CFG_DUAL_STACK, Gravity::Fail);
        let help = format!("write `perNodeMaskSize: {needed}`");
        checking.complain(range.place, weight, message, help);
    }
}

/// Where the pools of a cluster stand that announces Services itself and none of them over IPv6.
fn lacks_ipv6_pool(layout: &Layout) -> Option<Place> {
    let is_bundled = layout.mode == Some(LoadBalancerMode::Bundled) && layout.are_pools_complete;
    let first = layout.ranges().next().filter(|_| is_bundled)?;
    let has_ipv6 = layout.ranges().any(|range| range.value.first.is_ipv6());
    (!has_ipv6).then_some(first.place)
}
