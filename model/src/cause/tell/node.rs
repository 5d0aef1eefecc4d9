//! Causes at a node.

use crate::{
    firewall::Manager,
    id::NodeId,
    ledger::Transport,
    port::PortSet,
    report::{Status, check},
};

use super::{
    super::{
        CauseKind, Fix,
        blame::{FilterProof, Setting, Side, Tests},
        fix::{look_at_filter, open_filter, said_list, said_ports},
    },
    Teller, Told,
};

impl Teller<'_> {
    pub(super) fn host_firewall(&self, node: NodeId, side: Side, by: &FilterProof, tests: &Tests) -> Told {
        let name = self.name(node);
        let ports = said_ports(tests);
        let count = self.count(tests);
        let what = match side {
            Side::In => format!("{ports} from {}", self.side(&tests.sources())),
            Side::Out => format!(
                "its own questions to {ports} of {}",
                self.side(&tests.destinations())
            ),
            Side::AnswerOut => format!("its answers from {ports} to {}", self.side(&tests.sources())),
            Side::AnswerIn => format!("answers from {ports} of {}", self.side(&tests.destinations())),
        };
        let unread = self.unread(node, side, tests);
        let detail = match by {
            FilterProof::Rule(place) => match &place.manager {
                Manager::Firewalld { zone: Some(zone) } if side == Side::In => {
                    format!("firewalld zone {zone} on {name} lacks {ports}: {count} stopped by {place}")
                }
                _ => format!("the packet filter of {name} stops {what}: {count}, by {place}"),
            },
            FilterProof::Rejection => {
                format!("{name} itself rejects {what}: {count}; {unread}")
            }
            FilterProof::Capture if side == Side::AnswerIn => {
                format!("{what} reach {name}, by its capture, and get no further: {count}; {unread}")
            }
            FilterProof::Capture => {
                format!("{what} reaches {name}, by its capture, and no answer leaves: {count}; {unread}")
            }
            FilterProof::Denied => format!("{name} does not let {what} out: {count}; {unread}"),
        };
        let fix = match by {
            FilterProof::Rule(place) => open_filter(self.ledger, place, side, tests, self.is_live(node)),
            _ => {
                let interface = self.firewalld_interface(node).filter(|_| side == Side::In);
                look_at_filter(interface, self.ruleset(node), tests)
            }
        };
        Told {
            check: check::REACH_TCP.id,
            kind: CauseKind::HostFirewall,
            node: Some(node),
            detail,
            fix,
            most: Status::Fail,
        }
    }

    pub(super) fn host_setting(&self, node: NodeId, setting: Setting, tests: &Tests) -> Told {
        let name = self.name(node);
        let (ports, count) = (said_ports(tests), self.count(tests));
        let (peer, peers) = (self.a_peer(node, tests), self.side(&tests.peers_of(node)));
        let (most, check, detail, text, commands) = match setting {
            Setting::NoRoute => (
                Status::Fail,
                check::ABLE.id,
                format!("{name} has no route to {peers}: {count}"),
                "Add the route, or a default route, on this node; a blackhole or unreachable route in its place must go."
                    .to_owned(),
                vec![format!("ip route get {peer}"), "ip route show".to_owned(), "ip rule show".to_owned()],
            ),
            Setting::NothingLeaves => (
                Status::Fail,
                check::REACH_TCP.id,
                format!(
                    "the kernel of {name} sends nothing to {peers}, though its packet filter would let it out: {count}"
                ),
                "Look for a prohibit route, a policy rule, or a security module or eBPF program that forbids it.".to_owned(),
                vec![
                    format!("ip route get {peer}"),
                    "ip rule show".to_owned(),
                    "ip route show table all type prohibit".to_owned(),
                ],
            ),
            Setting::AddressMissing => (
                Status::Fail,
                check::ABLE.id,
                format!("{node} is not an address of the host whose probe joined as {name}: {count} not made"),
                "Configure the address on the node, or correct the node's address in the cluster file.".to_owned(),
                vec!["ip -brief address".to_owned()],
            ),
            Setting::Privilege => (
                Status::NotMeasured,
                check::ABLE.id,
                format!("the probe on {name} may not listen on {ports}: {count} not made"),
                "Run the probe as root or with CAP_NET_BIND_SERVICE.".to_owned(),
                vec!["sysctl net.ipv4.ip_unprivileged_port_start".to_owned()],
            ),
            Setting::OpenFiles => (
                Status::NotMeasured,
                check::ABLE.id,
                format!("the limit on open files of the probe on {name} is too low for {ports}: {count} not made"),
                "Raise the limit on open files for the probe (systemd: LimitNOFILE=) to at least 8192.".to_owned(),
                vec!["ulimit -n 8192".to_owned()],
            ),
            Setting::Bind(errno) => (
                Status::NotMeasured,
                check::ABLE.id,
                format!("the probe on {name} could not listen on {ports} (errno {errno}): {count} not made"),
                "Look at what the kernel and its security modules say.".to_owned(),
                vec!["ausearch -m avc -ts recent".to_owned(), "dmesg | tail -n 50".to_owned()],
            ),
            Setting::Policy => (
                Status::NotMeasured,
                check::ABLE.id,
                format!("the local policy on {name} does not let the probe listen on {ports}: {count} not made"),
                "Widen the probe's policy file on this node, or leave these ports out.".to_owned(),
                Vec::new(),
            ),
            Setting::Exhausted(errno) => (
                Status::NotMeasured,
                check::ABLE.id,
                format!("the probe on {name} ran out of a resource while it asked (errno {errno}): {count} not made"),
                "Raise the limit on open files for the probe and look at the ephemeral port range.".to_owned(),
                vec!["ulimit -n".to_owned(), "sysctl net.ipv4.ip_local_port_range".to_owned()],
            ),
            Setting::Unanswered => (
                Status::Fail,
                check::REACH_TCP.id,
                format!(
                    "questions to {ports} from {} reach {name}, by its capture, its packet filter accepts them, and no \
                     answer leaves: {count}",
                    self.side(&tests.sources())
                ),
                "The kernel drops them after the capture, or has no way back: look at the route to the sources, reverse path \
                 filtering, the connection tracking table and listen queues."
                    .to_owned(),
                vec![
                    format!("ip route get {}", self.a_peer(node, tests)),
                    "sysctl -a | grep -w rp_filter".to_owned(),
                    "nstat -az TcpExtListenDrops TcpExtListenOverflows IpReversePathFilter".to_owned(),
                    "sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max".to_owned(),
                ],
            ),
        };
        Told {
            check,
            kind: CauseKind::HostSetting,
            node: Some(node),
            detail,
            fix: Fix { text, commands },
            most,
        }
    }

    pub(super) fn port_taken(
        &self,
        node: NodeId,
        transport: Transport,
        process: Option<&str>,
        pid: Option<u32>,
        alone: Option<u16>,
        tests: &Tests,
    ) -> Told {
        let name = self.name(node);
        let ports = alone.map_or_else(|| tests.ports(transport), |port| PortSet::from_iter([port]));
        let holder = match (process, pid) {
            (Some(process), Some(pid)) => format!("{process} (pid {pid})"),
            (Some(process), None) => process.to_owned(),
            (None, Some(pid)) => format!("the process with pid {pid}"),
            (None, None) => "another process, which the probe may not see,".to_owned(),
        };
        let mut commands: Vec<String> = Vec::new();
        for range in ports.ranges() {
            let (first, last) = (range.first(), range.last());
            commands.push(if first == last {
                format!("ss -H -l -n -p --{} 'sport = :{first}'", transport.1)
            } else {
                format!(
                    "ss -H -l -n -p --{} 'sport >= :{first} and sport <= :{last}'",
                    transport.1
                )
            });
        }
        if let Some(pid) = pid {
            commands.push(format!("systemctl status {pid}"));
            commands.push(format!("kill {pid}"));
        }
        let said: Vec<String> = ports
            .ranges()
            .iter()
            .map(|range| format!("{range}/{}", transport.1))
            .collect();
        Told {
            check: check::PORTS_FREE.id,
            kind: CauseKind::PortTaken,
            node: Some(node),
            detail: format!(
                "{holder} holds {} on {name}, which the cluster needs: {} could not be made",
                said_list(&said, 8),
                self.count(tests)
            ),
            fix: Fix {
                text: "Stop and disable the service that the holder belongs to, or move it to another port, before the \
                       cluster is installed."
                    .to_owned(),
                commands,
            },
            most: Status::Fail,
        }
    }

    pub(super) fn no_listener(&self, node: NodeId, tests: &Tests) -> Told {
        let ports = said_ports(tests);
        Told {
            check: check::LISTENER.id,
            kind: CauseKind::NoListener,
            node: Some(node),
            detail: format!(
                "nothing listens on {ports} of {}: {} refused",
                self.name(node),
                self.count(tests)
            ),
            fix: Fix {
                text: "Start the service that belongs there, or see why it listens on another address only."
                    .to_owned(),
                commands: vec!["ss -H -l -n -t -p".to_owned()],
            },
            most: Status::Fail,
        }
    }

    pub(super) fn wrong_responder_on(&self, node: NodeId, tests: &Tests) -> Told {
        let ports = said_ports(tests);
        Told {
            check: check::REACH_TCP.id,
            kind: CauseKind::WrongResponder,
            node: Some(node),
            detail: format!(
                "something on {} other than its probe answers {ports} from {}: {}; connections reach the host and not the \
                 responder",
                self.name(node),
                self.side(&tests.sources()),
                self.count(tests)
            ),
            fix: Fix {
                text: "Look for a redirection (DNAT, REDIRECT, TPROXY) or a proxy in front of these ports."
                    .to_owned(),
                commands: vec![
                    "nft list ruleset".to_owned(),
                    "iptables-save -t nat".to_owned(),
                    "ss -H -l -n -t -p".to_owned(),
                ],
            },
            most: Status::Fail,
        }
    }

    pub(super) fn exposure(&self, node: NodeId, tests: &Tests) -> Told {
        Told {
            check: check::EXPOSURE.id,
            kind: CauseKind::Exposure,
            node: Some(node),
            detail: format!(
                "{} of {} answers over the network and must not: {}",
                said_ports(tests),
                self.name(node),
                self.count(tests)
            ),
            fix: Fix {
                text: "Bind the service to loopback, or close the port in the packet filter.".to_owned(),
                commands: vec!["ss -H -l -n -t -p".to_owned()],
            },
            most: Status::Fail,
        }
    }
}
