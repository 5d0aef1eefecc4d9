//! What failed in a run so far, and what is known to explain it already.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use plumbline_model::{
    evidence::Batch,
    id::NodeId,
    observation::{Armed, BindFailure, End, Reach, Record, Seen, Signal},
    port::PortSet,
    verdict::is_live_service,
};

use super::duties::{Duties, Transport};

/// Source, destination and transport of tests.
pub(super) type Pair = (NodeId, NodeId, Transport);

/// What failed so far, of what must answer: that nobody answers on a port that must not is no failure.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// First looks without an answer.
    pairs: BTreeMap<Pair, Fared>,
    /// Ports that a destination could not bind, and that no service holds by right: their failing has its explanation.
    unbound: BTreeMap<(NodeId, Transport), PortSet>,
    /// Ports of a live node on which nobody waits: that it refuses them has its explanation.
    absent: BTreeMap<(NodeId, Transport), PortSet>,
    /// Nodes whose own host may tell more about a failure than its outcome does.
    suspects: BTreeSet<NodeId>,
}

/// How the tests of one pair fared that were not answered.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fared {
    /// Ports that failed, on the network or at its ends.
    pub(super) failed: PortSet,
    /// Those of them that nobody answered at all.
    pub(super) silent: PortSet,
    /// Somebody who rejected another of these ports by an ICMP error.
    pub(super) offender: Option<IpAddr>,
    /// Ports of which nothing was learned.
    pub(super) unknown: PortSet,
}

impl Failures {
    /// Takes note of what a batch tells.
    pub(super) fn note(&mut self, batch: &Batch, duties: &Duties) {
        for record in &batch.records {
            match record {
                Record::Reach(reach) if !reach.second_look => self.note_reach(batch.node, reach, duties),
                Record::Armed(armed) => self.note_armed(batch.node, armed),
                Record::Seen(seen) if seen.end == End::Source && seen.answers > 0 => {
                    self.note_kept_answer(batch.node, seen);
                }
                _ => {}
            }
        }
    }

    /// What failed, by pair.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (Pair, &Fared)> {
        self.pairs.iter().map(|(pair, fared)| (*pair, fared))
    }

    /// How the tests of a pair fared; absent if all of them were answered.
    pub(super) fn of(&self, pair: Pair) -> Option<&Fared> {
        self.pairs.get(&pair)
    }

    /// Ports that a destination should have bound and did not.
    pub(super) fn unbound(&self, destination: NodeId, transport: Transport) -> Option<&PortSet> {
        self.unbound.get(&(destination, transport))
    }

    /// The nodes whose facts are worth gathering again: destinations of what failed, and sources that are suspect.
    pub(super) fn to_survey(&self) -> BTreeSet<NodeId> {
        let failing = self.pairs.iter().filter(|(_, fared)| !fared.failed.is_empty());
        failing
            .map(|((_, destination, _), _)| *destination)
            .chain(self.suspects.iter().copied())
            .collect()
    }

    fn note_reach(&mut self, source: NodeId, reach: &Reach, duties: &Duties) {
        let transport = (reach.family, reach.protocol);
        let Some(expected) = duties.answers_on(reach.dst, transport) else {
            return;
        };
        let mut ports = reach.ports.intersection(expected);
        let end = Ending::of(&reach.signal);
        if end == Ending::Answered || ports.is_empty() {
            return;
        }
        if let (Signal::Refused, Some(absent)) = (&reach.signal, self.absent.get(&(reach.dst, transport))) {
            ports = ports.difference(absent);
        }
        let fared = self.pairs.entry((source, reach.dst, transport)).or_default();
        match end {
            Ending::Answered => {}
            Ending::Failed => fared.failed.extend(&ports),
            Ending::Unknown => fared.unknown.extend(&ports),
        }
        match &reach.signal {
            Signal::Silence => fared.silent.extend(&ports),
            Signal::Icmp { offender, .. } => fared.offender = fared.offender.or(*offender),
            // Its packet filter refused to send; its neighbour table knows which link address answered in the peer's stead.
            Signal::LocalDenied { .. } | Signal::Unproven { .. } | Signal::Refused => {
                self.suspects.insert(source);
            }
            _ => {}
        }
    }

    fn note_armed(&mut self, node: NodeId, armed: &Armed) {
        let key = (node, (armed.family, armed.protocol));
        for refused in &armed.refused {
            if refused.why == BindFailure::NoListener {
                self.absent.entry(key).or_default().extend(&refused.ports);
            }
            let is_squatted = |port: &u16| !is_live_service(*port, &refused.why);
            let squatted: PortSet = refused.ports.iter().filter(is_squatted).collect();
            if !squatted.is_empty() {
                self.unbound.entry(key).or_default().extend(&squatted);
            }
        }
    }

    /// A capture saw an answer arrive that the test did not get.
    fn note_kept_answer(&mut self, source: NodeId, seen: &Seen) {
        if let Some(fared) = self.pairs.get(&(source, seen.peer, (seen.family, seen.protocol)))
            && !fared.failed.intersection(&seen.ports).is_empty()
        {
            self.suspects.insert(source);
        }
    }
}

/// What a test came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Somebody answered.
    Answered,
    /// It failed where a capture could tell more.
    Failed,
    /// It told nothing about the port.
    Unknown,
}

impl Ending {
    fn of(signal: &Signal) -> Self {
        match signal {
            // An answer from elsewhere shows that question and answer pass, and from where.
            Signal::Verified | Signal::Connected | Signal::AnsweredFrom { .. } => Self::Answered,
            Signal::Unproven { .. }
            | Signal::Refused
            | Signal::Icmp { .. }
            | Signal::Silence
            | Signal::LocalDenied { .. }
            // A capture tells nothing more of these two, but a link that was down for a moment does when it is asked again.
            | Signal::NoRoute
            | Signal::NeighborUnresolved => Self::Failed,
            Signal::Exhausted { .. } | Signal::NotTried { .. } => Self::Unknown,
        }
    }
}
