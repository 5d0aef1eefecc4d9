//! A joined swarm in a lab, step by step: the coordinator runs and waits, and the test starts each probe when and as it likes.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use plumbline_lab::{Entered, Lab, LabChild, Program};
use plumbline_model::{canonical, id::NodeId, input::Purpose, report::Report};
use tempfile::TempDir;

use crate::{
    running::Running,
    scenario::tests_dir,
    stage::{self, Programs},
};

/// The node on the coordinator's side of the cluster that rehearsals use.
pub const FIRST: &str = "10.60.0.11";
/// Its node in the other subnet.
pub const SECOND: &str = "10.61.0.11";
/// A host of the lab that takes no part in the run.
pub const BYSTANDER: &str = "10.61.0.12";

/// A coordinator that waits for the probes of [`FIRST`] and [`SECOND`], on the admin workstation of a lab.
#[derive(Debug)]
pub struct Rehearsal {
    /// The coordinator, with `--json-events`.
    pub coordinator: Running,
    /// The hosts.
    pub lab: Lab,
    /// The join strings by node.
    pub strings: BTreeMap<NodeId, String>,
    programs: Programs,
    work: TempDir,
    probes: usize,
}

/// What came of a rehearsal: a report that verifies.
#[derive(Debug)]
pub struct Finished {
    /// The report.
    pub report: Report,
    /// What the coordinator said on standard error.
    pub log: String,
    /// The coordinator's working directory, with the report in `report`.
    pub work: TempDir,
}

/// A probe on a host of the lab.
#[derive(Debug)]
pub struct Probe {
    child: LabChild,
    log: PathBuf,
}

impl Rehearsal {
    /// Builds the lab and starts the coordinator with further arguments; returns once the join file is there.
    ///
    /// # Errors
    /// A sentence.
    pub fn start(entered: &Entered, arguments: &[&str]) -> Result<Self, String> {
        let (topology, _) = stage::topology(&[(Purpose::Cluster, cluster())])?;
        let lab = Lab::up(entered, topology).map_err(|error| error.to_string())?;
        Self::start_in(lab, arguments)
    }

    /// Starts the coordinator in a lab that is up.
    ///
    /// # Errors
    /// A sentence.
    pub fn start_in(lab: Lab, arguments: &[&str]) -> Result<Self, String> {
        let programs = Programs::from_env()?;
        let work = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut coordinator = coordinator(&lab, &programs, work.path(), "", arguments)?;
        let strings = invited(&mut coordinator, &work.path().join("join.json"))?;
        Ok(Self {
            coordinator,
            lab,
            strings,
            programs,
            work,
            probes: 0,
        })
    }

    /// A further coordinator on the same workstation, with a run of its own, and its join strings.
    ///
    /// # Errors
    /// A sentence.
    pub fn rival(&self) -> Result<(Running, BTreeMap<NodeId, String>), String> {
        let mut rival = coordinator(&self.lab, &self.programs, self.work.path(), "rival-", &[])?;
        let strings = invited(&mut rival, &self.work.path().join("rival-join.json"))?;
        Ok((rival, strings))
    }

    /// The join string of a node.
    ///
    /// # Errors
    /// If the join file lacks it.
    pub fn string(&self, node: &str) -> Result<&str, String> {
        let string = self.strings.get(&id(node)?);
        string
            .map(String::as_str)
            .ok_or_else(|| format!("the join file lacks {node}"))
    }

    /// Starts the probe of a node as its user would.
    ///
    /// # Errors
    /// A sentence.
    pub fn join(&mut self, node: &str) -> Result<Probe, String> {
        let string = self.string(node)?.to_owned();
        self.probe(node, &[], &string, &[])
    }

    /// Starts a probe on a host: through another program (`prlimit --nofile=64`), with any join string, and with further
    /// arguments.
    ///
    /// # Errors
    /// A sentence.
    pub fn probe(
        &mut self,
        host: &str,
        through: &[&str],
        string: &str,
        arguments: &[&str],
    ) -> Result<Probe, String> {
        let program = self.programs.probe.clone();
        self.probe_of(host, through, &program, string, arguments)
    }

    /// The same with a copy of the program that lies elsewhere.
    ///
    /// # Errors
    /// A sentence.
    pub fn probe_of(
        &mut self,
        host: &str,
        through: &[&str],
        program: &Path,
        string: &str,
        arguments: &[&str],
    ) -> Result<Probe, String> {
        self.probes += 1;
        let log = self.work.path().join(format!("probe-{}.log", self.probes));
        let mut words: Vec<OsString> = through.iter().map(OsString::from).collect();
        words.push(program.into());
        words.extend(["join", "-"].iter().chain(arguments).map(OsString::from));
        let program = Program {
            path: words.remove(0).into(),
            args: words,
            stdin: format!("{string}\n").into_bytes(),
            stderr: Some(File::create(&log).map_err(|error| error.to_string())?),
        };
        let child = self
            .lab
            .spawn_in(id(host)?, program)
            .map_err(|error| error.to_string())?;
        Ok(Probe { child, log })
    }

    /// Waits until a node has joined.
    ///
    /// # Errors
    /// If it does not.
    pub fn joined(&mut self, node: &str) -> Result<(), String> {
        let what = format!("{node} to join");
        self.coordinator
            .wait_for_event(&what, |event| event["event"] == "joined" && event["node"] == node)
            .map(|_| ())
    }

    /// Where the coordinator keeps its key, its join file, and writes its report.
    pub fn work(&self) -> &Path {
        self.work.path()
    }

    /// Waits for the coordinator's end, and for a report that verifies.
    ///
    /// # Errors
    /// If it ends with another code, or the report does not verify: with everything that was said.
    pub fn end(self, code: i32) -> Result<Finished, String> {
        let Self {
            coordinator,
            lab,
            programs,
            work,
            ..
        } = self;
        let ended = coordinator.end()?;
        drop(lab);
        if ended.code != Some(code) {
            return Err(format!(
                "it ended with {:?} instead of {code}:\n{}\n{}",
                ended.code, ended.stdout, ended.stderr
            ));
        }
        let out = work.path().join("report");
        match stage::verify(&programs, &out)? {
            (Some(0), _) => {}
            (code, text) => return Err(format!("verify ended with {code:?}:\n{text}")),
        }
        let bytes = fs::read(out.join("report.json")).map_err(|error| error.to_string())?;
        let report = canonical::decode(&bytes).map_err(|error| format!("read report.json: {error}"))?;
        Ok(Finished {
            report,
            log: ended.stderr,
            work,
        })
    }
}

impl Probe {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Waits until it has ended: its exit code, and what it said.
    ///
    /// # Errors
    /// If it does not end.
    pub fn end(&self) -> Result<(Option<i32>, String), String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                return Ok((status.code(), self.said()));
            }
            std::thread::sleep(POLL);
        }
        self.child.kill();
        Err(format!(
            "the probe did not end within {} s:\n{}",
            PATIENCE.as_secs(),
            self.said()
        ))
    }

    /// What it said up to now.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Kills it.
    pub fn kill(&self) {
        self.child.kill();
    }
}

/// The cluster file of rehearsals.
pub fn cluster() -> PathBuf {
    tests_dir().join("clusters/two-subnets-1.29.yaml")
}

/// A node's id.
///
/// # Errors
/// If it is none.
pub fn id(node: &str) -> Result<NodeId, String> {
    node.parse().map_err(|error| format!("{error}"))
}

fn coordinator(
    lab: &Lab,
    programs: &Programs,
    work: &Path,
    prefix: &str,
    arguments: &[&str],
) -> Result<Running, String> {
    let path = |name: &str| work.join(format!("{prefix}{name}"));
    let mut command = Command::new(&programs.plumbline);
    command
        .arg("check")
        .arg(cluster())
        .args([
            "--swarm",
            "joined",
            "--json-events",
            "--nodes",
            &format!("{FIRST},{SECOND}"),
        ])
        .args(["--listen", &format!("{}:0", lab.admin_address())])
        .arg("--join-file")
        .arg(path("join.json"))
        .arg("--out")
        .arg(path("report"))
        .arg("--identity")
        .arg(path("identity.pem"))
        .args(arguments)
        // Whatever it would log goes where tests look for secrets.
        .env("RUST_LOG", "trace");
    if !arguments.contains(&"--only") {
        // Who joins, with what and how it ends is asked; that nothing outside answers takes its time to find out.
        command.args(["--only", "access,reach,l2,l3,host"]);
    }
    if !arguments.contains(&"--max-rate") {
        // The lab's network belongs to nobody else, so nothing is paced.
        command.args(["--max-rate", "100000"]);
    }
    Running::start(&mut command)
}

fn invited(coordinator: &mut Running, join_file: &Path) -> Result<BTreeMap<NodeId, String>, String> {
    #[derive(serde::Deserialize)]
    struct JoinFile {
        nodes: BTreeMap<NodeId, String>,
    }
    coordinator.wait_for_event("the port to be bound", |event| event["event"] == "listening")?;
    let bytes = fs::read(join_file).map_err(|error| format!("read the join file: {error}"))?;
    let file: JoinFile =
        serde_json::from_slice(&bytes).map_err(|error| format!("read the join file: {error}"))?;
    Ok(file.nodes)
}

/// A probe that was refused, or whose run is over, ends in a second; a busy machine needs some more.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a process is looked at.
const POLL: Duration = Duration::from_millis(10);
