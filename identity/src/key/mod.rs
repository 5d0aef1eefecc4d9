//! The keys of a participant, one for each purpose, so that a signature made for one can never be taken for another:
//! [`TlsKey`] opens sessions, [`SigningKey`] signs testimony, [`AgreementKey`] makes pair keys.
//!
//! Secrets are wiped when they are dropped, and no `Debug` prints them.

mod agreement;
mod file;
mod signing;
mod tls;

pub use agreement::AgreementKey;
pub use file::KeyFileError;
pub use signing::{BadKey, BadSignature, SIGNATURE_LEN, SIGNING_KEY_LEN, SigningKey, VerifyingKey};
pub use tls::{TlsKey, TlsKeyError};
