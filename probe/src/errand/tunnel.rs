//! SKELETON

use plumbline_model::{errand::TunnelErrand, observation::Record};

use super::{Post, Stop};

/// SKELETON
pub(super) fn send(_errand: &TunnelErrand, _post: &Post, _stop: &Stop) -> Vec<Record> {
    Vec::new()
}
