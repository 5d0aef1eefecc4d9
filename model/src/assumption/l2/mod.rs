//! Checks of layer 2.

pub(super) mod device;
pub(super) mod duplicate;
pub(super) mod survey;

#[cfg(test)]
mod tests;
