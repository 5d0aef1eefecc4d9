//! X25519: what pair keys are derived from.

use std::fmt;

use x25519_dalek::{PublicKey, SharedSecret, StaticSecret};
use zeroize::Zeroize as _;

use crate::{hex, random, random::NoRandomness};

/// A private X25519 key.
#[derive(Clone)]
pub struct AgreementKey(StaticSecret);

impl AgreementKey {
    /// A new random key.
    ///
    /// # Errors
    /// If the operating system gives no random bytes.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut secret: [u8; 32] = random::bytes()?;
        let key = Self(StaticSecret::from(secret));
        secret.zeroize();
        Ok(key)
    }

    /// The key with this secret, for tests with known answers and for simulations.
    pub fn from_secret(secret: [u8; 32]) -> Self {
        Self(StaticSecret::from(secret))
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        PublicKey::from(&self.0).to_bytes()
    }

    /// Whether a public key is of use, that is not a point of low order.
    pub(crate) fn contributes(public: &[u8; 32]) -> bool {
        // Every clamped scalar is a multiple of the cofactor, so any one tells.
        Self::from_secret([1; 32]).agree(public).is_some()
    }

    /// The shared secret with the holder of `peer_public`; `None` if that key is a point of low order, with which
    /// everybody shares the same secret (RFC 7748 section 6.1).
    pub(crate) fn agree(&self, peer_public: &[u8; 32]) -> Option<SharedSecret> {
        let shared = self.0.diffie_hellman(&PublicKey::from(*peer_public));
        shared.was_contributory().then_some(shared)
    }
}

impl fmt::Debug for AgreementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgreementKey(of {})", hex::encode(&self.public()))
    }
}
