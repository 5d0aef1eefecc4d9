//! The TCP hello: how a connection proves that it reached the responder of the very peer that was meant.
//!
//! The source sends a request, the destination's responder answers it with a reply, and the source closes. Both are
//! authenticated with the directed pair key (source to destination), which is derived for the run. Numbers are in network
//! byte order.
//!
//! ```text
//!  request, 56 octets                                   reply, 40 octets
//!
//!   0               1               2       3            0               1               2       3
//!  +---------------+---------------+---------------+    +---------------+---------------+---------------+
//!  |  magic "PLBH"                     (4 octets)  |    |  magic "PLBH"                     (4 octets)  |
//!  +---------------+---------------+---------------+    +---------------+---------------+---------------+
//!  |  version 1    |  kind 1       |  port (2)     |    |  version 1    |  kind 2       |  port (2)     |
//!  +---------------+---------------+---------------+    +---------------+---------------+---------------+
//!  |  run                              (8 octets)  |    |  nonce of the request            (16 octets)  |
//!  +-----------------------------------------------+    +-----------------------------------------------+
//!  |  source index                     (4 octets)  |    |  MAC                             (16 octets)  |
//!  +-----------------------------------------------+    +-----------------------------------------------+
//!  |  destination index                (4 octets)  |
//!  +-----------------------------------------------+    request MAC = HMAC-SHA-256-128(key,
//!  |  nonce                           (16 octets)  |        REQUEST_LABEL || octets 0 to 39)
//!  +-----------------------------------------------+    reply MAC   = HMAC-SHA-256-128(key,
//!  |  MAC                             (16 octets)  |        REPLY_LABEL || octets 0 to 23
//!  +-----------------------------------------------+        || request MAC || destination index)
//! ```
//!
//! The labels keep a request from being taken for a reply. The reply's MAC covers the request's, and with it run, source,
//! nonce and port: a recorded reply proves nothing about another connection, and a responder that was reached at another
//! port (a translated destination) is found out. The reply is never longer than the request, so that a responder cannot
//! be used to amplify anything.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The length of a request in octets.
pub const REQUEST_LEN: usize = 56;
/// The length of a reply in octets.
pub const REPLY_LEN: usize = 40;
/// The length of a nonce in octets.
pub const NONCE_LEN: usize = 16;

/// A directed pair key, prepared for use: the two blocks that every HMAC begins with are hashed once.
#[derive(Clone)]
pub struct PairKey(Hmac<Sha256>);

/// What a request says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The run's id.
    pub run: [u8; 8],
    /// Index of the asking node into the roster's members.
    pub source: u32,
    /// Index of the asked node into the roster's members.
    pub destination: u32,
    /// The port that the source connected to.
    pub port: u16,
    /// Drawn anew for each connection.
    pub nonce: [u8; NONCE_LEN],
}

/// A request that was sent, as much as is needed to check its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    destination: u32,
    port: u16,
    nonce: [u8; NONCE_LEN],
    mac: [u8; MAC_LEN],
}

/// A request that was received and whose proof nobody has checked yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    request: Request,
    signed: [u8; REQUEST_LEN - MAC_LEN],
    mac: [u8; MAC_LEN],
}

/// What the octets received so far are, as a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadRequest {
    /// The beginning of a request: read on.
    Incomplete,
    /// A request with a claim to check.
    Claimed(Claim),
    /// No request, or something behind it.
    Garbage,
}

/// What the octets received so far are, as a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadReply {
    /// The beginning of a reply: read on.
    Incomplete,
    /// The peer's responder, at this port, for this connection.
    Proven,
    /// A reply, but its proof is wrong: another key, another connection, another port.
    BadProof,
    /// No reply, or something behind it: another program answers here.
    Garbage,
}

// === impl PairKey ===

impl PairKey {
    /// Prepares a key of 32 octets.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of every length"))
    }

    /// An HMAC of these parts, one behind the other. Whoever computes one begins with a label of its own.
    pub(crate) fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        mac
    }
}

impl std::fmt::Debug for PairKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PairKey(..)")
    }
}

// === impl Request ===

impl Request {
    /// The octets to send, and what is needed to check the reply.
    pub fn seal(&self, key: &PairKey) -> ([u8; REQUEST_LEN], Asked) {
        let mut octets = [0; REQUEST_LEN];
        octets[..4].copy_from_slice(&MAGIC);
        octets[4] = VERSION;
        octets[5] = KIND_REQUEST;
        octets[6..8].copy_from_slice(&self.port.to_be_bytes());
        octets[8..16].copy_from_slice(&self.run);
        octets[16..20].copy_from_slice(&self.source.to_be_bytes());
        octets[20..24].copy_from_slice(&self.destination.to_be_bytes());
        octets[24..40].copy_from_slice(&self.nonce);
        let mac = truncated(key.mac(&[REQUEST_LABEL, &octets[..40]]));
        octets[40..].copy_from_slice(&mac);
        (
            octets,
            Asked {
                destination: self.destination,
                port: self.port,
                nonce: self.nonce,
                mac,
            },
        )
    }
}

impl ReadRequest {
    /// Reads what a source has sent so far. A source sends nothing behind its request, so what is longer is garbage.
    pub fn from_octets(octets: &[u8]) -> Self {
        match framed(octets, KIND_REQUEST, REQUEST_LEN) {
            Framed::Garbage => return Self::Garbage,
            Framed::Incomplete => return Self::Incomplete,
            Framed::Whole => {}
        }
        let request = Request {
            run: array(&octets[8..16]),
            source: u32::from_be_bytes(array(&octets[16..20])),
            destination: u32::from_be_bytes(array(&octets[20..24])),
            port: u16::from_be_bytes(array(&octets[6..8])),
            nonce: array(&octets[24..40]),
        };
        Self::Claimed(Claim {
            request,
            signed: array(&octets[..40]),
            mac: array(&octets[40..56]),
        })
    }
}

impl Claim {
    /// What the request claims. It says whose key to check, and is to be believed only after [`Claim::reply`] agreed.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The reply, if the request was made with this key; compared in constant time.
    pub fn reply(&self, key: &PairKey) -> Option<[u8; REPLY_LEN]> {
        key.mac(&[REQUEST_LABEL, &self.signed])
            .verify_truncated_left(&self.mac)
            .ok()?;
        let mut octets = [0; REPLY_LEN];
        octets[..4].copy_from_slice(&MAGIC);
        octets[4] = VERSION;
        octets[5] = KIND_REPLY;
        octets[6..8].copy_from_slice(&self.request.port.to_be_bytes());
        octets[8..24].copy_from_slice(&self.request.nonce);
        let parts = [
            REPLY_LABEL,
            &octets[..24],
            &self.mac,
            &self.request.destination.to_be_bytes(),
        ];
        let mac = truncated(key.mac(&parts));
        octets[24..].copy_from_slice(&mac);
        Some(octets)
    }
}

impl Asked {
    /// Reads what the other end has sent so far. It sends nothing behind its reply, so what is longer is garbage.
    pub fn read_reply(&self, key: &PairKey, octets: &[u8]) -> ReadReply {
        match framed(octets, KIND_REPLY, REPLY_LEN) {
            Framed::Garbage => return ReadReply::Garbage,
            Framed::Incomplete => return ReadReply::Incomplete,
            Framed::Whole => {}
        }
        let (signed, mac) = octets.split_at(REPLY_LEN - MAC_LEN);
        let parts = [REPLY_LABEL, signed, &self.mac, &self.destination.to_be_bytes()];
        let proven = key.mac(&parts).verify_truncated_left(mac).is_ok();
        // The MAC covers the request's MAC and so the nonce and port that were sent; that the reply's own copies of them
        // agree is checked all the same, since a responder that signs something else is not ours.
        let repeated = octets[6..8] == self.port.to_be_bytes() && octets[8..24] == self.nonce;
        if proven && repeated {
            ReadReply::Proven
        } else {
            ReadReply::BadProof
        }
    }
}

enum Framed {
    Incomplete,
    Whole,
    Garbage,
}

/// Judges length and the fixed octets, as far as they have arrived, so that a banner of another program is known for what
/// it is without waiting for more of it.
fn framed(octets: &[u8], kind: u8, len: usize) -> Framed {
    let fixed = [MAGIC[0], MAGIC[1], MAGIC[2], MAGIC[3], VERSION, kind];
    let differs = octets.iter().zip(fixed).any(|(got, wanted)| *got != wanted);
    if differs || octets.len() > len {
        Framed::Garbage
    } else if octets.len() < len {
        Framed::Incomplete
    } else {
        Framed::Whole
    }
}

fn truncated(mac: Hmac<Sha256>) -> [u8; MAC_LEN] {
    array(&mac.finalize().into_bytes()[..MAC_LEN])
}

fn array<const N: usize>(octets: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(octets);
    array
}

/// "Plumbline hello".
const MAGIC: [u8; 4] = *b"PLBH";
const VERSION: u8 = 1;
const KIND_REQUEST: u8 = 1;
const KIND_REPLY: u8 = 2;
/// HMAC-SHA-256 cut to its left half, as STAMP does (RFC 8762, section 4.4): 128 bits are out of reach for the length
/// of a run, and the request stays short.
const MAC_LEN: usize = 16;
const REQUEST_LABEL: &[u8] = b"plumbline tcp hello request v1";
const REPLY_LABEL: &[u8] = b"plumbline tcp hello reply v1";

#[cfg(test)]
mod tests;
