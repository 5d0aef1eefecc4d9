//! Where responders of ours stand, as probes told when they were armed: only there a source says hello. Everywhere else (a
//! live node's ports, sshd's, a squatter's, those of a probe that armed nothing, ports that must not answer) it connects
//! without a word and closes in order, since whoever answers there serves somebody. UDP has no connection: there it says
//! nothing at all, for a datagram is a word already.

use std::collections::BTreeMap;

use plumbline_model::{
    evidence::Batch,
    id::NodeId,
    observation::{Armed, BindFailure, Record},
    plan::Target,
    port::{PortSet, Protocol},
};

use super::duties::{Duties, Transport};

/// Ports that are bound by probes, and what is known of the others.
#[derive(Debug, Default)]
pub(super) struct Responders {
    bound: BTreeMap<(NodeId, Transport), PortSet>,
    /// Ports of a live node on which no process is known to wait.
    unheld: BTreeMap<(NodeId, Transport), PortSet>,
    /// Ports for which a live node's packet filter has a Service of type NodePort.
    node_ports: BTreeMap<(NodeId, Transport), PortSet>,
}

/// Targets, told apart by who may answer there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    /// Responders of ours should.
    pub(super) ours: Vec<Target>,
    /// Whoever is there; TCP only.
    pub(super) theirs: Vec<Target>,
}

impl Responders {
    /// Takes note of what a batch tells.
    pub(super) fn note(&mut self, batch: &Batch) {
        for record in &batch.records {
            match record {
                Record::Armed(armed) => self.note_armed(batch.node, armed),
                Record::Facts(facts) => {
                    for served in &facts.node_ports {
                        let transport = (served.family, served.protocol);
                        let known = self.node_ports.entry((batch.node, transport));
                        known.or_default().extend(&served.ports);
                    }
                }
                _ => {}
            }
        }
    }

    /// Tells targets apart. Destinations that agree stay together.
    pub(super) fn split(&self, targets: Vec<Target>, duties: &Duties) -> Split {
        let mut split = Split::default();
        for target in targets {
            let Target {
                family,
                protocol,
                ports,
                destinations,
            } = target;
            let transport = (family, protocol);
            let mut alike: BTreeMap<(PortSet, PortSet), Vec<NodeId>> = BTreeMap::new();
            for destination in destinations {
                let bound = self.bound(destination, transport);
                let ours = bound.map_or_else(PortSet::new, |bound| bound.intersection(&ports));
                let theirs = self.theirs(destination, transport, ports.difference(&ours), duties);
                alike.entry((ours, theirs)).or_default().push(destination);
            }
            for ((ours, theirs), destinations) in alike {
                for (ports, whose) in [(ours, &mut split.ours), (theirs, &mut split.theirs)] {
                    if !ports.is_empty() {
                        whose.push(Target {
                            family,
                            protocol,
                            ports,
                            destinations: destinations.clone(),
                        });
                    }
                }
            }
        }
        split
    }

    /// What a node's probe has bound.
    pub(super) fn bound(&self, node: NodeId, transport: Transport) -> Option<&PortSet> {
        self.bound.get(&(node, transport))
    }

    /// Those of the ports without a responder of ours that may be asked all the same.
    ///
    /// 1. No UDP port: a datagram is a word already.
    /// 2. Of a live node's ports that only Services would serve, those which one does serve, or a process holds: the
    ///    others would be refused one and all, by thousands, and nothing would follow from it.
    fn theirs(&self, node: NodeId, transport: Transport, rest: PortSet, duties: &Duties) -> PortSet {
        if transport.1 != Protocol::Tcp {
            return PortSet::new();
        }
        let unheld = self.unheld.get(&(node, transport));
        let (Some(services), Some(unheld)) = (duties.served_by_services(node, transport), unheld) else {
            return rest;
        };
        let mut unserved = services.intersection(unheld);
        if let Some(served) = self.node_ports.get(&(node, transport)) {
            unserved = unserved.difference(served);
        }
        rest.difference(&unserved)
    }

    fn note_armed(&mut self, node: NodeId, armed: &Armed) {
        let key = (node, (armed.family, armed.protocol));
        if !armed.ports.is_empty() {
            self.bound.entry(key).or_default().extend(&armed.ports);
        }
        for refused in &armed.refused {
            if matches!(refused.why, BindFailure::NoListener | BindFailure::Live) {
                self.unheld.entry(key).or_default().extend(&refused.ports);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use plumbline_model::{
        id::RunId,
        observation::{HostFacts, NodePorts, NotBound},
        port::Family,
    };

    use super::{super::duties::Duty, *};

    fn node(last: u8) -> NodeId {
        NodeId::Address(Ipv4Addr::new(10, 0, 0, last).into())
    }

    fn target(ports: &str, destinations: &[u8]) -> Target {
        Target {
            family: Family::Ipv4,
            protocol: Protocol::Tcp,
            ports: ports.parse().unwrap(),
            destinations: destinations.iter().map(|last| node(*last)).collect(),
        }
    }

    fn batch(last: u8, record: Record) -> Batch {
        Batch {
            run: RunId::from_bytes([7; 8]),
            node: node(last),
            seq: 1,
            previous: String::new(),
            roster_sha256: String::new(),
            assignment: 1,
            closed_unix_ms: 0,
            records: vec![record],
        }
    }

    fn armed(last: u8, protocol: Protocol, bound: &str) -> Batch {
        let armed = Armed {
            family: Family::Ipv4,
            protocol,
            ports: bound.parse().unwrap(),
            refused: Vec::new(),
        };
        batch(last, Record::Armed(armed))
    }

    #[test]
    fn only_ports_that_a_probe_has_bound_are_spoken_to() {
        let mut responders = Responders::default();
        responders.note(&armed(1, Protocol::Tcp, "443,9100"));
        responders.note(&armed(2, Protocol::Tcp, "22,80,443,9100"));
        let split = responders.split(vec![target("22,443,9100", &[1, 2, 3])], &Duties::default());
        assert_eq!(
            split.ours,
            [target("22,443,9100", &[2]), target("443,9100", &[1])]
        );
        assert_eq!(split.theirs, [target("22,443,9100", &[3]), target("22", &[1])]);
    }

    #[test]
    fn nothing_is_sent_into_a_udp_port_that_no_probe_has_bound() {
        let mut responders = Responders::default();
        responders.note(&armed(1, Protocol::Udp, "6081"));
        responders.note(&armed(2, Protocol::Tcp, "6081,7946"));
        let udp = |ports, destinations| Target {
            protocol: Protocol::Udp,
            ..target(ports, destinations)
        };
        let split = responders.split(vec![udp("6081,7946", &[1, 2])], &Duties::default());
        assert_eq!(split.ours, [udp("6081", &[1])]);
        assert_eq!(split.theirs, []);
    }

    #[test]
    fn of_a_live_nodes_node_ports_only_those_with_a_service_or_a_listener_are_asked() {
        let (range, tcp) = ("10250,30000-32767", (Family::Ipv4, Protocol::Tcp));
        let duty = Duty {
            services: vec![(tcp, "30000-32767".parse().unwrap())],
            ..Duty::default()
        };
        let duties = Duties(BTreeMap::from([(node(1), duty.clone()), (node(2), duty)]));
        let mut responders = Responders::default();
        let not_bound = |ports: &str, why| NotBound {
            ports: ports.parse().unwrap(),
            why,
        };
        let service = BindFailure::Service {
            process: None,
            pid: None,
        };
        let live = Armed {
            family: Family::Ipv4,
            protocol: Protocol::Tcp,
            ports: PortSet::new(),
            refused: vec![
                not_bound("10250,30000-31999,32001-32767", BindFailure::NoListener),
                not_bound("32000", service),
            ],
        };
        responders.note(&batch(1, Record::Armed(live)));
        let facts = HostFacts {
            node_ports: vec![NodePorts {
                family: Family::Ipv4,
                protocol: Protocol::Tcp,
                ports: "30080,30443".parse().unwrap(),
            }],
            ..HostFacts::default()
        };
        responders.note(&batch(1, Record::Facts(Box::new(facts))));
        responders.note(&armed(2, Protocol::Tcp, range));
        let split = responders.split(vec![target(range, &[1, 2])], &duties);
        assert_eq!(split.ours, [target(range, &[2])]);
        assert_eq!(split.theirs, [target("10250,30080,30443,32000", &[1])]);
    }

    #[test]
    fn a_service_of_one_family_is_not_asked_for_in_the_other() {
        let both = [Family::Ipv4, Family::Ipv6];
        let duty = Duty {
            services: both
                .map(|family| ((family, Protocol::Tcp), "30000-32767".parse().unwrap()))
                .into(),
            ..Duty::default()
        };
        let duties = Duties(BTreeMap::from([(node(1), duty)]));
        let mut responders = Responders::default();
        for family in both {
            let live = Armed {
                family,
                protocol: Protocol::Tcp,
                ports: PortSet::new(),
                refused: vec![NotBound {
                    ports: "30000-32767".parse().unwrap(),
                    why: BindFailure::NoListener,
                }],
            };
            responders.note(&batch(1, Record::Armed(live)));
        }
        let facts = HostFacts {
            node_ports: vec![NodePorts {
                family: Family::Ipv4,
                protocol: Protocol::Tcp,
                ports: "30080".parse().unwrap(),
            }],
            ..HostFacts::default()
        };
        responders.note(&batch(1, Record::Facts(Box::new(facts))));
        let of = |family| Target {
            family,
            ..target("30000-32767", &[1])
        };
        let split = responders.split(both.map(of).into(), &duties);
        assert_eq!(split.theirs, [target("30080", &[1])]);
    }
}
