//! Checks of layer 3: reach by ICMP, translation, hops.

pub(super) mod bgp;
pub(super) mod default_route;
pub(super) mod echo;
pub(super) mod hops;
pub(super) mod name_servers;
pub(super) mod pod_routes;
pub(super) mod translation;

#[cfg(test)]
mod tests;
