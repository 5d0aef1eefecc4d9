//! Where failing tests end that no capture watched: the second look takes a sample of what failed, and what failed in the
//! same way beside a sampled test most likely ended in the same place. The outcomes stay what was measured; only the
//! search for causes goes by the place.

use std::collections::BTreeMap;

use crate::{
    id::NodeId,
    ledger::{Ledger, Transport},
    port::{PortRange, PortSet},
    range_map::RangeMap,
    verdict::{Cell, Outcome, PairVerdict, Spot, Way},
};

use super::host::{Opinion, ask, ask_range};

/// Gives every unwatched failing test the place of its nearest sampled neighbour: in its own pair, else of the same port
/// at the same destination, else of the same port from the same source. A test that the destination's packet filter is
/// known to stop needs none.
pub(crate) fn place_unsampled(ledger: &Ledger<'_>, pairs: &mut [PairVerdict]) {
    let elsewhere = Elsewhere::of(ledger, pairs);
    for pair in pairs {
        let is_open = |cell: &Cell| symptom_of(&cell.outcome).is_some() && cell.spot == Spot::Unknown;
        if !pair.cells.iter().any(is_open) {
            continue;
        }
        let mut cells = Vec::with_capacity(pair.cells.len());
        for cell in &pair.cells {
            match symptom_of(&cell.outcome) {
                Some(symptom) if cell.spot == Spot::Unknown => {
                    for (spot, ports) in placed(ledger, pair, cell, symptom, &elsewhere) {
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
enum Symptom {
    Silence,
    Reset,
    Impostor,
}

fn symptom_of(outcome: &Outcome) -> Option<Symptom> {
    match outcome {
        Outcome::Filtered | Outcome::FilteredForward | Outcome::FilteredReturn | Outcome::LocalBlocked => {
            Some(Symptom::Silence)
        }
        Outcome::Rejected { icmp: None, .. } => Some(Symptom::Reset),
        Outcome::IdentityMismatch { .. } => Some(Symptom::Impostor),
        _ => None,
    }
}

/// What a capture told of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sample {
    spot: Spot,
    /// Whether a rule of the packet filter at that spot explains it: then it says nothing about a test which the same
    /// packet filter accepts.
    by_rule: bool,
}

/// Samples by port; `None` where they disagree.
type Samples = RangeMap<Option<Sample>>;

/// What captures told about other pairs.
struct Elsewhere {
    at_destination: BTreeMap<(NodeId, Transport, Symptom), Samples>,
    at_source: BTreeMap<(NodeId, Transport, Symptom), Samples>,
}

impl Elsewhere {
    fn of(ledger: &Ledger<'_>, pairs: &[PairVerdict]) -> Self {
        let mut by_destination: BTreeMap<_, Vec<(PortRange, Option<Sample>)>> = BTreeMap::new();
        let mut by_source: BTreeMap<_, Vec<(PortRange, Option<Sample>)>> = BTreeMap::new();
        for pair in pairs {
            for (symptom, range, sample) in samples(ledger, pair) {
                let run = (range, Some(sample));
                match sample.spot {
                    Spot::Unknown => {}
                    Spot::SourceOut | Spot::SourceIn => {
                        by_source
                            .entry((pair.src, pair.transport, symptom))
                            .or_default()
                            .push(run);
                    }
                    Spot::Forward | Spot::Destination | Spot::Return => {
                        by_destination
                            .entry((pair.dst, pair.transport, symptom))
                            .or_default()
                            .push(run);
                    }
                }
            }
        }
        let collect = |runs: BTreeMap<_, Vec<(PortRange, Option<Sample>)>>| {
            let agree = |a: Option<Sample>, b: Option<Sample>| a.filter(|_| a == b);
            runs.into_iter()
                .map(|(key, runs)| (key, RangeMap::collect(&runs, agree)))
                .collect()
        };
        Self {
            at_destination: collect(by_destination),
            at_source: collect(by_source),
        }
    }

    fn samples(&self, pair: &PairVerdict, symptom: Symptom, port: u16) -> impl Iterator<Item = Sample> {
        let at =
            |map: &BTreeMap<_, Samples>, node| map.get(&(node, pair.transport, symptom))?.get(port).flatten();
        [at(&self.at_destination, pair.dst), at(&self.at_source, pair.src)]
            .into_iter()
            .flatten()
    }
}

/// Every sampled range of a pair.
fn samples(ledger: &Ledger<'_>, pair: &PairVerdict) -> Vec<(Symptom, PortRange, Sample)> {
    let mut out = Vec::new();
    for cell in pair.cells.iter().filter(|cell| cell.spot != Spot::Unknown) {
        let Some(symptom) = symptom_of(&cell.outcome) else {
            continue;
        };
        for range in cell.ports.ranges() {
            let by_rule = rule_stops(ledger, pair, range.first(), cell.spot);
            out.push((
                symptom,
                *range,
                Sample {
                    spot: cell.spot,
                    by_rule,
                },
            ));
        }
    }
    out
}

/// Whether a packet filter at this spot stops the test's question or its answer.
fn rule_stops(ledger: &Ledger<'_>, pair: &PairVerdict, port: u16, spot: Spot) -> bool {
    let stops = |side| {
        let opinion = ask(ledger, pair.src, pair.dst, pair.transport, port, side);
        matches!(opinion, Opinion::Stops(_))
    };
    match spot {
        Spot::Destination => stops(Way::In) || stops(Way::AnswerOut),
        Spot::SourceOut => stops(Way::Out),
        Spot::SourceIn => stops(Way::AnswerIn),
        Spot::Unknown | Spot::Forward | Spot::Return => false,
    }
}

/// The ports of an unwatched cell by their likely place.
fn placed(
    ledger: &Ledger<'_>,
    pair: &PairVerdict,
    cell: &Cell,
    symptom: Symptom,
    elsewhere: &Elsewhere,
) -> BTreeMap<Spot, PortSet> {
    let siblings: Vec<(PortRange, Sample)> = samples(ledger, pair)
        .into_iter()
        .filter(|(own, _, _)| *own == symptom)
        .map(|(_, range, sample)| (range, sample))
        .collect();
    let key = (pair.src, pair.dst, pair.transport);
    let mut out: BTreeMap<Spot, PortSet> = BTreeMap::new();
    let asked = cell
        .ports
        .ranges()
        .iter()
        .flat_map(|range| ask_range(ledger, key, *range, Way::In));
    for (range, opinion) in asked {
        if matches!(opinion, Opinion::Stops(_)) {
            out.entry(Spot::Unknown).or_default().insert(range);
            continue;
        }
        // A sample that a rule explains speaks only for tests that a rule stops, too, or whose rules cannot be read.
        let speaks = |sample: &Sample| {
            !sample.by_rule
                || opinion == Opinion::None
                || rule_stops(ledger, pair, range.first(), sample.spot)
        };
        let near: Vec<(PortRange, Spot)> = siblings
            .iter()
            .filter(|(_, sample)| speaks(sample))
            .map(|(range, sample)| (*range, sample.spot))
            .collect();
        for (range, spot) in by_nearest(range, &near) {
            let from_elsewhere = || {
                elsewhere
                    .samples(pair, symptom, range.first())
                    .find(speaks)
                    .map(|sample| sample.spot)
            };
            let spot = spot.or_else(from_elsewhere).unwrap_or(Spot::Unknown);
            out.entry(spot).or_default().insert(range);
        }
    }
    out
}

/// A range cut where the nearest neighbour (by port number) changes its place. Without neighbours it stays whole.
fn by_nearest(range: PortRange, near: &[(PortRange, Spot)]) -> Vec<(PortRange, Option<Spot>)> {
    let Some((_, first)) = near.first() else {
        return vec![(range, None)];
    };
    if near.iter().all(|(_, spot)| spot == first) {
        return vec![(range, Some(*first))];
    }
    let distance = |other: PortRange, port: u16| {
        if other.contains(port) {
            0
        } else {
            other.first().abs_diff(port).min(other.last().abs_diff(port))
        }
    };
    let nearest = |port: u16| {
        near.iter()
            .min_by_key(|(other, _)| distance(*other, port))
            .map(|(_, spot)| *spot)
    };
    range
        .iter()
        .filter_map(|port| Some((PortRange::single(port)?, nearest(port))))
        .collect()
}
