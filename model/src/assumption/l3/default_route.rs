//! L3-003: one default route.

use std::{collections::BTreeSet, net::IpAddr};

use crate::{
    assumption::{Complaint, Explains, Lack, Pairs, Ruling, Scene, inspected::of_setting},
    cause::CauseKind,
    id::NodeId,
    ledger::Told,
    observation::{Device, HostSettings, RouteEntry},
    report::check::Check,
};

/// One default route.
pub(crate) const CHECK: Check = Check {
    id: "L3-003",
    asserts: "a node has one default route in the family of its data address, and not two of a family by different ways",
    how: "netlink on each node: the IPv4 and IPv6 routes of the main table; nothing is sent",
    needs: "nothing",
    rule: "fails if a node has no default route, where no policy rule sends packets to another table; warns if two of one family \
           leave by different devices or, for IPv4, by different routers, whatever their metrics: pods, and answers over a second \
           interface, take one that was not meant; a data interface in a VRF is not judged, the routes of the main table are not its",
    remedy: "delete the route that should not be there, at once and in the network configuration; or add the one that is missing",
    source: "ip-route(8); Google Distributed Cloud known issues: multiple default gateways break egress",
};

/// One ruling a node that told its routes.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let (told, mut rulings) = scene.inspected();
    for (node, host) in told {
        let name = scene.name(node);
        let Some(routes) = host.what.routes.as_deref().filter(|_| !host.what.routes_cut) else {
            continue;
        };
        if let Some(vrf) = vrf(host.what) {
            let why = format!("its data interface is in {vrf}, which has a table of its own");
            rulings.push(Ruling::not_measured(name, Lack::ToldElsewhere(why)));
            continue;
        }
        let rivals = rivals(routes);
        let ruling = if lacks(node, routes, host.what) {
            Ruling::fail(name.clone(), absence(scene, node, host.line))
        } else if rivals.is_empty() {
            Ruling::pass(name.clone(), format!("{name} has one way by default"))
        } else {
            Ruling::warn(name.clone(), rivalry(node, &name, &host, &rivals))
        };
        rulings.push(ruling);
    }
    rulings
}

fn rivalry(node: NodeId, name: &str, host: &Told<&HostSettings>, rivals: &[&RouteEntry]) -> Complaint {
    let ways: Vec<String> = rivals.iter().map(|route| way(route)).collect();
    let kept = kept(rivals, host.what);
    let spare: Vec<&RouteEntry> = rivals
        .iter()
        .copied()
        .filter(|route| Some(*route) != kept)
        .collect();
    let (in_use, unused): (Vec<&RouteEntry>, Vec<&RouteEntry>) =
        spare.into_iter().partition(|route| is_in_use(route, rivals));
    let mut commands = vec!["ip route show default".to_owned()];
    commands.extend(unused.into_iter().map(delete));
    of_setting(
        node,
        host.line,
        format!(
            "{name} has {} default routes ({}): packets of pods and answers may leave by one that was not meant",
            rivals.len(),
            ways.join("; ")
        ),
        match in_use.is_empty() {
            true => {
                "Keep the one that leads where the cluster's egress should go, and delete the other, in the network configuration \
                 too."
            }
            false => {
                "Keep the one that leads where the cluster's egress should go. The other one is in use now, by sessions of SSH too \
                 maybe: take it out of the network configuration, and delete it from the console only."
            }
        },
        commands,
    )
}

/// Tests that found no route there, and those whose answers found none, are told under it.
fn absence(scene: &Scene<'_>, node: NodeId, line: u32) -> Complaint {
    let name = scene.name(node);
    let mut complaint = of_setting(
        node,
        line,
        format!(
            "{name} has no default route: it reaches nothing but its own networks and what it has routes to"
        ),
        "Add the gateway of the data network, at once and in the network configuration.",
        vec![
            "ip route show".to_owned(),
            "ip route add default via GATEWAY".to_owned(),
        ],
    );
    complaint.explains = Explains {
        kinds: &[CauseKind::HostSetting],
        pairs: Pairs::Touching(vec![node]),
    };
    complaint
}

/// Whether the family of the data address has no default route, nor one in two halves as some VPNs write it.
fn lacks(node: NodeId, routes: &[RouteEntry], host: &HostSettings) -> bool {
    let Some(address) = node.address() else {
        return false;
    };
    let is_of_family = |route: &&RouteEntry| route.to.addr().is_ipv4() == address.is_ipv4() && route.forwards;
    let mut wide = routes
        .iter()
        .filter(is_of_family)
        .filter(|route| route.to.prefix_len() <= 1);
    host.policy_tables.is_empty() && wide.next().is_none()
}

/// The VRF of the data interface. A device with an address of its own that belongs to another is no member of a bond or bridge,
/// whose addresses are the bond's.
fn vrf(host: &HostSettings) -> Option<&str> {
    let is_data = |device: &&Device| Some(&device.name) == host.data_interface.as_ref();
    host.devices.iter().find(is_data)?.master.as_deref()
}

/// Default routes of a family, one for each way; empty if there is one way.
fn rivals(routes: &[RouteEntry]) -> Vec<&RouteEntry> {
    for is_ipv4 in [true, false] {
        let of_family = routes
            .iter()
            .filter(|route| is_default(route) && route.to.addr().is_ipv4() == is_ipv4);
        let mut seen = BTreeSet::new();
        // Routers of IPv6 that announce themselves stand in for each other.
        let way = |route: &RouteEntry| (device(route).map(str::to_owned), hop(route).filter(|_| is_ipv4));
        let rivals: Vec<&RouteEntry> = of_family.filter(|route| seen.insert(way(route))).collect();
        if rivals.len() > 1 {
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

fn hop(route: &RouteEntry) -> Option<IpAddr> {
    route.hops.first()?.via
}

/// Of several, one by the data interface is more likely the right one, and of these the one that is preferred.
fn kept<'a>(rivals: &[&'a RouteEntry], host: &HostSettings) -> Option<&'a RouteEntry> {
    let is_elsewhere = |route: &RouteEntry| device(route) != host.data_interface.as_deref();
    rivals
        .iter()
        .copied()
        .min_by_key(|route| (is_elsewhere(route), route.metric))
}

/// Whether a route is the one, or one of those, by which packets leave now: no route of its family has a lower metric.
fn is_in_use(route: &RouteEntry, rivals: &[&RouteEntry]) -> bool {
    rivals.iter().all(|rival| route.metric <= rival.metric)
}

fn delete(route: &RouteEntry) -> String {
    let ip = if route.to.addr().is_ipv4() { "ip" } else { "ip -6" };
    format!("{ip} route del default {}", way(route))
}

/// `via 10.0.0.1 dev eth0 metric 100`.
fn way(route: &RouteEntry) -> String {
    let via = hop(route).map(|via| format!("via {via}"));
    let dev = device(route).map(|device| format!("dev {device}"));
    let metric = Some(route.metric)
        .filter(|metric| *metric > 0)
        .map(|metric| format!("metric {metric}"));
    let words: Vec<String> = [via, dev, metric].into_iter().flatten().collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        assumption::l3::tests::on_device,
        errand::Errand,
        evidence::Group,
        observation::Record,
        report::stage::{CP, Stage, W1, node},
    };

    fn route(to: &str, device: &str, metric: u32) -> RouteEntry {
        RouteEntry {
            metric,
            ..on_device(to, device)
        }
    }

    fn by_router(mut route: RouteEntry, router: [u8; 4]) -> RouteEntry {
        route.hops[0].via = Some(router.into());
        route
    }

    #[test]
    fn two_ways_of_a_family_rival_and_one_way_written_twice_does_not() {
        let of = |routes: &[RouteEntry]| rivals(routes).len();
        let one = by_router(route("0.0.0.0/0", "eth0", 100), [10, 0, 0, 1]);
        let with = |other: RouteEntry| of(&[one.clone(), other]);
        assert_eq!(of(std::slice::from_ref(&one)), 0);
        assert_eq!(with(route("0.0.0.0/0", "eth1", 100)), 2);
        assert_eq!(with(route("0.0.0.0/0", "eth1", 200)), 2);
        assert_eq!(with(by_router(route("0.0.0.0/0", "eth0", 200), [10, 0, 0, 2])), 2);
        assert_eq!(with(by_router(route("0.0.0.0/0", "eth0", 200), [10, 0, 0, 1])), 0);
        assert_eq!(with(route("::/0", "eth1", 100)), 0);
        assert_eq!(with(route("10.0.0.0/8", "eth1", 100)), 0);
    }

    #[test]
    fn no_default_route_is_told_unless_it_is_in_halves_or_in_another_table() {
        let node = NodeId::Address([10, 0, 0, 5].into());
        let host = HostSettings::default();
        let of = |routes: &[RouteEntry]| lacks(node, routes, &host);
        assert!(of(&[route("10.0.0.0/24", "eth0", 0)]));
        assert!(of(&[route("::/0", "eth0", 0)]));
        assert!(!of(&[route("0.0.0.0/0", "eth0", 0)]));
        assert!(!of(&[
            route("0.0.0.0/1", "eth0", 0),
            route("128.0.0.0/1", "eth0", 0)
        ]));
        let elsewhere = HostSettings {
            policy_tables: BTreeSet::from([100]),
            ..HostSettings::default()
        };
        assert!(!lacks(node, &[], &elsewhere));
    }

    #[test]
    fn a_data_interface_in_a_vrf_does_not_use_the_main_table() {
        let host = |master: Option<&str>| HostSettings {
            data_interface: Some("eth0".to_owned()),
            devices: ["eth0", "eth1"]
                .map(|name| Device {
                    name: name.to_owned(),
                    master: master.filter(|_| name == "eth0").map(str::to_owned),
                    ..Device::default()
                })
                .into(),
            ..HostSettings::default()
        };
        assert_eq!(vrf(&host(None)), None);
        assert_eq!(vrf(&host(Some("vrf-blue"))), Some("vrf-blue"));
        let mut stage = Stage::new();
        stage.parameters.groups = vec![Group::L3];
        for on in [CP, W1] {
            let own = stage.plan.errands.entry(node(on)).or_default();
            own.push(Errand::Inspect);
        }
        for (on, master) in [(CP, Some("vrf-blue")), (W1, None)] {
            let told = HostSettings {
                routes: Some(vec![route("10.0.0.0/24", "eth0", 0)]),
                ..host(master)
            };
            stage = stage.tells(on, Record::Host(Box::new(told)));
        }
        let report = stage.report();
        let told = report.findings.iter().filter(|finding| finding.check == CHECK.id);
        let nodes: Vec<_> = told.map(|finding| finding.cause.node).collect();
        assert_eq!(nodes, [Some(node(W1))], "the other one lacks a route");
    }

    #[test]
    fn the_route_by_the_data_interface_is_kept_and_the_command_names_the_other() {
        let spare = by_router(route("0.0.0.0/0", "eth1", 100), [10, 9, 0, 1]);
        let own = by_router(route("0.0.0.0/0", "eth0", 200), [10, 0, 0, 1]);
        let host = HostSettings {
            data_interface: Some("eth0".to_owned()),
            ..HostSettings::default()
        };
        assert_eq!(kept(&[&spare, &own], &host), Some(&own));
        assert_eq!(
            delete(&spare),
            "ip route del default via 10.9.0.1 dev eth1 metric 100"
        );
    }

    #[test]
    fn the_default_route_that_is_in_use_is_never_to_be_deleted_by_a_command() {
        let management = by_router(route("0.0.0.0/0", "eth1", 100), [10, 9, 0, 1]);
        let own = by_router(route("0.0.0.0/0", "eth0", 200), [10, 0, 0, 1]);
        let host = HostSettings {
            data_interface: Some("eth0".to_owned()),
            ..HostSettings::default()
        };
        let node = NodeId::Address([10, 0, 0, 5].into());
        let of = |rivals: &[&RouteEntry]| {
            let told = Told { line: 1, what: &host };
            let commands = rivalry(node, "it", &told, rivals).fix.commands;
            commands.iter().any(|command| command.contains("route del"))
        };
        assert!(!of(&[&management, &own]));
        let later = by_router(route("0.0.0.0/0", "eth1", 300), [10, 9, 0, 1]);
        assert!(of(&[&own, &later]));
    }
}
