//! A real report, altered in every way that a forger or a bad disk would: `verify` ends with 4 and names what is wrong.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use plumbline_identity::{
    bundle::{self, ReportFiles},
    dsse::Envelope,
    key::SigningKey,
};
use plumbline_model::{
    canonical,
    evidence::{PAYLOAD_TYPE, Payload},
    report::Report,
};
use plumbline_tests::{
    gate,
    running::{Ended, run},
    scenario::tests_dir,
    stage::Programs,
};
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn one_changed_byte_in_any_file_is_found_and_the_file_named() {
    let Some(original) = original("one_changed_byte_in_any_file_is_found_and_the_file_named") else {
        return;
    };
    let mut changes = Vec::new();
    for (name, bytes) in &original.files {
        for position in spread(bytes.len()) {
            // The lowest bit, and the one that makes an upper case letter of a lower case one.
            changes.extend([0x01, 0x20].map(|mask| (name.clone(), position, mask)));
        }
    }
    assert!(changes.len() > 7 * 2 * 50, "{}", changes.len());
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let copy = original.copy();
                while let Some((name, position, mask)) = changes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut bytes = original.files[name].clone();
                    bytes[*position] ^= mask;
                    copy.write(name, &bytes);
                    let ended = copy.verify(&[]);
                    if ended.code != Some(4) || !ended.stdout.contains(name.as_str()) {
                        let what = format!("{name} byte {position} mask {mask:#x}: {ended:?}");
                        missed
                            .lock()
                            .unwrap_or_else(|poisoned| poisoned.into_inner())
                            .push(what);
                    }
                    copy.write(name, &original.files[name]);
                }
                assert_eq!(copy.verify(&[]).code, Some(0), "what was put back verifies again");
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(
        missed.is_empty(),
        "{} of {}:\n{}",
        missed.len(),
        changes.len(),
        missed.join("\n")
    );
}

#[test]
fn a_file_that_is_shorter_longer_empty_or_missing_is_named() {
    let Some(original) = original("a_file_that_is_shorter_longer_empty_or_missing_is_named") else {
        return;
    };
    let copy = original.copy();
    for (name, bytes) in &original.files {
        let longer = [bytes.as_slice(), b"\n"].concat();
        let half = &bytes[..bytes.len() / 2];
        for changed in [&longer, half, &bytes[..bytes.len() - 1], &bytes[1..], b""] {
            copy.write(name, changed);
            copy.is_refused(&[name]);
        }
        fs::remove_file(copy.dir.join(name)).unwrap();
        copy.is_refused(&[name, "missing"]);
        // In its place something that is no file.
        fs::create_dir(copy.dir.join(name)).unwrap();
        copy.is_refused(&[name]);
        fs::remove_dir(copy.dir.join(name)).unwrap();
        symlink(original.dir().join(name), copy.dir.join(name)).unwrap();
        copy.is_refused(&[name]);
        fs::remove_file(copy.dir.join(name)).unwrap();
        copy.write(name, bytes);
    }
    assert_eq!(copy.verify(&[]).code, Some(0));
}

#[test]
fn whatever_does_not_belong_into_the_directory_is_named() {
    let Some(original) = original("whatever_does_not_belong_into_the_directory_is_named") else {
        return;
    };
    let copy = original.copy();
    let (file, folder) = (copy.dir.join("notes.txt"), copy.dir.join("attachments"));
    fs::write(&file, "").unwrap();
    copy.is_refused(&["notes.txt"]);
    fs::remove_file(file).unwrap();
    fs::create_dir(&folder).unwrap();
    copy.is_refused(&["attachments"]);
    fs::remove_dir(folder).unwrap();
    let link = copy.dir.join("latest");
    symlink("report.json", &link).unwrap();
    copy.is_refused(&["latest"]);
    fs::remove_file(link).unwrap();
    fs::write(copy.dir.join(".hidden"), "x").unwrap();
    copy.is_refused(&[".hidden"]);
    fs::remove_file(copy.dir.join(".hidden")).unwrap();
    assert_eq!(copy.verify(&[]).code, Some(0));
}

#[test]
fn a_batch_that_is_missing_moved_or_signed_by_another_probe_is_named_by_node_and_number() {
    let test = "a_batch_that_is_missing_moved_or_signed_by_another_probe_is_named_by_node_and_number";
    let Some(original) = original(test) else { return };
    let lines = original.evidence();
    let batches = original.batches();
    let copy = original.copy();
    let write = |lines: &[String]| copy.write("evidence.jsonl", lines.concat().as_bytes());
    for (line, node, seq) in &batches {
        let mut fewer = lines.clone();
        fewer.remove(*line);
        write(&fewer);
        copy.is_refused(&["evidence.jsonl", &format!("batch {seq} of node {node}")]);
    }
    let (first, node, seq) = &batches[0];
    let (second, other, other_seq) = batches
        .iter()
        .find(|(_, of, _)| of != node)
        .expect("a run of two nodes has batches of both");
    let mut swapped = lines.clone();
    swapped.swap(*first, *second);
    write(&swapped);
    copy.is_refused(&[
        &format!("batch {seq} of node {node} stands here"),
        &format!("batch {other_seq} of node {other} stands here"),
    ]);
    let mut forged = lines.clone();
    forged[*first] = forged[*first].replace(&signature(&lines[*first]), &signature(&lines[*second]));
    assert_ne!(forged, lines);
    write(&forged);
    copy.is_refused(&[
        &format!("evidence.jsonl:{}", first + 1),
        &format!("batch {seq} of node {node}"),
    ]);
    let mut twice = lines.clone();
    twice.insert(*first, lines[*first].clone());
    write(&twice);
    copy.is_refused(&["evidence.jsonl"]);
}

#[test]
fn a_report_signed_again_by_somebody_else_is_told_by_its_key_alone() {
    let Some(original) = original("a_report_signed_again_by_somebody_else_is_told_by_its_key_alone") else {
        return;
    };
    // The best that a forger can do without the probes' keys: everything of the coordinator signed by his own.
    let forger = SigningKey::generate().unwrap();
    let mut evidence = Vec::new();
    for line in original.evidence() {
        let envelope = Envelope::parse(line.trim_end().as_bytes()).unwrap();
        let payload = envelope.unverified_payload().unwrap();
        let is_batch = matches!(canonical::decode(&payload), Ok(Payload::Batch(_)));
        let envelope = if is_batch {
            envelope
        } else {
            Envelope::sign(&forger, PAYLOAD_TYPE, &payload)
        };
        evidence.extend(envelope.to_bytes());
        evidence.push(b'\n');
    }
    let report: Report = canonical::decode(&original.files["report.json"]).unwrap();
    let files = ReportFiles {
        report_json: &original.files["report.json"],
        report_html: &original.files["report.html"],
        evidence_jsonl: &evidence,
    };
    let sealed = bundle::seal(files, &report, &forger);
    let copy = original.copy();
    copy.write("evidence.jsonl", &evidence);
    copy.write("attestation.json", &sealed.attestation_json);
    copy.write("attestation.sig", &sealed.attestation_sig);
    copy.write("signer.pem", &sealed.signer_pem);
    copy.write("allowed_signers", &sealed.allowed_signers);
    let unpinned = copy.verify(&[]);
    assert_eq!(unpinned.code, Some(0), "{}", unpinned.stdout);
    assert!(
        unpinned.stdout.contains("signer not pinned"),
        "{}",
        unpinned.stdout
    );
    let trusted = original.dir().join("signer.pem").display().to_string();
    let pinned = copy.verify(&["--trust", &trusted]);
    assert_eq!(pinned.code, Some(4), "{}", pinned.stdout);
    assert!(
        pinned.stdout.contains("signer.pem: the report is signed by key"),
        "{}",
        pinned.stdout
    );
    let real = original.copy().verify(&["--trust", &trusted]);
    assert_eq!(real.code, Some(0), "{}", real.stdout);
    assert!(real.stdout.contains("the pinned key"), "{}", real.stdout);
}

#[test]
fn a_verdict_that_the_evidence_does_not_give_is_found_though_every_signature_holds() {
    let test = "a_verdict_that_the_evidence_does_not_give_is_found_though_every_signature_holds";
    let Some(original) = original(test) else { return };
    // The coordinator's owner himself, with the key, embellishes a number and a page.
    let key = SigningKey::load_or_create(&original.place.path().join("identity.pem")).unwrap();
    let mut report: Report = canonical::decode(&original.files["report.json"]).unwrap();
    let html = original.files["report.html"].clone();
    report.coverage.planned += 1;
    let embellished = [
        (
            canonical::encode(&report),
            html.clone(),
            "report.json: it is not what the evidence gives",
        ),
        (
            original.files["report.json"].clone(),
            [&html[..], b"\n"].concat(),
            "report.html: it is not the rendering",
        ),
    ];
    for (json, html, words) in embellished {
        let report: Report = canonical::decode(&json).unwrap();
        let files = ReportFiles {
            report_json: &json,
            report_html: &html,
            evidence_jsonl: &original.files["evidence.jsonl"],
        };
        let sealed = bundle::seal(files, &report, &key);
        let copy = original.copy();
        copy.write("report.json", &json);
        copy.write("report.html", &html);
        copy.write("attestation.json", &sealed.attestation_json);
        copy.write("attestation.sig", &sealed.attestation_sig);
        copy.is_refused(&[words]);
    }
}

/// One report of a small audit, made once for all tests.
struct Original {
    place: TempDir,
    programs: Programs,
    files: BTreeMap<String, Vec<u8>>,
}

/// A directory with the report's files, to be spoiled.
struct Copied<'a> {
    original: &'a Original,
    _place: TempDir,
    dir: PathBuf,
}

fn original(test: &str) -> Option<&'static Original> {
    static MADE: OnceLock<Original> = OnceLock::new();
    gate::lab(test)
        .then(|| MADE.get_or_init(|| make().unwrap_or_else(|error| panic!("make a report: {error}"))))
}

fn make() -> Result<Original, String> {
    let programs = Programs::from_env()?;
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut command = Command::new(&programs.plumbline);
    command
        .arg("check")
        .arg(tests_dir().join("clusters/two-subnets-1.29.yaml"))
        .args(["--swarm", "lab", "--nodes", "10.60.0.11,10.61.0.11", "--quiet"])
        .args(["--identity", "identity.pem", "--out", "report"])
        .current_dir(place.path());
    let ended = run(&mut command)?;
    if ended.code != Some(0) {
        return Err(format!(
            "the audit ended with {:?}: {}{}",
            ended.code, ended.stdout, ended.stderr
        ));
    }
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(place.path().join("report")).map_err(|error| error.to_string())? {
        let entry = entry.map_err(|error| error.to_string())?;
        let bytes = fs::read(entry.path()).map_err(|error| error.to_string())?;
        files.insert(entry.file_name().to_string_lossy().into_owned(), bytes);
    }
    if files.len() != 7 {
        return Err(format!("seven files were expected: {:?}", files.keys()));
    }
    Ok(Original {
        place,
        programs,
        files,
    })
}

impl Original {
    fn dir(&self) -> PathBuf {
        self.place.path().join("report")
    }

    fn copy(&self) -> Copied<'_> {
        let place = tempfile::tempdir().unwrap_or_else(|error| panic!("make a directory: {error}"));
        let copied = Copied {
            original: self,
            dir: place.path().join("report"),
            _place: place,
        };
        fs::create_dir(&copied.dir).unwrap_or_else(|error| panic!("make a directory: {error}"));
        for (name, bytes) in &self.files {
            copied.write(name, bytes);
        }
        copied
    }

    /// The lines with their ends.
    fn evidence(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.files["evidence.jsonl"]);
        text.split_inclusive('\n').map(str::to_owned).collect()
    }

    /// The batches: index of the line, node, number.
    fn batches(&self) -> Vec<(usize, String, u64)> {
        let of_line = |(index, line): (usize, String)| {
            let envelope = Envelope::parse(line.trim_end().as_bytes()).ok()?;
            let payload = envelope.unverified_payload().ok()?;
            match canonical::decode(&payload) {
                Ok(Payload::Batch(batch)) => Some((index, batch.node.to_string(), batch.seq)),
                _ => None,
            }
        };
        self.evidence()
            .into_iter()
            .enumerate()
            .filter_map(of_line)
            .collect()
    }
}

impl Copied<'_> {
    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.dir.join(name), bytes).unwrap_or_else(|error| panic!("write {name}: {error}"));
    }

    fn verify(&self, more: &[&str]) -> Ended {
        let mut command = Command::new(&self.original.programs.plumbline);
        command.arg("verify").arg(&self.dir).args(more);
        run(&mut command).unwrap_or_else(|error| panic!("{error}"))
    }

    fn is_refused(&self, words: &[&str]) {
        let ended = self.verify(&[]);
        let told = told(&ended, &self.dir);
        assert_eq!(ended.code, Some(4), "{words:?}: {told}");
        assert!(told.starts_with("NOT VERIFIED"), "{told}");
        for words in words {
            assert!(told.contains(words), "{words:?} is missing: {told}");
        }
    }
}

/// What verify said, without the path of the directory.
fn told(ended: &Ended, dir: &Path) -> String {
    ended.stdout.replace(&dir.display().to_string(), "DIR") + &ended.stderr
}

/// The first, the last and some sixty positions between them, or all of a short file.
fn spread(length: usize) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..=POSITIONS)
        .map(|step| step * (length - 1) / POSITIONS)
        .collect();
    positions.dedup();
    positions
}

fn signature(line: &str) -> String {
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    line["signatures"][0]["sig"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

const POSITIONS: usize = 61;
/// More than the cores of a small machine, since each spends half its time starting processes.
const THREADS: usize = 4;
