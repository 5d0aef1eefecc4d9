//! The report directory's cryptography: seal seven files, check seven files. Pure: the caller reads and writes them.
//!
//! The coordinator's own key signs the attestation, the run record and the swarm's events; every batch is signed by the probe
//! that made it, with the key that it joined with. `docs/report-format.md` tells how to check it all without this program.
//!
//! ```text
//! attestation.sig --SSHSIG--> attestation.json --DSSE--> statement --SHA-256--> report.json, report.html, evidence.jsonl
//!        signer.pem = allowed_signers: the key of both                              evidence.jsonl --DSSE--> each line
//! ```

mod evidence;
mod fault;
mod redacted;
mod signed;

use std::collections::{BTreeMap, BTreeSet};

use evidence::Evidence;
pub use fault::{BundleFault, LineFault};
use plumbline_model::{
    canonical,
    evidence::{ANALYSIS_VERSION, Entry},
    id::{NodeId, RunId},
    report::Report,
};
pub use redacted::{
    CheckedRedaction, REDACTED_FILES, REDACTION_TYPE, RedactedFiles, Redaction, RedactionStatement,
    check_redacted, says_redacted, seal_redacted,
};
pub use signed::Sealed;

use crate::{
    attest::{EvidenceAnnotations, Statement},
    key::{SigningKey, VerifyingKey},
};

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

/// Every name of a report directory.
pub const FILES: [&str; 7] = [
    REPORT_JSON,
    REPORT_HTML,
    EVIDENCE_JSONL,
    ATTESTATION_JSON,
    ATTESTATION_SIG,
    SIGNER_PEM,
    ALLOWED_SIGNERS,
];

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
    pub lines: u32,
    /// How many batches each node testified.
    pub batches: BTreeMap<NodeId, usize>,
}

/// Signs a report. `report` is what `files.report_json` encodes.
pub fn seal(files: ReportFiles<'_>, report: &Report, key: &SigningKey) -> Sealed {
    Sealed::of(
        &statement(files, report, evidence::annotate(files.evidence_jsonl)),
        key,
    )
}

/// Checks a report directory: `files` holds every name in it with its bytes (a directory or anything else that is no file by
/// its name alone), `trust` pins the signer. Whether report.json follows from the evidence is for the caller to recompute.
///
/// # Errors
/// Everything that is wrong, in the order of the chain of trust, at most [`MAX_FAULTS`].
pub fn check(
    files: &BTreeMap<String, Vec<u8>>,
    trust: Option<&VerifyingKey>,
) -> Result<Checked, Vec<BundleFault>> {
    let mut opened = signed::open::<Statement>(files, &FILES, trust)?;
    let mut faults = std::mem::take(&mut opened.faults);
    let sealed = ReportFiles {
        report_json: opened.file(REPORT_JSON),
        report_html: opened.file(REPORT_HTML),
        evidence_jsonl: opened.file(EVIDENCE_JSONL),
    };
    if !sealed.evidence_jsonl.ends_with(b"\n") {
        faults.push(BundleFault::Unterminated);
    }
    let mut evidence = evidence::read(sealed.evidence_jsonl, &opened.signer);
    if let Some(attested) = &opened.attested {
        compare_files(attested, sealed, &mut faults);
        match attested.evidence() {
            Some(attested) => compare_lines(attested, &mut evidence),
            None => faults.push(BundleFault::OtherStatement),
        }
    }
    faults.append(&mut evidence.faults);
    // Only a report of this analysis version can be read; another's is covered by its digest.
    if let Some((run, ANALYSIS_VERSION)) = &evidence.first {
        let restate = |report: &Report| statement(sealed, report, evidence.annotations.clone());
        check_report(
            sealed.report_json,
            run,
            opened.attested.as_ref(),
            restate,
            &mut faults,
        );
    }
    match evidence.first {
        Some((run, analysis)) if faults.is_empty() => Ok(Checked {
            evidence: evidence.entries,
            run,
            analysis,
            signer: opened.signer.fingerprint(),
            pinned: trust.is_some(),
            lines: evidence.annotations.lines,
            batches: evidence
                .annotations
                .batches
                .iter()
                .map(|(node, lines)| (*node, lines.len()))
                .collect(),
        }),
        _ => Err(capped(faults)),
    }
}

/// Whether the report reads, is of the evidence's run, and is what was attested: `restate` says what a report's attestation
/// has to be.
fn check_report(
    report_json: &[u8],
    run: &RunId,
    attested: Option<&Statement>,
    restate: impl Fn(&Report) -> Statement,
    faults: &mut Vec<BundleFault>,
) {
    match canonical::decode::<Report>(report_json) {
        Err(fault) => faults.push(BundleFault::Report(fault)),
        Ok(report) if report.run != *run => faults.push(BundleFault::OtherRun {
            report: report.run,
            evidence: run.clone(),
        }),
        // An earlier fault explains a difference.
        Ok(report) if faults.is_empty() && attested != Some(&restate(&report)) => {
            faults.push(BundleFault::OtherStatement);
        }
        Ok(_) => {}
    }
}

fn statement(files: ReportFiles<'_>, report: &Report, evidence: EvidenceAnnotations) -> Statement {
    Statement::new(named(files), report, evidence)
}

/// Compares the files with their attested digests.
fn compare_files(attested: &Statement, files: ReportFiles<'_>, faults: &mut Vec<BundleFault>) {
    for (index, (file, bytes)) in named(files).into_iter().enumerate() {
        let found = canonical::sha256(bytes);
        match attested.subject.get(index).filter(|subject| subject.name == file) {
            None => faults.push(BundleFault::OtherStatement),
            Some(subject) if subject.digest.sha256 != found => {
                faults.push(BundleFault::Changed {
                    file,
                    found,
                    attested: subject.digest.sha256.clone(),
                });
            }
            Some(_) => {}
        }
    }
}

/// Compares the places of batches with those attested. The digest tells already whether anything was changed; this names it.
fn compare_lines(attested: &EvidenceAnnotations, evidence: &mut Evidence) {
    let found = evidence.annotations.lines;
    let same_count = found == attested.lines;
    if !same_count {
        evidence.faults.push(BundleFault::LineCount {
            found,
            attested: attested.lines,
        });
    }
    let broken: BTreeSet<u32> = evidence
        .faults
        .iter()
        .filter_map(|fault| {
            if let BundleFault::Line { line, .. } = fault {
                Some(*line)
            } else {
                None
            }
        })
        .collect();
    // A line that does not even tell whose it is leaves a gap, and has been named already.
    let unreadable = |node: &NodeId, seq: u64| {
        let line = usize::try_from(seq - 1)
            .ok()
            .and_then(|index| attested.batches.get(node)?.get(index));
        same_count && line.is_some_and(|line| broken.contains(line))
    };
    evidence.faults.retain(|fault| match fault {
        BundleFault::BatchMissing { node, seq } => !unreadable(node, *seq),
        _ => true,
    });
    for (node, lines) in &attested.batches {
        let places = evidence.batches.get(node);
        let last = places
            .and_then(|places| places.keys().next_back())
            .copied()
            .unwrap_or(0);
        for (seq, line) in (1_u64..).zip(lines) {
            match places.and_then(|places| places.get(&seq)) {
                // Gaps before the last one have been found by the sequence.
                None if seq > last && !unreadable(node, seq) => {
                    evidence
                        .faults
                        .push(BundleFault::BatchMissing { node: *node, seq });
                }
                // With a line more or less everything behind it has moved.
                Some(place) if same_count && place != line => {
                    evidence.faults.push(BundleFault::BatchMoved {
                        line: *place,
                        node: *node,
                        seq,
                        attested: *line,
                    });
                }
                _ => {}
            }
        }
    }
}

fn named(files: ReportFiles<'_>) -> [(&'static str, &[u8]); 3] {
    [
        (REPORT_JSON, files.report_json),
        (REPORT_HTML, files.report_html),
        (EVIDENCE_JSONL, files.evidence_jsonl),
    ]
}

fn capped(mut faults: Vec<BundleFault>) -> Vec<BundleFault> {
    if faults.len() > MAX_FAULTS {
        let count = faults.len() - MAX_FAULTS;
        faults.truncate(MAX_FAULTS);
        faults.push(BundleFault::More { count });
    }
    faults
}

/// Faults that are listed one by one: one byte in the wrong place can break every line after it.
pub const MAX_FAULTS: usize = 100;
