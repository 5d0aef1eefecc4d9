//! Reads evidence.jsonl line by line: whose line is it, is it theirs, does it follow the one before.

use std::collections::{BTreeMap, BTreeSet};

use plumbline_model::{
    canonical,
    evidence::{ANALYSIS_VERSION, Entry, Member, PAYLOAD_TYPE, Payload, SwarmEvent, overlong_text},
    id::{NodeId, RunId},
};
use serde::Deserialize;

use super::fault::{BundleFault, LineFault};
use crate::{attest::EvidenceAnnotations, dsse::Envelope, hex, key::VerifyingKey, merkle};

/// What the lines say, as far as they hold.
#[derive(Debug)]
pub(super) struct Evidence {
    /// The lines' payloads, unless they are of another analysis version.
    pub(super) entries: Vec<Entry>,
    /// The run and the analysis version, by the first line.
    pub(super) first: Option<(RunId, u32)>,
    /// What the attestation should say of the file.
    pub(super) annotations: EvidenceAnnotations,
    /// Where each node's batches stand, by sequence number, whether they hold or not.
    pub(super) batches: BTreeMap<NodeId, BTreeMap<u64, u32>>,
    /// Lines that do not hold, ascending, and what is missing between them.
    pub(super) faults: Vec<BundleFault>,
}

/// What the attestation says of a file of evidence. Lines that make no sense count as lines and nothing else: [`read`] names
/// them.
pub(super) fn annotate(bytes: &[u8]) -> EvidenceAnnotations {
    let outlines: Vec<Option<Outline>> = lines(bytes)
        .map(|line| {
            let payload = Envelope::parse(line)
                .and_then(|envelope| envelope.unverified_payload())
                .ok()?;
            serde_json::from_slice(&payload).ok()
        })
        .collect();
    let leaves: Vec<_> = lines(bytes).map(merkle::leaf_hash).collect();
    let mut batches: BTreeMap<NodeId, Vec<u32>> = BTreeMap::new();
    for (index, outline) in outlines.iter().enumerate() {
        if let Some((node, _)) = outline.as_ref().and_then(Outline::batch) {
            batches.entry(node).or_default().push(number(index));
        }
    }
    let lines = u32::try_from(leaves.len()).unwrap_or(u32::MAX);
    EvidenceAnnotations {
        lines,
        tree_head: hex::encode(&merkle::tree_head(&leaves)),
        batches,
    }
}

/// Reads and verifies every line: the coordinator's with `signer`, each probe's with the key that it joined with.
pub(super) fn read(bytes: &[u8], signer: &VerifyingKey) -> Evidence {
    let mut reader = Reader {
        signer,
        first: None,
        members: BTreeMap::new(),
        rosters: BTreeSet::new(),
        chains: BTreeMap::new(),
        entries: Vec::new(),
    };
    let mut faults: Vec<(u32, LineFault)> = Vec::new();
    for (index, line) in lines(bytes).enumerate() {
        faults.extend(
            reader
                .line(number(index), line)
                .err()
                .map(|fault| (number(index), fault)),
        );
    }
    let mut missing = Vec::new();
    for (node, chain) in &reader.chains {
        order(*node, chain, &mut faults);
        follow(*node, chain, &mut faults, &mut missing);
    }
    faults.sort_by_key(|(line, _)| *line);
    let faults = faults
        .into_iter()
        .map(|(line, fault)| BundleFault::Line { line, fault });
    Evidence {
        entries: reader.entries,
        first: reader.first,
        annotations: annotate(bytes),
        batches: reader
            .chains
            .iter()
            .map(|(node, chain)| (*node, chain.iter().map(|l| (l.seq, l.line)).collect()))
            .collect(),
        faults: faults.chain(missing).collect(),
    }
}

/// The lines without their line feeds; what stands after the last line feed is a line, too.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.split(|byte| *byte == b'\n')
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1)
}

/// The part of a payload that every analysis version shares: enough to check signatures and order.
#[derive(Debug, Deserialize)]
struct Outline {
    #[serde(rename = "type")]
    kind: String,
    run: RunId,
    analysis: Option<u32>,
    node: Option<NodeId>,
    seq: Option<u64>,
    previous: Option<String>,
    event: Option<OutlineEvent>,
}

#[derive(Debug, Deserialize)]
struct OutlineEvent {
    is: String,
    member: Option<OutlineMember>,
}

#[derive(Debug, Deserialize)]
struct OutlineMember {
    node: NodeId,
    signing_key: String,
}

impl Outline {
    fn batch(&self) -> Option<(NodeId, u64)> {
        if self.kind == "batch" {
            Some((self.node?, self.seq?))
        } else {
            None
        }
    }

    fn joined(&self) -> Option<&OutlineMember> {
        let event = self
            .event
            .as_ref()
            .filter(|event| self.kind == "swarm" && event.is == "joined")?;
        event.member.as_ref()
    }
}

/// One batch in its node's chain.
#[derive(Debug)]
struct Link {
    line: u32,
    seq: u64,
    previous: String,
    sha256: String,
}

struct Reader<'a> {
    signer: &'a VerifyingKey,
    /// The run and the analysis version.
    first: Option<(RunId, u32)>,
    /// Who joined; what is known of them in full only if the evidence is of this analysis version.
    members: BTreeMap<NodeId, (VerifyingKey, Option<Member>)>,
    rosters: BTreeSet<String>,
    /// Each node's batches in the order of the file.
    chains: BTreeMap<NodeId, Vec<Link>>,
    entries: Vec<Entry>,
}

impl Reader<'_> {
    fn line(&mut self, line: u32, bytes: &[u8]) -> Result<(), LineFault> {
        let envelope = Envelope::parse(bytes)?;
        let payload = envelope.unverified_payload()?;
        let outline: Outline = serde_json::from_slice(&payload).map_err(LineFault::Outline)?;
        let mut key = *self.signer;
        if let Some((node, seq)) = outline.batch() {
            // Placed before it is verified: a batch that was changed stands there still, it is not missing.
            let previous = outline.previous.clone().unwrap_or_default();
            let link = Link {
                line,
                seq,
                previous,
                sha256: canonical::sha256(&payload),
            };
            self.chains.entry(node).or_default().push(link);
            key = self
                .members
                .get(&node)
                .ok_or(LineFault::NotMember { node, seq })?
                .0;
        }
        let payload = envelope.verify(&key, PAYLOAD_TYPE);
        let payload = payload.map_err(|fault| match outline.batch() {
            Some((node, seq)) => LineFault::Batch { node, seq, fault },
            None => fault.into(),
        })?;
        self.place(line, &outline)?;
        let analysis = self.first.as_ref().map(|(_, analysis)| *analysis);
        let payload = if analysis == Some(ANALYSIS_VERSION) {
            let read = canonical::decode::<Payload>(&payload)?;
            if let (Payload::Batch(_), Some(octets)) = (&read, overlong_text(&payload)) {
                return Err(LineFault::Text { octets });
            }
            Some(read)
        } else {
            None
        };
        if let Some(member) = outline.joined() {
            self.joined(member, payload.as_ref())?;
        }
        if let Some(payload) = payload {
            self.rosters(&payload)?;
            self.entries.push(Entry { line, payload });
        }
        Ok(())
    }

    /// The run record stands first and alone, and every line is of its run.
    fn place(&mut self, line: u32, outline: &Outline) -> Result<(), LineFault> {
        let is_record = outline.kind == "run";
        match &self.first {
            None if line == 1 && is_record => {
                self.first = Some((outline.run.clone(), outline.analysis.unwrap_or(0)));
                Ok(())
            }
            _ if line == 1 => Err(LineFault::NotRunRecord),
            _ if is_record => Err(LineFault::SecondRunRecord),
            Some((run, _)) if *run != outline.run => Err(LineFault::OtherRun {
                run: outline.run.clone(),
            }),
            _ => Ok(()),
        }
    }

    fn joined(&mut self, member: &OutlineMember, payload: Option<&Payload>) -> Result<(), LineFault> {
        let node = member.node;
        let key =
            VerifyingKey::from_point_hex(&member.signing_key).map_err(|_| LineFault::MemberKey { node })?;
        let whole = match payload {
            Some(Payload::Swarm(record)) => match &record.event {
                SwarmEvent::Joined { member } => Some(member.clone()),
                _ => None,
            },
            _ => None,
        };
        match self.members.insert(node, (key, whole)) {
            None => Ok(()),
            Some(_) => Err(LineFault::JoinedTwice { node }),
        }
    }

    fn rosters(&mut self, payload: &Payload) -> Result<(), LineFault> {
        match payload {
            Payload::Swarm(record) => {
                let SwarmEvent::Roster { sha256, members } = &record.event else {
                    return Ok(());
                };
                let digest = canonical::sha256(&canonical::encode(members));
                let joined = |member: &Member| {
                    self.members
                        .get(&member.node)
                        .and_then(|(_, whole)| whole.as_ref())
                };
                if digest != *sha256 || !members.iter().all(|member| joined(member) == Some(member)) {
                    return Err(LineFault::Roster);
                }
                self.rosters.insert(digest);
                Ok(())
            }
            Payload::Batch(batch)
                if batch.roster_sha256.is_empty() || self.rosters.contains(&batch.roster_sha256) =>
            {
                Ok(())
            }
            Payload::Batch(batch) => Err(LineFault::UnknownRoster {
                node: batch.node,
                seq: batch.seq,
            }),
            Payload::Run(_) => Ok(()),
        }
    }
}

/// Names the batches of a node that stand in the wrong order, or twice.
fn order(node: NodeId, chain: &[Link], faults: &mut Vec<(u32, LineFault)>) {
    let mut seen = BTreeSet::new();
    for &Link { line, seq, .. } in chain {
        let after = seen.last().copied().unwrap_or(0);
        if !seen.insert(seq) {
            faults.push((line, LineFault::Twice { node, seq }));
        } else if seq < after {
            faults.push((line, LineFault::OutOfOrder { node, seq, after }));
        }
    }
}

/// Follows a node's batches by their sequence numbers: each names the one before it, and none is missing in between.
fn follow(node: NodeId, chain: &[Link], faults: &mut Vec<(u32, LineFault)>, missing: &mut Vec<BundleFault>) {
    let by_seq: BTreeMap<u64, &Link> = chain.iter().rev().map(|link| (link.seq, link)).collect();
    let (mut next, mut previous) = (1, Some(""));
    for (seq, link) in by_seq {
        if seq > next {
            missing.extend(
                (next..seq)
                    .map(|seq| BundleFault::BatchMissing { node, seq })
                    .take(MAX_GAP),
            );
            previous = None;
        }
        // Numbers start from 1; after a gap nobody knows what the predecessor was.
        if seq == 0 || previous.is_some_and(|previous| previous != link.previous) {
            faults.push((link.line, LineFault::BrokenChain { node, seq }));
        }
        previous = Some(&link.sha256);
        next = seq.saturating_add(1);
    }
}

/// Missing batches that are named one by one: a sequence number may be anything.
const MAX_GAP: usize = 8;
