//! A report in other people's hands: formats that foreign programs read, findings that somebody answers for, and what is left
//! of it when nobody must know whose it is.

use std::{fs, path::Path, process::Command};

use plumbline_tests::{
    running::{Ended, run},
    scenario::tests_dir,
    stage::Programs,
};
use serde_json::Value;

/// A directory with the report of a file whose VIP lies in a pool: a failure that needs no probe.
struct Place {
    dir: tempfile::TempDir,
    programs: Programs,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            dir: tempfile::tempdir().unwrap_or_else(|error| panic!("make a working directory: {error}")),
            programs: Programs::from_env().unwrap_or_else(|error| panic!("{error}")),
        };
        let sample = fs::read_to_string(tests_dir().join("clusters/01-user-l2-dedicated-lb-1.29.yaml"))
            .expect("the sample is there");
        let vip = sample
            .lines()
            .find_map(|line| line.trim().strip_prefix("controlPlaneVIP: "))
            .expect("the sample has a VIP")
            .split_whitespace()
            .next()
            .expect("the VIP is a word");
        let spoilt = sample.replacen(
            "addressPools:",
            &format!("addressPools:\n    - name: qxpool\n      addresses: [\"{vip}/32\"]"),
            1,
        );
        assert_ne!(spoilt, sample);
        place.write("qxcluster.yaml", &spoilt);
        place
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap_or_else(|error| panic!("write {name}: {error}"));
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(&self.programs.plumbline);
        command.args(arguments).current_dir(self.dir.path());
        run(&mut command).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    }

    fn foreign(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.dir.path());
        let ended = run(&mut command)
            .unwrap_or_else(|error| panic!("{program}: {error}; `cargo xtask test --install` installs it"));
        assert_eq!(
            ended.code,
            Some(0),
            "{program} {arguments:?}: {}{}",
            ended.stdout,
            ended.stderr
        );
    }

    fn check(&self, out: &str, more: &[&str]) -> Ended {
        let mut arguments = vec![
            "check",
            "qxcluster.yaml",
            "--only",
            "config",
            "--identity",
            "identity.pem",
            "--out",
            out,
        ];
        arguments.extend(more);
        self.run(&arguments)
    }

    fn report(&self, out: &str) -> Value {
        let bytes = fs::read(self.dir.path().join(out).join("report.json")).expect("the report is there");
        serde_json::from_slice(&bytes).expect("the report is JSON")
    }

    /// A waiver for every failure of a report.
    fn waivers(&self, report: &Value, expires: &str) {
        let mut text = "schema: plumbline/waivers/v1\nwaivers:\n".to_owned();
        for finding in report["findings"].as_array().expect("a report has findings") {
            let place = &finding["places"][0];
            text.push_str(&format!(
                "- check: {}\n  selector: {{file: qxcluster.yaml, line: {}}}\n  owner: Jo\n  reason: change 4711\n  expires: {expires}\n",
                finding["check"].as_str().expect("a finding has its check"),
                place["line"]
            ));
        }
        self.write("waivers.yaml", &text);
    }
}

#[test]
fn foreign_programs_find_no_fault_in_what_they_read() {
    let place = Place::new();
    assert_eq!(place.check("r", &[]).code, Some(1));
    let schemas = tests_dir();
    let schema = schemas.join("../docs/report.schema.json").display().to_string();
    place.foreign("jsonschema", &["-i", "r/report.json", &schema]);
    let junit = place.run(&["render", "r", "--format", "junit"]);
    assert_eq!(junit.code, Some(0), "{}", junit.stderr);
    assert!(junit.stdout.contains("<failure type="), "{}", junit.stdout);
    place.write("r.xml", &junit.stdout);
    let schema = schemas.join("schemas/junit.xsd").display().to_string();
    place.foreign("xmllint", &["--noout", "--schema", &schema, "r.xml"]);
    for rows in ["matrix", "requests", "all-requests"] {
        let csv = place.run(&["render", "r", "--format", "csv", "--rows", rows]);
        assert_eq!(
            (csv.code, csv.stdout.ends_with("\r\n")),
            (Some(0), true),
            "{}",
            csv.stderr
        );
    }
    let sarif = place.run(&["render", "r", "--format", "sarif"]);
    assert_eq!(sarif.code, Some(2));
    assert!(
        sarif
            .stderr
            .contains("it has html, text, json, csv, junit and markdown"),
        "{}",
        sarif.stderr
    );
}

#[test]
fn a_waived_failure_fails_nothing_until_its_day_has_passed() {
    let place = Place::new();
    assert_eq!(place.check("failed", &[]).code, Some(1));
    place.waivers(&place.report("failed"), "2999-12-31");
    let waived = place.check("waived", &["--waivers", "waivers.yaml"]);
    assert_eq!(waived.code, Some(0), "{}{}", waived.stdout, waived.stderr);
    assert!(
        waived
            .stdout
            .contains("waived until 2999-12-31 by Jo: change 4711"),
        "{}",
        waived.stdout
    );
    let findings = place.report("waived")["findings"].clone();
    assert!(
        findings
            .as_array()
            .unwrap()
            .iter()
            .all(|finding| finding["waived"]["owner"] == "Jo"),
        "{findings}"
    );
    assert_eq!(place.run(&["verify", "waived"]).code, Some(0));
    let junit = place.run(&["render", "waived", "--format", "junit"]).stdout;
    assert!(
        !junit.contains("<failure") && junit.contains("waived until"),
        "{junit}"
    );

    place.waivers(&place.report("failed"), "2026-01-01");
    let expired = place.check("expired", &["--waivers", "waivers.yaml"]);
    assert_eq!(expired.code, Some(1), "{}", expired.stdout);
    assert!(
        expired.stdout.contains("expired on 2026-01-01"),
        "{}",
        expired.stdout
    );

    place.write("waivers.yaml", "schema: plumbline/waivers/v1\nwaivers:\n- check: CFG-04\n  selector: {}\n  owner: a\n  reason: b\n  expires: soon\n");
    let refused = place.check("refused", &["--waivers", "waivers.yaml"]);
    assert_eq!(refused.code, Some(2));
    for words in [
        "waivers.yaml:3:",
        "did you mean `CFG-004`?",
        "waivers.yaml:7:",
        "is no date",
    ] {
        assert!(refused.stderr.contains(words), "{words}: {}", refused.stderr);
    }
}

#[test]
fn a_redacted_report_tells_no_names_and_still_verifies() {
    let place = Place::new();
    assert_eq!(place.check("r", &[]).code, Some(1));
    let redacted = place.run(&["redact", "r", "--out", "out", "--identity", "identity.pem"]);
    assert_eq!(redacted.code, Some(0), "{}", redacted.stderr);
    let report = place.report("r");
    let mut names = vec![
        "qxcluster".to_owned(),
        "qxpool".to_owned(),
        report["cluster"].as_str().unwrap().to_owned(),
    ];
    let nodes = report["nodes"].as_array().unwrap();
    names.extend(nodes.iter().map(|node| node["id"].as_str().unwrap().to_owned()));
    let out = place.dir.path().join("out");
    let files: Vec<_> = fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(files.len(), 6, "{files:?}");
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        for name in &names {
            assert!(
                !text.contains(name.as_str()),
                "{name} stands in {}",
                file.display()
            );
        }
    }
    let verified = place.run(&["verify", "out", "--trust", "r/signer.pem"]);
    assert_eq!(verified.code, Some(0), "{}", verified.stdout);
    assert!(
        verified.stdout.starts_with("VERIFIED, redacted"),
        "{}",
        verified.stdout
    );
    let original = [
        "verify",
        "out",
        "--original",
        "r",
        "--redaction-key",
        "out.redaction-key",
    ];
    let compared = place.run(&original);
    assert_eq!(compared.code, Some(0), "{}", compared.stdout);
    assert!(
        compared.stdout.contains("the same byte for byte"),
        "{}",
        compared.stdout
    );
    is_private(&place.dir.path().join("out.redaction-key"));

    // Another run of the same file is not its original.
    assert_eq!(place.check("other", &[]).code, Some(1));
    let other = [
        "verify",
        "out",
        "--original",
        "other",
        "--redaction-key",
        "out.redaction-key",
    ];
    assert_eq!(place.run(&other).code, Some(4));
    let mut bytes = fs::read(out.join("report.json")).unwrap();
    let at = bytes.windows(6).position(|window| window == b"failed").unwrap();
    bytes[at..at + 6].copy_from_slice(b"passed");
    fs::write(out.join("report.json"), bytes).unwrap();
    assert_eq!(place.run(&["verify", "out"]).code, Some(4));
    let again = place.run(&["redact", "out", "--out", "twice", "--identity", "identity.pem"]);
    assert_eq!(
        again.code,
        Some(4),
        "what does not verify is not redacted: {}",
        again.stderr
    );
}

fn is_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(
        fs::metadata(path).expect("the key is there").permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn every_command_has_completions_a_manual_page_and_help_with_examples() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.run(&["completions", shell]);
        assert_eq!(script.code, Some(0), "{shell}");
        assert!(script.stdout.contains("redact"), "{shell}");
    }
    assert!(place.run(&["man"]).stdout.contains(".TH plumbline 1"));
    fs::create_dir(place.dir.path().join("man")).unwrap();
    assert_eq!(place.run(&["man", "--out", "man"]).code, Some(0));
    assert!(place.dir.path().join("man/plumbline-check.1").exists());
    for command in [
        "check",
        "demo",
        "plan",
        "verify",
        "render",
        "redact",
        "completions",
        "man",
    ] {
        let help = place.run(&[command, "--help"]);
        assert!(help.stdout.contains("Examples:"), "{command}: {}", help.stdout);
    }
    for (typo, word) in [("chekc", "check"), ("verfy", "verify"), ("redat", "redact")] {
        let refused = place.run(&[typo]);
        assert_eq!(refused.code, Some(2));
        assert!(refused.stderr.contains(word), "{}", refused.stderr);
    }
}
