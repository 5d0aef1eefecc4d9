//! Samples of formats that change with the product: made of recorded evidence by the code that reads them, so that they never
//! go stale. Samples of formats that stay lie below `corpus/`.

use std::collections::BTreeMap;

use plumbline_identity::{
    bundle::{self, ReportFiles, Sealed},
    dsse::Envelope,
};
use plumbline_model::{
    canonical,
    evidence::{Entry, PAYLOAD_TYPE, Payload, SwarmEvent},
    report::{self, Report},
};

use crate::{identity, inputs};

/// What was recorded: a run in which nothing was found, and one with three faults. Both have fewer ports than a real one.
const RECORDED: [&str; 2] = [
    include_str!("../corpus/evidence/clean"),
    include_str!("../corpus/evidence/three-faults"),
];

/// The samples that are made for a body; none for most.
///
/// # Panics
/// If recorded evidence does not read any more: README.md says how to record it again.
pub fn made(body: &str) -> Vec<Vec<u8>> {
    match body {
        "evidence_payload" => recorded()
            .flatten()
            .map(|entry| canonical::encode(&entry.payload))
            .collect(),
        "report_json" => recorded()
            .map(|entries| canonical::encode(&judged(&entries)))
            .collect(),
        "report_directory" => recorded().map(|entries| directory(entries).0).collect(),
        "statement" => recorded().map(|entries| directory(entries).1).collect(),
        _ => Vec::new(),
    }
}

fn recorded() -> impl Iterator<Item = Vec<Entry>> {
    RECORDED.into_iter().map(|text| {
        let payloads = text.lines().map(|line| {
            serde_json::from_str::<Payload>(line).unwrap_or_else(|error| {
                panic!("the recorded evidence does not read: {error}; fuzz/README.md, \"Samples\": {line}")
            })
        });
        inputs::in_order(payloads)
    })
}

fn judged(entries: &[Entry]) -> Report {
    report::report(entries).unwrap_or_else(|error| panic!("the recorded evidence gives no report: {error}"))
}

/// A report directory in the form of the body, and the statement in it. Everybody's key is the known one.
fn directory(entries: Vec<Entry>) -> (Vec<u8>, Vec<u8>) {
    let key = identity::known_key();
    let entries = with_known_keys(entries);
    let report = judged(&entries);
    let sign = |entry: &Entry| {
        let mut line = Envelope::sign(key, PAYLOAD_TYPE, &canonical::encode(&entry.payload)).to_bytes();
        line.push(b'\n');
        line
    };
    let evidence: Vec<u8> = entries.iter().flat_map(sign).collect();
    let report_json = canonical::encode(&report);
    let html = b"<!doctype html>\n";
    let files = ReportFiles {
        report_json: &report_json,
        report_html: html,
        evidence_jsonl: &evidence,
    };
    let Sealed {
        attestation_json,
        attestation_sig,
        signer_pem,
        allowed_signers,
    } = bundle::seal(files, &report, key);
    let packed = identity::pack([
        (bundle::REPORT_JSON, report_json.as_slice()),
        (bundle::REPORT_HTML, html),
        (bundle::EVIDENCE_JSONL, &evidence),
        (bundle::ATTESTATION_JSON, &attestation_json),
        (bundle::ATTESTATION_SIG, &attestation_sig),
        (bundle::SIGNER_PEM, &signer_pem),
        (bundle::ALLOWED_SIGNERS, &allowed_signers),
    ]);
    let statement = Envelope::parse(&attestation_json)
        .and_then(|envelope| envelope.unverified_payload())
        .unwrap_or_else(|error| panic!("what was just sealed reads: {error}"));
    (packed, statement)
}

/// The same evidence of members with the known key.
fn with_known_keys(entries: Vec<Entry>) -> Vec<Entry> {
    let known = identity::known_key().verifying_key().point_hex();
    let mut rosters = BTreeMap::new();
    let payloads = entries.into_iter().map(move |entry| {
        let mut payload = entry.payload;
        match &mut payload {
            Payload::Swarm(record) => match &mut record.event {
                SwarmEvent::Joined { member } => member.signing_key.clone_from(&known),
                SwarmEvent::Roster { sha256, members } => {
                    members
                        .iter_mut()
                        .for_each(|member| member.signing_key.clone_from(&known));
                    let digest = canonical::sha256(&canonical::encode(members));
                    rosters.insert(std::mem::replace(sha256, digest.clone()), digest);
                }
                _ => {}
            },
            Payload::Batch(batch) => {
                if let Some(digest) = rosters.get(&batch.roster_sha256) {
                    batch.roster_sha256.clone_from(digest);
                }
            }
            Payload::Run(_) => {}
        }
        payload
    });
    inputs::in_order(payloads)
}
