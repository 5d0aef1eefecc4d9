//! The errand of asking on the link.

use plumbline_model::errand::{LinkErrand, MAX_LINK_ADDRESSES, MAX_LINK_PEERS};

use super::super::{
    FieldError, Invalid, Roster,
    assignment::{index_of, node_at},
    at_most, sanitised,
};
use crate::v1;

/// On the wire.
///
/// # Errors
/// If a member is not on the roster.
pub(super) fn wire_link(errand: &LinkErrand, roster: &Roster) -> Result<v1::Link, Invalid> {
    let peers = errand.peers.iter();
    Ok(v1::Link {
        peers: peers
            .map(|peer| index_of("link.peers", *peer, roster))
            .collect::<Result<_, _>>()?,
        addresses: errand.addresses.iter().map(ToString::to_string).collect(),
    })
}

/// Off the wire. Order and uniqueness make no difference to what may be sent: that is bounded by number.
///
/// # Errors
/// If there are too many, a member is not on the roster, or an address is none.
pub(super) fn link(wire: &v1::Link, roster: &Roster) -> Result<LinkErrand, Invalid> {
    at_most("link.peers", wire.peers.len(), MAX_LINK_PEERS)?;
    at_most("link.addresses", wire.addresses.len(), MAX_LINK_ADDRESSES)?;
    let peers = (0..)
        .zip(&wire.peers)
        .map(|(at, index): (usize, _)| node_at(&format!("link.peers[{at}]"), *index, roster));
    let addresses = (0..).zip(&wire.addresses).map(|(at, text): (usize, _)| {
        text.parse().map_err(|_| {
            FieldError::Malformed(format!("{:?} is no address", sanitised(text)))
                .at(format!("link.addresses[{at}]"))
        })
    });
    Ok(LinkErrand {
        peers: peers.collect::<Result<_, _>>()?,
        addresses: addresses.collect::<Result<_, _>>()?,
    })
}
