//! The key of a redaction: what is left out of a report is replaced by what only its holder can derive again.

use std::fmt;

use hmac::{Hmac, Mac as _};
use plumbline_model::canonical;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{hex, random, random::NoRandomness};

/// A fresh key for one redaction. Wiped when dropped, never printed.
#[derive(Clone)]
pub struct RedactionKey(Zeroizing<[u8; LENGTH]>);

/// Octets of the key: what HMAC-SHA-256 gives its full strength by (RFC 2104, section 3).
const LENGTH: usize = 32;

/// Names the scheme in every derivation and in the key's file.
pub const SCHEME: &str = "plumbline-redaction-v1";

/// The file does not hold a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not one line of \"{SCHEME}\" and 64 hexadecimal digits, as `plumbline redact` writes it")]
pub struct NotARedactionKey;

impl RedactionKey {
    /// Draws one.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn fresh() -> Result<Self, NoRandomness> {
        Ok(Self(Zeroizing::new(random::bytes()?)))
    }

    /// Reads what [`RedactionKey::to_text`] wrote.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn from_text(text: &str) -> Result<Self, NotARedactionKey> {
        let digits = text.strip_prefix(SCHEME).and_then(|rest| rest.strip_prefix(' '));
        let key = digits.and_then(|rest| hex::decode(rest.trim_end_matches('\n')));
        key.map(|key| Self(Zeroizing::new(key))).ok_or(NotARedactionKey)
    }

    /// One line for a file that nobody else may read.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{SCHEME} {}\n", hex::encode(&*self.0)))
    }

    /// What a redaction shows of its key: SHA-256 of the key's file. The key is random, so this tells nothing of it, and no
    /// other key has it.
    pub fn commitment(&self) -> String {
        canonical::sha256(self.to_text().as_bytes())
    }

    /// What stands for a text of a kind: HMAC-SHA-256 over scheme, kind, turn and text. Another turn is asked for where the
    /// first result is taken.
    pub fn derive(&self, kind: &str, text: &str, turn: u32) -> [u8; 32] {
        let mut mac =
            <Hmac<Sha256> as hmac::Mac>::new_from_slice(&*self.0).expect("HMAC takes a key of any length");
        for part in [
            SCHEME.as_bytes(),
            b"\0",
            kind.as_bytes(),
            b"\0",
            &turn.to_be_bytes(),
            text.as_bytes(),
        ] {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for RedactionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedactionKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_file_and_another_derives_something_else() {
        let (key, other) = (RedactionKey::fresh().unwrap(), RedactionKey::fresh().unwrap());
        let read = RedactionKey::from_text(&key.to_text()).unwrap();
        assert_eq!(read.derive("host", "a", 0), key.derive("host", "a", 0));
        assert_eq!(read.commitment(), key.commitment());
        assert_ne!(other.derive("host", "a", 0), key.derive("host", "a", 0));
        assert_ne!(key.derive("host", "a", 1), key.derive("host", "a", 0));
        assert_ne!(key.derive("file", "a", 0), key.derive("host", "a", 0));
        assert!(!format!("{key:?}").contains(&key.to_text()[SCHEME.len() + 1..SCHEME.len() + 9]));
        for bad in ["", "x", SCHEME, &key.to_text()[..60]] {
            assert!(RedactionKey::from_text(bad).is_err(), "{bad:?}");
        }
    }
}
