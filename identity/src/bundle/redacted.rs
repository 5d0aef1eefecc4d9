//! A redacted report's directory: six files, without evidence. Its attestation says of which report it is the redaction.
//!
//! ```text
//! attestation.sig --SSHSIG--> attestation.json --DSSE--> statement --SHA-256--> report.json, report.html
//!                                                            `-- the original's report.json and attestation.json; the key
//! ```

use std::collections::BTreeMap;

use plumbline_model::{
    canonical,
    id::RunId,
    report::{Report, Verdict},
};
use serde::{Deserialize, Serialize};

use super::{
    ALLOWED_SIGNERS, ATTESTATION_JSON, ATTESTATION_SIG, BundleFault, REPORT_HTML, REPORT_JSON, SIGNER_PEM,
    Sealed, capped, signed,
};
use crate::{
    attest::{Resource, STATEMENT_TYPE},
    dsse::Envelope,
    key::{SigningKey, VerifyingKey},
    redaction::SCHEME,
};

/// Every name of a redacted report's directory.
pub const REDACTED_FILES: [&str; 6] = [
    REPORT_JSON,
    REPORT_HTML,
    ATTESTATION_JSON,
    ATTESTATION_SIG,
    SIGNER_PEM,
    ALLOWED_SIGNERS,
];

/// The type of the predicate.
pub const REDACTION_TYPE: &str = "urn:plumbline:redaction:v1";

/// The statement about a redacted report, in the order in which it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedactionStatement {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub statement_type: String,
    /// report.json, report.html.
    pub subject: Vec<Resource>,
    /// [`REDACTION_TYPE`].
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// Of what, and how.
    pub predicate: Redaction,
}

/// Of what a redacted report is the redaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redaction {
    /// [`SCHEME`].
    pub scheme: String,
    /// The run.
    pub run: RunId,
    /// Its verdict.
    pub verdict: Verdict,
    /// SHA-256 of the original's report.json, lower-case hexadecimal.
    pub original_report_sha256: String,
    /// SHA-256 of the original's attestation.json.
    pub original_attestation_sha256: String,
    /// Fingerprint of the key that signed the original.
    pub original_signer: String,
    /// SHA-256 of the redaction key's file.
    pub key_sha256: String,
}

/// The two files that are sealed.
#[derive(Debug, Clone, Copy)]
pub struct RedactedFiles<'a> {
    /// Canonical JSON of the redacted report.
    pub report_json: &'a [u8],
    /// HTML of it.
    pub report_html: &'a [u8],
}

/// A redacted report of which every signature and digest holds.
#[derive(Debug, Clone)]
pub struct CheckedRedaction {
    /// What it says of itself.
    pub redaction: Redaction,
    /// The redacted report.
    pub report: Report,
    /// Fingerprint of the key that signed.
    pub signer: String,
    /// Whether that key was the pinned one.
    pub pinned: bool,
}

/// Signs a redacted report.
pub fn seal_redacted(files: RedactedFiles<'_>, redaction: Redaction, key: &SigningKey) -> Sealed {
    Sealed::of(&statement(files, redaction), key)
}

/// Whether a directory says of itself that it is a redacted report's. Nothing is verified.
pub fn says_redacted(files: &BTreeMap<String, Vec<u8>>) -> bool {
    let payload = files
        .get(ATTESTATION_JSON)
        .and_then(|bytes| Envelope::parse(bytes).ok()?.unverified_payload().ok());
    payload.is_some_and(|payload| canonical::decode::<RedactionStatement>(&payload).is_ok())
}

/// Checks a redacted report's directory: `files` as for [`super::check`]. Whether report.html is the rendering of report.json,
/// and whether both follow from the original, is for the caller to find out.
///
/// # Errors
/// Everything that is wrong, in the order of the chain of trust.
pub fn check_redacted(
    files: &BTreeMap<String, Vec<u8>>,
    trust: Option<&VerifyingKey>,
) -> Result<CheckedRedaction, Vec<BundleFault>> {
    let mut opened = signed::open::<RedactionStatement>(files, &REDACTED_FILES, trust)?;
    let mut faults = std::mem::take(&mut opened.faults);
    let sealed = RedactedFiles {
        report_json: opened.file(REPORT_JSON),
        report_html: opened.file(REPORT_HTML),
    };
    if let Some(attested) = &opened.attested {
        compare(attested, sealed, &mut faults);
    }
    let report = match canonical::decode::<Report>(sealed.report_json) {
        Ok(report) => Some(report),
        Err(fault) => {
            faults.push(BundleFault::Report(fault));
            None
        }
    };
    match (opened.attested, report) {
        (Some(attested), Some(report)) if faults.is_empty() => {
            let redaction = attested.predicate;
            if (&redaction.run, redaction.verdict) != (&report.run, report.verdict) {
                return Err(vec![BundleFault::OtherStatement]);
            }
            Ok(CheckedRedaction {
                redaction,
                report,
                signer: opened.signer.fingerprint(),
                pinned: trust.is_some(),
            })
        }
        _ => Err(capped(faults)),
    }
}

/// Compares the files with their attested digests, and the statement with its only form.
fn compare(attested: &RedactionStatement, files: RedactedFiles<'_>, faults: &mut Vec<BundleFault>) {
    let restated = statement(files, attested.predicate.clone());
    for (found, attested) in restated.subject.iter().zip(&attested.subject) {
        if found.name == attested.name && found.digest != attested.digest {
            let file = if found.name == REPORT_JSON {
                REPORT_JSON
            } else {
                REPORT_HTML
            };
            faults.push(BundleFault::Changed {
                file,
                found: found.digest.sha256.clone(),
                attested: attested.digest.sha256.clone(),
            });
        }
    }
    if faults.is_empty() && (*attested != restated || attested.predicate.scheme != SCHEME) {
        faults.push(BundleFault::OtherStatement);
    }
}

fn statement(files: RedactedFiles<'_>, predicate: Redaction) -> RedactionStatement {
    RedactionStatement {
        statement_type: STATEMENT_TYPE.to_owned(),
        subject: vec![
            Resource::of(REPORT_JSON, files.report_json),
            Resource::of(REPORT_HTML, files.report_html),
        ],
        predicate_type: REDACTION_TYPE.to_owned(),
        predicate,
    }
}
