//! How large a packet a path carries: which size is tried next, and when a size is believed to be lost.
//!
//! A trial is two packets, one behind the other: one of the size in question, then a small one. What became of the two is told to
//! [`Search`], which says what to try next. Nothing here sends, and nothing here has a clock.
//!
//! ```text
//!   full size --> passes ------------------------------------------------> done
//!       |
//!       | lost alone, every time            told: MTU m
//!       v                                       v
//!   usual sizes below it  <----------------- m itself
//!       |
//!       v
//!   halving between the largest that passed and the smallest that is lost, until they are neighbours
//! ```
//!
//! Loss by chance is no limit of size. A size is lost only if, time after time, the large packet stayed away and the small one
//! behind it did not. Once anything small was lost on a path, more trials are asked for.

use std::collections::BTreeMap;

/// The search on one path.
#[derive(Debug, Clone)]
pub struct Search {
    /// The interface's own MTU: what it begins with.
    full: u32,
    /// A size that is known to pass, since the path was found with packets of it.
    small: u32,
    tallies: BTreeMap<u32, Tally>,
    /// The smallest MTU that anybody told of.
    told: Option<u32>,
    trials: u32,
    /// Trials without any answer, in succession.
    mute: u32,
    small_lost: bool,
}

/// What became of packets of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Packets that left.
    pub sent: u32,
    /// Answers.
    pub answered: u32,
    /// Not answered, though the small packet behind it was.
    pub lost_alone: u32,
    /// Not answered, and the small packet behind it neither.
    pub lost_both: u32,
    /// The MTU by which this host itself refused.
    pub refused: Option<u32>,
    /// The MTU that an ICMP error told of.
    pub told: Option<u32>,
}

/// What became of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// The large packet was answered.
    Passed,
    /// The small packet alone was answered.
    LostAlone,
    /// Neither was.
    LostBoth,
    /// This host's interface takes no packet of the size, but of this MTU.
    Refused(u32),
    /// An ICMP error said that the next hop's MTU is this.
    Told(u32),
}

/// Whether a size is known to pass or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belief {
    Passes,
    Lost,
    Open,
}

impl Search {
    /// A search that begins with the interface's MTU, on a path that carries packets of `small` octets.
    pub fn new(full: u32, small: u32) -> Self {
        Self {
            full: full.max(small),
            small,
            tallies: BTreeMap::new(),
            told: None,
            trials: 0,
            mute: 0,
            small_lost: false,
        }
    }

    /// Which size to try; `None` once there is nothing left to learn, or nothing is learnt.
    pub fn next(&self) -> Option<u32> {
        if self.trials >= MAX_TRIALS || self.mute >= MAX_MUTE {
            return None;
        }
        match self.belief(self.full) {
            Belief::Passes => return None,
            Belief::Open => return Some(self.full),
            Belief::Lost => {}
        }
        let (passes, lost) = self.bounds();
        if lost <= passes + 1 || self.is_settled_by_word(passes) {
            return None;
        }
        if let Some(told) = self.told.filter(|told| (passes + 1..lost).contains(told)) {
            return Some(told);
        }
        // Once something beside the small size has passed, the usual sizes have said what they can.
        let usual = USUAL.into_iter().find(|size| (passes + 1..lost).contains(size));
        match usual.filter(|_| passes == self.small) {
            Some(size) => Some(size),
            None => Some(passes + (lost - passes) / 2),
        }
    }

    /// Takes what became of a trial of this size.
    pub fn note(&mut self, octets: u32, trial: Trial) {
        self.trials += 1;
        self.mute = match trial {
            Trial::LostBoth => self.mute + 1,
            _ => 0,
        };
        self.small_lost |= trial == Trial::LostBoth;
        if let Trial::Told(mtu) | Trial::Refused(mtu) = trial
            && (self.small..octets).contains(&mtu)
        {
            self.told = Some(self.told.map_or(mtu, |told| told.min(mtu)));
        }
        self.tallies.entry(octets).or_default().note(trial);
    }

    /// A small packet was lost though the large one before it was not.
    pub fn note_small_lost(&mut self) {
        self.small_lost = true;
    }

    /// The largest size that passed, if any but the small one did.
    pub fn passes(&self) -> Option<u32> {
        let passed = self.tallies.iter().filter(|(_, tally)| tally.answered > 0);
        passed.map(|(octets, _)| *octets).max()
    }

    /// What became of each size, ascending: the largest that passed, what came closest above it, the full size, and what was
    /// told of; the others matter to nobody.
    pub fn tallies(&self) -> impl Iterator<Item = (u32, Tally)> + '_ {
        self.tallies.iter().map(|(octets, tally)| (*octets, *tally))
    }

    fn bounds(&self) -> (u32, u32) {
        let passes = self.passes().unwrap_or(self.small).max(self.small);
        let lost = self
            .tallies
            .keys()
            .copied()
            .filter(|octets| *octets > passes && self.belief(*octets) == Belief::Lost);
        (passes, lost.min().unwrap_or(self.full))
    }

    /// Whether the size that passes is the one that somebody told of: nobody tells of less than he has.
    fn is_settled_by_word(&self, passes: u32) -> bool {
        self.told == Some(passes)
    }

    fn belief(&self, octets: u32) -> Belief {
        let Some(tally) = self.tallies.get(&octets) else {
            return Belief::Open;
        };
        let enough = match (octets == self.full, self.small_lost) {
            (true, false) => SURE,
            (true, true) => SURE_WHERE_ANYTHING_IS_LOST,
            (false, false) => LIKELY,
            (false, true) => SURE,
        };
        if tally.answered > 0 {
            Belief::Passes
        } else if tally.told.is_some() || tally.refused.is_some() || tally.lost_alone >= enough {
            Belief::Lost
        } else {
            Belief::Open
        }
    }
}

impl Tally {
    /// Takes what became of one trial.
    pub fn note(&mut self, trial: Trial) {
        match trial {
            Trial::Refused(mtu) => {
                self.refused = Some(mtu);
                return;
            }
            Trial::Passed => self.answered += 1,
            Trial::LostAlone => self.lost_alone += 1,
            Trial::LostBoth => self.lost_both += 1,
            Trial::Told(mtu) => self.told = Some(mtu),
        }
        self.sent += 1;
    }

    /// Whether the size is lost every time, by trials enough to say so, and not merely by chance.
    pub fn is_lost_alone(&self) -> bool {
        self.answered == 0 && self.lost_alone >= SURE && self.lost_both * 2 <= self.lost_alone
    }
}

/// Sizes that paths have, descending: jumbo frames, Ethernet, PPPoE, tunnels of all kinds, the least of IPv6.
const USUAL: [u32; 8] = [9000, 1500, 1492, 1476, 1450, 1400, 1280, 576];

/// Trials, lost alone, after which the interface's own size is believed to be lost. At a loss of one third by chance all of six
/// large packets stay away once in seven hundred times, and all of the small ones arrive once in eleven: together once in eight
/// thousand.
const SURE: u32 = 6;

/// The same where small packets are lost, too.
const SURE_WHERE_ANYTHING_IS_LOST: u32 = 16;

/// The same for the sizes between, of which a wrong one makes the answer less exact, and never makes one up.
const LIKELY: u32 = 3;

/// Trials of one path at most: eight usual sizes, then fourteen halvings, three trials each, twice.
const MAX_TRIALS: u32 = 132;

/// Trials without any answer after which a path is left alone: whatever it is, it is not its MTU.
const MAX_MUTE: u32 = 6;

#[cfg(test)]
mod tests;
