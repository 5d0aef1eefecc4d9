//! Addresses for which more than one host answers.

use std::net::IpAddr;

use crate::{
    id::NodeId,
    port::Family,
    report::{Status, check},
};

use super::{
    super::{CauseKind, Fix, blame::Tests, host::address_of, twin::Twin},
    Teller, Told,
};

impl Teller<'_> {
    pub(super) fn duplicate_address(&self, owner: NodeId, twin: &Twin, tests: &Tests) -> Told {
        let (name, count) = (self.name(owner), self.count(tests));
        let families = tests.families().into_iter();
        let address = families
            .filter_map(|family| address_of(self.ledger, owner, family))
            .next();
        // A node whose name tells nothing is called by its address.
        let whose = address.map_or_else(
            || name.clone(),
            |address| match address.to_string() {
                said if said == name => said,
                said => format!("{said}, the address of {name},"),
            },
        );
        let (node, detail, fix) = match (twin, address) {
            (Twin::Member(twin), Some(address)) if self.interface_with(*twin, address).is_some() => (
                None,
                format!(
                    "{whose} is also an address of {}: packets go now to the one and now to the other: \
                     {count}",
                    self.place(*twin, address)
                ),
                self.remove_from(*twin, address),
            ),
            (Twin::Member(twin), _) => (
                None,
                format!(
                    "{} answers with its link address for {whose} in {count}",
                    self.name(*twin)
                ),
                Fix {
                    text: format!("Let {} stop answering for the address.", self.name(*twin)),
                    commands: self
                        .who_answers(owner, address)
                        .map(|asks| self.inventory.ssh(owner, &asks))
                        .into_iter()
                        .collect(),
                },
            ),
            (Twin::Unknown, _) => (
                Some(owner),
                format!(
                    "somebody else on its link answers for {whose} now and then, and resets connections: \
                     {count}"
                ),
                self.seek(
                    owner,
                    address,
                    "Ask on the link who else has the address, and give that host another one.",
                ),
            ),
            (Twin::Stranger(mac) | Twin::Gateway(mac), _) => (
                Some(owner),
                format!(
                    "a host that is no node of the cluster, with the link address {mac}, answers for {whose} in {count}"
                ),
                self.seek(
                    owner,
                    address,
                    &format!("Find the host with the link address {mac} in the switches' tables and give it another address."),
                ),
            ),
        };
        Told {
            check: check::REACH_TCP.id,
            kind: CauseKind::DuplicateAddress,
            node,
            detail,
            fix,
            most: Status::Fail,
        }
    }

    pub(super) fn proxy_arp(&self, mac: &str, tests: &Tests) -> Told {
        let sources = tests.sources();
        let (from, to) = (
            self.side(&sources, tests),
            self.side(&tests.destinations(), tests),
        );
        let ip = self.ip(tests);
        let setting = match tests.families().first() {
            Some(Family::Ipv6) => "proxy_ndp",
            _ => "proxy_arp",
        };
        let forget = [
            format!("{ip} neighbour show | grep -i {mac}"),
            format!("{ip} neighbour flush all"),
        ];
        Told {
            check: check::REACH_TCP.id,
            kind: CauseKind::ProxyArp,
            node: None,
            detail: format!(
                "the gateway, with the link address {mac}, answers for the addresses of {to} on the link of {from} (proxy ARP), \
                 and delivers nothing: {}",
                self.count(tests)
            ),
            fix: Fix {
                text: format!(
                    "Turn off proxy ARP on the gateway's interface to this link (Linux: {setting}, of all and of the interface; \
                     other routers: no ip proxy-arp), then forget the neighbours on the nodes."
                ),
                commands: sources
                    .iter()
                    .take(MAX_FORGETTING)
                    .flat_map(|node| forget.iter().map(|command| self.inventory.ssh(*node, command)))
                    .collect(),
            },
            most: Status::Fail,
        }
    }

    fn place(&self, node: NodeId, address: IpAddr) -> String {
        match self.interface_with(node, address) {
            Some((interface, _)) => format!("{} ({interface})", self.name(node)),
            None => self.name(node),
        }
    }

    /// The interface of a node that has an address, and the address with its prefix length.
    fn interface_with(&self, node: NodeId, address: IpAddr) -> Option<(&str, &str)> {
        let facts = self.ledger.node(node)?.facts?.what;
        let text = address.to_string();
        facts.interfaces.iter().find_map(|interface| {
            let mut written = interface.addresses.iter();
            let own = written.find(|with_length| with_length.split('/').next() == Some(text.as_str()))?;
            Some((interface.name.as_str(), own.as_str()))
        })
    }

    fn remove_from(&self, twin: NodeId, address: IpAddr) -> Fix {
        let remove = self.interface_with(twin, address);
        let commands = remove.map(|(interface, with_length)| {
            vec![
                self.inventory
                    .ssh(twin, &format!("ip address del {with_length} dev {interface}")),
                self.inventory.ssh(twin, &format!("grep -rn {address} /etc")),
            ]
        });
        Fix {
            text: format!(
                "Remove {address} from {}, at once and from its network configuration.",
                self.name(twin)
            ),
            commands: commands.unwrap_or_default(),
        }
    }

    /// Has the owner, which is the node that is named, ask who else is there.
    fn seek(&self, owner: NodeId, address: Option<IpAddr>, text: &str) -> Fix {
        Fix {
            text: text.to_owned(),
            commands: self.who_answers(owner, address).into_iter().collect(),
        }
    }

    /// Who answers for an address, asked at its owner.
    fn who_answers(&self, owner: NodeId, address: Option<IpAddr>) -> Option<String> {
        let interface = self.data_interface(owner).unwrap_or("eth0");
        Some(match address? {
            IpAddr::V4(address) => format!("arping -D -c 3 -I {interface} {address}"),
            IpAddr::V6(address) => format!("ndisc6 -m {address} {interface}"),
        })
    }
}

/// Nodes that are told by commands to forget their neighbours; it is the same on all others.
const MAX_FORGETTING: usize = 4;
