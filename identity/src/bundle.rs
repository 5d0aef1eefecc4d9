//! The report directory's cryptography: seal seven files, check seven files. Pure: the caller reads and writes them.

use std::collections::BTreeMap;

use plumbline_model::{
    evidence::Entry,
    id::{NodeId, RunId},
    report::Report,
};

use crate::key::{SigningKey, VerifyingKey};

/// The report, canonical JSON.
pub const REPORT_JSON: &str = "report.json";
/// The same for people.
pub const REPORT_HTML: &str = "report.html";
/// The signed lines that the report is made of.
pub const EVIDENCE_JSONL: &str = "evidence.jsonl";
/// The DSSE envelope over the in-toto statement.
pub const ATTESTATION_JSON: &str = "attestation.json";
/// The SSH signature over attestation.json.
pub const ATTESTATION_SIG: &str = "attestation.sig";
/// The coordinator's public key.
pub const SIGNER_PEM: &str = "signer.pem";
/// The same key as ssh-keygen wants it.
pub const ALLOWED_SIGNERS: &str = "allowed_signers";

/// The three files that are sealed.
#[derive(Debug, Clone, Copy)]
pub struct ReportFiles<'a> {
    /// Canonical JSON of `report`.
    pub report_json: &'a [u8],
    /// HTML.
    pub report_html: &'a [u8],
    /// Evidence: one envelope a line, each line ending with a line feed.
    pub evidence_jsonl: &'a [u8],
}

/// The four files that sealing adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// `attestation.json`.
    pub attestation_json: Vec<u8>,
    /// `attestation.sig`.
    pub attestation_sig: Vec<u8>,
    /// `signer.pem`.
    pub signer_pem: Vec<u8>,
    /// `allowed_signers`.
    pub allowed_signers: Vec<u8>,
}

/// A directory of which every signature and digest holds.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The evidence; empty if it is of another analysis version.
    pub evidence: Vec<Entry>,
    /// The run.
    pub run: RunId,
    /// The analysis version of the evidence; recompute the report only if it is this build's.
    pub analysis: u32,
    /// Fingerprint of the key that signed.
    pub signer: String,
    /// Whether that key was the pinned one; without a pin it is `false`: "signer not pinned".
    pub pinned: bool,
    /// Lines of evidence.
    pub lines: usize,
    /// Batches by node.
    pub batches: BTreeMap<NodeId, u64>,
}

/// One thing that is wrong with a directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleFault {
    /// A file is not there.
    #[error("{file}: the file is missing")]
    Missing {
        /// Which.
        file: &'static str,
    },
}

/// Signs the report. `report` is what `files.report_json` encodes.
pub fn seal(files: ReportFiles<'_>, report: &Report, key: &SigningKey) -> Sealed {
    let _ = (files, report, key);
    unimplemented!("the signing step")
}

/// Checks a report directory: `files` holds every name in it with its bytes. `trust` pins the signer.
///
/// # Errors
/// Everything that is wrong, in the order of the files.
pub fn check(
    files: &BTreeMap<String, Vec<u8>>,
    trust: Option<&VerifyingKey>,
) -> Result<Checked, Vec<BundleFault>> {
    let _ = (files, trust);
    unimplemented!("the checking step")
}
