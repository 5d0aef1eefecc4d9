//! The loop of the connect engine: launches, and what joins its parts. What is heard stands in `hear`, what is not heard in
//! time in `expire`, how services are left in `leave`, what is made again because this host stood still in `stall`.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use plumbline_measure::{
    attempt::{Answer, Policy, Step, Tally},
    hello::PairKey,
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
    limits,
    tcp::{Connecting, TcpSocket},
};

use super::{
    flight::{Flight, Slot, Timer},
    nonces::Nonces,
};
use crate::runner::{
    asking::{AskTask, Occupant, Shared},
    clock::Clock,
    ledger::{Ledger, Outcome},
    next_hops::NextHops,
    queue::{Next, Portion, Queue},
    rates::Limits,
    signal::{self, Refusal},
};

mod expire;
mod hear;
mod leave;
mod stall;

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
    /// The deadlines of services that are being left, oldest first, whatever became of them.
    farewells: VecDeque<Timer>,
    /// How many slots are kept by services that are being left.
    leaving: usize,
    leaving_limit: usize,
    /// Set when the task was told to end: nobody is waited for any longer than this.
    hurried_until: Option<Timestamp>,
    /// Where attempts toward each target left from, and when that was seen.
    local_addresses: Vec<(Option<IpAddr>, Timestamp)>,
    nonces: Nonces,
    next_hops: NextHops,
    /// Nothing is launched before: descriptors or ports ran out.
    paused_until: Timestamp,
    /// A test was given up because something ran out, and nothing could be launched since.
    starved: bool,
    pub(super) clock: Clock,
    /// How many more times what was under way is made again because this host stood still.
    stalls_left: u32,
}

impl Engine {
    pub(super) fn new(task: AskTask, shared: Arc<Shared>) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        epoll.add(&shared.waker, WAKER, Interest::Readable)?;
        let open_files = usize::try_from(limits::raise_open_files()).unwrap_or(usize::MAX);
        let in_flight_limit = IN_FLIGHT_LIMIT.min(open_files / DESCRIPTOR_SHARE);
        let offset = task
            .targets
            .iter()
            .position(|target| target.peer.index > task.own_index);
        let waiting = task.targets.iter().map(|target| Portion {
            peer: target.peer.node,
            ports: &target.ports,
            delay: match target.occupant {
                Occupant::Sshd => stagger(task.own_index, target.peer.index, task.members),
                Occupant::Responder | Occupant::Service => Duration::ZERO,
            },
        });
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
            window: Window::new(in_flight_limit),
            ledger: Ledger::new(task.targets.len()),
            epoll,
            slots: Vec::new(),
            idle: Vec::new(),
            launches: VecDeque::new(),
            aged: 0,
            proofs: VecDeque::new(),
            farewells: VecDeque::new(),
            leaving: 0,
            leaving_limit: (open_files / DESCRIPTOR_SHARE).min(LEAVING_LIMIT),
            hurried_until: None,
            local_addresses: vec![(None, Timestamp::ZERO); task.targets.len()],
            nonces: Nonces::new()?,
            next_hops: NextHops::default(),
            paused_until: Timestamp::ZERO,
            starved: false,
            clock: Clock::new(Arc::clone(&shared)),
            stalls_left: stall::STALLS,
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
            let began = Instant::now();
            if let Some(why) = self.shared.stopped() {
                self.abandon(now, &Signal::NotTried { why });
                self.hurry(now);
            }
            let wake_at = self.launch(now);
            if self.window.in_flight() == 0 && self.queue.is_empty() && self.leaving == 0 {
                break;
            }
            let timeout = self.timeout(now, wake_at);
            let waits_since = self.clock.now();
            if let Err(errno) = self.epoll.wait(&mut events, Some(timeout)) {
                let errno = signal::number(errno);
                self.abandon(now, &Signal::Exhausted { errno });
                break;
            }
            self.clock.waited(waits_since, timeout);
            let heard = self.clock.now();
            self.overslept(heard, began.elapsed().saturating_sub(timeout));
            for ready in events.iter() {
                self.handle(heard, ready);
            }
            if !events.is_full() {
                self.expire(now);
            }
        }
        self.ledger.into_records(&self.task, Protocol::Tcp)
    }

    /// Launches what may be launched now. Returns when to come back for more, if only time is in the way.
    pub(super) fn launch(&mut self, now: Timestamp) -> Option<Timestamp> {
        let paced = self.task.rates.now();
        loop {
            if now < self.paused_until {
                return Some(self.paused_until);
            }
            let has_room = self.window.is_open() && self.leaving < self.leaving_limit;
            let slot = match self.queue.next(paced, has_room) {
                Next::New { target, port } => {
                    let occupant = self.task.targets[target].occupant;
                    self.take_slot(Flight::new(target, port, occupant))
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
        match self.connect(now, index) {
            Ok(()) => self.starved = false,
            Err(errno) => match signal::of_connect(errno) {
                Refusal::Final(signal) => self.answer(now, index, Answer::Undeliverable, signal),
                Refusal::Heard(errno) => self.failed(now, index, errno),
                Refusal::Starved(errno) => self.unsent(now, index, errno),
            },
        }
    }

    fn connect(&mut self, now: Timestamp, index: usize) -> Result<(), Errno> {
        let slot = &mut self.slots[index];
        let flight = slot.flight.as_mut().expect("a slot that connects holds a test");
        let address = self.task.targets[flight.target].peer.address;
        let is_reset = flight.occupant == Occupant::Responder;
        let usable = flight.keeps_port || (is_reset && slot.ipv6 == address.is_ipv6());
        let socket = match slot.socket.take().filter(|_| usable) {
            Some(socket) => socket,
            None => {
                let socket = TcpSocket::toward(address)?;
                if is_reset {
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
        // What the kernel chooses depends on the peer, and hardly changes from one moment to the next.
        let (known, since) = self.local_addresses[flight.target];
        if known.is_none() || now.since(since) > LOCAL_ADDRESS_AGE {
            let local = socket.local_address().ok().map(|local| local.ip());
            self.local_addresses[flight.target] = (local, now);
        }
        flight.from = self.local_addresses[flight.target].0;
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
            let errno = signal::number(errno);
            self.end(now, index, Signal::Exhausted { errno }, tally);
        } else {
            self.window.shrink();
            self.paused_until = now + PAUSE;
            self.reset(index);
            self.queue.again(target, index);
        }
    }

    /// Notes the outcome and makes the slot free, or begins to.
    fn end(&mut self, now: Timestamp, index: usize, signal: Signal, tally: Tally) {
        self.leave_window(index);
        let Some(flight) = self.slots[index].flight.take() else {
            return;
        };
        let outcome = Outcome {
            signal,
            tally,
            from: flight.from,
        };
        self.ledger.note(flight.target, flight.port, outcome);
        self.shared.count_done();
        if flight.occupant != Occupant::Responder {
            self.take_leave(now, index);
            return;
        }
        if flight.keeps_port {
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
    fn abandon(&mut self, now: Timestamp, signal: &Signal) {
        for index in 0..self.slots.len() {
            if let Some(flight) = &self.slots[index].flight {
                let tally = Tally {
                    attempts: flight.attempts.made(),
                    answered: 0,
                };
                self.end(now, index, signal.clone(), tally);
            }
        }
        for (target, port) in self.queue.abandon() {
            self.ledger
                .note(target, port, Outcome::never_tried(signal.clone()));
            self.shared.count_done();
        }
    }
}

/// How long a source waits before it asks this peer's SSH server, so that at each moment few of all the sources do:
///
/// ```text
///   source 1 --> peer 2 | peer 3 | peer 4 | peer 5          each source asks one peer in each slot,
///   source 2 --> peer 3 | peer 4 | peer 5 | peer 1          and each peer is asked by one source
/// ```
fn stagger(own_index: u32, peer_index: u32, members: u32) -> Duration {
    let members = members.max(own_index.max(peer_index).saturating_add(1));
    let ahead = if peer_index > own_index {
        peer_index - own_index
    } else {
        members - (own_index - peer_index)
    };
    let slot = SSHD_SLOT.min(SSHD_SPAN / members);
    slot * ahead.saturating_sub(1)
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
/// A task's connections take this part of all descriptors at most: two tasks may run at once beside the responders, the
/// session and whatever else the process does. The usual limit of 1,024 leaves each 256 in flight.
const DESCRIPTOR_SHARE: usize = 4;
/// Services that are left at once: with three seconds for one that does not close, hundreds of such services are met in a
/// second before they hold up anything.
const LEAVING_LIMIT: usize = 1024;
/// sshd begins to refuse when ten connections have not logged in (MaxStartups 10:30:100), whoever they are; one takes it
/// some tens of milliseconds from its start to its banner and its end.
const SSHD_SLOT: Duration = Duration::from_millis(100);
/// A large roster's slots are shortened, so that the last source is not kept waiting for longer: still under ten
/// connections at a time for the first ten thousand sources.
const SSHD_SPAN: Duration = Duration::from_secs(20);
/// How long an accepted connection may take to prove itself: TCP repeats a lost hello after 0.2, 0.6 and 1.4 s, and a
/// responder on a machine that swaps needs a while.
const PROOF_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the local address of an attempt is taken for that of others toward the same target: a system call for each would
/// be a seventh of all that it needs.
const LOCAL_ADDRESS_AGE: Duration = Duration::from_millis(100);
/// How long to wait before descriptors or ports that ran out are asked for again.
const PAUSE: Duration = Duration::from_millis(50);
/// With [`PAUSE`], three seconds until a test is given up; the tests after it fail at once until something can be
/// launched again.
const UNSENT_LIMIT: u32 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_each_slot_an_ssh_server_is_asked_by_one_source_and_a_source_asks_one_server() {
        let members = 60;
        for one in 0..members {
            let others = (0..members).filter(|other| *other != one);
            let mut asked: Vec<Duration> = others
                .clone()
                .map(|source| stagger(source, one, members))
                .collect();
            let mut asks: Vec<Duration> = others.map(|peer| stagger(one, peer, members)).collect();
            for slots in [&mut asked, &mut asks] {
                slots.sort_unstable();
                let expected: Vec<Duration> = (0..members - 1).map(|slot| SSHD_SLOT * slot).collect();
                assert_eq!(*slots, expected);
            }
        }
    }

    #[test]
    fn a_large_roster_s_last_source_waits_no_longer_than_the_span() {
        assert!(stagger(1, 0, 10_000) <= SSHD_SPAN);
        assert_eq!(stagger(0, 1, 10_000), Duration::ZERO);
        // A roster that is shorter than its indices is no reason to panic.
        assert!(stagger(7, 3, 0) <= SSHD_SPAN);
    }
}
