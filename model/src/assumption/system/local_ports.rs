//! PORT-007: source ports are none that services need.

use std::ops::RangeInclusive;

use crate::{
    assumption::{Ruling, Scene, inspected::of_setting},
    id::NodeId,
    observation::HostSettings,
    port::{PortRange, PortSet},
    profile::{Destination, Rule},
    report::check::Check,
};

/// Source ports are none that services need.
pub(crate) const CHECK: Check = Check {
    id: "PORT-007",
    asserts: "the ports from which a node's connections leave are none of those that its services or NodePorts need",
    how: "net.ipv4.ip_local_port_range and ip_local_reserved_ports on each node, against the tables of the profile; nothing is sent",
    needs: "nothing",
    rule: "warns if a port of the tables is in the range and not reserved: a connection may have it when the service starts",
    remedy: "sysctl -w net.ipv4.ip_local_port_range='32768 60999', or reserve the ports, and the same in a file of sysctl.d",
    source: "Linux ip-sysctl.rst; RFC 6335 section 6",
};

/// One ruling a node that told its range.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let (told, mut rulings) = scene.inspected();
    for (node, host) in told {
        let name = scene.name(node);
        let Some(range) = range(host.what) else { continue };
        let (first, last) = (range.first(), range.last());
        let free = needed(scene, node).intersection(&PortSet::from(range));
        let reserved = reserved(host.what);
        let exposed: PortSet = free.iter().filter(|port| !reserved.contains(*port)).collect();
        if exposed.is_empty() {
            let detail =
                format!("connections of {name} leave from {first}-{last}, and none of these ports is needed");
            rulings.push(Ruling::pass(name, detail));
            continue;
        }
        let complaint = of_setting(
            node,
            host.line,
            format!(
                "connections of {name} leave from {first}-{last}, among which are ports that services need: {}",
                exposed.in_brief()
            ),
            "Let the range begin above the ports of services and NodePorts, or reserve these.",
            commands(&exposed, reserved),
        );
        rulings.push(Ruling::warn(name, complaint));
    }
    rulings
}

/// The usual range, where it leaves out all that is needed; and the reservation, which replaces the one that there is.
fn commands(exposed: &PortSet, reserved: PortSet) -> Vec<String> {
    let is_mended = exposed.iter().all(|port| !USUAL.contains(&port));
    let range = format!("sysctl -w {RANGE}='{} {}'", USUAL.start(), USUAL.end());
    let mut all = reserved;
    all.extend(exposed);
    let reserve = format!("sysctl -w {RESERVED}={all}");
    is_mended.then_some(range).into_iter().chain([reserve]).collect()
}

/// The ports on which others reach a node by the tables in force.
fn needed(scene: &Scene<'_>, node: NodeId) -> PortSet {
    let inventory = scene.inventory;
    let Some(known) = inventory.node(node) else {
        return PortSet::new();
    };
    let is_of_node = |rule: &&Rule| match rule.destination {
        Destination::ListedNodes => rule.listed.contains(&node),
        destination => known.roles.iter().any(|role| destination.includes(*role)),
    };
    let rules = scene.profiles.iter().flat_map(|profile| &profile.rules);
    rules
        .filter(|rule| rule.applies_to(inventory.version.minor()) && rule.holds_for(inventory))
        .filter(is_of_node)
        .flat_map(|rule| rule.ports_in(inventory).ranges().to_vec())
        .fold(PortSet::new(), |mut all, range| {
            all.insert(range);
            all
        })
}

fn range(host: &HostSettings) -> Option<PortRange> {
    let (first, last) = host.sysctls.get(RANGE)?.split_once(' ')?;
    format!("{first}-{last}").parse().ok()
}

/// `8080,9148-9150`; empty for none.
fn reserved(host: &HostSettings) -> PortSet {
    let text = host.sysctls.get(RESERVED).map_or("", String::as_str);
    text.parse().unwrap_or_default()
}

const RANGE: &str = "net.ipv4.ip_local_port_range";
/// The kernel's own default.
const USUAL: RangeInclusive<u16> = 32_768..=60_999;
const RESERVED: &str = "net.ipv4.ip_local_reserved_ports";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_range_is_advised_where_it_mends_and_reserved_ports_stay_reserved() {
        let of = |exposed: &str, reserved: &str| {
            commands(&exposed.parse().unwrap(), reserved.parse().unwrap_or_default())
        };
        let both = of("30000-32767", "8080");
        assert_eq!(both[0], "sysctl -w net.ipv4.ip_local_port_range='32768 60999'");
        assert_eq!(
            both[1],
            "sysctl -w net.ipv4.ip_local_reserved_ports=8080,30000-32767"
        );
        assert_eq!(
            of("51820", ""),
            ["sysctl -w net.ipv4.ip_local_reserved_ports=51820"]
        );
    }

    #[test]
    fn range_and_reserved_ports_are_read_as_the_kernel_writes_them() {
        let of = |range: &str, reserved: &str| HostSettings {
            sysctls: [
                (RANGE.to_owned(), range.to_owned()),
                (RESERVED.to_owned(), reserved.to_owned()),
            ]
            .into(),
            ..HostSettings::default()
        };
        let host = of("10000 60999", "30000-32767,40000");
        assert_eq!(
            range(&host).map(|range| (range.first(), range.last())),
            Some((10_000, 60_999))
        );
        assert!(reserved(&host).contains(40_000));
        assert!(reserved(&of("1 2", "")).is_empty());
        assert!(range(&of("60999", "")).is_none());
    }
}
