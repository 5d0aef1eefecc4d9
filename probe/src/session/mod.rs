//! The life of a probe: one loop that owns the link to the coordinator, the outbox and the assignments under way.
//!
//! ```text
//!              coordinator                        this loop                      blocking threads
//!   ----------------------------------------------------------------------------------------------
//!    messages --> Link --> events --> [ guard ] --> Works --> begin / release ------->  responders
//!                                                     |  <--- Ready, Finished, Failed     runners
//!                      <-- outgoing <-- [ Outbox ] <--+                                     facts
//! ```
//!
//! States, as seen from outside:
//!
//! ```text
//!   connecting --Welcome--> serving --Finish--------------------------> End::Finished
//!       |  ^                  |  |
//!       |  +--session lost----+  +--SIGTERM, SIGINT--> flushing ------> End::Stopped
//!       +--refused, other pin ----------------------------------------> End::Refused
//!       any --TTL over, or silence for longer than --give-up----------> End::Expired, or End::NeverWelcomed
//! ```
//!
//! The loop never blocks: messages leave when the network takes them, testimony waits in the outbox, everything that takes
//! time runs elsewhere. A coordinator that falls silent costs nothing until a lease is over; then the assignment ends, its
//! ports are closed, what it saw is kept, and dialling goes on until the TTL. Ending the loop ends everything it owns.

mod backoff;
mod hear;
mod link;
mod outbox;
mod queue;
#[cfg(test)]
mod tests;
mod work;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use plumbline_identity::{
    NoRandomness,
    join::JoinString,
    key::{AgreementKey, SigningKey, TlsKey, TlsKeyError},
};
use plumbline_model::observation::{HostFacts, Record};
use plumbline_proto::{
    convert::{ClockAnswer, FromProbe, Hello, Progress, ProgressState, Roster, Welcome},
    v1,
};
use tokio::{sync::mpsc, time::Instant};
use tracing::warn;

use self::{
    link::{Credentials, Link, LinkEvent},
    outbox::{Heading, Outbox},
    queue::{Queue, Settled},
    work::{Identity, WorkEvent, Works},
};
use crate::{
    facts,
    guard::{Guard, Own, Policy},
};

/// What a probe is started with.
#[derive(Debug)]
pub struct Settings {
    /// From the coordinator.
    pub join: JoinString,
    /// From the owner of the host.
    pub policy: Policy,
    /// How long the probe lives at most.
    pub ttl: Duration,
    /// How long the coordinator may be silent before the probe ends; `None` means until its time to live is over.
    pub give_up: Option<Duration>,
}

/// How the life of a probe ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The coordinator said that the run is over.
    Finished {
        /// In the coordinator's words.
        reason: String,
    },
    /// The time to live is over.
    Expired {
        /// Batches that the coordinator never confirmed.
        unconfirmed: usize,
    },
    /// The time to live is over, or the patience of `--give-up`, and no coordinator ever welcomed the probe: nothing was asked of
    /// it, and nothing is lost.
    NeverWelcomed,
    /// The coordinator refused, or is not the one that the join string pins.
    Refused {
        /// Why.
        reason: String,
    },
    /// The probe was told to stop from outside.
    Stopped {
        /// Batches that the coordinator never confirmed.
        unconfirmed: usize,
    },
}

/// Why a probe cannot start: the host's fault.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No random bytes.
    #[error("make the probe's keys")]
    Keys(#[from] NoRandomness),
    /// The TLS key.
    #[error("make the probe's TLS key")]
    TlsKey(#[from] TlsKeyError),
    /// rustls does not take our own configuration: a bug.
    #[error("configure TLS")]
    Tls(#[from] rustls::Error),
}

/// Lives the life of a probe until it ends. A word from `stop` ends it early, with what it saw handed over; a second one ends it
/// at once.
///
/// # Errors
/// If it cannot even start.
pub async fn run(settings: Settings, stop: mpsc::Receiver<()>) -> Result<End, StartError> {
    Ok(Session::start(settings)?.live(stop).await)
}

struct Session {
    link: Link,
    guard: Guard,
    facts: HostFacts,
    hello: Hello,
    outbox: Outbox,
    works: Works,
    roster: Option<AcceptedRoster>,
    /// The way out of the present session; absent while there is none.
    outgoing: Option<mpsc::Sender<v1::FromProbe>>,
    /// Present once the coordinator has welcomed the present session: nothing but Hello is said before.
    welcome: Option<Welcome>,
    /// Whether any session was.
    was_welcomed: bool,
    /// What is to be said beside batches.
    queue: Queue,
    last_heard: Instant,
    last_said: Instant,
    /// The end of its life.
    expires: Instant,
    /// How long the coordinator may be silent.
    give_up: Option<Duration>,
    /// Set when it was told to stop: how long testimony is still handed over.
    flush_until: Option<Instant>,
}

/// The roster, with what the guard said about it.
#[derive(Debug)]
struct AcceptedRoster {
    roster: Arc<Roster>,
    refused: Option<String>,
}

impl Session {
    fn start(settings: Settings) -> Result<Self, StartError> {
        let Settings {
            join,
            policy,
            ttl,
            give_up,
        } = settings;
        let now_unix_s = unix_ms() / 1000;
        let tls_key = TlsKey::generate(now_unix_s, ttl + CERTIFICATE_MARGIN)?;
        let signing_key = SigningKey::generate()?;
        let agreement_key = AgreementKey::generate()?;
        let own = Own {
            node: join.node,
            tls_key_sha256: hexadecimal(tls_key.spki_sha256()),
            signing_key: signing_key.verifying_key().point_hex(),
            agreement_key: hexadecimal(agreement_key.public()),
        };
        let hello = Hello {
            run: join.run.clone(),
            node: join.node,
            probe_version: env!("CARGO_PKG_VERSION").to_owned(),
            last_closed_seq: 0,
        };
        let identity = Identity {
            run: join.run.clone(),
            node: join.node,
            agreement_key: agreement_key.clone(),
            policy: Arc::new(policy.clone()),
        };
        let mut outbox = Outbox::new(join.run.clone(), join.node, signing_key.clone());
        let facts = facts::gather();
        let heading = Heading {
            roster: None,
            assignment: 0,
            closed_unix_ms: unix_ms(),
        };
        outbox.close(heading, vec![Record::Facts(Box::new(facts.clone()))]);
        let addresses = facts::global_addresses(join.node.address());
        let data_ipv6 = join.node.address().and_then(facts::data_ipv6);
        let link = Link::start(Credentials {
            join,
            tls_key,
            signing_key,
            agreement_key,
            addresses,
            data_ipv6,
            until: match give_up {
                Some(patience) if patience < ttl => "--give-up",
                _ => "--ttl",
            },
        })?;
        let now = Instant::now();
        Ok(Self {
            link,
            guard: Guard::new(policy, own),
            facts,
            hello,
            outbox,
            works: Works::new(Arc::new(identity)),
            roster: None,
            outgoing: None,
            welcome: None,
            was_welcomed: false,
            queue: Queue::default(),
            last_heard: now,
            last_said: now,
            expires: now + ttl,
            give_up,
            flush_until: None,
        })
    }

    async fn live(mut self, mut stop: mpsc::Receiver<()>) -> End {
        loop {
            let next_deadline = self.next_deadline();
            let outgoing = self.outgoing.clone().filter(|_| self.has_something_to_say());
            let ended = tokio::select! {
                Some(()) = stop.recv() => self.on_stop(),
                event = self.link.events.recv() => self.on_link(event),
                event = self.works.next_event() => {
                    self.on_work(event);
                    None
                }
                room = room_in(outgoing.as_ref()) => {
                    match room {
                        Some(room) => self.say_next(room),
                        // The session is gone; the link says so as well, and opens another.
                        None => self.outgoing = None,
                    }
                    None
                }
                () = tokio::time::sleep_until(next_deadline) => self.on_deadline(),
            };
            if let Some(end) = ended.or_else(|| self.flushed()) {
                return end;
            }
        }
    }

    fn on_stop(&mut self) -> Option<End> {
        if self.flush_until.is_some() {
            return Some(End::Stopped {
                unconfirmed: self.outbox.waiting(),
            });
        }
        self.works.end_all();
        self.flush_until = Some(Instant::now() + FLUSH_TIME);
        None
    }

    /// The end of a flush: everything is handed over, or cannot be.
    fn flushed(&self) -> Option<End> {
        let until = self.flush_until?;
        let handed_over = self.outbox.waiting() == 0 && self.queue.is_empty();
        let over = self.works.is_idle() && (handed_over || self.outgoing.is_none());
        (over || Instant::now() >= until).then(|| End::Stopped {
            unconfirmed: self.outbox.waiting(),
        })
    }

    fn on_link(&mut self, event: Option<LinkEvent>) -> Option<End> {
        match event {
            Some(LinkEvent::Opening { outgoing }) => {
                let hello = Hello {
                    last_closed_seq: self.outbox.last_closed(),
                    ..self.hello.clone()
                };
                // The channel is new and holds several messages.
                let _ = outgoing.try_send(FromProbe::Hello(hello).into());
                self.outgoing = Some(outgoing);
                self.welcome = None;
                None
            }
            Some(LinkEvent::Message(message)) => {
                self.last_heard = Instant::now();
                self.works.extend_leases();
                self.on_message(message)
            }
            Some(LinkEvent::Lost) => {
                self.outgoing = None;
                self.welcome = None;
                None
            }
            Some(LinkEvent::Refused { reason }) => Some(End::Refused { reason }),
            None => Some(End::Refused {
                reason: "the link to the coordinator ended".to_owned(),
            }),
        }
    }

    fn on_work(&mut self, event: WorkEvent) {
        match event {
            WorkEvent::Ready { id, records } => {
                self.testify(id, records);
                let ready = Progress {
                    assignment: id,
                    state: ProgressState::Ready,
                    done: 0,
                    total: 0,
                };
                self.say(FromProbe::Progress(ready));
            }
            WorkEvent::Finished { id, records } => {
                self.testify(id, records);
                self.settle(
                    id,
                    Settled::Done {
                        last_seq: self.outbox.last_closed(),
                    },
                );
            }
            WorkEvent::Failed { id, reason } => self.refuse(id, reason),
            WorkEvent::Progress(all) => {
                for progress in all {
                    self.say(FromProbe::Progress(progress));
                }
            }
        }
    }

    fn on_deadline(&mut self) -> Option<End> {
        let now = Instant::now();
        if now >= self.end_of_life() && !self.was_welcomed {
            return Some(End::NeverWelcomed);
        }
        if now >= self.end_of_life() {
            return Some(End::Expired {
                unconfirmed: self.outbox.waiting(),
            });
        }
        self.works.end_overdue(self.last_heard, now);
        None
    }

    fn end_of_life(&self) -> Instant {
        let given_up = self.give_up.map(|patience| self.last_heard + patience);
        given_up.map_or(self.expires, |given_up| given_up.min(self.expires))
    }

    /// When to look after things although nothing happens.
    fn next_deadline(&self) -> Instant {
        let heartbeat = self.welcome.map(|welcome| self.last_said + welcome.heartbeat);
        // A heartbeat that cannot leave because the network takes nothing must not turn this into a busy loop.
        let heartbeat = heartbeat.filter(|due| *due > Instant::now());
        let others = [
            self.works.next_deadline(self.last_heard),
            heartbeat,
            self.flush_until,
        ];
        others
            .into_iter()
            .flatten()
            .fold(self.end_of_life(), Instant::min)
    }

    fn has_something_to_say(&self) -> bool {
        let heartbeat_due = |welcome: &Welcome| Instant::now() >= self.last_said + welcome.heartbeat;
        self.welcome
            .as_ref()
            .is_some_and(|welcome| self.outbox.has_next() || !self.queue.is_empty() || heartbeat_due(welcome))
    }

    /// Testimony first: what is said of an assignment stands on its batches.
    fn say_next(&mut self, room: mpsc::Permit<'_, v1::FromProbe>) {
        self.last_said = Instant::now();
        let message = match self.outbox.take_next() {
            Some(batch) => FromProbe::Batch(batch),
            None => self.queue.pop().unwrap_or(FromProbe::Heartbeat),
        };
        let message = match message {
            // What it waited for testimony to leave is no part of the round trip.
            FromProbe::ClockAnswer(answer) => FromProbe::ClockAnswer(ClockAnswer {
                sent_unix_us: unix_us(),
                ..answer
            }),
            other => other,
        };
        room.send(message.into());
    }

    fn testify(&mut self, assignment: u32, records: Vec<Record>) {
        let roster = self.roster.as_ref().map(|accepted| accepted.roster.digest());
        self.outbox.close(
            Heading {
                roster,
                assignment,
                closed_unix_ms: unix_ms(),
            },
            records,
        );
    }

    fn refuse(&mut self, id: u32, reason: String) {
        warn!("refused assignment {id}: {reason}");
        self.settle(id, Settled::Refused { reason });
    }

    fn settle(&mut self, id: u32, settled: Settled) {
        self.queue.settle(id, settled);
        self.drop_unsayable();
    }

    fn say(&mut self, message: FromProbe) {
        self.queue.push(message);
        self.drop_unsayable();
    }

    /// Without a session nothing waits: the next one begins with the present state.
    fn drop_unsayable(&mut self) {
        if self.welcome.is_none() {
            self.queue.clear();
        }
    }
}

/// Waits until the network takes a message; `None` if the session is gone. Without a session to say something on, for ever.
async fn room_in(outgoing: Option<&mpsc::Sender<v1::FromProbe>>) -> Option<mpsc::Permit<'_, v1::FromProbe>> {
    match outgoing {
        Some(outgoing) => outgoing.reserve().await.ok(),
        None => std::future::pending().await,
    }
}

fn hexadecimal(octets: [u8; 32]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Microseconds since 1970 by the wall clock; 0 before that.
fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970 by the wall clock; 0 before that.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// How long testimony is still handed over after the probe was told to stop: a round trip or two, while an init system waits.
const FLUSH_TIME: Duration = Duration::from_secs(2);

/// The probe's certificate outlives the probe by a day: a clock that is set right in mid-run must not end it.
const CERTIFICATE_MARGIN: Duration = Duration::from_secs(24 * 3600);
