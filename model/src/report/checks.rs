//! The rows of `checks[]`: one sentence about each rule and each node.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    evidence::Group,
    id::NodeId,
    inventory::Inventory,
    ledger::{Arm, Ledger},
    observation::{BindFailure, HostFacts, Life},
    plan::{Expect, Plan},
    port::{Family, PortRange, PortSet, Protocol},
    profile::{Profile, Severity, VersionStanding},
    verdict::{Cell, Outcome, PairVerdict, is_live_service},
};

use super::{Absent, CheckRow, Status, assemble::is_unserved, check};

/// A run that was judged.
pub(super) struct Judged<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) profiles: &'a [Profile],
    /// Without those who are left out.
    pub(super) plan: &'a Plan,
    pub(super) ledger: &'a Ledger<'a>,
    pub(super) pairs: &'a [PairVerdict],
    pub(super) absent: &'a [Absent],
    /// The rows of the checks over the files.
    pub(super) config: Vec<CheckRow>,
    /// The rows of the checks of assumptions.
    pub(super) assumptions: Vec<CheckRow>,
}

/// Every row, in the order in which a person asks: the file, the rules, the nodes.
pub(super) fn rows(run: Judged<'_>) -> Vec<CheckRow> {
    let (plan, ledger) = (run.plan, run.ledger);
    let mut rows = Vec::new();
    rows.extend(
        run.profiles
            .iter()
            .map(|profile| version_check(run.inventory, profile)),
    );
    rows.extend(run.config);
    rows.sort_by(|one, other| one.id.cmp(&other.id));
    rows.extend(plan.no_vantage.iter().map(|missing| CheckRow {
        id: check::VANTAGE.id.to_owned(),
        status: Status::Warn,
        subject: missing.rule.clone(),
        detail: format!("nobody stands for its source; {}", missing.remedy),
    }));
    rows.extend(rule_checks(plan, run.pairs));
    for node in &plan.participants {
        rows.extend(armed_checks(plan, ledger, *node));
    }
    if ledger.run.parameters.groups.contains(&Group::Access) {
        rows.extend(plan.participants.iter().map(|node| access_check(ledger, *node)));
    }
    rows.extend(plan.participants.iter().map(|node| swarm_check(ledger, *node)));
    rows.extend(run.assumptions);
    rows.extend(run.absent.iter().map(|absent| CheckRow {
        id: check::SWARM.id.to_owned(),
        status: Status::Warn,
        subject: absent.node.to_string(),
        detail: format!("left out: {}", absent.why),
    }));
    rows
}

fn version_check(inventory: &Inventory, profile: &Profile) -> CheckRow {
    let version = &inventory.version;
    let (status, detail) = match profile.standing(version.minor()) {
        VersionStanding::Known => (
            Status::Pass,
            format!("{} has port tables for {version}", profile.id),
        ),
        VersionStanding::NewerThan(newest) => (
            Status::Warn,
            format!(
                "{version} is newer than the newest port tables of {}; those of {newest} were used",
                profile.id
            ),
        ),
        VersionStanding::NeverExisted { below, above } => (
            Status::Fail,
            format!("{version} never existed; the nearest are {below} and {above}"),
        ),
    };
    CheckRow {
        id: check::VERSION.id.to_owned(),
        status,
        subject: profile.id.clone(),
        detail,
    }
}

/// Tests of one rule.
#[derive(Default)]
struct Tally {
    good: u64,
    lossy: u64,
    bad: u64,
    unmeasured: u64,
    /// Ports of live nodes that only a Service would serve, and none does.
    unserved: u64,
}

/// A rule's results in the making.
struct RuleTally<'a> {
    rule: &'a str,
    protocol: Protocol,
    expect: Expect,
    severity: Severity,
    tally: Tally,
}

fn rule_checks(plan: &Plan, pairs: &[PairVerdict]) -> Vec<CheckRow> {
    // In the order in which the plan names the rules.
    let mut order: BTreeMap<(&str, Expect), usize> = BTreeMap::new();
    let mut rules: Vec<RuleTally<'_>> = Vec::new();
    for block in &plan.blocks {
        order.entry((&block.rule, block.expect)).or_insert_with(|| {
            rules.push(RuleTally {
                rule: &block.rule,
                protocol: block.protocol,
                expect: block.expect,
                severity: block.severity,
                tally: Tally::default(),
            });
            rules.len() - 1
        });
    }
    for pair in pairs {
        for (index, ports) in &pair.blocks {
            let block = &plan.blocks[*index];
            let Some(rule) = order.get(&(block.rule.as_str(), block.expect)) else {
                continue;
            };
            let tally = &mut rules[*rule].tally;
            for cell in &pair.cells {
                let count = u64::from(cell.ports.intersection(ports).count());
                tally.add(cell, count, block.expect);
            }
        }
    }
    rules.iter().map(RuleTally::row).collect()
}

impl Tally {
    fn add(&mut self, cell: &Cell, count: u64, expect: Expect) {
        let field = match (&cell.outcome, expect) {
            _ if is_unserved(cell) => &mut self.unserved,
            (outcome, _) if !outcome.is_measured() => &mut self.unmeasured,
            (Outcome::Lossy { .. }, Expect::Open) => &mut self.lossy,
            (outcome, Expect::Open) if outcome.is_open() => &mut self.good,
            (outcome, Expect::Blocked) if !outcome.answers() => &mut self.good,
            _ => &mut self.bad,
        };
        *field += count;
    }
}

impl RuleTally<'_> {
    fn row(&self) -> CheckRow {
        let Tally {
            good,
            lossy,
            bad,
            unmeasured,
            unserved,
        } = self.tally;
        let status = match (bad, unmeasured, lossy) {
            (1.., _, _) if self.severity == Severity::Fail => Status::Fail,
            (_, 1.., _) => Status::NotMeasured,
            (1.., _, _) | (_, _, 1..) => Status::Warn,
            _ => Status::Pass,
        };
        let total = good + lossy + bad + unmeasured;
        let (id, as_expected) = match (self.expect, self.protocol) {
            (Expect::Open, Protocol::Udp) => (check::REACH_UDP.id, "open"),
            (Expect::Open, _) => (check::REACH_TCP.id, "open"),
            (Expect::Blocked, _) => (check::EXPOSURE.id, "closed to the network"),
        };
        let mut detail = format!(
            "{good} of {total} {} {as_expected}",
            if total == 1 { "test" } else { "tests" }
        );
        for (count, word) in [
            (bad, "not"),
            (lossy, "lossy"),
            (unmeasured, "not measured"),
            (unserved, "not made for want of a Service"),
        ] {
            if count > 0 {
                detail.push_str(&format!(", {count} {word}"));
            }
        }
        CheckRow {
            id: id.to_owned(),
            status,
            subject: self.rule.to_owned(),
            detail,
        }
    }
}

/// What became of the ports of one node and family, over all transports.
#[derive(Default)]
struct Ports {
    /// A responder of ours stands there.
    ready: u32,
    /// A service of a live node, or sshd, stands there: its ports by transport, in order of the first one it was met on.
    served: Vec<Served>,
    /// Nobody does, on a live node; ports that only a Service would serve need no listener.
    idle: u32,
    /// Live, and who listens could not be read.
    untold: u32,
    refused: Vec<String>,
    status: Option<Status>,
}

/// The ports of one transport that processes of one name hold.
struct Served {
    process: Option<String>,
    protocol: Protocol,
    ports: PortSet,
}

/// Whether the responders of a node could listen, by family; nothing for a node that none was asked of.
fn armed_checks(plan: &Plan, ledger: &Ledger<'_>, node: NodeId) -> Vec<CheckRow> {
    let mut by_family: BTreeMap<Family, Ports> = BTreeMap::new();
    let armed = ledger
        .node(node)
        .into_iter()
        .flat_map(|log| log.armed_by_transport());
    for ((family, protocol), map) in armed {
        let ports = by_family.entry(*family).or_default();
        let through_services = plan.service_ports_at(node, *family, *protocol);
        for (range, told) in map.runs() {
            ports.add(*range, *protocol, told.what, &through_services);
        }
    }
    let rows = by_family.into_iter().filter_map(|(family, ports)| {
        Some(CheckRow {
            id: check::PORTS_FREE.id.to_owned(),
            status: ports.status?,
            subject: node.to_string(),
            detail: format!("over {family}: {}", ports.said()),
        })
    });
    rows.collect()
}

impl Ports {
    fn add(&mut self, range: PortRange, protocol: Protocol, arm: Arm<'_>, through_services: &PortSet) {
        let mut status = Status::Pass;
        match arm {
            Arm::Ready => self.ready += range.count(),
            Arm::Refused(BindFailure::NoListener) => {
                self.idle += PortSet::from(range).difference(through_services).count();
            }
            Arm::Refused(BindFailure::Live) => self.untold += range.count(),
            Arm::Refused(failure) if is_live_service(range.first(), failure) => {
                self.serves(range, protocol, failure);
            }
            Arm::Refused(failure) => {
                status = match failure {
                    BindFailure::Taken { .. } | BindFailure::AddressMissing => Status::Fail,
                    _ => Status::NotMeasured,
                };
                self.refused
                    .push(format!("{range}/{protocol} {}", failure_words(failure)));
            }
        }
        self.status = self.status.max(Some(status));
    }

    fn serves(&mut self, range: PortRange, protocol: Protocol, failure: &BindFailure) {
        let process = match failure {
            BindFailure::Service { process, .. } | BindFailure::Taken { process, .. } => process.as_ref(),
            _ => None,
        };
        let is_same = |known: &&mut Served| (known.process.as_ref(), known.protocol) == (process, protocol);
        match self.served.iter_mut().find(is_same) {
            Some(known) => known.ports.extend(&PortSet::from(range)),
            None => self.served.push(Served {
                process: process.cloned(),
                protocol,
                ports: range.into(),
            }),
        }
    }

    /// Who serves what, as far as a line of a report holds it.
    fn served_by(&self) -> String {
        let named = self.served.iter().take(MAX_SERVICES).map(|served| {
            let process = served.process.as_deref().unwrap_or(UNSEEN);
            format!("{}/{} by {process}", served.ports, served.protocol)
        });
        let more = self.served.len().saturating_sub(MAX_SERVICES);
        let more = (more > 0).then(|| format!("{more} more services"));
        named.chain(more).collect::<Vec<_>>().join("; ")
    }

    fn said(&self) -> String {
        let served: u32 = self.served.iter().map(|served| served.ports.count()).sum();
        let what_is_served = format!("served ({})", self.served_by());
        let counted = [
            (self.ready, "free"),
            (served, &what_is_served),
            (self.idle, "without a listener"),
            (self.untold, "left alone on a live node"),
        ];
        let counted = counted.iter().filter(|(count, _)| *count > 0);
        let said = counted.map(|(count, what)| {
            let ports = if *count == 1 { "port" } else { "ports" };
            format!("{count} {ports} {what}")
        });
        said.chain(self.refused.iter().cloned())
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// A tunnel's socket is the kernel's; other users' processes show themselves to root alone.
const UNSEEN: &str = "the kernel or a process that the probe may not see";
/// More services than the tables know are those of NodePorts.
const MAX_SERVICES: usize = 24;

fn failure_words(failure: &BindFailure) -> String {
    match failure {
        BindFailure::Taken { process, pid } => {
            let process = process.as_deref().unwrap_or("another process");
            pid.map_or_else(
                || format!("held by {process}"),
                |pid| format!("held by {process} (pid {pid})"),
            )
        }
        BindFailure::Privilege => "not permitted to the probe".to_owned(),
        BindFailure::AddressMissing => "without the data address on the host".to_owned(),
        BindFailure::OpenFiles => "beyond the limit on open files".to_owned(),
        BindFailure::Live => "of a live node".to_owned(),
        BindFailure::Service { process, .. } => {
            format!(
                "served by {}",
                process.as_deref().unwrap_or("a service of the live node")
            )
        }
        BindFailure::NoListener => "of a live node, without a listener".to_owned(),
        BindFailure::Policy => "refused by the local policy".to_owned(),
        BindFailure::Other { errno } => format!("refused by the kernel (errno {errno})"),
    }
}

fn swarm_check(ledger: &Ledger<'_>, node: NodeId) -> CheckRow {
    let (status, detail) = match ledger.node(node) {
        Some(log) if log.lost.is_some() => (Status::NotMeasured, "its probe was lost"),
        Some(log) if log.joined.is_some() => (Status::Pass, "its probe joined and stayed"),
        _ => (Status::NotMeasured, "its probe did not join"),
    };
    CheckRow {
        id: check::SWARM.id.to_owned(),
        status,
        subject: node.to_string(),
        detail: detail.to_owned(),
    }
}

/// Whether a node can be reached and driven: its probe proved itself, and told of its host.
fn access_check(ledger: &Ledger<'_>, node: NodeId) -> CheckRow {
    let log = ledger.node(node);
    let joined = log.and_then(|log| log.joined);
    let facts = log.and_then(|log| log.facts);
    let (status, detail) = match (joined, facts) {
        (None, _) => (
            Status::NotMeasured,
            "its probe did not reach the coordinator".to_owned(),
        ),
        (Some(_), None) => (
            Status::NotMeasured,
            "its probe joined and told nothing of its host".to_owned(),
        ),
        (Some(_), Some(facts)) => (Status::Pass, host_words(facts.what)),
    };
    let refusal = log.and_then(|log| log.refused);
    let (status, detail) = match refusal {
        Some(told) => (
            Status::NotMeasured,
            format!("its probe refused the work: {}", told.what),
        ),
        None => (status, detail),
    };
    CheckRow {
        id: check::ACCESS.id.to_owned(),
        status,
        subject: node.to_string(),
        detail,
    }
}

/// `live, Linux 6.1.0; may bind low ports, capture; may not read the packet filter`.
fn host_words(facts: &HostFacts) -> String {
    let life = match facts.life {
        Life::Bare => "bare",
        Life::Live => "live",
    };
    let able = [
        (facts.capabilities.bind_low_ports, "bind low ports"),
        (facts.capabilities.capture, "capture"),
        (facts.capabilities.read_ruleset, "read the packet filter"),
    ];
    let words = |may: bool| {
        let words: BTreeSet<&str> = able
            .iter()
            .filter(|(can, _)| *can == may)
            .map(|(_, what)| *what)
            .collect();
        words.into_iter().collect::<Vec<_>>().join(", ")
    };
    let mut said = format!("{life}, Linux {}", facts.kernel);
    for (what, words) in [("may", words(true)), ("may not", words(false))] {
        if !words.is_empty() {
            said.push_str(&format!("; {what} {words}"));
        }
    }
    said
}
