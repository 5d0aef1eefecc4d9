//! `cargo xtask test [--install]`: every tier, over binaries built once.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Task, cargo, run};

/// Foreign programs that tests compare with, and their Debian packages: openssl, ssh-keygen and jq verify reports, nft and
/// iptables make the rulesets that the evaluator is held against, firewalld with a message bus filters on hosts of the lab, sshd
/// is asked as a live node's, chromium shows the page of a report, npm fetches the rules of accessibility that it is held
/// against, jsonschema and xmllint hold report.json and JUnit XML against their schemas, faketime brings the library that sets
/// a lab host's clock, and bird is a lab's BGP peer.
const FOREIGN: [Foreign; 14] = [
    (BIRD, "bird2"),
    ("chromium", "chromium"),
    ("dbus-daemon", "dbus"),
    ("faketime", "faketime"),
    (FIREWALLD, "firewalld"),
    ("iptables", "iptables"),
    ("jq", "jq"),
    ("jsonschema", "python3-jsonschema"),
    ("nft", "nftables"),
    (NPM, "npm"),
    ("ssh-keygen", "openssh-client"),
    (SSHD, "openssh-server"),
    ("openssl", "openssl"),
    ("xmllint", "libxml2-utils"),
];
const FIREWALLD: &str = "firewalld";
const SSHD: &str = "sshd";
const BIRD: &str = "bird";
/// What would be started where it is installed: nobody gets a packet filter, an SSH server or a routing daemon unasked.
const STARTED: [&str; 3] = [BIRD, FIREWALLD, SSHD];
const NPM: &str = "npm";
/// Where the rules of accessibility are pinned.
const BROWSER: &str = "tests/browser";
/// Where npm puts them, below the folder that it works in.
const AXE: &str = "node_modules/axe-core/axe.min.js";
/// A program and its package.
type Foreign = (&'static str, &'static str);
/// Tells Debian's packages whether they may start their services. Images of containers have one that says no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Builds the binaries, then runs every tier.
pub(crate) fn test(install: bool) -> Task {
    if install {
        install_packages();
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
    let axe = target.join("browser").join(AXE);
    if install && let Err(error) = install_axe(&target.join("browser")) {
        println!("test: {error}");
    }
    println!("test: every tier");
    // One test binary after the other; inside the lab tier a few scenarios run at a time, since their hosts share two cores.
    run(cargo(&["test", "--workspace", "--locked", "--no-fail-fast"])
        .env("PLUMBLINE_AXE", axe)
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

/// Installs what is missing, or says how. Tests that cannot do without say so themselves.
fn install_packages() {
    let missing: Vec<Foreign> = FOREIGN
        .into_iter()
        .filter(|(program, _)| !on_path(program))
        .collect();
    if missing.is_empty() {
        return;
    }
    let programs: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
    println!("test: missing {}", programs.join(", "));
    let can_install = Path::new("/usr/bin/apt-get").exists() && is_root();
    let may_install =
        |(program, _): &Foreign| can_install && (!STARTED.contains(program) || Path::new(POLICY).exists());
    let (wanted, by_hand): (Vec<Foreign>, Vec<Foreign>) = missing.into_iter().partition(may_install);
    if !by_hand.is_empty() {
        let packages = packages(&by_hand).join(" ");
        println!("test: install them, on Debian with: sudo apt-get install --yes {packages}");
    }
    if wanted.is_empty() {
        return;
    }
    let installed = run(Command::new("apt-get").args(["update", "--quiet"])).and_then(|()| {
        run(Command::new("apt-get")
            .args(["install", "--yes", "--quiet", "--no-install-recommends"])
            .args(packages(&wanted))
            .env("DEBIAN_FRONTEND", "noninteractive"))
    });
    if let Err(error) = installed {
        println!("test: {error}");
    }
}

/// Fetches axe-core as it is pinned, into the target folder: nothing of it is run on the way.
fn install_axe(folder: &Path) -> Task {
    std::fs::create_dir_all(folder).map_err(|error| format!("make {}: {error}", folder.display()))?;
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(Path::new(BROWSER).join(file), folder.join(file))
            .map_err(|error| format!("copy {file} to {}: {error}", folder.display()))?;
    }
    run(Command::new(NPM)
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(folder))
}

fn packages(of: &[Foreign]) -> Vec<&'static str> {
    of.iter().map(|(_, package)| *package).collect()
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
