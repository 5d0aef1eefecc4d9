//! What must come out of a scenario, and how a report is held against it.

use std::{collections::BTreeSet, fmt, net::IpAddr};

use plumbline_model::{
    cause::CauseKind,
    id::NodeId,
    port::{Family, PortSet, Protocol},
    report::{CheckRow, Finding, ReachabilityRow, Report, Status, Verdict},
};
use serde::Deserialize;

/// What must come out of a scenario.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The verdict.
    pub verdict: Verdict,
    /// The exit code.
    pub exit: i32,
    /// Exactly these findings, in any order; what the cluster file's waivers accept is none of them.
    #[serde(default)]
    pub findings: Vec<ExpectedFinding>,
    /// What must have become of some of the tests.
    #[serde(default)]
    pub outcomes: Vec<ExpectedOutcome>,
    /// Rows of checks that must be there.
    #[serde(default)]
    pub checks: Vec<ExpectedCheck>,
}

/// Rows of a check that must be there: so many as there are subjects to name, or at least one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedCheck {
    /// The check's id.
    pub id: String,
    /// Its status.
    pub status: Status,
    /// Words of the subjects, one for each row; absent for any one row.
    #[serde(default)]
    pub of: Vec<String>,
    /// Words that the sentence of each must contain.
    #[serde(default)]
    pub says: Vec<String>,
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
    /// The families under it, all of them; absent where the scenario does not fix them.
    #[serde(default)]
    pub families: Option<BTreeSet<Family>>,
    /// The transports under it, all of them; absent where the scenario does not fix them.
    #[serde(default)]
    pub protocols: Option<BTreeSet<Protocol>>,
    /// Its status.
    #[serde(default)]
    pub status: Option<Status>,
    /// Words that the sentence must contain.
    #[serde(default)]
    pub says: Vec<String>,
    /// Words that the remedy's sentences must contain.
    #[serde(default)]
    pub remedy: Vec<String>,
    /// Words that the commands must contain.
    #[serde(default)]
    pub commands: Vec<String>,
}

/// What must have become of some tests: every one of them is in the report, and has this outcome.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedOutcome {
    /// The sources.
    pub from: BTreeSet<NodeId>,
    /// The destinations.
    pub to: BTreeSet<NodeId>,
    /// The family.
    #[serde(default = "ipv4")]
    pub family: Family,
    /// The transport.
    #[serde(default = "tcp")]
    pub protocol: Protocol,
    /// The ports.
    pub ports: PortSet,
    /// The outcome's word; one of several where chance decides.
    pub outcome: OneOrMore,
    /// Type and code of a rejection.
    #[serde(default)]
    pub icmp: Option<(u8, u8)>,
    /// Who sent a rejection.
    #[serde(default)]
    pub offender: Option<IpAddr>,
    /// Why it was not measured.
    #[serde(default)]
    pub why: Option<String>,
}

/// A word, or any of several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum OneOrMore {
    /// This one.
    One(String),
    /// Any of these.
    More(Vec<String>),
}

fn ipv4() -> Family {
    Family::Ipv4
}

fn tcp() -> Protocol {
    Protocol::Tcp
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
        let counts = |finding: &&Finding| finding.waived.is_none();
        let mut left: Vec<Found> = report.findings.iter().filter(counts).map(Found::of).collect();
        for expected in &self.findings {
            match left.iter().position(|found| found.is(expected)) {
                Some(index) => {
                    left.remove(index);
                }
                None => differences.push(format!("missed: {expected:?}")),
            }
        }
        differences.extend(left.iter().map(|found| format!("not expected: {found}")));
        differences.extend(
            self.outcomes
                .iter()
                .flat_map(|expected| expected.differences(&report.reachability)),
        );
        differences.extend(
            self.checks
                .iter()
                .flat_map(|expected| expected.differences(&report.checks)),
        );
        differences
    }
}

impl ExpectedCheck {
    fn differences(&self, rows: &[CheckRow]) -> Vec<String> {
        let is = |row: &CheckRow, subject: &str| {
            row.id == self.id
                && row.status == self.status
                && row.subject.contains(subject)
                && self.says.iter().all(|words| row.detail.contains(words.as_str()))
        };
        let any = [String::new()];
        let subjects: &[String] = if self.of.is_empty() { &any } else { &self.of };
        let missing = subjects
            .iter()
            .filter(|subject| !rows.iter().any(|row| is(row, subject.as_str())));
        missing
            .map(|subject| {
                let there: Vec<String> = rows
                    .iter()
                    .filter(|row| row.id == self.id)
                    .map(|row| format!("{:?} of {}: {}", row.status, row.subject, row.detail))
                    .collect();
                format!(
                    "no row of {} is {:?} of {subject:?} and says {:?}; there are {there:?}",
                    self.id, self.status, self.says
                )
            })
            .collect()
    }
}

impl ExpectedOutcome {
    fn differences(&self, rows: &[ReachabilityRow]) -> Vec<String> {
        let pairs = self
            .from
            .iter()
            .flat_map(|from| self.to.iter().map(move |to| (*from, *to)));
        // A node does not test itself.
        pairs
            .filter(|(from, to)| from != to)
            .filter_map(|(from, to)| self.difference(from, to, rows))
            .collect()
    }

    fn difference(&self, from: NodeId, to: NodeId, rows: &[ReachabilityRow]) -> Option<String> {
        let what = || {
            let Self {
                family,
                protocol,
                ports,
                ..
            } = self;
            format!("{from} to {to}, {family} {protocol} {ports}")
        };
        let about = |row: &&ReachabilityRow| {
            (row.src, row.dst, row.family, row.protocol) == (from, to, self.family, self.protocol)
                && !row.ports.intersection(&self.ports).is_empty()
        };
        let mut told = PortSet::new();
        for row in rows.iter().filter(about) {
            told.extend(&row.ports);
            if !self.is(row) {
                return Some(format!("{}: expected {:?}, found {row:?}", what(), self.outcome));
            }
        }
        let missing = self.ports.difference(&told);
        (!missing.is_empty()).then(|| format!("{}: the report tells nothing of {missing}", what()))
    }

    fn is(&self, row: &ReachabilityRow) -> bool {
        let word = match &self.outcome {
            OneOrMore::One(word) => *word == row.outcome,
            OneOrMore::More(words) => words.contains(&row.outcome),
        };
        word && self
            .icmp
            .is_none_or(|icmp| row.icmp_type.zip(row.icmp_code) == Some(icmp))
            && self
                .offender
                .is_none_or(|offender| row.offender == Some(offender))
            && self.why.as_ref().is_none_or(|why| row.why.as_ref() == Some(why))
    }
}

/// A finding as scenarios see it.
#[derive(Debug)]
struct Found {
    kind: CauseKind,
    node: Option<NodeId>,
    between: Option<(BTreeSet<NodeId>, BTreeSet<NodeId>)>,
    status: Status,
    ports: PortSet,
    families: BTreeSet<Family>,
    protocols: BTreeSet<Protocol>,
    detail: String,
    remedy: String,
    commands: String,
}

impl Found {
    fn of(finding: &Finding) -> Self {
        let set = |ids: &[NodeId]| ids.iter().copied().collect::<BTreeSet<_>>();
        let affects = || finding.affects.iter();
        Self {
            kind: finding.cause.kind,
            node: finding.cause.node,
            between: finding
                .cause
                .between
                .as_ref()
                .map(|[from, to]| (set(from), set(to))),
            status: finding.status,
            ports: affects().map(|affect| affect.port).collect(),
            families: affects().map(|affect| affect.family).collect(),
            protocols: affects().map(|affect| affect.protocol).collect(),
            detail: finding.cause.detail.clone(),
            remedy: finding.fix.text.clone(),
            commands: finding.fix.commands.join("\n"),
        }
    }

    fn is(&self, expected: &ExpectedFinding) -> bool {
        let sides = self.between.as_ref();
        self.kind == expected.kind
            && self.node == expected.node
            && is_or_open(&expected.from, sides.map(|(from, _)| from))
            && is_or_open(&expected.to, sides.map(|(_, to)| to))
            && is_or_open(&expected.ports, Some(&self.ports))
            && is_or_open(&expected.families, Some(&self.families))
            && is_or_open(&expected.protocols, Some(&self.protocols))
            && is_or_open(&expected.status, Some(&self.status))
            && expected.says.iter().all(|words| self.detail.contains(words))
            && expected.remedy.iter().all(|words| self.remedy.contains(words))
            && expected
                .commands
                .iter()
                .all(|words| self.commands.contains(words))
    }
}

/// Whether something is as expected, or nothing is expected of it.
fn is_or_open<T: PartialEq>(expected: &Option<T>, found: Option<&T>) -> bool {
    expected.as_ref().is_none_or(|expected| found == Some(expected))
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} {:?} node {:?} between {:?} {:?} {:?} ports {}: {}\n  {}\n  {}",
            self.status,
            self.kind,
            self.node,
            self.between,
            self.families,
            self.protocols,
            self.ports,
            self.detail,
            self.remedy,
            self.commands.replace('\n', "\n  ")
        )
    }
}
