//! The report put together from verdicts and causes.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    assumption::{Scene, settle},
    canonical,
    cause::{Opinion, ask_range, drops_silently, explain, place_unsampled},
    evidence::ANALYSIS_VERSION,
    id::NodeId,
    input::Understood,
    inventory::Inventory,
    ledger::Ledger,
    observation::HostFacts,
    plan::{Expect, Plan, Selection},
    port::{PortRange, PortSet},
    profile::{Profile, Severity},
    verdict::{
        Cell, Filter, Mismatch, Outcome, PairVerdict, Verdicts, Way, Why, infer_rejections, judge_busy,
        pairs_of, recognise_lateness, recognise_loss, share_unresolved_neighbours,
    },
};

use super::{
    Absent, Basis, CheckRow, Coverage, Finding, FindingSeverity, Input, NotMeasuredRow, ReachabilityRow,
    Report, ReportNode, ReportVantage, SCHEMA, Status, Verdict, check,
    checks::{self, Judged},
    config,
    paste::withhold,
    retest, rollout,
    time::rfc3339,
    waive::waive,
};

/// Judges a run whose plan is known.
pub(super) fn judge(
    understood: &Understood,
    profiles: &[Profile],
    planned: &Plan,
    ledger: &Ledger<'_>,
) -> Report {
    let inventory = &understood.inventory;
    // Who stays away with --partial has no part in what is judged.
    let plan = &planned.without(&ledger.left_out());
    let Verdicts { pairs, inferred } = tested(plan, ledger);
    let configured = config::configured(understood, profiles, ledger);
    let scene = Scene {
        inventory,
        profiles,
        plan,
        ledger,
        pairs: &pairs,
        configured: &configured.findings,
    };
    let assumptions = settle(&scene, explain(inventory, plan, ledger, &pairs));
    let spellings = rollout::spellings(&scene, &assumptions.findings);
    let mut findings = assumptions.findings;
    withhold(ledger, &mut findings);
    findings.extend(configured.findings);
    let reachability = reachability(plan, &pairs);
    let started_unix_ms = ledger.run.started_unix_ms;
    let waivers = waive(&understood.waivers, &mut findings, &reachability, started_unix_ms);
    // Somebody may answer for some of many nodes alone.
    rollout::join(&mut findings, &spellings);
    put_in_order(&mut findings);
    let coverage = coverage(plan, ledger, &pairs, inferred);
    let absent = absent(planned, ledger);
    let checks = checks::rows(Judged {
        inventory,
        profiles,
        plan,
        ledger,
        pairs: &pairs,
        absent: &absent,
        config: configured.rows,
        assumptions: assumptions.rows,
    });
    let is_nobody_there = plan.participants.iter().all(|who| inventory.node(*who).is_none());
    let run = ledger.run;
    Report {
        schema: SCHEMA.to_owned(),
        verdict: match is_nobody_there && !absent.is_empty() {
            // The workstation and vantages alone measure nothing.
            true => Verdict::Incomplete,
            false => verdict(&findings, &checks, &coverage),
        },
        run: run.run.clone(),
        cluster: inventory.name.clone(),
        version: inventory.version.clone(),
        swarm: Some(run.parameters.swarm),
        redacted: false,
        started: rfc3339(run.started_unix_ms),
        finished: finished(ledger),
        coordinator_version: run.coordinator_version.clone(),
        analysis: ANALYSIS_VERSION,
        inputs: inputs(ledger),
        nodes: nodes(inventory, ledger),
        vantages: vantages(inventory, ledger),
        absent,
        excluded: excluded(inventory, ledger),
        findings,
        waivers,
        reachability,
        latency: Vec::new(),
        throughput: Vec::new(),
        checks,
        not_measured: (not_measured(ledger, &pairs).into_iter())
            .chain(not_tested(plan))
            .collect(),
        coverage,
        retest: retest::compare(plan, ledger, &pairs),
    }
}

/// What came of every test, as far as all that was seen tells.
fn tested(plan: &Plan, ledger: &Ledger<'_>) -> Verdicts {
    let mut verdicts = pairs_of(plan, ledger);
    let pairs = &mut verdicts.pairs;
    pairs.iter_mut().for_each(recognise_lateness);
    recognise_loss(pairs, |pair, ports| drops_silently(ledger, pair, ports));
    for pair in pairs.iter_mut() {
        infer_rejections(pair, |pair, ports| drops_silently(ledger, pair, ports));
    }
    judge_busy(
        pairs,
        |pair, range, way| filters(ledger, pair, range, way),
        |node| Some(ledger.node(node)?.ruleset?.line),
    );
    place_unsampled(ledger, pairs);
    share_unresolved_neighbours(pairs);
    verdicts
}

/// When the run ended; absent if it was broken off.
fn finished(ledger: &Ledger<'_>) -> Option<String> {
    let started_unix_ms = ledger.run.started_unix_ms;
    let ended = |took_ms| rfc3339(started_unix_ms.saturating_add(took_ms));
    ledger.took_ms.map(ended)
}

/// Worst first, those that somebody answers for last, and numbered in that order.
fn put_in_order(findings: &mut [Finding]) {
    findings.sort_by_key(|finding| {
        (
            finding.waived.is_some(),
            Reverse(finding.status),
            Reverse(finding.severity),
            Reverse(finding.affects_total),
        )
    });
    for (index, finding) in findings.iter_mut().enumerate() {
        finding.id = format!("F{}", index + 1);
    }
}

/// What the packet filter on one way of a test does with it.
fn filters(ledger: &Ledger<'_>, pair: &PairVerdict, range: PortRange, way: Way) -> Vec<(PortRange, Filter)> {
    let asked = ask_range(ledger, (pair.src, pair.dst, pair.transport), range, way);
    asked
        .into_iter()
        .map(|(range, opinion)| match opinion {
            Opinion::Accepts => (range, Filter::Passes),
            Opinion::Stops(_) => (range, Filter::Stops),
            Opinion::None => (range, Filter::Untold),
        })
        .collect()
}

/// Failed outranks incomplete outranks warned outranks passed. A waiver accepts what was found; it measures nothing, so what
/// was not measured stays so.
fn verdict(findings: &[Finding], checks: &[CheckRow], coverage: &Coverage) -> Verdict {
    let has = |status| findings.iter().any(|finding| finding.status == status);
    let counts = |finding: &&Finding| finding.waived.is_none();
    let is_waived = |row: &CheckRow| {
        let told = findings.iter().any(|finding| finding.check == row.id);
        told && !findings
            .iter()
            .filter(counts)
            .any(|finding| finding.check == row.id)
    };
    let warns = |finding: &Finding| finding.severity >= FindingSeverity::Warn;
    if findings
        .iter()
        .filter(counts)
        .any(|finding| finding.status == Status::Fail && finding.severity == FindingSeverity::Fail)
    {
        Verdict::Failed
    } else if has(Status::NotMeasured) || coverage.measured < coverage.planned || coverage.missing_batches > 0
    {
        Verdict::Incomplete
    } else if findings.iter().filter(counts).any(warns)
        || checks
            .iter()
            .any(|row| row.status == Status::Warn && !is_told_by_findings(row) && !is_waived(row))
        || !coverage.no_vantage.is_empty()
    {
        Verdict::Warned
    } else {
        Verdict::Passed
    }
}

/// Rows whose warnings are findings, too, which know the weight of a rule.
fn is_told_by_findings(row: &CheckRow) -> bool {
    [check::REACH_TCP.id, check::REACH_UDP.id, check::EXPOSURE.id].contains(&row.id.as_str())
}

/// Who was planned for and left out, since it did not join and `--partial` allows for it.
fn absent(planned: &Plan, ledger: &Ledger<'_>) -> Vec<Absent> {
    let left_out = ledger.left_out();
    let nodes = planned.participants.iter().filter(|node| left_out.contains(node));
    nodes
        .map(|node| Absent {
            node: *node,
            why: "its probe did not join in time".to_owned(),
        })
        .collect()
}

/// Nodes of the cluster, and vantages, that this run was told to leave alone.
fn excluded(inventory: &Inventory, ledger: &Ledger<'_>) -> Vec<NodeId> {
    let selection = Selection::new(inventory, &ledger.run.parameters);
    let nodes = inventory.nodes.iter().map(|node| node.id);
    let vantages = inventory.vantages.iter().map(|vantage| vantage.id);
    let mut excluded: Vec<NodeId> = nodes.chain(vantages).collect();
    excluded.retain(|node| !selection.has(*node));
    excluded.sort_unstable();
    excluded
}

fn inputs(ledger: &Ledger<'_>) -> Vec<Input> {
    let inputs = ledger.run.inputs.iter().map(|input| (&input.name, &input.text));
    let profiles = ledger
        .run
        .profiles
        .iter()
        .map(|profile| (&profile.name, &profile.text));
    inputs
        .chain(profiles)
        .map(|(name, text)| Input {
            name: name.clone(),
            sha256: canonical::sha256(text.as_bytes()),
        })
        .collect()
}

/// What a probe told last, without what would be most of the report.
fn facts(ledger: &Ledger<'_>, id: NodeId) -> Option<HostFacts> {
    let facts = ledger.node(id)?.facts?.what;
    Some(HostFacts {
        ruleset: None,
        // Everybody knows everybody: of a thousand nodes these would be most of the report.
        neighbors: Vec::new(),
        ..facts.clone()
    })
}

fn vantages(inventory: &Inventory, ledger: &Ledger<'_>) -> Vec<ReportVantage> {
    inventory
        .vantages
        .iter()
        .map(|vantage| ReportVantage {
            id: vantage.id,
            name: vantage.name.clone(),
            stands_for: vantage.stands_for.iter().copied().collect(),
            facts: facts(ledger, vantage.id),
        })
        .collect()
}

fn nodes(inventory: &Inventory, ledger: &Ledger<'_>) -> Vec<ReportNode> {
    inventory
        .nodes
        .iter()
        .map(|node| ReportNode {
            id: node.id,
            name: node.name.clone(),
            roles: node.roles.iter().copied().collect(),
            version: node.version.clone(),
            labels: node.labels.clone(),
            facts: facts(ledger, node.id),
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
        answered_from: None,
        by: cell.by_ruleset.then_some(Basis::Ruleset),
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
        Outcome::IdentityMismatch {
            how: Mismatch::OwnAddress { address } | Mismatch::ForeignAddress { address },
        } => row.answered_from = Some(*address),
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
    let no_service: u64 = cells().filter(|cell| is_unserved(cell)).map(count).sum();
    let planned: u64 = pairs.iter().map(|pair| u64::from(pair.planned.count())).sum();
    Coverage {
        planned: planned - no_service,
        measured: cells().filter(|cell| cell.outcome.is_measured()).map(count).sum(),
        inferred,
        no_service,
        pairs: amount(directed.len()),
        missing_batches: ledger.missing_batches,
        duplicate_batches: ledger.duplicate_batches,
        late_probes: amount(ledger.nodes.values().filter(|log| log.late.is_some()).count()),
        no_vantage: plan.no_vantage.clone(),
    }
}

/// A port of a live node that only a Service would serve, and none does.
pub(super) fn is_unserved(cell: &Cell) -> bool {
    cell.outcome == Outcome::NotMeasured(Why::NoService)
}

/// What was not measured, by reason and by the node that the reason belongs to.
fn not_measured(ledger: &Ledger<'_>, pairs: &[PairVerdict]) -> Vec<NotMeasuredRow> {
    let mut grouped: BTreeMap<(Why, Option<NodeId>), (u64, PortSet)> = BTreeMap::new();
    let mut exhausted: BTreeMap<NodeId, u64> = BTreeMap::new();
    for pair in pairs {
        for cell in &pair.cells {
            match cell.outcome {
                Outcome::NotMeasured(Why::NoService) => {}
                Outcome::NotMeasured(why) => {
                    let (count, ports) = grouped.entry((why, place(ledger, why, pair))).or_default();
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
        let preposition = match why {
            Why::NoAddress => "with",
            _ if place_is_source(why) => "from",
            _ => "to",
        };
        let place = node.map_or_else(String::new, |node| format!(" {preposition} {}", named(node)));
        NotMeasuredRow {
            what: format!(
                "{}{place}, {}",
                tests(count),
                if ports.count() == 1 {
                    format!("port {ports}")
                } else if ports.ranges().len() > PortSet::READABLE {
                    ports.in_brief()
                } else {
                    format!("ports {ports}")
                }
            ),
            why: said(why).to_owned(),
        }
    });
    let resources = exhausted.into_iter().map(|(node, count)| NotMeasuredRow {
        what: format!("{} from {}", tests(count), named(node)),
        why: "the probe ran out of a resource".to_owned(),
    });
    rows.chain(resources).collect()
}

/// Rules that must hold and that no probe tests. They are not planned, so they make no run incomplete; nobody shall take that
/// for a pass.
fn not_tested(plan: &Plan) -> impl Iterator<Item = NotMeasuredRow> {
    let must_hold = plan
        .not_tested
        .iter()
        .filter(|rule| rule.severity == Severity::Fail);
    must_hold.map(|rule| NotMeasuredRow {
        what: format!("{}: {} ({})", rule.protocol.words(), rule.purpose, rule.rule),
        why: "a protocol without ports, which no probe tests: see to it that the network lets it through"
            .to_owned(),
    })
}

fn tests(count: u64) -> String {
    format!("{count} {}", if count == 1 { "test" } else { "tests" })
}

/// A participant in a sentence.
fn named(node: NodeId) -> String {
    match node {
        NodeId::Coordinator => "the coordinator".to_owned(),
        NodeId::Address(address) => address.to_string(),
    }
}

fn place_is_source(why: Why) -> bool {
    matches!(why, Why::SourceLost | Why::Policy | Why::Unreported)
}

fn place(ledger: &Ledger<'_>, why: Why, pair: &PairVerdict) -> Option<NodeId> {
    match why {
        Why::Interrupted | Why::Unsupported => None,
        Why::NoAddress if ledger.lacks_address(pair.src, pair.transport.0) => Some(pair.src),
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
