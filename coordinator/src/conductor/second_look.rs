//! What is tested a second time, with both ends capturing: a bounded sample of what failed, spread over pairs and ports,
//! so that every cause has a test that tells where its packets end.
//!
//! Where somebody rejected some ports of a pair by ICMP errors and others stayed silent, the silent ones may be rejected as
//! well and told of no more: ICMP errors are limited in rate (Linux: one a second and peer after a burst of six; routers
//! less). Of such a pair a few ports are asked at one a second instead of many at once.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::IpAddr,
};

use plumbline_model::{id::NodeId, observation::End, plan::Target, port::PortSet};
use plumbline_proto::convert::Watch;

use super::{
    duties::{TRANSPORTS, Transport},
    failures::{Failures, Fared, Pair},
    narrowing::SharedRanges,
};

/// What to ask and to watch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SecondLook {
    /// What each source asks again.
    pub(super) asks: BTreeMap<NodeId, Vec<Target>>,
    /// What each source asks again slowly.
    pub(super) slow_asks: BTreeMap<NodeId, Vec<Target>>,
    /// What each end watches.
    pub(super) watches: BTreeMap<NodeId, Vec<Watch>>,
}

/// Who can take part in a second look.
pub(super) struct Company<'a> {
    /// Whether a node still takes part.
    pub(super) is_here: &'a dyn Fn(NodeId) -> bool,
    /// Whether a node can capture.
    pub(super) captures: &'a dyn Fn(NodeId) -> bool,
    /// Whether an address is a participant's: then its limit of ICMP errors is for each peer, not for all of them.
    pub(super) is_members: &'a dyn Fn(IpAddr) -> bool,
}

impl SecondLook {
    /// Chooses the second look; a pair of which neither end can capture is left out.
    pub(super) fn choose(failures: &Failures, shared: &SharedRanges, company: &Company<'_>) -> Self {
        let mut candidates = candidates(failures, company);
        let share = MOST_TESTS / candidates.len().max(1);
        let each = share.clamp(1, MOST_PORTS_A_PAIR);
        // More failing pairs than tests: every k-th pair, so that each part of the matrix keeps some.
        let every = candidates.len().div_ceil(MOST_TESTS).max(1);
        let mut index = 0;
        candidates.retain(|_| {
            index += 1;
            (index - 1) % every == 0
        });
        let mut look = Self::default();
        let mut slow_pairs = BTreeMap::new();
        let shared: BTreeMap<Transport, PortSet> = TRANSPORTS.map(|of| (of, shared.ports(of))).into();
        for candidate in candidates {
            let shared = &shared[&candidate.pair.2];
            let (ports, most, haste) = match candidate.hushed(&mut slow_pairs, company) {
                Some(silent) => (silent, SLOW_PORTS_A_PAIR, Haste::Slow),
                None => (candidate.ports.clone(), each, Haste::AtPace),
            };
            look.add(&candidate, sample(&ports, shared, most), haste, company);
        }
        look
    }

    /// Whether nothing is asked.
    pub(super) fn is_empty(&self) -> bool {
        self.asks.is_empty() && self.slow_asks.is_empty()
    }

    fn add(&mut self, of: &Candidate<'_>, ports: PortSet, haste: Haste, company: &Company<'_>) {
        let (src, dst, (family, protocol)) = of.pair;
        for (node, peer, end) in [(src, dst, End::Source), (dst, src, End::Destination)] {
            if (company.captures)(node) {
                let watch = Watch {
                    peer,
                    end,
                    family,
                    protocol,
                    ports: ports.clone(),
                };
                self.watches.entry(node).or_default().push(watch);
            }
        }
        let asks = match haste {
            Haste::AtPace => &mut self.asks,
            Haste::Slow => &mut self.slow_asks,
        };
        add_target(asks.entry(src).or_default(), of.pair, ports);
    }
}

/// Adds ports of a pair to what its source asks; destinations of equal ports share a target. Pairs come in ascending order.
pub(super) fn add_target(targets: &mut Vec<Target>, pair: Pair, ports: PortSet) {
    let (_, dst, (family, protocol)) = pair;
    let same = targets
        .iter_mut()
        .find(|target| (target.family, target.protocol, &target.ports) == (family, protocol, &ports));
    match same {
        Some(target) => target.destinations.push(dst),
        None => targets.push(Target {
            family,
            protocol,
            ports,
            destinations: vec![dst],
        }),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Haste {
    AtPace,
    Slow,
}

struct Candidate<'a> {
    pair: Pair,
    fared: &'a Fared,
    /// What failed without an explanation.
    ports: PortSet,
}

fn candidates<'a>(failures: &'a Failures, company: &Company<'_>) -> Vec<Candidate<'a>> {
    let watched = |(src, dst, _): Pair| {
        (company.is_here)(src)
            && (company.is_here)(dst)
            && ((company.captures)(src) || (company.captures)(dst))
    };
    let candidates = failures.pairs().filter(|(pair, _)| watched(*pair));
    candidates
        .map(|(pair, fared)| Candidate {
            pair,
            fared,
            ports: unexplained(failures, pair.1, pair.2, &fared.failed),
        })
        .filter(|candidate| !candidate.ports.is_empty())
        .collect()
}

fn unexplained(failures: &Failures, dst: NodeId, transport: Transport, failed: &PortSet) -> PortSet {
    let unbound = failures.unbound(dst, transport);
    unbound.map_or_else(|| failed.clone(), |unbound| failed.difference(unbound))
}

impl Candidate<'_> {
    /// The ports of which some are to be asked slowly, where an offender's limit may hide rejections and there is room at that offender.
    fn hushed(&self, slow_pairs: &mut BTreeMap<IpAddr, usize>, company: &Company<'_>) -> Option<PortSet> {
        let offender = self.fared.offender?;
        let silent = self.fared.silent.intersection(&self.ports);
        if silent.is_empty() {
            return None;
        }
        if !(company.is_members)(offender) {
            match slow_pairs.entry(offender) {
                Entry::Occupied(mut pairs) if *pairs.get() < MOST_SLOW_PAIRS_A_ROUTER => {
                    *pairs.get_mut() += 1
                }
                Entry::Occupied(_) => return None,
                Entry::Vacant(pairs) => {
                    pairs.insert(1);
                }
            }
        }
        Some(silent)
    }
}

/// At most `most` ports. Rules name single ports and ranges, so the first of each range comes first: each rule that failed keeps
/// one as long as there is room. A range that is shared among sources is one range, of which a source's share is every k-th
/// port. What room is left goes to evenly spaced ones of the rest.
fn sample(ports: &PortSet, shared: &PortSet, most: usize) -> PortSet {
    if ports.count() as usize <= most {
        return ports.clone();
    }
    let of_shares = ports.intersection(shared);
    let others = ports.difference(shared);
    let kept_for_shares = usize::from(!of_shares.is_empty());
    let firsts: Vec<u16> = others.ranges().iter().map(|range| range.first()).collect();
    let mut chosen = evenly(firsts, most.saturating_sub(kept_for_shares));
    chosen.extend(&evenly(of_shares.iter().collect(), kept_for_shares));
    let room = most - chosen.count() as usize;
    chosen.extend(&evenly(ports.difference(&chosen).iter().collect(), room));
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

/// Ports of a pair and transport that are asked at one a second: enough to see whether the silent ones are rejected, and
/// three seconds for each family.
const SLOW_PORTS_A_PAIR: usize = 3;

/// Pairs whose offender is nobody of ours, a router: some send two ICMP errors a second in all (Cisco IOS by default), so that
/// many pairs at one a second each would hide each other's rejections again.
const MOST_SLOW_PAIRS_A_ROUTER: usize = 4;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_keeps_one_port_of_each_range_and_spreads_the_rest() {
        let ports: PortSet = "22,443,30000-32767".parse().unwrap();
        let chosen = sample(&ports, &PortSet::new(), 8);
        assert_eq!(chosen.count(), 8);
        for port in [22, 443, 30000] {
            assert!(chosen.contains(port), "{port} of {chosen}");
        }
        assert!(chosen.iter().any(|port| port > 32_000), "{chosen}");
    }

    #[test]
    fn few_ports_are_all_kept() {
        let ports: PortSet = "1-64".parse().unwrap();
        assert_eq!(sample(&ports, &PortSet::new(), 64), ports);
    }

    #[test]
    fn more_single_ports_than_room_are_thinned_and_not_cut_off() {
        let ports: PortSet = (1..=200).map(|i| i * 2).collect();
        let chosen = sample(&ports, &PortSet::new(), 10);
        assert!(
            chosen.count() <= 10 && chosen.iter().any(|port| port > 350),
            "{chosen}"
        );
    }

    #[test]
    fn a_share_of_a_range_is_one_range_and_crowds_out_no_single_port() {
        let shared: PortSet = "30000-32767".parse().unwrap();
        let mut ports: PortSet = (30_000..32_768).step_by(59).collect();
        ports.insert_port(443);
        ports.insert_port(10_250);
        let chosen = sample(&ports, &shared, 3);
        assert_eq!(chosen.count(), 3);
        assert!(chosen.contains(443) && chosen.contains(10_250), "{chosen}");
        assert!(!chosen.intersection(&shared).is_empty(), "{chosen}");
    }
}
