//! The loop of the connect engine: launches, and what joins its parts. What is heard stands in `hear`, what is not heard in
//! time in `expire`.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use plumbline_measure::{
    attempt::{Answer, Policy, Step, Tally},
    hello::PairKey,
    time::Timestamp,
    window::Window,
};
use plumbline_model::observation::{NotTried, Record, Signal};
use plumbline_sys::{
    Errno,
    epoll::{Epoll, Events, Interest},
    limits,
    tcp::{Connecting, TcpSocket},
};

use super::{
    AskTask, Shared,
    clock::Clock,
    flight::{Flight, Slot, Timer},
    ledger::Ledger,
    next_hops::NextHops,
    nonces::Nonces,
    queue::{Next, Queue},
    signal::{self, Refusal},
};
use crate::runner::rates::Limits;

mod expire;
mod hear;

/// Everything that the thread of a task owns.
pub(super) struct Engine {
    task: AskTask,
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
    /// The deadlines of proofs, oldest first, whatever became of them.
    proofs: VecDeque<Timer>,
    nonces: Nonces,
    next_hops: NextHops,
    /// Nothing is launched before: descriptors or ports ran out.
    paused_until: Timestamp,
    /// A test was given up because something ran out, and nothing could be launched since.
    starved: bool,
    clock: Clock,
}

impl Engine {
    pub(super) fn new(task: AskTask, shared: Arc<Shared>) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        epoll.add(&shared.waker, WAKER, Interest::Readable)?;
        // Half of the descriptors stay with the responders, the session and whatever else the process does.
        let open_files = usize::try_from(limits::raise_open_files()).unwrap_or(usize::MAX);
        let offset = task
            .targets
            .iter()
            .position(|target| target.peer.index > task.own_index);
        let waiting = task
            .targets
            .iter()
            .map(|target| (target.peer.node, &target.ports));
        let limits = Limits::new(task.max_rate_node, task.max_rate_pair);
        Ok(Self {
            policy: Policy {
                attempts: task.attempts,
                attempt_timeout: task.attempt_timeout,
                proof_timeout: PROOF_TIMEOUT,
                unsent_limit: UNSENT_LIMIT,
            },
            keys: task
                .targets
                .iter()
                .map(|target| PairKey::new(&target.peer.key))
                .collect(),
            queue: Queue::new(waiting, offset.unwrap_or(0), Arc::clone(&task.rates), limits),
            window: Window::new(IN_FLIGHT_LIMIT.min(open_files / 2)),
            ledger: Ledger::new(task.targets.len()),
            epoll,
            slots: Vec::new(),
            idle: Vec::new(),
            launches: VecDeque::new(),
            aged: 0,
            proofs: VecDeque::new(),
            nonces: Nonces::new()?,
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
            if let Some(why) = self.stopped() {
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
                self.abandon(&Signal::Exhausted {
                    errno: signal::number(errno),
                });
                break;
            }
            self.clock.waited(waits_since, timeout);
            let heard = self.clock.now();
            for ready in events.iter() {
                self.handle(heard, ready);
            }
            if !events.is_full() {
                self.expire(now);
            }
        }
        self.ledger
            .into_records(&self.task.targets, self.task.second_look)
    }

    fn stopped(&self) -> Option<NotTried> {
        let lease_until_ns = self.shared.lease_until_ns.load(Ordering::Relaxed);
        if self.shared.cancelled.load(Ordering::Relaxed) {
            Some(NotTried::Cancelled)
        } else if super::nanos(self.shared.started.elapsed()) >= lease_until_ns {
            Some(NotTried::Lease)
        } else {
            None
        }
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
                    self.take_slot(Flight::new(target, port, self.task.targets[target].live))
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
        match self.connect(index) {
            Ok(()) => self.starved = false,
            Err(errno) => match signal::of_connect(errno) {
                Refusal::Final(signal) => self.answer(now, index, Answer::Undeliverable, signal),
                Refusal::Heard(errno) => self.failed(now, index, errno),
                Refusal::Starved(errno) => self.unsent(now, index, errno),
            },
        }
    }

    fn connect(&mut self, index: usize) -> Result<(), Errno> {
        let slot = &mut self.slots[index];
        let flight = slot.flight.as_ref().expect("a slot that connects holds a test");
        let address = self.task.targets[flight.target].peer.address;
        let usable = flight.keeps_port || (!flight.live && slot.ipv6 == address.is_ipv6());
        let socket = match slot.socket.take().filter(|_| usable) {
            Some(socket) => socket,
            None => {
                let socket = TcpSocket::toward(address)?;
                if !flight.live {
                    socket.reset_on_close()?;
                }
                if let Some(local) = self
                    .task
                    .local
                    .filter(|local| local.is_ipv6() == address.is_ipv6())
                {
                    socket.bind_address(local)?;
                }
                self.epoll.add(&socket, token(index), Interest::EveryChange)?;
                slot.ipv6 = address.is_ipv6();
                socket
            }
        };
        let socket = slot.socket.insert(socket);
        // A connection that stands at once is reported by epoll like any other.
        let peer = SocketAddr::new(address, flight.port);
        let (Connecting::Connected | Connecting::InProgress) = socket.connect(peer)?;
        Ok(())
    }

    /// Descriptors, ports or memory ran out: try again a little later, with as many connections as there are now.
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
            self.end(
                index,
                Signal::Exhausted {
                    errno: signal::number(errno),
                },
                tally,
            );
        } else {
            self.window.shrink();
            self.paused_until = now + PAUSE;
            self.reset(index);
            self.queue.again(target, index);
        }
    }

    /// Notes the outcome and makes the slot free.
    fn end(&mut self, index: usize, signal: Signal, tally: Tally) {
        self.leave_window(index);
        let Some(flight) = self.slots[index].flight.take() else {
            return;
        };
        self.ledger.note(flight.target, flight.port, signal, tally);
        self.shared.done.fetch_add(1, Ordering::Relaxed);
        if flight.live || flight.keeps_port {
            self.slots[index].socket = None;
        } else {
            self.reset(index);
        }
        self.idle.push(index);
    }

    /// Makes the slot's socket ready for another connection, or drops it.
    fn reset(&mut self, index: usize) {
        let socket = &mut self.slots[index].socket;
        if socket.as_ref().is_some_and(|socket| socket.disconnect().is_err()) {
            *socket = None;
        }
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
            self.ledger.note(
                target,
                port,
                signal.clone(),
                Tally {
                    attempts: 0,
                    answered: 0,
                },
            );
            self.shared.done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn token(index: usize) -> u64 {
    u64::try_from(index).expect("a slot's index is below the limit on open files")
}

/// The token of the waker; slots have their index.
const WAKER: u64 = u64::MAX;
/// Events taken with one wait: several windows of answering peers.
const EVENTS: usize = 512;
/// Silence is waited for by at most so many connections: enough for the 2,768 ports of the NodePort range at once, and
/// small beside the table of any connection tracker (262,144 entries by default).
const IN_FLIGHT_LIMIT: usize = 4096;
/// How long an accepted connection may take to prove itself: TCP repeats a lost hello after 0.2, 0.6 and 1.4 s, and a
/// responder on a machine that swaps needs a while.
const PROOF_TIMEOUT: Duration = Duration::from_secs(3);
/// How long to wait before descriptors or ports that ran out are asked for again.
const PAUSE: Duration = Duration::from_millis(50);
/// With [`PAUSE`], three seconds until a test is given up; the tests after it fail at once until something can be
/// launched again.
const UNSENT_LIMIT: u32 = 60;
