//! What can be wrong with a report directory.

use plumbline_model::{
    canonical::NotCanonical,
    evidence::MAX_TEXT_BYTES,
    id::{NodeId, RunId},
};

use crate::dsse::EnvelopeFault;

/// One thing that is wrong with a directory. The message names the file, and the line where there is one; what is wrong
/// with it may stand in its sources.
#[derive(Debug, thiserror::Error)]
pub enum BundleFault {
    /// A file is not there.
    #[error("{file}: the file is missing")]
    Missing {
        /// Which.
        file: &'static str,
    },
    /// A file that does not belong there.
    #[error("{name}: the file does not belong to a report")]
    Further {
        /// Its name.
        name: String,
    },
    /// signer.pem is no key, or not how it is written.
    #[error("signer.pem: it is not a P-256 public key as plumbline writes it")]
    SignerPem,
    /// signer.pem is a key, but not the one that signed.
    #[error("signer.pem: it is key {found}, the attestation is signed by key {attested}")]
    OtherSigner {
        /// Fingerprint of the key in signer.pem.
        found: String,
        /// The key id in attestation.json.
        attested: String,
    },
    /// The signer is not the pinned one.
    #[error("signer.pem: the report is signed by key {signer}, the trusted key is {trusted}")]
    NotTrusted {
        /// Fingerprint of the signer.
        signer: String,
        /// Fingerprint of the pinned key.
        trusted: String,
    },
    /// allowed_signers is not made of signer.pem.
    #[error("allowed_signers: it is not the line that belongs to signer.pem")]
    AllowedSigners,
    /// The attestation's envelope.
    #[error("attestation.json: the envelope does not hold")]
    Attestation(#[source] EnvelopeFault),
    /// The attestation's statement.
    #[error("attestation.json: the statement is not canonical")]
    Statement(#[source] NotCanonical),
    /// The attestation says something that the files do not.
    #[error("attestation.json: the statement does not say what the files say")]
    OtherStatement,
    /// The SSH signature.
    #[error("attestation.sig: it is not the signature of signer.pem over attestation.json")]
    SshSignature,
    /// A file was changed.
    #[error("{file}: it was changed: its SHA-256 is {found}, attested is {attested}")]
    Changed {
        /// Which.
        file: &'static str,
        /// What it is.
        found: String,
        /// What it was.
        attested: String,
    },
    /// report.json is not the canonical encoding of a report.
    #[error("report.json: it is not a canonical report")]
    Report(#[source] NotCanonical),
    /// report.json belongs to another run than the evidence.
    #[error("report.json: it is of run {report}, the evidence of run {evidence}")]
    OtherRun {
        /// The report's run.
        report: RunId,
        /// The evidence's.
        evidence: RunId,
    },
    /// The evidence does not end with a line feed.
    #[error("evidence.jsonl: its last line does not end")]
    Unterminated,
    /// A line of evidence.
    #[error("evidence.jsonl:{line}")]
    Line {
        /// Its number, from 1.
        line: u32,
        /// What is wrong.
        #[source]
        fault: LineFault,
    },
    /// A batch is not there.
    #[error("evidence.jsonl: batch {seq} of node {node} is missing")]
    BatchMissing {
        /// Whose.
        node: NodeId,
        /// Its sequence number.
        seq: u64,
    },
    /// A batch stands elsewhere than it did.
    #[error(
        "evidence.jsonl:{line}: batch {seq} of node {node} stands here; it stood in line {attested} when the report was signed"
    )]
    BatchMoved {
        /// Where it stands.
        line: u32,
        /// Whose.
        node: NodeId,
        /// Its sequence number.
        seq: u64,
        /// Where it stood.
        attested: u32,
    },
    /// The number of lines differs.
    #[error("evidence.jsonl: it has {found} lines, attested are {attested}")]
    LineCount {
        /// How many there are.
        found: u32,
        /// How many there were.
        attested: u32,
    },
    /// There is more than is worth listing.
    #[error("and {count} more")]
    More {
        /// How many.
        count: usize,
    },
}

/// What is wrong with one line.
#[derive(Debug, thiserror::Error)]
pub enum LineFault {
    /// Its envelope.
    #[error("its envelope does not hold")]
    Envelope(#[from] EnvelopeFault),
    /// The envelope of what says that it is a batch.
    #[error("batch {seq} of node {node} does not hold")]
    Batch {
        /// Whose it says it is.
        node: NodeId,
        /// The sequence number that it says.
        seq: u64,
        /// What is wrong.
        #[source]
        fault: EnvelopeFault,
    },
    /// Its payload is signed, and yet not what this version writes.
    #[error("its payload is not canonical evidence")]
    Payload(#[from] NotCanonical),
    /// A probe's name or another text that nothing real has.
    #[error("a text in it has {octets} octets, more than {MAX_TEXT_BYTES}")]
    Text {
        /// How many it has.
        octets: usize,
    },
    /// Not even the frame of a payload.
    #[error("its payload is not evidence")]
    Outline(#[source] serde_json::Error),
    /// Line 1 is something else.
    #[error("it is not the run record that must stand first")]
    NotRunRecord,
    /// Another run record.
    #[error("it is a second run record")]
    SecondRunRecord,
    /// A line of another run.
    #[error("it belongs to run {run}")]
    OtherRun {
        /// That run.
        run: RunId,
    },
    /// A batch of a node that had not joined.
    #[error("batch {seq} of node {node}, which had not joined")]
    NotMember {
        /// Who.
        node: NodeId,
        /// Its sequence number.
        seq: u64,
    },
    /// A node joined a second time.
    #[error("node {node} joins a second time")]
    JoinedTwice {
        /// Who.
        node: NodeId,
    },
    /// A member whose signing key is none.
    #[error("the signing key of node {node} is not a key")]
    MemberKey {
        /// Who.
        node: NodeId,
    },
    /// A roster whose digest is not its members', or whose members did not join like that.
    #[error("the roster does not match those who joined")]
    Roster,
    /// A batch that was made with a roster that the evidence does not have.
    #[error("batch {seq} of node {node} refers to a roster that the evidence lacks")]
    UnknownRoster {
        /// Who.
        node: NodeId,
        /// Its sequence number.
        seq: u64,
    },
    /// A batch stands after a later one of the same node.
    #[error("batch {seq} of node {node} stands after batch {after} of the same node")]
    OutOfOrder {
        /// Who.
        node: NodeId,
        /// Its sequence number.
        seq: u64,
        /// The one before it.
        after: u64,
    },
    /// A batch stands there twice.
    #[error("batch {seq} of node {node} stands here a second time")]
    Twice {
        /// Who.
        node: NodeId,
        /// Its sequence number.
        seq: u64,
    },
    /// A batch names another predecessor.
    #[error("batch {seq} of node {node} does not follow the batch before it")]
    BrokenChain {
        /// Who.
        node: NodeId,
        /// Its sequence number.
        seq: u64,
    },
}
