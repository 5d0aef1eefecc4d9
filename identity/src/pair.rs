//! Keys of directed pairs. Both ends derive the same key from their own X25519 key and the peer's public one, so none is ever
//! sent; the coordinator, which knows public keys only, cannot derive it.

use std::fmt;

use hkdf::Hkdf;
use plumbline_model::id::{NodeId, RunId};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::key::AgreementKey;

/// The key under which `from` proves itself to `to`, and `to` answers. Wiped when dropped, never printed.
#[derive(Clone)]
pub struct PairKey(Zeroizing<[u8; 32]>);

/// The peer's public key is a point of low order: everybody would share its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("derive the pair key: the peer's agreement key is a point of low order")]
pub struct LowOrderKey;

/// Derives the key of the directed pair `from` -> `to` in a run: ECDH (RFC 7748), then HKDF-SHA256 (RFC 5869) whose info names
/// run, direction and both public keys. `own` is the key of either end, `peer_public` the other's.
///
/// # Errors
/// If the peer's key is of low order.
pub fn pair_key(
    own: &AgreementKey,
    peer_public: &[u8; 32],
    run: &RunId,
    from: NodeId,
    to: NodeId,
) -> Result<PairKey, LowOrderKey> {
    let shared = own.agree(peer_public).ok_or(LowOrderKey)?;
    let own_public = own.public();
    // Sorted, since the two ends do not agree on which is "own".
    let (first, second) = if own_public <= *peer_public {
        (&own_public, peer_public)
    } else {
        (peer_public, &own_public)
    };
    let info = format!("{DOMAIN}\0{run}\0{from}\0{to}\0");
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, shared.as_bytes())
        .expand_multi_info(&[info.as_bytes(), first, second], &mut *key)
        .expect("32 octets are less than HKDF-SHA256's limit of 8160");
    Ok(PairKey(key))
}

impl PairKey {
    /// The octets, for a MAC.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for PairKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairKey(..)")
    }
}

/// Separates this use of HKDF from every other.
const DOMAIN: &str = "plumbline-pair-v1";

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> RunId {
        RunId::from_bytes([7; 8])
    }

    fn node(last: u8) -> NodeId {
        NodeId::Address([10, 0, 0, last].into())
    }

    #[test]
    fn both_ends_derive_the_same_key_for_the_same_direction_only() {
        let (a, b) = (
            AgreementKey::generate().unwrap(),
            AgreementKey::generate().unwrap(),
        );
        let at_a = pair_key(&a, &b.public(), &run(), node(1), node(2)).unwrap();
        let at_b = pair_key(&b, &a.public(), &run(), node(1), node(2)).unwrap();
        assert_eq!(at_a.as_bytes(), at_b.as_bytes());
        let back = pair_key(&b, &a.public(), &run(), node(2), node(1)).unwrap();
        assert_ne!(at_a.as_bytes(), back.as_bytes());
        let other_run = pair_key(&a, &b.public(), &RunId::from_bytes([8; 8]), node(1), node(2)).unwrap();
        assert_ne!(at_a.as_bytes(), other_run.as_bytes());
    }

    #[test]
    fn a_third_party_with_every_public_key_derives_another_key() {
        let [a, b, c] = [(); 3].map(|()| AgreementKey::generate().unwrap());
        let pair = pair_key(&a, &b.public(), &run(), node(1), node(2)).unwrap();
        for peer in [a.public(), b.public()] {
            let guess = pair_key(&c, &peer, &run(), node(1), node(2)).unwrap();
            assert_ne!(pair.as_bytes(), guess.as_bytes());
        }
    }

    #[test]
    fn points_of_low_order_are_refused() {
        let own = AgreementKey::generate().unwrap();
        let mut one = [0; 32];
        one[0] = 1;
        for public in [[0; 32], one] {
            assert_eq!(
                pair_key(&own, &public, &run(), node(1), node(2)).unwrap_err(),
                LowOrderKey
            );
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let (a, b) = (
            AgreementKey::from_secret([1; 32]),
            AgreementKey::from_secret([2; 32]),
        );
        let pair = pair_key(&a, &b.public(), &run(), node(1), node(2)).unwrap();
        assert_eq!(format!("{pair:?}"), "PairKey(..)");
    }
}
