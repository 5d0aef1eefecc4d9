//! How services of peers are left: in order, whatever they do.
//!
//! ```text
//!   connected --(an SSH server: its banner)--> FIN sent, reading --(its FIN, or an error)--> closed
//!                                                    |
//!                                                    '--(out of time)----------------------> closed
//! ```
//!
//! The kernel sends a RST for a socket that is closed with octets unread in it, and for octets that arrive after the close.
//! So what a service says is read and thrown away until it has sent its own FIN, which for every server that notices the end
//! of its input is at once. The slot stays taken meanwhile, the test is over.
//!
//! A service that does not close is waited for so long ([`PATIENCE`], [`MAX_DISCARDED`]) and no longer: what it says after
//! that may be answered by a RST. An attempt that nobody answered in time is ended without a packet; an answer that comes
//! later still finds no socket, and the kernel refuses it before the service hears of a connection.

use std::time::Duration;

use plumbline_measure::time::Timestamp;
use plumbline_sys::tcp::Received;

use super::Engine;
use crate::runner::tcp::flight::{Leaving, Slot, Timer};

impl Engine {
    /// Begins to leave the service that this slot's socket is connected to, if it is. The slot is free afterwards, or when
    /// the service has closed.
    pub(super) fn take_leave(&mut self, now: Timestamp, index: usize) {
        let slot = &mut self.slots[index];
        if !slot.socket.as_ref().is_some_and(|socket| socket.finish_writing()) {
            slot.socket = None;
            self.idle.push(index);
            return;
        }
        slot.leaving = Some(Leaving {
            patience: MAX_DISCARDED,
        });
        self.leaving += 1;
        self.farewells.push_back(Timer {
            at: now + PATIENCE,
            slot: index,
            serial: slot.serial,
        });
        self.discard(index);
    }

    /// Throws away what a service says, and closes when it has closed.
    pub(super) fn discard(&mut self, index: usize) {
        let Slot {
            socket: Some(socket),
            leaving: Some(leaving),
            ..
        } = &mut self.slots[index]
        else {
            return;
        };
        let mut octets = [0; 4096];
        while leaving.patience > 0 {
            let room = leaving.patience.min(octets.len());
            match socket.receive(&mut octets[..room]) {
                Ok(Received::Octets(count)) => leaving.patience -= count,
                Ok(Received::Nothing) => return,
                Ok(Received::Closed) | Err(_) => {
                    self.part(index);
                    return;
                }
            }
        }
    }

    /// Closes what has been left for long enough.
    pub(super) fn expire_farewells(&mut self, now: Timestamp) {
        while let Some(timer) = self.farewells.front().copied() {
            let slot = &self.slots[timer.slot];
            let current = slot.serial == timer.serial && slot.leaving.is_some();
            if current && self.part_at(timer) > now {
                break;
            }
            self.farewells.pop_front();
            if current {
                self.part(timer.slot);
            }
        }
    }

    /// When the next service is waited for no longer.
    pub(super) fn next_farewell(&self) -> Option<Timestamp> {
        self.farewells.front().map(|timer| self.part_at(*timer))
    }

    /// From now on services are waited for only shortly: somebody waits for the end of the task.
    pub(super) fn hurry(&mut self, now: Timestamp) {
        let hurried_until = now + HURRIED_PATIENCE;
        self.hurried_until = Some(
            self.hurried_until
                .map_or(hurried_until, |until| until.min(hurried_until)),
        );
    }

    fn part_at(&self, timer: Timer) -> Timestamp {
        self.hurried_until.map_or(timer.at, |until| until.min(timer.at))
    }

    fn part(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        slot.leaving = None;
        slot.socket = None;
        self.leaving -= 1;
        self.idle.push(index);
    }
}

/// How long a service may take to close after it was told that nothing follows. A sound one needs a round trip; one that does
/// not close costs the task this much.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same when the task has been cancelled: an interrupted run is over four seconds later.
const HURRIED_PATIENCE: Duration = Duration::from_secs(1);
/// Octets of a service that are read before it is no longer listened to: more than any greeting, less than a flood.
const MAX_DISCARDED: usize = 64 * 1024;
