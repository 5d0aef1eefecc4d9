//! Testimony on its way: records are closed into batches, each signed and chained to the one before, and kept until the
//! coordinator has stored them. Sequence and content never change once a batch is closed; a reconnect only sends again.
//!
//! ```text
//!   records --close--> [ 3 | 4 | 5 | 6 ] --send--> coordinator
//!                        ^       ^
//!            acknowledged+1     next to be sent; a reconnect moves it back
//! ```
//!
//! Pure: what is sent is asked for, nothing is sent from here. Bounded by [`Outbox::has_room`]: no new work is taken while
//! too much testimony waits. Testimony itself is never dropped.

use std::collections::VecDeque;

use plumbline_identity::{dsse::Envelope, key::SigningKey};
use plumbline_model::{
    canonical,
    evidence::{Batch, PAYLOAD_TYPE, Payload},
    id::{NodeId, RunId},
    observation::Record,
};
use plumbline_proto::convert::{BatchEnvelope, Digest};

/// Batches from closing to acknowledgement.
#[derive(Debug)]
pub(super) struct Outbox {
    run: RunId,
    node: NodeId,
    key: SigningKey,
    /// Digest of the last closed payload; empty before the first.
    previous: String,
    last_closed: u64,
    /// Everything up to here is stored by the coordinator.
    acknowledged: u64,
    /// Batches `acknowledged + 1 ..= last_closed`, in this order.
    kept: VecDeque<Vec<u8>>,
    kept_bytes: usize,
    /// Next to be sent on the present session; within `acknowledged + 1 ..= last_closed + 1`.
    next: u64,
}

/// The coordinator acknowledges what was never closed: it speaks of another probe, or lies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the coordinator acknowledges batch {seq}, the last one closed is {last_closed}")]
pub(super) struct NeverClosed {
    seq: u64,
    last_closed: u64,
}

/// What belongs to the batches that are closed together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heading {
    /// The roster that was worked with.
    pub(super) roster: Option<Digest>,
    /// The assignment, or 0.
    pub(super) assignment: u32,
    /// Now, in milliseconds since 1970.
    pub(super) closed_unix_ms: u64,
}

impl Outbox {
    pub(super) fn new(run: RunId, node: NodeId, key: SigningKey) -> Self {
        Self {
            run,
            node,
            key,
            previous: String::new(),
            last_closed: 0,
            acknowledged: 0,
            kept: VecDeque::new(),
            kept_bytes: 0,
            next: 1,
        }
    }

    /// Closes records into as many batches as their size asks for.
    pub(super) fn close(&mut self, heading: Heading, records: Vec<Record>) {
        let mut batch = Vec::new();
        let mut bytes = 0;
        for record in records {
            let size = canonical::encode(&record).len();
            if !batch.is_empty() && bytes + size > BATCH_BYTES {
                self.close_one(heading, std::mem::take(&mut batch));
                bytes = 0;
            }
            bytes += size;
            batch.push(record);
        }
        if !batch.is_empty() {
            self.close_one(heading, batch);
        }
    }

    fn close_one(&mut self, heading: Heading, records: Vec<Record>) {
        self.last_closed += 1;
        let payload = canonical::encode(&Payload::Batch(Batch {
            run: self.run.clone(),
            node: self.node,
            seq: self.last_closed,
            previous: std::mem::take(&mut self.previous),
            roster_sha256: heading
                .roster
                .map(|digest| digest.to_string())
                .unwrap_or_default(),
            assignment: heading.assignment,
            closed_unix_ms: heading.closed_unix_ms,
            records,
        }));
        self.previous = Digest::of(&payload).to_string();
        let envelope = Envelope::sign(&self.key, PAYLOAD_TYPE, &payload).to_bytes();
        self.kept_bytes += envelope.len();
        self.kept.push_back(envelope);
    }

    /// The sequence number of the last closed batch; 0 before the first.
    pub(super) fn last_closed(&self) -> u64 {
        self.last_closed
    }

    /// Batches that the coordinator has not stored yet.
    pub(super) fn waiting(&self) -> usize {
        self.kept.len()
    }

    /// Whether there is room for the testimony of more work.
    pub(super) fn has_room(&self) -> bool {
        self.kept_bytes < OUTBOX_BYTES
    }

    /// A new session begins, and the coordinator says what it has: the rest is sent again, in order.
    pub(super) fn resume(&mut self, applied: u64) -> Result<(), NeverClosed> {
        self.acknowledge(applied)?;
        self.next = self.acknowledged + 1;
        Ok(())
    }

    /// The coordinator has stored everything up to `seq`.
    pub(super) fn acknowledge(&mut self, seq: u64) -> Result<(), NeverClosed> {
        if seq > self.last_closed {
            return Err(NeverClosed {
                seq,
                last_closed: self.last_closed,
            });
        }
        while self.acknowledged < seq {
            let envelope = self
                .kept
                .pop_front()
                .expect("every batch after the acknowledged one is kept");
            self.kept_bytes -= envelope.len();
            self.acknowledged += 1;
        }
        self.next = self.next.max(self.acknowledged + 1);
        Ok(())
    }

    /// Whether a batch waits to be sent on the present session.
    pub(super) fn has_next(&self) -> bool {
        self.next <= self.last_closed
    }

    /// The next batch to be sent on the present session.
    pub(super) fn take_next(&mut self) -> Option<BatchEnvelope> {
        let at = usize::try_from(self.next - self.acknowledged - 1).ok()?;
        let envelope = self.kept.get(at)?.clone();
        let seq = self.next;
        self.next += 1;
        Some(BatchEnvelope { seq, envelope })
    }
}

/// A batch is closed before it grows beyond this: small enough to be sent again without regret, large enough that signing
/// costs nothing. A single larger record stands alone, within `plumbline_proto::limits::MAX_BATCH_PAYLOAD_BYTES`.
const BATCH_BYTES: usize = 256 * 1024;

/// More than any run of a thousand nodes testifies, little enough for a small host.
const OUTBOX_BYTES: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use plumbline_model::observation::HostFacts;

    use super::*;

    const HEADING: Heading = Heading {
        roster: None,
        assignment: 0,
        closed_unix_ms: 1,
    };

    fn outbox() -> Outbox {
        let key = SigningKey::from_scalar(&[7; 32]).unwrap();
        Outbox::new(RunId::from_bytes([1; 8]), NodeId::Coordinator, key)
    }

    fn record(hostname: &str) -> Record {
        Record::Facts(Box::new(HostFacts {
            hostname: hostname.to_owned(),
            ..HostFacts::default()
        }))
    }

    fn batch(envelope: &BatchEnvelope) -> (Batch, Vec<u8>) {
        let payload = Envelope::parse(&envelope.envelope)
            .unwrap()
            .unverified_payload()
            .unwrap();
        let Payload::Batch(batch) = canonical::decode(&payload).unwrap() else {
            panic!("a batch")
        };
        (batch, payload)
    }

    #[test]
    fn batches_are_numbered_from_one_and_chained_by_the_digest_of_the_one_before() {
        let mut outbox = outbox();
        outbox.close(HEADING, vec![record("a")]);
        outbox.close(HEADING, vec![record("b")]);
        let (first, payload) = batch(&outbox.take_next().unwrap());
        let (second, _) = batch(&outbox.take_next().unwrap());
        assert_eq!((first.seq, first.previous.as_str()), (1, ""));
        assert_eq!(
            (second.seq, second.previous),
            (2, Digest::of(&payload).to_string())
        );
        assert!(outbox.take_next().is_none());
    }

    #[test]
    fn what_was_not_stored_is_sent_again_byte_for_byte_and_the_rest_is_not() {
        let mut outbox = outbox();
        for name in ["a", "b", "c"] {
            outbox.close(HEADING, vec![record(name)]);
        }
        let sent: Vec<_> = std::iter::from_fn(|| outbox.take_next()).collect();
        outbox.acknowledge(1).unwrap();
        outbox.resume(2).unwrap();
        assert_eq!(outbox.waiting(), 1);
        assert_eq!(outbox.take_next().as_ref(), sent.last());
        assert!(!outbox.has_next());
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_closed_is_refused() {
        let mut outbox = outbox();
        outbox.close(HEADING, vec![record("a")]);
        assert!(outbox.acknowledge(2).is_err());
        assert!(outbox.resume(u64::MAX).is_err());
        outbox.acknowledge(1).unwrap();
        outbox.acknowledge(0).unwrap();
        assert_eq!(outbox.waiting(), 0);
    }

    #[test]
    fn many_records_become_several_batches_and_none_is_lost() {
        let mut outbox = outbox();
        let records: Vec<_> = (0..100)
            .map(|n| record(&format!("{n}-{}", "x".repeat(10_000))))
            .collect();
        outbox.close(HEADING, records.clone());
        assert!(outbox.last_closed() > 3);
        let got: Vec<_> = std::iter::from_fn(|| outbox.take_next())
            .flat_map(|envelope| batch(&envelope).0.records)
            .collect();
        assert_eq!(got, records);
    }

    #[test]
    fn nothing_seen_closes_nothing() {
        let mut outbox = outbox();
        outbox.close(HEADING, Vec::new());
        assert_eq!(outbox.last_closed(), 0);
    }
}
