//! Checks of what paths and tunnels carry.

pub(super) mod transfer;
