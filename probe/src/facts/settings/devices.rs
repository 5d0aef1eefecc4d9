//! The data interface and what it stands on, with what each counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use plumbline_model::observation::{Bond, BondMember, Device, DeviceCounters};
use plumbline_sys::{
    ethtool::Ethtool,
    route::{self, Address, OperState, Statistics},
};

use super::root::sanitised;

/// The index of the interface that has an address.
pub(super) fn of_address(address: IpAddr, own: &[Address]) -> Option<u32> {
    own.iter().find(|own| own.address == address).map(|own| own.link)
}

/// An interface and all that is under it, by name.
pub(super) fn devices(data: u32, all: &[route::Device]) -> Vec<Device> {
    let names: BTreeMap<u32, &str> = all
        .iter()
        .map(|device| (device.link.index, device.link.name.as_str()))
        .collect();
    let ethtool = Ethtool::open().ok();
    let under = stack(data, all);
    let of_stack = all.iter().filter(|device| under.contains(&device.link.index));
    let mut devices: Vec<Device> = of_stack
        .map(|device| {
            let mut told = told(device, &names);
            if let Some(ethtool) = &ethtool {
                ask_driver(&mut told, ethtool);
            }
            told
        })
        .collect();
    devices.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    devices
}

/// By how much the counters of devices have grown since.
pub(super) fn count_again(devices: &mut [Device], all: &[route::Device]) {
    for device in devices {
        let now = all
            .iter()
            .find(|now| now.link.name == device.name)
            .and_then(|now| now.statistics);
        device.grown = device
            .counters
            .zip(now)
            .and_then(|(before, now)| grown(&before, &counters(&now)));
    }
}

/// The device, the one that it stands on, and the members of a bond or a bridge; of a bridge those alone that are no pods'.
fn stack(data: u32, all: &[route::Device]) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut open = vec![data];
    while let Some(index) = open.pop() {
        if found.len() >= MAX_DEVICES || !found.insert(index) {
            continue;
        }
        let Some(device) = all.iter().find(|device| device.link.index == index) else {
            continue;
        };
        // A veth's other end is in another namespace, where the same number is something else.
        open.extend(
            device
                .lower
                .filter(|_| device.link.kind.as_deref() != Some("veth")),
        );
        let is_pods = |member: &&route::Device| matches!(member.link.kind.as_deref(), Some("veth" | "tun"));
        let members = all.iter().filter(|member| member.link.master == Some(index));
        open.extend(
            members
                .filter(|member| !is_pods(member))
                .map(|member| member.link.index),
        );
    }
    found
}

fn told(device: &route::Device, names: &BTreeMap<u32, &str>) -> Device {
    let link = &device.link;
    let name_of = |index: u32| names.get(&index).map(|name| sanitised(name));
    let is_veth = link.kind.as_deref() == Some("veth");
    Device {
        name: sanitised(&link.name),
        kind: link.kind.as_deref().map(sanitised),
        mac: link.mac.map(mac),
        mtu: link.mtu,
        up: link.up && link.running && !matches!(link.state, OperState::Down | OperState::LowerLayerDown),
        master: link.master.and_then(name_of),
        over: device.lower.filter(|_| !is_veth).and_then(name_of),
        vlan: device.vlan,
        bond: device.bond.map(|bond| Bond {
            mode: BOND_MODES
                .get(usize::from(bond.mode))
                .map_or_else(|| bond.mode.to_string(), |mode| (*mode).to_owned()),
            partner: bond.partner.map(mac),
        }),
        member: device.member.map(|member| BondMember {
            link_up: member.link_up,
            aggregator: member.aggregator,
        }),
        counters: device.statistics.as_ref().map(counters),
        ..Device::default()
    }
}

fn ask_driver(device: &mut Device, ethtool: &Ethtool) {
    device.driver = ethtool
        .driver(&device.name)
        .ok()
        .map(|driver| sanitised(&driver))
        .filter(|driver| !driver.is_empty());
    if let Ok(rate) = ethtool.rate(&device.name) {
        // What a driver of no hardware claims (veth: 10 Gbit/s) says nothing.
        let is_hardware = device.kind.is_none();
        device.speed_mbps = rate.mbps.filter(|_| is_hardware);
        device.half_duplex = rate.half_duplex.filter(|_| is_hardware);
    }
    let features = ethtool.features(&device.name).unwrap_or_default();
    device.offloads = features
        .into_iter()
        .filter(|(name, _)| name.starts_with("tx-udp_tnl-"))
        .map(|(name, is_on)| (sanitised(&name), is_on))
        .collect();
}

fn counters(statistics: &Statistics) -> DeviceCounters {
    DeviceCounters {
        rx_packets: statistics.rx_packets,
        tx_packets: statistics.tx_packets,
        rx_errors: statistics.rx_errors,
        rx_crc_errors: statistics.rx_crc_errors,
        rx_missed: statistics.rx_missed_errors,
        rx_dropped: statistics.rx_dropped,
        tx_errors: statistics.tx_errors,
        tx_dropped: statistics.tx_dropped,
        collisions: statistics.collisions,
        carrier_losses: statistics.tx_carrier_errors,
    }
}

/// `None` if a counter went backwards: the driver was loaded anew.
fn grown(before: &DeviceCounters, now: &DeviceCounters) -> Option<DeviceCounters> {
    let by = |of: fn(&DeviceCounters) -> u64| of(now).checked_sub(of(before));
    Some(DeviceCounters {
        rx_packets: by(|counters| counters.rx_packets)?,
        tx_packets: by(|counters| counters.tx_packets)?,
        rx_errors: by(|counters| counters.rx_errors)?,
        rx_crc_errors: by(|counters| counters.rx_crc_errors)?,
        rx_missed: by(|counters| counters.rx_missed)?,
        rx_dropped: by(|counters| counters.rx_dropped)?,
        tx_errors: by(|counters| counters.tx_errors)?,
        tx_dropped: by(|counters| counters.tx_dropped)?,
        collisions: by(|counters| counters.collisions)?,
        carrier_losses: by(|counters| counters.carrier_losses)?,
    })
}

fn mac(octets: [u8; 6]) -> String {
    octets.map(|octet| format!("{octet:02x}")).join(":")
}

/// A bond has two members, some eight.
const MAX_DEVICES: usize = 32;
/// The kernel's documentation, bonding.rst, by number.
const BOND_MODES: [&str; 7] = [
    "balance-rr",
    "active-backup",
    "balance-xor",
    "broadcast",
    "802.3ad",
    "balance-tlb",
    "balance-alb",
];

#[cfg(test)]
mod tests {
    use plumbline_sys::route::Link;

    use super::*;

    fn device(
        index: u32,
        name: &str,
        kind: Option<&str>,
        master: Option<u32>,
        lower: Option<u32>,
    ) -> route::Device {
        route::Device {
            link: Link {
                index,
                name: name.to_owned(),
                mtu: 1500,
                mac: Some([2, 0, 0, 0, 0, 1]),
                up: true,
                running: true,
                state: OperState::Up,
                loopback: false,
                kind: kind.map(str::to_owned),
                master,
            },
            lower,
            vlan: (kind == Some("vlan")).then_some(40),
            bond: (kind == Some("bond")).then_some(route::Bond {
                mode: 4,
                partner: Some([0; 6]),
            }),
            member: None,
            statistics: Some(Statistics {
                rx_packets: 10,
                ..Statistics::default()
            }),
        }
    }

    #[test]
    fn a_vlan_on_a_bond_stands_on_the_bond_and_its_members() {
        let all = [
            device(1, "eno1", None, Some(3), None),
            device(2, "eno2", None, Some(3), None),
            device(3, "bond0", Some("bond"), None, None),
            device(4, "bond0.40", Some("vlan"), None, Some(3)),
            device(5, "eno3", None, None, None),
        ];
        let names: Vec<String> = devices(4, &all).into_iter().map(|device| device.name).collect();
        assert_eq!(names, ["bond0", "bond0.40", "eno1", "eno2"]);
        let bond = &devices(4, &all)[0];
        assert_eq!(bond.bond.as_ref().map(|bond| bond.mode.as_str()), Some("802.3ad"));
        assert_eq!(devices(4, &all)[1].over.as_deref(), Some("bond0"));
    }

    #[test]
    fn pods_on_a_bridge_are_none_of_ours_and_a_ring_of_devices_ends() {
        let all = [
            device(1, "br0", Some("bridge"), None, None),
            device(2, "eno1", None, Some(1), None),
            device(3, "veth1", Some("veth"), Some(1), Some(1)),
            device(4, "a", Some("vlan"), None, Some(5)),
            device(5, "b", Some("vlan"), None, Some(4)),
        ];
        assert_eq!(stack(1, &all), BTreeSet::from([1, 2]));
        assert_eq!(stack(4, &all), BTreeSet::from([4, 5]));
    }

    #[test]
    fn counters_are_compared_and_a_driver_loaded_anew_is_not_known() {
        let all = [device(1, "eno1", None, None, None)];
        let mut begun = devices(1, &all);
        let mut later = all.clone();
        later[0].statistics = Some(Statistics {
            rx_packets: 25,
            rx_crc_errors: 2,
            ..Statistics::default()
        });
        count_again(&mut begun, &later);
        let grown = begun[0].grown.unwrap();
        assert_eq!(
            (grown.rx_packets, grown.rx_crc_errors, grown.tx_errors),
            (15, 2, 0)
        );
        later[0].statistics = Some(Statistics::default());
        count_again(&mut begun, &later);
        assert_eq!(begun[0].grown, None);
        count_again(&mut begun, &[]);
        assert_eq!(begun[0].grown, None);
    }
}
