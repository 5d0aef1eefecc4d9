//! Which ports services of the nodes hold, as their probes told when they were armed: sources connect to those without a
//! word and close in order, for there is nobody who could prove to be our responder.

use std::collections::BTreeMap;

use plumbline_model::{
    evidence::Batch,
    id::NodeId,
    observation::Record,
    plan::Target,
    port::{Family, PortSet, Protocol},
    verdict::is_live_service,
};

/// Ports that are held by right: every port of a live node, sshd's on any.
#[derive(Debug, Default)]
pub(super) struct Services {
    held: BTreeMap<(NodeId, Family, Protocol), PortSet>,
}

/// Targets, told apart by who answers there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    /// Responders of ours should.
    pub(super) ours: Vec<Target>,
    /// Services do.
    pub(super) theirs: Vec<Target>,
}

impl Services {
    /// Takes note of what a batch tells.
    pub(super) fn note(&mut self, batch: &Batch) {
        for record in &batch.records {
            let Record::Armed(armed) = record else { continue };
            let held = armed.refused.iter().flat_map(|refused| {
                refused
                    .ports
                    .iter()
                    .filter(|port| is_live_service(*port, &refused.why))
            });
            let held: PortSet = held.collect();
            if !held.is_empty() {
                self.held
                    .entry((batch.node, armed.family, armed.protocol))
                    .or_default()
                    .extend(&held);
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
            let mut by_held: BTreeMap<PortSet, Vec<NodeId>> = BTreeMap::new();
            for destination in destinations {
                let held = self.held.get(&(destination, family, protocol));
                let held = held.map_or_else(PortSet::new, |held| held.intersection(&ports));
                by_held.entry(held).or_default().push(destination);
            }
            for (held, destinations) in by_held {
                let rest = ports.difference(&held);
                if !rest.is_empty() {
                    let destinations = destinations.clone();
                    split.ours.push(Target {
                        family,
                        protocol,
                        ports: rest,
                        destinations,
                    });
                }
                if !held.is_empty() {
                    split.theirs.push(Target {
                        family,
                        protocol,
                        ports: held,
                        destinations,
                    });
                }
            }
        }
        split
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use plumbline_model::{
        id::RunId,
        observation::{Armed, BindFailure, NotBound},
    };

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

    fn armed(last: u8, refused: &[(&str, BindFailure)]) -> Batch {
        let refused = refused.iter().map(|(ports, why)| NotBound {
            ports: ports.parse().unwrap(),
            why: why.clone(),
        });
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
                protocol: Protocol::Tcp,
                ports: PortSet::new(),
                refused: refused.collect(),
            })],
        }
    }

    #[test]
    fn sshd_and_live_nodes_are_not_spoken_to_and_squatters_are() {
        let taken = |process: &str| BindFailure::Taken {
            process: Some(process.to_owned()),
            pid: Some(1),
        };
        let mut services = Services::default();
        services.note(&armed(1, &[("22", taken("sshd")), ("9100", taken("nc"))]));
        services.note(&armed(3, &[("22,443,9100", BindFailure::Live)]));
        let split = services.split(vec![target("22,443,9100", &[1, 2, 3])]);
        assert_eq!(
            split.ours,
            [target("22,443,9100", &[2]), target("443,9100", &[1])]
        );
        assert_eq!(split.theirs, [target("22", &[1]), target("22,443,9100", &[3])]);
    }
}
