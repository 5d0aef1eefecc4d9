//! Evidence read line by line into a ledger.

use std::collections::BTreeMap;

use super::{Arm, Clock, Heard, Ledger, Look, NodeLog, Seen, Told, Transport};
use crate::{
    evidence::{Batch, Entry, RunRecord, SwarmEvent, SwarmRecord},
    firewall::Judge,
    id::NodeId,
    observation::{self, Armed, End, Reach, Record, Signal},
    port::{PortRange, PortSet},
    range_map::RangeMap,
    report::ReportError,
};

/// Runs in the order in which they were reported, on their way into range maps.
type Runs<K, T> = BTreeMap<K, Vec<(PortRange, Told<T>)>>;

/// A ledger in the making.
pub(super) struct Replay<'a> {
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

impl<'a> Pending<'a> {
    fn armed(&mut self, armed: &'a Armed, line: u32) {
        let runs = self.armed.entry((armed.family, armed.protocol)).or_default();
        let what = Arm::Ready;
        push(runs, &armed.ports, Told { what, line });
        for refused in &armed.refused {
            let what = Arm::Refused(&refused.why);
            push(runs, &refused.ports, Told { what, line });
        }
    }

    fn heard(&mut self, heard: &'a observation::Heard, line: u32) {
        let Some(src) = heard.src else {
            return;
        };
        let what = Heard {
            accepted: heard.accepted,
            proven: heard.proven,
            unproven: heard.unproven,
            replayed: heard.replayed,
        };
        let runs = self
            .heard
            .entry((src, (heard.family, heard.protocol)))
            .or_default();
        push(runs, &heard.ports, Told { what, line });
    }

    fn seen(&mut self, seen: &'a observation::Seen, line: u32) {
        let what = Seen {
            questions: seen.questions,
            answers: seen.answers,
            resets: seen.resets,
            icmp_errors: seen.icmp_errors,
        };
        let key = (seen.peer, (seen.family, seen.protocol), seen.end);
        push(
            self.seen.entry(key).or_default(),
            &seen.ports,
            Told { what, line },
        );
    }
}

impl<'a> Replay<'a> {
    pub(super) fn new(run: &'a RunRecord) -> Self {
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

    pub(super) fn swarm(&mut self, record: &'a SwarmRecord, line: u32) {
        match &record.event {
            SwarmEvent::Joined { member } => {
                self.log(member.node)
                    .joined
                    .get_or_insert(Told { what: member, line });
            }
            SwarmEvent::NotJoined { node, refused } => {
                let log = self.log(*node);
                log.not_joined.get_or_insert(line);
                log.turned_away = log.turned_away.or(refused.as_deref());
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
            SwarmEvent::Clock {
                node,
                offset_us,
                round_trip_us,
                samples,
            } => {
                let what = Clock {
                    offset_us: *offset_us,
                    round_trip_us: *round_trip_us,
                    samples: *samples,
                };
                self.log(*node).clock.get_or_insert(Told { what, line });
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

    pub(super) fn batch(&mut self, batch: &'a Batch, entry: &'a Entry) -> Result<(), ReportError> {
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
            Record::Armed(armed) => pending.armed(armed, line),
            Record::Reach(reach) => {
                let look = if reach.second_look {
                    Look::Second
                } else {
                    Look::First
                };
                let key = (reach.dst, (reach.family, reach.protocol), look);
                let runs = pending.reach.entry(key).or_default();
                push(runs, &reach.ports, Told { what: reach, line });
            }
            Record::Heard(heard) => {
                // What came from an address off the roster belongs to no planned test by itself.
                if heard.src.is_none() && heard.proven > 0 {
                    let translated = ((heard.family, heard.protocol), &heard.ports, heard.address);
                    let log = self.ledger.nodes.entry(node).or_default();
                    log.translated.push(translated);
                }
                pending.heard(heard, line);
            }
            Record::Seen(seen) => pending.seen(seen, line),
            Record::Undone(undone) => {
                let why = Told {
                    what: &undone.why,
                    line,
                };
                self.log(node).undone.insert(undone.errand, why);
            }
            Record::Host(host) => self.log(node).host = Some(Told { what: &**host, line }),
            Record::Firewalls(firewalls) => {
                self.log(node).firewalls = Some(Told {
                    what: &**firewalls,
                    line,
                });
            }
            Record::Overheard(what) => self.log(node).overheard.push(Told { what, line }),
            Record::Link(what) => self.log(node).link.push(Told { what, line }),
            Record::Dialled(what) => self.log(node).dialled.push(Told { what, line }),
            Record::Path(what) => self.log(node).path.push(Told { what, line }),
            Record::Held(what) => self.log(node).held.push(Told { what, line }),
            Record::Tunnel(what) => self.log(node).tunnel.push(Told { what, line }),
        }
    }

    pub(super) fn finish(mut self) -> Ledger<'a> {
        for (node, last_seq) in &self.closed {
            let applied = self.pending.get(node).map_or(0, |pending| pending.digests.len());
            let missing = last_seq.saturating_sub(u64::try_from(applied).unwrap_or(u64::MAX));
            self.ledger.missing_batches = self.ledger.missing_batches.saturating_add(missing);
        }
        for (node, pending) in self.pending {
            let log = self.ledger.nodes.entry(node).or_default();
            // What was armed again counts as it was the last time, what was tried again as it told most; counters of several
            // assignments add up.
            log.armed = collect(pending.armed, |_, later| later);
            log.reach = collect(pending.reach, more_telling);
            log.heard = collect(pending.heard, |a, b| Told {
                what: a.what.plus(b.what),
                line: b.line,
            });
            log.seen = collect(pending.seen, |a, b| Told {
                what: a.what.plus(b.what),
                line: b.line,
            });
        }
        for log in self.ledger.nodes.values_mut() {
            log.judge = log.ruleset.map(|told| Judge::new(told.what));
        }
        self.ledger
    }
}

/// Of two trials of the same look the later one, unless the earlier one tells more: a port may be asked at two paces, and an
/// error that a limit let through once is not undone by the silence that follows.
fn more_telling<'a>(earlier: Told<&'a Reach>, later: Told<&'a Reach>) -> Told<&'a Reach> {
    let rank = |told: &Told<&Reach>| match told.what.signal {
        Signal::NotTried { .. } | Signal::Exhausted { .. } => 0,
        Signal::Verified | Signal::Connected | Signal::AnsweredFrom { .. } if told.what.second_look => 3,
        Signal::Icmp { .. } if told.what.second_look => 2,
        _ => 1,
    };
    if rank(&earlier) > rank(&later) {
        earlier
    } else {
        later
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
