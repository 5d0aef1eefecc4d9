//! Questions for name servers.

use crate::{
    errand::{Commission, DialTarget},
    id::NodeId,
};

/// What a participant asks of name servers.
pub(super) fn add(_commission: &Commission<'_>, _participant: NodeId, _targets: &mut Vec<DialTarget>) {}
