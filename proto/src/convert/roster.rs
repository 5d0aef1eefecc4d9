//! The roster: encoded once, shared by digest.

use std::fmt;

use plumbline_model::{canonical, evidence::Member, id::NodeId};
use sha2::{Digest as _, Sha256};

use super::{FieldError, Invalid, at_most, bytes};
use crate::{limits, v1};

/// A SHA-256 digest; displayed as lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Everybody who takes part, ascending by node, with the bytes that the digest is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    members: Vec<Member>,
    bytes: Vec<u8>,
    digest: Digest,
}

impl Roster {
    /// The roster of these members, in any order.
    ///
    /// # Errors
    /// If a node is there twice, or lacks its address, or a member lacks a key of the right length.
    pub fn new(mut members: Vec<Member>) -> Result<Self, Invalid> {
        members.sort_by_key(|member| member.node);
        check(&members)?;
        let bytes = canonical::encode(&members);
        Ok(Self {
            digest: Digest::of(&bytes),
            members,
            bytes,
        })
    }

    /// The members, ascending by node.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The digest of the members' canonical JSON.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The member with this id.
    pub fn member(&self, node: NodeId) -> Option<&Member> {
        self.index(node).map(|index| &self.members[index])
    }

    /// The member's place, by which assignments name it.
    pub(super) fn index(&self, node: NodeId) -> Option<usize> {
        self.members
            .binary_search_by_key(&node, |member| member.node)
            .ok()
    }
}

impl TryFrom<v1::Roster> for Roster {
    type Error = Invalid;

    fn try_from(wire: v1::Roster) -> Result<Self, Invalid> {
        let digest = Digest(bytes("sha256", &wire.sha256)?);
        if digest != Digest::of(&wire.members) {
            return Err(FieldError::Digest.at("members"));
        }
        let members: Vec<Member> = canonical::decode(&wire.members)
            .map_err(|e| FieldError::Malformed(e.to_string()).at("members"))?;
        check(&members)?;
        Ok(Self {
            members,
            bytes: wire.members,
            digest,
        })
    }
}

impl From<&Roster> for v1::Roster {
    fn from(roster: &Roster) -> Self {
        Self {
            members: roster.bytes.clone(),
            sha256: roster.digest.0.to_vec(),
        }
    }
}

fn check(members: &[Member]) -> Result<(), Invalid> {
    if members.is_empty() {
        return Err(FieldError::Empty.at("members"));
    }
    at_most("members", members.len(), limits::MAX_MEMBERS)?;
    if !members.windows(2).all(|pair| pair[0].node < pair[1].node) {
        return Err(FieldError::Order.at("members"));
    }
    for (index, member) in members.iter().enumerate() {
        check_member(member).map_err(|e| e.within(format_args!("members[{index}]")))?;
    }
    Ok(())
}

fn check_member(member: &Member) -> Result<(), Invalid> {
    // The workstation is no destination; on a machine that is a node itself none of its addresses is left to it.
    if member.addresses.is_empty() && member.node != NodeId::Coordinator {
        return Err(FieldError::Empty.at("addresses"));
    }
    at_most("addresses", member.addresses.len(), limits::MAX_ADDRESSES)?;
    hexadecimal("tls_key_sha256", &member.tls_key_sha256, 32)?;
    hexadecimal("signing_key", &member.signing_key, 65)?;
    hexadecimal("agreement_key", &member.agreement_key, 32)
}

fn hexadecimal(field: &str, text: &str, octets: usize) -> Result<(), Invalid> {
    if text.len() != 2 * octets {
        return Err(FieldError::Length {
            found: text.len() / 2,
            expected: octets,
        }
        .at(field));
    }
    if text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        Ok(())
    } else {
        Err(FieldError::Malformed("not lower-case hexadecimal".to_owned()).at(field))
    }
}
