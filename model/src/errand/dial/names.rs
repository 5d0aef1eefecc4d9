//! Questions for name servers: each of a node's own and each that the inputs name is asked for the node's own name, the question that
//! makes sense everywhere. What it is called, and whether it is called anything, is told; that somebody answers is what counts.

use std::{fmt::Write as _, net::IpAddr};

use super::{Question, RecordType};
use crate::{
    errand::{Commission, DialTarget},
    evidence::Group,
    id::NodeId,
};

/// What a participant asks of name servers.
pub(super) fn add(commission: &Commission<'_>, participant: NodeId, targets: &mut Vec<DialTarget>) {
    let node = commission
        .inventory
        .node(participant)
        .and_then(|node| node.id.address());
    let Some(address) = node.filter(|_| commission.asks_for(Group::L3)) else {
        return;
    };
    let given = commission
        .inventory
        .outward
        .name_servers
        .iter()
        .copied()
        .map(Some);
    for server in std::iter::once(None).chain(given.take(MAX_GIVEN)) {
        targets.push(DialTarget::Question(Question {
            server,
            name: reverse_name(address),
            record: RecordType::Ptr,
        }));
    }
}

/// The name under which an address is asked for its name (RFC 1035 section 3.5, RFC 3596 section 2.5).
fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let mut name = String::with_capacity(72);
            for octet in address.octets().iter().rev() {
                // Writing to a string does not fail.
                let _ = write!(name, "{:x}.{:x}.", octet & 15, octet >> 4);
            }
            name + "ip6.arpa"
        }
    }
}

/// Name servers that the inputs name and that are asked: hosts have three at most.
const MAX_GIVEN: usize = 6;
