//! What the engine hears: answers, what pretends to be one, and ICMP errors.

use plumbline_measure::{
    attempt::{Answer, Step},
    stamp::packet::AUTHENTICATED_LEN,
    time::Timestamp,
};
use plumbline_model::observation::Signal;
use plumbline_sys::{Errno, icmp_error::QueuedError};

use super::{Engine, Taken, WAKER, take_errors};
use crate::runner::{signal, udp::flight::Slot};

impl Engine {
    pub(super) fn handle(&mut self, now: Timestamp, token: u64) {
        if token == WAKER {
            self.shared.waker.clear();
            return;
        }
        let Ok(index) = usize::try_from(token) else {
            return;
        };
        let flight = self.slots.get(index).and_then(|slot| slot.flight.as_ref());
        // What comes between two attempts waits for the next one.
        if flight.is_some_and(|flight| flight.in_window) {
            self.read(now, index);
        }
    }

    /// Reads everything that has come. A proof goes before an error, whichever came first.
    pub(super) fn read(&mut self, now: Timestamp, index: usize) {
        let Slot {
            flight: Some(flight),
            socket: Some(socket),
            ..
        } = &mut self.slots[index]
        else {
            return;
        };
        let mut octets = [0; AUTHENTICATED_LEN + 1];
        for _ in 0..DATAGRAMS {
            match socket.receive_from(&mut octets) {
                Ok(Some((count, from))) => {
                    if let Some(signal) = flight.hear(from, &octets[..count]) {
                        self.answer(now, index, Answer::Accepted, signal);
                        return;
                    }
                }
                Ok(None) => break,
                // An ICMP error is told here once; what it is about stands in the queue.
                Err(_) => {}
            }
        }
        if let Taken::OfThisTest(error) = take_errors(socket, flight.peer) {
            self.failed(now, index, error);
        }
    }

    /// An ICMP error about this test came.
    pub(super) fn failed(&mut self, now: Timestamp, index: usize, error: QueuedError) {
        let own = self.slots[index].flight.as_ref().and_then(|flight| flight.from);
        match signal::of_failure(Errno::CONNREFUSED, Some(error), own) {
            signal @ (Signal::LocalDenied { .. } | Signal::NoRoute | Signal::NeighborUnresolved) => {
                self.answer(now, index, Answer::Undeliverable, signal);
            }
            signal => self.answer(now, index, Answer::Refused, signal),
        }
    }

    pub(super) fn answer(&mut self, now: Timestamp, index: usize, answer: Answer, signal: Signal) {
        let Some(flight) = &mut self.slots[index].flight else {
            return;
        };
        if let Step::Over(tally) = flight.attempts.answered(now, answer, &self.policy) {
            self.end(index, signal, tally);
        }
    }
}

/// Datagrams that are read at once. Whoever floods a test's port with more delays that test and no other.
const DATAGRAMS: u32 = 64;
