//! Who speaks: keys, enrolment, TLS configurations, and the signatures that a report stands on.
//!
//! Nothing here opens a socket or starts a task, and only [`key::SigningKey::load_or_create`] touches a file: everything
//! else takes bytes and the time and gives bytes or a decision, so that each refusal can be tested by itself.
//!
//! ```text
//! key ---> ca ---> tls      who may open a session: the run's CA is pinned, the client proves a key of its own
//!  |        `----> join     the one string that a node gets: addresses, run, one-time key, pin
//!  |                `-----> enrol    one-time key x session x three keys = a member of the roster
//!  |------> pair            ECDH and HKDF for a directed pair: nothing secret is distributed
//!  |------> dsse ---------> evidence lines
//!  `------> sshsig, attest, merkle ---> bundle    the report directory: seal it, check it
//! redaction                            the key that pseudonyms of a redacted report are derived with
//! ```

pub mod attest;
pub mod bundle;
pub mod ca;
pub mod dsse;
pub mod enrol;
pub mod join;
pub mod key;
pub mod merkle;
pub mod pair;
pub mod redaction;
pub mod sshsig;
pub mod tls;

mod hex;
mod random;

pub use random::NoRandomness;
