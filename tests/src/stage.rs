//! A lab with the real programs in it: the coordinator on the admin workstation, a probe on every host.
//!
//! One thread reads what the coordinator says, and ends with it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::File,
    io::{self, BufReader},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use plumbline_lab::{Lab, Program, Stack, Topology};
use plumbline_model::{
    canonical,
    id::NodeId,
    input::{self, InputText, Purpose},
    inventory::Inventory,
    report::Report,
    source::SourceText,
};

use crate::scenario::{Life, Place, Preparation, Scenario};

pub mod firewalld;
pub mod live;
pub mod routers;
mod script;

/// The longest that any scenario may take: what hangs is a failure, not a wait.
const PATIENCE: Duration = Duration::from_secs(240);
/// How often a file or a process is looked at.
const POLL: Duration = Duration::from_millis(20);
/// Well above what two cores reach: the lab's network belongs to nobody else, so nothing is paced.
const RATE: &str = "100000";
/// The default groups but external.
const INSIDE: &str = "access,reach,l2,l3,host";
/// What a shell does to become a probe where a kubelet is configured: only it sees the directory that is over `/var/lib`.
const WITH_KUBELET: &str = "mount -t tmpfs none /var/lib && mkdir /var/lib/kubelet && : >/var/lib/kubelet/config.yaml && \
                            exec \"$0\" \"$@\"";

/// The programs under test, built by `cargo xtask test`.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The coordinator.
    pub plumbline: PathBuf,
    /// The probe.
    pub probe: PathBuf,
}

impl Programs {
    /// The programs that the environment names.
    ///
    /// # Errors
    /// If they are not named: a test must never pass because nothing was tested.
    pub fn from_env() -> Result<Self, String> {
        let path = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_file())
                .ok_or_else(|| format!("{name} names no program: run the tests with `cargo xtask test`"))
        };
        Ok(Self {
            plumbline: path("PLUMBLINE_BIN")?,
            probe: path("PLUMBLINE_PROBE_BIN")?,
        })
    }
}

/// What came of an audit.
#[derive(Debug)]
pub struct Outcome {
    /// How the coordinator ended.
    pub exit: Option<i32>,
    /// The report, if there is one.
    pub report: Option<Report>,
    /// Where the report directory is.
    pub out: PathBuf,
    /// The coordinator's standard error.
    pub log: String,
    /// How long it took.
    pub took: Duration,
}

/// The topology that the files imply, VIPs taken into account; vantages are hosts like the nodes.
///
/// # Errors
/// A sentence.
pub fn topology(files: &[(Purpose, PathBuf)]) -> Result<(Topology, Inventory), String> {
    let text = |(purpose, path): &(Purpose, PathBuf)| {
        let text =
            std::fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))?;
        let name = path.display().to_string();
        Ok(InputText::new(*purpose, SourceText { name, text }))
    };
    let texts: Vec<InputText> = files.iter().map(text).collect::<Result<_, String>>()?;
    let inventory = input::read(&texts, &[])
        .map_err(|refused| refused.to_string())?
        .inventory;
    let nodes = inventory.nodes.iter().map(|node| node.id);
    let vantages = inventory.vantages.iter().map(|vantage| vantage.id);
    let nodes: Vec<IpAddr> = nodes.chain(vantages).filter_map(NodeId::address).collect();
    let vips: Vec<(IpAddr, IpAddr)> = inventory
        .control_plane_vip
        .iter()
        .chain(&inventory.ingress_vip)
        .map(|vip| (*vip, *vip))
        .collect();
    let stack = if inventory.is_dual_stack() {
        Stack::Dual
    } else {
        Stack::Single
    };
    let topology = Topology::from_addresses(&nodes, &vips, stack).map_err(|error| error.to_string())?;
    Ok((topology, inventory))
}

/// Runs one audit in a lab that is up, and verifies its report.
///
/// # Errors
/// A sentence, if the stage itself fails (not the audit).
pub fn audit(
    lab: &mut Lab,
    programs: &Programs,
    scenario: &Scenario,
    work: &Path,
) -> Result<Outcome, String> {
    let started = Instant::now();
    let join_file = work.join("join.json");
    let out = work.join("report");
    let mut coordinator = start_coordinator(lab, programs, scenario, work, &join_file, &out)?;
    let strings = join_strings(&join_file, &mut coordinator)?;
    let mut probes = BTreeMap::new();
    for (node, string) in strings {
        let log = File::create(work.join(format!("probe-{node}.log"))).map_err(|error| error.to_string())?;
        let shows = scenario.live.iter().find(|live| live.host == node);
        let files = scenario.files.get(&node).cloned().unwrap_or_default();
        let program = Program {
            stdin: format!("{string}\n").into_bytes(),
            stderr: Some(log),
            ..weakened(
                in_place_of(
                    &files,
                    work,
                    probe(
                        programs,
                        shows.is_some_and(|live| live.shows == Life::Configuration),
                    ),
                )?,
                scenario.lacking.get(&node).map_or(&[][..], Vec::as_slice),
            )
        };
        let child = lab.spawn_in(node, program).map_err(|error| error.to_string())?;
        probes.insert(node, child);
    }
    let log = script::follow(lab, &mut coordinator, &scenario.events, &probes)?;
    let exit = wait(&mut coordinator, started)?.code();
    for child in probes.values() {
        child.kill();
    }
    let report = std::fs::read(out.join("report.json"))
        .ok()
        .map(|bytes| canonical::decode(&bytes).map_err(|error| format!("read report.json: {error}")))
        .transpose()?;
    Ok(Outcome {
        exit,
        report,
        out,
        log,
        took: started.elapsed(),
    })
}

fn start_coordinator(
    lab: &Lab,
    programs: &Programs,
    scenario: &Scenario,
    work: &Path,
    join_file: &Path,
    out: &Path,
) -> Result<Child, String> {
    let mut command = Command::new(&programs.plumbline);
    command
        .arg("check")
        .arg(scenario.cluster_path())
        .args(["--swarm", "joined", "--json-events"]);
    for (option, _, path) in scenario.further_files() {
        command.arg(option).arg(path);
    }
    // A lab has no outside: what is asked of it is asked for by name.
    if !scenario.arguments.iter().any(|argument| argument == "--only") {
        command.args(["--only", INSIDE]);
    }
    if !scenario.arguments.iter().any(|argument| argument == "--max-rate") {
        command.args(["--max-rate", RATE]);
    }
    command
        .args(["--listen", &SocketAddr::new(lab.admin_address(), 0).to_string()])
        .arg("--join-file")
        .arg(join_file)
        .arg("--out")
        .arg(out)
        .arg("--identity")
        .arg(work.join("identity.pem"))
        .args(&scenario.arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("start the coordinator: {error}"))
}

fn join_strings(path: &Path, coordinator: &mut Child) -> Result<BTreeMap<NodeId, String>, String> {
    #[derive(serde::Deserialize)]
    struct JoinFile {
        nodes: BTreeMap<NodeId, String>,
    }
    let deadline = Instant::now() + Duration::from_secs(15);
    while Instant::now() < deadline {
        if let Ok(bytes) = std::fs::read(path) {
            let file: JoinFile = serde_json::from_slice(&bytes)
                .map_err(|error| format!("read {}: {error}", path.display()))?;
            return Ok(file.nodes);
        }
        if let Some(status) = coordinator.try_wait().map_err(|error| error.to_string())? {
            let mut log = String::new();
            if let Some(stderr) = coordinator.stderr.take() {
                let _ = io::Read::read_to_string(&mut BufReader::new(stderr), &mut log);
            }
            return Err(format!(
                "the coordinator ended with {status} before it wrote the join file: {log}"
            ));
        }
        thread::sleep(POLL);
    }
    Err("the coordinator wrote no join file within 15 s".to_owned())
}

/// A probe's program; if asked to, in a mount namespace of its own in which a kubelet is configured.
fn probe(programs: &Programs, kubelet_is_configured: bool) -> Program {
    let join = ["join", "-"].map(OsString::from);
    let (path, args) = if kubelet_is_configured {
        let words = ["--mount", "--propagation", "private", "sh", "-c", WITH_KUBELET].map(OsString::from);
        let args = words
            .into_iter()
            .chain([programs.probe.clone().into()])
            .chain(join);
        ("unshare".into(), args.collect())
    } else {
        (programs.probe.clone(), join.into())
    };
    Program {
        path,
        args,
        stdin: Vec::new(),
        stderr: None,
    }
}

/// A program that sees other texts in the place of files, in a mount namespace of its own.
fn in_place_of(files: &BTreeMap<PathBuf, String>, work: &Path, program: Program) -> Result<Program, String> {
    if files.is_empty() {
        return Ok(program);
    }
    let mut script = String::new();
    for (path, text) in files {
        let own = tempfile::NamedTempFile::new_in(work)
            .and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()).map(|()| file))
            .and_then(|file| file.keep().map_err(|error| error.error))
            .map_err(|error| format!("write a file in the place of {}: {error}", path.display()))?;
        script.push_str(&format!(
            "mount --bind {} {} && ",
            own.1.display(),
            path.display()
        ));
    }
    script.push_str("exec \"$0\" \"$@\"");
    let words = ["--mount", "--propagation", "private", "sh", "-c", &script].map(OsString::from);
    let args = words
        .into_iter()
        .chain([program.path.into_os_string()])
        .chain(program.args);
    Ok(Program {
        path: "unshare".into(),
        args: args.collect(),
        ..program
    })
}

/// A program without some capabilities, as somebody who is not root would run it.
fn weakened(program: Program, lacking: &[String]) -> Program {
    if lacking.is_empty() {
        return program;
    }
    let without: Vec<String> = lacking.iter().map(|name| format!("-{name}")).collect();
    let without = OsString::from(without.join(","));
    let mut args = vec![
        "--bounding-set".into(),
        without.clone(),
        "--inh-caps".into(),
        without,
        program.path.into_os_string(),
    ];
    args.extend(program.args);
    Program {
        path: "setpriv".into(),
        args,
        ..program
    }
}

/// Runs a scenario's commands on the hosts.
///
/// # Errors
/// A sentence with what a command said that failed.
pub fn prepare(lab: &Lab, preparations: &[Preparation]) -> Result<(), String> {
    for Preparation { on, run } in preparations {
        let shell = || {
            Command::new("sh")
                .args(["-ec", run])
                .stdin(Stdio::null())
                .output()
        };
        let ran = match on {
            Place::Host(host) => lab.in_host(*host, shell),
            Place::Router => lab.in_router(shell),
            Place::SwitchOf(host) => lab.in_switch_of(*host, shell),
        };
        let output = ran
            .map_err(|error| error.to_string())?
            .map_err(|error| format!("prepare {on}: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!(
                "prepare {on}: {run:?} ended with {}: {said}",
                output.status
            ));
        }
    }
    Ok(())
}

fn wait(coordinator: &mut Child, started: Instant) -> Result<ExitStatus, String> {
    while started.elapsed() < PATIENCE {
        if let Some(status) = coordinator.try_wait().map_err(|error| error.to_string())? {
            return Ok(status);
        }
        thread::sleep(POLL);
    }
    let _ = coordinator.kill();
    Err(format!(
        "the coordinator did not end within {} s",
        PATIENCE.as_secs()
    ))
}

/// Runs `plumbline verify` on a report directory and returns its exit code and what it printed.
///
/// # Errors
/// If it cannot be run.
pub fn verify(programs: &Programs, dir: &Path) -> Result<(Option<i32>, String), String> {
    let output = Command::new(&programs.plumbline)
        .arg("verify")
        .arg(dir)
        .output()
        .map_err(|error| format!("run plumbline verify: {error}"))?;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok((output.status.code(), text))
}
