//! L3-008: the network does not route what is to be pods' and Services'.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use crate::{
    assumption::{Lack, Ruling, Scene, inspected::of_setting},
    cause::CauseKind,
    id::NodeId,
    ledger::Told,
    observation::{HostSettings, RouteEntry},
    report::check::Check,
};

/// The network does not route what is to be pods' and Services'.
pub(crate) const CHECK: Check = Check {
    id: "L3-008",
    asserts: "no node routes addresses of pods or Services to somewhere else",
    how: "netlink on each node: the routes of the main table against the ranges of the cluster file; nothing is sent",
    needs: "nothing",
    rule: "fails if a bare node has a route other than a default one that overlaps a range, apart from one for all of \
           10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16, or by the next hop of the default route, that is wider than the range; a network of a node whose addresses CFG-009 \
           finds in a range is left to it; a live node's routes of the cluster itself cannot be told from others, and are not \
           judged",
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
    let judged = told.into_iter().filter(|(node, _)| !scene.ledger.is_live(*node));
    let mut rivals: BTreeMap<(IpNet, IpNet), Vec<Rival<'_>>> = BTreeMap::new();
    for (node, host) in judged {
        let Some(routes) = host.what.routes.as_deref() else {
            continue;
        };
        let found = overlaps(scene, routes, &ranges);
        if found.is_empty() {
            rulings.push(clean(scene, node, host.what.routes_cut));
        }
        for (route, range) in found {
            let rival = Rival { node, host, route };
            rivals.entry((route.to, range)).or_default().push(rival);
        }
    }
    for ((_, range), of_nodes) in rivals {
        rulings.extend(complain(scene, range, &of_nodes));
    }
    rulings
}

/// A route of a node that overlaps a range.
struct Rival<'a> {
    node: NodeId,
    host: Told<&'a HostSettings>,
    route: &'a RouteEntry,
}

fn clean(scene: &Scene<'_>, node: NodeId, is_cut: bool) -> Ruling {
    let name = scene.name(node);
    if is_cut {
        let why = format!("{name} has more routes than were looked at, and none of these overlaps");
        return Ruling::not_measured(name, Lack::ToldElsewhere(why));
    }
    let detail = format!("{name} routes none of the ranges of pods and Services");
    Ruling::pass(name, detail)
}

/// One complaint about a route, at every node that has it.
fn complain(scene: &Scene<'_>, range: IpNet, rivals: &[Rival<'_>]) -> Vec<Ruling> {
    let Some(first) = rivals.first() else {
        return Vec::new();
    };
    let names: Vec<String> = rivals
        .iter()
        .take(MAX_NAMED)
        .map(|rival| scene.name(rival.node))
        .collect();
    let who = match rivals.len() - names.len() {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    };
    let verb = if rivals.len() == 1 { "routes" } else { "route" };
    let ways: BTreeSet<String> = rivals.iter().map(|rival| way(rival.route)).collect();
    let way_of_all = ways
        .first()
        .filter(|_| ways.len() == 1)
        .map_or("", String::as_str);
    let detail = format!(
        "{who} {verb} {}{way_of_all}, which overlaps {range} of the cluster's pods or Services",
        first.route.to
    );
    // Without such a route a node, or a session of SSH, is cut off.
    let mut known = addresses(scene).into_iter();
    let carries = known.any(|address| first.route.to.contains(&address));
    let text = match is_connected(first.route) {
        false if carries => {
            "Choose ranges that the site does not use: this route leads to nodes of the cluster, or to whoever audits it."
        }
        true => "Choose ranges that the site does not use: this is a network that the node itself is in.",
        false => {
            "Choose ranges that the site does not use, or take the route out of the network configuration."
        }
    };
    let ruling = |rival: &Rival<'_>| {
        let mut complaint = of_setting(
            rival.node,
            rival.host.line,
            detail.clone(),
            text,
            commands(first.route, carries),
        );
        complaint.cause.kind = CauseKind::AddressOverlap;
        complaint.cause.node = Some(rival.node).filter(|_| rivals.len() == 1);
        Ruling::fail(scene.name(rival.node), complaint)
    };
    rivals.iter().map(ruling).collect()
}

/// A network that the host is in goes with its address only: without its route the host is cut off. What carries packets to nodes
/// is nothing that a command takes away.
fn commands(route: &RouteEntry, carries: bool) -> Vec<String> {
    let ip = if route.to.addr().is_ipv4() { "ip" } else { "ip -6" };
    let show = format!("{ip} route show {}", route.to);
    match is_connected(route) || carries {
        true => vec![show],
        false => vec![show, format!("{ip} route del {}{}", route.to, way(route))],
    }
}

/// The first route that leads elsewhere, for each range that one overlaps.
fn overlaps<'a>(
    scene: &Scene<'_>,
    routes: &'a [RouteEntry],
    ranges: &[IpNet],
) -> Vec<(&'a RouteEntry, IpNet)> {
    let nodes = &scene.inventory.nodes;
    let listed: Vec<IpAddr> = nodes
        .iter()
        .flat_map(|node| node.id.address().into_iter().chain([node.ssh]))
        .collect();
    let defaults: Vec<&RouteEntry> = routes.iter().filter(|route| route.to.prefix_len() == 0).collect();
    let of_range = |range: &IpNet| {
        let is_like_default = |route: &RouteEntry| defaults.iter().any(|default| is_same_way(default, route));
        let mut of_range = routes.iter().filter(|route| {
            is_rival(route, range, &listed) && !(is_wider(route, range) && is_like_default(route))
        });
        Some((of_range.next()?, *range))
    };
    ranges.iter().filter_map(of_range).collect()
}

/// Every address that is known of nodes, of SSH to them, and of whoever else takes part.
fn addresses(scene: &Scene<'_>) -> BTreeSet<IpAddr> {
    let nodes = scene.inventory.nodes.iter();
    let listed = nodes.flat_map(|node| node.id.address().into_iter().chain([node.ssh]));
    let interfaces = scene.plan.participants.iter().flat_map(|who| {
        let facts = scene.facts(*who).ok();
        facts.map_or(&[][..], |facts| &facts.what.interfaces)
    });
    let told = interfaces.flat_map(|interface| &interface.addresses);
    let told = told.filter_map(|address| Some(address.parse::<IpNet>().ok()?.addr()));
    listed
        .chain(told.filter(|address| !address.is_loopback()))
        .collect()
}

/// Whether a route leads addresses of a range elsewhere. A network with a node whose address is in the range is CFG-009's.
fn is_rival(route: &RouteEntry, range: &IpNet, nodes: &[IpAddr]) -> bool {
    let overlaps = range.contains(&route.to) || route.to.contains(range);
    let is_told = || {
        let is_in_both = |address: &IpAddr| route.to.contains(address) && range.contains(address);
        is_connected(route) && nodes.iter().any(is_in_both)
    };
    route.to.prefix_len() > 0 && overlaps && !is_of_cluster(route) && !is_summary(route, range) && !is_told()
}

/// Whether the kernel made it of an address of the host: a network that it is in.
fn is_connected(route: &RouteEntry) -> bool {
    route.protocol == RTPROT_KERNEL && route.hops.iter().all(|hop| hop.via.is_none())
}

/// A summary of private addresses (10.0.0.0/8) around a range is no more than a default route in many sites.
fn is_summary(route: &RouteEntry, range: &IpNet) -> bool {
    let summary = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
    is_wider(route, range) && summary.contains(&route.to.to_string().as_str())
}

fn is_wider(route: &RouteEntry, range: &IpNet) -> bool {
    route.to.prefix_len() < range.prefix_len()
}

/// Whether packets take the way of a default route all the same: a summary of it says nothing new.
fn is_same_way(default: &RouteEntry, route: &RouteEntry) -> bool {
    let is_of_family = default.to.addr().is_ipv4() == route.to.addr().is_ipv4();
    let way = |route: &RouteEntry| -> BTreeSet<(Option<IpAddr>, Option<String>)> {
        let hops = route.hops.iter().map(|hop| (hop.via, hop.device.clone()));
        hops.collect()
    };
    is_of_family && route.forwards && default.forwards && !route.hops.is_empty() && way(default) == way(route)
}

/// What a cluster that was here before, or is here, made for itself.
fn is_of_cluster(route: &RouteEntry) -> bool {
    let devices = [
        "cilium", "lxc", "cni", "flannel", "cali", "docker", "virbr", "kube", "vxlan", "tunl",
    ];
    let is_ours = |device: &str| devices.iter().any(|prefix| device.starts_with(prefix));
    route
        .hops
        .iter()
        .any(|hop| hop.device.as_deref().is_some_and(is_ours))
}

/// `RTPROT_KERNEL` of rtnetlink(7).
const RTPROT_KERNEL: u8 = 2;

/// Nodes that a sentence names.
const MAX_NAMED: usize = 4;

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
    use crate::{
        assumption::l3::tests::on_device,
        errand::Errand,
        evidence::Group,
        observation::Record,
        report::{
            Finding,
            stage::{CP, Stage, node},
        },
    };

    fn route(to: &str, device: &str, protocol: u8) -> RouteEntry {
        RouteEntry {
            protocol,
            ..on_device(to, device)
        }
    }

    #[test]
    fn a_route_inside_or_around_a_range_overlaps_and_the_clusters_own_does_not() {
        let of = |to: &str, device: &str| {
            let range = "192.168.0.0/16".parse().unwrap();
            is_rival(&route(to, device, 4), &range, &[])
        };
        assert!(of("192.168.4.0/24", "eth0"));
        assert!(of("192.0.0.0/8", "eth0"));
        assert!(of("192.168.0.0/16", "eth0"), "the very range");
        assert!(!of("192.168.4.0/24", "cilium_host"));
        assert!(!of("10.62.0.0/24", "eth0"));
        assert!(!of("0.0.0.0/0", "eth0"));
    }

    #[test]
    fn a_summary_is_no_rival_of_narrower_ranges_only() {
        let of = |to: &str, range: &str| is_rival(&route(to, "eth0", 4), &range.parse().unwrap(), &[]);
        assert!(!of("10.0.0.0/8", "10.96.0.0/20"));
        assert!(of("10.0.0.0/8", "10.0.0.0/8"));
    }

    fn stage(routes: &[RouteEntry]) -> Stage {
        let mut stage = Stage::new();
        stage.parameters.groups = vec![Group::L3];
        stage.inventory.pods = vec!["172.16.0.0/16".parse().unwrap()];
        let own = stage.plan.errands.entry(node(CP)).or_default();
        own.push(Errand::Inspect);
        let told = HostSettings {
            routes: Some(routes.to_vec()),
            ..HostSettings::default()
        };
        stage.tells(CP, Record::Host(Box::new(told)))
    }

    fn by(to: &str, router: [u8; 4]) -> RouteEntry {
        let mut route = route(to, "eth0", 4);
        route.hops[0].via = Some(router.into());
        route
    }

    fn told(routes: &[RouteEntry]) -> Vec<Finding> {
        let mut findings = stage(routes).report().findings;
        findings.retain(|finding| finding.check == CHECK.id);
        findings
    }

    #[test]
    fn a_wider_route_by_the_way_of_the_default_route_is_no_rival() {
        let (near, far) = ([10, 0, 0, 254], [10, 0, 0, 253]);
        let default = by("0.0.0.0/0", near);
        assert_eq!(told(&[default.clone(), by("172.16.0.0/13", near)]).len(), 0);
        assert_eq!(told(&[default.clone(), by("172.16.0.0/13", far)]).len(), 1);
        assert_eq!(
            told(&[default, by("172.16.4.0/24", near)]).len(),
            1,
            "it is more narrow"
        );
    }

    #[test]
    fn no_command_takes_a_route_away_that_leads_to_a_node() {
        let is_deleted = |to: &str| {
            let mut stage = stage(&[by(to, [10, 0, 0, 253])]);
            stage.inventory.nodes[3].ssh = [172, 16, 9, 9].into();
            let report = stage.report();
            let told = report.findings.iter().find(|finding| finding.check == CHECK.id);
            let commands = &told.unwrap().fix.commands;
            commands.iter().any(|command| command.contains("route del"))
        };
        assert!(is_deleted("172.16.4.0/24"));
        assert!(!is_deleted("172.16.0.0/13"));
    }

    #[test]
    fn a_network_of_the_host_is_left_to_the_file_where_that_tells_and_is_never_to_be_deleted() {
        let range = "192.168.0.0/16".parse().unwrap();
        let own = route("192.168.4.0/24", "eth0", RTPROT_KERNEL);
        assert!(!is_rival(&own, &range, &["192.168.4.7".parse().unwrap()]));
        assert!(is_rival(&own, &range, &["10.0.0.7".parse().unwrap()]));
        assert_eq!(commands(&own, false), ["ip route show 192.168.4.0/24"]);
        let other = commands(&route("192.168.4.0/24", "eth0", 4), false);
        assert_eq!(other[1], "ip route del 192.168.4.0/24 dev eth0");
    }
}
