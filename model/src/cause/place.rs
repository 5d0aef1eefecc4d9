//! Where failing tests end that no capture watched: the second look takes a sample of what failed, and what failed in the
//! same way beside a sampled test most likely ended in the same place. The outcomes stay what was measured; only the
//! search for causes goes by the place.

use std::collections::BTreeMap;

use crate::{
    id::NodeId,
    ledger::{Ledger, Transport},
    port::{PortRange, PortSet},
    range_map::RangeMap,
    verdict::{Cell, Outcome, PairVerdict, Spot},
};

use super::{
    blame::Side,
    host::{Opinion, ask, ask_range},
};

/// Gives every unwatched failing test the place of its nearest sampled neighbour: in its own pair, else of the same port
/// at the same destination, else of the same port from the same source. A test that the destination's packet filter is
/// known to stop needs none.
pub(crate) fn place_unsampled(ledger: &Ledger<'_>, pairs: &mut [PairVerdict]) {
    let elsewhere = Elsewhere::of(pairs);
    for pair in pairs {
        let is_open = |cell: &Cell| way_of_failing(&cell.outcome).is_some() && cell.spot == Spot::Unknown;
        if !pair.cells.iter().any(is_open) {
            continue;
        }
        let mut cells = Vec::with_capacity(pair.cells.len());
        for cell in &pair.cells {
            match way_of_failing(&cell.outcome) {
                Some(way) if cell.spot == Spot::Unknown => {
                    for (spot, ports) in placed(ledger, pair, cell, way, &elsewhere) {
                        cells.push(Cell {
                            ports,
                            spot,
                            ..cell.clone()
                        });
                    }
                }
                _ => cells.push(cell.clone()),
            }
        }
        pair.cells = cells;
    }
}

/// Failures that look the same to the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Silence,
    Reset,
    Impostor,
}

fn way_of_failing(outcome: &Outcome) -> Option<Way> {
    match outcome {
        Outcome::Filtered | Outcome::FilteredForward | Outcome::FilteredReturn | Outcome::LocalBlocked => {
            Some(Way::Silence)
        }
        Outcome::Rejected { icmp: None, .. } => Some(Way::Reset),
        Outcome::IdentityMismatch => Some(Way::Impostor),
        _ => None,
    }
}

/// Spots by port; `None` where neighbours disagree.
type Spots = RangeMap<Option<Spot>>;

/// What captures told about other pairs.
struct Elsewhere {
    at_destination: BTreeMap<(NodeId, Transport, Way), Spots>,
    at_source: BTreeMap<(NodeId, Transport, Way), Spots>,
}

impl Elsewhere {
    fn of(pairs: &[PairVerdict]) -> Self {
        let mut by_destination: BTreeMap<_, Vec<(PortRange, Option<Spot>)>> = BTreeMap::new();
        let mut by_source: BTreeMap<_, Vec<(PortRange, Option<Spot>)>> = BTreeMap::new();
        for pair in pairs {
            for cell in &pair.cells {
                let Some(way) = way_of_failing(&cell.outcome) else {
                    continue;
                };
                let runs = cell.ports.ranges().iter().map(|range| (*range, Some(cell.spot)));
                match cell.spot {
                    Spot::Unknown => {}
                    Spot::SourceOut | Spot::SourceIn => {
                        by_source
                            .entry((pair.src, pair.transport, way))
                            .or_default()
                            .extend(runs);
                    }
                    Spot::Forward | Spot::Destination | Spot::Return => {
                        by_destination
                            .entry((pair.dst, pair.transport, way))
                            .or_default()
                            .extend(runs);
                    }
                }
            }
        }
        let collect = |runs: BTreeMap<_, Vec<(PortRange, Option<Spot>)>>| {
            let agree = |a: Option<Spot>, b: Option<Spot>| a.filter(|_| a == b);
            runs.into_iter()
                .map(|(key, runs)| (key, RangeMap::collect(&runs, agree)))
                .collect()
        };
        Self {
            at_destination: collect(by_destination),
            at_source: collect(by_source),
        }
    }

    fn spot(&self, pair: &PairVerdict, way: Way, port: u16) -> Spot {
        let at = |map: &BTreeMap<_, Spots>, node| map.get(&(node, pair.transport, way))?.get(port).flatten();
        at(&self.at_destination, pair.dst)
            .or_else(|| at(&self.at_source, pair.src))
            .unwrap_or(Spot::Unknown)
    }
}

/// The ports of an unwatched cell by their likely place.
fn placed(
    ledger: &Ledger<'_>,
    pair: &PairVerdict,
    cell: &Cell,
    way: Way,
    elsewhere: &Elsewhere,
) -> BTreeMap<Spot, PortSet> {
    let siblings: Vec<(u16, Spot)> = pair
        .cells
        .iter()
        .filter(|sibling| sibling.spot != Spot::Unknown && way_of_failing(&sibling.outcome) == Some(way))
        .flat_map(|sibling| sibling.ports.iter().map(|port| (port, sibling.spot)))
        .collect();
    let stopped_there = |port| {
        let opinion = ask(ledger, pair.src, pair.dst, pair.transport, port, Side::In);
        matches!(opinion, Opinion::Stops(_))
    };
    // Neighbours that the destination's rules stop say nothing about a port that the same rules accept.
    let unstopped: Vec<(u16, Spot)> = siblings
        .iter()
        .copied()
        .filter(|(port, spot)| *spot != Spot::Destination || !stopped_there(*port))
        .collect();
    let mut out: BTreeMap<Spot, PortSet> = BTreeMap::new();
    for range in cell.ports.ranges() {
        let key = (pair.src, pair.dst, pair.transport);
        for (range, opinion) in ask_range(ledger, key, *range, Side::In) {
            let near = match opinion {
                Opinion::Stops(_) => {
                    out.entry(Spot::Unknown).or_default().insert(range);
                    continue;
                }
                Opinion::Accepts => &unstopped,
                Opinion::None => &siblings,
            };
            for (range, spot) in by_nearest(range, near) {
                let spot = spot.unwrap_or_else(|| elsewhere.spot(pair, way, range.first()));
                out.entry(spot).or_default().insert(range);
            }
        }
    }
    out
}

/// A range cut where the nearest neighbour (by port number) changes its place. Without neighbours it stays whole.
fn by_nearest(range: PortRange, near: &[(u16, Spot)]) -> Vec<(PortRange, Option<Spot>)> {
    let Some((_, first)) = near.first() else {
        return vec![(range, None)];
    };
    if near.iter().all(|(_, spot)| spot == first) {
        return vec![(range, Some(*first))];
    }
    let nearest = |port: u16| {
        near.iter()
            .min_by_key(|(other, _)| other.abs_diff(port))
            .map(|(_, spot)| *spot)
    };
    range
        .iter()
        .filter_map(|port| Some((PortRange::single(port)?, nearest(port))))
        .collect()
}
