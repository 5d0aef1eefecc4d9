//! What is tested a second time, with both ends capturing: a bounded sample of what failed, spread over pairs and ports,
//! so that every cause has a test that tells where its packets end.

use std::collections::{BTreeMap, BTreeSet};

use plumbline_model::{
    evidence::Batch,
    id::NodeId,
    observation::{End, Record, Signal},
    plan::Target,
    port::{Family, PortSet, Protocol},
    verdict::is_live_service,
};
use plumbline_proto::convert::Watch;

/// What failed so far.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// Ports that failed in the first look, by source, destination and transport.
    failed: BTreeMap<(NodeId, NodeId), BTreeMap<(Family, Protocol), PortSet>>,
    /// Ports that a destination could not bind, and that no service holds by right: their failing has its explanation.
    unbound: BTreeMap<NodeId, BTreeMap<(Family, Protocol), PortSet>>,
    /// Sources whose own host is suspect: it refused to send, or kept an answer that a capture saw arrive.
    suspects: BTreeSet<NodeId>,
}

/// What to ask and to watch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SecondLook {
    /// What each source asks again.
    pub(super) asks: BTreeMap<NodeId, Vec<Target>>,
    /// What each end watches.
    pub(super) watches: BTreeMap<NodeId, Vec<Watch>>,
}

impl Failures {
    /// Takes note of what a batch tells.
    pub(super) fn note(&mut self, batch: &Batch) {
        for record in &batch.records {
            match record {
                Record::Reach(reach) if !reach.second_look && tells_of_the_path(&reach.signal) => {
                    let pair = self.failed.entry((batch.node, reach.dst)).or_default();
                    pair.entry((reach.family, reach.protocol))
                        .or_default()
                        .extend(&reach.ports);
                    if matches!(reach.signal, Signal::LocalDenied { .. }) {
                        self.suspects.insert(batch.node);
                    }
                }
                Record::Armed(armed) => {
                    let unbound = self.unbound.entry(batch.node).or_default();
                    let ports = unbound.entry((armed.family, armed.protocol)).or_default();
                    for refused in &armed.refused {
                        let squatted = |port: &u16| !is_live_service(*port, &refused.why);
                        ports.extend(&refused.ports.iter().filter(squatted).collect());
                    }
                }
                Record::Seen(seen) if seen.end == End::Source && seen.answers > 0 => {
                    if self.failed.contains_key(&(batch.node, seen.peer)) {
                        self.suspects.insert(batch.node);
                    }
                }
                Record::Facts(_) | Record::Reach(_) | Record::Heard(_) | Record::Seen(_) => {}
            }
        }
    }

    /// The nodes whose packet filter is worth reading again: destinations of what failed, and sources that are suspect.
    pub(super) fn to_survey(&self) -> BTreeSet<NodeId> {
        self.failed
            .keys()
            .map(|(_, destination)| *destination)
            .chain(self.suspects.iter().copied())
            .collect()
    }

    /// Chooses the second look among nodes that are `here`; a pair of which neither end can capture is left out.
    pub(super) fn second_look(
        &self,
        here: impl Fn(NodeId) -> bool,
        captures: impl Fn(NodeId) -> bool,
    ) -> SecondLook {
        let mut candidates: Vec<Candidate> = self
            .failed
            .iter()
            .filter(|((src, dst), _)| here(*src) && here(*dst) && (captures(*src) || captures(*dst)))
            .flat_map(|((src, dst), by_transport)| {
                by_transport.iter().map(|((family, protocol), ports)| {
                    let unbound = self.unbound.get(dst).and_then(|of| of.get(&(*family, *protocol)));
                    let ports = unbound.map_or_else(|| ports.clone(), |unbound| ports.difference(unbound));
                    Candidate {
                        src: *src,
                        dst: *dst,
                        family: *family,
                        protocol: *protocol,
                        ports,
                    }
                })
            })
            .filter(|candidate| !candidate.ports.is_empty())
            .collect();
        let share = MOST_TESTS / candidates.len().max(1);
        let each = share.clamp(1, MOST_PORTS_A_PAIR);
        // More failing pairs than tests: every k-th pair, so that each part of the matrix keeps some.
        let every = candidates.len().div_ceil(MOST_TESTS).max(1);
        let mut index = 0;
        candidates.retain(|_| {
            index += 1;
            (index - 1) % every == 0
        });
        let mut look = SecondLook::default();
        for candidate in candidates {
            look.add(&candidate, sample(&candidate.ports, each), &captures);
        }
        look
    }
}

struct Candidate {
    src: NodeId,
    dst: NodeId,
    family: Family,
    protocol: Protocol,
    ports: PortSet,
}

impl SecondLook {
    fn add(&mut self, of: &Candidate, ports: PortSet, captures: impl Fn(NodeId) -> bool) {
        for (node, peer, end) in [(of.src, of.dst, End::Source), (of.dst, of.src, End::Destination)] {
            if captures(node) {
                let watch = Watch {
                    peer,
                    end,
                    family: of.family,
                    protocol: of.protocol,
                    ports: ports.clone(),
                };
                self.watches.entry(node).or_default().push(watch);
            }
        }
        let targets = self.asks.entry(of.src).or_default();
        let same = targets.iter_mut().find(|target| {
            (target.family, target.protocol, &target.ports) == (of.family, of.protocol, &ports)
        });
        match same {
            Some(target) => target.destinations.push(of.dst),
            None => targets.push(Target {
                family: of.family,
                protocol: of.protocol,
                ports,
                destinations: vec![of.dst],
            }),
        }
    }
}

/// Whether a capture could tell more about such an end of a test.
fn tells_of_the_path(signal: &Signal) -> bool {
    match signal {
        Signal::Unproven { .. }
        | Signal::Refused
        | Signal::Icmp { .. }
        | Signal::Silence
        | Signal::LocalDenied { .. } => true,
        Signal::Verified
        | Signal::Connected
        | Signal::NoRoute
        | Signal::NeighborUnresolved
        | Signal::Exhausted { .. }
        | Signal::AnsweredFrom { .. }
        | Signal::NotTried { .. } => false,
    }
}

/// At most `most` ports: the first of each range (rules name single ports and ranges, so each rule that failed keeps one as
/// long as there is room), then evenly spaced ones of the rest.
fn sample(ports: &PortSet, most: usize) -> PortSet {
    if ports.count() as usize <= most {
        return ports.clone();
    }
    let firsts: PortSet = evenly(ports.ranges().iter().map(|range| range.first()).collect(), most);
    let room = most - firsts.count() as usize;
    let mut chosen = evenly(ports.difference(&firsts).iter().collect(), room);
    chosen.extend(&firsts);
    chosen
}

fn evenly(ports: Vec<u16>, most: usize) -> PortSet {
    let step = ports.len().div_ceil(most.max(1)).max(1);
    ports.into_iter().step_by(step).take(most).collect()
}

/// Enough to see whether the ports of a pair share a fate, few enough that asking each of them three times in vain takes
/// seconds at the default of twenty a second.
const MOST_PORTS_A_PAIR: usize = 64;

/// Over all pairs: what a thousand nodes that lost everything may add to a run.
const MOST_TESTS: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_keeps_one_port_of_each_range_and_spreads_the_rest() {
        let ports: PortSet = "22,443,30000-32767".parse().unwrap();
        let chosen = sample(&ports, 8);
        assert_eq!(chosen.count(), 8);
        for port in [22, 443, 30000] {
            assert!(chosen.contains(port), "{port} of {chosen}");
        }
        assert!(chosen.iter().any(|port| port > 32_000), "{chosen}");
    }

    #[test]
    fn few_ports_are_all_kept() {
        let ports: PortSet = "1-64".parse().unwrap();
        assert_eq!(sample(&ports, 64), ports);
    }

    #[test]
    fn more_single_ports_than_room_are_thinned_and_not_cut_off() {
        let ports: PortSet = (1..=200).map(|i| i * 2).collect();
        let chosen = sample(&ports, 10);
        assert!(
            chosen.count() <= 10 && chosen.iter().any(|port| port > 350),
            "{chosen}"
        );
    }
}
