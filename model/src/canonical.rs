//! The one encoding of everything that is signed: compact JSON, fields in the order of their declaration, no `null`, no
//! floats in evidence, no trailing newline. A text is canonical if reading it and writing it again gives the same bytes.

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

/// Why bytes are not canonical.
#[derive(Debug, thiserror::Error)]
pub enum NotCanonical {
    /// Not JSON of this type at all.
    #[error("read JSON")]
    Syntax(#[source] serde_json::Error),
    /// It reads, but it is not how we write it.
    #[error("bytes differ from their canonical encoding")]
    Differs,
}

/// The canonical bytes of a value.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    // Our types have string keys only and no map can fail to serialise.
    serde_json::to_vec(value).expect("types of model always serialise")
}

/// Reads canonical bytes.
///
/// # Errors
/// If the bytes are no such value, or not exactly how [`encode`] writes it.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, NotCanonical> {
    let value: T = serde_json::from_slice(bytes).map_err(NotCanonical::Syntax)?;
    if encode(&value) == bytes {
        Ok(value)
    } else {
        Err(NotCanonical::Differs)
    }
}

/// SHA-256 of some bytes, lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::PortSet;

    #[test]
    fn a_value_survives_its_own_encoding() {
        let ports: PortSet = "22,80-90".parse().unwrap();
        assert_eq!(decode::<PortSet>(&encode(&ports)).unwrap(), ports);
    }

    #[test]
    fn white_space_and_other_spellings_of_the_same_value_are_refused() {
        for text in [&b" \"22\""[..], b"\"22\"\n", b"\"\\u0032\\u0032\""] {
            assert!(
                matches!(decode::<PortSet>(text), Err(NotCanonical::Differs)),
                "{text:?}"
            );
        }
        assert!(matches!(decode::<PortSet>(b"{"), Err(NotCanonical::Syntax(_))));
    }

    #[test]
    fn a_digest_is_the_published_one_for_abc() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
