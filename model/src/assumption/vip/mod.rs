//! Checks of VIPs.

pub(super) mod failover;
mod turn;
pub(super) mod usable;
