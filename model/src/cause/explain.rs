//! The walk from failing tests to findings.

use std::{cmp::Reverse, collections::BTreeMap};

use crate::{
    id::NodeId,
    ledger::{Ledger, Transport},
    plan::{Expect, Plan},
    port::PortSet,
    profile::Severity,
    report::Finding,
    verdict::{Cell, Outcome, PairVerdict, Spot, Why},
};

use super::{
    CauseKind,
    attribute::blame,
    blame::{Between, Blame, FilterProof, Local, Setting, Side, Tests},
    cover::{Admission, Group, Piece, cover},
    host::{Opinion, ask},
    subnet::Subnets,
    tell::Teller,
};

/// Finds the causes of everything that is not as expected, worst first.
pub(crate) fn explain(plan: &Plan, ledger: &Ledger<'_>, pairs: &[PairVerdict]) -> Vec<Finding> {
    let subnets = Subnets::of(ledger, &plan.participants);
    let mut blamed = Blamed {
        plan,
        ledger,
        causes: BTreeMap::new(),
        between: BTreeMap::new(),
        stuck: stuck(ledger, pairs),
    };
    for (index, pair) in pairs.iter().enumerate() {
        blamed.pair(index, pair);
    }
    blamed.lost_probes();
    let teller = Teller::new(plan, ledger, &subnets);
    let at_nodes = blamed
        .causes
        .iter()
        .map(|(blame, tests)| teller.at_node(blame, tests));
    let mut findings: Vec<Finding> = at_nodes.collect();
    for (between, group) in groups(blamed.between, pairs, &subnets) {
        findings.push(teller.between_nodes(&between, &group));
    }
    findings.sort_by_key(|finding| {
        (
            Reverse(finding.status),
            Reverse(finding.severity),
            Reverse(finding.affects_total),
        )
    });
    for (index, finding) in findings.iter_mut().enumerate() {
        finding.id = format!("F{}", index + 1);
    }
    findings
}

struct Blamed<'a> {
    plan: &'a Plan,
    ledger: &'a Ledger<'a>,
    causes: BTreeMap<Local, Tests>,
    between: BTreeMap<Between, Vec<Piece>>,
    /// Pairs whose source can send nothing at all to the destination: its answers do not leave either.
    stuck: BTreeMap<(NodeId, NodeId, Transport), Setting>,
}

impl Blamed<'_> {
    fn pair(&mut self, index: usize, pair: &PairVerdict) {
        if pair.cells.iter().all(|cell| cell.outcome.is_open()) && !self.has_blocked(pair) {
            return;
        }
        let mut blocked = PortSet::new();
        for (block, ports) in &pair.blocks {
            if self.plan.blocks[*block].expect == Expect::Blocked {
                blocked.extend(ports);
            }
        }
        for cell in &pair.cells {
            let exposed = cell.ports.intersection(&blocked);
            let answers = cell.outcome.is_open() || matches!(cell.outcome, Outcome::Lossy { .. });
            if answers && !exposed.is_empty() {
                self.put(
                    index,
                    pair,
                    cell,
                    &exposed,
                    Local::Exposure { node: pair.dst }.into(),
                );
            }
            let is_expected_silence = cell.outcome.is_measured() && !blocked.is_empty();
            let ports = if is_expected_silence {
                cell.ports.difference(&blocked)
            } else {
                cell.ports.clone()
            };
            if !cell.outcome.is_open() && !ports.is_empty() {
                for (ports, blame) in blame(self.ledger, pair, cell, &ports) {
                    self.put(index, pair, cell, &ports, blame);
                }
            }
        }
    }

    fn has_blocked(&self, pair: &PairVerdict) -> bool {
        pair.blocks
            .iter()
            .any(|(block, _)| self.plan.blocks[*block].expect == Expect::Blocked)
    }

    fn put(&mut self, index: usize, pair: &PairVerdict, cell: &Cell, ports: &PortSet, blame: Blame) {
        let severity = self.severity(pair, ports);
        let attempts = cell.attempts;
        match blame {
            Blame::Between(between) => self.between.entry(between).or_default().push(Piece {
                pair: index,
                ports: ports.clone(),
                attempts,
                lines: cell.lines.clone(),
                severity,
                is_placed: cell.spot != Spot::Unknown,
                offender: match &cell.outcome {
                    Outcome::Rejected { offender, .. } => *offender,
                    _ => None,
                },
            }),
            Blame::Local(local) => {
                let local = self.way_back_is_stuck(pair, &local).unwrap_or(local);
                let behind = self.lines_behind(&local);
                let tests = self.causes.entry(local).or_default();
                tests.lines.extend(behind);
                let key = (pair.src, pair.dst, pair.transport);
                tests.add(key, ports, attempts, &cell.lines, severity);
            }
        }
    }

    /// Answers that do not leave have the cause of the questions in the same direction that do not leave.
    fn way_back_is_stuck(&self, pair: &PairVerdict, local: &Local) -> Option<Local> {
        let Local::HostSetting {
            node,
            setting: Setting::Unanswered,
        } = local
        else {
            return None;
        };
        let setting = *self.stuck.get(&(pair.dst, pair.src, pair.transport))?;
        Some(Local::HostSetting { node: *node, setting })
    }

    /// The worst of the rules over these ports.
    fn severity(&self, pair: &PairVerdict, ports: &PortSet) -> Severity {
        let rules = pair
            .blocks
            .iter()
            .filter(|(_, own)| !own.intersection(ports).is_empty());
        rules
            .map(|(block, _)| self.plan.blocks[*block].severity)
            .max()
            .unwrap_or(Severity::Fail)
    }

    /// Lines that convict apart from the tests' own.
    fn lines_behind(&self, local: &Local) -> Vec<u32> {
        match local {
            Local::HostFirewall {
                node,
                by: FilterProof::Rule(_),
                ..
            }
            | Local::HostSetting {
                node,
                setting: Setting::Unanswered,
            } => self
                .ledger
                .node(*node)
                .and_then(|log| log.ruleset)
                .map(|told| told.line)
                .into_iter()
                .collect(),
            Local::ProbeLost { node } => self.lines_of_loss(*node),
            Local::Unmeasured {
                why: Why::Interrupted,
                ..
            } => self.ledger.interrupted.into_iter().collect(),
            Local::Unmeasured {
                why: Why::Policy,
                node: Some(node),
            } => self
                .ledger
                .node(*node)
                .and_then(|log| log.refused)
                .map(|told| told.line)
                .into_iter()
                .collect(),
            _ => Vec::new(),
        }
    }

    fn lines_of_loss(&self, node: NodeId) -> Vec<u32> {
        let Some(log) = self.ledger.node(node) else {
            return Vec::new();
        };
        [log.not_joined, log.lost.map(|told| told.line), log.late]
            .into_iter()
            .flatten()
            .collect()
    }

    /// A probe that was lost is a finding even if every test with it had been made before.
    fn lost_probes(&mut self) {
        let interrupted = self.ledger.interrupted.is_some();
        for &node in &self.plan.participants {
            let known = self.ledger.node(node);
            let is_lost = known.is_some_and(|log| log.lost.is_some() || log.not_joined.is_some());
            if is_lost || (self.ledger.is_gone(node) && !interrupted) {
                let lines = self.lines_of_loss(node);
                self.causes
                    .entry(Local::ProbeLost { node })
                    .or_default()
                    .lines
                    .extend(lines);
            }
        }
    }
}

/// A pair whose every question ends at its source for want of a way, and by no rule: rules are asked about answers themselves.
fn stuck(ledger: &Ledger<'_>, pairs: &[PairVerdict]) -> BTreeMap<(NodeId, NodeId, Transport), Setting> {
    let lets_out = |pair: &PairVerdict, cell: &Cell| {
        let port = cell.ports.ranges().first().map(|range| range.first());
        port.is_some_and(|port| {
            ask(ledger, pair.src, pair.dst, pair.transport, port, Side::Out) == Opinion::Accepts
        })
    };
    let setting = |pair: &PairVerdict, cell: &Cell| match cell.outcome {
        Outcome::NoRoute => Some(Setting::NoRoute),
        Outcome::LocalBlocked if lets_out(pair, cell) => Some(Setting::NothingLeaves),
        _ => None,
    };
    pairs
        .iter()
        .filter_map(|pair| {
            let first = setting(pair, pair.cells.first()?)?;
            let is_stuck = pair.cells.iter().all(|cell| setting(pair, cell) == Some(first));
            is_stuck.then_some(((pair.src, pair.dst, pair.transport), first))
        })
        .collect()
}

/// Covers each kind by itself, in an order in which what one kind explains need not be explained again.
fn groups(
    between: BTreeMap<Between, Vec<Piece>>,
    pairs: &[PairVerdict],
    subnets: &Subnets,
) -> Vec<(Between, Group)> {
    let order = |between: &Between| match between.kind {
        CauseKind::PathReject => 0,
        CauseKind::PathFilter => 1,
        _ => 2,
    };
    let mut kinds: Vec<(Between, Vec<Piece>)> = between.into_iter().collect();
    kinds.sort_by_key(|(between, _)| order(between));
    let mut out: Vec<(Between, Group)> = Vec::new();
    for (between, mut pieces) in kinds {
        pieces.retain(|piece| {
            let pair = &pairs[piece.pair];
            let known = out.iter_mut().find(|(other, group)| {
                other.transport == between.transport && explains(other, group, &between, piece, pair, subnets)
            });
            let Some((_, group)) = known else { return true };
            group.take(pair, piece);
            false
        });
        let admission = match between.kind {
            CauseKind::LossyPath => Admission::HalfThePairs,
            _ => Admission::EveryTest,
        };
        let found = cover(pairs, subnets, &pieces, admission);
        out.extend(found.into_iter().map(|group| (between.clone(), group)));
    }
    out
}

/// Whether a cause that was found also explains a failure of another kind: a rejection that its sender's rate limit hid
/// looks like a drop, and where one direction is stopped whole, answers to the other direction are stopped, too.
fn explains(
    known: &Between,
    group: &Group,
    failing: &Between,
    piece: &Piece,
    pair: &PairVerdict,
    subnets: &Subnets,
) -> bool {
    match (known.kind, failing.kind) {
        (CauseKind::PathReject, CauseKind::PathFilter) => {
            !group.offenders.is_empty() && group.speaks_of(pair.src, pair.dst, &piece.ports, subnets)
        }
        (CauseKind::PathFilter, CauseKind::ReturnPathFilter) => group.blocks(pair.dst, pair.src, subnets),
        _ => false,
    }
}
