//! SKELETON

use plumbline_model::{errand::DialErrand, observation::Record};

use super::{Post, Stop};

/// SKELETON
pub(super) fn dial(_errand: &DialErrand, _post: &Post, _stop: &Stop) -> Vec<Record> {
    Vec::new()
}
