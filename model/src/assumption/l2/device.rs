//! L2-001: the device of the data address is sound.

use std::collections::BTreeMap;

use crate::{
    assumption::{Ruling, Scene, inspected::of_setting},
    id::NodeId,
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
    rule: "fails if no interface has the data address, or its interface is down: in a failing row alone where the port matrix has a \
           finding of the node, and as a warning where all that was asked of the node is answered; warns of a member of a bond that \
           is down, of LACP without a partner or with members in different aggregators, and of half duplex",
    remedy: "mend the cable, the transceiver or the port of the switch; agree LACP on both sides",
    source: "Linux bonding.rst; IEEE 802.1AX",
};

/// One ruling a node.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let (told, mut rulings) = scene.inspected();
    for (node, host) in told {
        let name = scene.name(node);
        if let Some(absence) = absence(host.what) {
            rulings.push(absent(scene, node, host.line, &absence));
            continue;
        }
        let faults = faults(host.what);
        let Some((device, _)) = faults.first() else {
            if let Some(interface) = &host.what.data_interface {
                let open = match has_unknown_partner(host.what) {
                    true => "; whether LACP is agreed the kernel does not tell",
                    false => "",
                };
                let detail = format!("the data address of {name} is on {interface}{open}");
                rulings.push(Ruling::pass(name.clone(), detail));
            }
            continue;
        };
        let all: Vec<String> = faults
            .iter()
            .map(|(device, fault)| format!("{device} {fault}"))
            .collect();
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

/// Why nothing can be reached at the data address.
#[derive(Debug, PartialEq, Eq)]
enum Absence<'a> {
    /// No interface has it.
    Address,
    /// This interface has it, and is down.
    Down(&'a str),
}

/// Of a host whose network the kernel told of.
fn absence(host: &HostSettings) -> Option<Absence<'_>> {
    let Some(interface) = host.data_interface.as_deref() else {
        return host.routes.is_some().then_some(Absence::Address);
    };
    let own = host.devices.iter().find(|device| device.name == interface)?;
    (!own.up).then_some(Absence::Down(interface))
}

/// The port matrix tells of a node that nobody reaches, and better by whom: only where it says nothing is it told here.
fn absent(scene: &Scene<'_>, node: NodeId, line: u32, absence: &Absence<'_>) -> Ruling {
    let name = scene.name(node);
    let (detail, text, commands) = match absence {
        Absence::Address => (
            format!("no interface of {name} has its data address {node}"),
            "Give the interface of the data network this address, in the network configuration too; or mend the address in the \
             cluster file.",
            vec!["ip address show".to_owned()],
        ),
        Absence::Down(interface) => (
            format!("{interface}, which has the data address of {name}, is down or has no carrier"),
            "Set the interface up, and look at the cable and the port of the switch.",
            vec![
                format!("ip -d -s link show dev {interface}"),
                format!("ip link set dev {interface} up"),
            ],
        ),
    };
    let cells = scene
        .pairs
        .iter()
        .filter(|pair| pair.src == node || pair.dst == node)
        .flat_map(|pair| &pair.cells);
    let (is_asked, is_broken) = cells.fold((false, false), |(_, broken), cell| {
        (true, broken || !cell.outcome.is_open())
    });
    if is_broken {
        return Ruling::told(name, detail);
    }
    let complaint = of_setting(node, line, detail, text, commands);
    match is_asked {
        true => Ruling::warn(name, complaint),
        false => Ruling::fail(name, complaint),
    }
}

/// What is wrong, device by device.
fn faults(host: &HostSettings) -> Vec<(&str, String)> {
    let mut faults = Vec::new();
    for device in &host.devices {
        faults.extend(fault(device).map(|fault| (device.name.as_str(), fault)));
        faults.extend(split(host, device).map(|fault| (device.name.as_str(), fault)));
    }
    faults
}

fn is_of_lacp(device: &Device) -> bool {
    device.bond.as_ref().is_some_and(|bond| bond.mode == "802.3ad")
}

fn has_unknown_partner(host: &HostSettings) -> bool {
    let told = |device: &Device| device.bond.as_ref().is_some_and(|bond| bond.partner.is_some());
    let mut bonds = host.devices.iter().filter(|device| is_of_lacp(device));
    bonds.any(|bond| !told(bond))
}

/// A bond of LACP sends by one aggregator at a time (bonding.rst, `ad_select`): members of another one have a link, and are idle.
fn split(host: &HostSettings, bond: &Device) -> Option<String> {
    if !is_of_lacp(bond) {
        return None;
    }
    let of_bond = host
        .devices
        .iter()
        .filter(|device| device.master.as_ref() == Some(&bond.name));
    let mut members: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for device in of_bond {
        let working = device.member.as_ref().filter(|member| member.link_up);
        if let Some(aggregator) = working.and_then(|member| member.aggregator) {
            members.entry(aggregator).or_default().push(&device.name);
        }
    }
    let apart: Vec<String> = members.values().map(|names| names.join(" and ")).collect();
    (apart.len() > 1).then(|| {
        format!(
            "bundles members that LACP keeps apart ({}), so that only one part of them carries packets: their ports are on switches \
             that are no pair, or in different channels",
            apart.join("; ")
        )
    })
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
    fn an_address_that_nothing_has_and_an_interface_that_is_down_are_no_sound_device() {
        let of = |interface: Option<&str>, up: bool| {
            let device = Device {
                name: "eth0".to_owned(),
                up,
                ..Device::default()
            };
            let host = HostSettings {
                data_interface: interface.map(str::to_owned),
                devices: vec![device],
                routes: Some(Vec::new()),
                ..HostSettings::default()
            };
            absence(&host).map(|absence| format!("{absence:?}"))
        };
        assert_eq!(of(Some("eth0"), true), None);
        assert_eq!(of(Some("eth0"), false).as_deref(), Some("Down(\"eth0\")"));
        assert_eq!(of(None, true).as_deref(), Some("Address"));
        assert_eq!(
            absence(&HostSettings::default()),
            None,
            "the kernel told nothing of its network"
        );
    }

    #[test]
    fn a_device_that_is_down_fails_where_nothing_else_tells() {
        use crate::report::{
            Status,
            stage::{CP, Stage, node},
        };
        let down = Absence::Down("eth0");
        let ruling = Stage::new().looked_at(|scene| absent(scene, node(CP), 1, &down));
        assert_eq!(ruling.status(), Status::Fail);
    }

    #[test]
    fn members_of_different_aggregators_do_not_work_together() {
        let of = |aggregators: [(bool, Option<u16>); 2], mode: &str| {
            let member = |(name, (link_up, aggregator)): (&str, (bool, Option<u16>))| Device {
                name: name.to_owned(),
                master: Some("bond0".to_owned()),
                member: Some(BondMember { link_up, aggregator }),
                ..Device::default()
            };
            let bond = Device {
                name: "bond0".to_owned(),
                bond: Some(Bond {
                    mode: mode.to_owned(),
                    partner: Some("00:1c:73:00:00:01".to_owned()),
                }),
                ..Device::default()
            };
            let members = ["eth0", "eth1"].into_iter().zip(aggregators).map(member);
            let host = HostSettings {
                devices: members.chain([bond]).collect(),
                ..HostSettings::default()
            };
            faults(&host)
                .into_iter()
                .find(|(device, _)| *device == "bond0")
                .map(|(_, fault)| fault)
        };
        assert_eq!(of([(true, Some(1)), (true, Some(1))], "802.3ad"), None);
        let apart = of([(true, Some(1)), (true, Some(2))], "802.3ad").unwrap();
        assert!(apart.contains("(eth0; eth1)"), "{apart}");
        assert_eq!(
            of([(true, Some(1)), (false, Some(2))], "802.3ad"),
            None,
            "that it is down is told"
        );
        assert_eq!(of([(true, Some(1)), (true, None)], "802.3ad"), None);
        assert_eq!(of([(true, Some(1)), (true, Some(2))], "active-backup"), None);
    }

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
