//! What came of a transfer through a tunnel (errand tunnel).

use serde::{Deserialize, Serialize};

use crate::{errand::Encapsulation, id::NodeId};

/// One end's account of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TunnelSeen {
    /// Which turn of the run.
    pub turn: u32,
    /// How packets were wrapped.
    pub encapsulation: Encapsulation,
    /// The tunnel's UDP port.
    pub port: u16,
    /// The other end.
    pub peer: NodeId,
    /// Whether this end took the transfer; the other one sent it.
    pub took: bool,
    /// What came of it.
    pub outcome: Transfer,
}

/// What came of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Transfer {
    /// This kernel has no such device.
    NoDevice,
    /// The tunnel's port is held by somebody on this node.
    PortHeld,
    /// There was a tunnel.
    Tried(Tried),
}

/// A transfer that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tried {
    /// Octets that an IP packet outside the tunnel may have here.
    pub mtu: u32,
    /// Octets that one inside may have.
    pub inner_mtu: u32,
    /// Whether a connection through the tunnel came up.
    pub connected: bool,
    /// Octets that were sent, or taken.
    pub octets: u64,
    /// Whether both ends came to the same digest: known to the end that sends.
    pub intact: bool,
    /// How long it took, in milliseconds.
    pub took_ms: u32,
}
