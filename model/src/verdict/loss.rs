//! Loss: which tests needed a second attempt, and which of those that had no answer at all had none by chance.
//!
//! ```text
//! answered at the     first   second   third   ... attempt, or at none
//! of n ports        n(1-p)  np(1-p)  np²(1-p)  ...            np^k     where one attempt in 1/p is lost
//! ```
//!
//! Each row is p times the one before it, whatever k is and however many ports something else stops: so p is told by those
//! that were answered. The silent ones are put down to it as long as so many are not too many for chance.

use std::{cmp::Ordering, collections::BTreeMap};

use super::{Cell, Mismatch, Outcome, PairVerdict, Spot};
use crate::{id::NodeId, port::PortSet};

/// Takes ports that answered only after a repetition for lossy, if there are too many of them for chance: a segment in a
/// thousand is lost on good networks and a late one looks like a lost one, but three or more, and one in twenty, are not.
///
/// Where so many are lost, all attempts at some ports are lost by chance, between the same two nodes in whichever transport
/// and direction. These are lossy as well, unless the destination's packet filter is known to drop them (`is_dropped`). So
/// are connections that were accepted and on which all repetitions of a hello were lost: they only look like those of somebody
/// else.
pub(crate) fn recognise_loss(pairs: &mut [PairVerdict], is_dropped: impl Fn(&PairVerdict, &PortSet) -> bool) {
    let mut between: BTreeMap<[NodeId; 2], Loss> = BTreeMap::new();
    let own: Vec<Option<Loss>> = pairs.iter().map(Loss::of).collect();
    for (pair, loss) in pairs.iter().zip(&own) {
        if let Some(loss) = loss {
            let known = between.entry(ends(pair)).or_insert(*loss);
            *known = (*known).max(*loss);
        }
    }
    for (pair, own) in pairs.iter_mut().zip(own) {
        let Some(loss) = own.or_else(|| between.get(&ends(pair)).copied()) else {
            continue;
        };
        let by_chance: Vec<usize> = (0..pair.cells.len())
            .filter(|index| {
                let cell = &pair.cells[*index];
                let is_chance = (is_silent(cell) && loss.silences(pair, cell.attempts))
                    || (is_mute(cell) && loss.mutes(pair));
                is_chance && !is_dropped(pair, &cell.ports)
            })
            .collect();
        for index in by_chance {
            pair.cells[index].outcome = Outcome::Lossy { answered: 0 };
            pair.cells[index].spot = Spot::Unknown;
        }
        if own.is_some() {
            for cell in pair.cells.iter_mut().filter(|cell| is_repeated(cell)) {
                cell.outcome = Outcome::Lossy { answered: 1 };
            }
        }
    }
}

/// Of so many attempts so many are lost.
#[derive(Debug, Clone, Copy)]
struct Loss {
    lost: u128,
    of: u128,
}

impl Loss {
    /// What a pair loses, if it is more than a good network does.
    fn of(pair: &PairVerdict) -> Option<Self> {
        let repeated = count(pair, is_repeated);
        let planned = u64::from(pair.planned.count());
        if repeated < LOSS_FLOOR || repeated.saturating_mul(LOSS_ONE_IN) < planned {
            return None;
        }
        // Only a look that stops at its first answer says at which attempt that came.
        let answered = || pair.cells.iter().filter(|cell| cell.outcome.is_open());
        let last = answered().map(|cell| cell.attempts).max().unwrap_or(0);
        let ports = |of: &dyn Fn(u32) -> bool| {
            let cells = answered().filter(|cell| of(cell.attempts));
            cells.map(|cell| u128::from(cell.ports.count())).sum::<u128>()
        };
        let (later, earlier) = (ports(&|attempt| attempt > 1), ports(&|attempt| attempt < last));
        if later < earlier {
            return Some(Self {
                lost: later,
                of: earlier,
            });
        }
        // So few were answered at once that no row is a part of the one before it: each attempt counts.
        let (mut lost, mut made) = (0_u128, 0_u128);
        for cell in answered() {
            let ports = u128::from(cell.ports.count());
            lost += ports * u128::from(cell.attempts.saturating_sub(1));
            made += ports * u128::from(cell.attempts.max(1));
        }
        Some(Self { lost, of: made })
    }

    fn max(self, other: Self) -> Self {
        match (self.lost * other.of).cmp(&(other.lost * self.of)) {
            Ordering::Less => other,
            Ordering::Equal | Ordering::Greater => self,
        }
    }

    /// Whether as many ports of a pair as are silent after so many attempts may be so by chance.
    fn silences(self, pair: &PairVerdict, attempts: u32) -> bool {
        let silent = |more_than: u32| count(pair, |cell| is_silent(cell) && cell.attempts >= more_than);
        let looked_at = pair.cells.iter().filter(|cell| is_silent(cell));
        let at_first = looked_at.map(|cell| cell.attempts).min().unwrap_or(attempts);
        // Those that were looked at again are as few as were looked at, not as there are.
        let again = count(pair, |cell| cell.attempts > at_first);
        let answered = again.saturating_sub(silent(at_first.saturating_add(1)));
        let is_chance_again = |attempts: u32| self.is_chance(again, attempts - at_first, silent(attempts));
        if attempts > at_first {
            return is_chance_again(attempts);
        }
        let planned = u64::from(pair.planned.count());
        // Loss comes in bursts: what a second look finds says more than how many they are.
        let most = pair.cells.iter().filter(|cell| is_silent(cell));
        let most = most.map(|cell| cell.attempts).max().unwrap_or(at_first);
        self.is_chance(planned, at_first, silent(at_first))
            || answered >= LOSS_FLOOR && (most == at_first || is_chance_again(most))
    }

    /// Whether as many connections of a pair as are mute may be so by chance.
    fn mutes(self, pair: &PairVerdict) -> bool {
        self.is_chance(
            u64::from(pair.planned.count()),
            HELLO_SENDINGS,
            count(pair, is_mute),
        )
    }

    /// Whether of so many ports so many may have lost all of so many attempts.
    fn is_chance(self, ports: u64, attempts: u32, found: u64) -> bool {
        let mut expected = u128::from(ports) * MILLION;
        for _ in 0..attempts.min(MOST_ATTEMPTS_WEIGHED) {
            expected = expected * self.lost / self.of.max(1);
        }
        millionths_of_at_least(found, expected) >= LEAST_CHANCE_MILLIONTHS
    }
}

/// How likely so many or more are, in millionths, where so many millionths are expected (Poisson, which is what the binomial
/// distribution becomes for rare things and is above it in this tail).
///
/// Every term is a part of the greatest one, so that none overflows: for 65,535 ports and fewer they vanish some thousands of
/// terms from it.
fn millionths_of_at_least(found: u64, expected_millionths: u128) -> u128 {
    let found = u128::from(found);
    let greatest = expected_millionths / MILLION;
    let (mut all, mut tail) = (0_u128, 0_u128);
    let mut add = |at: u128, term: u128| {
        all += term;
        if at >= found {
            tail += term;
        }
    };
    let (mut at, mut term) = (greatest, GREATEST_TERM);
    while term > 0 {
        add(at, term);
        at += 1;
        term = term * expected_millionths / (at * MILLION);
    }
    let (mut at, mut term) = (greatest, GREATEST_TERM);
    while at > 0 && term > 0 {
        // Not zero, since at least one is expected here.
        term = term * at * MILLION / expected_millionths.max(1);
        at -= 1;
        add(at, term);
    }
    tail * MILLION / all.max(1)
}

/// The two nodes of a pair, in whichever direction.
fn ends(pair: &PairVerdict) -> [NodeId; 2] {
    [pair.src.min(pair.dst), pair.src.max(pair.dst)]
}

fn is_repeated(cell: &Cell) -> bool {
    cell.outcome.is_open() && cell.attempts > 1 && cell.spot == Spot::Unknown
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

/// Fewer tests than this that needed a repetition are chance.
const LOSS_FLOOR: u64 = 3;
/// One test in so many that needed a repetition is loss; a moment in which a busy host stands still stays below it.
const LOSS_ONE_IN: u64 = 20;
/// What happens in one run of a thousand is still chance: a run has some tens of lossy pairs at most.
const LEAST_CHANCE_MILLIONTHS: u128 = 1_000;
/// How many times TCP sends a hello before its proof is given up: at once, and after 0.2, 0.6 and 1.4 s.
const HELLO_SENDINGS: u32 = 4;
/// After so many attempts in vain nothing is chance on a network that answers anybody.
const MOST_ATTEMPTS_WEIGHED: u32 = 32;
const MILLION: u128 = 1_000_000;
/// The greatest term of a distribution: terms of a millionth of a millionth of it no longer matter.
const GREATEST_TERM: u128 = MILLION * MILLION;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_agree_with_the_tables() {
        // P(X >= x) for X ~ Poisson(mean), to the millionth: 1 - e^-1, 1 - 2/e.
        for (found, mean, expected) in [
            (0, 1_000_000, 1_000_000),
            (1, 1_000_000, 632_120),
            (2, 1_000_000, 264_241),
            (1, 0, 0),
            (0, 0, 1_000_000),
        ] {
            let found = millionths_of_at_least(found, mean);
            assert!(found.abs_diff(expected) <= 1, "{found} for {expected}");
        }
        let of_many = millionths_of_at_least(65_535, 65_535 * MILLION);
        assert!((500_000..510_000).contains(&of_many), "{of_many}");
    }
}
