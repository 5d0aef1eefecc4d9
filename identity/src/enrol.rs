//! Enrolment: how a session that anybody may open becomes the session of a node.
//!
//! ```text
//!                  probe                                             coordinator
//!   TLS 1.3, self-signed certificate  ------------------------->  any P-256 key, possession proven
//!   transcript = domain, exporter, run, node, hash of the TLS key,
//!                signing key, agreement key
//!   Join { both public keys, one-time key's signature,            one-time public half kept in the table
//!          signing key's signature }  ------------------------->  same transcript, from its own end of the session
//! ```
//!
//! The exporter ties the proof to this one session, so nobody in between can use it in another; the TLS key ties it to the
//! sessions that follow, which are recognised by [`Admission::is_member`]. A join string is used up by a join that succeeds and
//! by nothing else: a wrong proof is refused and counted, but it cannot burn the string of the node that it names, nor lock it
//! out. Guessing is hopeless (the key has 256 bits), so counting is all that it takes.

mod refused;

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use plumbline_model::{
    evidence::Member,
    id::{NodeId, RunId},
};

use crate::{
    hex,
    join::{JoinString, OneTimePublic},
    key::{AgreementKey, SIGNING_KEY_LEN, SigningKey, TlsKey, VerifyingKey},
};

pub use refused::{JoinRefused, KeyFault, KeyKind};

/// The version of the control protocol that this build speaks.
pub const PROTOCOL: u32 = 2;

/// What a probe says to be let in, as it came off the wire: nothing of it has been looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The probe's protocol version.
    pub protocol: u32,
    /// The run.
    pub run: String,
    /// The node.
    pub node: String,
    /// SEC1 uncompressed P-256 point, 65 octets.
    pub signing_key: Vec<u8>,
    /// X25519 public key, 32 octets.
    pub agreement_key: Vec<u8>,
    /// The one-time key's signature over the [`transcript`], `r || s`.
    pub one_time_signature: Vec<u8>,
    /// The signing key's signature over the same.
    pub possession_signature: Vec<u8>,
    /// Global addresses of the host.
    pub addresses: Vec<IpAddr>,
    /// Its IPv6 data address, where the node is known by an IPv4 one; one of `addresses`, or it does not count.
    pub data_ipv6: Option<Ipv6Addr>,
}

/// Whom the coordinator waits for.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Who.
    pub node: NodeId,
    /// From where it may come.
    pub origin: Origin,
    /// The public half of its one-time key.
    pub one_time_public: OneTimePublic,
    /// Until when its join string is good, in seconds since 1970: good before, expired from this second on.
    pub expires_unix_s: u64,
}

/// From where a node may join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// From one of these: its data address and the address under which SSH reaches it.
    Addresses(Vec<IpAddr>),
    /// From this machine: loopback, or one of its own addresses. The coordinator's vantage.
    ThisMachine(Vec<IpAddr>),
}

/// How a session came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CameFrom {
    /// Over TCP, from this address.
    Address(IpAddr),
    /// Over a stream that the coordinator itself opened to this node (SSH).
    OwnStream(NodeId),
}

/// What is signed to join: the session, the run, the node and the three keys, each with its length before it, under a domain
/// of its own.
pub fn transcript(
    exporter: &[u8; 32],
    run: &RunId,
    node: NodeId,
    tls_key_sha256: &[u8; 32],
    signing_key: &[u8; SIGNING_KEY_LEN],
    agreement_key: &[u8; 32],
) -> Vec<u8> {
    let node = node.to_string();
    let mut bytes = DOMAIN.to_vec();
    for field in [
        exporter.as_slice(),
        run.as_str().as_bytes(),
        node.as_bytes(),
        tls_key_sha256,
        signing_key,
        agreement_key,
    ] {
        bytes.extend(
            u32::try_from(field.len())
                .expect("fields of a transcript are short")
                .to_be_bytes(),
        );
        bytes.extend(field);
    }
    bytes
}

/// A probe's three keys.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    /// Of its sessions.
    pub tls: &'a TlsKey,
    /// Of its testimony.
    pub signing: &'a SigningKey,
    /// Of its pair keys.
    pub agreement: &'a AgreementKey,
}

/// The probe's side: its claim for the session with this exporter, which it opened with its TLS key.
pub fn prove(
    exporter: &[u8; 32],
    join: &JoinString,
    keys: Keys<'_>,
    addresses: Vec<IpAddr>,
    data_ipv6: Option<Ipv6Addr>,
) -> Claim {
    let point = keys.signing.verifying_key().point();
    let agreement = keys.agreement.public();
    let transcript = transcript(
        exporter,
        &join.run,
        join.node,
        &keys.tls.spki_sha256(),
        &point,
        &agreement,
    );
    Claim {
        protocol: PROTOCOL,
        run: join.run.to_string(),
        node: join.node.to_string(),
        signing_key: point.to_vec(),
        agreement_key: agreement.to_vec(),
        one_time_signature: join.one_time_key.sign(&transcript).to_vec(),
        possession_signature: keys.signing.sign(&transcript).to_vec(),
        addresses,
        data_ipv6,
    }
}

/// The coordinator's table: whom it waits for, who has come.
#[derive(Debug)]
pub struct Admission {
    run: RunId,
    expected: BTreeMap<NodeId, Expected>,
    /// Whose an expected address is.
    held: BTreeMap<IpAddr, NodeId>,
    members: BTreeMap<NodeId, Member>,
    by_tls_key: BTreeMap<[u8; 32], NodeId>,
    refused: u64,
}

impl Admission {
    /// A table for the nodes of a run. Of two entries for one node the later counts.
    pub fn new(run: RunId, expected: Vec<Expected>) -> Self {
        let held = expected
            .iter()
            .flat_map(|expected| expected.held().map(|address| (address, expected.node)))
            .collect();
        Self {
            run,
            held,
            expected: expected
                .into_iter()
                .map(|expected| (expected.node, expected))
                .collect(),
            members: BTreeMap::new(),
            by_tls_key: BTreeMap::new(),
            refused: 0,
        }
    }

    /// Judges a claim. A probe whose answer got lost may claim again with the same three keys and is let in again; anybody
    /// else finds the string used.
    ///
    /// `exporter` and `tls_key_sha256` are those of the coordinator's own end of the session.
    ///
    /// # Errors
    /// If the claim is refused; nothing changes then but the count of refusals.
    pub fn admit(
        &mut self,
        now_unix_s: u64,
        came_from: CameFrom,
        exporter: &[u8; 32],
        tls_key_sha256: &[u8; 32],
        claim: &Claim,
    ) -> Result<Member, JoinRefused> {
        let judged = self.judge(now_unix_s, came_from, exporter, tls_key_sha256, claim);
        match &judged {
            Ok(member) => {
                self.by_tls_key.insert(*tls_key_sha256, member.node);
                self.members.insert(member.node, member.clone());
            }
            Err(_) => self.refused = self.refused.saturating_add(1),
        }
        judged
    }

    /// The node that enrolled with this TLS key, if one did.
    pub fn is_member(&self, tls_key_sha256: &[u8; 32]) -> Option<NodeId> {
        self.by_tls_key.get(tls_key_sha256).copied()
    }

    /// Who has joined, ascending.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// Who is still waited for, ascending.
    pub fn missing(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.expected
            .keys()
            .filter(|node| !self.members.contains_key(node))
            .copied()
    }

    /// How many claims were refused.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn judge(
        &self,
        now_unix_s: u64,
        came_from: CameFrom,
        exporter: &[u8; 32],
        tls_key_sha256: &[u8; 32],
        claim: &Claim,
    ) -> Result<Member, JoinRefused> {
        if claim.protocol != PROTOCOL {
            return Err(JoinRefused::Protocol {
                theirs: claim.protocol,
            });
        }
        if claim.run != self.run.as_str() {
            return Err(JoinRefused::OtherRun);
        }
        let expected = self.expected_node(&claim.node)?;
        let node = expected.node;
        expected.origin.admits(node, came_from)?;

        let point = <[u8; SIGNING_KEY_LEN]>::try_from(claim.signing_key.as_slice()).ok();
        let signing_key = point.and_then(|point| VerifyingKey::from_point(&point).ok());
        let signing_key = signing_key.ok_or_else(|| bad_key(node, KeyKind::Signing, KeyFault::Malformed))?;
        let agreement_key = <[u8; 32]>::try_from(claim.agreement_key.as_slice()).ok();
        let agreement_key = agreement_key.filter(AgreementKey::contributes);
        let agreement_key =
            agreement_key.ok_or_else(|| bad_key(node, KeyKind::Agreement, KeyFault::Malformed))?;
        let addresses = self.addresses(node, &claim.addresses);
        let is_admitted = |address: &Ipv6Addr| addresses.contains(&IpAddr::V6(*address));
        let member = Member {
            node,
            data_ipv6: claim.data_ipv6.filter(is_admitted),
            addresses,
            tls_key_sha256: hex::encode(tls_key_sha256),
            signing_key: signing_key.point_hex(),
            agreement_key: hex::encode(&agreement_key),
        };

        match self.members.get(&node) {
            Some(present) if !same_keys(present, &member) => return Err(JoinRefused::AlreadyUsed { node }),
            Some(_) => {}
            None if now_unix_s >= expected.expires_unix_s => {
                return Err(JoinRefused::Expired {
                    node,
                    ago_s: now_unix_s - expected.expires_unix_s,
                });
            }
            None => {}
        }
        self.keys_are_its_own(&member)?;

        let transcript = transcript(
            exporter,
            &self.run,
            node,
            tls_key_sha256,
            &signing_key.point(),
            &agreement_key,
        );
        if !expected
            .one_time_public
            .verify(&transcript, &claim.one_time_signature)
        {
            return Err(JoinRefused::BadProof {
                node,
                which: KeyKind::OneTime,
            });
        }
        if signing_key
            .verify(&transcript, &claim.possession_signature)
            .is_err()
        {
            return Err(JoinRefused::BadProof {
                node,
                which: KeyKind::Signing,
            });
        }
        Ok(self.members.get(&node).cloned().unwrap_or(member))
    }

    fn expected_node(&self, claimed: &str) -> Result<&Expected, JoinRefused> {
        // The text must be how we write the node: a second spelling would sign another transcript anyway.
        claimed
            .parse::<NodeId>()
            .ok()
            .filter(|node| node.to_string() == claimed)
            .and_then(|node| self.expected.get(&node))
            .ok_or_else(|| JoinRefused::UnknownNode {
                node: claimed.chars().take(MAX_QUOTED).collect(),
            })
    }

    fn keys_are_its_own(&self, member: &Member) -> Result<(), JoinRefused> {
        for other in self.members.values().filter(|other| other.node != member.node) {
            let taken = [
                (KeyKind::Tls, other.tls_key_sha256 == member.tls_key_sha256),
                (KeyKind::Signing, other.signing_key == member.signing_key),
                (KeyKind::Agreement, other.agreement_key == member.agreement_key),
            ];
            if let Some((which, _)) = taken.into_iter().find(|(_, taken)| *taken) {
                return Err(bad_key(member.node, which, KeyFault::Taken));
            }
        }
        Ok(())
    }

    /// The member's addresses: its data address first, then what it says of itself, without what cannot be a host's and what
    /// is expected to be another node's (a probe must not draw others' traffic upon a third).
    fn addresses(&self, node: NodeId, claimed: &[IpAddr]) -> Vec<IpAddr> {
        let mut addresses: Vec<IpAddr> = node.address().into_iter().collect();
        for address in claimed.iter().map(IpAddr::to_canonical) {
            let another_node = self.held.get(&address).is_some_and(|holder| *holder != node);
            if addresses.len() < MAX_MEMBER_ADDRESSES
                && is_a_hosts(address)
                && !another_node
                && !addresses.contains(&address)
            {
                addresses.push(address);
            }
        }
        addresses
    }
}

impl Expected {
    /// The addresses that are this node's and nobody else's.
    fn held(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let from = match &self.origin {
            Origin::Addresses(addresses) => addresses.as_slice(),
            Origin::ThisMachine(_) => &[],
        };
        from.iter().map(IpAddr::to_canonical).chain(self.node.address())
    }
}

impl Origin {
    fn admits(&self, node: NodeId, came_from: CameFrom) -> Result<(), JoinRefused> {
        let admitted = match (self, came_from) {
            (_, CameFrom::OwnStream(to)) => to == node,
            (Self::Addresses(allowed), CameFrom::Address(peer)) => contains(allowed, peer),
            (Self::ThisMachine(own), CameFrom::Address(peer)) => {
                peer.to_canonical().is_loopback() || contains(own, peer)
            }
        };
        if admitted {
            return Ok(());
        }
        let peer = match came_from {
            CameFrom::Address(peer) => peer.to_canonical().to_string(),
            CameFrom::OwnStream(to) => format!("the stream to node {to}"),
        };
        Err(JoinRefused::FromElsewhere {
            node,
            peer,
            allowed: self.to_string(),
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses(addresses) => f.write_str(
                // Most nodes are reached by SSH at their data address, and one address is said once.
                &addresses
                    .iter()
                    .enumerate()
                    .filter(|(at, address)| !addresses[..*at].contains(address))
                    .map(|(_, address)| address.to_string())
                    .collect::<Vec<_>>()
                    .join(" or "),
            ),
            Self::ThisMachine(_) => f.write_str("the coordinator's own machine"),
        }
    }
}

fn same_keys(a: &Member, b: &Member) -> bool {
    a.tls_key_sha256 == b.tls_key_sha256
        && a.signing_key == b.signing_key
        && a.agreement_key == b.agreement_key
}

fn bad_key(node: NodeId, which: KeyKind, fault: KeyFault) -> JoinRefused {
    JoinRefused::BadKey { node, which, fault }
}

fn contains(addresses: &[IpAddr], peer: IpAddr) -> bool {
    // A dual-stack listener sees an IPv4 peer as ::ffff:a.b.c.d.
    addresses
        .iter()
        .any(|address| address.to_canonical() == peer.to_canonical())
}

/// Whether a host of a cluster can have this address. What a probe's guard never takes for a peer's must not get in here: on
/// the roster it would make every probe refuse the whole roster.
fn is_a_hosts(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !matches!(address.octets(), [0 | 127 | 224.., ..] | [169, 254, ..]),
        IpAddr::V6(address) => {
            let metadata = address.segments() == [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254];
            let special = address.is_unspecified() || address.is_loopback() || address.is_multicast();
            !(metadata || special || address.is_unicast_link_local())
        }
    }
}

/// Separates this use of the signing keys from every other: no DSSE or SSH signature starts with it.
const DOMAIN: &[u8] = b"plumbline-join-v1\0";

/// A host with more global addresses than this reports the first ones.
const MAX_MEMBER_ADDRESSES: usize = 32;

/// Characters of a claimed node name that are quoted back: it comes from anybody.
const MAX_QUOTED: usize = 64;

#[cfg(test)]
mod tests;
