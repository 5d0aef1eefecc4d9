//! SKELETON

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Commission, Errands};
use crate::id::NodeId;

/// SKELETON
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkErrand {}

/// SKELETON
pub(super) fn plan(_commission: &Commission<'_>, _errands: &mut Errands) {}

impl LinkErrand {
    /// Takes out members who are left out.
    pub(super) fn leave_out(&mut self, _left_out: &BTreeSet<NodeId>) {}
}

/// Gateways of a family that a node asks for at most.
pub const GATEWAYS: usize = 4;
