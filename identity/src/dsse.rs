//! Dead Simple Signing Envelopes (DSSE 1.0), in one encoding only: compact JSON in the order of the fields below, canonical
//! padded base64, an ECDSA signature in DER with the lower `s`, one signature.
//!
//! What is signed is the pre-authentication encoding, `DSSEv1 len(type) type len(payload) payload`: payload bytes are never
//! parsed before their signature has been checked.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use plumbline_model::canonical::{self, NotCanonical};
use serde::{Deserialize, Serialize};

use crate::key::{SigningKey, VerifyingKey};

/// A signed payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// What the payload is.
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// The payload, standard base64 with padding.
    pub payload: String,
    /// Exactly one.
    pub signatures: Vec<EnvelopeSignature>,
}

/// The signature of an [`Envelope`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeSignature {
    /// SHA-256 of the signing key's SubjectPublicKeyInfo, lower-case hexadecimal.
    pub keyid: String,
    /// ECDSA P-256 over SHA-256 of the pre-authentication encoding: ASN.1 DER, standard base64 with padding.
    pub sig: String,
}

/// Why an envelope is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeFault {
    /// Not an envelope, or not in its one encoding.
    #[error("read the envelope")]
    NotCanonical(#[source] NotCanonical),
    /// Another payload type than was asked for.
    #[error("read the envelope: its payload type is {found:?}, not {expected:?}")]
    OtherType {
        /// What it says.
        found: String,
        /// What was asked for.
        expected: &'static str,
    },
    /// Not exactly one signature.
    #[error("read the envelope: it has {count} signatures, not one")]
    SignatureCount {
        /// How many it has.
        count: usize,
    },
    /// Base64 that is not canonical.
    #[error("read the envelope: the base64 of its {field} is not canonical")]
    Base64 {
        /// Of which field.
        field: &'static str,
    },
    /// Signed by another key.
    #[error("verify the envelope: it is signed by key {found}, not {expected}")]
    OtherKey {
        /// Its keyid.
        found: String,
        /// The fingerprint of the key that was asked for.
        expected: String,
    },
    /// The signature does not hold.
    #[error("verify the envelope: the signature does not match the payload")]
    BadSignature,
}

impl Envelope {
    /// Signs a payload.
    pub fn sign(key: &SigningKey, payload_type: &str, payload: &[u8]) -> Self {
        Self {
            payload_type: payload_type.to_owned(),
            payload: STANDARD.encode(payload),
            signatures: vec![EnvelopeSignature {
                keyid: key.verifying_key().fingerprint(),
                sig: STANDARD.encode(key.sign_der(&pae(payload_type, payload))),
            }],
        }
    }

    /// Reads the one encoding of an envelope. Nothing is verified yet.
    ///
    /// # Errors
    /// If the bytes are anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeFault> {
        let envelope: Self = canonical::decode(bytes).map_err(EnvelopeFault::NotCanonical)?;
        if envelope.signatures.len() != 1 {
            return Err(EnvelopeFault::SignatureCount {
                count: envelope.signatures.len(),
            });
        }
        Ok(envelope)
    }

    /// The one encoding, without a line feed.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::encode(self)
    }

    /// Checks type and signature and gives the payload's bytes.
    ///
    /// # Errors
    /// If the envelope is of another type, of another key, or its signature does not hold.
    pub fn verify(&self, key: &VerifyingKey, expected_type: &'static str) -> Result<Vec<u8>, EnvelopeFault> {
        if self.payload_type != expected_type {
            return Err(EnvelopeFault::OtherType {
                found: self.payload_type.clone(),
                expected: expected_type,
            });
        }
        let [signature] = self.signatures.as_slice() else {
            return Err(EnvelopeFault::SignatureCount {
                count: self.signatures.len(),
            });
        };
        let expected = key.fingerprint();
        if signature.keyid != expected {
            return Err(EnvelopeFault::OtherKey {
                found: signature.keyid.clone(),
                expected,
            });
        }
        let payload = self.unverified_payload()?;
        let sig = STANDARD
            .decode(&signature.sig)
            .map_err(|_| EnvelopeFault::Base64 { field: "sig" })?;
        key.verify_der(&pae(expected_type, &payload), &sig)
            .map_err(|_| EnvelopeFault::BadSignature)?;
        Ok(payload)
    }

    /// The payload's bytes before anybody has vouched for them: good for finding out whose key to ask, and nothing else.
    ///
    /// # Errors
    /// If the base64 is not canonical.
    pub fn unverified_payload(&self) -> Result<Vec<u8>, EnvelopeFault> {
        STANDARD
            .decode(&self.payload)
            .map_err(|_| EnvelopeFault::Base64 { field: "payload" })
    }
}

/// The pre-authentication encoding: what is signed.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "application/example";

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_scalar(&[byte; 32]).unwrap()
    }

    fn sample() -> Envelope {
        Envelope::sign(&key(1), TYPE, b"{\"a\":1}")
    }

    #[test]
    fn the_pre_authentication_encoding_is_that_of_the_specification() {
        // The example of the DSSE protocol document.
        let encoded = pae("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn what_was_signed_verifies_and_gives_its_payload() {
        let envelope = Envelope::parse(&sample().to_bytes()).unwrap();
        assert_eq!(
            envelope.verify(&key(1).verifying_key(), TYPE).unwrap(),
            b"{\"a\":1}"
        );
    }

    #[test]
    fn signing_the_same_twice_gives_the_same_bytes() {
        assert_eq!(sample().to_bytes(), sample().to_bytes());
    }

    #[test]
    fn no_byte_of_an_envelope_can_be_changed() {
        let bytes = sample().to_bytes();
        let key = key(1).verifying_key();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                let accepted = Envelope::parse(&changed).and_then(|envelope| envelope.verify(&key, TYPE));
                assert!(accepted.is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn another_key_another_type_and_a_second_signature_are_told_apart() {
        let envelope = sample();
        let own = key(1).verifying_key();
        assert!(matches!(
            envelope.verify(&key(2).verifying_key(), TYPE),
            Err(EnvelopeFault::OtherKey { .. })
        ));
        assert!(matches!(
            envelope.verify(&own, "text/plain"),
            Err(EnvelopeFault::OtherType { .. })
        ));
        let mut doubled = envelope.clone();
        doubled.signatures.push(envelope.signatures[0].clone());
        assert!(matches!(
            Envelope::parse(&doubled.to_bytes()),
            Err(EnvelopeFault::SignatureCount { count: 2 })
        ));
    }

    #[test]
    fn another_spelling_of_the_same_envelope_is_refused() {
        let text = String::from_utf8(sample().to_bytes()).unwrap();
        for other in [
            text.replace(",\"payload\"", ", \"payload\""),
            format!("{text}\n"),
            text.replace("=\"", "\""),
        ] {
            let accepted =
                Envelope::parse(other.as_bytes()).and_then(|e| e.verify(&key(1).verifying_key(), TYPE));
            assert!(accepted.is_err(), "{other}");
        }
    }
}
