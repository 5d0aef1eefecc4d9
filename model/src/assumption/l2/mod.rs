//! Checks of layer 2.

pub(super) mod adjacent;
mod apart;
pub(super) mod counters;
pub(super) mod device;
pub(super) mod domain;
pub(super) mod duplicate;
pub(super) mod flux;
pub(super) mod gateway;
mod identity;
pub(super) mod neighbors;
pub(super) mod proxy;
pub(super) mod same_mac;
mod survey;
pub(super) mod virtual_router;

pub(super) use self::survey::{Survey, cut_short, data_interface, lacking};

#[cfg(test)]
mod tests;
