//! Making a topology real: namespaces, cables, bridges, addresses, routes.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    os::fd::AsFd,
    thread,
    time::{Duration, Instant},
};

use plumbline_sys::{
    ns::{self, NetNs},
    route::{Link, Network, OperState, Route, RouteTarget, VethPeer},
};

use crate::{LabError, Subnet, Topology};

/// The namespaces of a lab that is up.
#[derive(Debug)]
pub(crate) struct Wiring {
    /// One for each subnet, in the topology's order.
    pub(crate) switches: Vec<NetNs>,
    pub(crate) router: NetNs,
    pub(crate) hosts: BTreeMap<Ipv4Addr, NetNs>,
}

impl Wiring {
    /// Builds everything, with the workstation's end of its cable in `admin`.
    pub(crate) fn build(topology: &Topology, admin: &NetNs) -> Result<Self, LabError> {
        let router = namespace(ROUTER_SETTINGS)?;
        let mut switches = Vec::new();
        let mut hosts = BTreeMap::new();
        for (index, subnet) in topology.subnets().iter().enumerate() {
            let switch = namespace(SWITCH_SETTINGS)?;
            for host in topology.hosts_of(subnet) {
                hosts.insert(host.address, namespace(HOST_SETTINGS)?);
            }
            inside(&switch, |network| {
                plug(network, topology, subnet, &router, index, &hosts)
            })?;
            switches.push(switch);
        }
        inside(admin, |network| {
            network.set_up("lo", true)?;
            cable(network, 0, ADMIN_DEVICE, (&router, ROUTER_ADMIN_LEG))
        })?;
        let wiring = Self {
            switches,
            router,
            hosts,
        };
        wiring.address(topology, admin)?;
        wiring.wait_for_carriers(admin)?;
        Ok(wiring)
    }

    /// Devices carry nothing until the kernel has noticed, in the background, that their cable is plugged in at both ends.
    fn wait_for_carriers(&self, admin: &NetNs) -> Result<(), LabError> {
        let started = Instant::now();
        for namespace in self
            .switches
            .iter()
            .chain(self.hosts.values())
            .chain([&self.router, admin])
        {
            let waiting = inside(namespace, |network| {
                loop {
                    let links = network.links()?;
                    let waiting = links.into_iter().find(waits);
                    if waiting.is_none() || started.elapsed() > CARRIER_PATIENCE {
                        return Ok(waiting);
                    }
                    thread::sleep(CARRIER_POLL);
                }
            })?;
            if let Some(link) = waiting {
                return Err(LabError::NoCarrier { device: link.name });
            }
        }
        Ok(())
    }

    fn address(&self, topology: &Topology, admin: &NetNs) -> Result<(), LabError> {
        let leg = topology.admin();
        inside(&self.router, |network| {
            network.set_up("lo", true)?;
            for (index, subnet) in topology.subnets().iter().enumerate() {
                configure(
                    network,
                    &router_leg(index),
                    subnet.gateway,
                    subnet.network.prefix_len(),
                )?;
            }
            configure(network, ROUTER_ADMIN_LEG, leg.gateway, leg.network.prefix_len())
        })?;
        inside(admin, |network| {
            configure(network, ADMIN_DEVICE, leg.address, leg.network.prefix_len())?;
            network.add_route(default_route(leg.gateway))
        })?;
        for subnet in topology.subnets() {
            for host in topology.hosts_of(subnet) {
                let Some(namespace) = self.hosts.get(&host.address) else {
                    continue;
                };
                inside(namespace, |network| {
                    network.set_up("lo", true)?;
                    configure(network, HOST_DEVICE, host.address, subnet.network.prefix_len())?;
                    network.add_route(default_route(subnet.gateway))
                })?;
            }
        }
        Ok(())
    }
}

/// Removes the workstation's cable, so that the next lab finds the name free at once: namespaces go in the background.
pub(crate) fn unplug_admin(admin: &NetNs) -> Result<(), LabError> {
    inside(admin, |network| network.delete_link(ADMIN_DEVICE))
}

/// The router's device in the subnet of this index.
pub(crate) fn router_leg(index: usize) -> String {
    format!("net{index}")
}

/// The bridge of a subnet with a port for its router and each of its hosts.
fn plug(
    network: &mut Network,
    topology: &Topology,
    subnet: &Subnet,
    router: &NetNs,
    leg_index: usize,
    hosts: &BTreeMap<Ipv4Addr, NetNs>,
) -> Result<(), plumbline_sys::route::Error> {
    let leg = &router_leg(leg_index);
    network.add_bridge(BRIDGE)?;
    network.set_up(BRIDGE, true)?;
    let Some(bridge) = network.link(BRIDGE)? else {
        return Ok(());
    };
    let mut port = |position: usize, name: &str, far: (&NetNs, &str)| {
        cable(network, position, name, far)?;
        network.set_master(name, bridge.index)?;
        network.set_up(name, true)
    };
    port(0, SWITCH_ROUTER_PORT, (router, leg))?;
    for (index, host) in topology.hosts_of(subnet).enumerate() {
        let Some(namespace) = hosts.get(&host.address) else {
            continue;
        };
        port(index + 1, &switch_port(host.address), (namespace, HOST_DEVICE))?;
    }
    Ok(())
}

/// Whether a device of the lab does not work yet. A bridge's own device has no address and need not; its ports do.
fn waits(link: &Link) -> bool {
    link.kind.as_deref() == Some("veth") && link.state != OperState::Up
}

/// A cable from here to another namespace.
///
/// The index of its near end is one that far ends never have: where the two are equal by chance, the kernel takes the device
/// for one without a peer and lets up to a second pass before it believes in the carrier.
fn cable(
    network: &mut Network,
    position: usize,
    near: &str,
    (namespace, far): (&NetNs, &str),
) -> Result<(), plumbline_sys::route::Error> {
    let index = u32::try_from(position)
        .ok()
        .and_then(|position| FIRST_NEAR_INDEX.checked_add(position));
    network.add_veth(
        near,
        index,
        VethPeer {
            name: far,
            namespace: namespace.as_fd(),
        },
    )
}

/// A host's port at its switch; the address makes the name (device names have at most 15 octets).
pub(crate) fn switch_port(host: Ipv4Addr) -> String {
    format!("h{:08x}", host.to_bits())
}

fn configure(
    network: &mut Network,
    device: &str,
    address: Ipv4Addr,
    prefix: u8,
) -> Result<(), plumbline_sys::route::Error> {
    network.set_up(device, true)?;
    let Some(link) = network.link(device)? else {
        return Ok(());
    };
    network.add_address(link.index, IpAddr::V4(address), prefix)
}

fn default_route(gateway: Ipv4Addr) -> Route {
    Route {
        network: Ipv4Addr::UNSPECIFIED.into(),
        prefix: 0,
        target: RouteTarget::Via(gateway.into()),
    }
}

/// Does work on a namespace's devices and routes.
pub(crate) fn inside<T: Send>(
    namespace: &NetNs,
    work: impl FnOnce(&mut Network) -> Result<T, plumbline_sys::route::Error> + Send,
) -> Result<T, LabError> {
    namespace
        .run(|| Network::open().and_then(|mut network| work(&mut network)))
        .map_err(LabError::Namespace)?
        .map_err(LabError::Wire)
}

/// A namespace with settings that its devices will be made with.
fn namespace(settings: &[Setting]) -> Result<NetNs, LabError> {
    let namespace = NetNs::create().map_err(LabError::Namespace)?;
    let apply = || -> Result<(), ns::Error> {
        for setting in QUIET_SETTINGS.iter().chain(settings) {
            let outcome = ns::set_sysctl(setting.name, setting.value);
            if setting.required {
                outcome?;
            }
        }
        Ok(())
    };
    namespace
        .run(apply)
        .and_then(|applied| applied)
        .map_err(LabError::Namespace)?;
    Ok(namespace)
}

struct Setting {
    name: &'static str,
    value: &'static str,
    /// Others may be missing: an older kernel, one without IPv6, a module that is not loaded.
    required: bool,
}

const fn required(name: &'static str, value: &'static str) -> Setting {
    Setting {
        name,
        value,
        required: true,
    }
}

const fn wished(name: &'static str, value: &'static str) -> Setting {
    Setting {
        name,
        value,
        required: false,
    }
}

/// For every namespace. New ones copy some IPv4 settings of the machine, which must not change what a lab finds.
const QUIET_SETTINGS: &[Setting] = &[
    required("net/ipv4/conf/all/rp_filter", "0"),
    required("net/ipv4/conf/default/rp_filter", "0"),
    required("net/ipv4/conf/all/send_redirects", "0"),
    required("net/ipv4/conf/default/send_redirects", "0"),
    // No link-local address, and so no duplicate address detection, router solicitation or multicast reports.
    wished("net/ipv6/conf/default/addr_gen_mode", "1"),
    wished("net/ipv6/conf/default/accept_ra", "0"),
];
const ROUTER_SETTINGS: &[Setting] = &[
    required("net/ipv4/ip_forward", "1"),
    wished("net/ipv6/conf/all/forwarding", "1"),
    // By default one ICMP error a second for each destination: a reject would look like a drop.
    required("net/ipv4/icmp_ratelimit", "0"),
    required("net/ipv4/icmp_ratemask", "0"),
    wished("net/ipv6/icmp/ratelimit", "0"),
];
const HOST_SETTINGS: &[Setting] = &[required("net/ipv4/ip_forward", "0")];
const SWITCH_SETTINGS: &[Setting] = &[
    // Frames stay out of the packet filter, even where the module that would put them through it is loaded.
    wished("net/bridge/bridge-nf-call-iptables", "0"),
    wished("net/bridge/bridge-nf-call-ip6tables", "0"),
    wished("net/bridge/bridge-nf-call-arptables", "0"),
    wished("net/ipv6/conf/default/disable_ipv6", "1"),
];

/// Above the number of legs that a router can have.
const FIRST_NEAR_INDEX: u32 = 2048;
/// The kernel batches carrier changes for at most a second; several on a machine that has better things to do.
const CARRIER_PATIENCE: Duration = Duration::from_secs(10);
/// Carriers usually are there at the first look.
const CARRIER_POLL: Duration = Duration::from_millis(2);

pub(crate) const HOST_DEVICE: &str = "eth0";
const ADMIN_DEVICE: &str = "lab0";
const ROUTER_ADMIN_LEG: &str = "admin";
const SWITCH_ROUTER_PORT: &str = "router";
const BRIDGE: &str = "br0";
