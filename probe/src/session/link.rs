//! The way to the coordinator: dials, joins once, keeps a session open, and comes back when it is lost.
//!
//! ```text
//!          +---------+  TLS up   +---------+  accepted  +---------+  Hello sent   +---------+
//!   ------>| dialing |---------->| joining |----------->| opening |-------------->| serving |
//!          +---------+           +---------+            +---------+               +---------+
//!            ^  ^  |  joined before  |  |                  ^   |                       |
//!            |  |  +-----------------|--|------------------+   |                       |
//!            |  +--- backoff <-------+--|----------------------+------ stream lost, or |
//!            |                          |                            silent for longer |
//!            |                       refused ---> the end            than the lease ---+
//!            +--- backoff <--- nobody there
//! ```
//!
//! One task, owned by [`Link`] and aborted when that is dropped; gRPC runs two more under it that end with their connection.
//! Cancellation is safe everywhere: what was not acknowledged is sent again by the outbox, and a Join whose answer was lost
//! is repeated with the same keys, which the coordinator accepts.
//!
//! The carrier is a seam: [`open_channel`] takes anything that reads and writes.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hyper_util::rt::TokioIo;
use plumbline_identity::{
    enrol::{self, Keys},
    join::JoinString,
    key::{AgreementKey, SigningKey, TlsKey},
    tls,
};
use plumbline_proto::{
    Invalid,
    convert::{JoinAccepted, ToProbe},
    limits,
    v1::{self, control_client::ControlClient},
};
use rustls::ClientConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};
use tracing::{debug, info, warn};

use super::backoff::Backoff;
use crate::error_chain::chain;

/// Everything that the link needs to prove who it is.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) join: JoinString,
    pub(super) tls_key: TlsKey,
    pub(super) signing_key: SigningKey,
    pub(super) agreement_key: AgreementKey,
    /// Global addresses of the host, for the Join.
    pub(super) addresses: Vec<IpAddr>,
    /// The IPv6 address of the interface that has the node's IPv4 data address.
    pub(super) data_ipv6: Option<std::net::Ipv6Addr>,
    /// The option that ends the trying, for a person.
    pub(super) until: &'static str,
}

/// What happens on the way to the coordinator.
#[derive(Debug)]
pub(super) enum LinkEvent {
    /// A session opens. Hello goes first into `outgoing`.
    Opening {
        /// Bounded; closed when the session ends.
        outgoing: mpsc::Sender<v1::FromProbe>,
    },
    /// The coordinator says something.
    Message(ToProbe),
    /// The session is gone; another one is tried for.
    Lost,
    /// The coordinator does not want this probe, or is not the pinned one. The link has ended.
    Refused {
        /// Why, for a person.
        reason: String,
    },
}

/// The running link.
#[derive(Debug)]
pub(super) struct Link {
    task: JoinHandle<()>,
    /// What happens; ends only after [`LinkEvent::Refused`].
    pub(super) events: mpsc::Receiver<LinkEvent>,
}

impl Link {
    /// Starts to dial.
    pub(super) fn start(credentials: Credentials) -> Result<Self, rustls::Error> {
        let tls = tls::client_config(&credentials.tls_key, credentials.join.pin)?;
        let (sender, events) = mpsc::channel(EVENTS_DEPTH);
        let worker = Worker {
            credentials,
            tls,
            events: sender,
            joined: false,
            silence: FIRST_SILENCE,
        };
        Ok(Self {
            task: tokio::spawn(worker.run()),
            events,
        })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Worker {
    credentials: Credentials,
    tls: Arc<ClientConfig>,
    events: mpsc::Sender<LinkEvent>,
    /// Whether a Join was accepted.
    joined: bool,
    /// How long a session may say nothing.
    silence: Duration,
}

/// Why a session could not be opened or has ended.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error("connect to {address}")]
    Connect { address: SocketAddr, source: io::Error },
    #[error("agree on TLS with {address}")]
    Handshake { address: SocketAddr, source: io::Error },
    #[error(
        "trust {address}: it is not the coordinator whose pin the join string holds; is the string of an earlier run, or does \
         another program answer there?"
    )]
    OtherCoordinator { address: SocketAddr, source: io::Error },
    #[error("set up the connection")]
    Http(#[source] tonic::transport::Error),
    #[error("bind the join to the session")]
    Exporter(#[source] rustls::Error),
    #[error("{operation}: {}", .status.message())]
    Status {
        operation: &'static str,
        status: Box<Status>,
    },
    #[error("{operation}: no answer within {after:?}")]
    NoAnswer {
        operation: &'static str,
        after: Duration,
    },
    #[error("understand the coordinator")]
    Invalid(#[from] Invalid),
    #[error("hear from the coordinator: it closed the session")]
    Closed,
    #[error("go on: the probe is ending")]
    Ending,
}

/// Whether a handshake failed because of who is there, rather than on the way.
fn is_other_coordinator(error: &io::Error) -> bool {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_)))
}

impl SessionError {
    /// Whether trying again is pointless.
    fn is_final(&self) -> bool {
        match self {
            Self::OtherCoordinator { .. } => true,
            Self::Status { status, .. } => matches!(
                status.code(),
                Code::AlreadyExists
                    | Code::FailedPrecondition
                    | Code::InvalidArgument
                    | Code::NotFound
                    | Code::PermissionDenied
                    | Code::Unauthenticated
                    | Code::Unimplemented
            ),
            _ => false,
        }
    }
}

impl Worker {
    async fn run(mut self) {
        let mut backoff = Backoff::new();
        let mut said = String::new();
        loop {
            let error = match self.session(&mut backoff).await {
                Err(SessionError::Ending) => return,
                Err(error) => error,
                Ok(never) => match never {},
            };
            if error.is_final() {
                // Its receiver may be gone, then nobody needs to know.
                let _ = self
                    .events
                    .send(LinkEvent::Refused {
                        reason: chain(&error),
                    })
                    .await;
                return;
            }
            // Whoever started the probe by hand has to see why it waits, and once is enough.
            let reason = chain(&error);
            if reason == said {
                debug!("failed to {reason}; trying again");
            } else {
                warn!(
                    "failed to {reason}; trying again until {}",
                    self.credentials.until
                );
                said = reason;
            }
            if self.events.send(LinkEvent::Lost).await.is_err() {
                return;
            }
            let random = getrandom::u32().unwrap_or(u32::MAX / 2);
            tokio::time::sleep(backoff.step(random)).await;
        }
    }

    /// One session from dialling to its end, which is always an error.
    async fn session(&mut self, backoff: &mut Backoff) -> Result<std::convert::Infallible, SessionError> {
        let (channel, exporter) = self.dial().await?;
        let mut client = ControlClient::new(channel)
            .max_decoding_message_size(limits::MAX_TO_PROBE_BYTES)
            .max_encoding_message_size(limits::MAX_FROM_PROBE_BYTES);
        if !self.joined {
            self.join(&mut client, &exporter).await?;
            self.joined = true;
        }
        let (outgoing, receiver) = mpsc::channel(OUTGOING_DEPTH);
        self.tell(LinkEvent::Opening { outgoing }).await?;
        let mut stream = answer(
            "open the session",
            ANSWER_TIMEOUT,
            client.session(ReceiverStream::new(receiver)),
        )
        .await?;
        loop {
            let message = self.next_message(&mut stream).await?;
            if let ToProbe::Welcome(welcome) = &message {
                self.silence = welcome.lease;
                backoff.reset();
            }
            self.tell(LinkEvent::Message(message)).await?;
        }
    }

    async fn next_message(&self, stream: &mut Streaming<v1::ToProbe>) -> Result<ToProbe, SessionError> {
        let operation = "hear from the coordinator";
        let message = timeout(self.silence, stream.message())
            .await
            .map_err(|_| SessionError::NoAnswer {
                operation,
                after: self.silence,
            })?
            .map_err(|status| SessionError::Status {
                operation,
                status: Box::new(status),
            })?
            .ok_or(SessionError::Closed)?;
        Ok(message.try_into()?)
    }

    /// The first of the coordinator's addresses that answers as the pinned one. Somebody else behind one of them is no reason
    /// to give up while another address may still be the coordinator's: private addresses exist more than once.
    async fn dial(&self) -> Result<(Channel, [u8; 32]), SessionError> {
        let mut failure = None;
        for &address in &self.credentials.join.coordinator {
            match self.dial_one(address).await {
                Ok(session) => return Ok(session),
                Err(error) if error.is_final() => {
                    warn!("failed to {}", chain(&error));
                    failure = failure.or(Some(error));
                }
                Err(error) => {
                    debug!("failed to {}", chain(&error));
                    failure = failure
                        .filter(|failure: &SessionError| !failure.is_final())
                        .or(Some(error));
                }
            }
        }
        Err(failure.unwrap_or(SessionError::Closed))
    }

    async fn dial_one(&self, address: SocketAddr) -> Result<(Channel, [u8; 32]), SessionError> {
        let stream = self.connect(address).await?;
        // Heartbeats and acknowledgements are small and must not wait for each other; failing to say so costs only time.
        let _ = stream.set_nodelay(true);
        let handshake = |source| match is_other_coordinator(&source) {
            true => SessionError::OtherCoordinator { address, source },
            false => SessionError::Handshake { address, source },
        };
        timeout(ANSWER_TIMEOUT, open_channel(stream, Arc::clone(&self.tls)))
            .await
            .map_err(|e| handshake(e.into()))?
            .map_err(|error| match error {
                OpenError::Handshake(source) => handshake(source),
                OpenError::Exporter(source) => SessionError::Exporter(source),
                OpenError::Http(source) => SessionError::Http(source),
            })
    }

    /// Connects from the node's data address first: a join string is good from the node's own addresses only, and of several
    /// interfaces the kernel may choose one whose address the cluster file does not give. What has no way from there (the
    /// address is missing, the route is another's) is tried from wherever the kernel likes.
    async fn connect(&self, address: SocketAddr) -> Result<TcpStream, SessionError> {
        let failed = |source| SessionError::Connect { address, source };
        let socket = || {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4(),
                SocketAddr::V6(_) => TcpSocket::new_v6(),
            }?;
            // Where it fails, a sound path carries the session all the same.
            let _ = plumbline_sys::tcp::limit_segments(&socket, SEGMENT);
            Ok(socket)
        };
        let own = self.credentials.join.node.address();
        if let Some(own) = own.filter(|own| own.is_ipv4() == address.is_ipv4()) {
            let socket = socket().map_err(failed)?;
            if socket.bind(SocketAddr::new(own, 0)).is_ok()
                && let Ok(Ok(stream)) = timeout(CONNECT_TIMEOUT, socket.connect(address)).await
            {
                return Ok(stream);
            }
        }
        let connected = timeout(CONNECT_TIMEOUT, socket().map_err(failed)?.connect(address)).await;
        connected
            .map_err(|elapsed| failed(elapsed.into()))?
            .map_err(failed)
    }

    async fn join(
        &self,
        client: &mut ControlClient<Channel>,
        exporter: &[u8; 32],
    ) -> Result<(), SessionError> {
        let Credentials {
            join,
            tls_key,
            signing_key,
            agreement_key,
            addresses,
            data_ipv6,
            until: _,
        } = &self.credentials;
        let keys = Keys {
            tls: tls_key,
            signing: signing_key,
            agreement: agreement_key,
        };
        let addresses = addresses.iter().copied().take(limits::MAX_ADDRESSES).collect();
        let claim = enrol::prove(exporter, join, keys, addresses, *data_ipv6);
        let request = v1::JoinRequest {
            protocol: claim.protocol,
            run: claim.run,
            node: claim.node,
            signing_key: claim.signing_key,
            agreement_key: claim.agreement_key,
            one_time_signature: claim.one_time_signature,
            possession_signature: claim.possession_signature,
            probe_version: env!("CARGO_PKG_VERSION").to_owned(),
            addresses: claim.addresses.iter().map(ToString::to_string).collect(),
            data_ipv6: claim
                .data_ipv6
                .map_or_else(String::new, |address| address.to_string()),
        };
        let accepted: JoinAccepted = answer("join", ANSWER_TIMEOUT, client.join(request))
            .await?
            .try_into()?;
        info!(
            "joined run {} as node {}, lease {:?}",
            join.run, join.node, accepted.lease
        );
        Ok(())
    }

    async fn tell(&self, event: LinkEvent) -> Result<(), SessionError> {
        self.events.send(event).await.map_err(|_| SessionError::Ending)
    }
}

/// Why a carrier did not become a channel.
#[derive(Debug)]
enum OpenError {
    Handshake(io::Error),
    Exporter(rustls::Error),
    Http(tonic::transport::Error),
}

/// TLS and gRPC over one carrier, with the value that binds a join to this session. When the carrier ends, so does the
/// channel: it is never dialled anew behind our back.
async fn open_channel<C>(carrier: C, tls: Arc<ClientConfig>) -> Result<(Channel, [u8; 32]), OpenError>
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stream = TlsConnector::from(tls)
        .connect(tls::server_name(), carrier)
        .await
        .map_err(OpenError::Handshake)?;
    let exporter = tls::exporter(stream.get_ref().1).map_err(OpenError::Exporter)?;
    let mut once = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_| {
        std::future::ready(
            once.take()
                .ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)),
        )
    });
    // The scheme is http because TLS is ours; the authority is never resolved.
    let channel = Endpoint::from_static("http://coordinator.plumbline.invalid")
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .connect_with_connector(connector)
        .await
        .map_err(OpenError::Http)?;
    Ok((channel, exporter))
}

/// A call's answer within its time.
async fn answer<T>(
    operation: &'static str,
    after: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, SessionError> {
    match timeout(after, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(SessionError::Status {
            operation,
            status: Box::new(status),
        }),
        Err(_) => Err(SessionError::NoAnswer { operation, after }),
    }
}

/// Events that may wait for the session's loop, which never blocks: messages in flight, no more.
const EVENTS_DEPTH: usize = 16;

/// Messages that may wait for the network. Small: what waits longer waits in the outbox, where it can be counted.
const OUTGOING_DEPTH: usize = 8;

/// A session has to outlive what it is to find: a path on which large packets vanish without a word. Segments of this size pass
/// every link of IPv6 (1280 octets less 60 of headers, and room for a tunnel), and what a session carries is little.
const SEGMENT: u16 = 1000;

/// A SYN answered later than this is lost twice; the next address may do better.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Handshake, join and opening wait as long as a session may be silent by default: a coordinator that was stopped for ten
/// seconds and continued still answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Until the coordinator has said how long it may be silent.
const FIRST_SILENCE: Duration = ANSWER_TIMEOUT;

/// Enough for a roster of a thousand members in one flight.
const WINDOW_BYTES: u32 = 512 * 1024;
