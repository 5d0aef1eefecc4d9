//! The messages of a session.

use std::time::Duration;

use plumbline_model::id::{NodeId, RunId};

use super::{
    FieldError, Invalid, Roster, at_most, duration_ms, in_range,
    join::{node, run},
    lease, wire_ms,
};
use crate::{limits, v1};

/// A message from a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromProbe {
    /// The first of every session.
    Hello(Hello),
    /// Testimony.
    Batch(BatchEnvelope),
    /// How far an assignment is.
    Progress(Progress),
    /// A sign of life.
    Heartbeat,
    /// An assignment that the probe does not do.
    Refusal {
        /// Which.
        assignment: u32,
        /// Why, fit to be shown.
        reason: String,
    },
    /// What time it is.
    ClockAnswer(ClockAnswer),
}

/// The probe's wall clock, in microseconds since 1970 (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockAnswer {
    /// Of the question.
    pub number: u32,
    /// When the question was read.
    pub received_unix_us: u64,
    /// When the answer was written.
    pub sent_unix_us: u64,
}

/// The first message of every session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The run.
    pub run: RunId,
    /// Who; must agree with the TLS key.
    pub node: NodeId,
    /// The probe's version, fit to be shown.
    pub probe_version: String,
    /// The highest sequence number that was closed so far; 0 before the first.
    pub last_closed_seq: u64,
}

/// A signed batch, not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchEnvelope {
    /// From 1. What counts is the number inside the signed payload; this one is for the acknowledgement.
    pub seq: u64,
    /// The DSSE envelope.
    pub envelope: Vec<u8>,
}

/// How far an assignment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Which.
    pub assignment: u32,
    /// Its state.
    pub state: ProgressState,
    /// Tests done, for bars and rates.
    pub done: u64,
    /// Tests to do.
    pub total: u64,
}

/// The state of an assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressState {
    /// Responders listen, captures run.
    Ready,
    /// Under way.
    Running,
    /// Everything was closed into batches.
    Done {
        /// The highest sequence number of its batches; 0 if the probe has closed none at all.
        last_seq: u64,
    },
}

/// A message from the coordinator.
#[derive(Debug, Clone, PartialEq)]
pub enum ToProbe {
    /// The answer to Hello.
    Welcome(Welcome),
    /// Who takes part.
    Roster(Roster),
    /// Work; read it with [`super::Assignment::from_wire`] and the roster that it refers to.
    Assignment(v1::Assignment),
    /// Batches up to this sequence number are stored.
    Ack {
        /// The sequence number.
        seq: u64,
    },
    /// An assignment is over.
    Release {
        /// Which.
        assignment: u32,
    },
    /// The run is over for this probe.
    Finish {
        /// Why, fit to be logged.
        reason: String,
    },
    /// A sign of life.
    Heartbeat,
    /// What time is it?
    ClockQuestion {
        /// From 1, ascending within a session.
        number: u32,
    },
}

/// The answer to [`Hello`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Welcome {
    /// The highest sequence number that the coordinator has applied.
    pub applied_seq: u64,
    /// How often each side says something.
    pub heartbeat: Duration,
    /// How long a session may be silent.
    pub lease: Duration,
}

/// A stranger's text, fit for a log or a terminal: control characters replaced, cut at [`limits::MAX_TEXT_BYTES`].
pub fn sanitised(text: &str) -> String {
    let mut clean = String::new();
    for c in text.chars() {
        if clean.len() + c.len_utf8() > limits::MAX_TEXT_BYTES {
            break;
        }
        clean.push(if c.is_control() { ' ' } else { c });
    }
    clean
}

impl TryFrom<v1::FromProbe> for FromProbe {
    type Error = Invalid;

    fn try_from(wire: v1::FromProbe) -> Result<Self, Invalid> {
        use v1::from_probe::Message;
        Ok(
            match wire.message.ok_or_else(|| FieldError::Absent.at("message"))? {
                Message::Hello(hello) => {
                    Self::Hello(hello.try_into().map_err(|e: Invalid| e.within("hello"))?)
                }
                Message::Batch(batch) => {
                    Self::Batch(batch.try_into().map_err(|e: Invalid| e.within("batch"))?)
                }
                Message::Progress(p) => {
                    Self::Progress(p.try_into().map_err(|e: Invalid| e.within("progress"))?)
                }
                Message::Heartbeat(v1::Heartbeat {}) => Self::Heartbeat,
                Message::Refusal(refusal) => Self::Refusal {
                    assignment: refusal.assignment,
                    reason: sanitised(&refusal.reason),
                },
                Message::ClockAnswer(answer) => {
                    Self::ClockAnswer(answer.try_into().map_err(|e: Invalid| e.within("clock_answer"))?)
                }
            },
        )
    }
}

impl From<FromProbe> for v1::FromProbe {
    fn from(message: FromProbe) -> Self {
        use v1::from_probe::Message;
        let message = match message {
            FromProbe::Hello(hello) => Message::Hello(v1::Hello {
                run: hello.run.to_string(),
                node: hello.node.to_string(),
                probe_version: hello.probe_version,
                last_closed_seq: hello.last_closed_seq,
            }),
            FromProbe::Batch(batch) => Message::Batch(v1::BatchEnvelope {
                seq: batch.seq,
                envelope: batch.envelope,
            }),
            FromProbe::Progress(progress) => Message::Progress(progress.into()),
            FromProbe::Heartbeat => Message::Heartbeat(v1::Heartbeat {}),
            FromProbe::Refusal { assignment, reason } => Message::Refusal(v1::Refusal { assignment, reason }),
            FromProbe::ClockAnswer(answer) => Message::ClockAnswer(v1::ClockAnswer {
                number: answer.number,
                received_unix_us: answer.received_unix_us,
                sent_unix_us: answer.sent_unix_us,
            }),
        };
        Self {
            message: Some(message),
        }
    }
}

impl TryFrom<v1::Hello> for Hello {
    type Error = Invalid;

    fn try_from(wire: v1::Hello) -> Result<Self, Invalid> {
        Ok(Self {
            run: run(&wire.run)?,
            node: node(&wire.node)?,
            probe_version: sanitised(&wire.probe_version),
            last_closed_seq: wire.last_closed_seq,
        })
    }
}

impl TryFrom<v1::BatchEnvelope> for BatchEnvelope {
    type Error = Invalid;

    fn try_from(wire: v1::BatchEnvelope) -> Result<Self, Invalid> {
        if wire.seq == 0 {
            return Err(FieldError::OutOfRange {
                found: 0,
                least: 1,
                most: u64::MAX,
            }
            .at("seq"));
        }
        if wire.envelope.is_empty() {
            return Err(FieldError::Empty.at("envelope"));
        }
        at_most("envelope", wire.envelope.len(), limits::MAX_FROM_PROBE_BYTES)?;
        Ok(Self {
            seq: wire.seq,
            envelope: wire.envelope,
        })
    }
}

impl TryFrom<v1::ClockAnswer> for ClockAnswer {
    type Error = Invalid;

    fn try_from(wire: v1::ClockAnswer) -> Result<Self, Invalid> {
        let time = |field, found| match found {
            0..=limits::MAX_UNIX_US => Ok(found),
            _ => Err(FieldError::OutOfRange {
                found,
                least: 0,
                most: limits::MAX_UNIX_US,
            }
            .at(field)),
        };
        Ok(Self {
            number: in_range("number", wire.number, 1, u32::MAX)?,
            received_unix_us: time("received_unix_us", wire.received_unix_us)?,
            sent_unix_us: time("sent_unix_us", wire.sent_unix_us)?,
        })
    }
}

impl TryFrom<v1::Progress> for Progress {
    type Error = Invalid;

    fn try_from(wire: v1::Progress) -> Result<Self, Invalid> {
        use v1::progress::State;
        let state = match State::try_from(wire.state) {
            Ok(State::Ready) => ProgressState::Ready,
            Ok(State::Running) => ProgressState::Running,
            Ok(State::Done) => ProgressState::Done {
                last_seq: wire.last_seq,
            },
            Ok(State::Unspecified) | Err(_) => return Err(FieldError::Absent.at("state")),
        };
        if wire.done > wire.total {
            return Err(FieldError::OutOfRange {
                found: wire.done,
                least: 0,
                most: wire.total,
            }
            .at("done"));
        }
        let assignment = in_range("assignment", wire.assignment, 1, u32::MAX)?;
        Ok(Self {
            assignment,
            state,
            done: wire.done,
            total: wire.total,
        })
    }
}

impl From<Progress> for v1::Progress {
    fn from(progress: Progress) -> Self {
        use v1::progress::State;
        let (state, last_seq) = match progress.state {
            ProgressState::Ready => (State::Ready, 0),
            ProgressState::Running => (State::Running, 0),
            ProgressState::Done { last_seq } => (State::Done, last_seq),
        };
        Self {
            assignment: progress.assignment,
            state: state.into(),
            done: progress.done,
            total: progress.total,
            last_seq,
        }
    }
}

impl TryFrom<v1::ToProbe> for ToProbe {
    type Error = Invalid;

    fn try_from(wire: v1::ToProbe) -> Result<Self, Invalid> {
        use v1::to_probe::Message;
        Ok(
            match wire.message.ok_or_else(|| FieldError::Absent.at("message"))? {
                Message::Welcome(welcome) => {
                    Self::Welcome(welcome.try_into().map_err(|e: Invalid| e.within("welcome"))?)
                }
                Message::Roster(roster) => {
                    Self::Roster(roster.try_into().map_err(|e: Invalid| e.within("roster"))?)
                }
                Message::Assignment(assignment) => Self::Assignment(assignment),
                Message::Ack(ack) => Self::Ack { seq: ack.seq },
                Message::Release(release) => Self::Release {
                    assignment: release.assignment,
                },
                Message::Finish(finish) => Self::Finish {
                    reason: sanitised(&finish.reason),
                },
                Message::Heartbeat(v1::Heartbeat {}) => Self::Heartbeat,
                Message::ClockQuestion(question) => Self::ClockQuestion {
                    number: in_range("number", question.number, 1, u32::MAX)?,
                },
            },
        )
    }
}

impl From<ToProbe> for v1::ToProbe {
    fn from(message: ToProbe) -> Self {
        use v1::to_probe::Message;
        let message = match message {
            ToProbe::Welcome(welcome) => Message::Welcome(welcome.into()),
            ToProbe::Roster(roster) => Message::Roster((&roster).into()),
            ToProbe::Assignment(assignment) => Message::Assignment(assignment),
            ToProbe::Ack { seq } => Message::Ack(v1::Ack { seq }),
            ToProbe::Release { assignment } => Message::Release(v1::Release { assignment }),
            ToProbe::Finish { reason } => Message::Finish(v1::Finish { reason }),
            ToProbe::Heartbeat => Message::Heartbeat(v1::Heartbeat {}),
            ToProbe::ClockQuestion { number } => Message::ClockQuestion(v1::ClockQuestion { number }),
        };
        Self {
            message: Some(message),
        }
    }
}

impl TryFrom<v1::Welcome> for Welcome {
    type Error = Invalid;

    fn try_from(wire: v1::Welcome) -> Result<Self, Invalid> {
        Ok(Self {
            applied_seq: wire.applied_seq,
            heartbeat: duration_ms("heartbeat_ms", wire.heartbeat_ms, limits::HEARTBEATS)?,
            lease: lease("lease_ms", wire.lease_ms)?,
        })
    }
}

impl From<Welcome> for v1::Welcome {
    fn from(welcome: Welcome) -> Self {
        Self {
            applied_seq: welcome.applied_seq,
            heartbeat_ms: wire_ms(welcome.heartbeat),
            lease_ms: wire_ms(welcome.lease),
        }
    }
}
