//! `cargo xtask test [--install]`: every tier, over binaries built once.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Task, cargo, run};

/// Debian packages with the foreign programs that tests compare with: openssl, ssh-keygen and jq verify reports, nft and
/// iptables make the rulesets that the evaluator is held against.
const DEBIAN_PACKAGES: [&str; 5] = ["iptables", "jq", "nftables", "openssh-client", "openssl"];

/// Builds the binaries, then runs every tier.
pub(crate) fn test(install: bool) -> Task {
    if install {
        install_packages()?;
    }
    println!("test: build the binaries");
    run(&mut cargo(&[
        "build",
        "--locked",
        "--package",
        "plumbline",
        "--package",
        "plumbline-probe",
    ]))?;
    let target = target_dir()?;
    println!("test: every tier");
    // One test binary after the other; inside the lab tier tests take turns, since the lab's hosts share two cores.
    run(cargo(&["test", "--workspace", "--locked", "--no-fail-fast"])
        .env("PLUMBLINE_BIN", target.join("debug").join("plumbline"))
        .env(
            "PLUMBLINE_PROBE_BIN",
            target.join("debug").join("plumbline-probe"),
        ))
}

pub(crate) fn target_dir() -> Result<PathBuf, String> {
    let output = cargo(&["metadata", "--format-version", "1", "--locked", "--no-deps"])
        .output()
        .map_err(|error| format!("run cargo metadata: {error}"))?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("read cargo metadata: {error}"))?;
    metadata["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .ok_or_else(|| "find the target directory".to_owned())
}

fn install_packages() -> Task {
    let packages = DEBIAN_PACKAGES.join(" ");
    let missing: Vec<&str> = ["iptables", "jq", "nft", "ssh-keygen", "openssl"]
        .into_iter()
        .filter(|program| !on_path(program))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("test: missing {}", missing.join(", "));
    if !Path::new("/usr/bin/apt-get").exists() || !is_root() {
        println!("test: install them, on Debian with: sudo apt-get install --yes {packages}");
        return Ok(());
    }
    run(Command::new("apt-get").args(["update", "--quiet"]))?;
    run(Command::new("apt-get")
        .args(["install", "--yes", "--quiet", "--no-install-recommends"])
        .args(DEBIAN_PACKAGES)
        .env("DEBIAN_FRONTEND", "noninteractive"))
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .any(|dir| dir.join(program).is_file())
}

fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status
            .lines()
            .any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
    })
}
