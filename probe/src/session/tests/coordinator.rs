//! A coordinator on loopback that does nothing by itself but let probes in.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use plumbline_identity::{
    ca::RunCa,
    dsse::Envelope,
    enrol::{Admission, CameFrom, Claim, Expected, Origin},
    join::{JoinString, OneTimeKey},
    key::VerifyingKey,
    tls,
};
use plumbline_model::{
    canonical,
    evidence::{Batch, Member, PAYLOAD_TYPE, Payload},
    id::{NodeId, RunId},
    observation::Record,
};
use plumbline_proto::{
    convert::{Assignment, FromProbe, Hello, Progress, ProgressState, Roster, ToProbe, Welcome, Work},
    v1::{
        self,
        control_server::{Control, ControlServer},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, transport::server::Connected};

use crate::{
    guard::Policy,
    session::{End, Settings, run},
};

pub(super) struct Coordinator {
    address: SocketAddr,
    run: RunId,
    pin: [u8; 32],
    keys: Vec<(NodeId, OneTimeKey)>,
    shared: Arc<Shared>,
    sessions: mpsc::Receiver<FakeSession>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    admission: Mutex<Admission>,
    joins: Mutex<u32>,
    sessions: mpsc::Sender<FakeSession>,
}

/// One session of one probe, from the coordinator's side. Dropping it ends the stream.
pub(super) struct FakeSession {
    pub(super) hello: Hello,
    signing_key: VerifyingKey,
    incoming: Streaming<v1::FromProbe>,
    outgoing: mpsc::Sender<Result<v1::ToProbe, Status>>,
}

/// A probe under test. Dropping it ends it.
pub(super) struct Probe {
    task: JoinHandle<End>,
    stop: mpsc::Sender<()>,
}

impl Probe {
    pub(super) fn start(settings: Settings) -> Self {
        let (stop, stopped) = mpsc::channel(1);
        Self {
            task: tokio::spawn(async { run(settings, stopped).await.unwrap() }),
            stop,
        }
    }

    pub(super) async fn stop(&self) {
        self.stop.send(()).await.unwrap();
    }

    pub(super) async fn ended(mut self) -> End {
        // Under a paused clock the time to live is an hour of no time at all.
        timeout(Duration::from_secs(7200), &mut self.task)
            .await
            .unwrap()
            .unwrap()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Coordinator {
    pub(super) async fn new(nodes: &[NodeId]) -> Self {
        let run = RunId::from_bytes([7; 8]);
        let now_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let ca = RunCa::new(&run, now_unix_s, Duration::from_secs(3600)).unwrap();
        let keys: Vec<_> = nodes
            .iter()
            .map(|node| (*node, OneTimeKey::generate().unwrap()))
            .collect();
        let expected = keys
            .iter()
            .map(|(node, key)| Expected {
                node: *node,
                origin: Origin::Addresses(node.address().into_iter().collect()),
                one_time_public: key.public(),
                expires_unix_s: now_unix_s + 600,
            })
            .collect();
        let (sender, sessions) = mpsc::channel(4);
        let shared = Arc::new(Shared {
            admission: Mutex::new(Admission::new(run.clone(), expected)),
            joins: Mutex::new(0),
            sessions: sender,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(tls::server_config(&ca).unwrap());
        let (accepted, streams) = mpsc::channel(4);
        let tasks = vec![
            tokio::spawn(accept(listener, acceptor, accepted)),
            tokio::spawn(serve(Service(Arc::clone(&shared)), streams)),
        ];
        Self {
            address,
            run,
            pin: ca.pin(),
            keys,
            shared,
            sessions,
            tasks,
        }
    }

    pub(super) fn settings(&self, node: NodeId) -> Settings {
        let one_time_key = self.keys.iter().find(|(of, _)| *of == node).unwrap().1.clone();
        let join = JoinString {
            coordinator: vec![self.address],
            run: self.run.clone(),
            node,
            one_time_key,
            pin: self.pin,
            expires_unix_s: 0,
        };
        Settings {
            join,
            policy: Policy::default(),
            ttl: Duration::from_secs(600),
            give_up: None,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many joins were accepted.
    pub(super) fn joins(&self) -> u32 {
        *self.shared.joins.lock().unwrap()
    }

    /// The next session that a probe opens.
    pub(super) async fn session(&mut self) -> FakeSession {
        timeout(PATIENCE, self.sessions.recv())
            .await
            .expect("a probe opens a session")
            .unwrap()
    }

    /// Everybody who has joined, and these.
    pub(super) fn roster(&self, others: &[Member]) -> Roster {
        let joined = self.shared.admission.lock().unwrap();
        Roster::new(joined.members().chain(others).cloned().collect()).unwrap()
    }

    pub(super) fn survey(&self, id: u32) -> v1::Assignment {
        assignment(id, Work::Survey, &self.roster(&[]), LEASE)
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl FakeSession {
    pub(super) async fn welcome(&self, applied_seq: u64) {
        let heartbeat = Duration::from_secs(60);
        self.send(ToProbe::Welcome(Welcome {
            applied_seq,
            heartbeat,
            lease: Duration::from_secs(60),
        }))
        .await;
    }

    pub(super) async fn send(&self, message: ToProbe) {
        self.outgoing.send(Ok(message.into())).await.unwrap();
    }

    /// Ends the session with an error.
    pub(super) async fn refuse(self, status: Status) {
        self.outgoing.send(Err(status)).await.unwrap();
    }

    pub(super) async fn assign(&self, id: u32, work: Work, roster: &Roster) {
        self.assign_for(id, work, roster, LEASE).await;
    }

    pub(super) async fn assign_for(&self, id: u32, work: Work, roster: &Roster, lease: Duration) {
        self.send(ToProbe::Assignment(assignment(id, work, roster, lease)))
            .await;
    }

    pub(super) async fn next(&mut self) -> FromProbe {
        let message = timeout(PATIENCE, self.incoming.message())
            .await
            .expect("the probe says something");
        message.unwrap().expect("the session is open").try_into().unwrap()
    }

    pub(super) async fn says_nothing_for(&mut self, time: Duration) -> bool {
        timeout(time, self.incoming.message()).await.is_err()
    }

    pub(super) async fn envelope(&mut self) -> Vec<u8> {
        let FromProbe::Batch(batch) = self.next().await else {
            panic!("a batch")
        };
        batch.envelope
    }

    /// The next message, which is a batch with a good signature.
    pub(super) async fn batch(&mut self) -> Batch {
        let envelope = self.envelope().await;
        self.verified(&envelope)
    }

    /// What is seen for an assignment until it is ready, and the last sequence number.
    pub(super) async fn records_until_ready(&mut self, id: u32) -> (Vec<Record>, u64) {
        self.records_until(id, |state| matches!(state, ProgressState::Ready))
            .await
    }

    /// What is seen for an assignment until it is done, and the last sequence number that it names.
    pub(super) async fn records_until_done(&mut self, id: u32) -> (Vec<Record>, u64) {
        self.records_until(id, |state| matches!(state, ProgressState::Done { .. }))
            .await
    }

    /// What is seen for some assignments at once until all of them are done, by assignment.
    pub(super) async fn records_until_all_done(&mut self, ids: &[u32]) -> BTreeMap<u32, Vec<Record>> {
        let mut records: BTreeMap<u32, Vec<Record>> = BTreeMap::new();
        let mut open = ids.to_vec();
        while !open.is_empty() {
            match self.next().await {
                FromProbe::Batch(batch) => {
                    let batch = self.verified(&batch.envelope);
                    records.entry(batch.assignment).or_default().extend(batch.records);
                }
                FromProbe::Progress(Progress {
                    assignment,
                    state: ProgressState::Done { .. },
                    ..
                }) => open.retain(|id| *id != assignment),
                FromProbe::Progress(_) | FromProbe::Heartbeat => {}
                other => panic!("{other:?}"),
            }
        }
        records
    }

    async fn records_until(&mut self, id: u32, end: fn(ProgressState) -> bool) -> (Vec<Record>, u64) {
        let (mut records, mut last) = (Vec::new(), 0);
        loop {
            match self.next().await {
                FromProbe::Batch(batch) => {
                    let batch = self.verified(&batch.envelope);
                    assert_eq!(batch.assignment, id);
                    last = batch.seq;
                    records.extend(batch.records);
                }
                FromProbe::Progress(Progress {
                    assignment, state, ..
                }) => {
                    assert_eq!(assignment, id);
                    if let ProgressState::Done { last_seq } = state {
                        last = last_seq;
                    }
                    if end(state) {
                        return (records, last);
                    }
                }
                FromProbe::Heartbeat => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn verified(&self, envelope: &[u8]) -> Batch {
        let payload = Envelope::parse(envelope)
            .unwrap()
            .verify(&self.signing_key, PAYLOAD_TYPE)
            .unwrap();
        let Payload::Batch(batch) = canonical::decode(&payload).unwrap() else {
            panic!("a batch")
        };
        batch
    }
}

fn assignment(id: u32, work: Work, roster: &Roster, lease: Duration) -> v1::Assignment {
    Assignment { id, lease, work }.to_wire(roster).unwrap()
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    accepted: mpsc::Sender<std::io::Result<Accepted>>,
) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            return;
        };
        // A handshake that the probe breaks off is what some tests are about.
        let Ok(stream) = acceptor.accept(stream).await else {
            continue;
        };
        let connection = stream.get_ref().1;
        let who = Who {
            peer,
            exporter: tls::exporter(connection).unwrap(),
            tls_key_sha256: tls::spki_sha256(&connection.peer_certificates().unwrap()[0]).unwrap(),
        };
        if accepted.send(Ok(Accepted { stream, who })).await.is_err() {
            return;
        }
    }
}

async fn serve(service: Service, streams: mpsc::Receiver<std::io::Result<Accepted>>) {
    tonic::transport::Server::builder()
        .add_service(ControlServer::new(service))
        .serve_with_incoming(ReceiverStream::new(streams))
        .await
        .unwrap();
}

struct Service(Arc<Shared>);

#[tonic::async_trait]
impl Control for Service {
    type SessionStream = ReceiverStream<Result<v1::ToProbe, Status>>;

    async fn join(&self, request: Request<v1::JoinRequest>) -> Result<Response<v1::JoinReply>, Status> {
        let who = request.extensions().get::<Who>().cloned().unwrap();
        let wire = request.into_inner();
        let claim = Claim {
            protocol: wire.protocol,
            run: wire.run,
            node: wire.node,
            signing_key: wire.signing_key,
            agreement_key: wire.agreement_key,
            one_time_signature: wire.one_time_signature,
            possession_signature: wire.possession_signature,
            addresses: wire
                .addresses
                .iter()
                .map(|address| address.parse().unwrap())
                .collect(),
            data_ipv6: None,
        };
        let came_from = CameFrom::Address(who.peer.ip());
        let admitted =
            self.0
                .admission
                .lock()
                .unwrap()
                .admit(1, came_from, &who.exporter, &who.tls_key_sha256, &claim);
        admitted.map_err(|refused| Status::permission_denied(refused.to_string()))?;
        *self.0.joins.lock().unwrap() += 1;
        Ok(Response::new(v1::JoinReply { lease_ms: 30_000 }))
    }

    async fn session(
        &self,
        request: Request<Streaming<v1::FromProbe>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let who = request.extensions().get::<Who>().cloned().unwrap();
        let member = {
            let admission = self.0.admission.lock().unwrap();
            let node = admission
                .is_member(&who.tls_key_sha256)
                .expect("only members open sessions");
            admission
                .members()
                .find(|member| member.node == node)
                .cloned()
                .unwrap()
        };
        let mut incoming = request.into_inner();
        let hello = incoming.message().await?.unwrap();
        let FromProbe::Hello(hello) = hello.try_into().unwrap() else {
            panic!("Hello comes first")
        };
        let (outgoing, stream) = mpsc::channel(16);
        let signing_key = VerifyingKey::from_point_hex(&member.signing_key).unwrap();
        let session = FakeSession {
            hello,
            signing_key,
            incoming,
            outgoing,
        };
        self.0
            .sessions
            .send(session)
            .await
            .map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

#[derive(Debug, Clone)]
struct Who {
    peer: SocketAddr,
    exporter: [u8; 32],
    tls_key_sha256: [u8; 32],
}

struct Accepted {
    stream: TlsStream<TcpStream>,
    who: Who,
}

impl Connected for Accepted {
    type ConnectInfo = Who;

    fn connect_info(&self) -> Who {
        self.who.clone()
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

const LEASE: Duration = Duration::from_secs(60);
