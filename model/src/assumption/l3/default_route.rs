//! L3-003: one default route.

use std::collections::BTreeSet;

use crate::{
    assumption::{Ruling, Scene, inspected::of_setting},
    observation::{HostSettings, RouteEntry},
    report::check::Check,
};

/// One default route.
pub(crate) const CHECK: Check = Check {
    id: "L3-003",
    asserts: "a node has one preferred default route",
    how: "netlink on each node: the IPv4 and IPv6 routes of the main table; nothing is sent",
    needs: "nothing",
    rule: "warns if two default routes of the same metric and family leave by different devices; a node without any is told in \
           its row, since an isolated site has none",
    remedy: "delete the route that should not be there, at once and in the network configuration",
    source: "ip-route(8); known problem: several default gateways break egress",
};

/// One ruling a node that told its routes.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let (told, mut rulings) = scene.inspected();
    for (node, host) in told {
        let name = scene.name(node);
        let Some(routes) = host.what.routes.as_deref().filter(|_| !host.what.routes_cut) else {
            continue;
        };
        let rivals = rivals(routes);
        if rivals.is_empty() {
            let number = routes.iter().filter(|route| is_default(route)).count();
            rulings.push(Ruling::pass(
                name.clone(),
                format!("{name} has {number} default routes, none of which rival"),
            ));
            continue;
        }
        let devices: BTreeSet<&str> = rivals.iter().filter_map(|route| device(route)).collect();
        let devices: Vec<&str> = devices.into_iter().collect();
        let complaint = of_setting(
            node,
            host.line,
            format!(
                "{name} has {} default routes of the same metric, over {}: which of them packets take is chance",
                rivals.len(),
                devices.join(" and ")
            ),
            "Keep the one that leads where the cluster's egress should go, and delete the other, in the network configuration too.",
            rivals
                .iter()
                .filter(|route| is_spare(route, host.what))
                .map(|route| delete(route))
                .collect(),
        );
        rulings.push(Ruling::warn(name, complaint));
    }
    rulings
}

/// Default routes of the lowest metric of a family, if they leave by several devices.
fn rivals(routes: &[RouteEntry]) -> Vec<&RouteEntry> {
    for is_ipv4 in [true, false] {
        let of_family = routes
            .iter()
            .filter(|route| is_default(route) && route.to.addr().is_ipv4() == is_ipv4);
        let defaults: Vec<&RouteEntry> = of_family.collect();
        let Some(best) = defaults.iter().map(|route| route.metric).min() else {
            continue;
        };
        let rivals: Vec<&RouteEntry> = defaults
            .into_iter()
            .filter(|route| route.metric == best)
            .collect();
        let devices: BTreeSet<Option<&str>> = rivals.iter().map(|route| device(route)).collect();
        if rivals.len() > 1 && devices.len() > 1 {
            return rivals;
        }
    }
    Vec::new()
}

/// A route over several hops is balanced on purpose.
fn is_default(route: &RouteEntry) -> bool {
    route.forwards && route.to.prefix_len() == 0
}

fn device(route: &RouteEntry) -> Option<&str> {
    route.hops.first()?.device.as_deref()
}

/// Of two, the one by the data interface is more likely the right one.
fn is_spare(route: &RouteEntry, host: &HostSettings) -> bool {
    device(route) != host.data_interface.as_deref()
}

fn delete(route: &RouteEntry) -> String {
    let ip = if route.to.addr().is_ipv4() { "ip" } else { "ip -6" };
    let hop = route.hops.first();
    let via = hop
        .and_then(|hop| hop.via)
        .map_or_else(String::new, |via| format!(" via {via}"));
    let dev = device(route).map_or_else(String::new, |device| format!(" dev {device}"));
    let metric = if route.metric == 0 {
        String::new()
    } else {
        format!(" metric {}", route.metric)
    };
    format!("{ip} route del default{via}{dev}{metric}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::RouteHop;

    fn route(to: &str, device: &str, metric: u32) -> RouteEntry {
        RouteEntry {
            to: to.parse().unwrap(),
            forwards: true,
            hops: vec![RouteHop {
                via: None,
                device: Some(device.to_owned()),
            }],
            metric,
            protocol: 4,
        }
    }

    #[test]
    fn two_of_the_same_metric_over_two_devices_rival_and_no_others_do() {
        let of = |routes: &[RouteEntry]| rivals(routes).len();
        let one = route("0.0.0.0/0", "eth0", 100);
        assert_eq!(of(std::slice::from_ref(&one)), 0);
        assert_eq!(of(&[one.clone(), route("0.0.0.0/0", "eth1", 100)]), 2);
        assert_eq!(of(&[one.clone(), route("0.0.0.0/0", "eth1", 200)]), 0);
        assert_eq!(of(&[one.clone(), route("0.0.0.0/0", "eth0", 100)]), 0);
        assert_eq!(of(&[one.clone(), route("::/0", "eth1", 100)]), 0);
        assert_eq!(of(&[one, route("10.0.0.0/8", "eth1", 100)]), 0);
    }

    #[test]
    fn the_command_names_the_route() {
        let mut spare = route("0.0.0.0/0", "eth1", 100);
        spare.hops[0].via = Some([10, 9, 0, 1].into());
        assert_eq!(
            delete(&spare),
            "ip route del default via 10.9.0.1 dev eth1 metric 100"
        );
    }
}
