//! Which batch follows which: every probe's batches are applied in the order of their numbers, each once, each continuing
//! the one before.

use std::collections::BTreeMap;

use plumbline_model::id::NodeId;

use crate::service::SignedBatch;

/// What was applied so far.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    chains: BTreeMap<NodeId, Chain>,
}

#[derive(Debug, Default, Clone)]
struct Chain {
    /// The last number that was applied; 0 before the first.
    applied_seq: u64,
    /// SHA-256 of its payload; empty before the first.
    last_sha256: String,
    /// Octets of envelopes so far.
    octets: u64,
    duplicates: u32,
}

/// What is to be done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It is the next: store it, then say [`Ledger::apply`].
    Next,
    /// It was applied before; acknowledge it again.
    Duplicate {
        /// Whether it is worth a line of evidence: a probe that repeats itself without end is not.
        recorded: bool,
    },
    /// Something before it is missing, which the probe will send again when it reconnects.
    Gap,
    /// It does not continue the batch before it.
    BrokenChain,
    /// The probe has said more than any honest probe has to say.
    TooMuch,
}

impl Ledger {
    /// Finds the place of a batch.
    pub(super) fn place(&mut self, signed: &SignedBatch) -> Place {
        let chain = self.chains.entry(signed.batch.node).or_default();
        if signed.batch.seq <= chain.applied_seq {
            chain.duplicates = chain.duplicates.saturating_add(1);
            return Place::Duplicate {
                recorded: chain.duplicates <= MOST_DUPLICATES,
            };
        }
        if signed.batch.seq > chain.applied_seq + 1 {
            return Place::Gap;
        }
        if signed.batch.previous != chain.last_sha256 {
            return Place::BrokenChain;
        }
        if chain.octets + signed.envelope.len() as u64 > MOST_OCTETS {
            return Place::TooMuch;
        }
        Place::Next
    }

    /// Takes note that a batch was stored.
    pub(super) fn apply(&mut self, signed: &SignedBatch) {
        let chain = self.chains.entry(signed.batch.node).or_default();
        chain.applied_seq = signed.batch.seq;
        chain.last_sha256.clone_from(&signed.payload_sha256);
        chain.octets += signed.envelope.len() as u64;
    }

    /// The last number that was applied; 0 before the first.
    pub(super) fn applied_seq(&self, node: NodeId) -> u64 {
        self.chains.get(&node).map_or(0, |chain| chain.applied_seq)
    }
}

/// A probe repeats at most what it had not seen acknowledged, once for each reconnection.
const MOST_DUPLICATES: u32 = 1_000;

/// Testimony is run-length encoded: a thousand peers with every port different from the next stay below this.
const MOST_OCTETS: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use plumbline_model::{evidence::Batch, id::RunId};

    use super::*;

    fn batch(seq: u64, previous: &str, payload: &str) -> SignedBatch {
        let batch = Batch {
            run: RunId::from_bytes([1; 8]),
            node: NodeId::Address(Ipv4Addr::LOCALHOST.into()),
            seq,
            previous: previous.to_owned(),
            roster_sha256: String::new(),
            assignment: 0,
            closed_unix_ms: 0,
            records: Vec::new(),
        };
        SignedBatch {
            batch,
            envelope: Vec::new(),
            payload_sha256: payload.to_owned(),
        }
    }

    #[test]
    fn batches_are_applied_in_order_and_once() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.place(&batch(2, "a", "b")), Place::Gap);
        assert_eq!(ledger.place(&batch(1, "", "a")), Place::Next);
        ledger.apply(&batch(1, "", "a"));
        assert_eq!(
            ledger.place(&batch(1, "", "a")),
            Place::Duplicate { recorded: true }
        );
        assert_eq!(ledger.place(&batch(2, "a", "b")), Place::Next);
        assert_eq!(ledger.applied_seq(NodeId::Address(Ipv4Addr::LOCALHOST.into())), 1);
    }

    #[test]
    fn a_batch_that_does_not_continue_the_one_before_is_not_applied() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.place(&batch(1, "x", "a")), Place::BrokenChain);
        ledger.apply(&batch(1, "", "a"));
        assert_eq!(ledger.place(&batch(2, "", "b")), Place::BrokenChain);
    }

    #[test]
    fn a_probe_that_repeats_itself_without_end_stops_being_recorded() {
        let mut ledger = Ledger::default();
        ledger.apply(&batch(1, "", "a"));
        let mut places = (0..=MOST_DUPLICATES).map(|_| ledger.place(&batch(1, "", "a")));
        assert_eq!(places.next(), Some(Place::Duplicate { recorded: true }));
        assert_eq!(places.last(), Some(Place::Duplicate { recorded: false }));
    }
}
