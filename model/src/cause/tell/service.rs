//! What listens where it should not, and what does not where it should.

use crate::{
    id::NodeId,
    observation::Listener,
    port::{Family, PortRange, PortSet, Protocol},
    report::{Status, check},
};

use super::{
    super::{CauseKind, Fix, blame::Tests, fix::said_list, host::address_of},
    Teller, Told,
};

impl Teller<'_> {
    pub(super) fn port_taken(
        &self,
        node: NodeId,
        process: Option<&str>,
        pid: Option<u32>,
        alone: Option<(Protocol, u16)>,
        tests: &Tests,
    ) -> Told {
        let name = self.name(node);
        let held: Vec<(Protocol, PortSet)> = match alone {
            Some((protocol, port)) => vec![(protocol, PortSet::from_iter([port]))],
            None => {
                let protocols = tests.protocols().into_iter();
                protocols
                    .map(|protocol| (protocol, tests.ports_of(protocol)))
                    .collect()
            }
        };
        let ranges = || {
            held.iter()
                .flat_map(|(protocol, ports)| ports.ranges().iter().map(move |range| (protocol, range)))
        };
        let holder = match (process, pid) {
            (Some(process), Some(pid)) => format!("{process} (pid {pid})"),
            (Some(process), None) => process.to_owned(),
            (None, Some(pid)) => format!("the process with pid {pid}"),
            (None, None) => "the kernel, or a process that the probe may not see,".to_owned(),
        };
        // What a probe tells is a claim, and 0 is the group of whoever types it.
        let pid = pid.filter(|pid| *pid > 0);
        let mut commands = who_waits(ranges().map(|(protocol, range)| (*protocol, *range)));
        if pid.is_none() && held.iter().any(|(protocol, _)| *protocol == Protocol::Udp) {
            // A tunnel's socket is the kernel's: its device tells the port.
            commands.push("ip -details link show".to_owned());
        }
        match pid {
            Some(INIT) => commands.push("systemctl list-sockets --all".to_owned()),
            Some(pid) => commands.push(format!("ps -o unit= -p {pid}")),
            None => {}
        }
        if pid.is_some() {
            commands.push("systemctl disable --now UNIT".to_owned());
        }
        let unit = match pid {
            Some(INIT) => {
                "It is held for a service that starts when somebody connects: list-sockets names the socket unit, to be put in \
                 place of UNIT."
                    .to_owned()
            }
            Some(pid) => {
                format!("ps names its unit, to be put in place of UNIT; what has none is ended with kill {pid}.")
            }
            None => "Where ss shows a process, ps -o unit= -p PID names its unit for systemctl disable --now UNIT."
                .to_owned(),
        };
        let said: Vec<String> = ranges()
            .map(|(protocol, range)| format!("{range}/{protocol}"))
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
                text: format!(
                    "Stop and disable the service that the holder belongs to, or move it to another port, before the \
                     cluster is installed. {unit}"
                ),
                commands,
            },
            most: Status::Fail,
        }
    }

    /// More holders than anybody reads of.
    pub(super) fn ports_taken(&self, node: NodeId, holders: usize, tests: &Tests) -> Told {
        let (name, count) = (self.name(node), self.count(tests));
        let held: Vec<String> = asked(tests)
            .into_iter()
            .map(|(protocol, range)| format!("{range}/{protocol}"))
            .collect();
        Told {
            check: check::PORTS_FREE.id,
            kind: CauseKind::PortTaken,
            node: Some(node),
            detail: format!(
                "{} on {name}, which the cluster needs, are held by {holders} others: {count} could not be made",
                said_list(&held, 8),
            ),
            fix: Fix {
                text: "Stop and disable the services that hold them, or move them to other ports, before the cluster is \
                       installed. Where ss shows a process, ps -o unit= -p PID names its unit for systemctl disable --now UNIT."
                    .to_owned(),
                commands: who_waits(asked(tests)),
            },
            most: Status::Fail,
        }
    }

    pub(super) fn no_listener(&self, node: NodeId, tests: &Tests) -> Told {
        let (name, ports) = (self.name(node), self.ports(tests));
        let elsewhere = self.listeners(node, tests, |listener| !self.is_heard_at(listener, node, tests));
        let (also, text) = if elsewhere.is_empty() {
            let text = "Start the service that belongs there, or see why it listens on another address only.";
            (String::new(), text)
        } else {
            let text = "Let the service listen on the node's data address, or on all addresses.";
            (format!("; {} only", said_listeners(&elsewhere)), text)
        };
        Told {
            check: check::LISTENER.id,
            kind: CauseKind::NoListener,
            node: Some(node),
            detail: format!(
                "nothing listens on {ports} of {name}: {} refused{also}",
                self.count(tests)
            ),
            fix: Fix {
                text: text.to_owned(),
                commands: who_waits(asked(tests)),
            },
            most: Status::Fail,
        }
    }

    pub(super) fn wrong_responder_on(&self, node: NodeId, tests: &Tests) -> Told {
        let ports = self.ports(tests);
        let mut looks = vec!["nft list ruleset".to_owned()];
        looks.extend(tests.families().into_iter().map(|family| match family {
            Family::Ipv4 => "iptables-save -t nat".to_owned(),
            Family::Ipv6 => "ip6tables-save -t nat".to_owned(),
        }));
        looks.extend(who_waits(asked(tests)));
        Told {
            check: check::REACH_TCP.id,
            kind: CauseKind::WrongResponder,
            node: Some(node),
            detail: format!(
                "something on {} other than its probe answers {ports} from {}: {}; connections reach the host and not the \
                 responder",
                self.name(node),
                self.side(&tests.sources(), tests),
                self.count(tests)
            ),
            fix: Fix {
                text: "Look for a redirection (DNAT, REDIRECT, TPROXY) or a proxy in front of these ports."
                    .to_owned(),
                commands: looks,
            },
            most: Status::Fail,
        }
    }

    pub(super) fn exposure(&self, node: NodeId, tests: &Tests) -> Told {
        let answering = self.listeners(node, tests, |listener| self.is_heard_at(listener, node, tests));
        let who = if answering.is_empty() {
            String::new()
        } else {
            format!("; {}", said_listeners(&answering))
        };
        Told {
            check: check::EXPOSURE.id,
            kind: CauseKind::Exposure,
            node: Some(node),
            detail: format!(
                "{} of {} answers over the network and must not: {}{who}",
                self.ports(tests),
                self.name(node),
                self.count(tests)
            ),
            fix: Fix {
                text: "Bind the service to loopback, or close the port in the packet filter.".to_owned(),
                commands: who_waits(asked(tests)),
            },
            most: Status::Fail,
        }
    }

    /// Who waits on ports of these tests, as the node's probe saw it last.
    fn listeners(&self, node: NodeId, tests: &Tests, is_meant: impl Fn(&Listener) -> bool) -> Vec<&Listener> {
        let facts = self.ledger.node(node).and_then(|log| log.facts);
        let all = facts.map_or(&[][..], |told| &told.what.listeners);
        let waits = |listener: &&Listener| {
            let asked = tests.ports_of(listener.protocol);
            !asked.intersection(&listener.ports).is_empty() && is_meant(listener)
        };
        all.iter().filter(waits).collect()
    }

    /// Whether a listener can be asked at the node's address in these tests: it waits at that, or at all addresses.
    fn is_heard_at(&self, listener: &Listener, node: NodeId, tests: &Tests) -> bool {
        let families = tests.families().into_iter();
        let mut asked = families.filter_map(|family| address_of(self.ledger, node, family));
        // A socket at [::] takes IPv4, too, unless it was told not to.
        asked.any(|address| {
            listener.address == address
                || listener.address.is_unspecified() && (listener.address.is_ipv6() || address.is_ipv4())
        })
    }
}

/// The ports of these tests, ascending within each protocol.
fn asked(tests: &Tests) -> Vec<(Protocol, PortRange)> {
    let protocols = tests.protocols().into_iter();
    protocols
        .flat_map(|protocol| {
            let ports = tests.ports_of(protocol);
            let ranges = ports.ranges().iter();
            ranges.map(|range| (protocol, *range)).collect::<Vec<_>>()
        })
        .collect()
}

/// Shows who waits on ports, the first few ranges each by a command.
fn who_waits(ports: impl IntoIterator<Item = (Protocol, PortRange)>) -> Vec<String> {
    let shown = ports.into_iter().take(MAX_SHOWN_PORTS);
    let shows = shown.map(|(protocol, range)| {
        let (first, last) = (range.first(), range.last());
        match first == last {
            true => format!("ss -H -l -n -p --{protocol} 'sport = :{first}'"),
            false => format!("ss -H -l -n -p --{protocol} 'sport >= :{first} and sport <= :{last}'"),
        }
    });
    shows.collect()
}

/// `kubelet (pid 812) listens on 10248/tcp at 0.0.0.0`, the first few.
fn said_listeners(listeners: &[&Listener]) -> String {
    let said = |listener: &&Listener| {
        let who = match (&listener.process, listener.pid) {
            (Some(process), Some(pid)) => format!("{process} (pid {pid})"),
            (Some(process), None) => process.clone(),
            (None, Some(pid)) => format!("the process with pid {pid}"),
            (None, None) => "the kernel or a process that the probe may not see".to_owned(),
        };
        let (ports, protocol) = (&listener.ports, listener.protocol);
        format!("{who} listens on {ports}/{protocol} at {}", listener.address)
    };
    let all: Vec<String> = listeners.iter().map(said).collect();
    said_list(&all, MAX_SAID_LISTENERS)
}

/// More listeners than this in one sentence are not read by anybody.
const MAX_SAID_LISTENERS: usize = 4;
/// As many ranges of ports are shown by a command each.
const MAX_SHOWN_PORTS: usize = 4;

/// The process that binds ports for services that are started on demand (systemd.socket(5)); never to be killed.
const INIT: u32 = 1;
