//! Settings of a host.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;

use crate::{
    id::NodeId,
    port::Family,
    report::{Status, check},
    sysctl::of_interface,
};

use super::{
    super::{
        CauseKind, Fix,
        blame::{Setting, Tests},
        counted::Counted,
        host::address_of,
    },
    Teller, Told,
};

/// What is said of a setting.
pub(super) struct Said {
    pub(super) kind: CauseKind,
    pub(super) most: Status,
    pub(super) check: &'static str,
    pub(super) detail: String,
    pub(super) text: &'static str,
    pub(super) commands: Vec<String>,
}

impl Teller<'_> {
    pub(super) fn host_setting(&self, node: NodeId, setting: Setting, tests: &Tests) -> Told {
        let said = match setting {
            Setting::NoRoute | Setting::NothingLeaves => self.no_way_out(node, setting, tests),
            Setting::AddressMissing => self.address_missing(node, tests),
            Setting::Exhausted(errno) => self.exhausted(node, errno, tests),
            Setting::AnswersFrom(address) => self.answers_from(node, address, tests),
            setting => self.not_listening(node, setting, tests),
        };
        said.of(node)
    }
}

impl Said {
    pub(super) fn of(self, node: NodeId) -> Told {
        let said = self;
        Told {
            check: said.check,
            kind: said.kind,
            node: Some(node),
            detail: said.detail,
            fix: Fix {
                text: said.text.to_owned(),
                commands: said.commands,
            },
            most: said.most,
        }
    }
}

impl Teller<'_> {
    fn no_way_out(&self, node: NodeId, setting: Setting, tests: &Tests) -> Said {
        let (name, count) = (self.name(node), self.count(tests));
        let (peer, peers) = (self.a_peer(node, tests), self.side(&tests.peers_of(node), tests));
        let ip = self.ip(tests);
        if setting == Setting::NothingLeaves
            && let Some(counted @ Counted::TableFull { .. }) = Counted::of_case(self.ledger, node, tests)
        {
            let detail = format!("the kernel of {name} sends nothing to {peers}: {count}");
            return self.dropped_by_count(node, detail, counted, tests);
        }
        if setting == Setting::NoRoute {
            let mut commands = vec![
                format!("{ip} route get {peer}"),
                format!("{ip} route show"),
                format!("{ip} rule show"),
            ];
            let adds = self.adds_routes(node, tests);
            let text = match adds.iter().any(|command| command.contains(GATEWAY)) {
                false => {
                    "Add the route, or a default route, on this node, at once and in its network configuration; a blackhole or \
                     unreachable route in its place must go."
                }
                true => {
                    "Add the route, or a default route, on this node, at once and in its network configuration, with the \
                     address of the router on this node's link in place of GATEWAY; a blackhole or unreachable route in its \
                     place must go."
                }
            };
            commands.extend(adds);
            return Said {
                kind: CauseKind::HostSetting,
                most: Status::Fail,
                check: check::ABLE.id,
                detail: format!("{name} has no route to {peers}: {count}"),
                text,
                commands,
            };
        }
        Said {
            kind: CauseKind::HostSetting,
            most: Status::Fail,
            check: check::REACH_TCP.id,
            detail: format!(
                "the kernel of {name} sends nothing to {peers}, though its packet filter would let it out: {count}"
            ),
            text: "Look for a prohibit route, a policy rule, or a security module or eBPF program that forbids it.",
            commands: vec![
                format!("{ip} route get {peer}"),
                format!("{ip} rule show"),
                format!("{ip} route show table all type prohibit"),
            ],
        }
    }

    /// Routes to the peers of the tests, by the gateway that this node or another one on its link has, if one is known.
    fn adds_routes(&self, node: NodeId, tests: &Tests) -> Vec<String> {
        let family = tests.families().first().copied().unwrap_or(Family::Ipv4);
        let own = self.subnets.prefix(node, family);
        let interface = self.data_interface(node);
        let gateways_of = |node: NodeId| {
            let facts = self.ledger.node(node).and_then(|log| log.facts);
            facts.map_or(&[][..], |told| &told.what.gateways)
        };
        let on_link = own.and_then(|own| {
            let all = self.plan.participants.iter().copied();
            let neighbours = all.filter(|other| self.subnets.prefix(*other, family) == Some(own));
            let mut theirs = neighbours.flat_map(gateways_of);
            theirs.find(|gateway| own.contains(*gateway)).copied()
        });
        let mut its_own = gateways_of(node).iter().copied();
        let gateway = its_own.find(|gateway| Family::of(*gateway) == family).or(on_link);
        let via = match (gateway, interface) {
            // A link-local address is one of a link.
            (Some(IpAddr::V6(gateway)), Some(interface)) if gateway.is_unicast_link_local() => {
                format!("{gateway} dev {interface}")
            }
            (Some(gateway), _) => gateway.to_string(),
            (None, _) => GATEWAY.to_owned(),
        };
        let peers = tests.peers_of(node).into_iter();
        let prefixes: BTreeSet<IpNet> = peers
            .filter_map(|peer| self.subnets.prefix(peer, family))
            .collect();
        let ip = self.ip(tests);
        let adds = prefixes
            .into_iter()
            .take(MAX_ROUTES)
            .map(|prefix| match interface {
                Some(interface) if own == Some(prefix) => format!("{ip} route add {prefix} dev {interface}"),
                _ => format!("{ip} route add {prefix} via {via}"),
            });
        adds.collect()
    }

    fn address_missing(&self, node: NodeId, tests: &Tests) -> Said {
        let (name, count) = (self.name(node), self.count(tests));
        Said {
            kind: CauseKind::HostSetting,
            most: Status::Fail,
            check: check::ABLE.id,
            detail: format!(
                "{node} is not an address of the host whose probe joined as {name}: {count} not made"
            ),
            text: "Configure the address on the node, or correct the node's address in the cluster file.",
            commands: vec!["ip -brief address".to_owned()],
        }
    }

    pub(super) fn no_address(&self, node: NodeId, family: Family, tests: &Tests) -> Told {
        let (name, count) = (self.name(node), self.count(tests));
        let (word, ip) = match family {
            Family::Ipv4 => ("IPv4", "ip -4"),
            Family::Ipv6 => ("IPv6", "ip -6"),
        };
        let interface = self.data_interface(node);
        let place = interface.map_or_else(
            || "its data interface".to_owned(),
            |name| format!("its data interface {name}"),
        );
        let mut commands = vec![match interface {
            Some(interface) => format!("{ip} address show dev {interface}"),
            None => format!("{ip} address show"),
        }];
        if let (Family::Ipv6, Some(interface)) = (family, interface) {
            let settings =
                ["disable_ipv6", "accept_ra"].map(|setting| of_interface(family, interface, setting));
            commands.push(format!("sysctl {}", settings.join(" ")));
        }
        let said = Said {
            kind: CauseKind::HostSetting,
            most: Status::Fail,
            check: check::ABLE.id,
            detail: format!(
                "{name} has no global {word} address on {place}, and the cluster asks for {word}: {count} not made"
            ),
            text: "Configure the address on the data interface, or take the family out of the cluster file.",
            commands,
        };
        said.of(node)
    }

    /// Replies that leave by another interface, or with the address that routing prefers.
    fn answers_from(&self, node: NodeId, address: IpAddr, tests: &Tests) -> Said {
        let (name, ports, count) = (self.name(node), self.ports(tests), self.count(tests));
        let peer = self.a_peer(node, tests);
        let asked = address_of(self.ledger, node, Family::of(address));
        let asked = asked.map_or_else(|| node.to_string(), |address| address.to_string());
        Said {
            kind: CauseKind::HostSetting,
            most: Status::Fail,
            check: check::REACH_TCP.id,
            detail: format!(
                "{name} answers {ports} from {address}, another of its own addresses than {asked}, which was asked: {count}; \
                 its replies to {} leave by another way",
                self.side(&tests.sources(), tests)
            ),
            text: "Let replies leave with the address that was asked: a route or a rule by source address for the data \
                   interface, or no second interface in the peers' subnet.",
            commands: vec![
                format!("{} route get {peer}", self.ip(tests)),
                format!("{} rule show", self.ip(tests)),
                "ip -brief address".to_owned(),
            ],
        }
    }

    /// What kept responders from listening.
    fn not_listening(&self, node: NodeId, setting: Setting, tests: &Tests) -> Said {
        let (name, ports, count) = (self.name(node), self.ports(tests), self.count(tests));
        let (detail, text, commands) = match setting {
            Setting::Privilege => (
                format!("the probe on {name} may not listen on {ports}"),
                "Run the probe as root or with CAP_NET_BIND_SERVICE.",
                vec!["sysctl net.ipv4.ip_unprivileged_port_start".to_owned()],
            ),
            Setting::OpenFiles => (
                format!("the limit on open files of the probe on {name} is too low for {ports}"),
                "Raise the limit on open files for the probe (systemd: LimitNOFILE=) to at least 8192.",
                vec!["ulimit -n 8192".to_owned()],
            ),
            Setting::Policy => (
                format!("the local policy on {name} does not let the probe listen on {ports}"),
                "Widen the probe's policy file on this node, or leave these ports out.",
                Vec::new(),
            ),
            other => {
                let errno = match other {
                    Setting::Bind(errno) => format!(" (errno {errno})"),
                    _ => String::new(),
                };
                (
                    format!("the probe on {name} could not listen on {ports}{errno}"),
                    "Look at what the kernel and its security modules say.",
                    vec![
                        "ausearch -m avc -ts recent".to_owned(),
                        "dmesg | tail -n 50".to_owned(),
                    ],
                )
            }
        };
        Said {
            kind: CauseKind::HostSetting,
            most: Status::NotMeasured,
            check: check::ABLE.id,
            detail: format!("{detail}: {count} not made"),
            text,
            commands,
        }
    }

    fn exhausted(&self, node: NodeId, errno: u32, tests: &Tests) -> Said {
        let (name, count) = (self.name(node), self.count(tests));
        Said {
            kind: CauseKind::HostSetting,
            most: Status::NotMeasured,
            check: check::ABLE.id,
            detail: format!(
                "the probe on {name} ran out of a resource while it asked (errno {errno}): {count} not made"
            ),
            text: "Raise the limit on open files for the probe and look at the ephemeral port range.",
            commands: vec![
                "ulimit -n".to_owned(),
                "sysctl net.ipv4.ip_local_port_range".to_owned(),
            ],
        }
    }

    /// The program that shows routes of the tests' family.
    pub(super) fn ip(&self, tests: &Tests) -> &'static str {
        match tests.families().first() {
            Some(Family::Ipv6) => "ip -6",
            _ => "ip",
        }
    }
}

/// Stands in a command for the router that nobody knows.
const GATEWAY: &str = "GATEWAY";

/// Where more subnets than this are out of reach, it is the default route that is missing.
const MAX_ROUTES: usize = 4;
