//! What docs/report-format.md tells people to type is typed here, as it stands there, against a sealed report: in order, in
//! one shell. Each block of commands must print the block of text below it.
//!
//! This needs programs that a machine may lack; such a test is named and counted, and a failure where
//! `PLUMBLINE_REQUIRE_LAB=1`. That is why it brings its own `main`.

#![expect(
    clippy::print_stdout,
    reason = "a test program reports on its standard output"
)]

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, ExitCode},
};

use plumbline_identity::bundle;

#[expect(
    dead_code,
    reason = "the other makings of the sample serve the tests of bundle.rs"
)]
mod sample;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let chosen = TESTS
        .iter()
        .filter(|(name, _)| filters.is_empty() || filters.iter().any(|f| name.contains(*f)));
    if arguments.iter().any(|argument| argument == "--list") {
        chosen.for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let missing: Vec<&str> = PROGRAMS
        .into_iter()
        .filter(|program| !is_there(program))
        .collect();
    let required = std::env::var_os("PLUMBLINE_REQUIRE_LAB").is_some_and(|value| value == "1");
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    for (name, test) in chosen {
        let verdict = if missing.is_empty() {
            test()
        } else {
            Err(format!("not installed: {}", missing.join(", ")))
        };
        let word = match verdict {
            Ok(()) => {
                passed += 1;
                "ok".to_owned()
            }
            Err(why) if missing.is_empty() || required => {
                failed += 1;
                format!("FAILED\n{why}")
            }
            Err(why) => {
                ignored += 1;
                format!("ignored, {why}")
            }
        };
        println!("test {name} ... {word}");
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out\n"
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

type Test = fn() -> Result<(), String>;

const TESTS: [(&str, Test); 3] = [
    (
        "what_the_document_says_to_type_prints_what_it_says",
        the_document_holds,
    ),
    (
        "what_the_document_says_to_type_notices_a_change_in_every_file",
        changes_are_noticed,
    ),
    (
        "openssl_accepts_the_key_file_that_is_made",
        openssl_accepts_the_key_file,
    ),
];

/// What the document's commands need.
const PROGRAMS: [&str; 8] = [
    "sh",
    "openssl",
    "ssh-keygen",
    "jq",
    "base64",
    "basenc",
    "sha256sum",
    "seq",
];

fn is_there(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", "command -v \"$1\"", "sh", program])
        .output();
    found.is_ok_and(|output| output.status.success())
}

fn the_document_holds() -> Result<(), String> {
    let printed = type_all(&sample::Sample::new().directory())?;
    let wrong: String = steps()
        .iter()
        .zip(printed)
        .filter(|(step, printed)| *printed != step.prints)
        .map(|(step, printed)| {
            format!(
                "{}--- prints\n{printed}--- and the document says\n{}---\n",
                step.commands, step.prints
            )
        })
        .collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

fn changes_are_noticed() -> Result<(), String> {
    let original = sample::Sample::new().directory();
    let good = type_all(&original)?;
    for name in bundle::FILES {
        let mut files = original.clone();
        let bytes = files.get_mut(name).ok_or("the sample has every file")?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        if type_all(&files)? == good {
            return Err(format!("a change in {name} goes unnoticed"));
        }
    }
    Ok(())
}

fn openssl_accepts_the_key_file() -> Result<(), String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = directory.path().join("identity.pem");
    let key =
        plumbline_identity::key::SigningKey::load_or_create(&path).map_err(|error| error.to_string())?;
    let output = Command::new("openssl")
        .args(["pkey", "-check", "-noout", "-in"])
        .arg(&path)
        .output();
    let output = output.map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let public = Command::new("openssl")
        .args(["pkey", "-pubout", "-in"])
        .arg(&path)
        .output();
    let public = public.map_err(|error| error.to_string())?.stdout;
    if public == key.verifying_key().to_pem().as_bytes() {
        Ok(())
    } else {
        Err("another public key".to_owned())
    }
}

/// One block of commands and the block of text after it.
struct Step {
    commands: String,
    prints: String,
}

/// The steps of the document: blocks marked `sh`, each with the block marked `text` that follows it, if any.
fn steps() -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut block: Option<(&str, String)> = None;
    for line in include_str!("../../docs/report-format.md").lines() {
        block = match (block, line.strip_prefix("```")) {
            (None, Some(kind)) => Some((kind, String::new())),
            (None, None) => None,
            (Some((kind, text)), None) => Some((kind, text + line + "\n")),
            (Some(("sh", commands)), Some(_)) => {
                steps.push(Step {
                    commands,
                    prints: String::new(),
                });
                None
            }
            (Some(("text", prints)), Some(_)) => {
                if let Some(step) = steps.last_mut() {
                    step.prints = prints;
                }
                None
            }
            (Some(_), Some(_)) => None,
        };
    }
    steps
}

/// Types every step into one shell inside the directory; what each printed.
fn type_all(files: &BTreeMap<String, Vec<u8>>) -> Result<Vec<String>, String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    for (name, bytes) in files {
        std::fs::write(directory.path().join(name), bytes)
            .map_err(|error| format!("write {name}: {error}"))?;
    }
    let script: String = steps()
        .iter()
        .map(|step| format!("{}echo '{MARK}'\n", step.commands))
        .collect();
    let printed = shell(&script, directory.path())?;
    let left: Vec<_> = std::fs::read_dir(directory.path())
        .map_err(|error| error.to_string())?
        .collect();
    if left.len() != files.len() {
        return Err("the commands left a file in the report directory".to_owned());
    }
    Ok(printed
        .split_terminator(&format!("{MARK}\n"))
        .map(str::to_owned)
        .collect())
}

fn shell(script: &str, directory: &Path) -> Result<String, String> {
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1\n{script}")])
        .current_dir(directory)
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| format!("start sh: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Stands between what two steps print.
const MARK: &str = "== next ==";
