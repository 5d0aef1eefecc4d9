//! SKELETON

use plumbline_model::{errand::PathErrand, observation::Record};

use super::{Post, Stop};

/// SKELETON
pub(super) fn measure(_errand: &PathErrand, _post: &Post, _stop: &Stop) -> Vec<Record> {
    Vec::new()
}
