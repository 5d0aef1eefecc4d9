//! Over real sockets on loopback: what the service lets pass, and what it refuses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use plumbline_identity::{
    ca::RunCa,
    dsse::Envelope,
    enrol::{Expected, Keys, Origin, prove},
    join::{JoinString, OneTimeKey},
    key::{AgreementKey, SigningKey, TlsKey},
    tls,
};
use plumbline_model::{
    canonical,
    evidence::{PAYLOAD_TYPE, Payload},
    observation::{HostFacts, Record},
};
use plumbline_proto::convert::{BatchEnvelope, FromProbe, Hello, ProgressState};
use tokio::net::TcpSocket;
use tonic::{
    Code, Streaming,
    transport::{Channel, Endpoint},
};

use super::*;

const NODE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

struct Stand {
    service: Service,
    run: RunId,
    address: SocketAddr,
    strings: Vec<JoinString>,
}

/// A service that waits for these nodes.
async fn stand(nodes: &[IpAddr]) -> Stand {
    let run = RunId::from_bytes([5; 8]);
    let ca = RunCa::new(&run, now_unix_s(), Duration::from_secs(600)).unwrap();
    let listener = TcpListener::bind((NODE, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (mut strings, mut expected) = (Vec::new(), Vec::new());
    for node in nodes {
        let one_time_key = OneTimeKey::generate().unwrap();
        let expires_unix_s = now_unix_s() + 60;
        expected.push(Expected {
            node: (*node).into(),
            origin: Origin::Addresses(vec![*node]),
            one_time_public: one_time_key.public(),
            expires_unix_s,
        });
        strings.push(JoinString {
            coordinator: vec![address],
            run: run.clone(),
            node: (*node).into(),
            one_time_key,
            pin: ca.pin(),
            expires_unix_s,
        });
    }
    let service = Service::start(Setup {
        listeners: vec![listener],
        tls: tls::server_config(&ca).unwrap(),
        run: run.clone(),
        admission: Admission::new(run.clone(), expected),
        probes: nodes.len(),
    });
    Stand {
        service,
        run,
        address,
        strings,
    }
}

/// A probe's keys and its connection.
struct Client {
    node: NodeId,
    tls: TlsKey,
    signing: SigningKey,
    agreement: AgreementKey,
    exporter: [u8; 32],
    channel: Channel,
}

impl Client {
    /// Connects from the node's own address.
    async fn connect(string: &JoinString) -> Self {
        let tls = TlsKey::generate(now_unix_s(), Duration::from_secs(600)).unwrap();
        let (channel, exporter) = dial(string, &tls).await;
        Self {
            node: string.node,
            tls,
            signing: SigningKey::generate().unwrap(),
            agreement: AgreementKey::generate().unwrap(),
            exporter,
            channel,
        }
    }

    async fn join(&self, string: &JoinString) -> Result<(), Status> {
        let keys = Keys {
            tls: &self.tls,
            signing: &self.signing,
            agreement: &self.agreement,
        };
        let claim = prove(&self.exporter, string, keys, vec![NODE], None);
        let request = v1::JoinRequest {
            protocol: claim.protocol,
            run: claim.run,
            node: claim.node,
            signing_key: claim.signing_key,
            agreement_key: claim.agreement_key,
            one_time_signature: claim.one_time_signature,
            possession_signature: claim.possession_signature,
            probe_version: "0".to_owned(),
            addresses: claim.addresses.iter().map(ToString::to_string).collect(),
            data_ipv6: String::new(),
        };
        self.control().join(request).await.map(drop)
    }

    /// Opens a session and says these things in it.
    async fn session(&self, says: Vec<FromProbe>) -> Result<Streaming<v1::ToProbe>, Status> {
        let says: Vec<v1::FromProbe> = says.into_iter().map(Into::into).collect();
        // The stream stays open behind what is said.
        let stream = tokio_stream::StreamExt::chain(
            tokio_stream::iter(says),
            tokio_stream::pending::<v1::FromProbe>(),
        );
        self.control()
            .session(stream)
            .await
            .map(tonic::Response::into_inner)
    }

    async fn health(&self) -> Result<(), Status> {
        let mut health = tonic_health::pb::health_client::HealthClient::new(self.channel.clone());
        health
            .check(tonic_health::pb::HealthCheckRequest {
                service: String::new(),
            })
            .await
            .map(drop)
    }

    fn control(&self) -> v1::control_client::ControlClient<Channel> {
        v1::control_client::ControlClient::new(self.channel.clone())
    }

    fn hello(&self, run: &RunId) -> FromProbe {
        FromProbe::Hello(Hello {
            run: run.clone(),
            node: self.node,
            probe_version: "0".to_owned(),
            last_closed_seq: 0,
        })
    }

    fn batch(&self, run: &RunId, key: &SigningKey) -> FromProbe {
        self.batch_of(run, key, Vec::new())
    }

    fn batch_of(&self, run: &RunId, key: &SigningKey, records: Vec<Record>) -> FromProbe {
        let batch = Batch {
            run: run.clone(),
            node: self.node,
            seq: 1,
            previous: String::new(),
            roster_sha256: String::new(),
            assignment: 0,
            closed_unix_ms: 0,
            records,
        };
        let payload = canonical::encode(&Payload::Batch(batch));
        let envelope = Envelope::sign(key, PAYLOAD_TYPE, &payload).to_bytes();
        FromProbe::Batch(BatchEnvelope { seq: 1, envelope })
    }
}

async fn dial(string: &JoinString, key: &TlsKey) -> (Channel, [u8; 32]) {
    let config = tls::client_config(key, string.pin).unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::new(string.node.address().unwrap(), 0))
        .unwrap();
    let stream = socket.connect(string.coordinator[0]).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(config);
    let stream = connector.connect(tls::server_name(), stream).await.unwrap();
    let exporter = tls::exporter(stream.get_ref().1).unwrap();
    let mut stream = Some(hyper_util::rt::TokioIo::new(stream));
    let connect = tower::service_fn(move |_| {
        let stream = stream
            .take()
            .ok_or_else(|| std::io::Error::other("one connection is enough"));
        std::future::ready(stream)
    });
    let endpoint = Endpoint::from_static("http://coordinator.invalid");
    (endpoint.connect_with_connector(connect).await.unwrap(), exporter)
}

fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The next event that is not a sign of life.
async fn next(stand: &mut Stand) -> Incoming {
    loop {
        match stand.service.next().await.unwrap() {
            Incoming::Heartbeat(_) => {}
            event => return event,
        }
    }
}

#[tokio::test]
async fn before_enrolment_nothing_but_join_is_allowed_and_after_it_the_rest_is() {
    let mut stand = stand(&[NODE]).await;
    let client = Client::connect(&stand.strings[0]).await;
    assert_eq!(client.health().await.unwrap_err().code(), Code::PermissionDenied);
    let session = client.session(vec![client.hello(&stand.run)]).await;
    assert_eq!(session.unwrap_err().code(), Code::PermissionDenied);

    client.join(&stand.strings[0]).await.unwrap();
    assert!(matches!(next(&mut stand).await, Incoming::Joined(member) if member.node == client.node));
    client.health().await.unwrap();
}

#[tokio::test]
async fn a_join_string_admits_one_probe_and_no_second() {
    let mut stand = stand(&[NODE]).await;
    let string = stand.strings[0].clone();
    Client::connect(&string).await.join(&string).await.unwrap();
    let second = Client::connect(&string).await.join(&string).await.unwrap_err();
    assert_eq!(second.code(), Code::PermissionDenied);
    assert!(second.message().contains("used before"), "{second}");
    assert!(matches!(next(&mut stand).await, Incoming::Joined(_)));
}

#[tokio::test]
async fn a_join_string_is_refused_from_another_nodes_address() {
    let stand = stand(&[NODE, OTHER]).await;
    let mut stolen = stand.strings[0].clone();
    stolen.node = OTHER.into();
    let client = Client::connect(&stolen).await;
    stolen.node = NODE.into();
    let refusal = client.join(&stolen).await.unwrap_err();
    assert!(refusal.message().contains("127.0.0.2"), "{refusal}");
}

#[tokio::test]
async fn testimony_arrives_if_its_member_signed_it_and_ends_the_session_if_not() {
    let mut stand = stand(&[NODE]).await;
    let client = Client::connect(&stand.strings[0]).await;
    client.join(&stand.strings[0]).await.unwrap();
    assert!(matches!(next(&mut stand).await, Incoming::Joined(_)));

    let good = client.batch(&stand.run, &client.signing);
    let forged = client.batch(&stand.run, &SigningKey::generate().unwrap());
    let mut answers = client
        .session(vec![client.hello(&stand.run), good, forged])
        .await
        .unwrap();
    let Incoming::Opened { node, outbox, .. } = next(&mut stand).await else {
        panic!("no session")
    };
    assert_eq!(node, client.node);
    assert!(matches!(next(&mut stand).await, Incoming::Batch(signed) if signed.batch.seq == 1));
    assert!(matches!(next(&mut stand).await, Incoming::Ended { .. }));
    drop(outbox);
    assert_eq!(answers.message().await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_text_of_a_length_that_nothing_real_has_ends_the_session() {
    let mut stand = stand(&[NODE]).await;
    let client = Client::connect(&stand.strings[0]).await;
    client.join(&stand.strings[0]).await.unwrap();
    let facts = HostFacts {
        hostname: "h".repeat(1_000_000),
        ..HostFacts::default()
    };
    let batch = client.batch_of(&stand.run, &client.signing, vec![Record::Facts(Box::new(facts))]);
    let hello = client.hello(&stand.run);
    let mut answers = client.session(vec![hello, batch]).await.unwrap();
    assert!(matches!(next(&mut stand).await, Incoming::Joined(_)));
    let Incoming::Opened { outbox, .. } = next(&mut stand).await else {
        panic!("no session")
    };
    let Incoming::Ended { fault, .. } = next(&mut stand).await else {
        panic!("the batch was taken")
    };
    assert!(fault.is_some_and(|fault| fault.contains("1000000 octets")));
    drop(outbox);
    assert_eq!(answers.message().await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_session_for_another_node_is_refused() {
    let mut stand = stand(&[NODE, OTHER]).await;
    let client = Client::connect(&stand.strings[0]).await;
    client.join(&stand.strings[0]).await.unwrap();
    assert!(matches!(next(&mut stand).await, Incoming::Joined(_)));
    let hello = FromProbe::Hello(Hello {
        run: stand.run.clone(),
        node: OTHER.into(),
        probe_version: String::new(),
        last_closed_seq: 0,
    });
    let mut answers = client.session(vec![hello]).await.unwrap();
    assert_eq!(
        answers.message().await.unwrap_err().code(),
        Code::PermissionDenied
    );
}

#[tokio::test]
async fn a_member_may_come_back_on_another_connection_with_its_tls_key() {
    let mut stand = stand(&[NODE]).await;
    let mut client = Client::connect(&stand.strings[0]).await;
    client.join(&stand.strings[0]).await.unwrap();
    assert!(matches!(next(&mut stand).await, Incoming::Joined(_)));
    (client.channel, client.exporter) = dial(&stand.strings[0], &client.tls).await;
    let _answers = client.session(vec![client.hello(&stand.run)]).await.unwrap();
    assert!(matches!(next(&mut stand).await, Incoming::Opened { .. }));
}

#[tokio::test]
async fn a_dropped_outbox_ends_the_session() {
    let mut stand = stand(&[NODE]).await;
    let client = Client::connect(&stand.strings[0]).await;
    client.join(&stand.strings[0]).await.unwrap();
    assert!(matches!(next(&mut stand).await, Incoming::Joined(_)));
    let mut answers = client.session(vec![client.hello(&stand.run)]).await.unwrap();
    let Incoming::Opened { outbox, .. } = next(&mut stand).await else {
        panic!("no session")
    };
    outbox
        .send(ToProbe::Finish {
            reason: "the test is over".to_owned(),
        })
        .unwrap();
    drop(outbox);
    assert!(answers.message().await.unwrap().is_some());
    assert!(answers.message().await.unwrap().is_none());
    assert!(matches!(next(&mut stand).await, Incoming::Ended { .. }));
}

#[tokio::test]
async fn a_probe_that_does_not_read_is_noticed_and_does_not_block() {
    let mut stand = stand(&[NODE]).await;
    let client = Client::connect(&stand.strings[0]).await;
    client.join(&stand.strings[0]).await.unwrap();
    assert!(matches!(next(&mut stand).await, Incoming::Joined(_)));
    let _answers = client.session(vec![client.hello(&stand.run)]).await.unwrap();
    let Incoming::Opened { outbox, .. } = next(&mut stand).await else {
        panic!("no session")
    };
    // Nobody else runs on this thread, so nothing is taken out of the outbox.
    let taken = (0..=OUTBOX_DEPTH)
        .take_while(|_| outbox.send(ToProbe::Heartbeat).is_ok())
        .count();
    assert_eq!(taken, OUTBOX_DEPTH);
}

#[tokio::test]
async fn progress_that_contradicts_itself_ends_the_session() {
    let mut stand = stand(&[NODE]).await;
    let client = Client::connect(&stand.strings[0]).await;
    client.join(&stand.strings[0]).await.unwrap();
    assert!(matches!(next(&mut stand).await, Incoming::Joined(_)));
    let absurd = FromProbe::Progress(Progress {
        assignment: 1,
        state: ProgressState::Running,
        done: 2,
        total: 1,
    });
    let mut answers = client
        .session(vec![client.hello(&stand.run), absurd])
        .await
        .unwrap();
    assert!(matches!(next(&mut stand).await, Incoming::Opened { .. }));
    assert!(matches!(next(&mut stand).await, Incoming::Ended { .. }));
    assert_eq!(answers.message().await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn the_service_closes_its_port_when_it_is_shut_down() {
    let stand = stand(&[NODE]).await;
    stand.service.shut_down().await;
    assert!(tokio::net::TcpStream::connect(stand.address).await.is_err());
}
