//! The one string that a node needs to join: where the coordinator is, which run and which node it is for, a one-time key,
//! and the hash of the run's CA key, so that the pin cannot be forgotten.
//!
//! ```text
//! plumbline-join-1 . base64url(body) . checksum          checksum: 8 hex digits of SHA-256 over all before the last dot
//!
//! body:    run(8) node(address) expires(8) pin(32) one-time key(32) count(1) { address port(2) } x count
//! address: 4 octets(4) | 6 octets(16) | 0 (the coordinator's own vantage)
//! ```
//!
//! It is a secret: no message of this module quotes it, and `Debug` leaves the key out.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use plumbline_model::id::{NodeId, RunId};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{
    hex,
    key::{SIGNATURE_LEN, SigningKey, VerifyingKey},
    random::NoRandomness,
};

/// What a node needs to join a run, once.
#[derive(Clone)]
pub struct JoinString {
    /// Where the coordinator listens; tried in this order. At most [`MAX_ADDRESSES`].
    pub coordinator: Vec<SocketAddr>,
    /// The run.
    pub run: RunId,
    /// The node that it is for.
    pub node: NodeId,
    /// The secret that proves it.
    pub one_time_key: OneTimeKey,
    /// SHA-256 of the SubjectPublicKeyInfo of the run's CA.
    pub pin: [u8; 32],
    /// Until when it is good, in seconds since 1970 by the coordinator's clock, which alone judges it.
    pub expires_unix_s: u64,
}

/// How many coordinator addresses fit into a string.
pub const MAX_ADDRESSES: usize = 32;

/// The secret in a join string: a P-256 key of which the coordinator keeps only the public half.
#[derive(Clone)]
pub struct OneTimeKey(SigningKey);

/// The public half of a [`OneTimeKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OneTimePublic(VerifyingKey);

/// Why a text is not a join string. No variant holds any of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinStringError {
    /// Nothing was given.
    #[error("read the join string: it is empty")]
    Empty,
    /// It starts otherwise.
    #[error(
        "read the join string: it does not start with `plumbline-join-1.`; copy the whole value of this node from the join file"
    )]
    NotOne,
    /// It is of another version.
    #[error(
        "read the join string: it was made by another version of plumbline; use the plumbline-probe of the coordinator's version"
    )]
    OtherVersion,
    /// There is white space in it.
    #[error("read the join string: there is white space after {after} characters; copy it as one line")]
    WhiteSpace {
        /// How many characters stand before it.
        after: usize,
    },
    /// The end is missing.
    #[error("read the join string: its end is missing ({length} characters arrived); copy it whole")]
    Truncated {
        /// Characters that arrived.
        length: usize,
    },
    /// Something follows its end.
    #[error("read the join string: something follows its end; copy one string only")]
    TooLong,
    /// A character was changed.
    #[error(
        "read the join string: its checksum does not match, a character was changed; copy it instead of typing it"
    )]
    Typo,
    /// The checksum is right and the content makes no sense.
    #[error(
        "read the join string: its content makes no sense, although nothing was changed on the way; it was not made by plumbline"
    )]
    Nonsense,
}

impl OneTimeKey {
    /// A new random key.
    ///
    /// # Errors
    /// If the operating system gives no random bytes.
    pub fn generate() -> Result<Self, NoRandomness> {
        SigningKey::generate().map(Self)
    }

    /// The public half, for the coordinator's table.
    pub fn public(&self) -> OneTimePublic {
        OneTimePublic(self.0.verifying_key())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.0.sign(message)
    }
}

impl fmt::Debug for OneTimeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimeKey(..)")
    }
}

impl OneTimePublic {
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify(message, signature).is_ok()
    }
}

impl JoinString {
    /// The text. Whoever has it can join as the node, once.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut body = Zeroizing::new(Vec::with_capacity(MAX_BODY));
        body.extend(hex::decode::<8>(self.run.as_str()).expect("a run id is 16 hexadecimal digits"));
        put_address(&mut body, self.node.address());
        body.extend(self.expires_unix_s.to_be_bytes());
        body.extend(self.pin);
        body.extend(self.one_time_key.0.to_scalar().iter());
        let addresses = &self.coordinator[..self.coordinator.len().min(MAX_ADDRESSES)];
        body.push(u8::try_from(addresses.len()).expect("at most MAX_ADDRESSES"));
        for address in addresses {
            put_address(&mut body, Some(address.ip()));
            body.extend(address.port().to_be_bytes());
        }

        let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(&*body));
        let mut text = Zeroizing::new(String::with_capacity(
            PREFIX.len() + encoded.len() + 1 + CHECKSUM_LEN,
        ));
        text.push_str(PREFIX);
        text.push_str(&encoded);
        let checksum = checksum(&text);
        text.push('.');
        text.push_str(&checksum);
        text
    }
}

impl FromStr for JoinString {
    type Err = JoinStringError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let encoded = check(text)?;
        // The engine refuses stray trailing bits, so that one string has one text.
        let body = Zeroizing::new(
            URL_SAFE_NO_PAD
                .decode(encoded)
                .map_err(|_| JoinStringError::Nonsense)?,
        );
        Body(&body).read().ok_or(JoinStringError::Nonsense)
    }
}

impl fmt::Debug for JoinString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinString")
            .field("coordinator", &self.coordinator)
            .field("run", &self.run)
            .field("node", &self.node)
            .field("pin", &hex::encode(&self.pin))
            .field("expires_unix_s", &self.expires_unix_s)
            .finish_non_exhaustive()
    }
}

/// The base64 part of a text whose frame and checksum are right.
fn check(text: &str) -> Result<&str, JoinStringError> {
    if text.is_empty() {
        return Err(JoinStringError::Empty);
    }
    if let Some(after) = text.chars().position(char::is_whitespace) {
        return Err(JoinStringError::WhiteSpace { after });
    }
    let truncated = JoinStringError::Truncated {
        length: text.chars().count(),
    };
    let Some(rest) = text.strip_prefix(PREFIX) else {
        return Err(match text.strip_prefix(FAMILY) {
            _ if PREFIX.starts_with(text) => truncated,
            Some(version) if version.starts_with(|first: char| first.is_ascii_digit()) => {
                JoinStringError::OtherVersion
            }
            _ => JoinStringError::NotOne,
        });
    };
    let Some((encoded, sum)) = rest.split_once('.') else {
        return Err(truncated);
    };
    if sum.len() < CHECKSUM_LEN {
        return Err(truncated);
    }
    if sum.len() > CHECKSUM_LEN {
        return Err(JoinStringError::TooLong);
    }
    if checksum(&text[..text.len() - 1 - CHECKSUM_LEN]) != sum {
        return Err(JoinStringError::Typo);
    }
    Ok(encoded)
}

fn checksum(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..CHECKSUM_LEN / 2])
}

fn put_address(body: &mut Vec<u8>, address: Option<IpAddr>) {
    match address {
        None => body.push(0),
        Some(IpAddr::V4(address)) => {
            body.push(4);
            body.extend(address.octets());
        }
        Some(IpAddr::V6(address)) => {
            body.push(6);
            body.extend(address.octets());
        }
    }
}

/// The octets of a body that are still to be read. Every reader gives `None` if they do not make sense.
struct Body<'a>(&'a [u8]);

impl Body<'_> {
    fn read(mut self) -> Option<JoinString> {
        let run = RunId::from_bytes(self.take()?);
        let node = self.address()?.map_or(NodeId::Coordinator, NodeId::Address);
        let expires_unix_s = u64::from_be_bytes(self.take()?);
        let pin = self.take()?;
        let scalar = Zeroizing::new(self.take::<32>()?);
        let one_time_key = OneTimeKey(SigningKey::from_scalar(&scalar).ok()?);
        let [count] = self.take()?;
        if count == 0 || usize::from(count) > MAX_ADDRESSES {
            return None;
        }
        let coordinator = (0..count)
            .map(|_| {
                Some(SocketAddr::new(
                    self.address()??,
                    u16::from_be_bytes(self.take()?),
                ))
            })
            .collect::<Option<Vec<_>>>()?;
        self.0.is_empty().then_some(JoinString {
            coordinator,
            run,
            node,
            one_time_key,
            pin,
            expires_unix_s,
        })
    }

    /// The outer `None` is a fault, the inner one the coordinator's own vantage.
    fn address(&mut self) -> Option<Option<IpAddr>> {
        match self.take()? {
            [0] => Some(None),
            [4] => Some(Some(IpAddr::from(self.take::<4>()?))),
            [6] => Some(Some(IpAddr::from(self.take::<16>()?))),
            _ => None,
        }
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }
}

/// What every version starts with.
const FAMILY: &str = "plumbline-join-";

/// What this version starts with.
const PREFIX: &str = "plumbline-join-1.";

/// Hexadecimal digits of the checksum: one slip in four thousand million goes unseen, and then the key does not fit.
const CHECKSUM_LEN: usize = 8;

/// Octets of the longest body.
const MAX_BODY: usize = 8 + 17 + 8 + 32 + 32 + 1 + MAX_ADDRESSES * (17 + 2);

#[cfg(test)]
mod tests;
