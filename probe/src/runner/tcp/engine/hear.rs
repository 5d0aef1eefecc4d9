//! What the engine hears: connections that stand or fail, and what comes over them.

use plumbline_measure::{
    attempt::{Answer, Step},
    banner::BannerRead,
    hello::{ReadReply, Request},
    time::Timestamp,
};
use plumbline_model::observation::{Signal, Unproven};
use plumbline_sys::{Errno, epoll::Ready, icmp_error::QueuedError, tcp::Received};

use super::{Engine, WAKER};
use crate::runner::{
    asking::Occupant,
    signal,
    tcp::flight::{Slot, Timer},
};

impl Engine {
    pub(super) fn handle(&mut self, now: Timestamp, ready: Ready) {
        if ready.token == WAKER {
            self.shared.waker.clear();
            return;
        }
        let Ok(index) = usize::try_from(ready.token) else {
            return;
        };
        let Some(Slot {
            flight: Some(flight),
            socket: Some(socket),
            ..
        }) = self.slots.get(index)
        else {
            if self.slots.get(index).is_some_and(|slot| slot.leaving.is_some()) {
                self.discard(index);
            }
            return;
        };
        if flight.attempts.is_proving() {
            self.read(now, index);
            return;
        }
        // Between two attempts the socket reports that it is not connected, which is no news.
        if !flight.in_window {
            return;
        }
        if ready.failed {
            match socket.take_error() {
                // The error queue alone knows why: an ICMP error that came while the kernel was at work on the socket (a reject by
                // a neighbour comes within connect(2)) ends nothing, and reading one that did takes the error with it.
                None if !socket.is_connected() => self.failed(now, index, Errno::TIMEDOUT),
                // A RST to a SYN is ECONNREFUSED: these say that the connection stood before it ended.
                None | Some(Errno::CONNRESET | Errno::PIPE) => self.accepted(now, index),
                Some(errno) => self.failed(now, index, errno),
            }
        } else if ready.writable {
            self.accepted(now, index);
            if ready.readable {
                self.read(now, index);
            }
        }
    }

    /// The attempt ended in an error of the socket.
    pub(super) fn failed(&mut self, now: Timestamp, index: usize, pending: Errno) {
        let Some(socket) = &self.slots[index].socket else {
            return;
        };
        let queued = socket.take_icmp_error();
        self.failed_by(now, index, pending, queued);
    }

    fn failed_by(&mut self, now: Timestamp, index: usize, pending: Errno, queued: Option<QueuedError>) {
        let Some(socket) = &self.slots[index].socket else {
            return;
        };
        // One answer is enough; more of them would be taken for those of the next test.
        while queued.is_some() && socket.take_icmp_error().is_some() {}
        let own = self
            .task
            .local
            .or_else(|| socket.local_address().ok().map(|local| local.ip()));
        match signal::of_failure(pending, queued, own) {
            // The kernel gave up before we did: the attempt's own deadline ends it.
            Signal::Silence => {}
            Signal::Exhausted { .. } => self.unsent(now, index, pending),
            signal @ (Signal::LocalDenied { .. } | Signal::NoRoute | Signal::NeighborUnresolved) => {
                self.answer(now, index, Answer::Undeliverable, signal);
            }
            Signal::Refused => self.answer(now, index, Answer::Reset, Signal::Refused),
            signal => self.answer(now, index, Answer::Refused, signal),
        }
    }

    pub(super) fn accepted(&mut self, now: Timestamp, index: usize) {
        let Some(flight) = &self.slots[index].flight else {
            return;
        };
        match flight.occupant {
            Occupant::Service => self.answer(now, index, Answer::Accepted, Signal::Connected),
            Occupant::Responder => self.answer(now, index, Answer::AcceptedToProve, Signal::Verified),
            Occupant::Sshd => self.answer(now, index, Answer::AcceptedToProve, Signal::Connected),
        }
    }

    pub(super) fn answer(&mut self, now: Timestamp, index: usize, answer: Answer, signal: Signal) {
        let Some(flight) = &mut self.slots[index].flight else {
            return;
        };
        match flight.attempts.answered(now, answer, &self.policy) {
            Step::Over(tally) => self.end(now, index, signal, tally),
            Step::Prove { until } => self.await_proof(now, index, until),
            // Its port is kept since the attempt before.
            Step::Again => self.prepare_again(now, index, None),
            Step::Wait => {}
        }
    }

    fn await_proof(&mut self, now: Timestamp, index: usize, until: Timestamp) {
        let Slot {
            flight: Some(flight),
            serial,
            ..
        } = &self.slots[index]
        else {
            return;
        };
        self.proofs.push_back(Timer {
            at: until,
            slot: index,
            serial: *serial,
        });
        match flight.occupant {
            Occupant::Responder => self.send_hello(now, index),
            // An SSH server speaks first.
            Occupant::Sshd | Occupant::Service => {}
        }
    }

    fn send_hello(&mut self, now: Timestamp, index: usize) {
        let nonce = self.nonces.next();
        let slot = &mut self.slots[index];
        let (Some(flight), Some(socket)) = (&mut slot.flight, &slot.socket) else {
            return;
        };
        let request = Request {
            run: self.task.run,
            source: self.task.own_index,
            destination: self.task.targets[flight.target].peer.index,
            port: flight.port,
            nonce,
        };
        let (octets, asked) = request.seal(&self.keys[flight.target]);
        flight.asked = Some(asked);
        // A send buffer holds far more than a hello: what does not go out whole, goes to a connection that is gone.
        if socket.send(&octets) != Ok(octets.len()) {
            let how = Unproven::Closed;
            self.judged(now, index, Signal::Unproven { how });
        }
    }

    /// Something came from the other end, or its end.
    fn read(&mut self, now: Timestamp, index: usize) {
        match self.slots[index].flight.as_ref().map(|flight| flight.occupant) {
            Some(Occupant::Responder) => self.read_reply(now, index),
            Some(Occupant::Sshd) => self.read_banner(now, index),
            // Its test is over as soon as it is connected.
            Some(Occupant::Service) | None => {}
        }
    }

    fn read_banner(&mut self, now: Timestamp, index: usize) {
        let slot = &mut self.slots[index];
        let (Some(flight), Some(socket)) = (&mut slot.flight, &slot.socket) else {
            return;
        };
        let mut octets = [0; 256];
        let signal = loop {
            let count = match socket.receive(&mut octets) {
                Ok(Received::Nothing) => return,
                Ok(Received::Octets(count)) => count,
                Ok(Received::Closed) | Err(_) => {
                    let how = Unproven::Closed;
                    break Signal::Unproven { how };
                }
            };
            match flight.banner.read(&octets[..count]) {
                BannerRead::Incomplete => {}
                BannerRead::Found => break Signal::Connected,
                BannerRead::NotSsh => {
                    let how = Unproven::Garbage;
                    break Signal::Unproven { how };
                }
            }
        };
        self.judged(now, index, signal);
    }

    fn read_reply(&mut self, now: Timestamp, index: usize) {
        let slot = &mut self.slots[index];
        let (Some(flight), Some(socket)) = (&mut slot.flight, &slot.socket) else {
            return;
        };
        let Some(asked) = flight.asked else { return };
        let signal = loop {
            match socket.receive(&mut flight.reply[flight.reply_len..]) {
                Ok(Received::Nothing) => return,
                Ok(Received::Closed) | Err(_) => {
                    break Signal::Unproven {
                        how: Unproven::Closed,
                    };
                }
                Ok(Received::Octets(count)) => flight.reply_len += count,
            }
            match asked.read_reply(&self.keys[flight.target], &flight.reply[..flight.reply_len]) {
                ReadReply::Incomplete => {}
                ReadReply::Proven => break Signal::Verified,
                ReadReply::BadProof => {
                    break Signal::Unproven {
                        how: Unproven::BadProof,
                    };
                }
                ReadReply::Garbage => {
                    break Signal::Unproven {
                        how: Unproven::Garbage,
                    };
                }
            }
        };
        self.judged(now, index, signal);
    }

    fn judged(&mut self, now: Timestamp, index: usize, signal: Signal) {
        let Some(flight) = &mut self.slots[index].flight else {
            return;
        };
        if let Step::Over(tally) = flight.attempts.judged() {
            self.end(now, index, signal, tally);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::{own_address::destination, runner::tcp::tests::of_service};

    #[test]
    fn a_socket_in_error_that_is_not_connected_is_no_open_port() {
        let listener = TcpListener::bind((destination(), 0)).unwrap();
        let mut engine = of_service(&listener);
        engine.launch(Timestamp::ZERO);
        // As the kernel leaves it whose error was taken along with another.
        engine.slots[0].socket.as_ref().unwrap().disconnect().unwrap();
        let ready = Ready {
            token: 0,
            readable: true,
            writable: true,
            failed: true,
        };
        engine.handle(Timestamp::ZERO, ready);
        let flight = engine.slots[0].flight.as_ref();
        assert!(flight.is_some_and(|flight| flight.in_window), "{flight:?}");
    }
}
