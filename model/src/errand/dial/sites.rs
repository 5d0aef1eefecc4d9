//! Servers outside that installation and operation need.

use crate::{
    errand::{Commission, DialTarget},
    id::NodeId,
};

/// The sites that a participant connects to.
pub(super) fn add(_commission: &Commission<'_>, _participant: NodeId, _targets: &mut Vec<DialTarget>) {}
