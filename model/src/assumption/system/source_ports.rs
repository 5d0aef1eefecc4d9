//! SYS-007: source ports do not run out.

use crate::{
    assumption::{Ruling, Scene, inspected::of_setting},
    observation::HostSettings,
    report::check::Check,
};

/// Source ports do not run out.
pub(crate) const CHECK: Check = Check {
    id: "SYS-007",
    asserts: "no destination takes most of the source ports that a node has for it",
    how: "TCP connections of /proc/net/tcp and tcp6 by destination, against net.ipv4.ip_local_port_range",
    needs: "nothing",
    rule: "warns if seven tenths of the ports are taken by connections to one address and port: what pods open there goes out by \
           the same ports",
    remedy: "let clients keep their connections, spread what they ask for over more addresses, or give egress more of its own",
    source: "Linux ip-sysctl.rst; Cilium masquerades pods to 32768-65535 of the node's address",
};

/// One ruling a node whose connections are known.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let (told, mut rulings) = scene.inspected();
    for (node, host) in told {
        let name = scene.name(node);
        let Some((busiest, ports)) = host.what.busiest.zip(ports(host.what)) else {
            continue;
        };
        let said = format!(
            "{name} has {} connections to {} port {}, for which it has {ports} source ports",
            busiest.connections, busiest.address, busiest.port
        );
        let is_tight = u64::from(busiest.connections) * 100 >= u64::from(ports) * TIGHT_PERCENT;
        rulings.push(if is_tight {
            Ruling::warn(
                name,
                of_setting(
                    node,
                    host.line,
                    said,
                    "Let clients keep their connections, or spread what they ask for over more addresses.",
                    vec![format!("ss -tanp dst {}", busiest.address)],
                ),
            )
        } else {
            Ruling::pass(name, said)
        });
    }
    rulings
}

/// How many ports the kernel chooses from.
fn ports(host: &HostSettings) -> Option<u32> {
    let range = host.sysctls.get("net.ipv4.ip_local_port_range")?;
    let (first, last) = range.split_once(' ')?;
    let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
    Some(last.checked_sub(first)? + 1)
}

const TIGHT_PERCENT: u64 = 70;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_of_a_range_are_counted() {
        let of = |range: &str| {
            let sysctls = [("net.ipv4.ip_local_port_range".to_owned(), range.to_owned())];
            ports(&HostSettings {
                sysctls: sysctls.into(),
                ..HostSettings::default()
            })
        };
        assert_eq!(of("32768 60999"), Some(28_232));
        assert_eq!(of("60999 32768"), None);
        assert_eq!(of("x"), None);
    }
}
