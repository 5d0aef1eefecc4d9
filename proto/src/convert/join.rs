//! Enrolment: what is shown, and what it is answered with. Proofs are checked by `plumbline_identity::enrol`.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use plumbline_model::id::{NodeId, RunId};

use super::{FieldError, Invalid, at_most, bytes, in_range, lease, sanitised, wire_ms};
use crate::{PROTOCOL, limits, v1};

/// A request to be let in. Its form is right; nothing in it is proven yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// The run.
    pub run: RunId,
    /// Who it claims to be.
    pub node: NodeId,
    /// P-256 signing key, SEC1 uncompressed.
    pub signing_key: [u8; 65],
    /// X25519 public key.
    pub agreement_key: [u8; 32],
    /// The one-time key's signature over the transcript.
    pub one_time_signature: [u8; 64],
    /// The signing key's signature over the same transcript.
    pub possession_signature: [u8; 64],
    /// The probe's version, fit to be shown.
    pub probe_version: String,
    /// Global addresses of the host, as it claims.
    pub addresses: Vec<IpAddr>,
    /// The IPv6 address of its data interface, as it claims.
    pub data_ipv6: Option<Ipv6Addr>,
}

/// The answer to a good [`Join`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinAccepted {
    /// How long a session may be silent before the probe is given up.
    pub lease: Duration,
}

impl TryFrom<v1::JoinRequest> for Join {
    type Error = Invalid;

    fn try_from(wire: v1::JoinRequest) -> Result<Self, Invalid> {
        in_range("protocol", wire.protocol, PROTOCOL, PROTOCOL)?;
        at_most("addresses", wire.addresses.len(), limits::MAX_ADDRESSES)?;
        let addresses = wire
            .addresses
            .iter()
            .enumerate()
            .map(|(index, text)| {
                text.parse().map_err(|_| {
                    FieldError::Malformed(format!("{:?} is no address", sanitised(text)))
                        .at(format!("addresses[{index}]"))
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            run: run(&wire.run)?,
            node: node(&wire.node)?,
            signing_key: bytes("signing_key", &wire.signing_key)?,
            agreement_key: bytes("agreement_key", &wire.agreement_key)?,
            one_time_signature: bytes("one_time_signature", &wire.one_time_signature)?,
            possession_signature: bytes("possession_signature", &wire.possession_signature)?,
            probe_version: sanitised(&wire.probe_version),
            addresses,
            data_ipv6: data_ipv6(&wire.data_ipv6)?,
        })
    }
}

fn data_ipv6(text: &str) -> Result<Option<Ipv6Addr>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = text.parse().map(Some);
    parsed.map_err(|_| {
        FieldError::Malformed(format!("{:?} is no IPv6 address", sanitised(text))).at("data_ipv6".to_owned())
    })
}

impl From<Join> for v1::JoinRequest {
    fn from(join: Join) -> Self {
        Self {
            protocol: PROTOCOL,
            run: join.run.to_string(),
            node: join.node.to_string(),
            signing_key: join.signing_key.to_vec(),
            agreement_key: join.agreement_key.to_vec(),
            one_time_signature: join.one_time_signature.to_vec(),
            possession_signature: join.possession_signature.to_vec(),
            probe_version: join.probe_version,
            addresses: join.addresses.iter().map(ToString::to_string).collect(),
            data_ipv6: join
                .data_ipv6
                .map_or_else(String::new, |address| address.to_string()),
        }
    }
}

impl TryFrom<v1::JoinReply> for JoinAccepted {
    type Error = Invalid;

    fn try_from(wire: v1::JoinReply) -> Result<Self, Invalid> {
        Ok(Self {
            lease: lease("lease_ms", wire.lease_ms)?,
        })
    }
}

impl From<JoinAccepted> for v1::JoinReply {
    fn from(accepted: JoinAccepted) -> Self {
        Self {
            lease_ms: wire_ms(accepted.lease),
        }
    }
}

pub(super) fn run(text: &str) -> Result<RunId, Invalid> {
    // The text is a stranger's: it is cut and cleaned before it can reach a log.
    text.parse()
        .map_err(|_| FieldError::Malformed(format!("{:?} is no run id", sanitised(text))).at("run"))
}

pub(super) fn node(text: &str) -> Result<NodeId, Invalid> {
    text.parse()
        .map_err(|_| FieldError::Malformed(format!("{:?} is no node id", sanitised(text))).at("node"))
}
