//! `plumbline redact DIR --out OUT`: the report without what tells whose it is.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::Args;
use plumbline_identity::{
    bundle::{self, RedactedFiles, Redaction},
    key::SigningKey,
    redaction::{RedactionKey, SCHEME},
};
use plumbline_model::{canonical, report::Report};

use super::{
    Failure, print,
    verify::{Examined, Recomputed, examine},
};
use crate::{
    exit::Exit,
    redact::{self, RedactError},
    render,
    store::Staging,
};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RedactArgs {
    /// The report directory; it must verify.
    dir: PathBuf,
    /// Where the redacted report goes; an empty directory is taken.
    #[arg(long)]
    out: PathBuf,
    /// The key that signs the redacted report; it is made on first use [default: as for `plumbline check`].
    #[arg(long, value_name = "KEY")]
    identity: Option<PathBuf>,
    /// Where the fresh key of the pseudonyms is written, mode 0600: keep it, and give it to nobody who gets the redacted report
    /// [default: OUT.redaction-key].
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Addresses, host names, file names and other people's words are replaced by pseudonyms; topology, sizes, times and names of \
interfaces stay. The evidence is left out. docs/report-format.md says what a redacted report proves.

Examples:
  plumbline redact DIR --out for-the-vendor
  plumbline verify for-the-vendor                        what its reader can prove
  plumbline verify for-the-vendor --original DIR \\
      --redaction-key for-the-vendor.redaction-key       what the holder of both can prove";

/// Redacts a report that verifies.
pub(crate) fn redact(args: &RedactArgs) -> Result<Exit, Failure> {
    let original = match examine(&args.dir, None)? {
        Err(faults) => return Err(unverified(&args.dir, &faults.join("; "))),
        Ok(examined) => match &examined.recomputed {
            Recomputed::Same => examined,
            Recomputed::Differs(what) => return Err(unverified(&args.dir, what)),
            Recomputed::Skipped { analysis } => {
                let what =
                    format!("its evidence is for analysis version {analysis}: use the program that made it");
                return Err(unverified(&args.dir, &what));
            }
        },
    };
    let key_file = args.key.clone().unwrap_or_else(|| beside(&args.out));
    if key_file.starts_with(&args.out) {
        return Err(Failure::usage_message(format!(
            "write the redaction key {}: it would be given away with the report; name a place outside {}",
            key_file.display(),
            args.out.display()
        )));
    }
    let identity = args
        .identity
        .clone()
        .map_or_else(super::check::default_identity, Ok)?;
    let signing = SigningKey::load_or_create(&identity).map_err(|error| Failure::usage(&error))?;
    let staging = Staging::claim(&args.out).map_err(|error| Failure::usage(&error))?;
    let key = RedactionKey::fresh().map_err(|error| Failure::usage(&error))?;
    let made = make(&original, &key)?;
    write_key(&key_file, |file| file.write_all(key.to_text().as_bytes()))?;
    let published = staging.publish(&made.sealed(&signing));
    if let Err(error) = published {
        // A key without its report is of no use; the next try draws another.
        let _ = fs::remove_file(&key_file);
        return Err(Failure::usage(&error));
    }
    print(&format!(
        "redacted report: {}\nits key, which only you should have: {}\n",
        args.out.display(),
        key_file.display()
    ))?;
    Ok(Exit::Passed)
}

fn unverified(dir: &Path, why: &str) -> Failure {
    Failure::message(
        Exit::Unverified,
        format!(
            "redact {}: it does not verify ({why}), and its redaction would prove nothing",
            dir.display()
        ),
    )
}

fn beside(out: &Path) -> PathBuf {
    let mut name = out.components().as_path().as_os_str().to_owned();
    name.push(".redaction-key");
    PathBuf::from(name)
}

/// Makes the file of a key, which nobody else may read; what cannot be written whole leaves no file.
fn write_key(path: &Path, put: impl FnOnce(&mut fs::File) -> io::Result<()>) -> Result<(), Failure> {
    let write = move || -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        let written = put(&mut file).and_then(|()| file.sync_all());
        if written.is_err() {
            // Half a key opens nothing, and would be in the way of the next try.
            let _ = fs::remove_file(path);
        }
        written
    };
    write().map_err(|error| {
        let remedy = if error.kind() == io::ErrorKind::AlreadyExists {
            "; it may be another redaction's only key: name another file with --key"
        } else {
            ""
        };
        Failure::usage_message(format!(
            "write the redaction key {}: {error}{remedy}",
            path.display()
        ))
    })
}

/// What follows from an original and a key.
pub(super) struct Made {
    pub(super) report_json: Vec<u8>,
    pub(super) report_html: Vec<u8>,
    pub(super) redaction: Redaction,
}

/// Derives the redacted report of one that verifies: the same bytes whenever original and key are the same.
pub(super) fn make(original: &Examined, key: &RedactionKey) -> Result<Made, Failure> {
    let file = |name: &str| original.files.get(name).map_or(&[][..], Vec::as_slice);
    let report_json = file(bundle::REPORT_JSON);
    let report: Report = canonical::decode(report_json).map_err(|error| Failure::usage(&error))?;
    let redacted = redact::redact(&report, &original.checked.evidence, key).map_err(|error| match error {
        RedactError::Ambiguous => Failure::usage(&error),
        RedactError::NoReport(_) => Failure::with(Exit::Bug, &error),
    })?;
    Ok(Made {
        report_json: render::json(&redacted),
        report_html: render::html(&redacted).into_bytes(),
        redaction: Redaction {
            scheme: SCHEME.to_owned(),
            run: redacted.run,
            verdict: redacted.verdict,
            original_report_sha256: canonical::sha256(report_json),
            original_attestation_sha256: canonical::sha256(file(bundle::ATTESTATION_JSON)),
            original_signer: original.checked.signer.clone(),
            key_sha256: key.commitment(),
        },
    })
}

impl Made {
    fn sealed(self, key: &SigningKey) -> BTreeMap<String, Vec<u8>> {
        let files = RedactedFiles {
            report_json: &self.report_json,
            report_html: &self.report_html,
        };
        let sealed = bundle::seal_redacted(files, self.redaction, key);
        BTreeMap::from([
            (bundle::REPORT_JSON.to_owned(), self.report_json),
            (bundle::REPORT_HTML.to_owned(), self.report_html),
            (bundle::ATTESTATION_JSON.to_owned(), sealed.attestation_json),
            (bundle::ATTESTATION_SIG.to_owned(), sealed.attestation_sig),
            (bundle::SIGNER_PEM.to_owned(), sealed.signer_pem),
            (bundle::ALLOWED_SIGNERS.to_owned(), sealed.allowed_signers),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_cannot_be_written_whole_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.redaction-key");
        let full = |file: &mut fs::File| {
            file.write_all(b"half a k")?;
            Err(io::ErrorKind::StorageFull.into())
        };
        assert!(write_key(&path, full).is_err());
        assert!(!path.exists());
        assert!(write_key(&path, |file| file.write_all(b"a key")).is_ok());
        assert!(write_key(&path, |_| Ok(())).is_err(), "it is somebody's only key");
        assert_eq!(fs::read(&path).unwrap(), b"a key");
    }
}
