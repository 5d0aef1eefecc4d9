//! Checks of what interfaces, paths and tunnels carry.
//!
//! One limit on the way is one cause, whichever check comes upon it: `limits` finds the places once for all of them, and what
//! they say of a place is the same sentence.

pub(super) mod flows;
pub(super) mod fragments;
pub(super) mod interfaces;
mod limits;
mod overhead;
pub(super) mod overlay;
pub(super) mod path;
pub(super) mod told;
pub(super) mod transfer;

#[cfg(test)]
mod tests;
