//! What the engine does not hear in time.

use std::{net::SocketAddr, time::Duration};

use plumbline_measure::{
    attempt::{Attempts, Step, Tally},
    time::Timestamp,
    window::QUIET_AFTER,
};
use plumbline_model::observation::{Signal, Unproven};
use plumbline_sys::{Errno, route::NextHop, tcp::TcpSocket};

use super::Engine;
use crate::runner::{
    asking::Occupant,
    signal,
    tcp::flight::{Flight, Slot, Timer},
};

impl Engine {
    /// How long to wait for events.
    pub(super) fn timeout(&self, now: Timestamp, wake_at: Option<Timestamp>) -> Duration {
        let attempt = self
            .launches
            .front()
            .map(|timer| timer.at + self.policy.attempt_timeout);
        let proof = self.proofs.front().map(|timer| timer.at);
        // Connections that turn quiet make room for others.
        let waits_for_room = !self.window.is_open() && !self.queue.is_empty();
        let quiet = self
            .launches
            .get(self.aged)
            .filter(|_| waits_for_room)
            .map(|timer| timer.at + QUIET_AFTER);
        let deadlines = [attempt, proof, quiet, wake_at, self.next_farewell()];
        let until = deadlines
            .into_iter()
            .flatten()
            .fold(now + MAX_WAIT, Timestamp::min);
        until.since(now)
    }

    /// Lets connections turn quiet, attempts time out and proofs fail to come.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while let Some(timer) = self.launches.get(self.aged).copied() {
            if timer.at + QUIET_AFTER > now {
                break;
            }
            self.aged += 1;
            if let Some(flight) = self.current(timer).filter(|flight| flight.in_window) {
                flight.quiet = true;
                self.window.turned_quiet();
            }
        }
        // Only launches that were told to the window may leave, or `aged` would count others.
        while let Some(timer) = self.launches.front().copied().filter(|_| self.aged > 0) {
            let connecting = self
                .current(timer)
                .is_some_and(|flight| flight.in_window && !flight.attempts.is_proving());
            if connecting && timer.at + self.policy.attempt_timeout > now {
                break;
            }
            self.launches.pop_front();
            self.aged -= 1;
            if connecting {
                self.timed_out(now, timer.slot);
            }
        }
        while let Some(timer) = self.proofs.front().copied() {
            let proving = self
                .current(timer)
                .is_some_and(|flight| flight.attempts.is_proving());
            if proving && timer.at > now {
                break;
            }
            self.proofs.pop_front();
            if proving {
                self.timed_out(now, timer.slot);
            }
        }
        self.expire_farewells(now);
    }

    /// The test of a timer, if its launch is not over yet.
    fn current(&mut self, timer: Timer) -> Option<&mut Flight> {
        let slot = self.slots.get_mut(timer.slot)?;
        if slot.serial == timer.serial {
            slot.flight.as_mut()
        } else {
            None
        }
    }

    fn timed_out(&mut self, now: Timestamp, index: usize) {
        let Slot {
            flight: Some(flight),
            socket,
            ..
        } = &mut self.slots[index]
        else {
            return;
        };
        let proving = flight.attempts.is_proving();
        // Known only for as long as the attempt lasts.
        let local = match socket {
            Some(socket) if !flight.keeps_port => socket.local_address().ok(),
            _ => None,
        };
        let is_service = flight.occupant != Occupant::Responder;
        if is_service && !proving && socket.as_ref().is_some_and(TcpSocket::finish_writing) {
            // It was accepted since the last look: whoever ends an attempt must not reset a service's connection.
            self.accepted(now, index);
            return;
        }
        match flight.attempts.elapsed(now, &self.policy) {
            Step::Again => self.prepare_again(now, index, local),
            Step::Over(tally) if proving => {
                let how = Unproven::Silent;
                self.end(now, index, Signal::Unproven { how }, tally);
            }
            Step::Over(tally) => {
                let peer = self.task.targets[flight.target].peer.address;
                let signal = match self.next_hops.toward(peer, now) {
                    NextHop::Unresolved(_) => Signal::NeighborUnresolved,
                    NextHop::Resolved | NextHop::Unknown => Signal::Silence,
                };
                self.end(now, index, signal, tally);
            }
            Step::Wait | Step::Prove { .. } => {}
        }
    }

    /// Keeps the address and port that the attempt left from for the next one, so that it is of the same 5-tuple, and queues
    /// it.
    pub(super) fn prepare_again(&mut self, now: Timestamp, index: usize, local: Option<SocketAddr>) {
        self.leave_window(index);
        let slot = &mut self.slots[index];
        let Some(flight) = &mut slot.flight else { return };
        let target = flight.target;
        let kept = slot.socket.as_ref().is_some_and(|socket| {
            let is_bound = || local.is_some_and(|local| socket.bind_again(local).is_ok());
            socket.disconnect().is_ok() && (flight.keeps_port || is_bound())
        });
        flight.keeps_port = kept;
        if !kept {
            // Somebody took the port in between: begin anew with another one.
            slot.socket = None;
            flight.attempts = Attempts::new();
            flight.restarts += 1;
            if flight.restarts > RESTART_LIMIT {
                let signal = Signal::Exhausted {
                    errno: signal::number(Errno::ADDRINUSE),
                };
                let tally = Tally {
                    attempts: 0,
                    answered: 0,
                };
                self.end(now, index, signal, tally);
                return;
            }
        }
        self.queue.again(target, index);
    }
}

/// Other programs may take the port of a test between two attempts, but hardly three times in a row.
const RESTART_LIMIT: u32 = 2;
/// How late the lease is noticed at most, when nothing else happens.
const MAX_WAIT: Duration = Duration::from_millis(250);
