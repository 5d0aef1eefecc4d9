//! `cargo xtask check`: everything that can be told without running a test.

use std::{collections::BTreeMap, fs};

use serde_json::Value;

use crate::{Task, cargo, run};

/// Licences that a dependency may have; an SPDX expression passes if one way through it consists of these.
const LICENCES: [&str; 11] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

/// Who may know whom (docs/architecture.md, "Arrows"). Dev-dependencies of tests and benches are free.
const ARROWS: [(&str, &[&str]); 10] = [
    ("plumbline-model", &[]),
    ("plumbline-measure", &[]),
    ("plumbline-sys", &[]),
    ("plumbline-proto", &["plumbline-model"]),
    ("plumbline-identity", &["plumbline-model"]),
    (
        "plumbline-probe",
        &[
            "plumbline-proto",
            "plumbline-identity",
            "plumbline-measure",
            "plumbline-sys",
            "plumbline-model",
        ],
    ),
    ("plumbline-lab", &["plumbline-model", "plumbline-sys"]),
    (
        "plumbline",
        &[
            "plumbline-proto",
            "plumbline-identity",
            "plumbline-model",
            "plumbline-lab",
            "plumbline-probe",
        ],
    ),
    (
        "plumbline-fuzz",
        &[
            "plumbline-proto",
            "plumbline-identity",
            "plumbline-measure",
            "plumbline-sys",
            "plumbline-model",
            "plumbline-probe",
        ],
    ),
    ("xtask", &["plumbline-model"]),
];

/// What model may use besides itself: it stays pure.
const MODEL_MAY_USE: [&str; 7] = [
    "granit-parser",
    "hdrhistogram",
    "ipnet",
    "serde",
    "serde_json",
    "sha2",
    "thiserror",
];

/// Runs every check; the first that fails ends it.
pub(crate) fn check() -> Task {
    step("format");
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    step("generated files");
    crate::generate(true)?;
    step("crate arrows, licences, lints");
    let metadata = metadata()?;
    arrows(&metadata)?;
    licences(&metadata)?;
    sys_lints()?;
    probe_is_known_in_one_place()?;
    step("clippy");
    run(&mut cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))?;
    step("documentation");
    run(cargo(&[
        "doc",
        "--workspace",
        "--no-deps",
        "--locked",
        "--document-private-items",
    ])
    .env("RUSTDOCFLAGS", "-D warnings"))?;
    println!("check: all passed");
    Ok(())
}

fn step(name: &str) {
    println!("check: {name}");
}

fn metadata() -> Result<Value, String> {
    let output = cargo(&["metadata", "--format-version", "1", "--locked"])
        .output()
        .map_err(|error| format!("run cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "run cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("read cargo metadata: {error}"))
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

fn arrows(metadata: &Value) -> Task {
    let ours: Vec<&Value> = packages(metadata)
        .filter(|package| package["source"].is_null())
        .collect();
    let names: Vec<&str> = ours
        .iter()
        .filter_map(|package| package["name"].as_str())
        .collect();
    for package in &ours {
        let name = package["name"].as_str().unwrap_or_default();
        let allowed = ARROWS.iter().find(|(from, _)| *from == name).map(|(_, to)| *to);
        let normal = package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|dependency| dependency["kind"].is_null())
            .filter_map(|dependency| dependency["name"].as_str());
        for dependency in normal {
            if names.contains(&dependency) && allowed.is_some_and(|allowed| !allowed.contains(&dependency)) {
                return Err(format!(
                    "arrow {name} -> {dependency} is not in the house's plan (docs/architecture.md)"
                ));
            }
            if name == "plumbline-model" && !MODEL_MAY_USE.contains(&dependency) {
                return Err(format!(
                    "model uses {dependency}: it may use {} only",
                    MODEL_MAY_USE.join(", ")
                ));
            }
        }
    }
    Ok(())
}

fn licences(metadata: &Value) -> Task {
    let mut refused = BTreeMap::new();
    for package in packages(metadata).filter(|package| !package["source"].is_null()) {
        let name = package["name"].as_str().unwrap_or_default();
        match package["license"].as_str() {
            Some(expression) if allowed(expression) => {}
            other => {
                refused.insert(name.to_owned(), other.unwrap_or("none stated").to_owned());
            }
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    Err(format!("licences that are not on the list: {refused:?}"))
}

/// Whether an SPDX expression can be met with the list: any alternative of which every part is on it. Parentheses occur
/// only around alternatives, so that splitting by `AND` first is exact for all that the registry holds.
fn allowed(expression: &str) -> bool {
    let listed = |licence: &str| LICENCES.contains(&licence.trim().trim_matches(['(', ')']));
    let any = |part: &str| part.replace('/', " OR ").split(" OR ").any(listed);
    if expression.contains('(') {
        expression.split(" AND ").all(any)
    } else {
        expression
            .replace('/', " OR ")
            .split(" OR ")
            .any(|alternative| alternative.split(" AND ").all(listed))
    }
}

/// `probe/sys` cannot inherit the workspace's lints and override one: its copy must not drift.
fn sys_lints() -> Task {
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("read {path}: {error}"));
    let (root, sys) = (read("Cargo.toml")?, read("probe/sys/Cargo.toml")?);
    let lines = |text: &str, section: &str| -> Vec<String> {
        text.lines()
            .skip_while(|line| *line != section)
            .skip(1)
            .take_while(|line| !line.starts_with('['))
            .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
            .map(str::to_owned)
            .collect()
    };
    for kind in ["rust", "clippy"] {
        let expected = lines(&root, &format!("[workspace.lints.{kind}]"));
        let found = lines(&sys, &format!("[lints.{kind}]"));
        for line in expected.iter().filter(|line| !line.starts_with("unsafe_code")) {
            if !found.contains(line) {
                return Err(format!(
                    "probe/sys/Cargo.toml lacks the workspace's lint `{line}`"
                ));
            }
        }
    }
    Ok(())
}

/// The coordinator assembles the probe in its command line alone.
fn probe_is_known_in_one_place() -> Task {
    for path in crate::files_below("coordinator/src", "rs")? {
        let in_cli = path == "coordinator/src/main.rs" || path == "coordinator/src/cli/mod.rs";
        let text = fs::read_to_string(&path).map_err(|error| format!("read {path}: {error}"))?;
        if !in_cli && text.contains("plumbline_probe") {
            return Err(format!(
                "{path} knows the probe; only main and its command line may"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_passes_if_one_way_through_it_is_on_the_list() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "MIT OR GPL-3.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 AND ISC",
        ] {
            assert!(allowed(good), "{good}");
        }
        for bad in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR Apache-2.0) AND OpenSSL",
            "",
        ] {
            assert!(!allowed(bad), "{bad}");
        }
    }
}
