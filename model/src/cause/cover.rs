//! Causes between nodes: the fewest statements "nothing of these ports gets from these to those" that cover what failed.
//!
//! Candidates are sides that networks are built of: a node, a subnet, everything outside a subnet, everybody. A candidate
//! is admissible for the ports that failed in every pair inside it; the one that covers most failing tests is taken, then
//! the next over what is left (greedy set cover, which is within ln n of the fewest).

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    net::IpAddr,
};

use ipnet::IpNet;

use crate::{
    id::NodeId,
    port::PortSet,
    profile::Severity,
    verdict::{Outcome, PairVerdict},
};

use super::{blame::Tests, subnet::Subnets};

/// Failing ports of one pair.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// Index of the pair.
    pub(super) pair: usize,
    pub(super) ports: PortSet,
    pub(super) attempts: u32,
    pub(super) lines: Vec<u32>,
    pub(super) severity: Severity,
    /// Whether a capture at one end, or an error's sender, places it between the nodes.
    pub(super) is_placed: bool,
    /// Who rejected it.
    pub(super) offender: Option<IpAddr>,
}

/// When a candidate may explain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// Every measured test that it predicts to fail did fail.
    EveryTest,
    /// At least half of its pairs show it: chance decides which packets are lost.
    HalfThePairs,
}

/// Failing tests under one explanation.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) tests: Tests,
    /// Sources and destinations, ascending.
    pub(super) sides: [Vec<NodeId>; 2],
    /// Whether captures or errors place any of it between the nodes; without, a host may be to blame as well.
    pub(super) is_placed: bool,
    /// Whether nothing at all got through between its pairs.
    pub(super) is_whole: bool,
    /// Who rejected, if anybody did: one router shows each subnet another address.
    pub(super) offenders: BTreeSet<IpAddr>,
    /// Whether the other direction is under it, too.
    pub(super) both_ways: bool,
    scope: Option<Scope>,
}

/// Covers failing tests.
pub(super) fn cover(
    pairs: &[PairVerdict],
    subnets: &Subnets,
    pieces: &[Piece],
    admission: Admission,
) -> Vec<Group> {
    let mut remaining: BTreeMap<usize, PortSet> = BTreeMap::new();
    for piece in pieces {
        remaining.entry(piece.pair).or_default().extend(&piece.ports);
    }
    let candidates = candidates(pairs, subnets, &remaining, admission);
    let mut heap: BinaryHeap<(u64, Reverse<Scope>)> = candidates
        .iter()
        .map(|(scope, candidate)| (candidate.covers(&remaining), Reverse(*scope)))
        .filter(|(covered, _)| *covered > 0)
        .collect();
    let mut groups = Vec::new();
    while let Some((_, Reverse(scope))) = heap.pop() {
        let candidate = &candidates[&scope];
        let covered = candidate.covers(&remaining);
        if covered == 0 {
            continue;
        }
        // What a candidate covers only ever shrinks: if it is still ahead of the next one's older figure, it is the best.
        if heap.peek().is_some_and(|next| (covered, Reverse(scope)) < *next) {
            heap.push((covered, Reverse(scope)));
            continue;
        }
        let last = groups.len() + 1 == MAX_GROUPS;
        let taken = if last {
            std::mem::take(&mut remaining)
        } else {
            candidate.take(&mut remaining)
        };
        groups.push(group(pairs, pieces, &taken, (!last).then_some(scope)));
        if last {
            break;
        }
    }
    join_both_ways(join_equal(groups), admission)
}

impl Group {
    /// Whether these ports of this direction are what it speaks of.
    pub(super) fn speaks_of(&self, src: NodeId, dst: NodeId, ports: &PortSet, subnets: &Subnets) -> bool {
        let inside = self
            .scope
            .is_some_and(|scope| scopes(src, dst, subnets).contains(&scope));
        inside && self.ports().iter().any(|own| ports.difference(own).is_empty())
    }

    /// Takes in a failing test that it explains.
    pub(super) fn take(&mut self, pair: &PairVerdict, piece: &Piece) {
        let key = (pair.src, pair.dst, pair.transport);
        self.tests
            .add(key, &piece.ports, piece.attempts, &piece.lines, piece.severity);
    }

    /// Whether an explanation that lets nothing at all through speaks of this direction.
    pub(super) fn blocks(&self, src: NodeId, dst: NodeId, subnets: &Subnets) -> bool {
        self.is_whole
            && self
                .scope
                .is_some_and(|scope| scopes(src, dst, subnets).contains(&scope))
    }
}

/// One side of an explanation. The order is that of preference where two explain the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Subnet(IpNet),
    Outside(IpNet),
    Anybody,
    Node(NodeId),
    /// Both sides together: every pair that crosses from one subnet into another.
    AcrossSubnets,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Scope {
    from: Reach,
    to: Reach,
}

struct Candidate {
    ports: PortSet,
    /// Failing pairs inside.
    pairs: Vec<usize>,
    /// What a covered test counts, in thousandths: where chance decides, the square of the share of pairs that show it, so
    /// that one lossy link is not taken for a network of which half is lossy.
    weight: u64,
}

impl Candidate {
    fn covers(&self, remaining: &BTreeMap<usize, PortSet>) -> u64 {
        let left = self.pairs.iter().filter_map(|pair| remaining.get(pair));
        left.map(|ports| u64::from(ports.intersection(&self.ports).count()) * self.weight)
            .sum()
    }

    fn take(&self, remaining: &mut BTreeMap<usize, PortSet>) -> BTreeMap<usize, PortSet> {
        let mut taken = BTreeMap::new();
        for pair in &self.pairs {
            let Some(ports) = remaining.get_mut(pair) else {
                continue;
            };
            let covered = ports.intersection(&self.ports);
            *ports = ports.difference(&covered);
            if ports.is_empty() {
                remaining.remove(pair);
            }
            if !covered.is_empty() {
                taken.insert(*pair, covered);
            }
        }
        taken
    }
}

/// The scopes that a pair lies in.
fn scopes(src: NodeId, dst: NodeId, subnets: &Subnets) -> Vec<Scope> {
    let sides = |node: NodeId| {
        let subnet = subnets.get(node).map(Reach::Subnet);
        [Some(Reach::Anybody), Some(Reach::Node(node)), subnet]
            .into_iter()
            .flatten()
    };
    let mut out: Vec<Scope> = sides(src)
        .flat_map(|from| sides(dst).map(move |to| Scope { from, to }))
        .collect();
    if let (Some(a), Some(b)) = (subnets.get(src), subnets.get(dst))
        && a != b
    {
        out.extend([
            Scope {
                from: Reach::Outside(b),
                to: Reach::Subnet(b),
            },
            Scope {
                from: Reach::Outside(b),
                to: Reach::Node(dst),
            },
            Scope {
                from: Reach::Subnet(a),
                to: Reach::Outside(a),
            },
            Scope {
                from: Reach::Node(src),
                to: Reach::Outside(a),
            },
        ]);
        // Between two subnets both directions say the same, and name them.
        if subnets.count() > 2 {
            out.push(Scope {
                from: Reach::AcrossSubnets,
                to: Reach::AcrossSubnets,
            });
        }
    }
    out
}

/// Every admissible scope of the failing pairs, with the ports that it explains.
fn candidates(
    pairs: &[PairVerdict],
    subnets: &Subnets,
    failing: &BTreeMap<usize, PortSet>,
    admission: Admission,
) -> BTreeMap<Scope, Candidate> {
    let mut found: BTreeMap<Scope, Candidate> = BTreeMap::new();
    for (&index, ports) in failing {
        for scope in scopes(pairs[index].src, pairs[index].dst, subnets) {
            let candidate = found.entry(scope).or_insert_with(|| Candidate {
                ports: PortSet::new(),
                pairs: Vec::new(),
                weight: CERTAIN,
            });
            candidate.ports.extend(ports);
            candidate.pairs.push(index);
        }
    }
    let Some((first, _)) = failing.first_key_value() else {
        return found;
    };
    let transport = pairs[*first].transport;
    let mut passed: BTreeMap<Scope, (PortSet, usize)> = BTreeMap::new();
    for pair in pairs.iter().filter(|pair| pair.transport == transport) {
        let through = got_through(pair);
        for scope in scopes(pair.src, pair.dst, subnets) {
            if found.contains_key(&scope) {
                let (ports, count) = passed.entry(scope).or_default();
                ports.extend(&through);
                *count += 1;
            }
        }
    }
    found.retain(|scope, candidate| {
        let Some((through, count)) = passed.get(scope) else {
            return true;
        };
        match admission {
            Admission::EveryTest => {
                candidate.ports = candidate.ports.difference(through);
                !candidate.ports.is_empty()
            }
            Admission::HalfThePairs => {
                let share = CERTAIN * amount(candidate.pairs.len()) / amount(*count).max(1);
                candidate.weight = (share * share / CERTAIN).max(1);
                share * 2 >= CERTAIN
            }
        }
    });
    found
}

/// The ports of a pair that answered, if not always.
fn got_through(pair: &PairVerdict) -> PortSet {
    let mut out = PortSet::new();
    for cell in &pair.cells {
        if cell.outcome.is_open() || matches!(cell.outcome, Outcome::Lossy { .. }) {
            out.extend(&cell.ports);
        }
    }
    out
}

fn group(
    pairs: &[PairVerdict],
    pieces: &[Piece],
    taken: &BTreeMap<usize, PortSet>,
    scope: Option<Scope>,
) -> Group {
    let mut tests = Tests::default();
    for piece in pieces {
        let Some(ports) = taken
            .get(&piece.pair)
            .map(|ports| ports.intersection(&piece.ports))
        else {
            continue;
        };
        if !ports.is_empty() {
            let pair = &pairs[piece.pair];
            let key = (pair.src, pair.dst, pair.transport);
            tests.add(key, &ports, piece.attempts, &piece.lines, piece.severity);
        }
    }
    let is_placed = pieces
        .iter()
        .any(|piece| piece.is_placed && taken.contains_key(&piece.pair));
    let of_these = pieces.iter().filter(|piece| taken.contains_key(&piece.pair));
    let offenders = of_these.filter_map(|piece| piece.offender).collect();
    // One port that fails says nothing about others.
    let several = |transport| tests.ports(transport).count() > 1;
    let is_whole = taken.keys().all(|pair| got_through(&pairs[*pair]).is_empty())
        && tests.transports().into_iter().any(several);
    let sides = [tests.sources(), tests.destinations()];
    Group {
        tests,
        sides,
        is_placed,
        is_whole,
        offenders,
        both_ways: false,
        scope,
    }
}

/// Explanations of the same ports from the same sources, or to the same destinations, are one.
fn join_equal(groups: Vec<Group>) -> Vec<Group> {
    let mut joined = groups;
    for side in [0, 1] {
        let mut by_key: BTreeMap<(Vec<NodeId>, Vec<PortSet>), Group> = BTreeMap::new();
        for group in joined {
            let key = (group.sides[side].clone(), group.ports());
            match by_key.get_mut(&key) {
                Some(same) => same.absorb(&group),
                None => {
                    by_key.insert(key, group);
                }
            }
        }
        joined = by_key.into_values().collect();
    }
    joined
}

/// What is cut in one direction and in the other is cut once.
fn join_both_ways(groups: Vec<Group>, admission: Admission) -> Vec<Group> {
    let mut out: Vec<Group> = Vec::new();
    for group in groups {
        let mirrored = group.scope.map(|scope| Scope {
            from: scope.to,
            to: scope.from,
        });
        let opposite = out.iter_mut().find(|other| {
            let is_mirror = other.scope.is_some() && other.scope == mirrored && !other.both_ways;
            let is_alike = (other.is_whole && group.is_whole)
                || other.ports() == group.ports()
                || admission == Admission::HalfThePairs;
            is_mirror && is_alike
        });
        match opposite {
            // Equal sides (everybody to everybody) are both ways already.
            Some(other) if other.sides != group.sides => {
                let [sources, destinations] = &group.sides;
                other.sides = [
                    union(&other.sides[0], destinations),
                    union(&other.sides[1], sources),
                ];
                other.tests.merge(&group.tests);
                other.is_placed |= group.is_placed;
                other.offenders.extend(&group.offenders);
                other.sides.sort();
                other.both_ways = true;
            }
            _ => out.push(group),
        }
    }
    out
}

impl Group {
    /// Every port of it, by transport.
    fn ports(&self) -> Vec<PortSet> {
        let transports = self.tests.transports().into_iter();
        transports.map(|transport| self.tests.ports(transport)).collect()
    }

    /// Whether it speaks of every pair that crosses from one subnet into another.
    pub(super) fn is_across_subnets(&self) -> bool {
        self.scope.is_some_and(|scope| scope.from == Reach::AcrossSubnets)
    }

    /// Takes in another explanation of the same direction.
    pub(super) fn absorb(&mut self, other: &Self) {
        self.tests.merge(&other.tests);
        self.sides = [self.tests.sources(), self.tests.destinations()];
        self.is_placed |= other.is_placed;
        self.offenders.extend(&other.offenders);
        self.is_whole &= other.is_whole;
        if self.scope != other.scope {
            self.scope = None;
        }
    }
}

fn union(a: &[NodeId], b: &[NodeId]) -> Vec<NodeId> {
    a.iter()
        .chain(b)
        .copied()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

fn amount(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX / CERTAIN)
}

/// The weight of a test where nothing is left to chance.
const CERTAIN: u64 = 1_000;

/// More explanations than this for one kind explain nothing; what is left becomes one.
const MAX_GROUPS: usize = 256;
