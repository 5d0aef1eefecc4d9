//! How large and how many: bounds on everything that a peer can send, so that none can exhaust the other.

use std::time::Duration;

/// The largest message to a probe, in octets. The roster is the largest one: about 450 octets a member, so that
/// [`MAX_MEMBERS`] fit.
pub const MAX_TO_PROBE_BYTES: usize = 8 << 20;

/// The largest message from a probe, in octets: one envelope (base64 of a payload of [`MAX_BATCH_PAYLOAD_BYTES`]) with
/// its frame.
pub const MAX_FROM_PROBE_BYTES: usize = 4 << 20;

/// The largest payload of a batch, in octets, before signing. A probe closes a batch well before; only a single record as
/// large as a whole packet filter comes near it.
pub const MAX_BATCH_PAYLOAD_BYTES: usize = 2 << 20;

/// Members of a roster. The coordinator is built for ten thousand probes, and takes part itself.
pub const MAX_MEMBERS: usize = 10_001;

/// Addresses of one member, and of one host in a Join: a host with more is not a node of a cluster.
pub const MAX_ADDRESSES: usize = 256;

/// Port sets, targets or watches of one assignment. Targets are grouped by equal ports, of which strata make at most one
/// for each peer.
pub const MAX_ELEMENTS: usize = 20_000;

/// Tests (destination x port) of one assignment: every port of the NodePort range at every peer of a thousand, with room.
pub const MAX_TESTS: u64 = 50_000_000;

/// Attempts before silence is believed.
pub const MAX_ATTEMPTS: u32 = 10;

/// The shortest time an attempt may wait: below it a busy host's own scheduling looks like silence.
pub const MIN_ATTEMPT_TIMEOUT: Duration = Duration::from_millis(50);

/// The longest time an attempt may wait: Linux's own connect gives up after about 127 s, nobody waits half of that.
pub const MAX_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);

/// The fastest rate that may be asked for, in connections a second. Beyond it a figure is a slip of the pen.
pub const MAX_RATE: u32 = 1_000_000;

/// The shortest lease and silence limit: shorter ones break on one lost packet (RFC 6298 retransmits after a second).
pub const MIN_LEASE: Duration = Duration::from_secs(2);

/// The longest lease: what runs unattended for longer needs another agreement than this one.
pub const MAX_LEASE: Duration = Duration::from_secs(24 * 3600);

/// The shortest and the longest time between heartbeats.
pub const HEARTBEATS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3600));

/// Octets of a sentence from the peer that is logged or shown (refusals, reasons, versions); control characters are
/// replaced, the rest is cut.
pub const MAX_TEXT_BYTES: usize = 512;

/// The last microsecond of the year 9999: a wall clock beyond it is none, and differences up to it fit an `i64` with room.
pub const MAX_UNIX_US: u64 = 253_402_300_799_999_999;
