//! Checks of VIPs.

pub(super) mod failover;
pub(super) mod free;
pub(super) mod on_link;
pub(super) mod single;
mod turn;
pub(super) mod usable;

pub(super) use self::{free::balances, free::tells as tells_taken, single::tells as tells_several};
