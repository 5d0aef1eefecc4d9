//! Evidence put in order: what happened to each probe, and what each one testifies, found by pair.
//!
//! Batches of a probe follow each other by sequence number and by the digest of the one before; how the batches of
//! different probes are interleaved makes no difference.

mod replay;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use self::replay::Replay;
use crate::{
    errand,
    evidence::{ANALYSIS_VERSION, Entry, LostWhy, Member, Payload, RunRecord},
    firewall::{Judge, Judgement, Packet, Ruleset},
    id::NodeId,
    observation::{
        BindFailure, Dialled, End, FirewallSettings, Held, HostFacts, HostSettings, Life, LinkSeen,
        Overheard, PathSeen, Reach, Signal, TunnelSeen, UndoneWhy,
    },
    port::{Family, PortSet, Protocol},
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
    /// Why whoever asked to join as this node was refused.
    pub(crate) turned_away: Option<&'a str>,
    pub(crate) lost: Option<Told<(LostWhy, u64)>>,
    pub(crate) late: Option<u32>,
    pub(crate) refused: Option<Told<&'a str>>,
    /// How far its clock is from the coordinator's.
    pub(crate) clock: Option<Told<Clock>>,
    /// The facts of the beginning: what counters and tables are compared with.
    pub(crate) facts_first: Option<Told<&'a HostFacts>>,
    /// The last facts.
    pub(crate) facts: Option<Told<&'a HostFacts>>,
    /// How the host is set up.
    pub(crate) host: Option<Told<&'a HostSettings>>,
    /// How the managers of its packet filter are set up.
    pub(crate) firewalls: Option<Told<&'a FirewallSettings>>,
    /// Errands that were not done.
    pub(crate) undone: BTreeMap<errand::Kind, Told<&'a UndoneWhy>>,
    /// What errands came to, in the order in which they were reported.
    pub(crate) overheard: Vec<Told<&'a Overheard>>,
    pub(crate) link: Vec<Told<&'a LinkSeen>>,
    pub(crate) dialled: Vec<Told<&'a Dialled>>,
    pub(crate) path: Vec<Told<&'a PathSeen>>,
    pub(crate) held: Vec<Told<&'a Held>>,
    pub(crate) tunnel: Vec<Told<&'a TunnelSeen>>,
    /// The last packet filter that could be read.
    pub(crate) ruleset: Option<Told<&'a Ruleset>>,
    /// Who says what that packet filter would do.
    judge: Option<Judge<'a>>,
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

/// A probe's wall clock against the coordinator's, as [`crate::evidence::SwarmEvent::Clock`] has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock {
    pub(crate) offset_us: i64,
    pub(crate) round_trip_us: u64,
    pub(crate) samples: u32,
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
    /// What this node's packet filter would do with a packet; absent if it was not read.
    pub(crate) fn judge(&self, packet: &Packet) -> Option<Judgement> {
        Some(self.judge.as_ref()?.evaluate(packet))
    }

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
