//! What a live node serves of its own accord.

use std::net::IpAddr;

use crate::{
    observation::HostFacts,
    port::{Family, PortSet, Protocol},
};

/// The ports at an address that somebody serves on this host: NodePorts of Services, and sockets that wait at the address or
/// at all addresses. Of a range that only Services serve, a live node's other ports are neither tested nor missed.
pub fn served_ports(facts: &HostFacts, address: IpAddr, protocol: Protocol) -> PortSet {
    let mut ports = PortSet::new();
    let transport = (Family::of(address), protocol);
    let node_ports = facts.node_ports.iter();
    for own in node_ports.filter(|own| (own.family, own.protocol) == transport) {
        ports.extend(&own.ports);
    }
    // A socket that serves both families stands at the unspecified address of each.
    let waits_there = |at: IpAddr| at == address || at.is_unspecified() && at.is_ipv4() == address.is_ipv4();
    let own = facts.listeners.iter().filter(|own| own.protocol == protocol);
    for listener in own.filter(|own| waits_there(own.address)) {
        ports.extend(&listener.ports);
    }
    ports
}
