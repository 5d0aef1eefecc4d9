//! One session: what a member says, checked and passed on to the driver in its order. One task; it ends when the probe ends its
//! stream, when it says something that it must not, when the driver drops its outbox, or when the driver is gone.

use std::time::Duration;

use plumbline_identity::{
    dsse::{Envelope, EnvelopeFault},
    key::VerifyingKey,
};
use plumbline_model::{
    canonical::{self, NotCanonical},
    evidence::{MAX_TEXT_BYTES, Member, PAYLOAD_TYPE, Payload, overlong_text},
    id::{NodeId, RunId},
};
use plumbline_proto::{
    convert::{BatchEnvelope, Digest, FromProbe, Hello},
    limits, v1,
};
use tokio::sync::{mpsc, oneshot};
use tonic::{Status, Streaming};

use super::{Incoming, Outbox, SessionId, SignedBatch, unix_us};

/// What a session knows about itself.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) run: RunId,
    pub(super) node: NodeId,
    pub(super) key: VerifyingKey,
    pub(super) events: mpsc::Sender<Incoming>,
    pub(super) answers: mpsc::Sender<Result<v1::ToProbe, Status>>,
}

/// The key that a member proved when it joined.
pub(super) fn signing_key(member: &Member) -> Result<VerifyingKey, Status> {
    VerifyingKey::from_point_hex(&member.signing_key)
        .map_err(|_| Status::internal("a member was admitted with a key that does not read"))
}

impl Session {
    /// Serves the session to its end.
    pub(super) async fn serve(
        self,
        mut stream: Streaming<v1::FromProbe>,
        outbox: Outbox,
        mut closed: oneshot::Receiver<()>,
    ) {
        let last_closed_seq = match self.hello(&mut stream).await {
            Ok(hello) => hello.last_closed_seq,
            Err(status) => return self.refuse(status).await,
        };
        let opened = Incoming::Opened {
            node: self.node,
            session: self.id,
            last_closed_seq,
            outbox,
        };
        if self.events.send(opened).await.is_err() {
            return;
        }
        let mut fault = None;
        loop {
            // Cancel-safe: a message that has not come whole stays in the stream's buffer, and the other branch ends the loop.
            let message = tokio::select! {
                message = stream.message() => message,
                _ = &mut closed => break,
            };
            let event = match message {
                Ok(Some(message)) => self.read(message),
                Ok(None) => break,
                Err(status) => {
                    tracing::debug!(node = %self.node, %status, "a session broke");
                    break;
                }
            };
            match event {
                Ok(event) => {
                    if self.events.send(event).await.is_err() {
                        return;
                    }
                }
                Err(status) => {
                    fault = Some(status.message().to_owned());
                    self.refuse(status).await;
                    break;
                }
            }
        }
        // Only a driver that is gone does not take it.
        let _ = self
            .events
            .send(Incoming::Ended {
                node: self.node,
                session: self.id,
                fault,
            })
            .await;
    }

    async fn hello(&self, stream: &mut Streaming<v1::FromProbe>) -> Result<Hello, Status> {
        let first = tokio::time::timeout(HELLO_TIMEOUT, stream.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no Hello came"))??;
        let message = first.ok_or_else(|| Status::invalid_argument("the session ended before its Hello"))?;
        match FromProbe::try_from(message).map_err(|error| Status::invalid_argument(error.to_string()))? {
            FromProbe::Hello(hello) if hello.run != self.run => Err(Status::failed_precondition(format!(
                "this is run {}, not {}",
                self.run, hello.run
            ))),
            FromProbe::Hello(hello) if hello.node != self.node => Err(Status::permission_denied(format!(
                "this TLS key enrolled as node {}, not {}",
                self.node, hello.node
            ))),
            FromProbe::Hello(hello) => Ok(hello),
            _ => Err(Status::invalid_argument("a session begins with Hello")),
        }
    }

    fn read(&self, message: v1::FromProbe) -> Result<Incoming, Status> {
        let node = self.node;
        let message =
            FromProbe::try_from(message).map_err(|error| Status::invalid_argument(error.to_string()))?;
        Ok(match message {
            FromProbe::Hello(_) => {
                return Err(Status::invalid_argument("Hello comes once, at the beginning"));
            }
            FromProbe::Heartbeat => Incoming::Heartbeat(node),
            FromProbe::Progress(progress) => Incoming::Progress(node, progress),
            FromProbe::Refusal { assignment, reason } => Incoming::Refusal {
                node,
                assignment,
                reason,
            },
            FromProbe::ClockAnswer(answer) => Incoming::ClockAnswer {
                node,
                answer,
                heard_unix_us: unix_us(),
            },
            FromProbe::Batch(batch) => match signed_batch(batch, &self.run, node, &self.key) {
                Ok(batch) => Incoming::Batch(Box::new(batch)),
                Err(fault) => return Err(Status::invalid_argument(with_causes(&fault))),
            },
        })
    }

    async fn refuse(&self, status: Status) {
        // A probe that does not read will not read this either.
        let _ = tokio::time::timeout(REFUSAL_TIMEOUT, self.answers.send(Err(status))).await;
    }
}

/// Why a batch is not testimony.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadBatch {
    /// The envelope, or its signature.
    #[error("open the envelope of a batch")]
    Envelope(#[source] EnvelopeFault),
    /// Larger than a batch may be.
    #[error(
        "accept a batch: its payload has {octets} octets, more than {}",
        limits::MAX_BATCH_PAYLOAD_BYTES
    )]
    TooLarge {
        /// How many it has.
        octets: usize,
    },
    /// A name or another text that nothing real has.
    #[error("accept a batch: a text in it has {octets} octets, more than {MAX_TEXT_BYTES}")]
    Text {
        /// How many it has.
        octets: usize,
    },
    /// The payload does not read.
    #[error("read the payload of a batch")]
    Payload(#[source] NotCanonical),
    /// A payload that only the coordinator writes.
    #[error("accept a batch: its payload is not a batch")]
    NotABatch,
    /// Another run's, or another node's.
    #[error("accept a batch: it is of run {run} and node {node}")]
    Misplaced {
        /// The run that it names.
        run: RunId,
        /// The node that it names.
        node: NodeId,
    },
    /// The number outside is not the one inside.
    #[error("accept a batch: its envelope says number {outside}, its payload {inside}")]
    Number {
        /// Outside the signature.
        outside: u64,
        /// Inside.
        inside: u64,
    },
}

/// Checks who signed a batch and what it is; nothing is parsed before the signature has been checked.
pub(super) fn signed_batch(
    wire: BatchEnvelope,
    run: &RunId,
    node: NodeId,
    key: &VerifyingKey,
) -> Result<SignedBatch, BadBatch> {
    let envelope = Envelope::parse(&wire.envelope).map_err(BadBatch::Envelope)?;
    let payload = envelope.verify(key, PAYLOAD_TYPE).map_err(BadBatch::Envelope)?;
    if payload.len() > limits::MAX_BATCH_PAYLOAD_BYTES {
        return Err(BadBatch::TooLarge {
            octets: payload.len(),
        });
    }
    let Payload::Batch(batch) = canonical::decode(&payload).map_err(BadBatch::Payload)? else {
        return Err(BadBatch::NotABatch);
    };
    if let Some(octets) = overlong_text(&payload) {
        return Err(BadBatch::Text { octets });
    }
    if batch.run != *run || batch.node != node {
        return Err(BadBatch::Misplaced {
            run: batch.run,
            node: batch.node,
        });
    }
    if batch.seq != wire.seq {
        return Err(BadBatch::Number {
            outside: wire.seq,
            inside: batch.seq,
        });
    }
    Ok(SignedBatch {
        batch,
        envelope: wire.envelope,
        payload_sha256: Digest::of(&payload).to_string(),
    })
}

/// The message of an error and of what caused it.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// A probe says hello with the call.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Telling a probe why its session ends is a courtesy.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
