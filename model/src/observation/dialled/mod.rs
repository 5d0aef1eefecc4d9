//! What came of asking somebody outside the roster.

mod name;
mod peer;
mod site;

use serde::{Deserialize, Serialize};

pub use self::{
    name::{Answered, Asking, MAX_DNS_ANSWERS, NameSeen, Resolver, ResponseCode},
    peer::{PeerOutcome, PeerSeen, PeerWord},
    site::{
        Connected, Issued, MAX_CHAIN, MAX_SITE_ADDRESSES, SiteOutcome, SiteSeen, TlsFailure, Unresolved,
        Untrusted,
    },
};

/// What came of one target of an errand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Dialled {
    /// How the host resolves names; once, if anything is to be resolved.
    Resolver(Resolver),
    /// A server that speaks TLS.
    Site(SiteSeen),
    /// A question for one name server.
    Name(NameSeen),
    /// A router that speaks BGP.
    Peer(PeerSeen),
}

/// Why a TCP connection did not come to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum NoConnection {
    /// A TCP RST.
    Refused,
    /// No answer of any kind in the time.
    Silent,
    /// No route, or somebody said that there is none (ENETUNREACH, EHOSTUNREACH).
    Unreachable,
    /// The local kernel refused to send (EPERM, EACCES).
    Denied,
    /// The host's policy forbids it.
    Policy,
    /// Another error of the kernel; no verdict about the network.
    Other {
        /// The errno.
        errno: u32,
    },
}

/// Why somebody was not asked at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unasked {
    /// The errand's time was over.
    Time,
    /// The host's policy forbids it.
    Policy,
    /// Too many before it had failed in the same way.
    Hopeless,
}
