//! Two hosts and the virtual cable between them: this network namespace and another, joined by a veth pair.

use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr},
    os::fd::AsFd,
};

use plumbline_sys::{
    ns::{self, NetNs},
    route::{Network, VethPeer},
};

/// The address on this side.
pub const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));
/// The address on the other side.
pub const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2));
/// The core of whoever asks, as taskset names it.
pub const CLIENT_CORE: &str = "0";
/// The core of whoever answers.
pub const SERVER_CORE: &str = "1";

/// Lays a cable from a private network of this process to the namespace that is returned. The process must have one thread.
///
/// # Errors
/// What the kernel refuses.
pub fn lay() -> Result<NetNs, Box<dyn Error + Send + Sync>> {
    ns::enter_private_network()?;
    let there = NetNs::create()?;
    let end = VethPeer {
        name: CABLE,
        namespace: there.as_fd(),
    };
    Network::open()?.add_veth(CABLE, None, end)?;
    plug(CLIENT)?;
    there.run(|| plug(SERVER))??;
    Ok(there)
}

fn plug(address: IpAddr) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut network = Network::open()?;
    let link = network.link(CABLE)?.ok_or("the cable has just been made")?.index;
    network.add_address(link, address, 24)?;
    network.set_up("lo", true)?;
    network.set_up(CABLE, true)?;
    Ok(())
}

/// The device's name on both ends.
const CABLE: &str = "cable";
