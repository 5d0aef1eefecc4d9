//! Where ranges are shared among sources, each source knows its share of a destination's ports. Where its share has an edge
//! between ports that answer and ports that fail, the ports in between are asked by halves until the edge stands between two
//! neighbours; and of a port that fails alone, another source is asked, so that the port and the pair are told apart.
//!
//! ```text
//!   port        30000  30005  30010  30015  30020  30025         share of one source among five
//!   first look    ok     ok     --     --     ok     ok
//!   round 1             30007 ok   30017 --                      the middle of each gap
//!   round 2                30008 ok     30018 ok
//!   round 3                 30009 --  (the edge is 30008 | 30009 and 30017 | 30018)
//! ```
//!
//! A source whose whole share fails has no edge: its pair fails, whatever the port, and nothing more is asked.
//!
//! Pure: the plan's shared ranges and what was seen go in, a round of tests comes out. What the rounds have asked is kept by
//! the caller as [`Asked`].

use std::collections::BTreeMap;

use plumbline_model::{
    id::NodeId,
    plan::{Block, Expect, Plan, Sharing},
    port::{PortRange, PortSet},
};

use super::{
    duties::Transport,
    failures::{Failures, Fared, Pair},
};

/// The ranges of a plan that are shared among sources.
#[derive(Debug, Default)]
pub(crate) struct SharedRanges(pub(super) Vec<Block>);

/// What rounds have asked beyond the shares, by pair.
pub(super) type Asked = BTreeMap<Pair, PortSet>;

/// What a round goes by.
pub(super) struct Sight<'a> {
    /// What failed so far.
    pub(super) failures: &'a Failures,
    /// What earlier rounds have asked.
    pub(super) asked: &'a Asked,
    /// The ports of a destination at which a responder of ours stands: elsewhere an outcome tells of whoever is there.
    pub(super) bound: &'a dyn Fn(NodeId, Transport) -> Option<&'a PortSet>,
    /// Whether a pair can be asked.
    pub(super) can_ask: &'a dyn Fn(Pair) -> bool,
}

impl SharedRanges {
    /// Those of a plan.
    pub(crate) fn of(plan: &Plan) -> Self {
        let shared = plan
            .blocks
            .iter()
            .filter(|block| (block.sharing, block.expect) == (Sharing::Strata, Expect::Open));
        Self(shared.cloned().collect())
    }

    /// Every port that is shared in a transport.
    pub(super) fn ports(&self, transport: Transport) -> PortSet {
        let mut ports = PortSet::new();
        for block in self
            .0
            .iter()
            .filter(|block| (block.family, block.protocol) == transport)
        {
            ports.extend(&block.ports);
        }
        ports
    }

    /// The next round; empty when there is nothing left to narrow down. At most [`MOST_TESTS_A_ROUND`] tests: where the first
    /// round has more to ask, it takes pairs as evenly spread as there is room for, and later ones go on with these.
    pub(super) fn next_round(&self, sight: &Sight<'_>) -> Asked {
        let mut round = Asked::new();
        let is_begun = |pair: &Pair| sight.asked.is_empty() || sight.asked.contains_key(pair);
        for (pair, fared) in sight.failures.pairs().filter(|(pair, _)| is_begun(pair)) {
            let fails = |block: &&Block| !fared.failed.intersection(&block.ports).is_empty();
            let blocks = self.0.iter().filter(|block| is_of(block, pair)).filter(fails);
            for block in blocks.filter(|_| (sight.can_ask)(pair)) {
                Share::of(block, pair, fared, sight).narrow(block, pair, sight, &mut round);
            }
        }
        within_bounds(round)
    }
}

fn is_of(block: &Block, (src, dst, transport): Pair) -> bool {
    (block.family, block.protocol) == transport
        && block.sources.binary_search(&src).is_ok()
        && block.destinations.binary_search(&dst).is_ok()
}

/// What one source knows of one destination's ports in one shared range.
struct Share {
    /// Ports of which something is known, ascending, and whether they failed.
    known: Vec<(u16, bool)>,
    /// Ports that could be asked: bound, and not asked in vain.
    askable: PortSet,
}

impl Share {
    fn of(block: &Block, pair: Pair, fared: &Fared, sight: &Sight<'_>) -> Self {
        let (src, dst, transport) = pair;
        let askable = match (sight.bound)(dst, transport) {
            Some(bound) => bound.intersection(&block.ports),
            None => PortSet::new(),
        };
        let mut asked = block.ports_for(src, dst);
        if let Some(later) = sight.asked.get(&pair) {
            asked.extend(later);
        }
        let known = asked
            .iter()
            .filter(|port| askable.contains(*port) && !fared.unknown.contains(*port));
        Self {
            known: known.map(|port| (port, fared.failed.contains(port))).collect(),
            askable: askable.difference(&fared.unknown),
        }
    }

    fn narrow(&self, block: &Block, pair: Pair, sight: &Sight<'_>, round: &mut Asked) {
        for edge in self.known.windows(2) {
            let [(below, below_failed), (above, above_failed)] = [edge[0], edge[1]];
            if below_failed != above_failed
                && let Some(middle) = middle(&self.askable, below, above)
            {
                round.entry(pair).or_default().insert_port(middle);
            }
        }
        for port in self.failing_alone() {
            if let Some(witness) = witness(block, pair, port, sight) {
                round.entry(witness).or_default().insert_port(port);
            }
        }
    }

    /// Ports that failed between ports that did not.
    fn failing_alone(&self) -> impl Iterator<Item = u16> {
        let failed = |index: Option<usize>| {
            let known = index.and_then(|index| self.known.get(index));
            known.is_some_and(|(_, failed)| *failed)
        };
        let alone = move |index: &usize| {
            failed(Some(*index)) && !failed(index.checked_sub(1)) && !failed(Some(index + 1))
        };
        // The only port of a share stands between none.
        let several = self.known.len() > 1;
        (0..self.known.len())
            .filter(move |index| several && alone(index))
            .map(|index| self.known[index].0)
    }
}

/// The middle one of the ports between two others.
fn middle(askable: &PortSet, below: u16, above: u16) -> Option<u16> {
    let gap = PortRange::new(below.checked_add(1)?, above.checked_sub(1)?)?;
    let between = askable.intersection(&gap.into());
    let count = usize::try_from(between.count()).unwrap_or(usize::MAX);
    between.iter().nth(count / 2)
}

/// Another source that can be asked about a port of this pair's destination, unless one has been asked: the next in the order
/// of ids, one without failures there before one with some.
fn witness(block: &Block, (src, dst, transport): Pair, port: u16, sight: &Sight<'_>) -> Option<Pair> {
    let others = || {
        let start = block.sources.partition_point(|source| *source <= src);
        let others = block.sources[start..].iter().chain(&block.sources[..start]);
        others
            .filter(|source| **source != src && **source != dst)
            .map(|source| (*source, dst, transport))
    };
    let has_asked = |pair: &Pair| {
        block.tests(pair.0, dst, port) || sight.asked.get(pair).is_some_and(|ports| ports.contains(port))
    };
    if others().any(|pair| has_asked(&pair)) {
        return None;
    }
    let mut able = others().filter(|pair| (sight.can_ask)(*pair));
    let first = able.next()?;
    let sound = std::iter::once(first)
        .chain(able)
        .find(|pair| sight.failures.of(*pair).is_none());
    Some(sound.unwrap_or(first))
}

fn within_bounds(round: Asked) -> Asked {
    let tests: u32 = round.values().map(PortSet::count).sum();
    let every = usize::try_from(tests.div_ceil(MOST_TESTS_A_ROUND)).unwrap_or(usize::MAX);
    let mut room = MOST_TESTS_A_ROUND;
    let fits = |(_, ports): &(Pair, PortSet)| {
        let fits = ports.count() <= room;
        room -= if fits { ports.count() } else { 0 };
        fits
    };
    round.into_iter().step_by(every.max(1)).filter(fits).collect()
}

/// Tests of one round, over all pairs: at the default of two hundred a second a single source makes them in twenty seconds, and
/// what is shared has many sources.
pub(super) const MOST_TESTS_A_ROUND: u32 = 4_096;

/// The widest gap is halved in each round, and there are 2^16 ports; one more for the witness of what the last one found.
pub(super) const MOST_ROUNDS: u32 = 17;

#[cfg(test)]
mod tests;
