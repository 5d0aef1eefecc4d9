//! The evidence of a run as it grows: every line signed, in memory for the report and spooled to a file, so that what was
//! measured survives a coordinator that does not.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use plumbline_identity::{dsse::Envelope, key::SigningKey};
use plumbline_model::{
    canonical,
    evidence::{Batch, Entry, PAYLOAD_TYPE, Payload},
};

/// The lines of `evidence.jsonl` so far.
#[derive(Debug)]
pub(super) struct EvidenceLog {
    key: SigningKey,
    spool: File,
    path: PathBuf,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// A line could not be spooled: what is measured from here on could be lost.
#[derive(Debug, thiserror::Error)]
#[error("write the evidence to {} (nothing of this run is kept: free space, or give --out elsewhere)", path.display())]
pub(crate) struct SpoolError {
    /// The spool file.
    path: PathBuf,
    /// Why not.
    #[source]
    source: io::Error,
}

impl EvidenceLog {
    /// An empty log that signs its own lines with the coordinator's key and spools into `directory`.
    pub(super) fn create(directory: &Path, key: SigningKey) -> Result<Self, SpoolError> {
        let path = directory.join(SPOOL);
        let spool = File::create_new(&path).map_err(|source| SpoolError {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            key,
            spool,
            path,
            bytes: Vec::new(),
            entries: Vec::new(),
        })
    }

    /// Adds a line of the coordinator's own.
    pub(super) fn record(&mut self, payload: Payload) -> Result<(), SpoolError> {
        let envelope = Envelope::sign(&self.key, PAYLOAD_TYPE, &canonical::encode(&payload));
        self.append(&envelope.to_bytes(), payload)
    }

    /// Adds a probe's batch, verbatim.
    pub(super) fn testimony(&mut self, envelope: &[u8], batch: Batch) -> Result<(), SpoolError> {
        self.append(envelope, Payload::Batch(batch))
    }

    /// The lines with their meaning, and their bytes.
    pub(super) fn finish(self) -> (Vec<Entry>, Vec<u8>) {
        (self.entries, self.bytes)
    }

    fn append(&mut self, envelope: &[u8], payload: Payload) -> Result<(), SpoolError> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(envelope);
        self.bytes.push(b'\n');
        // The page cache is enough: what must survive is the end of this process, not of the machine.
        let written = self.spool.write_all(&self.bytes[start..]);
        written.map_err(|source| SpoolError {
            path: self.path.clone(),
            source,
        })?;
        let line = u32::try_from(self.entries.len() + 1).unwrap_or(u32::MAX);
        self.entries.push(Entry { line, payload });
        Ok(())
    }
}

/// Lies in the staging directory, where the finished file of this name replaces it.
const SPOOL: &str = "evidence.jsonl";
