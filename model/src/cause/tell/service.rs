//! What listens where it should not, and what does not where it should.

use crate::{
    id::NodeId,
    port::{PortSet, Protocol},
    report::{Status, check},
};

use super::{
    super::{CauseKind, Fix, blame::Tests, fix::said_list},
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
        let mut commands: Vec<String> = Vec::new();
        for (protocol, range) in ranges() {
            let (first, last) = (range.first(), range.last());
            commands.push(if first == last {
                format!("ss -H -l -n -p --{protocol} 'sport = :{first}'")
            } else {
                format!("ss -H -l -n -p --{protocol} 'sport >= :{first} and sport <= :{last}'")
            });
        }
        if pid.is_none() && held.iter().any(|(protocol, _)| *protocol == Protocol::Udp) {
            // A tunnel's socket is the kernel's: its device tells the port.
            commands.push("ip -details link show".to_owned());
        }
        if let Some(pid) = pid {
            commands.push(format!("systemctl status {pid}"));
            commands.push(format!("kill {pid}"));
        }
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
                text: "Stop and disable the service that the holder belongs to, or move it to another port, before the \
                       cluster is installed."
                    .to_owned(),
                commands,
            },
            most: Status::Fail,
        }
    }

    pub(super) fn no_listener(&self, node: NodeId, tests: &Tests) -> Told {
        let ports = self.ports(tests);
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
        let ports = self.ports(tests);
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
                self.ports(tests),
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
