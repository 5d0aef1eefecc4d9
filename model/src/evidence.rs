//! What stands in `evidence.jsonl`: every line is a DSSE envelope over one of these payloads in canonical JSON, integers
//! only. Line 1 is the run record; swarm events and probes' batches follow in the order in which they were accepted.

mod text;

use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::{
    id::{NodeId, RunId},
    input::InputText,
    observation::Record,
    port::{Family, PortSet, Protocol},
    source::SourceText,
    version::Version,
};

pub use self::text::{MAX_TEXT_BYTES, overlong_text};

/// The version of the analysis: what [`crate::report::report`] makes of evidence. Another version's evidence is verified but
/// not recomputed.
pub const ANALYSIS_VERSION: u32 = 4;

/// The `payloadType` of every evidence envelope.
pub const PAYLOAD_TYPE: &str = "application/vnd.plumbline.evidence.v1+json";

/// One line's payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Payload {
    /// Line 1, signed by the coordinator.
    Run(Box<RunRecord>),
    /// What happened to the swarm, signed by the coordinator.
    Swarm(SwarmRecord),
    /// What a probe saw, signed by that probe.
    Batch(Batch),
}

impl Payload {
    /// SHA-256 of the canonical bytes, lower-case hexadecimal: what the next batch of the same node names as `previous`.
    pub fn digest(&self) -> String {
        crate::canonical::sha256(&crate::canonical::encode(self))
    }
}

/// What was asked for, with everything that is needed to plan it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// The run.
    pub run: RunId,
    /// [`ANALYSIS_VERSION`] of the coordinator.
    pub analysis: u32,
    /// The coordinator's version.
    pub coordinator_version: String,
    /// Start, in milliseconds since 1970 (UTC).
    pub started_unix_ms: u64,
    /// The cluster file (first) and what else was read.
    pub inputs: Vec<InputText>,
    /// The profiles, in the order in which they apply.
    pub profiles: Vec<SourceText>,
    /// What was asked for.
    pub parameters: Parameters,
}

/// A group of checks that can be selected with `--only`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Checks over the file.
    Config,
    /// Can each node be reached and driven.
    Access,
    /// The port matrix.
    Reach,
    /// Layer 2 and VIPs.
    L2,
    /// Layer 3: routes, translation, BGP, DNS.
    L3,
    /// What a host brings along: packet filter, MTU, system, clock.
    Host,
    /// The names outside the site that installation and operation need.
    External,
}

impl Group {
    /// Whether its checks are made by probes, rather than over the file.
    pub fn needs_probes(self) -> bool {
        match self {
            Self::Config => false,
            Self::Access | Self::Reach | Self::L2 | Self::L3 | Self::Host | Self::External => true,
        }
    }
}

/// How probes come to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwarmKind {
    /// Nobody: the checks are over the file alone.
    None,
    /// Network namespaces on this machine.
    Lab,
    /// Somebody else starts them with join strings.
    Joined,
}

/// The settings of a run that shape its plan and its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// How probes come to be.
    pub swarm: SwarmKind,
    /// Groups that were selected, ascending.
    pub groups: Vec<Group>,
    /// `--nodes`: only these take part; empty means all.
    pub nodes: Vec<NodeId>,
    /// `--exclude`: these do not.
    pub exclude: Vec<NodeId>,
    /// `--version`: judged by this version besides the nodes' own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// `--exhaustive`: no range is shared among sources.
    pub exhaustive: bool,
    /// `--seed`.
    pub seed: u64,
    /// Attempts before silence is believed.
    pub attempts: u32,
    /// How long one attempt waits, in milliseconds.
    pub attempt_timeout_ms: u32,
    /// `--max-rate`: connections per second and node; 0 means no limit, which only a lab may have.
    pub max_rate_node: u32,
    /// Connections per second and ordered pair; 0 means no limit.
    pub max_rate_pair: u32,
    /// `--partial`: nodes arrive by rack. Who does not join is left out of plan and verdict, and listed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// `--retest`: only what failed, or was not measured, in an earlier run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retest: Option<Retest>,
    /// `--active`: VIPs may be taken for a while, BGP sessions opened and tunnels made, on bare nodes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub active: bool,
}

/// What of an earlier run is made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retest {
    /// The earlier run.
    pub run: RunId,
    /// SHA-256 of the earlier run's `report.json`, lower-case hexadecimal.
    pub report_sha256: String,
    /// The tests, ordered.
    pub tests: Vec<Retested>,
}

/// Tests of an earlier run that fared alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retested {
    /// Who asked.
    pub src: NodeId,
    /// Who was asked.
    pub dst: NodeId,
    /// Family.
    pub family: Family,
    /// Transport.
    pub protocol: Protocol,
    /// Ports.
    pub ports: PortSet,
    /// The outcome then, as report.json words it.
    pub was: String,
}

/// Something that happened to the swarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwarmRecord {
    /// The run.
    pub run: RunId,
    /// When, in milliseconds since the start of the run by the coordinator's monotonic clock.
    pub at_ms: u64,
    /// What.
    pub event: SwarmEvent,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum SwarmEvent {
    /// A probe proved its join string and its keys.
    Joined {
        /// Who.
        member: Member,
    },
    /// A probe that was expected did not join in time.
    NotJoined {
        /// Who.
        node: NodeId,
        /// Why the last one that asked to join as this node was refused, in the coordinator's words; absent if nobody asked.
        /// Nothing proves who it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
    },
    /// The roster that probes were given: digest (lower-case hexadecimal SHA-256) of its canonical JSON.
    Roster {
        /// Digest of the canonical JSON of `members`.
        sha256: String,
        /// Members, ascending by node.
        members: Vec<Member>,
    },
    /// A probe's session ended or fell silent before its work was done.
    Lost {
        /// Who.
        node: NodeId,
        /// Why.
        why: LostWhy,
    },
    /// A probe came back after having been lost; it is not used again in this run.
    Late {
        /// Who.
        node: NodeId,
    },
    /// A probe refused an assignment.
    Refused {
        /// Who.
        node: NodeId,
        /// In the probe's words.
        reason: String,
    },
    /// A probe said up to which sequence number it has closed batches; what the evidence lacks of them is missing.
    Closed {
        /// Who.
        node: NodeId,
        /// The highest sequence number that it closed.
        last_seq: u64,
    },
    /// A batch that had been accepted before arrived again.
    Duplicate {
        /// From whom.
        node: NodeId,
        /// Its sequence number.
        seq: u64,
    },
    /// How far a probe's wall clock is from the coordinator's: the exchange with the shortest round trip of several over the
    /// control stream (RFC 5905 section 8).
    Clock {
        /// Who.
        node: NodeId,
        /// The node's clock minus the coordinator's, in microseconds; wrong by half of the round trip at most.
        offset_us: i64,
        /// What that exchange took on the way, in microseconds.
        round_trip_us: u64,
        /// How many exchanges it was chosen from.
        samples: u32,
    },
    /// The run was interrupted by its user.
    Interrupted,
    /// The last line: the run is over.
    Finished {
        /// Milliseconds from start to end.
        took_ms: u64,
    },
}

/// Why a probe was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostWhy {
    /// Its stream ended and it did not come back within the grace.
    StreamEnded,
    /// It said nothing for longer than its lease.
    Silent,
    /// It did not finish its assignment in time.
    Overdue,
}

/// A member of the roster: who, where, and by which keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Who.
    pub node: NodeId,
    /// Its addresses: for a node its data address first; for the coordinator every global address.
    pub addresses: Vec<IpAddr>,
    /// Its IPv6 data address, for a node whose id is an IPv4 address: the global one of the data interface, as the probe
    /// found it; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_ipv6: Option<Ipv6Addr>,
    /// SHA-256 of its TLS key's SubjectPublicKeyInfo, lower-case hexadecimal.
    pub tls_key_sha256: String,
    /// Its signing key: P-256, SEC1 uncompressed point (65 octets), lower-case hexadecimal.
    pub signing_key: String,
    /// Its X25519 public key (32 octets), lower-case hexadecimal.
    pub agreement_key: String,
}

impl Member {
    /// Where its responders wait, and where it speaks from, in a family; absent if it has no such address. The coordinator
    /// has no data address.
    pub fn data_address(&self, family: Family) -> Option<IpAddr> {
        let own = self.node.address()?;
        if Family::of(own) == family {
            return Some(own);
        }
        match family {
            Family::Ipv6 => self.data_ipv6.map(IpAddr::V6),
            Family::Ipv4 => None,
        }
    }
}

/// What a probe saw, in the order of its own sequence numbers from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// The run.
    pub run: RunId,
    /// The probe.
    pub node: NodeId,
    /// From 1, without gaps.
    pub seq: u64,
    /// SHA-256 of the canonical bytes of the [`Payload`] of this node's batch before ([`Payload::digest`]), lower-case
    /// hexadecimal; empty in the first.
    pub previous: String,
    /// The roster that the probe worked with; empty before it got one.
    pub roster_sha256: String,
    /// The assignment, or 0 for what belongs to none.
    pub assignment: u32,
    /// When it was closed, in milliseconds since 1970 by the probe's wall clock.
    pub closed_unix_ms: u64,
    /// What was seen.
    pub records: Vec<Record>,
}

/// One verified line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Line number in `evidence.jsonl`, from 1.
    pub line: u32,
    /// What it says. Who signed it has been checked: the coordinator's key for [`Payload::Run`] and [`Payload::Swarm`], the
    /// member's signing key for [`Payload::Batch`].
    pub payload: Payload,
}
