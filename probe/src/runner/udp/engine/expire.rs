//! What the engine does not hear in time.

use std::time::Duration;

use plumbline_measure::{
    attempt::{Answer, Step},
    time::Timestamp,
    window::QUIET_AFTER,
};
use plumbline_model::observation::Signal;
use plumbline_sys::route::NextHop;

use super::Engine;
use crate::runner::udp::flight::{Flight, Timer};

impl Engine {
    /// How long to wait for events.
    pub(super) fn timeout(&self, now: Timestamp, wake_at: Option<Timestamp>) -> Duration {
        let attempt = self
            .launches
            .front()
            .map(|timer| timer.at + self.policy.attempt_timeout);
        // Tests that turn quiet make room for others.
        let waits_for_room = !self.window.is_open() && !self.queue.is_empty();
        let quiet = self
            .launches
            .get(self.aged)
            .filter(|_| waits_for_room)
            .map(|timer| timer.at + QUIET_AFTER);
        let deadlines = [attempt, quiet, wake_at].into_iter().flatten();
        deadlines.fold(now + MAX_WAIT, Timestamp::min).since(now)
    }

    /// Lets tests turn quiet and attempts time out.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while let Some(timer) = self.launches.get(self.aged).copied() {
            if timer.at + QUIET_AFTER > now {
                break;
            }
            self.aged += 1;
            if let Some(flight) = self.current(timer) {
                flight.quiet = true;
                self.window.turned_quiet();
            }
        }
        // Only launches that were told to the window may leave, or `aged` would count others.
        while let Some(timer) = self.launches.front().copied().filter(|_| self.aged > 0) {
            let is_current = self.current(timer).is_some();
            if is_current && timer.at + self.policy.attempt_timeout > now {
                break;
            }
            self.launches.pop_front();
            self.aged -= 1;
            if is_current {
                self.timed_out(now, timer.slot);
            }
        }
    }

    /// The test of a timer, if its launch is not over yet.
    fn current(&mut self, timer: Timer) -> Option<&mut Flight> {
        let slot = self.slots.get_mut(timer.slot)?;
        let flight = slot.flight.as_mut()?;
        (slot.serial == timer.serial && flight.in_window).then_some(flight)
    }

    fn timed_out(&mut self, now: Timestamp, index: usize) {
        // What was not read because of too much else may be the answer.
        self.read(now, index);
        let Some(flight) = &mut self.slots[index].flight else {
            return;
        };
        if let Some(how) = flight.heard {
            self.answer(now, index, Answer::Accepted, Signal::Unproven { how });
            return;
        }
        match flight.attempts.elapsed(now, &self.policy) {
            Step::Again => {
                let target = flight.target;
                self.leave_window(index);
                self.queue.again(target, index);
            }
            Step::Over(tally) => {
                let signal = match self.next_hops.toward(flight.peer.ip(), now) {
                    NextHop::Unresolved(_) => Signal::NeighborUnresolved,
                    NextHop::Resolved | NextHop::Unknown => Signal::Silence,
                };
                self.end(index, signal, tally);
            }
            Step::Wait | Step::Prove { .. } => {}
        }
    }
}

/// How late the lease is noticed at most, when nothing else happens.
const MAX_WAIT: Duration = Duration::from_millis(250);
