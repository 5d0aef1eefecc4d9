//! Every planned test of every ordered pair, in runs of ports that fared alike.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    id::NodeId,
    ledger::{Arm, Ledger, Look, Transport},
    observation::{BindFailure, End},
    plan::{Expect, Plan, Sharing},
    port::{Family, PortRange, PortSet},
    range_map::{RangeMap, add_cuts, pieces},
};

use super::{
    Outcome, Spot,
    decide::{Ends, Point, Ruling, decide},
    services::served_ports,
};

/// Ports of a pair that fared alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) ports: PortSet,
    pub(crate) outcome: Outcome,
    pub(crate) spot: Spot,
    /// Attempts for each port.
    pub(crate) attempts: u32,
    /// Nothing was sent: the packet filters of both ends say so.
    pub(crate) by_ruleset: bool,
    /// Lines of the evidence behind it, ascending; empty for what answered at once.
    pub(crate) lines: Vec<u32>,
}

/// What became of the tests of one ordered pair.
#[derive(Debug)]
pub(crate) struct PairVerdict {
    pub(crate) src: NodeId,
    pub(crate) dst: NodeId,
    pub(crate) transport: Transport,
    /// Every planned port.
    pub(crate) planned: PortSet,
    /// The plan's blocks by index, with the ports that each asks of this pair.
    pub(crate) blocks: Vec<(usize, PortSet)>,
    /// Disjoint, together `planned`, in the order of their lowest ports.
    pub(crate) cells: Vec<Cell>,
}

/// Every pair of a plan, judged.
#[derive(Debug)]
pub(crate) struct Verdicts {
    /// Ascending by source, destination, family and protocol.
    pub(crate) pairs: Vec<PairVerdict>,
    /// Pair-ports that nobody tried, since their ranges are shared among sources.
    pub(crate) inferred: u64,
}

/// Judges every pair of the plan. Of a range that is shared among sources, what a source tried beyond its share is judged,
/// too: where outcomes differ, a run asks further ports.
pub(crate) fn pairs_of(plan: &Plan, ledger: &Ledger<'_>) -> Verdicts {
    let unserved = Unserved::of(plan, ledger);
    let index = plan.index();
    let mut verdicts = Verdicts {
        pairs: Vec::new(),
        inferred: 0,
    };
    for src in index.sources() {
        let from = verdicts.pairs.len();
        for asked in index.asked_by(src) {
            let shared = shared(plan, &asked.shares);
            let planned = union(asked.shares.iter().map(|(_, ports)| ports));
            let blocked = blocked(plan, &asked.shares);
            for &dst in asked.nodes {
                let (transport, unserved) = (asked.transport, unserved.at(dst, asked.transport));
                let tried = tried_beyond(ledger, (src, dst, transport), &shared, &planned);
                let mut blocks = asked.shares.clone();
                let mut asks = Asks {
                    planned: planned.clone(),
                    blocked: &blocked,
                    unserved,
                };
                if !tried.is_empty() {
                    asks.planned.extend(&tried);
                    for (index, ports) in &mut blocks {
                        ports.extend(&plan.blocks[*index].ports.intersection(&tried));
                    }
                }
                if asks.planned.is_empty() {
                    continue;
                }
                let cells = cells_of(ledger, src, dst, transport, &asks);
                verdicts.pairs.push(PairVerdict {
                    src,
                    dst,
                    transport,
                    planned: asks.planned,
                    blocks,
                    cells,
                });
            }
        }
        verdicts.pairs[from..].sort_by_key(|pair| (pair.dst, pair.transport));
    }
    verdicts.inferred = inferred(plan, ledger, &verdicts.pairs);
    verdicts
}

/// Ports of shared ranges that a source tried although they are not in its share.
fn tried_beyond(
    ledger: &Ledger<'_>,
    (src, dst, transport): (NodeId, NodeId, Transport),
    shared: &PortSet,
    planned: &PortSet,
) -> PortSet {
    match ledger.node(src) {
        Some(log) if !shared.is_empty() => {
            let tried = log.tried(dst, transport).intersection(shared);
            tried.difference(planned)
        }
        _ => PortSet::new(),
    }
}

/// How many ports of shared ranges were not tried for a pair and are known by what others measured at the same destination.
/// Of a source that took no part nothing is inferred.
fn inferred(plan: &Plan, ledger: &Ledger<'_>, pairs: &[PairVerdict]) -> u64 {
    let mut measured: BTreeMap<(NodeId, Transport), PortSet> = BTreeMap::new();
    for pair in pairs {
        let known = measured.entry((pair.dst, pair.transport)).or_default();
        for cell in pair.cells.iter().filter(|cell| cell.outcome.is_measured()) {
            known.extend(&cell.ports);
        }
    }
    let index = plan.index();
    let mut inferred = 0;
    for src in index.sources().into_iter().filter(|src| !ledger.is_gone(*src)) {
        for asked in index.asked_by(src) {
            let shared = shared(plan, &asked.shares);
            if shared.is_empty() {
                continue;
            }
            for &dst in asked.nodes {
                let Some(measured) = measured.get(&(dst, asked.transport)) else {
                    continue;
                };
                let place = (src, dst, asked.transport);
                let own = pairs.binary_search_by_key(&place, |pair| (pair.src, pair.dst, pair.transport));
                let known = shared.intersection(measured);
                let untried = own.map_or_else(|_| known.clone(), |own| known.difference(&pairs[own].planned));
                inferred += u64::from(untried.count());
            }
        }
    }
    inferred
}

/// The ranges of which sources take shares.
fn shared(plan: &Plan, shares: &[(usize, PortSet)]) -> PortSet {
    union(shares.iter().filter_map(|(index, _)| {
        let block = &plan.blocks[*index];
        (block.sharing == Sharing::Strata).then_some(&block.ports)
    }))
}

/// What is asked of a pair.
struct Asks<'a> {
    planned: PortSet,
    /// Those of them that must not answer.
    blocked: &'a PortSet,
    /// Ports of the destination that only Services would serve, and none does.
    unserved: Option<&'a PortSet>,
}

fn blocked(plan: &Plan, blocks: &[(usize, PortSet)]) -> PortSet {
    let blocked = blocks
        .iter()
        .filter(|(block, _)| plan.blocks[*block].expect == Expect::Blocked);
    union(blocked.map(|(_, ports)| ports))
}

/// Ports of live nodes that only Services would serve, and none does.
struct Unserved(BTreeMap<(NodeId, Transport), PortSet>);

impl Unserved {
    fn of(plan: &Plan, ledger: &Ledger<'_>) -> Self {
        let transports: BTreeSet<Transport> = plan
            .blocks
            .iter()
            .filter(|block| block.through_services)
            .map(|block| (block.family, block.protocol))
            .collect();
        let mut unserved = BTreeMap::new();
        for &node in plan.participants.iter().filter(|node| ledger.is_live(**node)) {
            for &(family, protocol) in &transports {
                let ports = plan.service_ports_at(node, family, protocol);
                let facts = ledger.node(node).and_then(|log| log.facts);
                let address = ledger.data_address(node, family);
                if let (false, Some(facts), Some(address)) = (ports.is_empty(), facts, address) {
                    let served = served_ports(facts.what, address, protocol);
                    let mut unheld = ports.difference(&served);
                    if facts.what.listeners_cut {
                        // Whoever is not listed may wait there, unless the responder looked and found nobody.
                        unheld = unheld.intersection(&without_listener(ledger, node, (family, protocol)));
                    }
                    unserved.insert((node, (family, protocol)), unheld);
                }
            }
        }
        Self(unserved)
    }

    fn at(&self, node: NodeId, transport: Transport) -> Option<&PortSet> {
        self.0.get(&(node, transport))
    }
}

/// Ports of a live node on which its probe, asked to look, found nobody.
fn without_listener(ledger: &Ledger<'_>, node: NodeId, transport: Transport) -> PortSet {
    let armed = ledger.node(node).and_then(|log| log.armed(transport));
    let mut unheld = PortSet::new();
    for (range, told) in armed.into_iter().flat_map(|map| map.runs()) {
        if matches!(told.what, Arm::Refused(BindFailure::NoListener)) {
            unheld.insert(*range);
        }
    }
    unheld
}

fn union<'a>(sets: impl Iterator<Item = &'a PortSet>) -> PortSet {
    let mut out = PortSet::new();
    for set in sets {
        out.extend(set);
    }
    out
}

fn cells_of(
    ledger: &Ledger<'_>,
    src: NodeId,
    dst: NodeId,
    transport: Transport,
    asks: &Asks<'_>,
) -> Vec<Cell> {
    let (source, destination) = (ledger.node(src), ledger.node(dst));
    let first = source.and_then(|log| log.reach(dst, transport, Look::First));
    let second = source.and_then(|log| log.reach(dst, transport, Look::Second));
    let arm = destination.and_then(|log| log.armed(transport));
    let heard = destination.and_then(|log| log.heard(src, transport));
    let at_source = source.and_then(|log| log.seen(dst, transport, End::Source));
    let at_destination = destination.and_then(|log| log.seen(src, transport, End::Destination));

    let mut cuts = Vec::new();
    cut(&mut cuts, first);
    cut(&mut cuts, second);
    cut(&mut cuts, arm);
    cut(&mut cuts, heard);
    cut(&mut cuts, at_source);
    cut(&mut cuts, at_destination);
    let translated = destination.map_or_else(PortSet::new, |log| log.translated_ports(transport));
    for set in [Some(asks.blocked), asks.unserved, Some(&translated)]
        .into_iter()
        .flatten()
    {
        add_cuts(&mut cuts, set.ranges().iter().copied());
    }
    // What stands on the SSH port is judged by its number.
    cuts.extend([22, 23]);

    let owns = |node: NodeId, address| {
        node.address() == Some(address) || ledger.node(node).is_some_and(|log| log.owns(address))
    };
    let family = transport.0;
    let ends = Ends {
        transport,
        source_gone: ledger.is_gone(src),
        destination_gone: ledger.is_gone(dst),
        is_found_address: dst.address().is_some_and(|address| Family::of(address) != family),
        lacks_address: ledger.lacks_address(src, family) || ledger.lacks_address(dst, family),
        source_refused: source.is_some_and(|log| log.refused.is_some()),
        interrupted: ledger.interrupted.is_some(),
        is_sources_own: &|address| owns(src, address),
        is_destinations_own: &|address| owns(dst, address),
    };
    let mut gathered = Gathered::default();
    for range in pieces(&asks.planned, cuts) {
        let port = range.first();
        let point = Point {
            port,
            first: first.and_then(|map| map.get(port)),
            second: second.and_then(|map| map.get(port)),
            arm: arm.and_then(|map| map.get(port)),
            heard: heard.and_then(|map| map.get(port)),
            at_source: at_source.and_then(|map| map.get(port)),
            at_destination: at_destination.and_then(|map| map.get(port)),
            is_blocked: asks.blocked.contains(port),
            is_unserved: asks.unserved.is_some_and(|ports| ports.contains(port)),
            is_translated: translated.contains(port),
        };
        gathered.add(range, decide(&point, &ends), &point);
    }
    gathered.cells
}

fn cut<T: Copy>(cuts: &mut Vec<u32>, map: Option<&RangeMap<T>>) {
    if let Some(map) = map {
        add_cuts(cuts, map.runs().iter().map(|(range, _)| *range));
    }
}

/// Cells of a pair in the making: pieces that fared alike become one, wherever they lie.
#[derive(Default)]
struct Gathered {
    cells: Vec<Cell>,
    index: BTreeMap<(Outcome, Spot, u32), usize>,
    /// The cell that was added to last: most neighbours fare alike.
    last: usize,
}

impl Gathered {
    fn add(&mut self, range: PortRange, ruling: Ruling, point: &Point<'_>) {
        let Ruling {
            outcome,
            spot,
            attempts,
        } = ruling;
        let lines = if outcome.is_open() && attempts <= 1 {
            Vec::new()
        } else {
            lines_of(point)
        };
        let is_same =
            |cell: &&mut Cell| (&cell.outcome, cell.spot, cell.attempts) == (&outcome, spot, attempts);
        if let Some(cell) = self.cells.get_mut(self.last).filter(is_same) {
            cell.ports.insert(range);
            merge_lines(&mut cell.lines, &lines);
            return;
        }
        let next = self.cells.len();
        self.last = *self
            .index
            .entry((outcome.clone(), spot, attempts))
            .or_insert(next);
        match self.cells.get_mut(self.last) {
            Some(cell) => {
                cell.ports.insert(range);
                merge_lines(&mut cell.lines, &lines);
            }
            None => self.cells.push(Cell {
                ports: range.into(),
                outcome,
                spot,
                attempts,
                by_ruleset: false,
                lines,
            }),
        }
    }
}

fn lines_of(point: &Point<'_>) -> Vec<u32> {
    let mut lines: Vec<u32> = [
        point.first.map(|told| told.line),
        point.second.map(|told| told.line),
        point.arm.map(|told| told.line),
        point.heard.map(|told| told.line),
        point.at_source.map(|told| told.line),
        point.at_destination.map(|told| told.line),
    ]
    .into_iter()
    .flatten()
    .collect();
    lines.sort_unstable();
    lines.dedup();
    lines
}

fn merge_lines(lines: &mut Vec<u32>, more: &[u32]) {
    for line in more {
        if let Err(place) = lines.binary_search(line) {
            lines.insert(place, *line);
        }
    }
}
