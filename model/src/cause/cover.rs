//! The fewest statements "nothing of these ports gets from these to those" that cover what failed.
//!
//! Tests of one [`Pattern`] are the ground. A candidate ([`super::candidate`]) is a statement that nothing contradicts. The
//! largest is taken, then the next over what is left (greedy, which is within ln n of the fewest); what others make
//! redundant goes; and where the ground is small, every smaller choice is tried ([`super::minimal`]), so that the result is
//! the fewest there are. Of several choices of the same number the one counts that explains each port by fewest statements,
//! then the one that predicts least that nobody saw.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    net::IpAddr,
};

use crate::{port::PortSet, profile::Severity, verdict::PairVerdict};

use super::{
    candidate::{Candidate, candidates},
    group::Group,
    minimal::{self, ByPort, Fewest},
    pattern::{Admission, Pattern},
    subnet::Subnets,
};

/// Failing ports of one pair.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// Index of the pair.
    pub(super) pair: usize,
    pub(super) ports: PortSet,
    pub(super) attempts: u32,
    pub(super) lines: Vec<u32>,
    pub(super) severity: Severity,
    /// Whether a capture at one end, or an error's sender, places it.
    pub(super) is_placed: bool,
    /// The rejection, if it is one.
    pub(super) rejection: Option<Rejection>,
    /// The address of no node that a translation put in the source's, or in the destination's place.
    pub(super) seen_as: Option<IpAddr>,
}

/// A rejection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rejection {
    /// ICMP type and code; absent for a reset.
    pub(super) icmp: Option<(u8, u8)>,
    /// Who sent it.
    pub(super) offender: Option<IpAddr>,
    /// Whether it was concluded from others of its pair.
    pub(super) inferred: bool,
}

/// Where explanations are looked for.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) pairs: &'a [PairVerdict],
    /// The pairs that may bear on it, by index: every one, or those of the node that a pattern speaks of.
    pub(super) near: &'a [usize],
    /// Failing tests of another pattern that a statement may explain besides, as the pairs in whose direction they fail.
    pub(super) beside: &'a [(usize, u32)],
    pub(super) subnets: &'a Subnets,
}

/// Failing ports by pair.
pub(super) type Failing = BTreeMap<usize, PortSet>;

/// Covers failing tests of one pattern.
pub(super) fn cover(ground: Ground<'_>, pattern: &Pattern, pieces: &[Piece]) -> Vec<Group> {
    let failing = gather(pieces);
    let candidates = candidates(ground, pattern, &failing);
    let (mut chosen, rest) = greedy(ground.pairs, &candidates, &failing);
    let mut by_port = ByPort::new();
    if pattern.admission() == Admission::EveryTest && rest.is_empty() {
        prune(ground.pairs, &candidates, &failing, &mut chosen);
        if chosen.len() > 1
            && let Some(fewest) = minimal::fewest(ground.pairs, &candidates, &failing, chosen.len())
        {
            chosen = fewest.chosen;
            by_port = fewest.by_port;
        }
    }
    let mut groups = told(ground, pattern, pieces, &candidates, &Fewest { chosen, by_port });
    if !rest.is_empty() {
        groups.push(Group::of(ground, pattern, pieces, &rest, None));
    }
    groups
}

/// Explains lost packets by nodes of which each loses with several peers, and by pairs; nothing if that takes as many
/// statements as `fewer_than`. Two lossy nodes look like a lossy way from both to everybody else.
pub(super) fn around_nodes(
    ground: Ground<'_>,
    pattern: &Pattern,
    pieces: &[Piece],
    fewer_than: usize,
) -> Option<Vec<Group>> {
    let failing = gather(pieces);
    let mut candidates = candidates(ground, pattern, &failing);
    candidates.retain(|candidate| candidate.scope.is_at_nodes());
    let at_most = fewer_than.checked_sub(1)?;
    let fewest = minimal::fewest(ground.pairs, &candidates, &failing, at_most)?;
    Some(told(ground, pattern, pieces, &candidates, &fewest))
}

fn gather(pieces: &[Piece]) -> Failing {
    let mut failing = Failing::new();
    for piece in pieces {
        failing.entry(piece.pair).or_default().extend(&piece.ports);
    }
    failing
}

/// Each of the chosen with what is put under it.
fn told(
    ground: Ground<'_>,
    pattern: &Pattern,
    pieces: &[Piece],
    candidates: &[Candidate],
    fewest: &Fewest,
) -> Vec<Group> {
    let mut chosen = fewest.chosen.clone();
    // A statement that lets nothing through claims its tests first.
    chosen.sort_by_key(|index| !candidates[*index].is_whole());
    let by_port = (!fewest.by_port.is_empty()).then_some(&fewest.by_port);
    let taken = assign(ground.pairs, candidates, &gather(pieces), &chosen, by_port).into_iter();
    taken
        .map(|(index, taken)| Group::of(ground, pattern, pieces, &taken, Some(&candidates[index])))
        .collect()
}

/// Takes the candidate that covers most, again and again, by index; what too many candidates leave over comes beside.
fn greedy(pairs: &[PairVerdict], candidates: &[Candidate], failing: &Failing) -> (Vec<usize>, Failing) {
    let mut remaining = failing.clone();
    let rank = |index: usize, covered: u64| {
        let candidate = &candidates[index];
        (
            covered,
            candidate.beside,
            Reverse(candidate.unseen),
            Reverse(index),
        )
    };
    let mut heap: BinaryHeap<_> = (0..candidates.len())
        .map(|index| rank(index, candidates[index].covers(pairs, &remaining)))
        .collect();
    let mut chosen = Vec::new();
    while let Some((.., Reverse(index))) = heap.pop() {
        if chosen.len() + 1 == MAX_GROUPS {
            break;
        }
        let covered = candidates[index].covers(pairs, &remaining);
        if covered == 0 {
            continue;
        }
        // What a candidate covers only ever shrinks: if it is still ahead of the next one's older figure, it is the best.
        if heap.peek().is_some_and(|next| rank(index, covered) < *next) {
            heap.push(rank(index, covered));
            continue;
        }
        candidates[index].take(pairs, &mut remaining, None);
        chosen.push(index);
    }
    (chosen, remaining)
}

/// Drops what the others cover, the smallest first.
fn prune(pairs: &[PairVerdict], candidates: &[Candidate], failing: &Failing, chosen: &mut Vec<usize>) {
    let mut by_size = chosen.clone();
    by_size.sort_by_key(|index| candidates[*index].covers(pairs, failing));
    for index in by_size {
        let candidate = &candidates[index];
        let is_covered = |pair: &usize| {
            let transport = pairs[*pair].transport;
            let mut left = failing
                .get(pair)
                .zip(candidate.holds(transport))
                .map_or_else(PortSet::new, |(failing, own)| failing.intersection(own));
            for other in chosen.iter().filter(|other| **other != index) {
                let other = &candidates[*other];
                if let Some(ports) = other.holds(transport)
                    && other.pairs.binary_search(pair).is_ok()
                {
                    left = left.difference(ports);
                }
            }
            left.is_empty()
        };
        if candidate.pairs.iter().all(is_covered) {
            chosen.retain(|other| *other != index);
        }
    }
}

/// Puts each test under one of the chosen. `by_port` says which of them a port needs at all.
fn assign(
    pairs: &[PairVerdict],
    candidates: &[Candidate],
    failing: &Failing,
    chosen: &[usize],
    by_port: Option<&ByPort>,
) -> BTreeMap<usize, Failing> {
    let mut remaining = failing.clone();
    let mut out: BTreeMap<usize, Failing> = BTreeMap::new();
    for index in chosen {
        let only = by_port.map(|by_port| by_port.get(index).cloned().unwrap_or_default());
        let taken = candidates[*index].take(pairs, &mut remaining, only.as_ref());
        if !taken.is_empty() {
            out.insert(*index, taken);
        }
    }
    out
}

/// More explanations than this for one pattern explain nothing; what is left becomes one.
const MAX_GROUPS: usize = 256;
