//! What came of connecting to a server outside.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::errand::{Anchors, Via};

use super::{NoConnection, Unasked};

/// A server that speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteSeen {
    /// Its name, or an address as text.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// Which way.
    pub via: Via,
    /// On what its chain had to stand.
    pub anchors: Anchors,
    /// The addresses that its name has for this host (for the proxy's name, where it went through that), in the order in which
    /// they were told; at most [`MAX_SITE_ADDRESSES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// What came of it.
    pub outcome: SiteOutcome,
}

/// How far a connection to a site got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum SiteOutcome {
    /// It was not asked.
    Unasked {
        /// Why.
        why: Unasked,
    },
    /// The name (of the proxy, where it goes through that) has no address for this host.
    Unresolved {
        /// Why.
        why: Unresolved,
    },
    /// No connection (to the proxy, where it goes through that).
    NoConnection {
        /// Why.
        why: NoConnection,
    },
    /// The proxy answered CONNECT with another status than 2xx.
    ProxyDenied {
        /// The status, 100 to 999.
        status: u16,
    },
    /// What is at the proxy's address does not answer as an HTTP proxy does.
    NoProxy {
        /// How.
        how: TlsFailure,
    },
    /// No TLS handshake.
    NoTls {
        /// How.
        how: TlsFailure,
    },
    /// A TLS server whose certificate is not to be believed.
    Untrusted {
        /// Why.
        why: Untrusted,
        /// What it showed, its own certificate first; at most [`MAX_CHAIN`].
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        chain: Vec<Issued>,
    },
    /// It is who it should be.
    Trusted(Connected),
}

/// A sound connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connected {
    /// From the first packet to the end of the handshake, in milliseconds.
    pub took_ms: u32,
    /// Who signed its certificate.
    pub issuer: String,
}

/// Why a name has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unresolved {
    /// The host has no name server.
    NoServer,
    /// No name server answered in the time.
    Silent,
    /// Name servers could not be reached, or refuse.
    Refused,
    /// A name server failed (SERVFAIL), and none had an answer.
    Failed,
    /// The name does not exist.
    NoSuchName,
    /// The name exists and has no address.
    NoAddress,
}

/// Why there was no TLS handshake, or no HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum TlsFailure {
    /// Nothing came in the time.
    Silent,
    /// The connection was closed.
    Closed,
    /// The connection was reset.
    Reset,
    /// What came is another protocol.
    Garbage,
    /// The other end refused the handshake (RFC 8446 section 6).
    Alert {
        /// The number of the alert.
        alert: u8,
    },
    /// Nothing in common: versions, ciphers.
    Incompatible,
}

/// Why a certificate is not to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Untrusted {
    /// Its chain stands on no root that counts.
    UnknownIssuer,
    /// It is for another name.
    OtherName,
    /// It has expired by this host's clock.
    Expired,
    /// It is not yet valid by this host's clock.
    NotYetValid,
    /// Something else: a signature, a usage, a form.
    Invalid,
}

/// Whose a certificate is and who signed it, as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issued {
    /// Whose.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
}

/// Certificates of a chain that are told.
pub const MAX_CHAIN: usize = 4;

/// Addresses of a name that are told.
pub const MAX_SITE_ADDRESSES: usize = 8;
