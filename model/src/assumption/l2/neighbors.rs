//! L2-009: the neighbour tables have room.

use super::survey::data_interface;
use crate::{
    assumption::{Ruling, Scene, inspected::of_setting},
    id::NodeId,
    observation::HostSettings,
    port::Family,
    report::check::Check,
};

/// The neighbour tables have room.
pub(crate) const CHECK: Check = Check {
    id: "L2-009",
    asserts: "a node's neighbour tables have room for twice as many hosts as it has on its links",
    how: "net.ipv4.neigh.default.gc_thresh3 and its IPv6 twin against the entries of the tables and the cluster's nodes in the \
          node's own subnet; nothing is sent",
    needs: "nothing",
    rule: "warns below twice the greater of the two numbers; kernels tell the limit in the machine's own namespace alone",
    remedy: "sysctl -w net.ipv4.neigh.default.gc_thresh3=8192, and the same in a file of sysctl.d",
    source: "arp(7): beyond gc_thresh3 new neighbours are refused",
};

/// One ruling a node that told its limit.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let (told, mut rulings) = scene.inspected();
    for (node, host) in told {
        let name = scene.name(node);
        if !host.what.sysctls.contains_key(LIMITS[0]) {
            continue;
        }
        rulings.push(match tight(host.what, nodes_beside(scene, node)) {
            None => Ruling::pass(name.clone(), format!("the neighbour tables of {name} have room")),
            Some((limit, most, hosts)) => Ruling::warn(
                name.clone(),
                of_setting(
                    node,
                    host.line,
                    format!("{limit} is {most} on {name}, which has {hosts} hosts on its links: beyond it none is reached"),
                    "Raise it, at once and in a file of sysctl.d.",
                    vec![format!("sysctl -w {limit}={}", hosts.saturating_mul(4).max(8192))],
                ),
            ),
        });
    }
    rulings
}

/// How many nodes share a subnet with one, over IPv4 and over IPv6.
fn nodes_beside(scene: &Scene<'_>, node: NodeId) -> [u32; 2] {
    [Family::Ipv4, Family::Ipv6].map(|family| {
        let Some((_, subnet)) = data_interface(scene, node, family) else {
            return 0;
        };
        let address = |other: NodeId| {
            let listed = || other.address().filter(|address| Family::of(*address) == family);
            scene.ledger.data_address(other, family).or_else(listed)
        };
        let addresses = scene.inventory.nodes.iter().filter_map(|other| address(other.id));
        let beside = addresses.filter(|address| subnet.contains(address)).count();
        u32::try_from(beside).unwrap_or(u32::MAX)
    })
}

/// The limit that is less than twice what there is, with what it is and what there is.
fn tight(host: &HostSettings, nodes: [u32; 2]) -> Option<(&'static str, u32, u32)> {
    let entries = host.neighbors.unwrap_or_default();
    LIMITS
        .into_iter()
        .zip([entries.ipv4, entries.ipv6])
        .zip(nodes)
        .find_map(|((limit, entries), nodes)| {
            let most: u32 = host.sysctls.get(limit)?.parse().ok()?;
            let hosts = entries.max(nodes);
            (most < hosts.saturating_mul(2)).then_some((limit, most, hosts))
        })
}

const LIMITS: [&str; 2] = [
    "net.ipv4.neigh.default.gc_thresh3",
    "net.ipv6.neigh.default.gc_thresh3",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::NeighborEntries;

    #[test]
    fn a_limit_is_tight_below_twice_the_hosts() {
        let of = |most: &str, entries: u32, nodes: u32| {
            let host = HostSettings {
                sysctls: [(LIMITS[0].to_owned(), most.to_owned())].into(),
                neighbors: Some(NeighborEntries {
                    ipv4: entries,
                    ipv6: 0,
                }),
                ..HostSettings::default()
            };
            tight(&host, [nodes, 0]).is_some()
        };
        assert!(!of("1024", 40, 9));
        assert!(of("1024", 600, 9));
        assert!(of("1024", 0, 513));
        assert!(!of("1024", 0, 512));
        assert!(!of("much", 600, 9));
    }

    #[test]
    fn nodes_behind_routers_are_no_neighbours() {
        use crate::report::stage::{CP, Stage, node};
        let beside = Stage::new().looked_at(|scene| nodes_beside(scene, node(CP)));
        assert_eq!(beside, [2, 0], "of four, two are in its subnet");
    }
}
