//! Drives one run: service and clock feed the conductor, its actions become messages, evidence and progress. One task, the
//! caller's; the only one that touches conductor, ledger and evidence, which is what gives the evidence its order.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use plumbline_model::{
    evidence::{Payload, SwarmEvent, SwarmRecord},
    id::{NodeId, RunId},
};
use plumbline_proto::convert::{
    Assignment, ClockAnswer, Digest, Invalid, ProgressState, Roster, ToProbe, Welcome, Work,
};
use tokio::time::MissedTickBehavior;

use super::{
    evidence::{EvidenceLog, SpoolError},
    interrupt::Interrupts,
    ledger::{Ledger, Place},
    progress::{self, Sink},
    tally::Tally,
};
use crate::{
    conductor::{Action, Conductor, Event, Exchange, HEARTBEAT, LEASE, Moment, Phase},
    service::{Incoming, Outbox, Service, SessionId, SignedBatch, unix_us},
};

/// Why a run ended before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The evidence cannot be kept.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The members make no roster: a bug, since each was admitted.
    #[error("encode the roster")]
    Roster(#[source] Invalid),
    /// The second signal.
    #[error("end the run: it was interrupted twice, and nothing was signed")]
    Abandoned,
    /// The service ended by itself: a bug.
    #[error("serve the probes: the control service has ended")]
    ServiceEnded,
}

/// What a driver works with.
pub(super) struct Driver<'a> {
    pub(super) run: RunId,
    pub(super) started: Instant,
    pub(super) conductor: Conductor,
    /// Whether whoever does not join is left out (`--partial`).
    pub(super) partial: bool,
    pub(super) service: &'a mut Service,
    pub(super) evidence: &'a mut EvidenceLog,
    pub(super) interrupts: &'a mut Interrupts,
    pub(super) sink: &'a mut dyn Sink,
    pub(super) state: State,
}

/// What a driver keeps.
#[derive(Debug)]
pub(super) struct State {
    ledger: Ledger,
    sessions: BTreeMap<NodeId, (SessionId, Outbox)>,
    roster: Option<Roster>,
    tally: Tally,
    joined: usize,
    /// When to say next who is missing, and how long after that again.
    remind_at: Duration,
    remind_after: Duration,
    complaints: u32,
    interrupted: bool,
    /// The last question about the time to each probe: its number, and when it left, in microseconds since 1970.
    clocks_asked: BTreeMap<NodeId, (u32, u64)>,
}

impl State {
    /// Before anything has happened.
    pub(super) fn new() -> Self {
        Self {
            ledger: Ledger::default(),
            sessions: BTreeMap::new(),
            roster: None,
            tally: Tally::begin(Duration::ZERO, Phase::Joining),
            joined: 0,
            remind_at: FIRST_REMINDER,
            remind_after: FIRST_REMINDER,
            complaints: 0,
            interrupted: false,
            clocks_asked: BTreeMap::new(),
        }
    }
}

impl Driver<'_> {
    /// Runs to the end; says whether the user interrupted.
    pub(super) async fn run(mut self) -> Result<bool, RunError> {
        let mut tick = tokio::time::interval(TICK);
        // After a stop there is one tick and not a hundred.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_heartbeat = Instant::now();
        self.act()?;
        while self.conductor.phase() != Phase::Done {
            // Every branch is cancel-safe.
            tokio::select! {
                incoming = self.service.next() => match incoming {
                    Some(incoming) => self.incoming(incoming)?,
                    None => return Err(RunError::ServiceEnded),
                },
                _ = tick.tick() => {
                    if last_heartbeat.elapsed() >= HEARTBEAT {
                        last_heartbeat = Instant::now();
                        self.heartbeat();
                    }
                    self.show_tests();
                    self.show_missing();
                    self.tell(Event::Tick);
                }
                () = self.interrupts.next() => self.interrupted()?,
            }
            self.act()?;
        }
        Ok(self.state.interrupted)
    }

    fn incoming(&mut self, incoming: Incoming) -> Result<(), RunError> {
        match incoming {
            Incoming::Joined(member) => self.tell(Event::Joined(member)),
            Incoming::Opened {
                node,
                session,
                last_closed_seq,
                outbox,
            } => {
                self.opened(node, session, outbox);
                self.tell(Event::SessionOpened {
                    node,
                    last_closed_seq,
                });
            }
            Incoming::Heartbeat(node) => self.tell(Event::Heard(node)),
            Incoming::Progress(node, progress) => {
                let tally = &mut self.state.tally;
                match progress.state {
                    ProgressState::Running => {
                        tally.told(node, progress.assignment, progress.done, progress.total);
                    }
                    ProgressState::Done { .. } => tally.over(node, progress.assignment),
                    ProgressState::Ready => {}
                }
                let (assignment, state) = (progress.assignment, progress.state);
                self.tell(Event::Progress {
                    node,
                    assignment,
                    state,
                });
            }
            Incoming::Refusal {
                node,
                assignment,
                reason,
            } => {
                self.state.tally.over(node, assignment);
                self.tell(Event::Refused {
                    node,
                    assignment,
                    reason,
                });
            }
            Incoming::ClockAnswer {
                node,
                answer,
                heard_unix_us,
            } => self.clock_answer(node, answer, heard_unix_us),
            Incoming::Batch(batch) => self.batch(*batch)?,
            Incoming::NotAdmitted {
                node,
                address,
                reason,
            } => {
                if let Some(node) = node {
                    let reason = reason.clone();
                    self.tell(Event::NotAdmitted { node, reason });
                }
                self.complain(&progress::Event::NotAdmitted { address, reason });
            }
            Incoming::Ended { node, session, fault } => {
                if let Some(reason) = fault {
                    self.complain(&progress::Event::CutOff { node, reason });
                }
                if self
                    .state
                    .sessions
                    .get(&node)
                    .is_some_and(|(present, _)| *present == session)
                {
                    self.state.sessions.remove(&node);
                    self.tell(Event::SessionEnded(node));
                }
            }
        }
        Ok(())
    }

    fn clock_answer(&mut self, node: NodeId, answer: ClockAnswer, heard_us: u64) {
        let asked = self.state.clocks_asked.get(&node);
        let event = match asked {
            Some((number, asked_us)) if *number == answer.number => Event::ClockTold {
                node,
                number: answer.number,
                exchange: Exchange {
                    asked_us: *asked_us,
                    read_us: answer.received_unix_us,
                    written_us: answer.sent_unix_us,
                    heard_us,
                },
            },
            _ => Event::Heard(node),
        };
        self.tell(event);
    }

    fn opened(&mut self, node: NodeId, session: SessionId, outbox: Outbox) {
        // An older session of the node ends with its outbox.
        self.state.sessions.insert(node, (session, outbox));
        let applied_seq = self.state.ledger.applied_seq(node);
        self.send(
            node,
            ToProbe::Welcome(Welcome {
                applied_seq,
                heartbeat: HEARTBEAT,
                lease: LEASE,
            }),
        );
        if let Some(roster) = &self.state.roster {
            let roster = ToProbe::Roster(roster.clone());
            self.send(node, roster);
        }
    }

    fn batch(&mut self, signed: SignedBatch) -> Result<(), RunError> {
        let (node, seq) = (signed.batch.node, signed.batch.seq);
        // What a probe says after it was given up is not part of the run.
        if !self.conductor.takes_part(node) {
            return Ok(());
        }
        if !self.knows_roster(&signed.batch.roster_sha256) {
            return self.cut_off(node, seq, "it refers to another roster");
        }
        match self.state.ledger.place(&signed) {
            Place::Next => {
                self.evidence.testimony(&signed.envelope, signed.batch.clone())?;
                self.state.ledger.apply(&signed);
                self.send(node, ToProbe::Ack { seq });
                self.tell(Event::BatchStored(Box::new(signed.batch)));
            }
            Place::Duplicate { recorded } => {
                self.send(
                    node,
                    ToProbe::Ack {
                        seq: self.state.ledger.applied_seq(node),
                    },
                );
                if recorded {
                    self.tell(Event::BatchDuplicate(node, seq));
                }
            }
            Place::Gap => return self.cut_off(node, seq, "a batch before it is missing"),
            Place::BrokenChain => return self.cut_off(node, seq, "it does not continue the batch before it"),
            Place::TooMuch => return self.cut_off(node, seq, "the probe has sent too much"),
        }
        Ok(())
    }

    /// Ends the session of a probe whose batch cannot be applied; an honest one comes back and sends what is missing.
    fn cut_off(&mut self, node: NodeId, seq: u64, why: &str) -> Result<(), RunError> {
        let reason = format!("batch {seq} was not accepted: {why}");
        self.complain(&progress::Event::CutOff { node, reason });
        if self.state.sessions.remove(&node).is_some() {
            self.tell(Event::SessionEnded(node));
        }
        Ok(())
    }

    fn knows_roster(&self, sha256: &str) -> bool {
        sha256.is_empty()
            || self
                .state
                .roster
                .as_ref()
                .is_some_and(|roster| roster.digest().to_string() == sha256)
    }

    fn interrupted(&mut self) -> Result<(), RunError> {
        if self.state.interrupted {
            return Err(RunError::Abandoned);
        }
        self.state.interrupted = true;
        self.sink.show(&progress::Event::Interrupted);
        self.tell(Event::Interrupted);
        Ok(())
    }

    /// Shows what a peer did wrong, as long as there is not too much of it.
    fn complain(&mut self, event: &progress::Event) {
        if self.state.complaints < MOST_COMPLAINTS {
            self.state.complaints += 1;
            self.sink.show(event);
        }
    }

    fn heartbeat(&mut self) {
        let nodes: Vec<NodeId> = self.state.sessions.keys().copied().collect();
        for node in nodes {
            self.send(node, ToProbe::Heartbeat);
        }
    }

    fn show_tests(&mut self) {
        if let Some(pace) = self.state.tally.news(self.started.elapsed()) {
            self.sink.show(&progress::Event::Tests(pace));
        }
    }

    /// Says who is waited for, at growing intervals.
    fn show_missing(&mut self) {
        let now = self.started.elapsed();
        if now < self.state.remind_at {
            return;
        }
        self.state.remind_after = (self.state.remind_after * 2).min(LONGEST_REMINDER);
        self.state.remind_at = now + self.state.remind_after;
        let (mut missing, left) = self.conductor.awaited();
        if missing.is_empty() {
            return;
        }
        let total = missing.len();
        missing.truncate(progress::NAMED);
        self.sink.show(&progress::Event::Waiting {
            missing,
            total,
            left_s: left.as_secs(),
        });
    }

    fn enter(&mut self, phase: Phase) {
        let now = self.started.elapsed();
        if let Some((phase, done, took)) = self.state.tally.end(now) {
            self.sink.show(&progress::Event::Tested {
                phase,
                done,
                took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            });
        }
        self.state.tally = Tally::begin(now, phase);
        self.sink.show(&progress::Event::Phase { phase });
    }

    /// Does what the conductor asks for.
    fn act(&mut self) -> Result<(), RunError> {
        while let Some(action) = self.conductor.next_action() {
            match action {
                Action::Record(at, event) => self.record(at, event)?,
                Action::PublishRoster(at, members) => self.publish(at, members)?,
                Action::Assign {
                    node,
                    assignment,
                    work,
                } => {
                    let Some(roster) = &self.state.roster else {
                        continue;
                    };
                    if let Work::Ask(ask) = &work {
                        self.state.tally.assigned(node, assignment, ask.tests());
                    }
                    let assignment = Assignment {
                        id: assignment,
                        lease: LEASE,
                        work,
                    };
                    let wire = assignment.to_wire(roster).map_err(RunError::Roster)?;
                    self.send(node, ToProbe::Assignment(wire));
                }
                Action::AskClock { node, number } => {
                    self.state.clocks_asked.insert(node, (number, unix_us()));
                    self.send(node, ToProbe::ClockQuestion { number });
                }
                Action::Release { node, assignment } => self.send(node, ToProbe::Release { assignment }),
                Action::Finish { node, reason } => {
                    self.send(
                        node,
                        ToProbe::Finish {
                            reason: reason.to_owned(),
                        },
                    );
                    if !self.conductor.takes_part(node) {
                        self.state.sessions.remove(&node);
                    }
                }
                Action::Tight(tight) => self.sink.show(&progress::Event::ConntrackTight {
                    node: tight.node,
                    entries: tight.table.count,
                    limit: tight.table.max,
                }),
                Action::Enter(phase) => self.enter(phase),
                Action::Finished => {}
            }
        }
        Ok(())
    }

    fn publish(
        &mut self,
        at: Moment,
        members: Vec<plumbline_model::evidence::Member>,
    ) -> Result<(), RunError> {
        let roster = Roster::new(members).map_err(RunError::Roster)?;
        let sha256 = Digest::to_string(&roster.digest());
        self.record(
            at,
            SwarmEvent::Roster {
                sha256,
                members: roster.members().to_vec(),
            },
        )?;
        let nodes: Vec<NodeId> = self.state.sessions.keys().copied().collect();
        for node in nodes {
            self.send(node, ToProbe::Roster(roster.clone()));
        }
        self.state.roster = Some(roster);
        Ok(())
    }

    fn record(&mut self, at: Moment, event: SwarmEvent) -> Result<(), RunError> {
        match &event {
            SwarmEvent::Joined { member } => {
                self.state.joined += 1;
                let (joined, expected) = (self.state.joined, self.conductor.expected());
                self.sink.show(&progress::Event::Joined {
                    node: member.node,
                    joined,
                    expected,
                });
            }
            SwarmEvent::NotJoined { node, .. } => self.sink.show(&progress::Event::NotJoined {
                node: *node,
                left_out: self.partial,
            }),
            SwarmEvent::Lost { node, why } => {
                self.state.tally.gone(*node);
                self.sink.show(&progress::Event::Lost {
                    node: *node,
                    why: *why,
                });
            }
            SwarmEvent::Late { node } => self.sink.show(&progress::Event::Late { node: *node }),
            SwarmEvent::Refused { node, reason } => {
                self.sink.show(&progress::Event::Refused {
                    node: *node,
                    reason: reason.clone(),
                });
            }
            SwarmEvent::Roster { .. }
            | SwarmEvent::Closed { .. }
            | SwarmEvent::Clock { .. }
            | SwarmEvent::Duplicate { .. }
            | SwarmEvent::Interrupted
            | SwarmEvent::Finished { .. } => {}
        }
        let record = SwarmRecord {
            run: self.run.clone(),
            at_ms: at.ms(),
            event,
        };
        Ok(self.evidence.record(Payload::Swarm(record))?)
    }

    /// Sends to a probe that has a session; one that does not read loses it.
    fn send(&mut self, node: NodeId, message: ToProbe) {
        let Some((_, outbox)) = self.state.sessions.get(&node) else {
            return;
        };
        if outbox.send(message).is_err() {
            self.complain(&progress::Event::CutOff {
                node,
                reason: "it does not read".to_owned(),
            });
            self.state.sessions.remove(&node);
            self.tell(Event::SessionEnded(node));
        }
    }

    fn tell(&mut self, event: Event) {
        let now = Moment::after_start(self.started.elapsed());
        self.conductor.handle(now, event);
    }
}

/// Deadlines are seconds, so a quarter of one is soon enough; and a gap of eight ticks shows that we stood still.
const TICK: Duration = Duration::from_millis(250);

/// Probes that are started by a tool are here within seconds; who is not is worth a line.
const FIRST_REMINDER: Duration = Duration::from_secs(5);

/// Intervals between reminders double up to a minute: somebody who looks sees life, and a log stays short.
const LONGEST_REMINDER: Duration = Duration::from_secs(60);

/// Whoever can reach the port can make us complain; a screenful is enough to see what is going on.
const MOST_COMPLAINTS: u32 = 40;
