//! Checks of what a host brings along.

pub(super) mod clock;
pub(super) mod reverse_path;
