//! A small report directory with keys that are known to everybody: the same bytes every time.

use std::collections::BTreeMap;

use plumbline_identity::{
    bundle::{self, ReportFiles, seal},
    dsse::Envelope,
    key::SigningKey,
};
use plumbline_model::{
    canonical,
    evidence::{
        ANALYSIS_VERSION, Batch, Member, PAYLOAD_TYPE, Parameters, Payload, RunRecord, SwarmEvent, SwarmKind,
        SwarmRecord,
    },
    id::{NodeId, RunId},
    input::{InputText, Purpose},
    report::{Coverage, Input, Report, SCHEMA, Verdict},
};

/// A report of two nodes with three batches each. Lines: 1 run, 2 and 3 joined, 4 roster, 5 to 10 batches in turn, 11 end.
pub(crate) struct Sample {
    pub(crate) lines: Vec<Vec<u8>>,
    pub(crate) report: Report,
}

pub(crate) fn coordinator() -> SigningKey {
    SigningKey::from_scalar(&[1; 32]).expect("one is a scalar")
}

pub(crate) fn probe(node: u8) -> SigningKey {
    SigningKey::from_scalar(&[10 + node; 32]).expect("a small number is a scalar")
}

pub(crate) fn run() -> RunId {
    RunId::from_bytes([0x5a; 8])
}

pub(crate) fn node(last: u8) -> NodeId {
    NodeId::Address([10, 0, 0, last].into())
}

pub(crate) fn member(last: u8) -> Member {
    Member {
        node: node(last),
        addresses: node(last).address().into_iter().collect(),
        tls_key_sha256: format!("{last:02x}").repeat(32),
        signing_key: probe(last).verifying_key().point_hex(),
        agreement_key: format!("{last:02x}").repeat(32),
        data_ipv6: None,
    }
}

pub(crate) fn line(key: &SigningKey, payload: &Payload) -> Vec<u8> {
    Envelope::sign(key, PAYLOAD_TYPE, &canonical::encode(payload)).to_bytes()
}

pub(crate) fn run_record(analysis: u32) -> Payload {
    Payload::Run(Box::new(RunRecord {
        run: run(),
        analysis,
        coordinator_version: "0.1.0".to_owned(),
        started_unix_ms: 1_700_000_000_000,
        inputs: vec![InputText {
            purpose: Purpose::Cluster,
            name: "cluster.yaml".to_owned(),
            text: "kind: Cluster\n".to_owned(),
        }],
        profiles: vec![],
        parameters: Parameters {
            swarm: SwarmKind::Joined,
            groups: vec![],
            nodes: vec![],
            exclude: vec![],
            version: None,
            exhaustive: false,
            seed: 1,
            attempts: 3,
            attempt_timeout_ms: 1000,
            max_rate_node: 200,
            max_rate_pair: 20,
            partial: false,
            retest: None,
            active: false,
        },
    }))
}

pub(crate) fn swarm(event: SwarmEvent) -> Payload {
    Payload::Swarm(SwarmRecord {
        run: run(),
        at_ms: 5,
        event,
    })
}

pub(crate) fn batches(last: u8, roster_sha256: &str) -> Vec<Vec<u8>> {
    let mut previous = String::new();
    (1..=3)
        .map(|seq| {
            let batch = Payload::Batch(Batch {
                run: run(),
                node: node(last),
                seq,
                previous: previous.clone(),
                roster_sha256: roster_sha256.to_owned(),
                assignment: 0,
                closed_unix_ms: 1_700_000_000_000 + seq,
                records: vec![],
            });
            previous = canonical::sha256(&canonical::encode(&batch));
            line(&probe(last), &batch)
        })
        .collect()
}

impl Sample {
    pub(crate) fn new() -> Self {
        Self::of_analysis(ANALYSIS_VERSION)
    }

    pub(crate) fn of_analysis(analysis: u32) -> Self {
        let members = vec![member(1), member(2)];
        let sha256 = canonical::sha256(&canonical::encode(&members));
        let own = |payload: &Payload| line(&coordinator(), payload);
        let mut lines = vec![own(&run_record(analysis))];
        lines.extend(members.iter().map(|member| {
            own(&swarm(SwarmEvent::Joined {
                member: member.clone(),
            }))
        }));
        lines.push(own(&swarm(SwarmEvent::Roster {
            sha256: sha256.clone(),
            members,
        })));
        for (one, two) in batches(1, &sha256).into_iter().zip(batches(2, &sha256)) {
            lines.extend([one, two]);
        }
        lines.push(own(&swarm(SwarmEvent::Finished { took_ms: 9 })));
        Self {
            lines,
            report: report(),
        }
    }

    pub(crate) fn directory(&self) -> BTreeMap<String, Vec<u8>> {
        let mut evidence = self.lines.join(&b'\n');
        evidence.push(b'\n');
        let report_json = canonical::encode(&self.report);
        let html = b"<!doctype html>".to_vec();
        let files = ReportFiles {
            report_json: &report_json,
            report_html: &html,
            evidence_jsonl: &evidence,
        };
        let sealed = seal(files, &self.report, &coordinator());
        BTreeMap::from(
            [
                (bundle::REPORT_JSON, report_json),
                (bundle::REPORT_HTML, html),
                (bundle::EVIDENCE_JSONL, evidence),
                (bundle::ATTESTATION_JSON, sealed.attestation_json),
                (bundle::ATTESTATION_SIG, sealed.attestation_sig),
                (bundle::SIGNER_PEM, sealed.signer_pem),
                (bundle::ALLOWED_SIGNERS, sealed.allowed_signers),
            ]
            .map(|(name, bytes)| (name.to_owned(), bytes)),
        )
    }

    /// The directory as it was signed, but with these lines put into it afterwards.
    pub(crate) fn altered(&self, alter: impl FnOnce(&mut Vec<Vec<u8>>)) -> BTreeMap<String, Vec<u8>> {
        let mut files = self.directory();
        let mut lines = self.lines.clone();
        alter(&mut lines);
        let mut evidence = lines.join(&b'\n');
        evidence.push(b'\n');
        files.insert(bundle::EVIDENCE_JSONL.to_owned(), evidence);
        files
    }

    /// A directory that the coordinator itself signed over these lines.
    pub(crate) fn resigned(alter: impl FnOnce(&mut Vec<Vec<u8>>)) -> BTreeMap<String, Vec<u8>> {
        let mut sample = Self::new();
        alter(&mut sample.lines);
        sample.directory()
    }
}

pub(crate) fn report() -> Report {
    let sha256 = canonical::sha256(b"kind: Cluster\n");
    Report {
        schema: SCHEMA.to_owned(),
        verdict: Verdict::Incomplete,
        run: run(),
        cluster: "sample".to_owned(),
        version: "1.29".parse().expect("a version"),
        swarm: None,
        redacted: false,
        started: "2023-11-14T22:13:20.000Z".to_owned(),
        finished: None,
        coordinator_version: "0.1.0".to_owned(),
        analysis: ANALYSIS_VERSION,
        inputs: vec![Input {
            name: "cluster.yaml".to_owned(),
            sha256,
        }],
        nodes: vec![],
        vantages: vec![],
        absent: vec![],
        excluded: vec![],
        findings: vec![],
        waivers: vec![],
        reachability: vec![],
        latency: vec![],
        throughput: vec![],
        checks: vec![],
        not_measured: vec![],
        coverage: Coverage {
            planned: 0,
            measured: 0,
            inferred: 0,
            no_service: 0,
            pairs: 0,
            missing_batches: 0,
            duplicate_batches: 0,
            late_probes: 0,
            no_vantage: vec![],
        },
        retest: None,
    }
}
