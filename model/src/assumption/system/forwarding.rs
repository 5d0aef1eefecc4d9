//! SYS-001: a node of a running cluster forwards packets.

use std::collections::BTreeSet;

use crate::{
    assumption::{Ruling, Scene, inspected::of_setting},
    observation::HostSettings,
    port::Family,
    report::check::Check,
};

/// A node of a running cluster forwards packets.
pub(crate) const CHECK: Check = Check {
    id: "SYS-001",
    asserts: "a node on which Kubernetes runs forwards packets of the families of the cluster",
    how: "net.ipv4.ip_forward and net.ipv6.conf.all.forwarding on each node; nothing is changed",
    needs: "nothing",
    rule: "fails on a live node if it does not forward; on a bare node the installer sets it, and its row says how it stands; nodes \
           that are a part of a machine are not judged",
    remedy: "sysctl -w net.ipv4.ip_forward=1, and the same in a file of sysctl.d that nothing later overrides",
    source: "Linux ip-sysctl.rst; Kubernetes: container runtimes, network configuration",
};

/// One ruling a node whose settings told.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let (told, mut rulings) = scene.inspected();
    let families = scene.inventory.families();
    for (node, host) in told {
        let name = scene.name(node);
        if !scene.is_machine(node, host.what)
            || !host.what.sysctls.contains_key(IPV4) && !host.what.sysctls.contains_key(IPV6)
        {
            continue;
        }
        rulings.push(match off(host.what, &families) {
            None => Ruling::pass(name.clone(), format!("{name} forwards packets")),
            Some(_) if !scene.ledger.is_live(node) => Ruling::pass(
                name.clone(),
                format!("{name} does not forward packets yet, which the installation changes"),
            ),
            Some(setting) => Ruling::fail(
                name.clone(),
                of_setting(
                    node,
                    host.line,
                    format!("{name} runs Kubernetes and forwards no packets ({setting} is 0): its pods reach nobody"),
                    "Switch it on, at once and in the file that switches it off.",
                    vec![
                        format!("sysctl -w {setting}=1"),
                        format!("grep -rn {setting} /etc/sysctl.conf /etc/sysctl.d"),
                    ],
                ),
            ),
        });
    }
    rulings
}

/// The setting that is off.
fn off(host: &HostSettings, families: &BTreeSet<Family>) -> Option<&'static str> {
    let is_off = |name: &&str| host.sysctls.get(*name).is_some_and(|value| value == "0");
    let mut settings = families.iter().map(|family| match family {
        Family::Ipv4 => IPV4,
        Family::Ipv6 => IPV6,
    });
    settings.find(is_off)
}

const IPV4: &str = "net.ipv4.ip_forward";
const IPV6: &str = "net.ipv6.conf.all.forwarding";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_families_of_the_cluster_are_looked_at() {
        let of = |ipv4: &str, ipv6: &str, families: &[Family]| {
            let host = HostSettings {
                sysctls: [
                    (IPV4.to_owned(), ipv4.to_owned()),
                    (IPV6.to_owned(), ipv6.to_owned()),
                ]
                .into(),
                ..HostSettings::default()
            };
            off(&host, &families.iter().copied().collect())
        };
        let both = [Family::Ipv4, Family::Ipv6];
        assert_eq!(of("1", "0", &both[..1]), None);
        assert_eq!(of("0", "1", &both[1..]), None, "a cluster of IPv6 alone");
        assert_eq!(of("1", "0", &both), Some(IPV6));
        assert_eq!(of("0", "1", &both), Some(IPV4));
        assert_eq!(of("1", "1", &both), None);
    }
}
