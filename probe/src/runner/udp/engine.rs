//! The loop of the UDP runner: launches, and what joins its parts. What is heard stands in `hear`, what is not heard in time
//! in `expire`.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use plumbline_measure::{
    attempt::{Answer, Policy, Step, Tally},
    hello::PairKey,
    stamp::{
        packet::{SenderPacket, Sent},
        session::{SessionId, SessionKey},
        time::{ErrorEstimate, WireTime},
    },
    time::Timestamp,
    window::Window,
};
use plumbline_model::{
    observation::{Record, Signal},
    port::Protocol,
};
use plumbline_sys::{
    Errno,
    epoll::{Epoll, Events, Interest},
    icmp_error::QueuedError,
    limits,
    udp::UdpSocket,
};

use super::{
    flight::{Flight, Slot, Timer},
    next_sequence,
    sources::Sources,
};
use crate::runner::{
    asking::{AskTask, Shared},
    clock::Clock,
    ledger::{Ledger, Outcome},
    next_hops::NextHops,
    queue::{Next, Portion, Queue},
    rates::Limits,
    signal::{self, Refusal},
};

mod expire;
mod hear;

/// Everything that the thread of a task owns.
pub(super) struct Engine {
    task: AskTask,
    session: SessionId,
    shared: Arc<Shared>,
    policy: Policy,
    /// The pair keys of the targets.
    keys: Vec<PairKey>,
    queue: Queue,
    window: Window,
    ledger: Ledger,
    epoll: Epoll,
    slots: Vec<Slot>,
    /// Slots without a test.
    idle: Vec<usize>,
    /// The launches of the last attempt's length, oldest first, whatever became of them.
    launches: VecDeque<Timer>,
    /// How many of `launches`, from the front, have been told to the window as quiet.
    aged: usize,
    sources: Sources,
    next_hops: NextHops,
    /// Nothing is launched before: descriptors, ports or memory ran out.
    paused_until: Timestamp,
    /// A test was given up because something ran out, and nothing could be launched since.
    starved: bool,
    clock: Clock,
}

/// Why a question did not leave.
enum Unasked {
    /// The kernel said so at once.
    Refused(Errno),
    /// An ICMP error about an earlier attempt of the same test had come meanwhile.
    Heard(QueuedError),
}

impl From<Errno> for Unasked {
    fn from(errno: Errno) -> Self {
        Self::Refused(errno)
    }
}

impl Engine {
    pub(super) fn new(task: AskTask, session: SessionId, shared: Arc<Shared>) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        epoll.add(&shared.waker, WAKER, Interest::Readable)?;
        let open_files = usize::try_from(limits::raise_open_files()).unwrap_or(usize::MAX);
        let offset = task
            .targets
            .iter()
            .position(|target| target.peer.index > task.own_index);
        let waiting = task.targets.iter().map(|target| Portion {
            peer: target.peer.node,
            ports: &target.ports,
            delay: Duration::ZERO,
        });
        let limits = Limits::new(task.max_rate_node, task.max_rate_pair);
        Ok(Self {
            session,
            policy: Policy {
                attempts: task.attempts,
                attempt_timeout: task.attempt_timeout,
                // There is nothing to prove beyond the answer.
                proof_timeout: Duration::ZERO,
                unsent_limit: UNSENT_LIMIT,
            },
            keys: task
                .targets
                .iter()
                .map(|target| PairKey::new(&target.peer.key))
                .collect(),
            queue: Queue::new(waiting, offset.unwrap_or(0), Arc::clone(&task.rates), limits),
            window: Window::new(IN_FLIGHT_LIMIT.min(open_files / DESCRIPTOR_SHARE)),
            ledger: Ledger::new(task.targets.len()),
            epoll,
            slots: Vec::new(),
            idle: Vec::new(),
            launches: VecDeque::new(),
            aged: 0,
            sources: Sources::default(),
            next_hops: NextHops::default(),
            paused_until: Timestamp::ZERO,
            starved: false,
            clock: Clock::new(Arc::clone(&shared)),
            task,
            shared,
        })
    }

    /// Asks until every test has its outcome.
    pub(super) fn run(mut self) -> Vec<Record> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            // Deadlines are judged by the time before the wait: whatever had arrived by then has been read before
            // anything is called silent, however long this thread was kept from running.
            let now = self.clock.now();
            if let Some(why) = self.shared.stopped() {
                self.abandon(&Signal::NotTried { why });
                break;
            }
            let wake_at = self.launch(now);
            if self.window.in_flight() == 0 && self.queue.is_empty() {
                break;
            }
            let timeout = self.timeout(now, wake_at);
            let waits_since = self.clock.now();
            if let Err(errno) = self.epoll.wait(&mut events, Some(timeout)) {
                let errno = signal::number(errno);
                self.abandon(&Signal::Exhausted { errno });
                break;
            }
            self.clock.waited(waits_since, timeout);
            let heard = self.clock.now();
            for ready in events.iter() {
                self.handle(heard, ready.token);
            }
            if !events.is_full() {
                self.expire(now);
            }
        }
        self.ledger.into_records(&self.task, Protocol::Udp)
    }

    /// Launches what may be launched now. Returns when to come back for more, if only time is in the way.
    fn launch(&mut self, now: Timestamp) -> Option<Timestamp> {
        let paced = self.task.rates.now();
        loop {
            if now < self.paused_until {
                return Some(self.paused_until);
            }
            let slot = match self.queue.next(paced, self.window.is_open()) {
                Next::New { target, port } => {
                    let peer = SocketAddr::new(self.task.targets[target].peer.address, port);
                    let key = SessionKey::derive(&self.keys[target], port);
                    self.take_slot(Flight::new(target, peer, key))
                }
                Next::Again { slot } => slot,
                Next::At(at) => return Some(now + at.since(paced)),
                Next::Nothing => return None,
            };
            self.attempt(now, slot);
        }
    }

    fn take_slot(&mut self, flight: Flight) -> usize {
        let index = self.idle.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        self.slots[index].flight = Some(flight);
        index
    }

    /// Makes one attempt of the test in this slot.
    fn attempt(&mut self, now: Timestamp, index: usize) {
        let slot = &mut self.slots[index];
        let Some(flight) = &mut slot.flight else { return };
        slot.serial = slot.serial.wrapping_add(1);
        flight.attempts.launched(now, &self.policy);
        flight.quiet = false;
        flight.in_window = true;
        self.window.started();
        self.launches.push_back(Timer {
            at: now,
            slot: index,
            serial: slot.serial,
        });
        match self.ask(now, index) {
            Ok(()) => {
                self.starved = false;
                // What came between two attempts has waited in the socket.
                if self.is_further_attempt(index) {
                    self.read(now, index);
                }
            }
            Err(Unasked::Heard(error)) => self.failed(now, index, error),
            Err(Unasked::Refused(errno)) => match signal::of_connect(errno) {
                Refusal::Final(signal) => self.answer(now, index, Answer::Undeliverable, signal),
                Refusal::Heard(errno) | Refusal::Starved(errno) => self.unsent(now, index, errno),
            },
        }
    }

    fn is_further_attempt(&self, index: usize) -> bool {
        let flight = self.slots[index].flight.as_ref();
        flight.is_some_and(|flight| flight.asked.len() > 1)
    }

    fn ask(&mut self, now: Timestamp, index: usize) -> Result<(), Unasked> {
        let slot = &mut self.slots[index];
        let flight = slot.flight.as_mut().expect("a slot that asks holds a test");
        let ipv6 = flight.peer.is_ipv6();
        let local = self.task.local.filter(|local| local.is_ipv6() == ipv6);
        let socket = match slot.socket.take().filter(|_| slot.ipv6 == ipv6) {
            Some(socket) => socket,
            None => {
                let socket = UdpSocket::toward(flight.peer.ip(), local)?;
                self.epoll.add(&socket, token(index), Interest::EveryArrival)?;
                slot.ipv6 = ipv6;
                socket
            }
        };
        let socket = slot.socket.insert(socket);
        let sent = Sent {
            sequence: next_sequence().ok_or(Errno::OVERFLOW)?,
            at: WireTime::ntp(
                SystemTime::now()
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .unwrap_or_default(),
            ),
            error_estimate: ErrorEstimate::UNKNOWN,
        };
        let packet = SenderPacket {
            sent,
            ssid: self.session.to_wire(),
        };
        flight.from = self.task.local.or_else(|| self.sources.toward(flight.peer, now));
        send(socket, flight, &packet.seal(&flight.key))?;
        flight.asked.push(sent);
        Ok(())
    }

    /// Descriptors, ports or memory ran out: try again a little later, with as many tests as there are now.
    fn unsent(&mut self, now: Timestamp, index: usize, errno: Errno) {
        let unsent_limit = if self.starved { 0 } else { self.policy.unsent_limit };
        let Some(flight) = &mut self.slots[index].flight else {
            return;
        };
        let target = flight.target;
        let step = flight.attempts.unsent(&Policy {
            unsent_limit,
            ..self.policy
        });
        self.leave_window(index);
        if let Step::Over(tally) = step {
            self.starved = true;
            let errno = signal::number(errno);
            self.end(index, Signal::Exhausted { errno }, tally);
        } else {
            self.window.shrink();
            self.paused_until = now + PAUSE;
            self.queue.again(target, index);
        }
    }

    /// Notes the outcome and makes the slot free. Only a socket whose peer answered is used again: what may still come to any
    /// other is not to be met by another test.
    fn end(&mut self, index: usize, signal: Signal, tally: Tally) {
        self.leave_window(index);
        let slot = &mut self.slots[index];
        let Some(flight) = slot.flight.take() else {
            return;
        };
        if signal != Signal::Verified || tally.attempts != 1 {
            slot.socket = None;
        }
        let outcome = Outcome {
            signal,
            tally,
            from: flight.from.filter(|_| !flight.asked.is_empty()),
        };
        self.ledger.note(flight.target, flight.peer.port(), outcome);
        self.shared.count_done();
        self.idle.push(index);
    }

    fn leave_window(&mut self, index: usize) {
        let Some(flight) = self.slots[index]
            .flight
            .as_mut()
            .filter(|flight| flight.in_window)
        else {
            return;
        };
        flight.in_window = false;
        if flight.quiet {
            self.window.quiet_ended();
        } else {
            self.window.fresh_ended();
        }
    }

    /// Gives every test that has no outcome this one.
    fn abandon(&mut self, signal: &Signal) {
        for index in 0..self.slots.len() {
            if let Some(flight) = &self.slots[index].flight {
                let tally = Tally {
                    attempts: flight.attempts.made(),
                    answered: 0,
                };
                self.end(index, signal.clone(), tally);
            }
        }
        for (target, port) in self.queue.abandon() {
            self.ledger
                .note(target, port, Outcome::never_tried(signal.clone()));
            self.shared.count_done();
        }
    }
}

/// Sends a question. An error that the kernel had pending is told instead of sending; if it is of an earlier test that used
/// the socket, the question is sent all the same.
fn send(socket: &UdpSocket, flight: &Flight, octets: &[u8]) -> Result<(), Unasked> {
    let mut refused = Errno::AGAIN;
    for _ in 0..PENDING_ERRORS {
        match socket.send_to(octets, flight.peer) {
            Ok(()) => return Ok(()),
            // The packet filter of this host: what it may have queued besides says nothing more.
            Err(errno @ (Errno::PERM | Errno::ACCESS)) => return Err(Unasked::Refused(errno)),
            Err(errno) => refused = errno,
        }
        match take_errors(socket, flight.peer) {
            Taken::OfThisTest(error) => return Err(Unasked::Heard(error)),
            Taken::OfOthers => {}
            Taken::Nothing => break,
        }
    }
    Err(Unasked::Refused(refused))
}

/// What an error queue held.
enum Taken {
    /// At least an error about a datagram to this peer and port.
    OfThisTest(QueuedError),
    /// Errors about others.
    OfOthers,
    Nothing,
}

/// Empties the error queue.
fn take_errors(socket: &UdpSocket, peer: SocketAddr) -> Taken {
    let mut taken = Taken::Nothing;
    for _ in 0..QUEUED_ERRORS {
        let Some((error, asked)) = socket.take_icmp_error() else {
            break;
        };
        let is_ours = asked.is_some_and(|asked| (asked.ip(), asked.port()) == (peer.ip(), peer.port()));
        taken = match taken {
            Taken::OfThisTest(first) => Taken::OfThisTest(first),
            _ if is_ours => Taken::OfThisTest(error),
            _ => Taken::OfOthers,
        };
    }
    taken
}

fn token(index: usize) -> u64 {
    u64::try_from(index).expect("a slot's index is below the limit on open files")
}

/// The token of the waker; slots have their index.
const WAKER: u64 = u64::MAX;
/// Events taken with one wait: several windows of answering peers.
const EVENTS: usize = 512;
/// Silence is waited for by at most so many tests: enough for the 2,768 ports of the NodePort range at once.
const IN_FLIGHT_LIMIT: usize = 4096;
/// A task's sockets take this part of all descriptors at most. With the connect engine's, a quarter, two tasks at once leave a
/// sixth to everything else.
const DESCRIPTOR_SHARE: usize = 6;
/// Errors of earlier tests that one question can meet: one pending, and one that comes while it is taken.
const PENDING_ERRORS: u32 = 3;
/// An attempt causes one ICMP error; somebody who sends more does not keep the thread.
const QUEUED_ERRORS: u32 = 64;
/// How long to wait before descriptors or ports that ran out are asked for again.
const PAUSE: Duration = Duration::from_millis(50);
/// With [`PAUSE`], three seconds until a test is given up; the tests after it fail at once until something can be
/// launched again.
const UNSENT_LIMIT: u32 = 60;
