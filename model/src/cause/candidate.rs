//! The statements that may explain failing tests: a [`Scope`], one family or both, and the ports that failed everywhere
//! inside. Nothing that is known contradicts a candidate.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    id::NodeId,
    ledger::Transport,
    port::{Family, PortSet, Protocol},
    verdict::PairVerdict,
};

use super::{
    cover::{Failing, Ground},
    pattern::{Admission, Pattern},
    scope::{Party, Scope, scopes},
};

/// A statement, and what it would explain.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) scope: Scope,
    /// Only of this family; of both it says the same.
    pub(super) family: Option<Family>,
    pub(super) ports: BTreeMap<Protocol, PortSet>,
    /// Failing pairs inside, ascending.
    pub(super) pairs: Vec<usize>,
    /// Failing tests of another pattern that it explains besides.
    pub(super) beside: u64,
    /// Tests that it predicts to fail of which nobody knows.
    pub(super) unseen: u64,
    /// Protocols of which something got through inside.
    open: BTreeSet<Protocol>,
    /// What a covered test counts, in thousandths: where chance decides, less than one, so that one lossy link is not taken
    /// for a network of which half is lossy.
    weight: u64,
}

/// Ports of pairs by transport.
type Ports = BTreeMap<Transport, PortSet>;

/// What happened inside a scope.
#[derive(Default)]
struct Inside {
    failed: Ports,
    /// Failing pairs, ascending.
    failing: Vec<usize>,
    through: Ports,
    /// Every pair, by family.
    pairs: BTreeMap<Family, usize>,
}

impl Candidate {
    pub(super) fn holds(&self, (family, protocol): Transport) -> Option<&PortSet> {
        match self.family {
            Some(own) if own != family => None,
            _ => self.ports.get(&protocol),
        }
    }

    /// Whether nothing at all got through inside.
    pub(super) fn is_whole(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether it lets nothing of a protocol through, whatever the port.
    fn shuts(&self, protocol: Protocol) -> bool {
        self.is_whole() || self.ports.contains_key(&protocol) && !self.open.contains(&protocol)
    }

    pub(super) fn covers(&self, pairs: &[PairVerdict], remaining: &Failing) -> u64 {
        let left = self.pairs.iter().filter_map(|pair| {
            let ports = self.holds(pairs[*pair].transport)?;
            Some(u64::from(remaining.get(pair)?.intersection(ports).count()))
        });
        left.sum::<u64>() * self.weight
    }

    /// Takes what it covers out of what is left, of all its ports or some.
    pub(super) fn take(
        &self,
        pairs: &[PairVerdict],
        remaining: &mut Failing,
        only: Option<&BTreeMap<Protocol, PortSet>>,
    ) -> Failing {
        let mut taken = Failing::new();
        for pair in &self.pairs {
            let transport = pairs[*pair].transport;
            let (Some(ports), Some(own)) = (remaining.get_mut(pair), self.holds(transport)) else {
                continue;
            };
            let mut covered = ports.intersection(own);
            if let Some(only) = only {
                covered = only
                    .get(&transport.1)
                    .map_or_else(PortSet::new, |only| covered.intersection(only));
            }
            if covered.is_empty() {
                continue;
            }
            *ports = ports.difference(&covered);
            if ports.is_empty() {
                remaining.remove(pair);
            }
            taken.insert(*pair, covered);
        }
        taken
    }
}

/// Every candidate for the failing tests of a pattern, in an order of preference.
pub(super) fn candidates(ground: Ground<'_>, pattern: &Pattern, failing: &Failing) -> Vec<Candidate> {
    let anchor = pattern.anchor();
    let scopes_of = |pair: &PairVerdict| scopes(pair.src, pair.dst, pair.transport.0, ground.subnets, anchor);
    let mut found: BTreeMap<Scope, Inside> = BTreeMap::new();
    for (&index, ports) in failing {
        let pair = &ground.pairs[index];
        for scope in scopes_of(pair) {
            let inside = found.entry(scope).or_default();
            inside.failed.entry(pair.transport).or_default().extend(ports);
            inside.failing.push(index);
        }
    }
    let mut odd: Vec<(usize, PortSet)> = Vec::new();
    for &index in ground.near {
        let pair = &ground.pairs[index];
        let mut through = got_through(pattern, pair);
        if let Some(failing) = failing.get(&index) {
            // What fails in another way here and there is no contradiction to itself.
            through = through.difference(failing);
        }
        for scope in scopes_of(pair) {
            if let Some(inside) = found.get_mut(&scope) {
                if !through.is_empty() {
                    inside.through.entry(pair.transport).or_default().extend(&through);
                }
                *inside.pairs.entry(pair.transport.0).or_default() += 1;
            }
        }
        let known = failing.get(&index).map_or(0, PortSet::count) + through.count();
        if known < pair.planned.count() {
            let mut unknown = pair.planned.difference(&through);
            if let Some(failing) = failing.get(&index) {
                unknown = unknown.difference(failing);
            }
            odd.push((index, unknown));
        }
    }
    let mut by_scope: BTreeMap<Scope, Vec<Candidate>> = BTreeMap::new();
    for (scope, inside) in found {
        by_scope.insert(scope, inside.candidates(scope, pattern.admission(), ground.pairs));
    }
    for (index, unknown) in odd {
        let pair = &ground.pairs[index];
        for scope in scopes_of(pair) {
            for candidate in by_scope.get_mut(&scope).into_iter().flatten() {
                if let Some(ports) = candidate.holds(pair.transport) {
                    candidate.unseen += u64::from(ports.intersection(&unknown).count());
                }
            }
        }
    }
    for &(index, count) in ground.beside {
        let pair = &ground.pairs[index];
        for scope in scopes(pair.dst, pair.src, pair.transport.0, ground.subnets, anchor) {
            for candidate in by_scope.get_mut(&scope).into_iter().flatten() {
                let is_of_family = candidate.family.is_none_or(|family| family == pair.transport.0);
                if is_of_family && candidate.shuts(pair.transport.1) {
                    candidate.beside += u64::from(count);
                }
            }
        }
    }
    by_scope.into_values().flatten().collect()
}

impl Inside {
    fn candidates(self, scope: Scope, admission: Admission, pairs: &[PairVerdict]) -> Vec<Candidate> {
        let families: BTreeSet<Family> = self.failed.keys().map(|(family, _)| *family).collect();
        let both = (families.len() > 1).then_some(None);
        let choices = both.into_iter().chain(families.into_iter().map(Some));
        choices
            .filter_map(|family| self.candidate(scope, family, admission, pairs))
            .collect()
    }

    fn candidate(
        &self,
        scope: Scope,
        family: Option<Family>,
        admission: Admission,
        pairs: &[PairVerdict],
    ) -> Option<Candidate> {
        let is_of = |own: Family| family.is_none_or(|family| family == own);
        let through = || self.through.iter().filter(|((own, _), _)| is_of(*own));
        let mut ports: BTreeMap<Protocol, PortSet> = BTreeMap::new();
        for ((_, protocol), failed) in self.failed.iter().filter(|((own, _), _)| is_of(*own)) {
            ports.entry(*protocol).or_default().extend(failed);
        }
        let mut inside: Vec<usize> = self.failing.clone();
        inside.retain(|pair| is_of(pairs[*pair].transport.0));
        let mut weight = CERTAIN;
        match admission {
            Admission::EveryTest => {
                for ((_, protocol), passed) in through() {
                    if let Some(ports) = ports.get_mut(protocol) {
                        *ports = ports.difference(passed);
                    }
                }
                ports.retain(|_, ports| !ports.is_empty());
                inside.retain(|pair| ports.contains_key(&pairs[*pair].transport.1));
            }
            Admission::Chance => {
                let all: usize = self
                    .pairs
                    .iter()
                    .filter(|(own, _)| is_of(**own))
                    .map(|(_, count)| count)
                    .sum();
                let share = CERTAIN * amount(inside.len()) / amount(all).max(1);
                weight = (share * share / CERTAIN).max(1);
                if is_star(scope, &inside, pairs) {
                    weight = weight.max(STAR_WEIGHT);
                } else if share * 2 < CERTAIN {
                    return None;
                }
            }
        }
        (!ports.is_empty()).then(|| Candidate {
            scope,
            family,
            ports,
            pairs: inside,
            beside: 0,
            unseen: 0,
            open: through().map(|((_, protocol), _)| *protocol).collect(),
            weight,
        })
    }
}

/// Several peers of one node that lose packets: its own link shows on whatever was tested while it was down, and that need
/// not be half of its pairs.
fn is_star(scope: Scope, failing: &[usize], pairs: &[PairVerdict]) -> bool {
    let ((Party::Node(hub), Party::Anybody) | (Party::Anybody, Party::Node(hub))) = (scope.from, scope.to)
    else {
        return false;
    };
    let ends = failing
        .iter()
        .flat_map(|pair| [pairs[*pair].src, pairs[*pair].dst]);
    let peers: BTreeSet<NodeId> = ends.filter(|end| *end != hub).collect();
    peers.len() >= STAR_PEERS
}

/// The ports of a pair that contradict a pattern there.
pub(super) fn got_through(pattern: &Pattern, pair: &PairVerdict) -> PortSet {
    let mut cells = pair.cells.iter().filter(|cell| pattern.is_contradicted_by(cell));
    let Some(first) = cells.next() else {
        return PortSet::new();
    };
    let mut out = first.ports.clone();
    for cell in cells {
        out.extend(&cell.ports);
    }
    out
}

fn amount(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX / CERTAIN)
}

/// The weight of a test where nothing is left to chance.
const CERTAIN: u64 = 1_000;

/// A node that loses packets with so many peers has a link of its own to look at.
const STAR_PEERS: usize = 2;

/// What a lossy test of such a node counts at least: more than a pair of its own would, over two peers; less than half of a
/// subnet that loses packets all over.
const STAR_WEIGHT: u64 = CERTAIN * 3 / 5;
