//! Rules of packet filters that stop some packets and let others of the same kind pass: by rate, by number, by lot.
//!
//! No rule can be convicted of a single test, since nobody knows what it did with that packet. But where tests are lost at
//! times, and a rule on one of the two hosts that would see their packets is such a one, it is what to look at, and what is
//! silent beside them is its doing, too.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    firewall::{Judgement, Place},
    id::NodeId,
    ledger::Ledger,
    port::PortSet,
    verdict::{Cell, Outcome, PairVerdict, Spot, Way},
};

use super::{
    blame::Rule,
    host::{judge, split},
};

/// What such rules explain of each pair, by its index: disjoint ports.
#[derive(Default)]
pub(super) struct Chances(BTreeMap<usize, Vec<(PortSet, Rule)>>);

/// Ports of a pair that a rule may have stopped at times.
struct Suspicion {
    pair: usize,
    ports: PortSet,
    rule: Rule,
    /// Whether that is known to happen to them at times, or on that host.
    is_shown: bool,
    /// Whether they were answered at times.
    is_lossy: bool,
}

impl Chances {
    pub(super) fn of(ledger: &Ledger<'_>, pairs: &[PairVerdict]) -> Self {
        let has_chance = |node: &&NodeId| {
            let log = ledger.node(**node).and_then(|log| log.ruleset);
            log.is_some_and(|told| told.what.has_chance())
        };
        let nodes: BTreeSet<NodeId> = ledger.nodes.keys().filter(has_chance).copied().collect();
        if nodes.is_empty() {
            return Self::default();
        }
        let near = |pair: &PairVerdict| nodes.contains(&pair.src) || nodes.contains(&pair.dst);
        let near = pairs.iter().enumerate().filter(|(_, pair)| near(pair));
        let found = near.flat_map(|(index, pair)| suspicions(ledger, &nodes, index, pair));
        let mut found: Vec<Suspicion> = found.collect();
        let cleared = cleared(ledger, pairs, &found);
        found.retain(|suspicion| !cleared.contains(&(suspicion.rule.node, suspicion.rule.place.clone())));
        Self::weigh(found)
    }

    /// Each port is put down to the rule that has most to show, and to none that has nothing.
    fn weigh(suspicions: Vec<Suspicion>) -> Self {
        let mut shown: BTreeMap<(NodeId, Place), u64> = BTreeMap::new();
        for suspicion in suspicions.iter().filter(|suspicion| suspicion.is_shown) {
            let key = (suspicion.rule.node, suspicion.rule.place.clone());
            *shown.entry(key).or_default() += u64::from(suspicion.ports.count());
        }
        let weight = |rule: &Rule| shown.get(&(rule.node, rule.place.clone())).copied().unwrap_or(0);
        let mut weighed: Vec<(u64, Suspicion)> = suspicions
            .into_iter()
            .map(|suspicion| (weight(&suspicion.rule), suspicion))
            .filter(|(weight, _)| *weight > 0)
            .collect();
        weighed.sort_by(|(one, _), (other, _)| other.cmp(one));
        let mut out: BTreeMap<usize, Vec<(PortSet, Rule)>> = BTreeMap::new();
        for (_, suspicion) in weighed {
            let parts = out.entry(suspicion.pair).or_default();
            let mut ports = suspicion.ports;
            for (taken, _) in parts.iter() {
                ports = ports.difference(taken);
            }
            if ports.is_empty() {
                continue;
            }
            match parts.iter_mut().find(|(_, rule)| *rule == suspicion.rule) {
                Some((own, _)) => own.extend(&ports),
                None => parts.push((ports, suspicion.rule)),
            }
        }
        Self(out)
    }

    /// Which of these ports of a pair such a rule explains.
    pub(super) fn parts(&self, pair: usize, ports: &PortSet) -> Vec<(PortSet, Rule)> {
        let parts = self.0.get(&pair).into_iter().flatten();
        let parts = parts.map(|(own, rule)| (own.intersection(ports), rule.clone()));
        parts.filter(|(own, _)| !own.is_empty()).collect()
    }
}

fn suspicions(
    ledger: &Ledger<'_>,
    nodes: &BTreeSet<NodeId>,
    index: usize,
    pair: &PairVerdict,
) -> Vec<Suspicion> {
    let mut out = Vec::new();
    for cell in &pair.cells {
        for way in [Way::In, Way::AnswerOut, Way::AnswerIn, Way::Out] {
            let node = match way {
                Way::In | Way::AnswerOut => pair.dst,
                Way::Out | Way::AnswerIn => pair.src,
            };
            let Some(is_shown) = fits(pair, cell, way).filter(|_| nodes.contains(&node)) else {
                continue;
            };
            for range in cell.ports.ranges() {
                let asked = split(*range, |port| by_chance(ledger, pair, node, port, way));
                out.extend(asked.into_iter().filter_map(|(range, place)| {
                    let place = place?;
                    Some(Suspicion {
                        pair: index,
                        ports: range.into(),
                        rule: Rule { node, place, way },
                        is_shown,
                        is_lossy: matches!(cell.outcome, Outcome::Lossy { .. }),
                    })
                }));
            }
        }
    }
    out
}

/// Rules that see the packets of other peers as well and leave them alone: what is lost with one peer only is lost on the way
/// to it.
fn cleared(
    ledger: &Ledger<'_>,
    pairs: &[PairVerdict],
    suspicions: &[Suspicion],
) -> BTreeSet<(NodeId, Place)> {
    let mut shown: BTreeMap<(NodeId, &Place), Vec<&Suspicion>> = BTreeMap::new();
    for suspicion in suspicions.iter().filter(|suspicion| suspicion.is_shown) {
        let key = (suspicion.rule.node, &suspicion.rule.place);
        shown.entry(key).or_default().push(suspicion);
    }
    let peer = |node: NodeId, pair: &PairVerdict| if pair.src == node { pair.dst } else { pair.src };
    let is_cleared = |node: NodeId, place: &Place, shown: &[&Suspicion]| {
        let peers: BTreeSet<NodeId> = shown.iter().map(|own| peer(node, &pairs[own.pair])).collect();
        let lossy = |own: &&Suspicion| own.is_lossy;
        if peers.len() > 1 || !shown.iter().all(lossy) {
            return false;
        }
        let is_clean = |pair: &PairVerdict| {
            pair.cells.iter().all(|cell| cell.outcome.is_open())
                && shown.iter().any(|own| {
                    let (lossy, way) = (&pairs[own.pair], own.rule.way);
                    let is_same_way = (pair.src == node) == (lossy.src == node);
                    let port = pair.planned.ranges().first().map(|range| range.first());
                    let seen = || port.and_then(|port| by_chance(ledger, pair, node, port, way));
                    is_same_way
                        && pair.transport == lossy.transport
                        && pair.planned.count() >= lossy.planned.count()
                        && seen().as_ref() == Some(place)
                })
        };
        let near = pairs.iter().filter(|pair| pair.src == node || pair.dst == node);
        let clean: BTreeSet<NodeId> = near
            .filter(|pair| is_clean(pair))
            .map(|pair| peer(node, pair))
            .filter(|peer| !peers.contains(peer))
            .collect();
        clean.len() >= CLEAN_PEERS
    };
    let cleared = shown
        .iter()
        .filter(|((node, place), shown)| is_cleared(*node, place, shown));
    cleared
        .map(|((node, place), _)| (*node, (*place).clone()))
        .collect()
}

/// Whether tests may have ended on this way through a packet filter, and whether that shows.
fn fits(pair: &PairVerdict, cell: &Cell, way: Way) -> Option<bool> {
    let there = match way {
        Way::In | Way::AnswerOut => Spot::Destination,
        Way::AnswerIn => Spot::SourceIn,
        Way::Out => Spot::SourceOut,
    };
    match cell.outcome {
        Outcome::Lossy { .. } => Some(true),
        Outcome::LocalBlocked if way == Way::Out => Some(true),
        Outcome::Filtered | Outcome::FilteredForward | Outcome::FilteredReturn => match cell.spot {
            spot if spot == there => Some(true),
            // Of many tests of a pair chance lets some pass.
            Spot::Unknown => (is_some(pair)).then_some(false),
            _ => None,
        },
        _ => None,
    }
}

/// Whether so few of a pair are silent, or so many are not, that chance may have chosen them.
fn is_some(pair: &PairVerdict) -> bool {
    let silent = pair.cells.iter().filter(|cell| {
        matches!(
            cell.outcome,
            Outcome::Filtered | Outcome::FilteredForward | Outcome::FilteredReturn
        )
    });
    let silent: u32 = silent.map(|cell| cell.ports.count()).sum();
    silent <= FEW || silent < pair.planned.count()
}

/// The rule on this way at which it depends on chance whether the packet passes.
fn by_chance(ledger: &Ledger<'_>, pair: &PairVerdict, node: NodeId, port: u16, way: Way) -> Option<Place> {
    match judge(ledger, pair.src, pair.dst, pair.transport, port, way)? {
        Judgement::Unknown {
            place: Some(place), ..
        } => {
            let ruleset = ledger.node(node)?.ruleset?.what;
            ruleset.is_by_chance(&place).then_some(place)
        }
        _ => None,
    }
}

/// Chance that leaves so many peers alone, of which each was asked as much, and strikes one is no chance.
const CLEAN_PEERS: usize = 2;
/// So few tests of a pair may all be lost by chance.
const FEW: u32 = 3;
