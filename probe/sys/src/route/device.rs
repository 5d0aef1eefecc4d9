//! What a device stands on, and what it counted: bonds and their members, VLANs, statistics.

use super::{Error, IFINFOMSG_BYTES, Link, Network, link, read};
use crate::netlink::{self, Attribute, Attributes, Reply};

/// A network device with what is under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The device itself.
    pub link: Link,
    /// The device that it stands on, as a VLAN does.
    pub lower: Option<u32>,
    /// Its VLAN.
    pub vlan: Option<u16>,
    /// What it is as a bond.
    pub bond: Option<Bond>,
    /// What it is as a member of a bond.
    pub member: Option<Member>,
    /// What it counted.
    pub statistics: Option<Statistics>,
}

/// A bond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bond {
    /// `BOND_MODE_*`: 0 balance-rr, 1 active-backup, 2 balance-xor, 3 broadcast, 4 802.3ad, 5 balance-tlb, 6 balance-alb.
    pub mode: u8,
    /// With whom LACP was agreed; zeros where nobody answers.
    pub partner: Option<[u8; 6]>,
}

/// The member of a bond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Whether the bond takes its link for up (`BOND_LINK_UP`).
    pub link_up: bool,
    /// The LACP aggregator that it belongs to.
    pub aggregator: Option<u16>,
}

/// What a device counted (`struct rtnl_link_stats64`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the kernel's own names")]
pub struct Statistics {
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_dropped: u64,
    pub tx_dropped: u64,
    pub collisions: u64,
    pub rx_crc_errors: u64,
    pub rx_missed_errors: u64,
    pub tx_carrier_errors: u64,
}

impl Network {
    /// Every device with what is under it, in the kernel's order.
    ///
    /// # Errors
    /// If the kernel does not list them.
    pub fn devices(&mut self) -> Result<Vec<Device>, Error> {
        self.list(
            libc::RTM_GETLINK,
            &[0; IFINFOMSG_BYTES],
            "list the network devices",
            Device::read,
        )
    }
}

impl Device {
    /// The device of an RTM_NEWLINK; `None` for another message, or without a name or an MTU.
    ///
    /// # Errors
    /// If the message is shorter than its fixed part, or its attributes do not add up.
    pub fn read(reply: &Reply) -> Result<Option<Self>, netlink::Error> {
        read(libc::RTM_NEWLINK, reply, device)
    }
}

fn device(fixed: &[u8; IFINFOMSG_BYTES], attributes: Attributes<'_>) -> Option<Device> {
    let statistics = attributes
        .get(libc::IFLA_STATS64)
        .map(|all| statistics(all.bytes()));
    // In another namespace the same number is another device (rtnetlink(7), `IFLA_LINK_NETNSID`).
    let is_here = attributes.get(libc::IFLA_LINK_NETNSID).is_none();
    let lower = attributes
        .get(libc::IFLA_LINK)
        .filter(|_| is_here)
        .and_then(Attribute::u32);
    let info = attributes.get(libc::IFLA_LINKINFO);
    let info = info.and_then(|info| info.nested().ok());
    let data = |of: u16| info.as_ref()?.get(of)?.nested().ok();
    let slave_kind = info
        .as_ref()
        .and_then(|info| info.get(IFLA_INFO_SLAVE_KIND)?.text());
    let is_of_bond = slave_kind == Some("bond");
    let member = data(IFLA_INFO_SLAVE_DATA)
        .filter(|_| is_of_bond)
        .map(|data| Member {
            link_up: data.get(IFLA_BOND_SLAVE_MII_STATUS).and_then(Attribute::u8) == Some(BOND_LINK_UP),
            aggregator: data.get(IFLA_BOND_SLAVE_AD_AGGREGATOR_ID).and_then(u16_of),
        });
    let own = data(libc::IFLA_INFO_DATA);
    let link = link(fixed, attributes)?;
    let kind = link.kind.as_deref();
    Some(Device {
        lower: lower.filter(|lower| *lower != link.index),
        vlan: own
            .as_ref()
            .filter(|_| kind == Some("vlan"))
            .and_then(|data| data.get(IFLA_VLAN_ID).and_then(u16_of)),
        bond: own.as_ref().filter(|_| kind == Some("bond")).and_then(|data| {
            let agreed = data.get(IFLA_BOND_AD_INFO).and_then(|info| info.nested().ok());
            Some(Bond {
                mode: data.get(IFLA_BOND_MODE).and_then(Attribute::u8)?,
                partner: agreed
                    .and_then(|agreed| agreed.get(IFLA_BOND_AD_INFO_PARTNER_MAC)?.bytes().try_into().ok()),
            })
        }),
        member,
        statistics,
        link,
    })
}

fn u16_of(attribute: Attribute<'_>) -> Option<u16> {
    Some(u16::from_ne_bytes(attribute.bytes().try_into().ok()?))
}

/// Numbers of 64 bits in the order of the structure; what an older kernel does not have is 0.
fn statistics(octets: &[u8]) -> Statistics {
    let number = |index: usize| {
        let found = octets.get(index * 8..).and_then(<[u8]>::first_chunk::<8>);
        found.map_or(0, |octets| u64::from_ne_bytes(*octets))
    };
    Statistics {
        rx_packets: number(0),
        tx_packets: number(1),
        rx_errors: number(4),
        tx_errors: number(5),
        rx_dropped: number(6),
        tx_dropped: number(7),
        collisions: number(9),
        rx_crc_errors: number(12),
        rx_missed_errors: number(15),
        tx_carrier_errors: number(17),
    }
}

/// linux/if_link.h.
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_VLAN_ID: u16 = 1;
const IFLA_BOND_MODE: u16 = 1;
const IFLA_BOND_AD_INFO: u16 = 23;
const IFLA_BOND_AD_INFO_PARTNER_MAC: u16 = 5;
const IFLA_BOND_SLAVE_MII_STATUS: u16 = 2;
const IFLA_BOND_SLAVE_AD_AGGREGATOR_ID: u16 = 6;
/// net/bonding.h.
const BOND_LINK_UP: u8 = 0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::{Message, split};

    fn read_back(fill: impl FnOnce(&mut netlink::Nest)) -> Device {
        let mut octets = Vec::new();
        let mut fixed = [0; IFINFOMSG_BYTES];
        fixed[4] = 7;
        let message = Message::new(libc::RTM_NEWLINK, 0, &fixed).with(fill);
        message.encode(1, &mut octets).unwrap();
        let mut found = None;
        split(&octets, &mut |reply| {
            found = Device::read(&reply)?;
            Ok(())
        })
        .unwrap();
        found.unwrap()
    }

    fn named(nest: &mut netlink::Nest) {
        nest.text(libc::IFLA_IFNAME, "x").u32(libc::IFLA_MTU, 1500);
    }

    #[test]
    fn a_bond_tells_its_mode_and_its_partner() {
        let device = read_back(|nest| {
            named(nest);
            nest.nested(libc::IFLA_LINKINFO, |info| {
                info.text(libc::IFLA_INFO_KIND, "bond")
                    .nested(libc::IFLA_INFO_DATA, |data| {
                        data.u8(IFLA_BOND_MODE, 4).nested(IFLA_BOND_AD_INFO, |agreed| {
                            agreed.bytes(IFLA_BOND_AD_INFO_PARTNER_MAC, &[0; 6]);
                        });
                    });
            });
        });
        assert_eq!(
            device.bond,
            Some(Bond {
                mode: 4,
                partner: Some([0; 6])
            })
        );
        assert_eq!((device.vlan, device.member), (None, None));
    }

    #[test]
    fn a_member_of_a_bond_tells_its_link_and_a_port_of_a_bridge_is_none() {
        let of = |kind: &'static str, mii: u8| {
            read_back(|nest| {
                named(nest);
                nest.nested(libc::IFLA_LINKINFO, |info| {
                    info.text(IFLA_INFO_SLAVE_KIND, kind)
                        .nested(IFLA_INFO_SLAVE_DATA, |data| {
                            data.u8(IFLA_BOND_SLAVE_MII_STATUS, mii)
                                .u16(IFLA_BOND_SLAVE_AD_AGGREGATOR_ID, 2);
                        });
                });
            })
            .member
        };
        assert_eq!(
            of("bond", 0),
            Some(Member {
                link_up: true,
                aggregator: Some(2)
            })
        );
        assert!(!of("bond", 2).unwrap().link_up);
        assert_eq!(of("bridge", 0), None);
    }

    #[test]
    fn a_vlan_stands_on_another_device() {
        let device = read_back(|nest| {
            named(nest);
            nest.u32(libc::IFLA_LINK, 3).nested(libc::IFLA_LINKINFO, |info| {
                info.text(libc::IFLA_INFO_KIND, "vlan")
                    .nested(libc::IFLA_INFO_DATA, |data| {
                        data.u16(IFLA_VLAN_ID, 40);
                    });
            });
        });
        assert_eq!((device.lower, device.vlan), (Some(3), Some(40)));
    }

    #[test]
    fn what_a_device_stands_on_in_another_namespace_is_not_looked_for_here() {
        let device = read_back(|nest| {
            named(nest);
            nest.u32(libc::IFLA_LINK, 3).u32(libc::IFLA_LINK_NETNSID, 0);
        });
        assert_eq!(device.lower, None);
    }

    #[test]
    fn statistics_of_an_older_kernel_end_early() {
        let mut octets = Vec::new();
        for number in 1..=13_u64 {
            octets.extend_from_slice(&number.to_ne_bytes());
        }
        let read = statistics(&octets);
        assert_eq!(
            (read.rx_packets, read.rx_crc_errors, read.tx_carrier_errors),
            (1, 13, 0)
        );
        assert_eq!(statistics(&[]), Statistics::default());
    }

    #[test]
    fn loopback_of_this_very_host_counts() {
        let devices = Network::open().unwrap().devices().unwrap();
        let loopback = devices.iter().find(|device| device.link.loopback).unwrap();
        assert!(loopback.statistics.is_some() && loopback.bond.is_none());
    }
}
