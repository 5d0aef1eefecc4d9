//! What a cluster of 1,000 nodes costs on the wire: every message of a run in which everything is answered, encoded as it is
//! sent, and summed. No timing: the same figures every time.
//!
//! Octets are those of the messages with their gRPC and HTTP/2 frames and TLS records; TCP's and IP's headers come on top.

use std::{
    collections::BTreeMap,
    error::Error,
    io::{self, Write},
    num::NonZeroU32,
    time::Duration,
};

use plumbline_benches::synthetic::{self, Heards};
use plumbline_identity::{dsse::Envelope, key::SigningKey};
use plumbline_model::{
    canonical,
    evidence::{Batch, PAYLOAD_TYPE, Payload},
    firewall::Ruleset,
    id::NodeId,
    observation::{HostFacts, Record},
    plan::{Plan, Target},
    port::{Family, PortSet, Protocol},
};
use plumbline_proto::{
    convert::{
        ArmPorts, Ask, Assignment, BatchEnvelope, FromProbe, Hello, JoinAccepted, Progress, ProgressState,
        Roster, ToProbe, Welcome, Work,
    },
    v1,
};
use prost::Message;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    if !std::env::args().any(|argument| argument == "--bench") {
        return say("wire: skipped, this is no run of `cargo bench`");
    }
    let (_, plan) = synthetic::plan(&synthetic::cluster_file(NODES));
    let size = plan.size();
    let probes = plan.participants.len();
    say(&format!(
        "{NODES} nodes, {probes} probes, {} pairs, {} tests",
        size.pairs, size.tests
    ))?;
    let slowest = slowest_source(&plan);
    say(&format!(
        "{} s of testing: {slowest} tests of one source at {} a second",
        seconds_of(slowest),
        synthetic::parameters().max_rate_node
    ))?;
    let mut sums = Sums::default();
    let roster = Roster::new(synthetic::members(&plan))?;
    control(&mut sums, &roster, probes, slowest);
    assignments(&mut sums, &plan, &roster)?;
    testimony(&mut sums, &plan)?;
    sums.print(probes)?;
    tests(&plan)
}

/// Octets by kind of message.
#[derive(Debug, Default)]
struct Sums {
    to_probes: BTreeMap<&'static str, (u64, u64)>,
    from_probes: BTreeMap<&'static str, (u64, u64)>,
}

impl Sums {
    fn sent(&mut self, what: &'static str, message: ToProbe) {
        let octets = framed(v1::ToProbe::from(message).encoded_len());
        add(&mut self.to_probes, what, 1, octets);
    }

    fn received(&mut self, what: &'static str, message: FromProbe) {
        let octets = framed(v1::FromProbe::from(message).encoded_len());
        add(&mut self.from_probes, what, 1, octets);
    }

    fn print(&self, probes: usize) -> Outcome<()> {
        for (direction, sums) in [
            ("coordinator sends", &self.to_probes),
            ("coordinator receives", &self.from_probes),
        ] {
            let mut total = 0;
            for (what, (count, octets)) in sums {
                say(&format!("{direction}: {what}: {count} messages, {octets} octets"))?;
                total += octets;
            }
            say(&format!(
                "{direction}: {total} octets, {} a probe",
                total / probes as u64
            ))?;
        }
        Ok(())
    }
}

fn add(sums: &mut BTreeMap<&'static str, (u64, u64)>, what: &'static str, count: u64, octets: u64) {
    let sum = sums.entry(what).or_default();
    sum.0 += count;
    sum.1 += octets * count;
}

/// A message in its frames: gRPC's prefix (5 octets), HTTP/2's DATA frames (9 for each 16 KiB), TLS records (22 for each
/// 16 KiB: header, content type, tag).
fn framed(message: usize) -> u64 {
    let message = message as u64 + 5;
    message + message.div_ceil(16 << 10) * (9 + 22)
}

/// What passes whatever is tested.
fn control(sums: &mut Sums, roster: &Roster, probes: usize, slowest: u64) {
    let count = probes as u64;
    let took = Duration::from_secs(seconds_of(slowest)) + AROUND;
    let join = v1::JoinRequest {
        protocol: plumbline_proto::PROTOCOL,
        run: "0".repeat(16),
        node: "10.40.1.1".to_owned(),
        signing_key: vec![0; 65],
        agreement_key: vec![0; 32],
        one_time_signature: vec![0; 64],
        possession_signature: vec![0; 64],
        probe_version: "0.1.0".to_owned(),
        addresses: vec!["10.40.1.1".to_owned()],
        ..v1::JoinRequest::default()
    };
    add(&mut sums.from_probes, "TLS handshake", count, HANDSHAKE.0);
    add(&mut sums.to_probes, "TLS handshake", count, HANDSHAKE.1);
    add(
        &mut sums.from_probes,
        "join",
        count,
        framed(join.encoded_len()) + HEADERS,
    );
    let accepted = v1::JoinReply::from(JoinAccepted { lease: LEASE });
    add(
        &mut sums.to_probes,
        "join",
        count,
        framed(accepted.encoded_len()) + HEADERS,
    );
    for member in roster.members() {
        sums.received(
            "hello",
            FromProbe::Hello(Hello {
                run: synthetic::run(),
                node: member.node,
                probe_version: "0.1.0".to_owned(),
                last_closed_seq: 1,
            }),
        );
        sums.sent(
            "welcome",
            ToProbe::Welcome(Welcome {
                applied_seq: 0,
                heartbeat: HEARTBEAT,
                lease: LEASE,
            }),
        );
        sums.sent("roster", ToProbe::Roster(roster.clone()));
        for _ in 0..took.as_secs() / HEARTBEAT.as_secs() {
            sums.sent("heartbeats", ToProbe::Heartbeat);
            sums.received("heartbeats", FromProbe::Heartbeat);
        }
        for done in 0..seconds_of(slowest) * 1_000 / PROGRESS_MS {
            sums.received(
                "progress",
                FromProbe::Progress(Progress {
                    assignment: 2,
                    state: ProgressState::Running,
                    done: done.min(slowest),
                    total: slowest,
                }),
            );
        }
        sums.sent("release", ToProbe::Release { assignment: 1 });
        let reason = "the run is over".to_owned();
        sums.sent("finish", ToProbe::Finish { reason });
    }
}

fn assignments(sums: &mut Sums, plan: &Plan, roster: &Roster) -> Outcome<()> {
    let parameters = synthetic::parameters();
    let index = plan.index();
    for node in &plan.participants {
        let set = |protocol| ArmPorts {
            family: Family::Ipv4,
            protocol,
            ports: plan.ports_at(*node, Family::Ipv4, protocol),
        };
        let sets: Vec<ArmPorts> = [Protocol::Tcp, Protocol::Udp]
            .map(set)
            .into_iter()
            .filter(|set| !set.ports.is_empty())
            .collect();
        let (live_services, targets) = split(index.targets_from(*node));
        let ask = Ask {
            targets,
            live_services,
            attempts: parameters.attempts,
            attempt_timeout: Duration::from_millis(parameters.attempt_timeout_ms.into()),
            max_rate_node: NonZeroU32::new(parameters.max_rate_node),
            max_rate_pair: NonZeroU32::new(parameters.max_rate_pair),
            second_look: false,
        };
        for (id, what, work) in [(1, "arm", Work::Arm(sets)), (2, "ask", Work::Ask(ask))] {
            let assignment = Assignment {
                id,
                lease: LEASE,
                work,
            };
            sums.sent(what, ToProbe::Assignment(assignment.to_wire(roster)?));
        }
    }
    Ok(())
}

/// sshd's port, which belongs to the node's own service, apart from the rest.
fn split(targets: Vec<Target>) -> (Vec<Target>, Vec<Target>) {
    let ssh: PortSet = [22].into_iter().collect();
    let part = |target: &Target, ports: PortSet| Target {
        ports,
        ..target.clone()
    };
    let theirs = |target: &Target| target.protocol == Protocol::Tcp;
    let services = targets
        .iter()
        .filter(|target| theirs(target))
        .map(|target| part(target, target.ports.intersection(&ssh)));
    let ours = targets.iter().map(|target| {
        if theirs(target) {
            part(target, target.ports.difference(&ssh))
        } else {
            target.clone()
        }
    });
    let some = |target: &Target| !target.ports.is_empty();
    (services.filter(some).collect(), ours.filter(some).collect())
}

/// Batches as probes close, sign and chain them, and their acknowledgements.
fn testimony(sums: &mut Sums, plan: &Plan) -> Outcome<()> {
    let key = SigningKey::from_scalar(&[7; 32])?;
    let ruleset: Ruleset = serde_json::from_str(FIREWALLD)?;
    let facts = |ruleset| {
        Record::Facts(Box::new(HostFacts {
            hostname: "node-0001.example.net".to_owned(),
            kernel: "6.8.0-31-generic".to_owned(),
            os: "Ubuntu 24.04.1 LTS".to_owned(),
            probe_version: "0.1.0".to_owned(),
            ruleset,
            open_files: 1_048_576,
            ..HostFacts::default()
        }))
    };
    let (bare, firewalld) = (facts(None), facts(Some(ruleset)));
    let index = plan.index();
    let mut heard = Heards::default();
    let nobody = NodeId::Address([0, 0, 0, 0].into());
    let mut outbox = Outbox {
        key,
        sums,
        evidence: 0,
    };
    for node in &plan.participants {
        outbox.close("batches: facts", *node, vec![bare.clone()]);
        outbox.close("batches: bound", *node, synthetic::armed(plan, *node));
        let reached = synthetic::reached(&index.targets_from(*node), nobody);
        heard.add(*node, &reached);
        outbox.close("batches: reached", *node, reached);
    }
    for node in &plan.participants {
        outbox.close("batches: heard", *node, heard.take(*node));
    }
    let evidence = outbox.evidence;
    let with_firewalld = batch(&outbox.key, nobody, vec![firewalld]).len();
    say(&format!(
        "evidence.jsonl: {evidence} octets; a host with firewalld adds {with_firewalld} where it tells its packet filter"
    ))
}

struct Outbox<'a> {
    key: SigningKey,
    sums: &'a mut Sums,
    evidence: u64,
}

impl Outbox<'_> {
    fn close(&mut self, what: &'static str, node: NodeId, records: Vec<Record>) {
        let mut parts: Vec<Vec<Record>> = vec![Vec::new()];
        let mut octets = 0;
        for record in records {
            let length = canonical::encode(&record).len();
            if octets > 0 && octets + length > BATCH_OCTETS {
                parts.push(Vec::new());
                octets = 0;
            }
            octets += length;
            if let Some(part) = parts.last_mut() {
                part.push(record);
            }
        }
        for records in parts.into_iter().filter(|records| !records.is_empty()) {
            let envelope = batch(&self.key, node, records);
            self.evidence += envelope.len() as u64 + 1;
            self.sums
                .received(what, FromProbe::Batch(BatchEnvelope { seq: 1, envelope }));
            self.sums.sent("acknowledgements", ToProbe::Ack { seq: 1 });
        }
    }
}

fn batch(key: &SigningKey, node: NodeId, records: Vec<Record>) -> Vec<u8> {
    let payload = Payload::Batch(Batch {
        run: synthetic::run(),
        node,
        seq: 2,
        previous: "0".repeat(64),
        roster_sha256: "0".repeat(64),
        assignment: 2,
        closed_unix_ms: 1_700_000_000_000,
        records,
    });
    Envelope::sign(key, PAYLOAD_TYPE, &canonical::encode(&payload)).to_bytes()
}

/// The tests themselves, IP packets of both directions.
fn tests(plan: &Plan) -> Outcome<()> {
    let index = plan.index();
    let mut by_kind = [0_u64; 3];
    for source in &plan.participants {
        let (services, ours) = split(index.targets_from(*source));
        let tests = |target: &Target| u64::from(target.ports.count()) * target.destinations.len() as u64;
        by_kind[0] += services.iter().map(tests).sum::<u64>();
        for target in &ours {
            by_kind[1 + usize::from(target.protocol == Protocol::Udp)] += tests(target);
        }
    }
    let mut total = (0, 0);
    for (name, count, (packets, octets)) in [
        ("TCP, a service: connect, leave by FIN", by_kind[0], SERVICE_TEST),
        (
            "TCP, a responder: connect, hello, reply, RST",
            by_kind[1],
            TCP_TEST,
        ),
        ("UDP, a responder: STAMP there and back", by_kind[2], UDP_TEST),
    ] {
        let sum = (count * packets, count * octets);
        say(&format!(
            "tests: {name}: {count} x {packets} packets, {octets} octets"
        ))?;
        total = (total.0 + sum.0, total.1 + sum.1);
    }
    let pairs = plan.size().pairs;
    say(&format!(
        "tests: {} packets, {} octets; {:.1} packets, {:.0} octets a pair",
        total.0,
        total.1,
        ratio(total.0, pairs),
        ratio(total.1, pairs)
    ))
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn ratio(sum: u64, by: u64) -> f64 {
    sum as f64 / by as f64
}

fn slowest_source(plan: &Plan) -> u64 {
    let index = plan.index();
    let tests = |source: &NodeId| -> u64 {
        let targets = index.targets_from(*source);
        targets
            .iter()
            .map(|target| u64::from(target.ports.count()) * target.destinations.len() as u64)
            .sum()
    };
    plan.participants.iter().map(tests).max().unwrap_or(0)
}

fn seconds_of(tests: u64) -> u64 {
    tests.div_ceil(synthetic::parameters().max_rate_node.into())
}

fn say(line: &str) -> Outcome<()> {
    writeln!(io::stdout(), "{line}")?;
    Ok(())
}

const NODES: u32 = 1_000;
/// A host with firewalld's default rules and some more.
const FIREWALLD: &str = include_str!("../../model/src/firewall/fixtures/firewalld.json");
/// As the coordinator sets them.
const HEARTBEAT: Duration = Duration::from_secs(3);
const LEASE: Duration = Duration::from_secs(15);
/// How often a probe tells its progress.
const PROGRESS_MS: u64 = 250;
/// Joining, binding, releasing.
const AROUND: Duration = Duration::from_secs(15);
/// What a probe closes a batch before.
const BATCH_OCTETS: usize = 256 * 1024;
/// A full TLS 1.3 handshake with a client certificate and HTTP/2's preface, about: what the probe sends, what the coordinator
/// sends.
const HANDSHAKE: (u64, u64) = (1_100, 1_900);
/// HTTP/2 headers of a call, about.
const HEADERS: u64 = 250;
/// SYN 60, SYN-ACK 60, ACK 52, hello 108, ACK 52, reply 92, RST 40 (IPv4, time stamps on).
const TCP_TEST: (u64, u64) = (7, 464);
/// SYN 60, SYN-ACK 60, ACK 52, FIN 52, ACK 52, FIN 52, ACK 52; a banner comes on top.
const SERVICE_TEST: (u64, u64) = (7, 380);
/// 20 octets of IPv4, 8 of UDP, 112 of STAMP, twice.
const UDP_TEST: (u64, u64) = (2, 280);
