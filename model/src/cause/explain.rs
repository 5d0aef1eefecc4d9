//! The walk from failing tests to findings.

use std::{cmp::Reverse, collections::BTreeMap};

use crate::{
    firewall::Judgement,
    id::NodeId,
    inventory::Inventory,
    ledger::{Arm, Ledger},
    observation::BindFailure,
    plan::{Expect, Plan},
    port::{PortRange, PortSet},
    profile::Severity,
    report::Finding,
    verdict::{Cell, Outcome, PairVerdict, Spot, Why},
};

use super::{
    CauseKind,
    blame::{Between, Blame, FilterProof, Setting, Side, Tests},
    cover::{Admission, Group, Piece, cover},
    host::{Opinion, ask_range},
    subnet::Subnets,
    tell::{Scene, Teller},
};

/// Finds the causes of everything that is not as expected, worst first.
pub(crate) fn explain(
    inventory: &Inventory,
    plan: &Plan,
    ledger: &Ledger<'_>,
    pairs: &[PairVerdict],
) -> Vec<Finding> {
    let subnets = Subnets::of(ledger, &plan.participants);
    let mut blamed = Blamed {
        plan,
        ledger,
        causes: BTreeMap::new(),
        between: BTreeMap::new(),
    };
    for (index, pair) in pairs.iter().enumerate() {
        blamed.pair(index, pair);
    }
    blamed.lost_probes();
    let teller = Teller::new(inventory, plan, ledger, &subnets);
    let mut findings: Vec<Finding> = blamed
        .causes
        .iter()
        .map(|(blame, tests)| teller.finding(blame, tests, None))
        .collect();
    for (between, group) in groups(blamed.between, pairs, &subnets) {
        let scene = Scene {
            sides: group.sides,
            is_whole: group.is_whole,
            both_ways: group.both_ways,
        };
        findings.push(teller.finding(&Blame::Between(between), &group.tests, Some(&scene)));
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
    causes: BTreeMap<Blame, Tests>,
    between: BTreeMap<Between, Vec<Piece>>,
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
                self.put(index, pair, cell, &exposed, Blame::Exposure { node: pair.dst });
            }
            let is_expected_silence = cell.outcome.is_measured() && !blocked.is_empty();
            let ports = if is_expected_silence {
                cell.ports.difference(&blocked)
            } else {
                cell.ports.clone()
            };
            if !cell.outcome.is_open() && !ports.is_empty() {
                for (ports, blame) in self.blame(pair, cell, &ports) {
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
        let mut lines = cell.lines.clone();
        lines.extend(self.lines_behind(&blame));
        let severity = self.severity(pair, ports);
        match blame {
            Blame::Between(between) => self.between.entry(between).or_default().push(Piece {
                pair: index,
                ports: ports.clone(),
                attempts: cell.attempts,
                lines,
                severity,
            }),
            blame => {
                let key = (pair.src, pair.dst, pair.transport);
                self.causes
                    .entry(blame)
                    .or_default()
                    .add(key, ports, cell.attempts, &lines, severity);
            }
        }
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
    fn lines_behind(&self, blame: &Blame) -> Vec<u32> {
        match blame {
            Blame::HostFirewall {
                node,
                by: FilterProof::Rule(_),
                ..
            }
            | Blame::HostSetting {
                node,
                setting: Setting::Unanswered,
            } => self
                .ledger
                .node(*node)
                .and_then(|log| log.ruleset)
                .map(|told| told.line)
                .into_iter()
                .collect(),
            Blame::ProbeLost { node } => self.lines_of_loss(*node),
            Blame::Unmeasured {
                why: Why::Interrupted,
                ..
            } => self.ledger.interrupted.into_iter().collect(),
            Blame::Unmeasured {
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
                    .entry(Blame::ProbeLost { node })
                    .or_default()
                    .lines
                    .extend(lines);
            }
        }
    }

    fn blame(&self, pair: &PairVerdict, cell: &Cell, ports: &PortSet) -> Vec<(PortSet, Blame)> {
        let one = |blame: Blame| vec![(ports.clone(), blame)];
        let (src, dst) = (pair.src, pair.dst);
        match (&cell.outcome, cell.spot) {
            (Outcome::Open | Outcome::OpenUnverified, _) => Vec::new(),
            (Outcome::IdentityMismatch, Spot::Destination) => one(Blame::WrongResponder { node: dst }),
            (Outcome::IdentityMismatch, spot) => one(between(pair, CauseKind::WrongResponder, "", spot)),
            (Outcome::Closed, _) => one(Blame::NoListener { node: dst }),
            (Outcome::Rejected { icmp, offender, .. }, spot) => {
                self.rejected(pair, ports, *icmp, *offender, spot)
            }
            (Outcome::FilteredForward, spot) => one(between(pair, CauseKind::PathFilter, "", spot)),
            (Outcome::FilteredReturn, Spot::SourceIn) => self.filter(pair, ports, src, Side::AnswerIn),
            (Outcome::FilteredReturn, spot) => one(between(pair, CauseKind::ReturnPathFilter, "", spot)),
            (Outcome::Filtered, Spot::Destination) => self.filter(pair, ports, dst, Side::In),
            (Outcome::Filtered, spot) => self.somewhere(pair, ports, CauseKind::PathFilter, "", spot),
            (Outcome::LocalBlocked, _) => self.filter(pair, ports, src, Side::Out),
            (Outcome::NoRoute, _) => one(Blame::HostSetting {
                node: src,
                setting: Setting::NoRoute,
            }),
            (Outcome::NeighborUnresolved, spot) => one(between(pair, CauseKind::NotAdjacent, "", spot)),
            (Outcome::Lossy { .. }, spot) => one(between(pair, CauseKind::LossyPath, "", spot)),
            (Outcome::Resource { errno }, _) => one(Blame::HostSetting {
                node: src,
                setting: Setting::Exhausted(*errno),
            }),
            (Outcome::NotMeasured(why), _) => self.not_measured(pair, ports, *why),
        }
    }

    fn rejected(
        &self,
        pair: &PairVerdict,
        ports: &PortSet,
        icmp: Option<(u8, u8)>,
        offender: Option<std::net::IpAddr>,
        spot: Spot,
    ) -> Vec<(PortSet, Blame)> {
        let how = icmp.map_or_else(
            || "TCP reset".to_owned(),
            |(kind, code)| format!("ICMP {kind}/{code}"),
        );
        let by = offender.map_or_else(|| how.clone(), |offender| format!("{offender} by {how}"));
        match spot {
            Spot::Destination => self.convict(pair, ports, pair.dst, Side::In, FilterProof::Rejection),
            Spot::Unknown => self.somewhere(pair, ports, CauseKind::PathReject, &by, spot),
            _ => vec![(ports.clone(), between(pair, CauseKind::PathReject, &by, spot))],
        }
    }

    /// A place that no capture tells: a packet filter at either end that stops it is convicted, else it is between.
    fn somewhere(
        &self,
        pair: &PairVerdict,
        ports: &PortSet,
        kind: CauseKind,
        by: &str,
        spot: Spot,
    ) -> Vec<(PortSet, Blame)> {
        let mut out = Vec::new();
        for (range, blame) in self.by_rule(pair, ports, pair.dst, Side::In) {
            match blame {
                Some(blame) => out.push((range.into(), blame)),
                None => {
                    for (range, blame) in self.by_rule(pair, &range.into(), pair.src, Side::Out) {
                        out.push((
                            range.into(),
                            blame.unwrap_or_else(|| between(pair, kind, by, spot)),
                        ));
                    }
                }
            }
        }
        out
    }

    /// A host on which captures or errors place the end of a packet.
    fn filter(&self, pair: &PairVerdict, ports: &PortSet, node: NodeId, side: Side) -> Vec<(PortSet, Blame)> {
        let proof = if side == Side::Out {
            FilterProof::Denied
        } else {
            FilterProof::Capture
        };
        self.convict(pair, ports, node, side, proof)
    }

    fn convict(
        &self,
        pair: &PairVerdict,
        ports: &PortSet,
        node: NodeId,
        side: Side,
        without_rule: FilterProof,
    ) -> Vec<(PortSet, Blame)> {
        let key = (pair.src, pair.dst, pair.transport);
        let mut out = Vec::new();
        for range in ports.ranges() {
            for (range, opinion) in ask_range(self.ledger, key, *range, side) {
                let blame = match (opinion, side) {
                    (Opinion::Stops(judgement), _) => stopped(node, side, &judgement),
                    // The question may pass and its answer not.
                    (Opinion::Accepts, Side::In) => {
                        let answers = ask_range(self.ledger, key, range, Side::AnswerOut);
                        for (range, opinion) in answers {
                            let blame = match opinion {
                                Opinion::Stops(judgement) => stopped(node, Side::AnswerOut, &judgement),
                                Opinion::Accepts if without_rule == FilterProof::Capture => {
                                    Blame::HostSetting {
                                        node,
                                        setting: Setting::Unanswered,
                                    }
                                }
                                _ => Blame::HostFirewall {
                                    node,
                                    side,
                                    by: without_rule.clone(),
                                },
                            };
                            out.push((range.into(), blame));
                        }
                        continue;
                    }
                    _ => Blame::HostFirewall {
                        node,
                        side,
                        by: without_rule.clone(),
                    },
                };
                out.push((range.into(), blame));
            }
        }
        out
    }

    /// Ranges with the rule of this node that stops them, if one does.
    fn by_rule(
        &self,
        pair: &PairVerdict,
        ports: &PortSet,
        node: NodeId,
        side: Side,
    ) -> Vec<(PortRange, Option<Blame>)> {
        let key = (pair.src, pair.dst, pair.transport);
        let asked = ports
            .ranges()
            .iter()
            .flat_map(|range| ask_range(self.ledger, key, *range, side));
        asked
            .map(|(range, opinion)| match opinion {
                Opinion::Stops(judgement) => (range, Some(stopped(node, side, &judgement))),
                Opinion::Accepts | Opinion::None => (range, None),
            })
            .collect()
    }

    fn not_measured(&self, pair: &PairVerdict, ports: &PortSet, why: Why) -> Vec<(PortSet, Blame)> {
        let one = |blame: Blame| vec![(ports.clone(), blame)];
        match why {
            Why::NotArmed => self.not_armed(pair, ports),
            Why::SourceLost if self.ledger.is_gone(pair.src) => one(Blame::ProbeLost { node: pair.src }),
            Why::DestinationLost if self.ledger.is_gone(pair.dst) => one(Blame::ProbeLost { node: pair.dst }),
            Why::LiveNode | Why::DestinationLost => one(Blame::Unmeasured {
                why,
                node: Some(pair.dst),
            }),
            Why::Policy | Why::Unreported | Why::SourceLost => one(Blame::Unmeasured {
                why,
                node: Some(pair.src),
            }),
            Why::Interrupted | Why::Unsupported => one(Blame::Unmeasured { why, node: None }),
        }
    }

    fn not_armed(&self, pair: &PairVerdict, ports: &PortSet) -> Vec<(PortSet, Blame)> {
        let mut out = Vec::new();
        let armed = self
            .ledger
            .node(pair.dst)
            .and_then(|log| log.armed(pair.transport));
        for (range, told) in armed.into_iter().flat_map(|map| map.runs()) {
            let Arm::Refused(failure) = told.what else {
                continue;
            };
            let refused = ports.intersection(&(*range).into());
            if refused.is_empty() {
                continue;
            }
            let setting = |setting| Blame::HostSetting {
                node: pair.dst,
                setting,
            };
            let blame = match failure {
                BindFailure::Taken { process, pid } => {
                    if pid.is_none() {
                        out.extend(refused.iter().map(|port| {
                            let alone = PortSet::from_iter([port]);
                            (alone, taken(pair, process.clone(), None, Some(port)))
                        }));
                        continue;
                    }
                    taken(pair, process.clone(), *pid, None)
                }
                BindFailure::Privilege => setting(Setting::Privilege),
                BindFailure::AddressMissing => setting(Setting::AddressMissing),
                BindFailure::OpenFiles => setting(Setting::OpenFiles),
                BindFailure::Policy => setting(Setting::Policy),
                BindFailure::Other { errno } => setting(Setting::Bind(*errno)),
                BindFailure::Live => Blame::Unmeasured {
                    why: Why::LiveNode,
                    node: Some(pair.dst),
                },
            };
            out.push((refused, blame));
        }
        out
    }
}

fn taken(pair: &PairVerdict, process: Option<String>, pid: Option<u32>, alone: Option<u16>) -> Blame {
    Blame::PortTaken {
        node: pair.dst,
        transport: pair.transport,
        process,
        pid,
        alone,
    }
}

fn stopped(node: NodeId, side: Side, judgement: &Judgement) -> Blame {
    let by = judgement
        .stopped_at()
        .map_or(FilterProof::Capture, |place| FilterProof::Rule(place.clone()));
    Blame::HostFirewall { node, side, by }
}

fn between(pair: &PairVerdict, kind: CauseKind, by: &str, spot: Spot) -> Blame {
    let is_placed = spot != Spot::Unknown;
    Blame::Between(Between {
        kind,
        transport: pair.transport,
        by: by.to_owned(),
        is_placed,
    })
}

/// Covers each kind by itself, then puts answers that cannot come back under the filter that stops the same way whole.
fn groups(
    between: BTreeMap<Between, Vec<Piece>>,
    pairs: &[PairVerdict],
    subnets: &Subnets,
) -> Vec<(Between, Group)> {
    let mut out: Vec<(Between, Group)> = Vec::new();
    // PathFilter sorts before ReturnPathFilter, so that its groups are there when the others ask.
    for (between, mut pieces) in between {
        if between.kind == CauseKind::ReturnPathFilter {
            pieces.retain(|piece| {
                let pair = &pairs[piece.pair];
                let filter = out.iter_mut().find(|(other, group)| {
                    other.kind == CauseKind::PathFilter
                        && other.transport == between.transport
                        && group.blocks(pair.dst, pair.src, subnets)
                });
                let Some((_, group)) = filter else { return true };
                let key = (pair.src, pair.dst, pair.transport);
                group
                    .tests
                    .add(key, &piece.ports, piece.attempts, &piece.lines, piece.severity);
                false
            });
        }
        let admission = match between.kind {
            CauseKind::LossyPath => Admission::HalfThePairs,
            _ => Admission::EveryTest,
        };
        let found = cover(pairs, subnets, &pieces, admission);
        out.extend(found.into_iter().map(|group| (between.clone(), group)));
    }
    out
}
