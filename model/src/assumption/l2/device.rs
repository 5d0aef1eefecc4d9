//! L2-001: the device of the data address is sound.

use crate::{
    assumption::{Ruling, Scene, inspected::of_setting},
    observation::{Device, HostSettings},
    report::check::Check,
};

/// The device of the data address is sound.
pub(crate) const CHECK: Check = Check {
    id: "L2-001",
    asserts: "the data address is on a device that is up, whose bond members all work, with LACP agreed and full duplex",
    how: "netlink and SIOCETHTOOL on each node: the data interface and what it stands on (bond members, the device under a VLAN, \
          ports of a bridge); nothing is sent",
    needs: "nothing",
    rule: "warns of a member of a bond that is down, of LACP without a partner, and of half duplex; a missing address and a device \
           that is down fail as what they break",
    remedy: "mend the cable, the transceiver or the port of the switch; agree LACP on both sides",
    source: "Linux bonding.rst; IEEE 802.1AX",
};

/// One ruling a node.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let (told, mut rulings) = scene.inspected();
    for (node, host) in told {
        let name = scene.name(node);
        let faults = faults(host.what);
        let Some((device, fault)) = faults.first() else {
            if let Some(interface) = &host.what.data_interface {
                rulings.push(Ruling::pass(
                    name.clone(),
                    format!("the data address of {name} is on {interface}"),
                ));
            }
            continue;
        };
        let all: Vec<String> = faults
            .iter()
            .map(|(device, fault)| format!("{device} {fault}"))
            .collect();
        let _ = fault;
        let complaint = of_setting(
            node,
            host.line,
            format!("on {name}, {}", all.join(", ")),
            "Look at the cable, the transceiver, the port of the switch and its LACP settings.",
            vec![
                format!("ip -d -s link show dev {device}"),
                format!("ethtool {device}"),
            ],
        );
        rulings.push(Ruling::warn(name, complaint));
    }
    rulings
}

/// What is wrong, device by device.
fn faults(host: &HostSettings) -> Vec<(&str, String)> {
    let mut faults = Vec::new();
    for device in &host.devices {
        faults.extend(fault(device).map(|fault| (device.name.as_str(), fault)));
    }
    faults
}

fn fault(device: &Device) -> Option<String> {
    let has_no_partner = device
        .bond
        .as_ref()
        .is_some_and(|bond| bond.mode == "802.3ad" && bond.partner.as_deref() == Some("00:00:00:00:00:00"));
    if device.member.as_ref().is_some_and(|member| !member.link_up) {
        return Some("is a member of a bond and has no link".to_owned());
    }
    if has_no_partner {
        return Some("asks for LACP, and no switch answers".to_owned());
    }
    (device.up && device.half_duplex == Some(true)).then(|| "runs half duplex".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::{Bond, BondMember};

    #[test]
    fn a_bond_member_without_link_lacp_without_partner_and_half_duplex_are_told() {
        let device = |change: fn(&mut Device)| {
            let mut device = Device {
                name: "x".to_owned(),
                up: true,
                ..Device::default()
            };
            change(&mut device);
            fault(&device).unwrap_or_default()
        };
        assert_eq!(device(|_| {}), "");
        let member = device(|device| {
            device.member = Some(BondMember {
                link_up: false,
                aggregator: None,
            })
        });
        assert!(member.contains("no link"));
        let bond = |mode: &str, partner: &str| Bond {
            mode: mode.to_owned(),
            partner: Some(partner.to_owned()),
        };
        let mut of_bond = Device {
            bond: Some(bond("802.3ad", "00:00:00:00:00:00")),
            ..Device::default()
        };
        assert!(fault(&of_bond).is_some_and(|fault| fault.contains("LACP")));
        of_bond.bond = Some(bond("802.3ad", "00:1c:73:00:00:01"));
        assert_eq!(fault(&of_bond), None);
        of_bond.bond = Some(bond("active-backup", "00:00:00:00:00:00"));
        assert_eq!(fault(&of_bond), None);
        assert!(device(|device| device.half_duplex = Some(true)).contains("half duplex"));
        assert_eq!(device(|device| device.half_duplex = Some(false)), "");
    }
}
