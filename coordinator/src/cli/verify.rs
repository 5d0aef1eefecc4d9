//! `plumbline verify DIR`: signatures and digests, then the report computed again from the evidence.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use clap::Args;
use plumbline_identity::{
    bundle::{self, Checked, CheckedRedaction, Redaction},
    key::VerifyingKey,
    redaction::RedactionKey,
};
use plumbline_model::{evidence::ANALYSIS_VERSION, report};

use super::{Failure, print, redact};
use crate::{
    exit::Exit,
    render::{self, count, counted},
    store,
};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArgs {
    /// The report directory.
    dir: PathBuf,
    /// The public key of the coordinator that must have signed (its signer.pem from a place that you trust).
    #[arg(long, value_name = "PEM")]
    trust: Option<PathBuf>,
    /// Of a redacted report: the report directory that it was made from; it is redacted again and compared.
    #[arg(long, value_name = "DIR", requires = "redaction_key")]
    original: Option<PathBuf>,
    /// The key that `plumbline redact` wrote.
    #[arg(long, value_name = "FILE", requires = "original")]
    redaction_key: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Exit codes: 0 verified, 2 unreadable, 3 signatures verified but made by another version, 4 something is wrong inside.

Examples:
  plumbline verify DIR                                   altered since it was signed?
  plumbline verify DIR --trust signer.pem                and signed by whom you expect?
  plumbline verify for-the-vendor --original DIR \\
      --redaction-key for-the-vendor.redaction-key       redacted from this very report?";

/// A report directory whose files, signatures and digests are as they were sealed.
#[derive(Debug)]
pub(super) struct Examined {
    /// Its files by name.
    pub(super) files: BTreeMap<String, Vec<u8>>,
    /// What the signatures cover.
    pub(super) checked: Checked,
    /// What computing the report again came to.
    pub(super) recomputed: Recomputed,
}

/// What computing the report again came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Recomputed {
    /// The same bytes.
    Same,
    /// Something else.
    Differs(String),
    /// The evidence is for another analysis version.
    Skipped { analysis: u32 },
}

/// Examines a report directory; what is wrong with it, in sentences, if it is not what was sealed.
pub(super) fn examine(
    dir: &Path,
    trust: Option<&VerifyingKey>,
) -> Result<Result<Examined, Vec<String>>, Failure> {
    let files = store::read_dir(dir, &bundle::FILES).map_err(|error| Failure::usage(&error))?;
    Ok(examined(files, trust))
}

fn examined(files: BTreeMap<String, Vec<u8>>, trust: Option<&VerifyingKey>) -> Result<Examined, Vec<String>> {
    match bundle::check(&files, trust) {
        Ok(checked) => {
            let recomputed = recompute(&files, &checked);
            Ok(Examined {
                files,
                checked,
                recomputed,
            })
        }
        Err(faults) => Err(faults.iter().map(|fault| super::chain(fault)).collect()),
    }
}

pub(crate) fn verify(args: &VerifyArgs) -> Result<Exit, Failure> {
    let trust = args.trust.as_deref().map(read_key).transpose()?;
    let dir = args.dir.display();
    let files = store::read_dir(&args.dir, &bundle::FILES).map_err(|error| Failure::usage(&error))?;
    if bundle::says_redacted(&files) {
        return redacted(args, &files, trust.as_ref());
    }
    if args.original.is_some() {
        return Err(Failure::usage_message(format!(
            "compare {dir} with its original: it is no redacted report; leave out --original and --redaction-key"
        )));
    }
    let Examined {
        checked, recomputed, ..
    } = match examined(files, trust.as_ref()) {
        Ok(examined) => examined,
        Err(faults) => return refused(&args.dir, &faults),
    };
    let (headline, exit, sentence) = match recomputed {
        Recomputed::Same => (
            "VERIFIED",
            Exit::Passed,
            "report.json and report.html computed again from the evidence: the same, byte for byte"
                .to_owned(),
        ),
        Recomputed::Differs(what) => ("NOT VERIFIED", Exit::Unverified, what),
        Recomputed::Skipped { analysis } => (
            "SIGNATURES VERIFIED",
            Exit::Incomplete,
            format!(
                "the evidence is for analysis version {analysis}, this program has {ANALYSIS_VERSION}: \
                 the report was not computed again; use the program that made it"
            ),
        ),
    };
    print(&format!("{headline}  {dir}\n{}  {sentence}\n", summary(&checked)))?;
    Ok(exit)
}

/// What is wrong, in sentences.
fn refused(dir: &Path, faults: &[String]) -> Result<Exit, Failure> {
    let mut text = format!("NOT VERIFIED  {}\n", dir.display());
    for fault in faults {
        let _ = writeln!(text, "  {fault}");
    }
    print(&text)?;
    Ok(Exit::Unverified)
}

/// Verifies a redacted report, against its original if it is given.
fn redacted(
    args: &VerifyArgs,
    files: &BTreeMap<String, Vec<u8>>,
    trust: Option<&VerifyingKey>,
) -> Result<Exit, Failure> {
    let checked = match bundle::check_redacted(files, trust) {
        Ok(checked) => checked,
        Err(faults) => {
            let faults: Vec<String> = faults.iter().map(|fault| super::chain(fault)).collect();
            return refused(&args.dir, &faults);
        }
    };
    let html = render::html(&checked.report);
    if files
        .get(bundle::REPORT_HTML)
        .is_none_or(|found| found != html.as_bytes())
    {
        let what = "report.html: it is not the rendering of report.json by this program; use the program that made it";
        return refused(&args.dir, &[what.to_owned()]);
    }
    let compared = match (&args.original, &args.redaction_key) {
        (Some(original), Some(key)) => {
            let faults = unlike_original(files, &checked.redaction, original, key)?;
            if !faults.is_empty() {
                return refused(&args.dir, &faults);
            }
            true
        }
        _ => false,
    };
    print(&told_of(args, &checked, compared))?;
    Ok(Exit::Passed)
}

fn told_of(args: &VerifyArgs, checked: &CheckedRedaction, compared: bool) -> String {
    let redaction = &checked.redaction;
    let mut text = format!(
        "VERIFIED, redacted  {}\n  run {}: without its evidence, names and addresses replaced\n{}",
        args.dir.display(),
        redaction.run,
        signed_by(&checked.signer, checked.pinned)
    );
    let proof = if compared {
        "it follows from the original, which verifies, and from the key: redacted again, it is the same byte for byte"
    } else {
        "it is as the signer made it. That it follows from a report with evidence is the signer's word: only the holder of the \
         original and of the key can prove it (--original DIR --redaction-key FILE)"
    };
    let _ = writeln!(text, "  {proof}");
    let _ = writeln!(
        text,
        "  its original: report.json {}, attestation.json {}, signed by {}",
        redaction.original_report_sha256, redaction.original_attestation_sha256, redaction.original_signer
    );
    text
}

/// Redacts the original again; what differs, in sentences.
fn unlike_original(
    files: &BTreeMap<String, Vec<u8>>,
    redaction: &Redaction,
    original: &Path,
    key: &Path,
) -> Result<Vec<String>, Failure> {
    let text = super::read_text(key)?;
    let key = RedactionKey::from_text(&text.text)
        .map_err(|error| Failure::usage_message(format!("read {}: {error}", text.name)))?;
    let examined = match examine(original, None)? {
        Ok(examined) if examined.recomputed == Recomputed::Same => examined,
        Ok(_) => return Ok(vec!["the original: it is not what its evidence gives".to_owned()]),
        Err(faults) => {
            return Ok(faults
                .iter()
                .map(|fault| format!("the original: {fault}"))
                .collect());
        }
    };
    let made = redact::make(&examined, &key)?;
    let mut faults = Vec::new();
    if made.redaction.key_sha256 != redaction.key_sha256 {
        faults.push(format!("{}: it is not the key of this redaction", text.name));
    }
    if (
        &made.redaction.original_report_sha256,
        &made.redaction.original_attestation_sha256,
    ) != (
        &redaction.original_report_sha256,
        &redaction.original_attestation_sha256,
    ) {
        faults.push(format!(
            "{}: it is not the original of this redaction",
            original.display()
        ));
    }
    if faults.is_empty() {
        let same = |name: &str, bytes: &[u8]| files.get(name).is_some_and(|found| found == bytes);
        if !same(bundle::REPORT_JSON, &made.report_json) || !same(bundle::REPORT_HTML, &made.report_html) {
            faults.push("report.json: it is not what the original and the key give".to_owned());
        }
    }
    Ok(faults)
}

fn signed_by(signer: &str, pinned: bool) -> String {
    let pin = if pinned {
        "the pinned key"
    } else {
        "signer not pinned; --trust PEM pins it"
    };
    format!("  signed by {signer} ({pin})\n")
}

fn summary(checked: &Checked) -> String {
    let batches: usize = checked.batches.values().sum();
    format!(
        "  run {}: {} of evidence, {} signed by {}\n{}",
        checked.run,
        count(u64::from(checked.lines), "line"),
        if batches == 1 {
            "1 batch".to_owned()
        } else {
            format!("{batches} batches")
        },
        counted(checked.batches.len(), "probe"),
        signed_by(&checked.signer, checked.pinned)
    )
}

fn recompute(files: &BTreeMap<String, Vec<u8>>, checked: &Checked) -> Recomputed {
    if checked.analysis != ANALYSIS_VERSION {
        return Recomputed::Skipped {
            analysis: checked.analysis,
        };
    }
    let report = match report::report(&checked.evidence) {
        Ok(report) => report,
        Err(error) => return Recomputed::Differs(format!("evidence.jsonl: {}", super::chain(&error))),
    };
    let differs = |file: &str, computed: &[u8]| files.get(file).is_none_or(|found| found != computed);
    if differs(bundle::REPORT_JSON, &render::json(&report)) {
        return Recomputed::Differs("report.json: it is not what the evidence gives".to_owned());
    }
    if differs(bundle::REPORT_HTML, render::html(&report).as_bytes()) {
        return Recomputed::Differs("report.html: it is not the rendering of report.json".to_owned());
    }
    Recomputed::Same
}

fn read_key(path: &Path) -> Result<VerifyingKey, Failure> {
    let text = super::read_text(path)?;
    VerifyingKey::from_pem(&text.text)
        .map_err(|error| Failure::usage_message(format!("read {}: {}", text.name, super::chain(&error))))
}
