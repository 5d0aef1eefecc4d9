//! The walk from failing tests to findings.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{
    id::NodeId,
    inventory::Inventory,
    ledger::Ledger,
    plan::{Expect, Plan},
    port::PortSet,
    profile::Severity,
    report::Finding,
    verdict::{Cell, Mismatch, Outcome, PairVerdict, Spot, Way, Why},
};

use super::{
    CauseKind,
    adjacency::Adjacency,
    attribute::blame,
    blame::{Blame, Local, Proof, Rule, Setting, Tests},
    chance::Chances,
    counted::{Counted, join_full_tables},
    cover::{Ground, Piece, Rejection, around_nodes, cover},
    crowd::join_holders,
    filter::{Chanced, FilterCase, HostCase},
    group::Group,
    join::Joiner,
    moment::Moments,
    pattern::{Admission, Pattern, Place},
    stuck::Stuck,
    subnet::Subnets,
    tell::Teller,
    twin::{Twin, Twins},
};

/// Finds the causes of everything that is not as expected, in no order and without ids.
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
        rules: BTreeMap::new(),
        by_chance: BTreeMap::new(),
        patterns: BTreeMap::new(),
        stuck: Stuck::of(ledger, pairs),
        twins: Twins::of(ledger, pairs, &subnets),
        moments: Moments::of(ledger, pairs),
        adjacency: Adjacency::of(pairs),
        chances: Chances::of(ledger, pairs),
    };
    for (index, pair) in pairs.iter().enumerate() {
        blamed.pair(index, pair);
    }
    blamed.lost_probes();
    let teller = Teller::new(inventory, plan, ledger, &subnets);
    let joiner = Joiner {
        pairs,
        subnets: &subnets,
    };
    joiner.join_routes(&mut blamed.causes);
    join_holders(&mut blamed.causes);
    let mut cases = FilterCase::of_rules(blamed.rules, joiner);
    cases.extend(FilterCase::of_chances(blamed.by_chance));
    let mut hosts = Vec::new();
    let between = sort_out(groups(blamed.patterns, joiner), ledger, &mut cases, &mut hosts);
    hosts.iter_mut().for_each(|case| case.ask_counters(ledger));
    join_full_tables(&mut blamed.causes, &mut hosts, ledger);
    let mut findings: Vec<Finding> = blamed
        .causes
        .iter()
        .map(|(blame, tests)| teller.at_node(blame, tests))
        .collect();
    for (kind, how, group) in between {
        match hosts.iter_mut().find(|case| case.misroutes(kind, &group)) {
            Some(case) => case.take_own_questions(&group),
            None => findings.push(teller.between_nodes(kind, &how, &group)),
        }
    }
    findings.extend(cases.iter().map(|case| teller.in_filter(case)));
    findings.extend(hosts.iter().map(|case| teller.on_host(case)));
    findings
}

/// Puts what ends at a node to the rest of that node, and returns what ends between nodes.
fn sort_out(
    groups: Vec<(Pattern, Group)>,
    ledger: &Ledger<'_>,
    cases: &mut Vec<FilterCase>,
    hosts: &mut Vec<HostCase>,
) -> Vec<(CauseKind, String, Group)> {
    let mut between = Vec::new();
    for (pattern, group) in groups {
        match pattern.place {
            Place::Between(CauseKind::LossyPath) if let Some(node) = overrun(ledger, &group) => {
                HostCase::add(hosts, node, Setting::Overrun, &group);
            }
            Place::Between(kind) => between.push((kind, pattern.how, group)),
            Place::Host { node, setting } => HostCase::add(hosts, node, setting, &group),
            // What its kernel counted says more than a filter that nobody could read.
            Place::Filter {
                node,
                way,
                proof: Proof::Capture,
            } if way != Way::Out && Counted::of_case(ledger, node, &group.tests).is_some() => {
                let setting = match way {
                    Way::AnswerIn => Setting::Unheard,
                    _ => Setting::Unanswered,
                };
                HostCase::add(hosts, node, setting, &group);
            }
            Place::Filter { node, way, proof } => FilterCase::add_unread(cases, node, way, proof, &group),
        }
    }
    between
}

struct Blamed<'a> {
    plan: &'a Plan,
    ledger: &'a Ledger<'a>,
    causes: BTreeMap<Local, Tests>,
    rules: BTreeMap<Rule, Tests>,
    /// The same of rules that stop some packets and let others pass.
    by_chance: BTreeMap<Rule, Chanced>,
    patterns: Patterns,
    stuck: Stuck,
    twins: Twins,
    moments: Moments,
    adjacency: Adjacency,
    chances: Chances,
}

type Patterns = BTreeMap<Pattern, Vec<Piece>>;

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
                let twin = self.twins.explain(pair, cell).map(by_twin);
                for (mut ports, blame) in blame(self.ledger, pair, cell, &ports) {
                    // A rule that stops it needs no twin.
                    let blame = match (&blame, &twin) {
                        (Blame::Rule(_), _) => blame,
                        (_, Some(twin)) => twin.clone().into(),
                        _ => {
                            for (part, rule) in self.chances.parts(index, &ports) {
                                self.put_chance(pair, cell, &part, rule);
                                ports = ports.difference(&part);
                            }
                            let moment = self.moments.part(pair, cell, &ports);
                            let lossy = Pattern::between(CauseKind::LossyPath, "");
                            self.put(index, pair, cell, &moment, lossy.into());
                            ports = ports.difference(&moment);
                            blame
                        }
                    };
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
        if ports.is_empty() {
            return;
        }
        let severity = self.severity(pair, ports);
        let attempts = cell.attempts;
        let stuck = self.stuck.explain(pair, &blame);
        let blame = stuck
            .or_else(|| self.adjacency.explain(pair, &blame))
            .unwrap_or(blame);
        match blame {
            Blame::Pattern(pattern) => {
                let rejection = match &cell.outcome {
                    Outcome::Rejected {
                        icmp,
                        offender,
                        inferred,
                    } => Some(Rejection {
                        icmp: *icmp,
                        offender: *offender,
                        inferred: *inferred,
                    }),
                    _ => None,
                };
                let seen_as = self.seen_as(&pattern, pair, cell, ports);
                self.patterns.entry(pattern).or_default().push(Piece {
                    pair: index,
                    ports: ports.clone(),
                    attempts,
                    lines: cell.lines.clone(),
                    severity,
                    is_placed: cell.spot != Spot::Unknown,
                    rejection,
                    seen_as,
                });
            }
            Blame::Rule(rule) => {
                let ruleset = self.ledger.node(rule.node).and_then(|log| log.ruleset);
                let tests = self.rules.entry(rule).or_default();
                tests.lines.extend(ruleset.map(|told| told.line));
                tests.add(pair, ports, attempts, &cell.lines, severity);
            }
            Blame::Local(local) => {
                let behind = self.lines_behind(&local);
                let tests = self.causes.entry(local).or_default();
                tests.lines.extend(behind);
                tests.add(pair, ports, attempts, &cell.lines, severity);
            }
        }
    }

    fn put_chance(&mut self, pair: &PairVerdict, cell: &Cell, ports: &PortSet, rule: Rule) {
        let severity = self.severity(pair, ports);
        let ruleset = self.ledger.node(rule.node).and_then(|log| log.ruleset);
        let Chanced { tests, is_firm } = self.by_chance.entry(rule).or_default();
        tests.lines.extend(ruleset.map(|told| told.line));
        tests.add(pair, ports, cell.attempts, &cell.lines, severity);
        *is_firm |= !matches!(cell.outcome, Outcome::Lossy { .. });
    }

    /// Which address a translation put in the place of the source's, or of the destination's.
    fn seen_as(&self, pattern: &Pattern, pair: &PairVerdict, cell: &Cell, ports: &PortSet) -> Option<IpAddr> {
        match cell.outcome {
            _ if pattern.place != Place::Between(CauseKind::SourceNat) => None,
            Outcome::IdentityMismatch {
                how: Mismatch::ForeignAddress { address },
            } => Some(address),
            _ => self
                .ledger
                .node(pair.dst)?
                .translated_source(pair.transport, ports),
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
    fn lines_behind(&self, local: &Local) -> Vec<u32> {
        match local {
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

/// The node around which packets are lost, if its kernel counted that it dropped so many.
fn overrun(ledger: &Ledger<'_>, group: &Group) -> Option<NodeId> {
    let hubs = group.sides.iter().filter(|side| side.len() == 1).flatten();
    let mut nodes = hubs.copied();
    nodes.find(|node| Counted::of_loss(ledger, *node, &group.tests).is_some())
}

fn by_twin((owner, twin): (NodeId, Twin)) -> Local {
    match twin {
        Twin::Gateway(mac) => Local::ProxyArp { mac },
        twin => Local::DuplicateAddress { owner, twin },
    }
}

/// Covers each pattern by itself, in an order in which what one explains need not be explained again.
fn groups(patterns: Patterns, joiner: Joiner<'_>) -> Vec<(Pattern, Group)> {
    let order = |pattern: &Pattern| match pattern.place {
        Place::Between(CauseKind::PathReject) => 0,
        Place::Between(CauseKind::PathFilter) => 1,
        _ => 2,
    };
    let Joiner { pairs, subnets } = joiner;
    let near = Near::of(pairs, &patterns);
    let lost_answers: Vec<(usize, u32)> = patterns
        .iter()
        .filter(|(pattern, _)| pattern.place == Place::Between(CauseKind::ReturnPathFilter))
        .flat_map(|(_, pieces)| pieces.iter().map(|piece| (piece.pair, piece.ports.count())))
        .collect();
    let mut patterns: Vec<(Pattern, Vec<Piece>)> = patterns.into_iter().collect();
    patterns.sort_by_key(|(pattern, _)| order(pattern));
    let mut out: Vec<(Pattern, Group)> = Vec::new();
    for (pattern, mut pieces) in patterns {
        pieces.retain(|piece| {
            let pair = &pairs[piece.pair];
            let known = out
                .iter_mut()
                .find(|(other, group)| explains(other, group, &pattern, piece, pair, joiner));
            let Some((_, group)) = known else { return true };
            group.take(pair, piece);
            false
        });
        let ground = Ground {
            pairs,
            near: near.of_pattern(&pattern),
            // What shuts a direction also loses the answers to what is asked in the other.
            beside: match pattern.place {
                Place::Between(CauseKind::PathFilter | CauseKind::PathReject) => &lost_answers,
                _ => &[],
            },
            subnets,
        };
        let mut found = joiner.join(cover(ground, &pattern, &pieces), &pattern);
        if pattern.admission() == Admission::Chance
            && let Some(fewer) = around_nodes(ground, &pattern, &pieces, found.len())
        {
            found = fewer;
        }
        out.extend(found.into_iter().map(|group| (pattern.clone(), group)));
    }
    out
}

/// Which pairs may bear on a pattern.
struct Near {
    all: Vec<usize>,
    by_node: BTreeMap<NodeId, Vec<usize>>,
}

impl Near {
    fn of(pairs: &[PairVerdict], patterns: &Patterns) -> Self {
        let nodes = patterns.keys().filter_map(Pattern::node);
        let mut by_node: BTreeMap<NodeId, Vec<usize>> = nodes.map(|node| (node, Vec::new())).collect();
        if !by_node.is_empty() {
            for (index, pair) in pairs.iter().enumerate() {
                for end in [pair.src, pair.dst] {
                    if let Some(near) = by_node.get_mut(&end) {
                        near.push(index);
                    }
                }
            }
        }
        Self {
            all: (0..pairs.len()).collect(),
            by_node,
        }
    }

    fn of_pattern(&self, pattern: &Pattern) -> &[usize] {
        match pattern.node() {
            Some(node) => self.by_node.get(&node).map_or(&[], Vec::as_slice),
            None => &self.all,
        }
    }
}

/// Whether a cause that was found also explains a failure of another kind: a rejection that its sender's rate limit hid
/// looks like a drop, and where one direction is stopped whole, answers to the other direction are stopped, too.
fn explains(
    known: &Pattern,
    group: &Group,
    failing: &Pattern,
    piece: &Piece,
    pair: &PairVerdict,
    joiner: Joiner<'_>,
) -> bool {
    match (known.place, failing.place) {
        (Place::Between(CauseKind::PathReject), Place::Between(CauseKind::PathFilter)) => {
            !group.offenders.is_empty() && group.speaks_of(pair, &piece.ports, joiner.subnets)
        }
        (
            Place::Between(CauseKind::PathFilter | CauseKind::PathReject),
            Place::Between(CauseKind::ReturnPathFilter),
        ) => {
            let is_mute = !pair.cells.iter().any(|cell| cell.outcome.is_open());
            is_mute && joiner.shuts_the_way_back(known, group, pair)
        }
        _ => false,
    }
}
