//! The fewest candidates that cover everything, found by trying: for ground so small that this takes no time.
//!
//! What has to be covered are atoms: failing ports of a pair that lie in the same candidates. An atom that is covered
//! whenever another one is needs no thought, and neither does a candidate that covers part of what another one covers. Over
//! what remains every choice of one candidate, of two, of three is tried, each time branching on the atom with the fewest
//! candidates, until a choice covers all.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    port::{PortRange, PortSet, Protocol},
    range_map::{add_cuts, pieces},
    verdict::PairVerdict,
};

use super::{candidate::Candidate, cover::Failing};

/// Which ports each of the chosen is needed for.
pub(super) type ByPort = BTreeMap<usize, BTreeMap<Protocol, PortSet>>;

/// A smallest choice.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fewest {
    /// Candidates by index, ascending.
    pub(super) chosen: Vec<usize>,
    pub(super) by_port: ByPort,
}

/// The best of the smallest choices that cover every failing port; nothing if the ground is too large to try them all, or
/// if even `at_most` candidates are too few.
pub(super) fn fewest(
    pairs: &[PairVerdict],
    candidates: &[Candidate],
    failing: &Failing,
    at_most: usize,
) -> Option<Fewest> {
    let ground = Atoms::of(pairs, candidates, failing)?;
    let useful = ground.undominated(candidates);
    let mut search = Search {
        atoms: ground.hardest(&useful)?,
        steps: 0,
        found: Vec::new(),
    };
    for size in 1..=at_most {
        search.covers_of(size, &mut Vec::new(), 0)?;
        if !search.found.is_empty() {
            break;
        }
    }
    let found = search.found.into_iter().map(|chosen| {
        let by_port = ground.by_port(&chosen);
        let sum = |of: fn(&Candidate) -> u64| chosen.iter().map(|index| of(&candidates[*index])).sum::<u64>();
        let cost = (
            ground.uses(&by_port),
            Reverse(sum(|candidate| candidate.beside)),
            sum(|candidate| candidate.unseen),
        );
        (cost, Fewest { chosen, by_port })
    });
    let best = found.min_by(|a, b| (a.0, &a.1.chosen).cmp(&(b.0, &b.1.chosen)))?;
    Some(best.1)
}

/// A class of ports whose failing atoms are the same.
type Column = BTreeSet<usize>;

/// What has to be covered.
#[derive(Debug)]
struct Atoms {
    /// Of each atom the candidates that cover it, ascending.
    holders: Vec<Vec<usize>>,
    /// The failing ports by the atoms that fail at them.
    columns: BTreeMap<Column, BTreeMap<Protocol, PortSet>>,
}

impl Atoms {
    fn of(pairs: &[PairVerdict], candidates: &[Candidate], failing: &Failing) -> Option<Self> {
        let mut of_pair: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, candidate) in candidates.iter().enumerate() {
            for pair in &candidate.pairs {
                of_pair.entry(*pair).or_default().push(index);
            }
        }
        let intervals = intervals(pairs, candidates, failing)?;
        let mut known: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
        let mut failing_at: BTreeMap<(Protocol, PortRange), Column> = BTreeMap::new();
        for (pair, ports) in failing {
            let transport = pairs[*pair].transport;
            let protocol = transport.1;
            let in_pair = intervals.get(&protocol)?;
            let here = of_pair.get(pair)?;
            for interval in in_pair.iter().filter(|interval| ports.contains(interval.first())) {
                let covers = |index: &usize| {
                    let own = candidates[*index].holds(transport);
                    own.is_some_and(|own| own.contains(interval.first()))
                };
                let holders: Vec<usize> = here.iter().copied().filter(covers).collect();
                let next = known.len();
                let atom = *known.entry(holders).or_insert(next);
                failing_at.entry((protocol, *interval)).or_default().insert(atom);
            }
            if known.len() > MAX_ATOMS {
                return None;
            }
        }
        let mut holders = vec![Vec::new(); known.len()];
        for (own, atom) in known {
            holders[atom] = own;
        }
        let mut columns: BTreeMap<Column, BTreeMap<Protocol, PortSet>> = BTreeMap::new();
        for ((protocol, interval), column) in failing_at {
            let ports = columns.entry(column).or_default().entry(protocol).or_default();
            ports.insert(interval);
        }
        Some(Self { holders, columns })
    }

    /// Candidates of which no other covers as much and more; of equals the one that predicts least.
    fn undominated(&self, candidates: &[Candidate]) -> Vec<usize> {
        let mut covered: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (atom, holders) in self.holders.iter().enumerate() {
            for holder in holders {
                covered.entry(*holder).or_default().insert(atom);
            }
        }
        let is_beaten = |one: usize, own: &BTreeSet<usize>| {
            covered.iter().any(|(other, its)| {
                let rank = |index: usize| {
                    let candidate = &candidates[index];
                    (Reverse(candidate.beside), candidate.unseen, index)
                };
                *other != one && own.is_subset(its) && (own.len() < its.len() || rank(*other) < rank(one))
            })
        };
        let kept = covered.iter().filter(|(index, own)| !is_beaten(**index, own));
        kept.map(|(index, _)| *index).collect()
    }

    /// The atoms that decide, as the useful candidates that cover each, fewest first. Nothing if there are too many.
    fn hardest(&self, useful: &[usize]) -> Option<Vec<Vec<usize>>> {
        let all: BTreeSet<Vec<usize>> = self
            .holders
            .iter()
            .map(|holders| {
                holders
                    .iter()
                    .copied()
                    .filter(|holder| useful.contains(holder))
                    .collect()
            })
            .collect();
        let implies = |easy: &Vec<usize>, hard: &Vec<usize>| {
            easy != hard && hard.iter().all(|holder| easy.binary_search(holder).is_ok())
        };
        let mut kept: Vec<Vec<usize>> = all
            .iter()
            .filter(|easy| !all.iter().any(|hard| implies(easy, hard)))
            .cloned()
            .collect();
        kept.sort_by_key(Vec::len);
        (kept.len() <= MAX_DECIDING).then_some(kept)
    }

    /// Of a choice, the fewest that each class of ports needs.
    fn by_port(&self, chosen: &[usize]) -> ByPort {
        let mut out = ByPort::new();
        for (column, by_protocol) in &self.columns {
            let covers = |part: &[usize]| {
                column
                    .iter()
                    .all(|atom| self.holders[*atom].iter().any(|holder| part.contains(holder)))
            };
            for index in smallest_part(chosen, covers) {
                let ports = out.entry(index).or_default();
                for (protocol, of_column) in by_protocol {
                    ports.entry(*protocol).or_default().extend(of_column);
                }
            }
        }
        out
    }

    /// How many statements are made, counting one for each class of ports that a candidate speaks of.
    fn uses(&self, by_port: &ByPort) -> usize {
        let speaks = |of: &BTreeMap<Protocol, PortSet>, column: &BTreeMap<Protocol, PortSet>| {
            column.iter().any(|(protocol, ports)| {
                let first = ports.ranges().first().map(|range| range.first());
                of.get(protocol)
                    .zip(first)
                    .is_some_and(|(of, first)| of.contains(first))
            })
        };
        let of_column = |column| by_port.values().filter(|of| speaks(of, column)).count();
        self.columns.values().map(of_column).sum()
    }
}

/// The smallest part of a choice for which something holds; the whole choice if it is too large to try its parts.
fn smallest_part(chosen: &[usize], holds: impl Fn(&[usize]) -> bool) -> Vec<usize> {
    if chosen.len() > MAX_PARTED {
        return chosen.to_vec();
    }
    let mut parts: Vec<Vec<usize>> = (1_u32..1 << chosen.len())
        .map(|bits| {
            let within = chosen.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
            within.map(|(_, index)| *index).collect()
        })
        .collect();
    parts.sort_by_key(Vec::len);
    parts
        .into_iter()
        .find(|part| holds(part))
        .unwrap_or_else(|| chosen.to_vec())
}

/// The ports of each transport cut where the failing ports of a pair or those of a candidate begin or end. Nothing if that
/// gives too many.
fn intervals(
    pairs: &[PairVerdict],
    candidates: &[Candidate],
    failing: &Failing,
) -> Option<BTreeMap<Protocol, Vec<PortRange>>> {
    let mut cuts: BTreeMap<Protocol, (Vec<u32>, PortSet)> = BTreeMap::new();
    if failing.len() > MAX_PAIRS {
        return None;
    }
    for (pair, ports) in failing {
        let (cuts, all) = cuts.entry(pairs[*pair].transport.1).or_default();
        add_cuts(cuts, ports.ranges().iter().copied());
        all.extend(ports);
    }
    for candidate in candidates {
        for (protocol, ports) in &candidate.ports {
            let (cuts, _) = cuts.entry(*protocol).or_default();
            add_cuts(cuts, ports.ranges().iter().copied());
        }
    }
    let mut out = BTreeMap::new();
    for (protocol, (cuts, all)) in cuts {
        let cut = pieces(&all, cuts);
        if cut.len() > MAX_INTERVALS {
            return None;
        }
        out.insert(protocol, cut);
    }
    Some(out)
}

struct Search {
    atoms: Vec<Vec<usize>>,
    steps: usize,
    found: Vec<Vec<usize>>,
}

impl Search {
    /// Finds the covers of exactly so many candidates that contain those in `taken`; nothing if that takes too long.
    fn covers_of(&mut self, size: usize, taken: &mut Vec<usize>, from: usize) -> Option<()> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return None;
        }
        let is_covered = |atom: &Vec<usize>| atom.iter().any(|holder| taken.contains(holder));
        let open = (from..self.atoms.len()).find(|at| !is_covered(&self.atoms[*at]));
        let Some(at) = open else {
            let mut cover = taken.clone();
            cover.sort_unstable();
            if self.found.len() < MAX_TIES && !self.found.contains(&cover) {
                self.found.push(cover);
            }
            return Some(());
        };
        if taken.len() == size {
            return Some(());
        }
        for holder in self.atoms[at].clone() {
            taken.push(holder);
            let done = self.covers_of(size, taken, at + 1);
            taken.pop();
            done?;
        }
        Some(())
    }
}

/// Failing pairs that are still small ground.
const MAX_PAIRS: usize = 1_024;
/// Ports of one transport that fail differently.
const MAX_INTERVALS: usize = 256;
/// Sets of candidates that failing ports lie in.
const MAX_ATOMS: usize = 1_024;
/// Atoms that decide: forty facts that no statement explains together are not explained by three.
const MAX_DECIDING: usize = 40;
/// Choices that are begun: milliseconds.
const MAX_STEPS: usize = 20_000;
/// Choices of the same size that are compared.
const MAX_TIES: usize = 64;
/// A choice of which every part is tried has at most this many candidates.
const MAX_PARTED: usize = 8;
