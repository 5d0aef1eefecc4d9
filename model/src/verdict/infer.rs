//! What only the tests of a pair together tell.
//!
//! Slow hosts: whose answers came late. Rejections that an offender's rate limit hid: Linux sends one ICMP error a second and peer after a burst of six
//! (`icmp_ratelimit`, `icmp_msgs_burst`), so that a host which rejects 2,768 ports looks as if it dropped most of them.

use std::collections::BTreeSet;

use super::{Cell, Outcome, PairVerdict, Spot, Why};
use crate::{
    id::NodeId,
    port::{Family, PortSet},
};

/// Takes silent ports of a pair for rejected ones, where an offender has rejected others of the same pair and nothing
/// places the silence elsewhere. `is_dropped` says for which of the silent ports the destination's packet filter is known
/// to drop rather than to reject; those stay as they are.
pub(crate) fn infer_rejections(pair: &mut PairVerdict, is_dropped: impl Fn(&PairVerdict, &PortSet) -> bool) {
    let rejection = pair.cells.iter().find_map(|cell| match &cell.outcome {
        Outcome::Rejected {
            icmp: Some(icmp),
            offender: Some(offender),
            ..
        } => Some((*icmp, *offender, cell.spot, cell.lines.clone())),
        _ => None,
    });
    let Some((icmp, offender, spot, lines)) = rejection else {
        return;
    };
    for index in 0..pair.cells.len() {
        let cell = &pair.cells[index];
        let is_silent = matches!(cell.outcome, Outcome::Filtered | Outcome::FilteredForward);
        let fits = cell.spot == spot || cell.spot == Spot::Unknown;
        if is_silent && fits && !(spot == Spot::Destination && is_dropped(pair, &cell.ports)) {
            let cell = &mut pair.cells[index];
            cell.outcome = Outcome::Rejected {
                icmp: Some(icmp),
                offender: Some(offender),
                inferred: true,
            };
            cell.spot = spot;
            cell.lines.extend(&lines);
            cell.lines.sort_unstable();
            cell.lines.dedup();
        }
    }
}

/// Takes ports whose connections stood at both ends, and on which the question or the answer did not come in time, for open,
/// where some of the pair were looked at again, were answered then, and none was not: a host was slow.
pub(crate) fn recognise_lateness(pair: &mut PairVerdict) {
    let is_late = |cell: &Cell| cell.outcome == Outcome::Open && cell.spot == Spot::Destination;
    if !pair.cells.iter().any(is_late) {
        return;
    }
    for outcome in [Outcome::FilteredForward, Outcome::FilteredReturn] {
        let is_watched = |cell: &Cell| cell.outcome == outcome && cell.spot != Spot::Unknown;
        if pair.cells.iter().any(is_watched) {
            continue;
        }
        for cell in pair.cells.iter_mut().filter(|cell| cell.outcome == outcome) {
            cell.outcome = Outcome::Open;
            cell.spot = Spot::Destination;
        }
    }
}

/// Where a destination answers nothing of a pair, and itself cannot resolve the source's link address, the one explains the
/// other: its answers have nobody to go to. The pair then shares the reverse pair's outcome, and its cause.
pub(crate) fn share_unresolved_neighbours(pairs: &mut [PairVerdict]) {
    // What was not worth a test says nothing about the pair.
    let was_asked = |cell: &&Cell| cell.outcome != Outcome::NotMeasured(Why::NoService);
    let asked = |pair: &PairVerdict, is: fn(&Cell) -> bool| {
        let mut cells = pair.cells.iter().filter(was_asked).peekable();
        cells.peek().is_some() && cells.all(is)
    };
    let unresolved: BTreeSet<(NodeId, NodeId, Family)> = pairs
        .iter()
        .filter(|pair| asked(pair, |cell| cell.outcome == Outcome::NeighborUnresolved))
        .map(|pair| (pair.src, pair.dst, pair.transport.0))
        .collect();
    for pair in pairs {
        let is_reverse_unresolved = unresolved.contains(&(pair.dst, pair.src, pair.transport.0));
        let is_unanswered = |cell: &Cell| cell.outcome == Outcome::Filtered && cell.spot == Spot::Destination;
        if is_reverse_unresolved && asked(pair, is_unanswered) {
            for cell in pair.cells.iter_mut().filter(|cell| is_unanswered(cell)) {
                cell.outcome = Outcome::NeighborUnresolved;
                cell.spot = Spot::Return;
            }
        }
    }
}
