//! What the coordinator attests: an in-toto Statement v1 with a test-result predicate, whose subjects are the files of the
//! report and the inputs.
//!
//! The predicate knows three results and we know four. `incomplete` is attested as `WARNED`: nothing was seen to fail, so
//! `FAILED` would be untrue, and something was not measured, so `PASSED` would be, too. The exact word stands beside the
//! digest of report.json, in the annotations that the specification leaves to the producer.

use std::collections::BTreeMap;

use plumbline_model::{
    canonical,
    id::{NodeId, RunId},
    report::{Input, Report, Status, Verdict},
};
use serde::{Deserialize, Serialize};

/// The `payloadType` of the attestation's envelope.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// The type of the statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// The type of its predicate.
pub const PREDICATE_TYPE: &str = "https://in-toto.io/attestation/test-result/v0.1";

/// The statement, in the order in which it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub statement_type: String,
    /// report.json, report.html, evidence.jsonl, then each input as `input:NAME`.
    pub subject: Vec<Resource>,
    /// [`PREDICATE_TYPE`].
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// The result.
    pub predicate: TestResult,
}

/// A file by digest (in-toto's ResourceDescriptor).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Its name.
    pub name: String,
    /// Its digest.
    pub digest: Sha256Digest,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
}

/// A digest set with one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sha256Digest {
    /// Lower-case hexadecimal.
    pub sha256: String,
}

/// What is known of a file beside its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Annotations {
    /// Of report.json.
    Report(ReportAnnotations),
    /// Of evidence.jsonl.
    Evidence(EvidenceAnnotations),
}

/// What is known of report.json.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportAnnotations {
    /// The exact verdict.
    pub verdict: Verdict,
    /// The run.
    pub run: RunId,
}

/// What is known of evidence.jsonl.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceAnnotations {
    /// How many lines it has.
    pub lines: u32,
    /// Head of the RFC 6962 tree over its lines (without their line feeds), lower-case hexadecimal.
    pub tree_head: String,
    /// For each node the line numbers of its batches, in the order of their sequence numbers: with it a line that was removed
    /// or moved can be named.
    pub batches: BTreeMap<NodeId, Vec<u32>>,
}

/// The test-result predicate, v0.1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestResult {
    /// The result.
    pub result: TestResultWord,
    /// What the tests were derived from: inputs and profiles.
    pub configuration: Vec<Resource>,
    /// Checks without a complaint, ascending.
    #[serde(rename = "passedTests")]
    pub passed_tests: Vec<String>,
    /// Checks with a warning, or with something that was not measured, ascending.
    #[serde(rename = "warnedTests")]
    pub warned_tests: Vec<String>,
    /// Checks that failed, ascending.
    #[serde(rename = "failedTests")]
    pub failed_tests: Vec<String>,
}

/// The words that the predicate knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TestResultWord {
    /// Passed.
    Passed,
    /// Warned, or incomplete.
    Warned,
    /// Failed.
    Failed,
}

impl From<Verdict> for TestResultWord {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Passed => Self::Passed,
            Verdict::Warned | Verdict::Incomplete => Self::Warned,
            Verdict::Failed => Self::Failed,
        }
    }
}

impl Statement {
    /// The statement about a report: its files' names and bytes in order, the first of them report.json.
    pub fn new(files: [(&str, &[u8]); 3], report: &Report, evidence: EvidenceAnnotations) -> Self {
        let [report_json, report_html, evidence_jsonl] = files.map(|(name, bytes)| Resource::of(name, bytes));
        let annotations = ReportAnnotations {
            verdict: report.verdict,
            run: report.run.clone(),
        };
        let mut subject = vec![
            Resource {
                annotations: Some(Annotations::Report(annotations)),
                ..report_json
            },
            report_html,
            Resource {
                annotations: Some(Annotations::Evidence(evidence)),
                ..evidence_jsonl
            },
        ];
        // Prefixed: a user's file may be called report.json, and subjects are told apart by name.
        subject.extend(
            report
                .inputs
                .iter()
                .map(|input| named(format!("input:{}", input.name), input)),
        );
        Self {
            statement_type: STATEMENT_TYPE.to_owned(),
            subject,
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate: TestResult::of(report),
        }
    }

    /// What is known of evidence.jsonl.
    pub fn evidence(&self) -> Option<&EvidenceAnnotations> {
        self.subject
            .iter()
            .find_map(|subject| match &subject.annotations {
                Some(Annotations::Evidence(evidence)) => Some(evidence),
                _ => None,
            })
    }
}

impl Resource {
    /// A file and its bytes.
    pub(crate) fn of(name: &str, bytes: &[u8]) -> Self {
        let digest = Sha256Digest {
            sha256: canonical::sha256(bytes),
        };
        Self {
            name: name.to_owned(),
            digest,
            annotations: None,
        }
    }
}

impl TestResult {
    fn of(report: &Report) -> Self {
        let mut worst: BTreeMap<&str, Status> = BTreeMap::new();
        for check in &report.checks {
            let status = worst.entry(&check.id).or_insert(Status::Pass);
            // In a run that did not fail somebody answers for what is not as expected: nothing failed the run.
            *status = (*status).max(match check.status {
                Status::Fail if report.verdict != Verdict::Failed => Status::Warn,
                status => status,
            });
        }
        let with = |wanted: &[Status]| {
            worst
                .iter()
                .filter(|(_, status)| wanted.contains(status))
                .map(|(id, _)| (*id).to_owned())
                .collect()
        };
        Self {
            result: report.verdict.into(),
            configuration: report
                .inputs
                .iter()
                .map(|input| named(input.name.clone(), input))
                .collect(),
            passed_tests: with(&[Status::Pass]),
            warned_tests: with(&[Status::Warn, Status::NotMeasured]),
            failed_tests: with(&[Status::Fail]),
        }
    }
}

fn named(name: String, input: &Input) -> Resource {
    Resource {
        name,
        digest: Sha256Digest {
            sha256: input.sha256.clone(),
        },
        annotations: None,
    }
}
