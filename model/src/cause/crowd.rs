//! Holders of ports that are too many to be told of one by one. A node that takes every port, or whose probe says so, is one
//! thing to look at, and not a thousand.

use std::collections::BTreeMap;

use super::blame::{Local, Tests};
use crate::id::NodeId;

/// Puts the holders of a node's ports together where they are more than [`MAX_HOLDERS`].
pub(super) fn join_holders(causes: &mut BTreeMap<Local, Tests>) {
    let mut holders: BTreeMap<NodeId, usize> = BTreeMap::new();
    for local in causes.keys() {
        if let Local::PortTaken { node, .. } = local {
            *holders.entry(*node).or_default() += 1;
        }
    }
    holders.retain(|_, count| *count > MAX_HOLDERS);
    for (local, tests) in std::mem::take(causes) {
        let key = match local {
            Local::PortTaken { node, .. } if let Some(count) = holders.get(&node) => Local::PortsTaken {
                node,
                holders: *count,
            },
            alone => alone,
        };
        causes.entry(key).or_default().merge(&tests);
    }
}

/// Holders of one node's ports that each have a finding: as many as an installed cluster has on a control plane, twice.
const MAX_HOLDERS: usize = 16;
