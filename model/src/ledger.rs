//! Evidence put in order: what happened to each probe, and what each one testifies, found by pair.
//!
//! Batches of a probe follow each other by sequence number and by the digest of the one before; how the batches of
//! different probes are interleaved makes no difference.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    evidence::{
        ANALYSIS_VERSION, Batch, Entry, LostWhy, Member, Payload, RunRecord, SwarmEvent, SwarmRecord,
    },
    firewall::Ruleset,
    id::NodeId,
    observation::{BindFailure, End, HostFacts, Life, Reach, Record, Signal},
    port::{Family, PortRange, PortSet, Protocol},
    range_map::RangeMap,
    report::ReportError,
};

/// Family and transport of a test.
pub(crate) type Transport = (Family, Protocol);

/// A piece of testimony and the line of evidence.jsonl on which it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told<T> {
    pub(crate) what: T,
    pub(crate) line: u32,
}

/// Everything that the evidence says.
#[derive(Debug)]
pub(crate) struct Ledger<'a> {
    pub(crate) run: &'a RunRecord,
    pub(crate) nodes: BTreeMap<NodeId, NodeLog<'a>>,
    /// The line that says that the user stopped the run.
    pub(crate) interrupted: Option<u32>,
    /// From start to end; absent if the evidence has no end.
    pub(crate) took_ms: Option<u64>,
    pub(crate) missing_batches: u64,
    pub(crate) duplicate_batches: u64,
}

/// What one probe testifies and what happened to it.
#[derive(Debug, Default)]
pub(crate) struct NodeLog<'a> {
    pub(crate) joined: Option<Told<&'a Member>>,
    pub(crate) not_joined: Option<u32>,
    pub(crate) lost: Option<Told<(LostWhy, u64)>>,
    pub(crate) late: Option<u32>,
    pub(crate) refused: Option<Told<&'a str>>,
    /// The facts of the beginning: what counters and tables are compared with.
    pub(crate) facts_first: Option<Told<&'a HostFacts>>,
    /// The last facts.
    pub(crate) facts: Option<Told<&'a HostFacts>>,
    /// The last packet filter that could be read.
    pub(crate) ruleset: Option<Told<&'a Ruleset>>,
    armed: BTreeMap<Transport, RangeMap<Told<Arm<'a>>>>,
    reach: BTreeMap<(NodeId, Transport, Look), RangeMap<Told<&'a Reach>>>,
    heard: BTreeMap<(NodeId, Transport), RangeMap<Told<Heard>>>,
    seen: BTreeMap<(NodeId, Transport, End), RangeMap<Told<Seen>>>,
    /// Ports on which hellos that members proved came from an address of no member: it was translated on the way.
    translated: Vec<(Transport, &'a PortSet, IpAddr)>,
}

/// Whether a test was made for the first time, or again while both ends captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Look {
    First,
    Second,
}

/// What became of a responder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arm<'a> {
    /// It listens.
    Ready,
    /// It could not be bound.
    Refused(&'a BindFailure),
}

/// What a responder counted from one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) accepted: u32,
    pub(crate) proven: u32,
    pub(crate) unproven: u32,
    pub(crate) replayed: u32,
}

/// What a capture counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) questions: u32,
    pub(crate) answers: u32,
    pub(crate) resets: u32,
    pub(crate) icmp_errors: u32,
}

impl<'a> Ledger<'a> {
    /// Replays the evidence.
    ///
    /// # Errors
    /// If the lines are not one run's, or a probe's batches do not follow each other.
    pub(crate) fn replay(evidence: &'a [Entry]) -> Result<Self, ReportError> {
        let Some((
            Entry {
                payload: Payload::Run(run),
                ..
            },
            rest,
        )) = evidence.split_first()
        else {
            return Err(ReportError::NoRunRecord);
        };
        if run.analysis != ANALYSIS_VERSION {
            return Err(ReportError::OtherAnalysis { found: run.analysis });
        }
        let mut replay = Replay::new(run);
        for entry in rest {
            match &entry.payload {
                Payload::Run(_) => return Err(ReportError::SecondRunRecord { line: entry.line }),
                Payload::Swarm(record) if record.run != run.run => {
                    return Err(ReportError::OtherRun { line: entry.line });
                }
                Payload::Batch(batch) if batch.run != run.run => {
                    return Err(ReportError::OtherRun { line: entry.line });
                }
                Payload::Swarm(record) => replay.swarm(record, entry.line),
                Payload::Batch(batch) => replay.batch(batch, entry)?,
            }
        }
        Ok(replay.finish())
    }

    /// What is known of a node; absent if the evidence never names it.
    pub(crate) fn node(&self, node: NodeId) -> Option<&NodeLog<'a>> {
        self.nodes.get(&node)
    }

    /// Where a node's responders wait, and where it speaks from: its id, or what its probe found of the other family.
    pub(crate) fn data_address(&self, node: NodeId, family: Family) -> Option<IpAddr> {
        let listed = node.address().filter(|address| Family::of(*address) == family);
        listed.or_else(|| self.node(node)?.joined?.what.data_address(family))
    }

    /// Whether a node that joined has no data address of a family. The admin workstation has none of any, and needs none.
    pub(crate) fn lacks_address(&self, node: NodeId, family: Family) -> bool {
        let has_joined = self.node(node).is_some_and(|log| log.joined.is_some());
        node != NodeId::Coordinator && has_joined && self.data_address(node, family).is_none()
    }

    /// Whether Kubernetes runs on a node already, by its probe's last word.
    pub(crate) fn is_live(&self, node: NodeId) -> bool {
        let facts = self.node(node).and_then(|log| log.facts);
        facts.is_some_and(|told| told.what.life == Life::Live)
    }

    /// Who never joined and is left out for it (`--partial`), ascending.
    pub(crate) fn left_out(&self) -> BTreeSet<NodeId> {
        let stayed_away = |log: &NodeLog<'_>| log.not_joined.is_some() && log.joined.is_none();
        let nodes = self.nodes.iter().filter(|(_, log)| stayed_away(log));
        match self.run.parameters.partial {
            true => nodes.map(|(node, _)| *node).collect(),
            false => BTreeSet::new(),
        }
    }

    /// Whether a probe never took part or did not stay to the end: what failed there says nothing about the network.
    pub(crate) fn is_gone(&self, node: NodeId) -> bool {
        self.node(node)
            .is_none_or(|log| log.joined.is_none() || log.lost.is_some() || log.not_joined.is_some())
    }
}

impl<'a> NodeLog<'a> {
    pub(crate) fn armed(&self, transport: Transport) -> Option<&RangeMap<Told<Arm<'a>>>> {
        self.armed.get(&transport)
    }

    pub(crate) fn armed_by_transport(&self) -> impl Iterator<Item = (&Transport, &RangeMap<Told<Arm<'a>>>)> {
        self.armed.iter()
    }

    pub(crate) fn reach(
        &self,
        to: NodeId,
        transport: Transport,
        look: Look,
    ) -> Option<&RangeMap<Told<&'a Reach>>> {
        self.reach.get(&(to, transport, look))
    }

    /// The ports at which this probe tried a destination, planned or not.
    pub(crate) fn tried(&self, to: NodeId, transport: Transport) -> PortSet {
        let looks = [Look::First, Look::Second].map(|look| self.reach(to, transport, look));
        let runs = looks.into_iter().flatten().flat_map(RangeMap::runs);
        let tried = runs.filter(|(_, told)| !matches!(told.what.signal, Signal::NotTried { .. }));
        let mut ports = PortSet::new();
        for (range, _) in tried {
            ports.insert(*range);
        }
        ports
    }

    /// From which address of no member proven hellos to one of these ports came.
    pub(crate) fn translated_source(&self, transport: Transport, ports: &PortSet) -> Option<IpAddr> {
        let mut translated = self.translated.iter();
        let of_these =
            translated.find(|(of, heard, _)| *of == transport && !heard.intersection(ports).is_empty());
        of_these.map(|(_, _, address)| *address)
    }

    /// Every port on which such hellos came.
    pub(crate) fn translated_ports(&self, transport: Transport) -> PortSet {
        let mut ports = PortSet::new();
        for (of, heard, _) in &self.translated {
            if *of == transport {
                ports.extend(heard);
            }
        }
        ports
    }

    pub(crate) fn heard(&self, from: NodeId, transport: Transport) -> Option<&RangeMap<Told<Heard>>> {
        self.heard.get(&(from, transport))
    }

    pub(crate) fn seen(&self, peer: NodeId, transport: Transport, end: End) -> Option<&RangeMap<Told<Seen>>> {
        self.seen.get(&(peer, transport, end))
    }

    /// Whether an address is one of this host's.
    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        let text = address.to_string();
        self.joined
            .is_some_and(|joined| joined.what.addresses.contains(&address))
            || self.facts.is_some_and(|facts| {
                let written = facts
                    .what
                    .interfaces
                    .iter()
                    .flat_map(|interface| &interface.addresses);
                written
                    .filter_map(|with_length| with_length.split('/').next())
                    .any(|own| own == text)
            })
    }
}

/// Runs in the order in which they were reported, on their way into range maps.
type Runs<K, T> = BTreeMap<K, Vec<(PortRange, Told<T>)>>;

/// A ledger in the making.
struct Replay<'a> {
    ledger: Ledger<'a>,
    pending: BTreeMap<NodeId, Pending<'a>>,
    closed: BTreeMap<NodeId, u64>,
}

#[derive(Default)]
struct Pending<'a> {
    /// Digests of the batches that were applied, in order.
    digests: Vec<String>,
    armed: Runs<Transport, Arm<'a>>,
    reach: Runs<(NodeId, Transport, Look), &'a Reach>,
    heard: Runs<(NodeId, Transport), Heard>,
    seen: Runs<(NodeId, Transport, End), Seen>,
}

impl<'a> Replay<'a> {
    fn new(run: &'a RunRecord) -> Self {
        let ledger = Ledger {
            run,
            nodes: BTreeMap::new(),
            interrupted: None,
            took_ms: None,
            missing_batches: 0,
            duplicate_batches: 0,
        };
        Self {
            ledger,
            pending: BTreeMap::new(),
            closed: BTreeMap::new(),
        }
    }

    fn swarm(&mut self, record: &'a SwarmRecord, line: u32) {
        match &record.event {
            SwarmEvent::Joined { member } => {
                self.log(member.node)
                    .joined
                    .get_or_insert(Told { what: member, line });
            }
            SwarmEvent::NotJoined { node } => {
                self.log(*node).not_joined.get_or_insert(line);
            }
            SwarmEvent::Lost { node, why } => {
                self.log(*node).lost.get_or_insert(Told {
                    what: (*why, record.at_ms),
                    line,
                });
            }
            SwarmEvent::Late { node } => {
                self.log(*node).late.get_or_insert(line);
            }
            SwarmEvent::Refused { node, reason } => {
                self.log(*node).refused.get_or_insert(Told {
                    what: reason.as_str(),
                    line,
                });
            }
            SwarmEvent::Closed { node, last_seq } => {
                let closed = self.closed.entry(*node).or_default();
                *closed = (*closed).max(*last_seq);
            }
            SwarmEvent::Duplicate { .. } => self.ledger.duplicate_batches += 1,
            SwarmEvent::Interrupted => {
                self.ledger.interrupted.get_or_insert(line);
            }
            SwarmEvent::Finished { took_ms } => self.ledger.took_ms = Some(*took_ms),
            // Members are in the Joined events; that probes worked with this roster is checked by its digest in `verify`.
            SwarmEvent::Roster { .. } => {}
        }
    }

    fn log(&mut self, node: NodeId) -> &mut NodeLog<'a> {
        self.ledger.nodes.entry(node).or_default()
    }

    fn batch(&mut self, batch: &'a Batch, entry: &'a Entry) -> Result<(), ReportError> {
        let pending = self.pending.entry(batch.node).or_default();
        let digest = entry.payload.digest();
        let broken = ReportError::BrokenChain {
            line: entry.line,
            node: batch.node,
        };
        let applied = u64::try_from(pending.digests.len()).unwrap_or(u64::MAX);
        if batch.seq <= applied {
            // The same batch once more is harmless; another one under its number is not.
            let index = usize::try_from(batch.seq).unwrap_or(usize::MAX).checked_sub(1);
            if index.and_then(|index| pending.digests.get(index)) != Some(&digest) {
                return Err(broken);
            }
            self.ledger.duplicate_batches += 1;
            return Ok(());
        }
        let previous = pending.digests.last().map_or("", String::as_str);
        if batch.seq != applied + 1 || batch.previous != previous {
            return Err(broken);
        }
        pending.digests.push(digest);
        for record in &batch.records {
            self.record(batch.node, record, entry.line);
        }
        Ok(())
    }

    fn record(&mut self, node: NodeId, record: &'a Record, line: u32) {
        let pending = self.pending.entry(node).or_default();
        match record {
            Record::Facts(facts) => {
                let log = self.ledger.nodes.entry(node).or_default();
                let told = Told { what: &**facts, line };
                log.facts_first.get_or_insert(told);
                log.facts = Some(told);
                if let Some(ruleset) = &facts.ruleset {
                    log.ruleset = Some(Told { what: ruleset, line });
                }
            }
            Record::Armed(armed) => {
                let runs = pending.armed.entry((armed.family, armed.protocol)).or_default();
                push(
                    runs,
                    &armed.ports,
                    Told {
                        what: Arm::Ready,
                        line,
                    },
                );
                for refused in &armed.refused {
                    push(
                        runs,
                        &refused.ports,
                        Told {
                            what: Arm::Refused(&refused.why),
                            line,
                        },
                    );
                }
            }
            Record::Reach(reach) => {
                let look = if reach.second_look {
                    Look::Second
                } else {
                    Look::First
                };
                let key = (reach.dst, (reach.family, reach.protocol), look);
                push(
                    pending.reach.entry(key).or_default(),
                    &reach.ports,
                    Told { what: reach, line },
                );
            }
            Record::Heard(heard) => {
                // What came from an address off the roster belongs to no planned test by itself.
                if heard.src.is_none() && heard.proven > 0 {
                    let translated = ((heard.family, heard.protocol), &heard.ports, heard.address);
                    let log = self.ledger.nodes.entry(node).or_default();
                    log.translated.push(translated);
                }
                if let Some(src) = heard.src {
                    let counts = Heard {
                        accepted: heard.accepted,
                        proven: heard.proven,
                        unproven: heard.unproven,
                        replayed: heard.replayed,
                    };
                    let runs = pending
                        .heard
                        .entry((src, (heard.family, heard.protocol)))
                        .or_default();
                    push(runs, &heard.ports, Told { what: counts, line });
                }
            }
            Record::Seen(seen) => {
                let counts = Seen {
                    questions: seen.questions,
                    answers: seen.answers,
                    resets: seen.resets,
                    icmp_errors: seen.icmp_errors,
                };
                let key = (seen.peer, (seen.family, seen.protocol), seen.end);
                push(
                    pending.seen.entry(key).or_default(),
                    &seen.ports,
                    Told { what: counts, line },
                );
            }
        }
    }

    fn finish(mut self) -> Ledger<'a> {
        for (node, last_seq) in &self.closed {
            let applied = self.pending.get(node).map_or(0, |pending| pending.digests.len());
            let missing = last_seq.saturating_sub(u64::try_from(applied).unwrap_or(u64::MAX));
            self.ledger.missing_batches = self.ledger.missing_batches.saturating_add(missing);
        }
        for (node, pending) in self.pending {
            let log = self.ledger.nodes.entry(node).or_default();
            // What was armed or tried again counts as it was the last time; counters of several assignments add up.
            log.armed = collect(pending.armed, |_, later| later);
            log.reach = collect(pending.reach, |_, later| later);
            log.heard = collect(pending.heard, |a, b| Told {
                what: a.what.plus(b.what),
                line: b.line,
            });
            log.seen = collect(pending.seen, |a, b| Told {
                what: a.what.plus(b.what),
                line: b.line,
            });
        }
        self.ledger
    }
}

fn push<T: Copy>(runs: &mut Vec<(PortRange, Told<T>)>, ports: &PortSet, told: Told<T>) {
    runs.extend(ports.ranges().iter().map(|range| (*range, told)));
}

fn collect<K: Ord, T: Copy>(
    runs: Runs<K, T>,
    join: impl Fn(Told<T>, Told<T>) -> Told<T>,
) -> BTreeMap<K, RangeMap<Told<T>>> {
    runs.into_iter()
        .map(|(key, runs)| (key, RangeMap::collect(&runs, &join)))
        .collect()
}

impl Heard {
    fn plus(self, other: Self) -> Self {
        Self {
            accepted: self.accepted.saturating_add(other.accepted),
            proven: self.proven.saturating_add(other.proven),
            unproven: self.unproven.saturating_add(other.unproven),
            replayed: self.replayed.saturating_add(other.replayed),
        }
    }
}

impl Seen {
    fn plus(self, other: Self) -> Self {
        Self {
            questions: self.questions.saturating_add(other.questions),
            answers: self.answers.saturating_add(other.answers),
            resets: self.resets.saturating_add(other.resets),
            icmp_errors: self.icmp_errors.saturating_add(other.icmp_errors),
        }
    }
}
