//! SYS-005: network cards do not break tunnels that they help with.

use crate::{
    assumption::{Ruling, Scene, inspected::of_setting},
    observation::Device,
    report::check::Check,
};

/// Network cards do not break tunnels that they help with.
pub(crate) const CHECK: Check = Check {
    id: "SYS-005",
    asserts: "no node has a card whose driver is known to break the tunnels whose segments it makes",
    how: "SIOCETHTOOL on each node: driver and tx-udp_tnl-* of the data interface and of what it stands on",
    needs: "nothing",
    rule: "warns of vmxnet3 with tx-udp_tnl-segmentation or tx-udp_tnl-csum-segmentation switched on",
    remedy: "ethtool -K DEVICE tx-udp_tnl-segmentation off tx-udp_tnl-csum-segmentation off, at each start",
    source: "Cilium and VMware: vmxnet3 drops or damages GENEVE and VXLAN on ports that the hypervisor does not know",
};

/// One ruling a node whose devices have a driver.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let (told, mut rulings) = scene.inspected();
    for (node, host) in told {
        let name = scene.name(node);
        let cards: Vec<&Device> = host
            .what
            .devices
            .iter()
            .filter(|device| device.kind.is_none() && device.driver.is_some())
            .collect();
        if cards.is_empty() {
            continue;
        }
        let bad: Vec<&str> = cards
            .iter()
            .filter(|card| is_bad(card))
            .map(|card| card.name.as_str())
            .collect();
        if bad.is_empty() {
            let drivers: Vec<&str> = cards.iter().filter_map(|card| card.driver.as_deref()).collect();
            let detail = format!(
                "nothing is known against the drivers of {name} ({})",
                drivers.join(", ")
            );
            rulings.push(Ruling::pass(name, detail));
            continue;
        }
        let complaint = of_setting(
            node,
            host.line,
            format!(
                "{} of {name} is driven by vmxnet3, which makes the segments of tunnels and is known to damage them",
                bad.join(", ")
            ),
            "Switch it off at each start, where the network configuration of this host is.",
            bad.iter()
                .map(|device| {
                    format!(
                        "ethtool -K {device} tx-udp_tnl-segmentation off tx-udp_tnl-csum-segmentation off"
                    )
                })
                .collect(),
        );
        rulings.push(Ruling::warn(name, complaint));
    }
    rulings
}

fn is_bad(card: &Device) -> bool {
    card.driver.as_deref() == Some("vmxnet3") && card.offloads.values().any(|is_on| *is_on)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_driver_with_its_help_switched_on_is_bad() {
        let of = |driver: &str, is_on| {
            is_bad(&Device {
                driver: Some(driver.to_owned()),
                offloads: [("tx-udp_tnl-segmentation".to_owned(), is_on)].into(),
                ..Device::default()
            })
        };
        assert!(of("vmxnet3", true));
        assert!(!of("vmxnet3", false));
        assert!(!of("ixgbe", true));
    }
}
