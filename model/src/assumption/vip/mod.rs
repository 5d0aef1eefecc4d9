//! Checks of VIPs.

pub(super) mod failover;
pub(super) mod free;
mod turn;
pub(super) mod usable;
