//! The report put together from verdicts and causes.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    canonical,
    cause::{Opinion, Side, ask_range, drops_silently, explain, place_unsampled},
    evidence::ANALYSIS_VERSION,
    id::NodeId,
    inventory::Inventory,
    ledger::{Arm, Ledger},
    observation::{BindFailure, HostFacts},
    plan::{Expect, Plan},
    port::{PortRange, PortSet},
    profile::{Profile, Severity, VersionStanding},
    verdict::{
        Cell, Filter, Outcome, PairVerdict, Verdicts, Way, Why, infer_rejections, judge_busy, pairs_of,
        recognise_loss, share_unresolved_neighbours,
    },
};

use super::{
    CheckRow, Coverage, Finding, FindingSeverity, Input, NotMeasuredRow, ReachabilityRow, Report, ReportNode,
    SCHEMA, Status, Verdict, check, time::rfc3339,
};

/// Judges a run whose plan is known.
pub(super) fn judge(inventory: &Inventory, profiles: &[Profile], plan: &Plan, ledger: &Ledger<'_>) -> Report {
    // Who stays away with --partial has no part in what was planned.
    let plan = &plan.without(&ledger.left_out());
    let Verdicts { mut pairs, inferred } = pairs_of(plan, ledger);
    for pair in &mut pairs {
        recognise_loss(pair);
        infer_rejections(pair, |pair, ports| drops_silently(ledger, pair, ports));
    }
    judge_busy(
        &mut pairs,
        |pair, range, way| filters(ledger, pair, range, way),
        |node| Some(ledger.node(node)?.ruleset?.line),
    );
    place_unsampled(ledger, &mut pairs);
    share_unresolved_neighbours(&mut pairs);
    let findings = explain(plan, ledger, &pairs);
    let coverage = coverage(plan, ledger, &pairs, inferred);
    let checks = checks(inventory, profiles, plan, ledger, &pairs);
    let run = ledger.run;
    Report {
        schema: SCHEMA.to_owned(),
        verdict: verdict(&findings, &checks, &coverage),
        run: run.run.clone(),
        cluster: inventory.name.clone(),
        version: inventory.version.clone(),
        started: rfc3339(run.started_unix_ms),
        finished: ledger
            .took_ms
            .map(|took_ms| rfc3339(run.started_unix_ms.saturating_add(took_ms))),
        coordinator_version: run.coordinator_version.clone(),
        analysis: ANALYSIS_VERSION,
        inputs: inputs(ledger),
        nodes: nodes(inventory, ledger),
        findings,
        reachability: reachability(plan, &pairs),
        latency: Vec::new(),
        throughput: Vec::new(),
        checks,
        not_measured: not_measured(&pairs),
        coverage,
    }
}

/// What the packet filter on one way of a test does with it.
fn filters(ledger: &Ledger<'_>, pair: &PairVerdict, range: PortRange, way: Way) -> Vec<(PortRange, Filter)> {
    let side = match way {
        Way::Out => Side::Out,
        Way::In => Side::In,
        Way::AnswerOut => Side::AnswerOut,
        Way::AnswerIn => Side::AnswerIn,
    };
    let asked = ask_range(ledger, (pair.src, pair.dst, pair.transport), range, side);
    asked
        .into_iter()
        .map(|(range, opinion)| match opinion {
            Opinion::Accepts => (range, Filter::Passes),
            Opinion::Stops(_) => (range, Filter::Stops),
            Opinion::None => (range, Filter::Untold),
        })
        .collect()
}

/// Failed outranks incomplete outranks warned outranks passed.
fn verdict(findings: &[Finding], checks: &[CheckRow], coverage: &Coverage) -> Verdict {
    let has = |status| findings.iter().any(|finding| finding.status == status);
    let warns = |finding: &Finding| finding.severity >= FindingSeverity::Warn;
    if findings
        .iter()
        .any(|finding| finding.status == Status::Fail && finding.severity == FindingSeverity::Fail)
    {
        Verdict::Failed
    } else if has(Status::NotMeasured) || coverage.measured < coverage.planned || coverage.missing_batches > 0
    {
        Verdict::Incomplete
    } else if findings.iter().any(warns)
        || checks
            .iter()
            .any(|row| row.status == Status::Warn && row.id != check::REACH_TCP.id)
        || !coverage.no_vantage.is_empty()
    {
        Verdict::Warned
    } else {
        Verdict::Passed
    }
}

fn inputs(ledger: &Ledger<'_>) -> Vec<Input> {
    let texts = ledger.run.inputs.iter().chain(&ledger.run.profiles);
    texts
        .map(|source| Input {
            name: source.name.clone(),
            sha256: canonical::sha256(source.text.as_bytes()),
        })
        .collect()
}

fn nodes(inventory: &Inventory, ledger: &Ledger<'_>) -> Vec<ReportNode> {
    let facts = |id: NodeId| -> Option<HostFacts> {
        let facts = ledger.node(id)?.facts?.what;
        Some(HostFacts {
            ruleset: None,
            ..facts.clone()
        })
    };
    inventory
        .nodes
        .iter()
        .map(|node| ReportNode {
            id: node.id,
            roles: node.roles.iter().copied().collect(),
            version: node.version.clone(),
            facts: facts(node.id),
        })
        .collect()
}

/// Blocks of one rule in the order in which the plan first names the rule; the same rule asked twice of a pair (by the
/// node's own version and by the target's) is one row.
fn reachability(plan: &Plan, pairs: &[PairVerdict]) -> Vec<ReachabilityRow> {
    let mut rows = Vec::new();
    for pair in pairs {
        let mut rules: Vec<(&str, Expect, PortSet)> = Vec::with_capacity(pair.blocks.len());
        for (index, ports) in &pair.blocks {
            let block = &plan.blocks[*index];
            match rules
                .iter_mut()
                .find(|(rule, expect, _)| *rule == block.rule && *expect == block.expect)
            {
                Some((_, _, known)) => known.extend(ports),
                None => rules.push((&block.rule, block.expect, ports.clone())),
            }
        }
        for (rule, expect, ports) in rules {
            for cell in &pair.cells {
                let ports = cell.ports.intersection(&ports);
                if !ports.is_empty() {
                    rows.push(row(pair, cell, ports, rule, expect));
                }
            }
        }
    }
    rows
}

fn row(pair: &PairVerdict, cell: &Cell, ports: PortSet, rule: &str, expect: Expect) -> ReachabilityRow {
    let (family, protocol) = pair.transport;
    let mut row = ReachabilityRow {
        src: pair.src,
        dst: pair.dst,
        family,
        protocol,
        ports,
        rule: rule.to_owned(),
        expect,
        outcome: cell.outcome.word().to_owned(),
        attempts: cell.attempts,
        icmp_type: None,
        icmp_code: None,
        offender: None,
        inferred: None,
        answered: None,
        errno: None,
        why: None,
    };
    match &cell.outcome {
        Outcome::Rejected {
            icmp,
            offender,
            inferred,
        } => {
            row.icmp_type = icmp.map(|(icmp_type, _)| icmp_type);
            row.icmp_code = icmp.map(|(_, code)| code);
            row.offender = *offender;
            row.inferred = inferred.then_some(true);
        }
        Outcome::Lossy { answered } => row.answered = Some(*answered),
        Outcome::Resource { errno } => row.errno = Some(*errno),
        Outcome::NotMeasured(why) => row.why = Some(why.word().to_owned()),
        _ => {}
    }
    row
}

fn coverage(plan: &Plan, ledger: &Ledger<'_>, pairs: &[PairVerdict], inferred: u64) -> Coverage {
    let cells = || pairs.iter().flat_map(|pair| &pair.cells);
    let count = |cell: &Cell| u64::from(cell.ports.count());
    let directed: BTreeSet<(NodeId, NodeId)> = pairs.iter().map(|pair| (pair.src, pair.dst)).collect();
    let amount = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    Coverage {
        planned: pairs.iter().map(|pair| u64::from(pair.planned.count())).sum(),
        measured: cells().filter(|cell| cell.outcome.is_measured()).map(count).sum(),
        inferred,
        pairs: amount(directed.len()),
        missing_batches: ledger.missing_batches,
        duplicate_batches: ledger.duplicate_batches,
        late_probes: amount(ledger.nodes.values().filter(|log| log.late.is_some()).count()),
        no_vantage: plan.no_vantage.clone(),
    }
}

/// What was not measured, by reason and by the node that the reason belongs to.
fn not_measured(pairs: &[PairVerdict]) -> Vec<NotMeasuredRow> {
    let mut grouped: BTreeMap<(Why, Option<NodeId>), (u64, PortSet)> = BTreeMap::new();
    let mut exhausted: BTreeMap<NodeId, u64> = BTreeMap::new();
    for pair in pairs {
        for cell in &pair.cells {
            match cell.outcome {
                Outcome::NotMeasured(why) => {
                    let (count, ports) = grouped.entry((why, place(why, pair))).or_default();
                    *count += u64::from(cell.ports.count());
                    ports.extend(&cell.ports);
                }
                Outcome::Resource { .. } => {
                    *exhausted.entry(pair.src).or_default() += u64::from(cell.ports.count());
                }
                _ => {}
            }
        }
    }
    let rows = grouped.into_iter().map(|((why, node), (count, ports))| {
        let preposition = if place_is_source(why) { "from" } else { "to" };
        let place = node.map_or_else(String::new, |node| format!(" {preposition} {node}"));
        NotMeasuredRow {
            what: format!("{count} tests{place}, ports {ports}"),
            why: said(why).to_owned(),
        }
    });
    let resources = exhausted.into_iter().map(|(node, count)| NotMeasuredRow {
        what: format!("{count} tests from {node}"),
        why: "the probe ran out of a resource".to_owned(),
    });
    rows.chain(resources).collect()
}

fn place_is_source(why: Why) -> bool {
    matches!(why, Why::SourceLost | Why::Policy | Why::Unreported)
}

fn place(why: Why, pair: &PairVerdict) -> Option<NodeId> {
    match why {
        Why::Interrupted | Why::Unsupported => None,
        _ if place_is_source(why) => Some(pair.src),
        _ => Some(pair.dst),
    }
}

fn said(why: Why) -> &'static str {
    match why {
        Why::SourceLost => "the source's probe did not join or was lost",
        Why::DestinationLost => "the destination's probe did not join or was lost",
        Why::NotArmed => "the destination's probe could not listen there",
        Why::LiveNode => "the destination is live and its ports are not disturbed",
        Why::NoAddress => "one of the two has no address of the family",
        Why::NoService => "the destination is live and no Service uses them",
        Why::BusyUdp => {
            "the destination is live, nothing is sent to its UDP services, and the packet filters do not tell"
        }
        Why::Policy => "a local policy refuses them",
        Why::Interrupted => "the run was interrupted",
        Why::Unreported => "the source's probe did not report them",
        Why::Unsupported => "this build cannot make them",
    }
}

fn checks(
    inventory: &Inventory,
    profiles: &[Profile],
    plan: &Plan,
    ledger: &Ledger<'_>,
    pairs: &[PairVerdict],
) -> Vec<CheckRow> {
    let mut rows = Vec::new();
    rows.extend(profiles.iter().map(|profile| version_check(inventory, profile)));
    rows.extend(plan.no_vantage.iter().map(|missing| CheckRow {
        id: check::VANTAGE.id.to_owned(),
        status: Status::Warn,
        subject: missing.rule.clone(),
        detail: format!("nobody stands for its source; {}", missing.remedy),
    }));
    rows.extend(rule_checks(plan, pairs));
    rows.extend(
        plan.participants
            .iter()
            .filter_map(|node| armed_check(ledger, *node)),
    );
    rows.extend(plan.participants.iter().map(|node| swarm_check(ledger, *node)));
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
}

fn rule_checks(plan: &Plan, pairs: &[PairVerdict]) -> Vec<CheckRow> {
    // In the order in which the plan names the rules.
    let mut order: BTreeMap<(&str, Expect), usize> = BTreeMap::new();
    let mut rules: Vec<(&str, Expect, Severity, Tally)> = Vec::new();
    for block in &plan.blocks {
        order.entry((&block.rule, block.expect)).or_insert_with(|| {
            rules.push((&block.rule, block.expect, block.severity, Tally::default()));
            rules.len() - 1
        });
    }
    for pair in pairs {
        for (index, ports) in &pair.blocks {
            let block = &plan.blocks[*index];
            let Some(rule) = order.get(&(block.rule.as_str(), block.expect)) else {
                continue;
            };
            let tally = &mut rules[*rule].3;
            for cell in &pair.cells {
                tally.add(
                    cell,
                    u64::from(cell.ports.intersection(ports).count()),
                    block.expect,
                );
            }
        }
    }
    rules
        .into_iter()
        .map(|(rule, expect, severity, tally)| tally.row(rule, expect, severity))
        .collect()
}

impl Tally {
    fn add(&mut self, cell: &Cell, count: u64, expect: Expect) {
        let field = match (&cell.outcome, expect) {
            (outcome, _) if !outcome.is_measured() => &mut self.unmeasured,
            (Outcome::Lossy { .. }, Expect::Open) => &mut self.lossy,
            (outcome, Expect::Open) if outcome.is_open() => &mut self.good,
            (outcome, Expect::Blocked) if !outcome.is_open() => &mut self.good,
            _ => &mut self.bad,
        };
        *field += count;
    }

    fn row(&self, rule: &str, expect: Expect, severity: Severity) -> CheckRow {
        let status = match (self.bad, self.unmeasured, self.lossy) {
            (1.., _, _) if severity == Severity::Fail => Status::Fail,
            (_, 1.., _) => Status::NotMeasured,
            (1.., _, _) | (_, _, 1..) => Status::Warn,
            _ => Status::Pass,
        };
        let total = self.good + self.lossy + self.bad + self.unmeasured;
        let (id, as_expected) = match expect {
            Expect::Open => (check::REACH_TCP.id, "open"),
            Expect::Blocked => (check::EXPOSURE.id, "closed to the network"),
        };
        let mut detail = format!("{} of {total} tests {as_expected}", self.good);
        for (count, word) in [
            (self.bad, "not"),
            (self.lossy, "lossy"),
            (self.unmeasured, "not measured"),
        ] {
            if count > 0 {
                detail.push_str(&format!(", {count} {word}"));
            }
        }
        CheckRow {
            id: id.to_owned(),
            status,
            subject: rule.to_owned(),
            detail,
        }
    }
}

/// Whether the responders of a node could listen; nothing for a node that none was asked of.
fn armed_check(ledger: &Ledger<'_>, node: NodeId) -> Option<CheckRow> {
    let log = ledger.node(node)?;
    let (mut ready, mut refused) = (0_u32, Vec::new());
    let mut status = Status::Pass;
    for ((_, protocol), map) in log.armed_by_transport() {
        for (range, told) in map.runs() {
            match told.what {
                Arm::Ready => ready += range.count(),
                Arm::Refused(failure) if crate::verdict::is_live_service(range.first(), failure) => {
                    ready += range.count()
                }
                Arm::Refused(failure) => {
                    status = status.max(match failure {
                        BindFailure::Taken { .. } | BindFailure::AddressMissing => Status::Fail,
                        _ => Status::NotMeasured,
                    });
                    refused.push(format!("{range}/{protocol} {}", failure_words(failure)));
                }
            }
        }
    }
    if ready == 0 && refused.is_empty() {
        return None;
    }
    let rest = if refused.is_empty() {
        String::new()
    } else {
        format!("; {}", refused.join(", "))
    };
    Some(CheckRow {
        id: check::PORTS_FREE.id.to_owned(),
        status,
        subject: node.to_string(),
        detail: format!("{ready} ports free or served{rest}"),
    })
}

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
