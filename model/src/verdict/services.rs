//! What a live node serves of its own accord.

use std::net::IpAddr;

use crate::{
    observation::HostFacts,
    port::{PortSet, Protocol},
};

/// The ports at an address that somebody serves on this host: NodePorts of Services, and sockets that wait at the address or
/// at all addresses. Of a range that only Services serve, a live node's other ports are neither tested nor missed.
pub fn served_ports(facts: &HostFacts, address: IpAddr, protocol: Protocol) -> PortSet {
    let mut ports = PortSet::new();
    for node_ports in facts.node_ports.iter().filter(|own| own.protocol == protocol) {
        ports.extend(&node_ports.ports);
    }
    // A socket at `::` takes IPv4 connections, too, unless it says otherwise, which no table tells.
    let waits_there =
        |at: IpAddr| at == address || at.is_unspecified() && (at.is_ipv6() || address.is_ipv4());
    let own = facts.listeners.iter().filter(|own| own.protocol == protocol);
    for listener in own.filter(|own| waits_there(own.address)) {
        ports.extend(&listener.ports);
    }
    ports
}
