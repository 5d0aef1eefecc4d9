//! Checks of layer 2.

pub(super) mod answers;
pub(super) mod device;
pub(super) mod duplicate;
