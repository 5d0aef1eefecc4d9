//! What only the tests of a pair together tell.
//!
//! Slow hosts: whose answers came late. Loss: how many of them needed a second attempt. Rejections that an offender's rate limit hid: Linux sends one ICMP error a second and peer after a burst of six
//! (`icmp_ratelimit`, `icmp_msgs_burst`), so that a host which rejects 2,768 ports looks as if it dropped most of them.

use std::collections::BTreeSet;

use super::{Cell, Mismatch, Outcome, PairVerdict, Spot, Why};
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

/// Takes ports that answered only after a repetition for lossy, if there are too many of them for chance: a segment in a
/// thousand is lost on good networks and a late one looks like a lost one, but three or more, and one in twenty, are not.
///
/// Where so many are lost, all attempts at some ports are lost by chance, and these are lossy as well, unless the
/// destination's packet filter is known to drop them (`is_dropped`). So are connections that were accepted and on which all
/// repetitions of a hello were lost: they only look like those of somebody else.
pub(crate) fn recognise_loss(pair: &mut PairVerdict, is_dropped: impl Fn(&PairVerdict, &PortSet) -> bool) {
    let is_repeated = |cell: &Cell| {
        matches!(cell.outcome, Outcome::Open | Outcome::OpenUnverified)
            && cell.attempts > 1
            && cell.spot == Spot::Unknown
    };
    let repeated = count(pair, is_repeated);
    let planned = u64::from(pair.planned.count());
    if repeated < LOSS_FLOOR || repeated * LOSS_ONE_IN < planned {
        return;
    }
    let by_chance: Vec<usize> = (0..pair.cells.len())
        .filter(|index| {
            let cell = &pair.cells[*index];
            let is_chance = (is_silent(cell) && may_be_chance(pair, cell.attempts, is_silent))
                || (is_mute(cell) && may_be_chance(pair, HELLO_SENDINGS, is_mute));
            is_chance && !is_dropped(pair, &cell.ports)
        })
        .collect();
    for index in by_chance {
        pair.cells[index].outcome = Outcome::Lossy { answered: 0 };
        pair.cells[index].spot = Spot::Unknown;
    }
    for cell in pair.cells.iter_mut().filter(|cell| is_repeated(cell)) {
        cell.outcome = Outcome::Lossy { answered: 1 };
    }
}

/// Whether as many ports of a pair as `are` so may be so after so many attempts, given how many attempts at its other ports
/// were lost before one was answered.
fn may_be_chance(pair: &PairVerdict, attempts: u32, are: fn(&Cell) -> bool) -> bool {
    let answered = |cell: &&Cell| cell.outcome.is_open() || matches!(cell.outcome, Outcome::Lossy { .. });
    // Attempts are as many as a probe claims: products of two such numbers need more than 64 bits.
    let (mut lost, mut made) = (0_u128, 0_u128);
    for cell in pair.cells.iter().filter(answered) {
        let ports = u128::from(cell.ports.count());
        lost += ports * u128::from(cell.attempts.saturating_sub(1));
        made += ports * u128::from(cell.attempts.max(1));
    }
    if made == 0 {
        return false;
    }
    let mut expected_thousandths = u128::from(pair.planned.count()) * 1000;
    for _ in 0..attempts.min(MOST_ATTEMPTS_WEIGHED) {
        expected_thousandths = expected_thousandths * lost / made;
    }
    let found = count(pair, |cell| {
        are(cell) && (is_mute(cell) || cell.attempts >= attempts)
    });
    u128::from(found) * 1000 <= expected_thousandths * CHANCE_MARGIN
}

fn is_silent(cell: &Cell) -> bool {
    matches!(
        cell.outcome,
        Outcome::Filtered | Outcome::FilteredForward | Outcome::FilteredReturn
    )
}

/// Whether something accepted and then said nothing, and no capture places it.
fn is_mute(cell: &Cell) -> bool {
    let how = Mismatch::Mute;
    cell.outcome == Outcome::IdentityMismatch { how } && cell.spot == Spot::Unknown
}

/// How many ports of a pair are in such cells.
fn count(pair: &PairVerdict, is: impl Fn(&Cell) -> bool) -> u64 {
    let cells = pair.cells.iter().filter(|cell| is(cell));
    cells.map(|cell| u64::from(cell.ports.count())).sum()
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

/// Fewer tests than this that needed a repetition are chance.
const LOSS_FLOOR: u64 = 3;
/// One test in so many that needed a repetition is loss; a moment in which a busy host stands still stays below it.
const LOSS_ONE_IN: u64 = 20;
/// How many times as many as expected are still chance: with few of them expected, one in some hundred pairs has so many.
const CHANCE_MARGIN: u128 = 3;
/// How many times TCP sends a hello before its proof is given up: at once, and after 0.2, 0.6 and 1.4 s.
const HELLO_SENDINGS: u32 = 4;
/// After so many attempts in vain nothing is chance on a network that answers anybody.
const MOST_ATTEMPTS_WEIGHED: u32 = 32;
