//! SSH signatures (OpenSSH's PROTOCOL.sshsig) over a file, as `ssh-keygen -Y sign` makes them and `ssh-keygen -Y verify` checks
//! them: the tool that every administrator has at hand.
//!
//! A signature is accepted only in the bytes that [`sign`] would have written around it.

use p256::ecdsa;
use ssh_key::{
    HashAlg, LineEnding, Signature, SshSig,
    public::{EcdsaPublicKey, KeyData, PublicKey},
};

use crate::key::{BadSignature, SIGNATURE_LEN, SigningKey, VerifyingKey};

/// What the signature is for; ssh-keygen's `-n`.
pub const NAMESPACE: &str = "plumbline-report";

/// Who signs, in allowed_signers; ssh-keygen's `-I`.
pub const PRINCIPAL: &str = "plumbline";

/// Signs a message; the armoured text, ending with a line feed.
pub fn sign(key: &SigningKey, message: &[u8]) -> String {
    let data = SshSig::signed_data(NAMESPACE, HASH, message).expect("the namespace is not empty");
    armour(&key.verifying_key(), &key.sign(&data))
}

/// Checks an armoured signature of `key` over a message.
///
/// # Errors
/// If it does not hold, or is not how [`sign`] writes it.
pub fn verify(key: &VerifyingKey, message: &[u8], armoured: &[u8]) -> Result<(), BadSignature> {
    let parsed = SshSig::from_pem(armoured).map_err(|_| BadSignature)?;
    let signature = ecdsa::Signature::try_from(parsed.signature()).map_err(|_| BadSignature)?;
    let signature: [u8; SIGNATURE_LEN] = signature.to_bytes().into();
    if armour(key, &signature).as_bytes() != armoured {
        return Err(BadSignature);
    }
    let data = SshSig::signed_data(NAMESPACE, HASH, message).expect("the namespace is not empty");
    key.verify(&data, &signature)
}

/// The one line of allowed_signers: `plumbline namespaces="plumbline-report" ecdsa-sha2-nistp256 ...`.
pub fn allowed_signers(key: &VerifyingKey) -> String {
    let key = PublicKey::new(key_data(key), "")
        .to_openssh()
        .expect("a key of fixed size fits its encoding");
    format!("{PRINCIPAL} namespaces=\"{NAMESPACE}\" {}\n", key.trim_end())
}

fn armour(key: &VerifyingKey, signature: &[u8; SIGNATURE_LEN]) -> String {
    ecdsa::Signature::from_slice(signature)
        .map_err(ssh_key::Error::from)
        .and_then(Signature::try_from)
        .and_then(|signature| SshSig::new(key_data(key), NAMESPACE, HASH, signature))
        .and_then(|signature| signature.to_pem(LineEnding::LF))
        .expect("a key and a signature that were parsed before fit their encoding")
}

fn key_data(key: &VerifyingKey) -> KeyData {
    EcdsaPublicKey::from_sec1_bytes(&key.point())
        .expect("a point on the curve")
        .into()
}

/// What ssh-keygen uses unless told otherwise.
const HASH: HashAlg = HashAlg::Sha512;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_scalar(&[byte; 32]).unwrap()
    }

    #[test]
    fn what_was_signed_verifies_and_with_nothing_else() {
        let text = sign(&key(1), b"statement");
        assert_eq!(
            verify(&key(1).verifying_key(), b"statement", text.as_bytes()),
            Ok(())
        );
        assert_eq!(
            verify(&key(1).verifying_key(), b"Statement", text.as_bytes()),
            Err(BadSignature)
        );
        assert_eq!(
            verify(&key(2).verifying_key(), b"statement", text.as_bytes()),
            Err(BadSignature)
        );
    }

    #[test]
    fn no_byte_of_a_signature_can_be_changed() {
        let text = sign(&key(1), b"statement").into_bytes();
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut changed = text.clone();
                changed[at] ^= 1 << bit;
                let accepted = verify(&key(1).verifying_key(), b"statement", &changed);
                assert_eq!(accepted, Err(BadSignature), "bit {bit} of byte {at}");
            }
        }
        for further in ["\n", " ", "x"] {
            let longer = [text.as_slice(), further.as_bytes()].concat();
            assert_eq!(
                verify(&key(1).verifying_key(), b"statement", &longer),
                Err(BadSignature)
            );
        }
    }

    #[test]
    fn allowed_signers_names_principal_namespace_and_key() {
        let line = allowed_signers(&key(1).verifying_key());
        let start = "plumbline namespaces=\"plumbline-report\" ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAA";
        assert!(line.starts_with(start), "{line}");
        assert!(line.ends_with('\n') && line.lines().count() == 1, "{line:?}");
    }
}
