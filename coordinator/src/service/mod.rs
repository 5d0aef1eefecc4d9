//! The coordinator's end of the control protocol: own acceptor, TLS 1.3 with mutual keys, enrolment, sessions.
//!
//! ```text
//!   TcpListener --> acceptor --> Connection --> tonic --> Gate --> Control.Join ----> Admission
//!    one task a      handshakes   key hash,      HTTP/2    only     Control.Session -> session --+
//!    listener        in a bound   exporter                 Join                                  | Incoming
//!                                                          before                                v
//!                                                          enrolment                     the driver of the run
//! ```
//!
//! Tasks: one for each listener and for each handshake under way, one for the gRPC server (which has one for each connection),
//! one for each session. All of them end with [`Service::shut_down`], or at the latest with the runtime. They speak to the driver
//! through one bounded channel: a driver that is busy slows probes down, it never loses what they say. The driver speaks to a
//! session through its [`Outbox`], which is bounded and never waits: a probe that does not read is cut off and may come back.

mod acceptor;
mod connection;
mod control;
mod gate;
mod session;
#[cfg(test)]
mod tests;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use plumbline_identity::enrol::Admission;
use plumbline_model::{
    evidence::{Batch, Member},
    id::{NodeId, RunId},
};
use plumbline_proto::{
    convert::{ClockAnswer, Progress, ToProbe},
    v1,
};
use rustls::ServerConfig;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::{JoinHandle, JoinSet},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, transport::Server};

use self::{connection::Peer, control::ControlService, gate::GateLayer};

/// What the service is started with.
#[derive(Debug)]
pub(crate) struct Setup {
    /// Bound and listening.
    pub(crate) listeners: Vec<TcpListener>,
    /// The run's TLS configuration.
    pub(crate) tls: Arc<ServerConfig>,
    /// The run.
    pub(crate) run: RunId,
    /// Whom it waits for.
    pub(crate) admission: Admission,
    /// How many probes there will be at most; what bounds the connections.
    pub(crate) probes: usize,
}

/// The running service.
#[derive(Debug)]
pub(crate) struct Service {
    incoming: mpsc::Receiver<Incoming>,
    shut_down: oneshot::Sender<()>,
    acceptor: JoinSet<()>,
    server: JoinHandle<()>,
}

/// What probes say, in the order of each session. Who says it has been proven.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A probe was admitted.
    Joined(Box<Member>),
    /// Somebody was not admitted.
    NotAdmitted {
        /// As whom, if that is somebody who is expected. Nothing proves it.
        node: Option<NodeId>,
        /// From where he came.
        address: IpAddr,
        /// Why, as he was told.
        reason: String,
    },
    /// A member opened a session and said hello.
    Opened {
        /// Who.
        node: NodeId,
        /// Which session.
        session: SessionId,
        /// The highest batch that it has closed; 0 before the first.
        last_closed_seq: u64,
        /// How to answer it.
        outbox: Outbox,
    },
    /// A sign of life.
    Heartbeat(NodeId),
    /// How far an assignment is.
    Progress(NodeId, Progress),
    /// An assignment is not done.
    Refusal {
        /// Who.
        node: NodeId,
        /// Which.
        assignment: u32,
        /// Why.
        reason: String,
    },
    /// What time it is there.
    ClockAnswer {
        /// Who.
        node: NodeId,
        /// What it says.
        answer: ClockAnswer,
        /// When it was heard, in microseconds since 1970 (UTC).
        heard_unix_us: u64,
    },
    /// Testimony.
    Batch(Box<SignedBatch>),
    /// A session ended.
    Ended {
        /// Whose.
        node: NodeId,
        /// Which.
        session: SessionId,
        /// What it did that it must not, if we ended it.
        fault: Option<String>,
    },
}

/// A batch whose envelope its member signed for this run; its place in the sequence has not been looked at.
#[derive(Debug)]
pub(crate) struct SignedBatch {
    /// What it says.
    pub(crate) batch: Batch,
    /// The envelope, as it came.
    pub(crate) envelope: Vec<u8>,
    /// SHA-256 of the payload, lower-case hexadecimal: what the next batch calls `previous`.
    pub(crate) payload_sha256: String,
}

/// Tells the sessions of a run apart, so that the end of an old one is not taken for the end of its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionId(u64);

/// The way to one session's probe. Dropped, it ends the session.
#[derive(Debug)]
pub(crate) struct Outbox {
    messages: mpsc::Sender<Result<v1::ToProbe, Status>>,
    /// The session's reader waits for its being dropped.
    _open: oneshot::Sender<()>,
}

/// The probe does not read, or is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotReading;

impl Service {
    /// Begins to accept probes.
    pub(crate) fn start(setup: Setup) -> Self {
        let Setup {
            listeners,
            tls,
            run,
            admission,
            probes,
        } = setup;
        let (events, incoming) = mpsc::channel(INCOMING_DEPTH);
        let shared = Arc::new(Shared {
            run,
            admission: Mutex::new(admission),
            sessions: Mutex::new(Sessions {
                last: 0,
                readers: JoinSet::new(),
            }),
            events,
        });
        let (connections, accepted) = mpsc::channel(1);
        let limit = SPARE_CONNECTIONS + CONNECTIONS_A_PROBE * probes;
        let acceptor = acceptor::accept(listeners, tls, limit, connections);
        let (shut_down, asked) = oneshot::channel::<()>();
        let server = tokio::spawn(async move {
            let (health, health_service) = tonic_health::server::health_reporter();
            health
                .set_serving::<v1::control_server::ControlServer<ControlService>>()
                .await;
            let served = Server::builder()
                // One session and a health check need two streams; nothing needs many.
                .max_concurrent_streams(MOST_STREAMS)
                .http2_max_header_list_size(MOST_HEADER_BYTES)
                .layer(GateLayer::new(Arc::clone(&shared)))
                .add_service(control::service(shared))
                .add_service(health_service)
                .serve_with_incoming_shutdown(ReceiverStream::new(accepted), async {
                    // Dropped or sent: both mean the end.
                    let _ = asked.await;
                })
                .await;
            if let Err(error) = served {
                tracing::error!(%error, "the control service ended");
            }
        });
        Self {
            incoming,
            shut_down,
            acceptor,
            server,
        }
    }

    /// The next thing that a probe says. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Incoming> {
        self.incoming.recv().await
    }

    /// Closes the listeners and ends what is left of the sessions.
    pub(crate) async fn shut_down(mut self) {
        self.acceptor.shutdown().await;
        // The receiver goes first: a session that waits to be heard must not hold up the end.
        drop(self.incoming);
        let _ = self.shut_down.send(());
        let mut server = self.server;
        if tokio::time::timeout(SHUTDOWN_GRACE, &mut server).await.is_err() {
            server.abort();
        }
    }
}

impl Outbox {
    /// Sends a message without waiting.
    ///
    /// # Errors
    /// If the probe has not read what it was sent before, or is gone.
    pub(crate) fn send(&self, message: ToProbe) -> Result<(), NotReading> {
        self.messages.try_send(Ok(message.into())).map_err(|_| NotReading)
    }
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    run: RunId,
    admission: Mutex<Admission>,
    sessions: Mutex<Sessions>,
    events: mpsc::Sender<Incoming>,
}

#[derive(Debug)]
struct Sessions {
    last: u64,
    readers: JoinSet<()>,
}

impl Shared {
    /// The node that a connection speaks for, once it has enrolled on this connection or an earlier one.
    fn member(&self, peer: &Peer) -> Option<Member> {
        let admission = self.admission.lock().unwrap_or_else(PoisonError::into_inner);
        let node = admission.is_member(&peer.tls_key_sha256())?;
        admission.members().find(|member| member.node == node).cloned()
    }
}

/// The wall clock, in microseconds since 1970 (UTC); 0 before that.
pub(crate) fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Depth of the way to the driver. A probe closes a batch every few hundred milliseconds; a thousand of them at once make the
/// others wait, and TCP makes their probes wait.
const INCOMING_DEPTH: usize = 1024;

/// Depth of the way to a probe: welcome, roster, a handful of assignments and acknowledgements. A probe that has not read
/// this many is stuck.
const OUTBOX_DEPTH: usize = 64;

/// A probe has one connection; when it reconnects the old one may linger.
const CONNECTIONS_A_PROBE: usize = 3;

/// Connections beyond the probes' own: whoever else knocks shares these.
const SPARE_CONNECTIONS: usize = 64;

const MOST_STREAMS: u32 = 8;

/// gRPC's own headers have a few hundred octets.
const MOST_HEADER_BYTES: u32 = 8 * 1024;

/// Sessions have been told to finish before; what has not ended by then is cut off.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);
