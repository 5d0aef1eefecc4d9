//! `record REPORT_DIR` writes the samples of our own formats below `corpus/`, of what a small audit wrote and of keys that
//! everybody knows; what comes from elsewhere (cluster files, packets, netlink) is left as it is. `write CORPUS_DIR` writes
//! the samples that are made anew in each run, for libFuzzer.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use plumbline_fuzz::{BODIES, identity, network, samples::made};
use plumbline_identity::{
    bundle::{ATTESTATION_JSON, EVIDENCE_JSONL},
    dsse::Envelope,
    enrol::{PROTOCOL, transcript},
    join::JoinString,
    key::{AgreementKey, SigningKey, TlsKey},
    sshsig,
};
use plumbline_measure::{
    hello::{PairKey, ReadRequest},
    stamp::{
        packet::{SenderPacket, Sent},
        session::SessionKey,
        time::{ErrorEstimate, WireTime},
    },
};
use plumbline_model::{
    canonical,
    evidence::{PAYLOAD_TYPE, Payload, SwarmEvent},
    source::SourceText,
};
use plumbline_proto::v1;
use prost::Message as _;
use sha2::{Digest as _, Sha256};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let (Some(what), Some(directory)) = (env::args().nth(1), env::args().nth(2)) else {
        return Err("say `record REPORT_DIR` or `write CORPUS_DIR`".into());
    };
    match what.as_str() {
        "record" => record(Path::new(&directory)),
        "write" => write(Path::new(&directory)),
        other => Err(format!("{other}: say `record` or `write`").into()),
    }
}

/// What is made for each test run, as files for libFuzzer.
fn write(directory: &Path) -> Outcome<()> {
    for body in BODIES {
        for (index, octets) in made(body.name).iter().enumerate() {
            let directory = directory.join(body.name);
            fs::create_dir_all(&directory)?;
            fs::write(directory.join(format!("made{index}")), octets)?;
        }
    }
    Ok(())
}

fn record(report: &Path) -> Outcome<()> {
    let payloads = of_report(report)?;
    of_keys()?;
    of_hellos()?;
    of_reflector()?;
    let roster = payloads
        .iter()
        .find_map(|payload| match payload {
            Payload::Swarm(record) => match &record.event {
                SwarmEvent::Roster { members, .. } => Some(canonical::encode(members)),
                _ => None,
            },
            _ => None,
        })
        .ok_or("the report has no roster")?;
    of_sessions(roster)?;
    of_enrolment()
}

/// The evidence of a report, with a small profile: the built-in one takes longer to read than everything else together.
fn of_report(directory: &Path) -> Outcome<Vec<Payload>> {
    let evidence = fs::read(directory.join(EVIDENCE_JSONL))?;
    let (mut lines, mut payloads) = (Vec::new(), Vec::new());
    for line in evidence
        .split(|octet| *octet == b'\n')
        .filter(|line| !line.is_empty())
    {
        let mut payload: Payload = canonical::decode(&Envelope::parse(line)?.unverified_payload()?)?;
        if let Payload::Run(record) = &mut payload {
            record.profiles = vec![SourceText {
                name: "small.yaml".to_owned(),
                text: include_str!("../corpus/profile/small.yaml").to_owned(),
            }];
        }
        lines.push(canonical::encode(&payload));
        payloads.push(payload);
    }
    save("evidence", "clean", &lines.join(&b'\n'))?;
    save(
        "envelope",
        "refused-of-another-key",
        &fs::read(directory.join(ATTESTATION_JSON))?,
    )?;
    Ok(payloads)
}

fn of_keys() -> Outcome<()> {
    let key = identity::known_key();
    let envelope = Envelope::sign(key, PAYLOAD_TYPE, identity::MESSAGE);
    save("envelope", "good", &envelope.to_bytes())?;
    save(
        "ssh_signature",
        "good",
        sshsig::sign(key, identity::MESSAGE).as_bytes(),
    )?;
    let public = key.verifying_key();
    save("key", "point", &public.point())?;
    save("key", "point.hex", public.point_hex().as_bytes())?;
    save("key", "public.pem", public.to_pem().as_bytes())?;
    save("key", "private.pem", key.to_pkcs8_pem().as_bytes())?;
    let tls = TlsKey::generate(1_700_000_000, Duration::from_secs(3600))?;
    save("certificate", "self-signed", tls.certificate())
}

fn of_hellos() -> Outcome<()> {
    let key = PairKey::new(&network::PAIR_KEY);
    let (request, _) = network::asked().seal(&key);
    save("hello_request", "good", &request)?;
    let ReadRequest::Claimed(claim) = ReadRequest::from_octets(&request) else {
        return Err("the request is one".into());
    };
    save(
        "hello_reply",
        "good",
        &claim.reply(&key).ok_or("the key is its own")?,
    )
}

/// Three questions before a reflector: a caller's, the same once more, another caller's.
fn of_reflector() -> Outcome<()> {
    let mut datagrams = Vec::new();
    for index in [0_u8, 0, 1] {
        let question = SenderPacket {
            sent: Sent {
                sequence: 1,
                at: WireTime::ntp(Duration::from_secs(1_700_000_000)),
                error_estimate: ErrorEstimate::UNKNOWN,
            },
            ssid: u16::from(index) + 1,
        };
        let sealed = question.seal(&SessionKey::derive(&PairKey::new(&[index; 32]), 6_081));
        datagrams.push(index);
        datagrams.extend(6_081_u16.to_be_bytes());
        datagrams.extend(u16::try_from(sealed.len())?.to_be_bytes());
        datagrams.extend(sealed);
    }
    save("stamp_reflector", "three-questions", &datagrams)
}

fn of_sessions(members: Vec<u8>) -> Outcome<()> {
    use v1::{from_probe::Message as From, to_probe::Message as To};
    let from_probe = |message| {
        v1::FromProbe {
            message: Some(message),
        }
        .encode_to_vec()
    };
    let hello = v1::Hello {
        run: RUN.to_owned(),
        node: "10.40.1.1".to_owned(),
        probe_version: "0.1.0".to_owned(),
        last_closed_seq: 3,
    };
    save("from_probe", "hello", &from_probe(From::Hello(hello)))?;
    let envelope = Envelope::sign(identity::known_key(), PAYLOAD_TYPE, identity::MESSAGE).to_bytes();
    save(
        "from_probe",
        "batch",
        &from_probe(From::Batch(v1::BatchEnvelope { seq: 4, envelope })),
    )?;
    let progress = v1::Progress {
        assignment: 2,
        state: v1::progress::State::Done.into(),
        done: 100,
        total: 2_784,
        last_seq: 4,
    };
    save("from_probe", "progress", &from_probe(From::Progress(progress)))?;
    save(
        "from_probe",
        "heartbeat",
        &from_probe(From::Heartbeat(v1::Heartbeat {})),
    )?;
    let refusal = v1::Refusal {
        assignment: 2,
        reason: "a node does not test itself".to_owned(),
    };
    save("from_probe", "refusal", &from_probe(From::Refusal(refusal)))?;

    let welcome = v1::Welcome {
        applied_seq: 3,
        heartbeat_ms: 1_000,
        lease_ms: 15_000,
    };
    save("to_probe", "welcome", &to_probe(To::Welcome(welcome)))?;
    save("to_probe", "ack", &to_probe(To::Ack(v1::Ack { seq: 4 })))?;
    save(
        "to_probe",
        "release",
        &to_probe(To::Release(v1::Release { assignment: 2 })),
    )?;
    let reason = "the run is over".to_owned();
    save("to_probe", "finish", &to_probe(To::Finish(v1::Finish { reason })))?;
    save(
        "to_probe",
        "heartbeat",
        &to_probe(To::Heartbeat(v1::Heartbeat {})),
    )?;
    let sha256 = Sha256::digest(&members).to_vec();
    for (name, work) in works() {
        let assignment = v1::Assignment {
            id: 2,
            roster_sha256: sha256.clone(),
            lease_ms: 15_000,
            work: Some(work),
        };
        save("to_probe", name, &to_probe(To::Assignment(assignment)))?;
    }
    save(
        "to_probe",
        "roster",
        &to_probe(To::Roster(v1::Roster { members, sha256 })),
    )?;
    save(
        "join_reply",
        "good",
        &v1::JoinReply { lease_ms: 15_000 }.encode_to_vec(),
    )
}

fn works() -> [(&'static str, v1::assignment::Work); 4] {
    use v1::assignment::Work;
    let ports = vec![
        v1::PortRange { first: 22, last: 22 },
        v1::PortRange {
            first: 30_000,
            last: 32_767,
        },
    ];
    let set = |transport: v1::Transport, ipv6| v1::ArmPorts {
        transport: transport.into(),
        ipv6,
        ports: ports.clone(),
    };
    let target = |ipv6| v1::Target {
        transport: v1::Transport::Tcp.into(),
        ipv6,
        ports: ports.clone(),
        destinations: vec![0, 1],
    };
    let ask = v1::Ask {
        targets: vec![target(false), target(true)],
        attempts: 3,
        attempt_timeout_ms: 600,
        max_rate_node: 200,
        max_rate_pair: 20,
        second_look: false,
        live_services: vec![target(false)],
    };
    let watch = v1::Watch {
        peer: 1,
        end: v1::watch::End::Source.into(),
        transport: v1::Transport::Tcp.into(),
        ipv6: false,
        ports: ports.clone(),
    };
    let sets = vec![set(v1::Transport::Tcp, false), set(v1::Transport::Udp, true)];
    [
        ("arm", Work::Arm(v1::Arm { sets })),
        ("ask", Work::Ask(ask)),
        ("look", Work::Look(v1::Look { watch: vec![watch] })),
        ("survey", Work::Survey(v1::Survey {})),
    ]
}

/// A join string made by hand, so that its one-time key is known, and the claim that it entitles to.
fn of_enrolment() -> Outcome<()> {
    let one_time = SigningKey::from_scalar(&[2; 32])?;
    let mut body = 0x6f48_a108_c08f_6d86_u64.to_be_bytes().to_vec();
    body.extend([4, 10, 40, 1, 1]);
    body.extend(1_800_000_000_u64.to_be_bytes());
    body.extend([3; 32]);
    body.extend(one_time.to_scalar().iter());
    body.extend([1, 4, 198, 51, 100, 2, 0xb3, 0xed]);
    let text = format!("plumbline-join-1.{}", URL_SAFE_NO_PAD.encode(&body));
    let sum = canonical::sha256(text.as_bytes());
    let text = format!("{text}.{}", &sum[..8]);
    let join: JoinString = text.parse()?;
    save("join_string", "node", text.as_bytes())?;

    let (signing, agreement) = (
        SigningKey::from_scalar(&[4; 32])?,
        AgreementKey::from_secret([5; 32]),
    );
    let point = signing.verifying_key().point();
    let signed = transcript(
        &identity::EXPORTER,
        &join.run,
        join.node,
        &identity::TLS_KEY_SHA256,
        &point,
        &agreement.public(),
    );
    let request = v1::JoinRequest {
        protocol: PROTOCOL,
        run: join.run.to_string(),
        node: join.node.to_string(),
        signing_key: point.to_vec(),
        agreement_key: agreement.public().to_vec(),
        one_time_signature: one_time.sign(&signed).to_vec(),
        possession_signature: signing.sign(&signed).to_vec(),
        probe_version: "0.1.0".to_owned(),
        addresses: vec!["10.40.1.1".to_owned(), "fd00:40::1".to_owned()],
        ..v1::JoinRequest::default()
    };
    save("join_claim", "good", &request.encode_to_vec())?;
    save("join_request", "good", &request.encode_to_vec())
}

fn to_probe(message: v1::to_probe::Message) -> Vec<u8> {
    v1::ToProbe {
        message: Some(message),
    }
    .encode_to_vec()
}

fn save(body: &str, name: &str, octets: &[u8]) -> Outcome<()> {
    let directory: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(body);
    fs::create_dir_all(&directory)?;
    Ok(fs::write(directory.join(name), octets)?)
}

const RUN: &str = "6f48a108c08f6d86";
