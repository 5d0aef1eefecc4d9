//! The one encoding of everything that is signed: compact JSON, fields in the order of their declaration, no `null`, no
//! floats in evidence, no trailing newline. A text is canonical if reading it and writing it again gives the same bytes.

use serde::{Serialize, de::DeserializeOwned};

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
