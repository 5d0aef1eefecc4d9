//! ECDSA over P-256 with SHA-256: the one algorithm that openssl, ssh-keygen and TLS all take from the same key.
//!
//! Signing is deterministic (RFC 6979), so that sealing the same bytes twice gives the same file. Of the two values of `s`
//! that verify for a message only the lower is made and accepted; otherwise anybody could change a byte of a signature and
//! have it verify still.

use std::fmt;

use p256::{
    ecdsa::{
        Signature,
        signature::{Signer as _, Verifier as _},
    },
    elliptic_curve::pkcs8::{
        DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding,
    },
};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{hex, random, random::NoRandomness};

/// Octets of a signature as `r || s`.
pub const SIGNATURE_LEN: usize = 64;

/// Octets of a public key as SEC1 uncompressed point.
pub const SIGNING_KEY_LEN: usize = 65;

/// A private P-256 key.
#[derive(Clone)]
pub struct SigningKey(p256::ecdsa::SigningKey);

/// A public P-256 key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyingKey(p256::ecdsa::VerifyingKey);

/// Text or bytes that are no P-256 key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Not a point of the curve in SEC1 uncompressed form.
    #[error("read a public key: not a P-256 point of 65 octets")]
    Point,
    /// Not a public key in PEM, or of another algorithm.
    #[error("read a public key: not a P-256 key in PEM (BEGIN PUBLIC KEY)")]
    PublicPem,
    /// Not a private key in PKCS#8 PEM, or of another algorithm.
    #[error("read a private key: not a P-256 key in unencrypted PKCS#8 PEM (BEGIN PRIVATE KEY)")]
    PrivatePem,
    /// Not a scalar of the curve.
    #[error("read a private key: not a P-256 scalar of 32 octets")]
    Scalar,
}

/// A signature that does not hold: malformed, not in its one accepted form, or not of this key over these bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("verify the signature: it is not this key's over these bytes")]
pub struct BadSignature;

impl SigningKey {
    /// A new random key.
    ///
    /// # Errors
    /// If the operating system gives no random bytes.
    pub fn generate() -> Result<Self, NoRandomness> {
        loop {
            let mut scalar: [u8; 32] = random::bytes()?;
            let key = Self::from_scalar(&scalar);
            scalar.zeroize();
            // Zero or beyond the group's order: once in 2^32 draws.
            if let Ok(key) = key {
                return Ok(key);
            }
        }
    }

    /// The key with this secret scalar (big-endian).
    ///
    /// # Errors
    /// If it is zero or not below the order of the group.
    pub fn from_scalar(scalar: &[u8; 32]) -> Result<Self, BadKey> {
        p256::ecdsa::SigningKey::from_slice(scalar)
            .map(Self)
            .map_err(|_| BadKey::Scalar)
    }

    /// The secret scalar (big-endian).
    pub fn to_scalar(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes().into())
    }

    /// Reads unencrypted PKCS#8 PEM.
    ///
    /// # Errors
    /// If it is anything else, or not a P-256 key.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, BadKey> {
        p256::ecdsa::SigningKey::from_pkcs8_pem(pem)
            .map(Self)
            .map_err(|_| BadKey::PrivatePem)
    }

    /// The key as unencrypted PKCS#8 PEM.
    pub fn to_pkcs8_pem(&self) -> Zeroizing<String> {
        self.0
            .to_pkcs8_pem(LineEnding::LF)
            .expect("a key of fixed size fits its PKCS#8 encoding")
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(*self.0.verifying_key())
    }

    /// Signs the SHA-256 of `message`; `r || s`, the same bytes every time.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.low_s(message).to_bytes().into()
    }

    /// Signs the SHA-256 of `message`; ASN.1 DER, as openssl wants it.
    pub fn sign_der(&self, message: &[u8]) -> Vec<u8> {
        self.low_s(message).to_der().as_bytes().to_vec()
    }

    fn low_s(&self, message: &[u8]) -> Signature {
        let signature: Signature = self.0.sign(message);
        signature.normalize_s().unwrap_or(signature)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {})", self.verifying_key().fingerprint())
    }
}

impl VerifyingKey {
    /// Reads a SEC1 uncompressed point.
    ///
    /// # Errors
    /// If it has another form or is not on the curve.
    pub fn from_point(point: &[u8]) -> Result<Self, BadKey> {
        // Compressed points are another encoding of the same key: one encoding only.
        if point.len() != SIGNING_KEY_LEN || point[0] != 0x04 {
            return Err(BadKey::Point);
        }
        p256::ecdsa::VerifyingKey::from_sec1_bytes(point)
            .map(Self)
            .map_err(|_| BadKey::Point)
    }

    /// Reads what [`Self::point_hex`] writes.
    ///
    /// # Errors
    /// If it has another form or is not on the curve.
    pub fn from_point_hex(text: &str) -> Result<Self, BadKey> {
        let point: [u8; SIGNING_KEY_LEN] = hex::decode(text).ok_or(BadKey::Point)?;
        Self::from_point(&point)
    }

    /// Reads a SubjectPublicKeyInfo in PEM.
    ///
    /// # Errors
    /// If it is anything else, or not a P-256 key.
    pub fn from_pem(pem: &str) -> Result<Self, BadKey> {
        p256::ecdsa::VerifyingKey::from_public_key_pem(pem)
            .map(Self)
            .map_err(|_| BadKey::PublicPem)
    }

    /// The SEC1 uncompressed point.
    pub fn point(&self) -> [u8; SIGNING_KEY_LEN] {
        let point = self.0.to_encoded_point(false);
        point
            .as_bytes()
            .try_into()
            .expect("an uncompressed P-256 point has 65 octets")
    }

    /// The SEC1 uncompressed point, lower-case hexadecimal.
    pub fn point_hex(&self) -> String {
        hex::encode(&self.point())
    }

    /// The SubjectPublicKeyInfo in DER.
    pub fn spki_der(&self) -> Vec<u8> {
        self.0
            .to_public_key_der()
            .expect("a point of fixed size fits its DER encoding")
            .as_bytes()
            .to_vec()
    }

    /// The SubjectPublicKeyInfo in PEM, lines of 64 characters, ending with a line feed.
    pub fn to_pem(&self) -> String {
        self.0
            .to_public_key_pem(LineEnding::LF)
            .expect("a point of fixed size fits its PEM encoding")
    }

    /// SHA-256 of the SubjectPublicKeyInfo in DER, lower-case hexadecimal: the name of the key in messages and `keyid`.
    pub fn fingerprint(&self) -> String {
        hex::encode(&Sha256::digest(self.spki_der()))
    }

    /// Checks a signature `r || s`.
    ///
    /// # Errors
    /// If it does not hold, or has the higher of the two values of `s`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        self.check(
            message,
            &Signature::from_slice(signature).map_err(|_| BadSignature)?,
        )
    }

    /// Checks a signature in ASN.1 DER.
    ///
    /// # Errors
    /// If it does not hold, is not DER, or has the higher of the two values of `s`.
    pub fn verify_der(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let parsed = Signature::from_der(signature).map_err(|_| BadSignature)?;
        if parsed.to_der().as_bytes() != signature {
            return Err(BadSignature);
        }
        self.check(message, &parsed)
    }

    fn check(&self, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        if signature.normalize_s().is_some() {
            return Err(BadSignature);
        }
        self.0.verify(message, signature).map_err(|_| BadSignature)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_scalar(&[byte; 32]).unwrap()
    }

    #[test]
    fn signatures_are_those_of_rfc_6979_in_their_lower_form() {
        // RFC 6979 appendix A.2.5, P-256 with SHA-256, message "sample"; its s is in the upper half, ours is n - s.
        let scalar = hex::decode("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721").unwrap();
        let signature = SigningKey::from_scalar(&scalar).unwrap().sign(b"sample");
        let r = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716";
        let s = "0834e36ad29a83bf2bc9385e491d6099c8fdf9d1ed67aa7ea5f51f93782857a9";
        assert_eq!(hex::encode(&signature), format!("{r}{s}"));
    }

    #[test]
    fn the_other_value_of_s_verifies_nowhere() {
        let signature = Signature::from_slice(&key(1).sign(b"message")).unwrap();
        let (r, s) = signature.split_scalars();
        let high = Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).unwrap();
        let public = key(1).verifying_key();
        assert!(
            public.0.verify(b"message", &high).is_ok(),
            "the curve's arithmetic takes it"
        );
        assert_eq!(public.verify(b"message", &high.to_bytes()), Err(BadSignature));
        assert_eq!(
            public.verify_der(b"message", high.to_der().as_bytes()),
            Err(BadSignature)
        );
    }

    #[test]
    fn both_forms_of_a_signature_verify() {
        let public = key(1).verifying_key();
        assert_eq!(public.verify(b"message", &key(1).sign(b"message")), Ok(()));
        assert_eq!(
            public.verify_der(b"message", &key(1).sign_der(b"message")),
            Ok(())
        );
        assert_eq!(
            public.verify(b"message", &key(2).sign(b"message")),
            Err(BadSignature)
        );
        assert_eq!(
            public.verify(b"massage", &key(1).sign(b"message")),
            Err(BadSignature)
        );
        assert_eq!(public.verify(b"message", b"short"), Err(BadSignature));
    }

    #[test]
    fn keys_survive_their_encodings() {
        let (private, public) = (key(1), key(1).verifying_key());
        assert_eq!(
            SigningKey::from_pkcs8_pem(&private.to_pkcs8_pem())
                .unwrap()
                .verifying_key(),
            public
        );
        assert_eq!(
            SigningKey::from_scalar(&private.to_scalar())
                .unwrap()
                .verifying_key(),
            public
        );
        assert_eq!(VerifyingKey::from_point(&public.point()), Ok(public));
        assert_eq!(VerifyingKey::from_point_hex(&public.point_hex()), Ok(public));
        assert_eq!(VerifyingKey::from_pem(&public.to_pem()), Ok(public));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let public = key(1).verifying_key();
        let mut off_the_curve = public.point();
        off_the_curve[64] ^= 1;
        let compressed = public.0.to_encoded_point(true);
        for point in [
            &off_the_curve[..],
            compressed.as_bytes(),
            &public.point()[..64],
            &[],
            &[4; 65],
        ] {
            assert_eq!(VerifyingKey::from_point(point), Err(BadKey::Point));
        }
        assert_eq!(SigningKey::from_scalar(&[0; 32]).map(|_| ()), Err(BadKey::Scalar));
        assert_eq!(
            SigningKey::from_scalar(&[0xff; 32]).map(|_| ()),
            Err(BadKey::Scalar)
        );
        assert_eq!(
            VerifyingKey::from_pem("-----BEGIN PUBLIC KEY-----"),
            Err(BadKey::PublicPem)
        );
        assert_eq!(
            SigningKey::from_pkcs8_pem(&public.to_pem()).map(|_| ()),
            Err(BadKey::PrivatePem)
        );
    }

    #[test]
    fn debug_shows_the_public_half_only() {
        let shown = format!("{:?}", key(0x5c));
        assert!(
            shown.contains(&key(0x5c).verifying_key().fingerprint()),
            "{shown}"
        );
        assert!(!shown.contains("5c5c"), "{shown}");
    }
}
