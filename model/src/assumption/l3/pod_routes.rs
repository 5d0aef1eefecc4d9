//! L3-008: the network does not route what is to be pods' and Services'.

use ipnet::IpNet;

use crate::{
    assumption::{Ruling, Scene, inspected::of_setting},
    cause::CauseKind,
    observation::RouteEntry,
    report::check::Check,
};

/// The network does not route what is to be pods' and Services'.
pub(crate) const CHECK: Check = Check {
    id: "L3-008",
    asserts: "no node routes addresses of pods or Services to somewhere else",
    how: "netlink on each node: the routes of the main table against the ranges of the cluster file; nothing is sent",
    needs: "nothing",
    rule: "fails if a bare node has a route other than a default one that overlaps a range; a live node's routes of the cluster \
           itself cannot be told from others, and are not judged",
    remedy: "choose ranges that the site does not use, or take the route out of the network configuration",
    source: "the design of pod networks: what the host routes elsewhere is not reached there by pods",
};

/// One ruling a bare node that told its routes.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let ranges: Vec<IpNet> = [&scene.inventory.pods, &scene.inventory.services]
        .into_iter()
        .flatten()
        .copied()
        .collect();
    if ranges.is_empty() {
        return Vec::new();
    }
    let (told, mut rulings) = scene.inspected();
    for (node, host) in told {
        if scene.ledger.is_live(node) {
            continue;
        }
        let name = scene.name(node);
        let Some(routes) = host.what.routes.as_deref() else {
            continue;
        };
        let Some((route, range)) = overlap(routes, &ranges) else {
            rulings.push(Ruling::pass(
                name.clone(),
                format!("{name} routes none of the ranges of pods and Services"),
            ));
            continue;
        };
        let way = way(route);
        let mut complaint = of_setting(
            node,
            host.line,
            format!(
                "{name} routes {}{way}, which overlaps {range} of the cluster's pods or Services",
                route.to
            ),
            "Choose ranges that the site does not use, or take the route out of the network configuration.",
            vec![
                format!("ip route show {}", route.to),
                format!("ip route del {}{way}", route.to),
            ],
        );
        complaint.cause.kind = CauseKind::AddressOverlap;
        rulings.push(Ruling::fail(name, complaint));
    }
    rulings
}

/// The first route that leads elsewhere, and the range that it overlaps. The node's own networks are judged by CFG-009.
fn overlap<'a>(routes: &'a [RouteEntry], ranges: &[IpNet]) -> Option<(&'a RouteEntry, IpNet)> {
    let elsewhere = |route: &&RouteEntry| route.to.prefix_len() > 0 && !is_of_cluster(route);
    routes.iter().filter(elsewhere).find_map(|route| {
        let mut of_route = ranges
            .iter()
            .filter(|range| range.contains(&route.to) || route.to.contains(*range));
        Some((route, *of_route.next()?))
    })
}

/// What a cluster that was here before, or is here, made for itself; a summary of private addresses
/// (10.0.0.0/8) is no more than a default route in many sites.
fn is_of_cluster(route: &RouteEntry) -> bool {
    let devices = [
        "cilium", "lxc", "cni", "flannel", "cali", "docker", "virbr", "kube", "vxlan", "tunl",
    ];
    let is_ours = |device: &str| devices.iter().any(|prefix| device.starts_with(prefix));
    let summary = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
    route
        .hops
        .iter()
        .any(|hop| hop.device.as_deref().is_some_and(is_ours))
        || summary.contains(&route.to.to_string().as_str())
}

fn way(route: &RouteEntry) -> String {
    let Some(hop) = route.hops.first() else {
        return String::new();
    };
    let via = hop.via.map_or_else(String::new, |via| format!(" via {via}"));
    let dev = hop
        .device
        .as_ref()
        .map_or_else(String::new, |device| format!(" dev {device}"));
    format!("{via}{dev}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::RouteHop;

    #[test]
    fn a_route_inside_or_around_a_range_overlaps_and_the_clusters_own_does_not() {
        let ranges: [IpNet; 1] = ["192.168.0.0/16".parse().unwrap()];
        let of = |to: &str, device: &str| {
            let route = RouteEntry {
                to: to.parse().unwrap(),
                forwards: true,
                hops: vec![RouteHop {
                    via: None,
                    device: Some(device.to_owned()),
                }],
                metric: 0,
                protocol: 4,
            };
            overlap(&[route], &ranges).is_some()
        };
        assert!(of("192.168.4.0/24", "eth0"));
        assert!(of("192.0.0.0/8", "eth0"));
        assert!(!of("192.168.4.0/24", "cilium_host"));
        assert!(!of("10.62.0.0/24", "eth0"));
        assert!(!of("0.0.0.0/0", "eth0"));
    }
}
