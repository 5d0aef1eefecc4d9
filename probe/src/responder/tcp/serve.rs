//! The loop of the responder's thread.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::SocketAddr,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use plumbline_measure::{
    hello::{Claim, PairKey, REPLY_LEN, REQUEST_LEN, ReadRequest},
    time::Timestamp,
};
use plumbline_model::observation::Record;
use plumbline_sys::{
    epoll::{Epoll, Events, Interest, Ready},
    tcp::{Received, TcpListener, TcpSocket},
};

use super::tally::{SourceId, Tally};
use crate::responder::{ArmTask, Caller, Shared};

/// Everything that the thread of a responder owns.
pub(super) struct Server {
    run: [u8; 8],
    own_index: u32,
    callers: HashMap<u32, (Caller, PairKey)>,
    listeners: Vec<(u16, TcpListener)>,
    tally: Tally,
    epoll: Epoll,
    shared: Arc<Shared>,
    connections: Vec<Place>,
    free: Vec<usize>,
    open: usize,
    /// The deadlines of connections, oldest first, whatever became of them.
    deadlines: VecDeque<Deadline>,
    started: Instant,
}

/// A place for a connection.
#[derive(Default)]
struct Place {
    connection: Option<Connection>,
    /// Counts connections, so that a deadline knows whether its own is still there.
    serial: u32,
}

struct Connection {
    socket: TcpSocket,
    from: SocketAddr,
    source: SourceId,
    port: u16,
    answered: bool,
    /// What came; one octet longer than a request, to notice what stands behind it.
    request: [u8; REQUEST_LEN + 1],
    request_len: usize,
}

#[derive(Clone, Copy)]
struct Deadline {
    at: Timestamp,
    place: usize,
    serial: u32,
}

/// Whether a connection goes on.
#[derive(PartialEq, Eq)]
enum Then {
    Keep,
    Close,
}

impl Server {
    pub(super) fn new(
        task: ArmTask,
        listeners: Vec<(u16, TcpListener)>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        epoll.add(&shared.waker, WAKER, Interest::Readable)?;
        for (index, (_, listener)) in listeners.iter().enumerate() {
            epoll.add(listener, token(index), Interest::Readable)?;
        }
        let roster = task
            .callers
            .iter()
            .flat_map(|caller| caller.addresses.iter().map(|address| (*address, caller.node)));
        Ok(Self {
            run: task.run,
            own_index: task.own_index,
            tally: Tally::new(roster),
            callers: task
                .callers
                .into_iter()
                .map(|caller| {
                    let key = PairKey::new(&caller.key);
                    (caller.index, (caller, key))
                })
                .collect(),
            listeners,
            epoll,
            shared,
            connections: Vec::new(),
            free: Vec::new(),
            open: 0,
            deadlines: VecDeque::new(),
            started: Instant::now(),
        })
    }

    /// Answers until released.
    pub(super) fn run(mut self) -> Vec<Record> {
        let mut events = Events::with_capacity(EVENTS);
        let mut last_rounds = LAST_ROUNDS;
        loop {
            let now = self.now();
            let released = self.shared.is_released();
            let timeout = if released {
                Some(Duration::ZERO)
            } else {
                self.timeout(now)
            };
            if let Err(errno) = self.epoll.wait(&mut events, timeout) {
                tracing::error!(%errno, "failed to wait for connections, the responder's ports close");
                break;
            }
            // What had arrived before the release is counted; a flood does not put the release off.
            last_rounds -= u32::from(released);
            if released && (events.is_empty() || last_rounds == 0) {
                break;
            }
            let now = self.now();
            for ready in events.iter() {
                self.handle(now, ready);
            }
            self.expire(now);
        }
        let (records, uncounted) = self.tally.into_records();
        if uncounted > 0 {
            tracing::warn!(
                uncounted,
                "more connections from outside the roster than are counted one by one"
            );
        }
        records
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn timeout(&self, now: Timestamp) -> Option<Duration> {
        self.deadlines.front().map(|deadline| deadline.at.since(now))
    }

    fn handle(&mut self, now: Timestamp, ready: Ready) {
        if ready.token == WAKER {
            self.shared.waker.clear();
            return;
        }
        let Ok(index) = usize::try_from(ready.token) else {
            return;
        };
        match index.checked_sub(FIRST_CONNECTION) {
            None => self.accept(now, index),
            Some(place) => self.hear(now, place, ready),
        }
    }

    /// Takes one connection. Where more wait, epoll says so again.
    fn accept(&mut self, now: Timestamp, index: usize) {
        let Some((port, listener)) = self.listeners.get(index) else {
            return;
        };
        let port = *port;
        let (socket, from) = match listener.accept() {
            Ok(Some(accepted)) => accepted,
            Ok(None) => return,
            // Descriptors or memory ran out, and the connection stays in its queue: make room, or wait for somebody
            // else to.
            Err(_) if self.open > 0 => return self.close_oldest(),
            Err(_) => return thread::sleep(PAUSE),
        };
        let source = self.tally.accepted(from.ip(), port);
        if !self.tally.is_worth_reading(source, now) {
            return;
        }
        if self.open >= OPEN_LIMIT {
            self.close_oldest();
        }
        let connection = Connection {
            socket,
            from,
            source,
            port,
            answered: false,
            request: [0; REQUEST_LEN + 1],
            request_len: 0,
        };
        let place = self.free.pop().unwrap_or_else(|| {
            self.connections.push(Place::default());
            self.connections.len() - 1
        });
        let registered = self.epoll.add(
            &connection.socket,
            token(FIRST_CONNECTION + place),
            Interest::EveryChange,
        );
        if registered.is_err() {
            // Without memory for its registration the connection cannot be heard; closing it says so to the source.
            self.free.push(place);
            return;
        }
        let entry = &mut self.connections[place];
        entry.serial = entry.serial.wrapping_add(1);
        entry.connection = Some(connection);
        self.open += 1;
        self.deadlines.push_back(Deadline {
            at: now + CONNECTION_TIMEOUT,
            place,
            serial: entry.serial,
        });
    }

    /// Something happened to a connection.
    fn hear(&mut self, now: Timestamp, place: usize, ready: Ready) {
        let Some(Place {
            connection: Some(connection),
            ..
        }) = self.connections.get_mut(place)
        else {
            return;
        };
        let then = if connection.answered {
            // The source has seen the reply and closes.
            if ready.readable || ready.failed {
                Then::Close
            } else {
                Then::Keep
            }
        } else if ready.readable || ready.failed {
            self.read_request(now, place)
        } else {
            Then::Keep
        };
        if then == Then::Close {
            self.close(place);
        }
    }

    fn read_request(&mut self, now: Timestamp, place: usize) -> Then {
        let Some(connection) = &mut self.connections[place].connection else {
            return Then::Keep;
        };
        loop {
            match connection
                .socket
                .receive(&mut connection.request[connection.request_len..])
            {
                Ok(Received::Nothing) => return Then::Keep,
                Ok(Received::Octets(count)) => connection.request_len += count,
                // Whoever sends nothing, like a check of a live port, has not failed to prove anything.
                Ok(Received::Closed) | Err(_) if connection.request_len == 0 => return Then::Close,
                Ok(Received::Closed) | Err(_) => {
                    self.tally.unproven(connection.source, connection.port, now);
                    return Then::Close;
                }
            }
            match ReadRequest::from_octets(&connection.request[..connection.request_len]) {
                ReadRequest::Incomplete => {}
                ReadRequest::Claimed(claim) => return self.judge(now, place, &claim),
                ReadRequest::Garbage => {
                    self.tally.unproven(connection.source, connection.port, now);
                    return Then::Close;
                }
            }
        }
    }

    /// Checks a claim and answers it, or not:
    ///
    /// 1. It is for this run, this node and this port, and proven with the claimed caller's key; else it is unproven.
    /// 2. It came from an address of that caller: proven, and answered.
    /// 3. It came from an address that is nobody's on the roster: proven, so that a translated source is known for what it
    ///    is, but not answered, since nobody is answered whose address is not on the roster.
    /// 4. It came from another member's address: unproven, since a proof counts for the address's owner.
    fn judge(&mut self, now: Timestamp, place: usize, claim: &Claim) -> Then {
        let Some(connection) = &mut self.connections[place].connection else {
            return Then::Keep;
        };
        let (source, port) = (connection.source, connection.port);
        let request = claim.request();
        let meant = request.run == self.run && request.destination == self.own_index && request.port == port;
        let caller = self.callers.get(&request.source).filter(|_| meant);
        let proven = caller.and_then(|(caller, key)| claim.reply(key).map(|reply| (caller, reply)));
        match proven {
            Some((caller, reply)) if caller.addresses.contains(&connection.from.ip()) => {
                self.tally.proven(source, port);
                connection.answered = true;
                reply_with(&connection.socket, &reply)
            }
            Some(_) if !self.tally.is_on_roster(source) => {
                self.tally.proven(source, port);
                Then::Close
            }
            _ => {
                self.tally.unproven(source, port, now);
                Then::Close
            }
        }
    }

    fn expire(&mut self, now: Timestamp) {
        while let Some(deadline) = self.deadlines.front().copied() {
            let entry = &self.connections[deadline.place];
            let current = entry.connection.is_some() && entry.serial == deadline.serial;
            if current && deadline.at > now {
                break;
            }
            self.deadlines.pop_front();
            if current {
                self.close(deadline.place);
            }
        }
    }

    fn close_oldest(&mut self) {
        while let Some(deadline) = self.deadlines.pop_front() {
            let entry = &self.connections[deadline.place];
            if entry.connection.is_some() && entry.serial == deadline.serial {
                self.close(deadline.place);
                return;
            }
        }
    }

    fn close(&mut self, place: usize) {
        if self.connections[place].connection.take().is_some() {
            self.free.push(place);
            self.open -= 1;
        }
    }
}

fn reply_with(socket: &TcpSocket, reply: &[u8; REPLY_LEN]) -> Then {
    // A send buffer holds far more than a reply: what does not go out whole, goes to a connection that is gone.
    if socket.send(reply) == Ok(REPLY_LEN) {
        Then::Keep
    } else {
        Then::Close
    }
}

fn token(index: usize) -> u64 {
    u64::try_from(index).expect("indices are below the limit on open files")
}

/// The token of the waker. Listeners have their index, connections their place behind it.
const WAKER: u64 = u64::MAX;
/// Above every possible number of ports.
const FIRST_CONNECTION: usize = 1 << 16;
/// Events taken with one wait.
const EVENTS: usize = 512;
/// Connections that are open at once; the oldest gives way. A swarm of a thousand sources with 64 in flight each would
/// overrun it only if all asked this node at the same time, which turns do not do.
const OPEN_LIMIT: usize = 4096;
/// How long a connection may take from its acceptance to its end: a second more than a source waits for its proof.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(4);
/// How long to wait for descriptors when there is no connection to give up for one.
const PAUSE: Duration = Duration::from_millis(10);
/// Rounds of events that are still taken after the release.
const LAST_ROUNDS: u32 = 16;
