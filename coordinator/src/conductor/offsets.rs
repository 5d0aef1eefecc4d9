//! Clocks: what time it is on a participant's host, asked a few times once its session is open, and told by the exchange with
//! the shortest round trip, as NTP does (RFC 5905 section 8):
//!
//! ```text
//!   coordinator   asked ----------------------------- heard       offset = ((read - asked) + (written - heard)) / 2
//!                      \                           /               round trip = (heard - asked) - (written - read)
//!   probe               read ------------ written                 the offset is wrong by half of the round trip at most
//! ```

use plumbline_model::{errand, evidence::SwarmEvent, id::NodeId};

use super::{Action, Conductor, Phase, clock::Awake, seat::Presence};

/// One question and its answer: microseconds since 1970 (UTC), each by the clock of where it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exchange {
    /// By the coordinator's: the question left.
    pub(crate) asked_us: u64,
    /// By the probe's: it arrived.
    pub(crate) read_us: u64,
    /// By the probe's: the answer left.
    pub(crate) written_us: u64,
    /// By the coordinator's: it arrived.
    pub(crate) heard_us: u64,
}

/// What is known of one participant's clock.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// The number of the last question; 0 before the first.
    asked: u32,
    /// Exchanges that tell something.
    samples: u32,
    best: Option<Sample>,
    /// Whether it is over, and what it found stands in the evidence.
    is_recorded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sample {
    offset_us: i64,
    round_trip_us: u64,
}

impl Exchange {
    /// What it says; nothing if a clock was set while it was under way, so that time ran backwards.
    fn sample(self) -> Option<Sample> {
        let [asked, read, written, heard] =
            [self.asked_us, self.read_us, self.written_us, self.heard_us].map(i64::try_from);
        let (asked, read, written, heard) = (asked.ok()?, read.ok()?, written.ok()?, heard.ok()?);
        let away = heard.checked_sub(asked).filter(|away| *away >= 0)?;
        let there = written.checked_sub(read).filter(|there| *there >= 0)?;
        let round_trip_us = u64::try_from(away.checked_sub(there)?).ok()?;
        let twice = read
            .checked_sub(asked)?
            .checked_add(written.checked_sub(heard)?)?;
        Some(Sample {
            offset_us: twice / 2,
            round_trip_us,
        })
    }
}

impl Conductor {
    /// Begins to ask a participant whose session has opened, if its host is looked at in this run.
    pub(super) fn ask_clock(&mut self, node: NodeId) {
        if self.phase >= Phase::WindingUp || !self.duties.has_errand(node, errand::Kind::Inspect) {
            return;
        }
        let Some(seat) = self.seats.get_mut(&node).filter(|seat| !seat.clock.is_recorded) else {
            return;
        };
        // Questions of an earlier session may never have arrived.
        seat.clock = Series {
            asked: 1,
            ..Series::default()
        };
        self.actions.push_back(Action::AskClock { node, number: 1 });
    }

    /// Takes an answer, and asks again or lines up what was found.
    pub(super) fn clock_told(&mut self, now: Awake, node: NodeId, number: u32, exchange: Exchange) {
        let phase = self.phase;
        let Some(seat) = self.participant(now, node) else {
            return;
        };
        let series = &mut seat.clock;
        if series.is_recorded || number != series.asked {
            return;
        }
        if let Some(sample) = exchange.sample() {
            series.samples += 1;
            let is_better = |best: Sample| sample.round_trip_us < best.round_trip_us;
            if series.best.is_none_or(is_better) {
                series.best = Some(sample);
            }
        }
        if series.asked < EXCHANGES && phase < Phase::WindingUp {
            series.asked += 1;
            let number = series.asked;
            self.actions.push_back(Action::AskClock { node, number });
            return;
        }
        self.line_up_clock(node);
    }

    /// Whether a participant that is here is still being asked.
    pub(super) fn is_asking_clocks(&self) -> bool {
        let mut here = self.seats.values().filter(|seat| seat.presence == Presence::Here);
        here.any(|seat| seat.clock.asked > 0 && !seat.clock.is_recorded)
    }

    /// Lines up what is known of clocks that were not asked to the end.
    pub(super) fn line_up_clocks(&mut self) {
        let nodes: Vec<NodeId> = self.seats.keys().copied().collect();
        nodes.into_iter().for_each(|node| self.line_up_clock(node));
    }

    fn line_up_clock(&mut self, node: NodeId) {
        let Some(series) = self.seats.get_mut(&node).map(|seat| &mut seat.clock) else {
            return;
        };
        let samples = series.samples;
        let best = series.best.filter(|_| !series.is_recorded);
        series.is_recorded = series.asked > 0;
        if let Some(Sample {
            offset_us,
            round_trip_us,
        }) = best
        {
            self.record(SwarmEvent::Clock {
                node,
                offset_us,
                round_trip_us,
                samples,
            });
        }
    }
}

/// Exchanges with one probe: the shortest round trip of so many is one that met no queue, on a busy host as well.
const EXCHANGES: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(asked_us: u64, read_us: u64, written_us: u64, heard_us: u64) -> Exchange {
        Exchange {
            asked_us,
            read_us,
            written_us,
            heard_us,
        }
    }

    #[test]
    fn a_clock_that_is_ahead_has_a_positive_offset_and_time_spent_there_is_no_round_trip() {
        let ahead = 90_000_000;
        let sample = exchange(1_000, 1_400 + ahead, 6_400 + ahead, 6_800).sample();
        assert_eq!(
            sample,
            Some(Sample {
                offset_us: 90_000_000,
                round_trip_us: 800
            })
        );
    }

    #[test]
    fn a_clock_that_was_set_in_the_middle_tells_nothing() {
        assert_eq!(exchange(1_000, 5_000, 4_000, 2_000).sample(), None);
        assert_eq!(exchange(2_000, 5_000, 5_000, 1_000).sample(), None);
        assert_eq!(exchange(1_000, 5_000, 9_000, 2_000).sample(), None);
    }
}
