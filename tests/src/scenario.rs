//! Scenario files: what is planted, and what must be found, no more and no less.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
};

use plumbline_lab::Fault;
use plumbline_model::{cause::CauseKind, id::NodeId, port::PortSet, report::Report, report::Verdict};
use serde::Deserialize;

/// One scenario.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// One sentence for people.
    pub about: String,
    /// The cluster file, below `tests/clusters/`.
    pub cluster: String,
    /// What is planted before the audit.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// What happens while the audit runs.
    #[serde(default)]
    pub events: Vec<Event>,
    /// Further arguments of `plumbline check`.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// How many times it is run; each must end the same.
    #[serde(default = "once")]
    pub times: u32,
    /// What must come out.
    pub expect: Expectation,
}

fn once() -> u32 {
    1
}

/// Something that happens to a probe in mid-run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// The phase of the run at whose start it happens, as `--json-events` names it.
    pub at: String,
    /// What happens.
    pub what: What,
    /// To whose probe (or to the coordinator).
    pub to: NodeId,
}

/// What happens to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, for good.
    Freeze,
    /// SIGSTOP, and SIGCONT after ten seconds.
    StopTenSeconds,
    /// SIGINT.
    Interrupt,
}

/// What must come out of a scenario.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The verdict.
    pub verdict: Verdict,
    /// The exit code.
    pub exit: i32,
    /// Exactly these findings, in any order.
    #[serde(default)]
    pub findings: Vec<ExpectedFinding>,
}

/// One finding that must be there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedFinding {
    /// The cause's kind.
    pub kind: CauseKind,
    /// The node to touch; absent for a cause between nodes.
    #[serde(default)]
    pub node: Option<NodeId>,
    /// The sources of a cause between nodes.
    #[serde(default)]
    pub from: Option<BTreeSet<NodeId>>,
    /// The destinations of a cause between nodes.
    #[serde(default)]
    pub to: Option<BTreeSet<NodeId>>,
    /// The ports under it, all of them; absent where the scenario does not fix them.
    #[serde(default)]
    pub ports: Option<PortSet>,
    /// Words that the sentence must contain.
    #[serde(default)]
    pub says: Vec<String>,
    /// Words that the commands must contain.
    #[serde(default)]
    pub commands: Vec<String>,
}

/// Where `tests/` lies.
pub fn tests_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))?;
        serde_saphyr::from_str(&text).map_err(|error| format!("read {}: {error}", path.display()))
    }

    /// The path of its cluster file.
    pub fn cluster_path(&self) -> PathBuf {
        tests_dir().join("clusters").join(&self.cluster)
    }
}

impl Expectation {
    /// Every way in which a report is not what was expected.
    pub fn differences(&self, exit: Option<i32>, report: &Report) -> Vec<String> {
        let mut differences = Vec::new();
        if exit != Some(self.exit) {
            differences.push(format!("exit code {exit:?}, expected {}", self.exit));
        }
        if report.verdict != self.verdict {
            differences.push(format!(
                "verdict {:?}, expected {:?}",
                report.verdict, self.verdict
            ));
        }
        let mut left: Vec<Found> = report.findings.iter().map(Found::of).collect();
        for expected in &self.findings {
            match left.iter().position(|found| found.is(expected)) {
                Some(index) => {
                    left.remove(index);
                }
                None => differences.push(format!("missed: {expected:?}")),
            }
        }
        differences.extend(left.iter().map(|found| format!("not expected: {found}")));
        differences
    }
}

/// A finding as scenarios see it.
#[derive(Debug)]
struct Found {
    kind: CauseKind,
    node: Option<NodeId>,
    between: Option<(BTreeSet<NodeId>, BTreeSet<NodeId>)>,
    ports: PortSet,
    detail: String,
    commands: String,
}

impl Found {
    fn of(finding: &plumbline_model::report::Finding) -> Self {
        let set = |ids: &[NodeId]| ids.iter().copied().collect::<BTreeSet<_>>();
        Self {
            kind: finding.cause.kind,
            node: finding.cause.node,
            between: finding
                .cause
                .between
                .as_ref()
                .map(|[from, to]| (set(from), set(to))),
            ports: finding.affects.iter().map(|affect| affect.port).collect(),
            detail: finding.cause.detail.clone(),
            commands: finding.fix.commands.join("\n"),
        }
    }

    fn is(&self, expected: &ExpectedFinding) -> bool {
        let sides = self.between.as_ref();
        self.kind == expected.kind
            && self.node == expected.node
            && expected
                .from
                .as_ref()
                .is_none_or(|from| sides.is_some_and(|(found, _)| found == from))
            && expected
                .to
                .as_ref()
                .is_none_or(|to| sides.is_some_and(|(_, found)| found == to))
            && expected.ports.as_ref().is_none_or(|ports| *ports == self.ports)
            && expected.says.iter().all(|words| self.detail.contains(words))
            && expected
                .commands
                .iter()
                .all(|words| self.commands.contains(words))
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} node {:?} between {:?} ports {}: {}",
            self.kind, self.node, self.between, self.ports, self.detail
        )
    }
}
