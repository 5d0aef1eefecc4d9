//! Where responders of ours stand, as probes told when they were armed: only there a source says hello. Everywhere else (a
//! live node's ports, sshd's, a squatter's, those of a probe that armed nothing, ports that must not answer) it connects
//! without a word and closes in order, since whoever answers there serves somebody. UDP has no connection: there it says
//! nothing at all, for a datagram is a word already.

use std::collections::BTreeMap;

use plumbline_model::{
    evidence::Batch,
    id::NodeId,
    observation::Record,
    plan::Target,
    port::{Family, PortSet, Protocol},
};

/// Ports that are bound by probes.
#[derive(Debug, Default)]
pub(super) struct Responders {
    bound: BTreeMap<(NodeId, Family, Protocol), PortSet>,
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
            if let Record::Armed(armed) = record
                && !armed.ports.is_empty()
            {
                self.bound
                    .entry((batch.node, armed.family, armed.protocol))
                    .or_default()
                    .extend(&armed.ports);
            }
        }
    }

    /// Tells targets apart. Destinations that agree stay together.
    pub(super) fn split(&self, targets: Vec<Target>) -> Split {
        let mut split = Split::default();
        for target in targets {
            let Target {
                family,
                protocol,
                ports,
                destinations,
            } = target;
            let mut by_bound: BTreeMap<PortSet, Vec<NodeId>> = BTreeMap::new();
            for destination in destinations {
                let bound = self.bound.get(&(destination, family, protocol));
                let bound = bound.map_or_else(PortSet::new, |bound| bound.intersection(&ports));
                by_bound.entry(bound).or_default().push(destination);
            }
            for (bound, destinations) in by_bound {
                let rest = match protocol {
                    Protocol::Tcp => ports.difference(&bound),
                    _ => PortSet::new(),
                };
                for (ports, whose) in [(bound, &mut split.ours), (rest, &mut split.theirs)] {
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
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use plumbline_model::{id::RunId, observation::Armed};

    use super::*;

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

    fn armed(last: u8, protocol: Protocol, bound: &str) -> Batch {
        Batch {
            run: RunId::from_bytes([7; 8]),
            node: node(last),
            seq: 1,
            previous: String::new(),
            roster_sha256: String::new(),
            assignment: 1,
            closed_unix_ms: 0,
            records: vec![Record::Armed(Armed {
                family: Family::Ipv4,
                protocol,
                ports: bound.parse().unwrap(),
                refused: Vec::new(),
            })],
        }
    }

    #[test]
    fn only_ports_that_a_probe_has_bound_are_spoken_to() {
        let mut responders = Responders::default();
        responders.note(&armed(1, Protocol::Tcp, "443,9100"));
        responders.note(&armed(2, Protocol::Tcp, "22,80,443,9100"));
        let split = responders.split(vec![target("22,443,9100", &[1, 2, 3])]);
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
        let split = responders.split(vec![udp("6081,7946", &[1, 2])]);
        assert_eq!(split.ours, [udp("6081", &[1])]);
        assert_eq!(split.theirs, []);
    }
}
