//! The report: a pure function of the evidence. `docs/report.schema.json` is its contract.

mod assemble;
pub mod check;
mod checks;
mod config;
mod paste;
mod retest;
mod rollout;
#[cfg(test)]
pub(crate) mod stage;
mod standing;
#[cfg(test)]
mod tests;
mod time;
mod waive;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    cause::{Cause, Fix},
    evidence::{Entry, SwarmKind},
    id::{NodeId, Role, RunId},
    input,
    ledger::Ledger,
    observation::HostFacts,
    plan::{Expect, NoVantage, Plan},
    port::{Family, PortSet, Protocol},
    profile::{self, Source},
    version::Version,
    waiver::Waiver,
};

pub use self::standing::Standing;
pub(crate) use self::time::day_of;

/// The value of `schema`.
pub const SCHEMA: &str = "plumbline.report/v1";

/// The whole report, in the order in which it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The result: failed outranks incomplete outranks warned outranks passed.
    pub verdict: Verdict,
    /// The run.
    pub run: RunId,
    /// The cluster's name.
    pub cluster: String,
    /// The cluster's version.
    pub version: Version,
    /// Where probes came from: a lab is a rehearsal and says nothing of real nodes. Absent in reports of earlier builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swarm: Option<SwarmKind>,
    /// Whether addresses and names are pseudonyms, of which only the holder of a key knows whose they are. Absent if not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub redacted: bool,
    /// Start, RFC 3339 UTC with milliseconds.
    pub started: String,
    /// End, RFC 3339 UTC with milliseconds; absent if the evidence has no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished: Option<String>,
    /// The coordinator's version.
    pub coordinator_version: String,
    /// [`crate::evidence::ANALYSIS_VERSION`].
    pub analysis: u32,
    /// Inputs and profiles by name and SHA-256.
    pub inputs: Vec<Input>,
    /// The nodes, ascending.
    pub nodes: Vec<ReportNode>,
    /// Machines outside the cluster that stood for sources of rules, ascending; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vantages: Vec<ReportVantage>,
    /// Nodes and vantages that `--partial` left out, ascending: nothing is said of them.
    pub absent: Vec<Absent>,
    /// Nodes and vantages that `--nodes` or `--exclude` left out, ascending: nothing is said of them. Absent if there are
    /// none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<NodeId>,
    /// What is wrong, worst first.
    pub findings: Vec<Finding>,
    /// What became of each waiver, in the order of the waivers file. Absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<WaiverRow>,
    /// What became of every planned test, run-length by rule and outcome.
    pub reachability: Vec<ReachabilityRow>,
    /// Latency (with the issue that measures it).
    pub latency: Vec<serde_json::Value>,
    /// Throughput (with the issue that measures it).
    pub throughput: Vec<serde_json::Value>,
    /// Results by check.
    pub checks: Vec<CheckRow>,
    /// What was planned and not measured, grouped; then rules that must hold and have no ports, which change no verdict.
    pub not_measured: Vec<NotMeasuredRow>,
    /// How much of the plan the verdict rests on.
    pub coverage: Coverage,
    /// What became of an earlier run's failures, if this run makes them again (`--retest`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retest: Option<RetestSummary>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands a reference to what it may skip"
)]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// A node that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Absent {
    /// Who.
    pub node: NodeId,
    /// Why.
    pub why: String,
}

/// A retest set against the run whose failures it makes again. `tests` is the sum of the other counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetestSummary {
    /// The earlier run.
    pub run: RunId,
    /// SHA-256 of its `report.json`, lower-case hexadecimal.
    pub report_sha256: String,
    /// Tests that failed, or were not measured, in the earlier run.
    pub tests: u64,
    /// Those that are as expected now.
    pub fixed: u64,
    /// Those that are not.
    pub still_failing: u64,
    /// Those that were not measured this time.
    pub not_measured: u64,
    /// Those that no rule asks for any more, or whose nodes do not take part.
    pub left_out: u64,
    /// Outcomes then and now, ascending.
    pub changes: Vec<Change>,
}

/// Tests that had one outcome and have another, or the same again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The outcome's bare word in the earlier run.
    pub was: String,
    /// The outcome's bare word now.
    pub now: String,
    /// How many tests.
    pub tests: u64,
}

/// The result of an audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything planned was measured and is as expected.
    Passed,
    /// Nothing failed; something deserves a look.
    Warned,
    /// Something planned was not measured.
    Incomplete,
    /// Something is not as expected.
    Failed,
}

/// An input by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The name as the user gave it.
    pub name: String,
    /// SHA-256 of its text, lower-case hexadecimal.
    pub sha256: String,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportNode {
    /// Its id.
    pub id: NodeId,
    /// What people call it; absent if the file has no name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its roles.
    pub roles: Vec<Role>,
    /// Its version.
    pub version: Version,
    /// Its labels: rack, zone and others. Absent if it has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What its probe told last, without ruleset and neighbours (which stay in the evidence); absent if no probe joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facts: Option<HostFacts>,
}

/// A machine outside the cluster that stood for sources of rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportVantage {
    /// Its id: the address from which it asks.
    pub id: NodeId,
    /// What people call it.
    pub name: String,
    /// The sources of rules that it stands for, ascending.
    pub stands_for: Vec<Source>,
    /// What its probe told last, as for a node; absent if no probe joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facts: Option<HostFacts>,
}

/// The status of a finding or a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As expected.
    Pass,
    /// Deserves a look.
    Warn,
    /// Not measured: never a pass.
    NotMeasured,
    /// Not as expected.
    Fail,
}

/// How much a finding weighs in the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingSeverity {
    /// Nothing.
    Info,
    /// Warns.
    Warn,
    /// Fails.
    Fail,
}

/// One cause with everything under it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// `F1`, `F2`, ... in the order of the report.
    pub id: String,
    /// The check's stable id.
    pub check: String,
    /// Its status.
    pub status: Status,
    /// Its weight.
    pub severity: FindingSeverity,
    /// Why.
    pub cause: Cause,
    /// The nodes to touch, ascending, where one setting is the same on many; `cause.node` is absent then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeId>,
    /// Where in the inputs it stands, if it is about them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<FilePlace>,
    /// Failing tests under it, at most [`MAX_AFFECTS`], spread over the pairs.
    pub affects: Vec<Affect>,
    /// How many tests are under it in all.
    pub affects_total: u64,
    /// Attempts made at them, in all.
    pub attempts: u64,
    /// Lines of evidence.jsonl that show it, ascending, at most [`MAX_EVIDENCE`].
    pub evidence: Vec<u32>,
    /// What mends it.
    pub fix: Fix,
    /// Who answers for it: it then does not shape the verdict. What was not measured keeps a run incomplete all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<Waiver>,
}

/// What became of a waiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaiverRow {
    /// The waiver.
    pub waiver: Waiver,
    /// Whether it counts, by the day on which the run started (UTC).
    pub standing: WaiverStanding,
    /// How many findings it is about, one on several nodes counted for each; an expired one covers none of them.
    pub findings: u64,
}

/// Whether a waiver counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaiverStanding {
    /// It does.
    InForce,
    /// It does, for another fourteen days at most.
    ExpiresSoon,
    /// Its last day was before the run: what it is about counts again.
    Expired,
}

/// A place in an input.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilePlace {
    /// The file's name, as in [`Report::inputs`].
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// How many tests a finding lists one by one; `affects_total` has the whole number and `reachability` has every test.
pub const MAX_AFFECTS: usize = 50_000;

/// How many lines of evidence a finding names: enough to look it up, few enough to read.
pub const MAX_EVIDENCE: usize = 256;

/// One failing test.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affect {
    /// Source.
    pub src: NodeId,
    /// Destination.
    pub dst: NodeId,
    /// Family.
    pub family: Family,
    /// Transport.
    pub protocol: Protocol,
    /// Port.
    pub port: u16,
}

/// Tests of one pair and rule with the same outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReachabilityRow {
    /// Source.
    pub src: NodeId,
    /// Destination.
    pub dst: NodeId,
    /// Family.
    pub family: Family,
    /// Transport.
    pub protocol: Protocol,
    /// Ports, for example `22,30000-32767`.
    pub ports: PortSet,
    /// The rule's id.
    pub rule: String,
    /// What was expected.
    pub expect: Expect,
    /// The outcome's bare word.
    pub outcome: String,
    /// Attempts for each port.
    pub attempts: u32,
    /// ICMP type of a rejection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_type: Option<u8>,
    /// ICMP code of a rejection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_code: Option<u8>,
    /// Who sent the rejection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offender: Option<std::net::IpAddr>,
    /// Whether a rejection was concluded from other ports of the pair; absent if it was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inferred: Option<bool>,
    /// Answered attempts of a lossy port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered: Option<u32>,
    /// The errno of a resource outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<u32>,
    /// Why it was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Whence the peer's answer came, where that is another address than the one that was asked (UDP).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_from: Option<std::net::IpAddr>,
    /// What the outcome rests on, where that is not a test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Basis>,
}

/// What an outcome rests on where nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The packet filters of both ends, and another test of the pair that got through.
    Ruleset,
}

/// One check's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckRow {
    /// The check's stable id.
    pub id: String,
    /// Its status.
    pub status: Status,
    /// What it is about: a rule, a node.
    pub subject: String,
    /// One sentence.
    pub detail: String,
}

/// Something planned that was not measured, or that the port tables ask for and no probe can test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotMeasuredRow {
    /// What, for a person.
    pub what: String,
    /// Why.
    pub why: String,
}

/// How much of the plan was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// Distinct tests that were planned.
    pub planned: u64,
    /// Tests with an outcome of their own.
    pub measured: u64,
    /// Pair-ports that their source did not test, because ranges are shared among sources, and that are known by what another
    /// source measured at the same destination. What nobody measured is not among them.
    pub inferred: u64,
    /// Ports of live nodes that only a Service would serve, and none does: neither planned nor missed.
    pub no_service: u64,
    /// Ordered pairs with at least one test.
    pub pairs: u64,
    /// Batches that the evidence lacks (gaps in a probe's sequence).
    pub missing_batches: u64,
    /// Batches that arrived twice and were applied once.
    pub duplicate_batches: u64,
    /// Probes that came back after having been given up.
    pub late_probes: u64,
    /// Rules whose source nobody stands for.
    pub no_vantage: Vec<NoVantage>,
}

/// Why evidence makes no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// The first line is not a run record.
    #[error("build the report: line 1 of the evidence is not a run record")]
    NoRunRecord,
    /// A line belongs to another run.
    #[error("build the report: line {line} belongs to another run")]
    OtherRun {
        /// The line.
        line: u32,
    },
    /// A further run record.
    #[error("build the report: line {line} is a second run record")]
    SecondRunRecord {
        /// The line.
        line: u32,
    },
    /// Batches of a probe are out of order or do not follow each other.
    #[error("build the report: line {line} does not follow the batch before of node {node}")]
    BrokenChain {
        /// The line.
        line: u32,
        /// Whose.
        node: NodeId,
    },
    /// Evidence of another analysis version.
    #[error(
        "build the report: the evidence is for analysis version {found}, this program has {}",
        crate::evidence::ANALYSIS_VERSION
    )]
    OtherAnalysis {
        /// The version in the run record.
        found: u32,
    },
    /// The run record has no cluster file.
    #[error("build the report: the run record has no cluster file")]
    NoInput,
    /// The inputs do not read or plan any more.
    #[error("build the report: read the inputs again")]
    Inputs(#[source] crate::source::Refused),
}

/// Makes the report of an audit. The same evidence gives the same report, byte for byte.
///
/// # Errors
/// If the evidence is not one run's, in order.
pub fn report(evidence: &[Entry]) -> Result<Report, ReportError> {
    let ledger = Ledger::replay(evidence)?;
    if ledger.run.inputs.is_empty() {
        return Err(ReportError::NoInput);
    }
    let understood = input::read(&ledger.run.inputs, &ledger.run.profiles).map_err(ReportError::Inputs)?;
    let profiles =
        profile::all(&ledger.run.profiles, understood.declared.as_ref()).map_err(ReportError::Inputs)?;
    let plan = Plan::new(&understood.inventory, &profiles, &ledger.run.parameters);
    Ok(assemble::judge(&understood, &profiles, &plan, &ledger))
}
