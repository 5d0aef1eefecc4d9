//! A test session: one source asks one port of one destination.
//!
//! Its key is derived from the directed pair key of the run, source to destination:
//!
//! ```text
//!   session key = HMAC-SHA-256(pair key, "plumbline stamp session v1" || port)      (port: 2 octets)
//! ```
//!
//! The label keeps what is proven here apart from what the TCP hello proves with the same pair key. The port makes a packet
//! that was led to another port than it was sent to (a translated destination) one that proves nothing there. A foreign
//! reflector can be given the key of one session, which opens no other.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::hello::PairKey;

/// The key of one session, prepared for use.
#[derive(Clone)]
pub struct SessionKey(Hmac<Sha256>);

/// The session identifier (SSID, RFC 8972, section 3), by which a reflector knows whose key to check.
///
/// It is the source's index into the roster, counted from 1, since 0 says that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u16);

impl SessionKey {
    /// The key of the session that asks `port`. A pair of hosts derives the same.
    pub fn derive(pair: &PairKey, port: u16) -> Self {
        let key = pair.mac(&[LABEL, &port.to_be_bytes()]).finalize().into_bytes();
        Self::new(&key)
    }

    /// A key that was agreed upon in some other way, for example with a foreign reflector.
    pub fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of every length"))
    }

    /// HMAC-SHA-256, cut to its left 16 octets (RFC 8762, section 4.4).
    pub(super) fn mac(&self, signed: &[u8]) -> [u8; MAC_LEN] {
        let whole = self.0.clone().chain_update(signed).finalize().into_bytes();
        let mut mac = [0; MAC_LEN];
        mac.copy_from_slice(&whole[..MAC_LEN]);
        mac
    }

    /// Compares in constant time.
    pub(super) fn verifies(&self, signed: &[u8], mac: &[u8; MAC_LEN]) -> bool {
        self.0
            .clone()
            .chain_update(signed)
            .verify_truncated_left(mac)
            .is_ok()
    }
}

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

impl SessionId {
    /// The identifier of a source by its index into the roster; `None` beyond the 65,535 that can be told apart.
    pub fn of_member(index: u32) -> Option<Self> {
        u16::try_from(index.checked_add(1)?).ok().map(Self)
    }

    /// The identifier that a packet carries; `None` if it carries none.
    pub fn from_wire(ssid: u16) -> Option<Self> {
        (ssid != 0).then_some(Self(ssid))
    }

    /// As a packet carries it.
    pub fn to_wire(self) -> u16 {
        self.0
    }
}

const LABEL: &[u8] = b"plumbline stamp session v1";
/// The length of a packet's HMAC in octets.
pub(super) const MAC_LEN: usize = 16;
