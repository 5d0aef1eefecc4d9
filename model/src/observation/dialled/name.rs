//! What name servers answered.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::errand::RecordType;

use super::Unasked;

/// How a host resolves names, as `/etc/resolv.conf` says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolver {
    /// Its name servers, in order; three at most are asked (resolv.conf(5)).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<IpAddr>,
    /// Domains that are tried after a name; at most [`MAX_DNS_ANSWERS`] are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// `options ndots`: a name with fewer dots is tried in the search domains first.
    pub ndots: u8,
    /// Whether the file could not be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unread: bool,
}

/// One question to one name server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameSeen {
    /// Whom was asked.
    pub server: IpAddr,
    /// Of which name.
    pub name: String,
    /// What.
    pub record: RecordType,
    /// Over UDP.
    pub udp: Asking,
    /// Over TCP.
    pub tcp: Asking,
}

/// What came of a question over one transport.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Asking {
    /// It was not asked.
    Unasked {
        /// Why.
        why: Unasked,
    },
    /// Nothing came in the time.
    Silent,
    /// Somebody refused: a TCP RST, or ICMP port unreachable.
    Refused,
    /// No route, or the kernel did not send.
    Unreachable,
    /// What came is no answer to the question.
    Garbage,
    /// An answer.
    Answered(Answered),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    /// How it went.
    pub code: ResponseCode,
    /// What was told, ordered, each once: addresses or names as text; at most [`MAX_DNS_ANSWERS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<String>,
    /// Whether it was cut, so that it has to be asked over TCP.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// From question to answer, in milliseconds.
    pub took_ms: u32,
}

/// How a name server says that it went (RFC 1035 section 4.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case", deny_unknown_fields)]
pub enum ResponseCode {
    /// No error.
    Ok,
    /// The name does not exist (NXDOMAIN).
    NoSuchName,
    /// The server failed (SERVFAIL).
    ServerFailed,
    /// It does not want to answer (REFUSED).
    Refused,
    /// Another.
    Other {
        /// The number.
        rcode: u8,
    },
}

/// Answers of one question that are kept.
pub const MAX_DNS_ANSWERS: usize = 8;
