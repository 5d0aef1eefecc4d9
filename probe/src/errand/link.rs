//! SKELETON

use plumbline_model::{errand::LinkErrand, observation::Record};

use super::{Post, Stop};

/// SKELETON
pub(super) fn ask(_errand: &LinkErrand, _post: &Post, _stop: &Stop) -> Vec<Record> {
    Vec::new()
}
