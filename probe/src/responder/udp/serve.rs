//! The loop of the responder's thread.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use plumbline_measure::{
    hello::PairKey,
    stamp::{
        counters::Counts,
        reflector::{self, Datagram, Judgement, Rates, Reflector},
        session::SessionId,
        time::WireTime,
    },
    time::Timestamp,
};
use plumbline_model::{
    id::NodeId,
    observation::{Heard, Record},
    port::{Family, PortSet, Protocol},
};
use plumbline_sys::{
    epoll::{Epoll, Events, Interest},
    limits,
    udp::{Inbox, Outbox, UdpSocket},
};

use crate::responder::{ArmTask, Caller, Shared};

/// Everything that the thread of a responder owns.
pub(super) struct Server {
    ports: Vec<Port>,
    /// How many ports have been given more room.
    widened: usize,
    reflector: Reflector,
    /// Whose the addresses of the roster are.
    roster: HashMap<IpAddr, NodeId>,
    epoll: Epoll,
    inbox: Inbox,
    outbox: Outbox,
    shared: Arc<Shared>,
    started: Instant,
}

struct Port {
    number: u16,
    socket: UdpSocket,
    is_widened: bool,
}

impl Server {
    pub(super) fn new(
        task: ArmTask,
        sockets: Vec<(u16, UdpSocket)>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        epoll.add(&shared.waker, WAKER, Interest::Readable)?;
        for (token, (_, socket)) in (0..).zip(&sockets) {
            epoll.add(socket, token, Interest::Readable)?;
        }
        let port = |(number, socket)| Port {
            number,
            socket,
            is_widened: false,
        };
        let mut roster = HashMap::new();
        for caller in &task.callers {
            for address in &caller.addresses {
                // An address that two members claim is counted for the first.
                roster.entry(*address).or_insert(caller.node);
            }
        }
        let callers: Vec<reflector::Caller> =
            task.callers.into_iter().map(caller).collect::<io::Result<_>>()?;
        Ok(Self {
            ports: sockets.into_iter().map(port).collect(),
            widened: 0,
            reflector: Reflector::new(callers, Rates::default()),
            roster,
            epoll,
            inbox: Inbox::new(),
            outbox: Outbox::new(),
            shared,
            started: Instant::now(),
        })
    }

    /// Answers until released.
    pub(super) fn run(mut self) -> Vec<Record> {
        // A flood takes its sender no less time than it takes to judge it, so that a thread with its turn keeps up.
        limits::prefer_this_thread();
        let mut events = Events::with_capacity(EVENTS);
        let mut released_at = None;
        loop {
            if self.shared.is_released() && released_at.is_none() {
                released_at = Some(Instant::now());
            }
            let timeout = released_at.map(|_| Duration::ZERO);
            if let Err(errno) = self.epoll.wait(&mut events, timeout) {
                tracing::error!(%errno, "failed to wait for datagrams, the responder's ports close");
                break;
            }
            // What had arrived before the release is counted; a flood does not put the release off.
            if released_at.is_some_and(|at| is_quiet(&events) || at.elapsed() > LAST_MOMENTS) {
                break;
            }
            for ready in events.iter() {
                if ready.token != WAKER {
                    self.serve(ready.token);
                }
            }
        }
        self.into_records()
    }

    /// Takes what waits at one socket, up to a bounded number, and answers it.
    fn serve(&mut self, token: u64) {
        let port = usize::try_from(token)
            .ok()
            .and_then(|index| self.ports.get_mut(index));
        let Some(Port {
            number,
            socket,
            is_widened,
        }) = port
        else {
            return;
        };
        // An error that was pending is taken off the socket by being told, and says nothing of its datagrams.
        let Ok(count @ 1..) = socket.receive_many(&mut self.inbox) else {
            return;
        };
        if count == Inbox::capacity() && !*is_widened && self.widened < WIDENED {
            // Whoever asks in earnest waits behind the others: let there be room for all until they are read.
            *is_widened = true;
            self.widened += 1;
            let _ = socket.reserve(WIDE_ROOM);
        }
        let now = Timestamp::from_nanos(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX));
        let wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let wall = WireTime::ntp(wall);
        for received in self.inbox.iter() {
            let datagram = Datagram {
                port: *number,
                from: received.from.ip(),
                octets: received.octets,
                length: received.length,
                ttl: received.ttl,
                received_at: wall,
                answered_at: wall,
            };
            if let Judgement::Answer(answer) = self.reflector.judge(now, &datagram) {
                self.outbox.push(received.from, &answer);
            }
        }
        if !self.outbox.is_empty() {
            // What does not leave is asked again, or found missing by a capture.
            socket.send_many(&mut self.outbox);
        }
    }

    /// One record for each source address and equal counts, ascending.
    fn into_records(self) -> Vec<Record> {
        let (uncounted, throttled) = (self.reflector.counters().uncounted(), self.reflector.throttled());
        if uncounted > 0 {
            tracing::warn!(
                uncounted,
                "more datagrams from outside the roster than are counted one by one"
            );
        }
        if throttled > 0 {
            tracing::warn!(throttled, "questions were not answered for coming too fast");
        }
        let mut by_source = BTreeMap::<(IpAddr, Counts), Vec<u16>>::new();
        for (address, port, counts) in self.reflector.counters().counts() {
            by_source.entry((address, counts)).or_default().push(port);
        }
        let heard = by_source.into_iter().map(|((address, counts), ports)| Heard {
            src: self.roster.get(&address).copied(),
            address,
            family: Family::of(address),
            protocol: Protocol::Udp,
            ports: ports.into_iter().collect::<PortSet>(),
            accepted: counts.received,
            proven: counts.proven,
            unproven: counts.unproven,
            replayed: counts.replayed,
        });
        heard.map(Record::Heard).collect()
    }
}

fn caller(caller: Caller) -> io::Result<reflector::Caller> {
    let session = SessionId::of_member(caller.index).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "the roster has more than 65,535 members, which is all that the session identifiers of STAMP can tell apart",
        )
    })?;
    Ok(reflector::Caller {
        session,
        addresses: caller.addresses,
        key: PairKey::new(&caller.key),
    })
}

/// Whether nothing but the waker is ready, which stays so from the release on.
fn is_quiet(events: &Events) -> bool {
    events.iter().all(|ready| ready.token == WAKER)
}

/// The token of the waker; sockets have their index.
const WAKER: u64 = u64::MAX;
/// Events taken with one wait.
const EVENTS: usize = 512;
/// How long what keeps arriving after the release is still taken: what had arrived before it, a few hundred datagrams a
/// socket, takes a part of that.
const LAST_MOMENTS: Duration = Duration::from_millis(250);
/// Room in octets of a port at which datagrams come faster than they are read: by a flood, or because a thousand sources ask at
/// once. Each takes some 800 octets, so that it bridges some fifty milliseconds at a hundred thousand a second. Other ports
/// keep what the kernel gives a socket unasked (net.core.rmem_default), a few hundred datagrams.
const WIDE_ROOM: usize = 4 << 20;
/// Ports that get so much: what they take at most, 64 MiB, leaves other programs of a small host their part of its memory for
/// datagrams (net.ipv4.udp_mem).
const WIDENED: usize = 16;
