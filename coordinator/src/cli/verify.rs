//! `plumbline verify DIR`: signatures and digests, then the report computed again from the evidence.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use clap::Args;
use plumbline_identity::{
    bundle::{self, Checked},
    key::VerifyingKey,
};
use plumbline_model::{evidence::ANALYSIS_VERSION, report};

use super::{Failure, print};
use crate::{
    exit::Exit,
    render::{self, count, counted},
    store,
};

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The report directory.
    dir: PathBuf,
    /// The public key of the coordinator that must have signed (its signer.pem from a place that you trust).
    #[arg(long, value_name = "PEM")]
    trust: Option<PathBuf>,
}

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
    let files = store::read_dir(dir).map_err(|error| Failure::usage(&error))?;
    Ok(match bundle::check(&files, trust) {
        Ok(checked) => {
            let recomputed = recompute(&files, &checked);
            Ok(Examined {
                files,
                checked,
                recomputed,
            })
        }
        Err(faults) => Err(faults.iter().map(|fault| super::chain(fault)).collect()),
    })
}

pub(crate) fn verify(args: &VerifyArgs) -> Result<Exit, Failure> {
    let trust = args.trust.as_deref().map(read_key).transpose()?;
    let dir = args.dir.display();
    let Examined {
        checked, recomputed, ..
    } = match examine(&args.dir, trust.as_ref())? {
        Ok(examined) => examined,
        Err(faults) => {
            let mut text = format!("NOT VERIFIED  {dir}\n");
            for fault in faults {
                let _ = writeln!(text, "  {fault}");
            }
            print(&text)?;
            return Ok(Exit::Unverified);
        }
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

fn summary(checked: &Checked) -> String {
    let batches: usize = checked.batches.values().sum();
    let pin = if checked.pinned {
        "the pinned key"
    } else {
        "signer not pinned; --trust PEM pins it"
    };
    format!(
        "  run {}: {} of evidence, {} signed by {}\n  signed by {} ({pin})\n",
        checked.run,
        count(u64::from(checked.lines), "line"),
        if batches == 1 {
            "1 batch".to_owned()
        } else {
            format!("{batches} batches")
        },
        counted(checked.batches.len(), "probe"),
        checked.signer
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
