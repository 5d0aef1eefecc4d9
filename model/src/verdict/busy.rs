//! UDP ports of live nodes. Nothing is ever sent to them: memberlist logs what it cannot read, and a kernel tunnel would take
//! a stranger's datagram for a frame. What may be said of them is what the packet filters of both ends say, and that only
//! where other tests of the pair got through: then the path between the two is no black box.
//!
//! ```text
//!   source                                      destination
//!   question: output filter ------ path ------> input filter
//!   answer:   input filter <------ path ------- output filter
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::{Outcome, PairVerdict, Spot, Why, pair::Cell};
use crate::{
    id::NodeId,
    port::{Family, PortRange, PortSet},
};

/// A way through a packet filter, in the order in which a question and its answer meet them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// The question leaves the source.
    Out,
    /// The question arrives at the destination.
    In,
    /// The answer leaves the destination.
    AnswerOut,
    /// The answer arrives at the source.
    AnswerIn,
}

/// What a packet filter does with a packet on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filter {
    /// It lets it pass.
    Passes,
    /// It stops it.
    Stops,
    /// It could not be read, or cannot tell.
    Untold,
}

/// Judges the ports that were left alone because a live node's services may hold them. `ask` splits a range of ports where
/// the filter on that way changes its mind; `line_of` gives the line of evidence with a node's packet filter.
pub(crate) fn judge_busy(
    pairs: &mut [PairVerdict],
    ask: impl Fn(&PairVerdict, PortRange, Way) -> Vec<(PortRange, Filter)>,
    line_of: impl Fn(NodeId) -> Option<u32>,
) {
    let is_busy = |cell: &Cell| cell.outcome == Outcome::NotMeasured(Why::BusyUdp);
    if !pairs.iter().flat_map(|pair| &pair.cells).any(is_busy) {
        return;
    }
    let got_through: BTreeSet<(NodeId, NodeId, Family)> = pairs
        .iter()
        .filter(|pair| pair.cells.iter().any(|cell| cell.outcome.is_open()))
        .map(|pair| (pair.src, pair.dst, pair.transport.0))
        .collect();
    for pair in pairs {
        if !pair.cells.iter().any(is_busy) {
            continue;
        }
        let path_is_known = got_through.contains(&(pair.src, pair.dst, pair.transport.0));
        let (busy, mut cells): (Vec<Cell>, Vec<Cell>) = pair.cells.drain(..).partition(is_busy);
        for cell in busy {
            let ranges = cell.ports.ranges();
            let mut judged = Judged::default();
            for (range, passage) in ranges.iter().flat_map(|range| passage(pair, *range, &WAYS, &ask)) {
                judged.add(range, passage);
            }
            cells.extend(judged.cells(&cell, path_is_known, [line_of(pair.src), line_of(pair.dst)]));
        }
        cells.sort_by_key(|cell| cell.ports.ranges().first().map(|range| range.first()));
        pair.cells = cells;
    }
}

/// What becomes of a packet on all its ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Passage {
    Free,
    StoppedAt(Spot),
    Untold,
}

const WAYS: [(Way, Spot); 4] = [
    (Way::Out, Spot::SourceOut),
    (Way::In, Spot::Destination),
    (Way::AnswerOut, Spot::Destination),
    (Way::AnswerIn, Spot::SourceIn),
];

fn passage(
    pair: &PairVerdict,
    range: PortRange,
    ways: &[(Way, Spot)],
    ask: &impl Fn(&PairVerdict, PortRange, Way) -> Vec<(PortRange, Filter)>,
) -> Vec<(PortRange, Passage)> {
    let Some(((way, spot), rest)) = ways.split_first() else {
        return vec![(range, Passage::Free)];
    };
    let mut out = Vec::new();
    for (range, filter) in ask(pair, range, *way) {
        match filter {
            Filter::Stops => out.push((range, Passage::StoppedAt(*spot))),
            Filter::Passes => out.extend(passage(pair, range, rest, ask)),
            // A later filter that stops it for sure decides all the same.
            Filter::Untold => out.extend(passage(pair, range, rest, ask).into_iter().map(
                |(range, passage)| match passage {
                    Passage::Free => (range, Passage::Untold),
                    told => (range, told),
                },
            )),
        }
    }
    out
}

/// Ports by what becomes of their packets.
#[derive(Default)]
struct Judged(BTreeMap<Passage, PortSet>);

impl Judged {
    fn add(&mut self, range: PortRange, passage: Passage) {
        self.0.entry(passage).or_default().insert(range);
    }

    fn cells(self, of: &Cell, path_is_known: bool, filters: [Option<u32>; 2]) -> impl Iterator<Item = Cell> {
        let mut lines = of.lines.clone();
        lines.extend(filters.into_iter().flatten());
        lines.sort_unstable();
        lines.dedup();
        self.0.into_iter().map(move |(passage, ports)| {
            let (outcome, spot) = match passage {
                Passage::Free if path_is_known => (Outcome::OpenUnverified, Spot::Unknown),
                Passage::StoppedAt(spot) => (Outcome::Filtered, spot),
                Passage::Free | Passage::Untold => return Cell { ports, ..of.clone() },
            };
            Cell {
                ports,
                outcome,
                spot,
                by_ruleset: true,
                lines: lines.clone(),
                ..of.clone()
            }
        })
    }
}
