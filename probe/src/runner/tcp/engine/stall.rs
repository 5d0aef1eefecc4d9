//! A host that stood still: a probe that was stopped, a machine that was paused or that swapped.
//!
//! Peers did not wait. A responder gives up a connection over which no hello comes; an interrupted run closes it. So what was
//! under way while this thread did not run says nothing about the network, and is made again from its beginning, a bounded
//! number of times. A service that was connected to meanwhile has been reached, and is left.

use std::time::Duration;

use plumbline_measure::{attempt::Attempts, time::Timestamp};
use plumbline_sys::tcp::TcpSocket;

use super::Engine;
use crate::runner::{asking::Occupant, tcp::flight::Slot};

impl Engine {
    /// An iteration of the loop took so much longer than it meant to wait.
    pub(in crate::runner::tcp) fn overslept(&mut self, now: Timestamp, overslept: Duration) {
        if overslept < STALL || self.stalls_left == 0 {
            return;
        }
        self.stalls_left -= 1;
        for index in 0..self.slots.len() {
            let Slot {
                flight: Some(flight),
                socket,
                ..
            } = &mut self.slots[index]
            else {
                continue;
            };
            // Between two attempts nothing is under way.
            if !flight.in_window {
                continue;
            }
            let is_service = flight.occupant != Occupant::Responder;
            if is_service && flight.attempts.is_proving() {
                // What it said meanwhile waits to be read.
                continue;
            }
            if is_service && socket.as_ref().is_some_and(TcpSocket::finish_writing) {
                self.accepted(now, index);
                continue;
            }
            let target = flight.target;
            flight.attempts = Attempts::new();
            flight.keeps_port = false;
            flight.reply_len = 0;
            flight.asked = None;
            *socket = None;
            self.leave_window(index);
            self.queue.again(target, index);
        }
    }
}

/// How late an iteration may be before what was under way is not judged: half of the time for which a responder waits for
/// a hello, far more than a busy machine keeps a thread from running.
const STALL: Duration = Duration::from_secs(2);
/// A host that stands still more often than this is judged as it is.
pub(super) const STALLS: u32 = 16;
