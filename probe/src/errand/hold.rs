//! SKELETON

use plumbline_model::{errand::HoldErrand, observation::Record};

use super::{Post, Stop};

/// SKELETON
pub(super) fn hold(_errand: &HoldErrand, _post: &Post, _stop: &Stop) -> Vec<Record> {
    Vec::new()
}
