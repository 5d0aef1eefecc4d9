//! A router that speaks BGP.

use plumbline_model::{errand::PeerTarget, observation::Dialled};

use crate::errand::Stop;

/// Connects to a router.
pub(super) fn connect(_peer: &PeerTarget, _stop: &Stop) -> Option<Dialled> {
    None
}
