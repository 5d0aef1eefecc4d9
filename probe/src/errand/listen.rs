//! SKELETON

use std::time::Duration;

use plumbline_model::observation::{Record, UndoneWhy};

use super::{Post, Stop};

/// SKELETON
pub(super) struct Listening;

/// SKELETON
pub(super) fn open(_post: &Post) -> Result<Listening, UndoneWhy> {
    Ok(Listening)
}

impl Listening {
    /// SKELETON
    pub(super) fn until(self, stop: &Stop) -> Vec<Record> {
        while !stop.is_asked_for() {
            std::thread::sleep(Duration::from_millis(50));
        }
        Vec::new()
    }
}
