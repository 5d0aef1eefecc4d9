//! Making a topology real: namespaces, cables, bridges, addresses, routes.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsFd,
    thread,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use plumbline_model::port::Family;
use plumbline_sys::{
    ns::NetNs,
    route::{self, Link, Network, OperState, Route, RouteTarget, Scope, VethPeer},
};

use crate::{LabError, Topology};

mod settings;

use settings::Kind;

/// The namespaces of a lab that is up.
#[derive(Debug)]
pub(crate) struct Wiring {
    /// One for each subnet, in the topology's order, then one for each further network.
    pub(crate) switches: Vec<NetNs>,
    pub(crate) router: NetNs,
    pub(crate) hosts: BTreeMap<IpAddr, NetNs>,
}

impl Wiring {
    /// Builds everything, with the workstation's end of its cable in `admin`.
    pub(crate) fn build(topology: &Topology, admin: &NetNs) -> Result<Self, LabError> {
        let ipv6 = topology.speaks(Family::Ipv6);
        let make = |kind| settings::namespace(kind, ipv6).map_err(LabError::Namespace);
        let router = make(Kind::Router)?;
        let mut hosts = BTreeMap::new();
        for host in topology.hosts() {
            hosts.insert(host.address, make(Kind::Host)?);
        }
        let mut switches = Vec::new();
        for switch in switch_plans(topology) {
            let namespace = make(Kind::Switch)?;
            inside(&namespace, |network| plug_all(network, &switch, &router, &hosts))?;
            switches.push(namespace);
        }
        admin
            .run(|| settings::apply(Kind::Admin, ipv6))
            .and_then(|applied| applied)
            .map_err(LabError::Namespace)?;
        inside(admin, |network| {
            network.set_up("lo", true)?;
            cable(network, Some(0), ADMIN_DEVICE, (&router, ROUTER_ADMIN_LEG))
        })?;
        let wiring = Self {
            switches,
            router,
            hosts,
        };
        wiring.address(topology, admin)?;
        wiring.wait_until_ready(admin, ipv6)?;
        Ok(wiring)
    }

    /// Devices carry nothing until the kernel has noticed, in the background, that their cable is plugged in at both ends;
    /// then it gives them their link-local addresses, without which a router asks no neighbour.
    fn wait_until_ready(&self, admin: &NetNs, ipv6: bool) -> Result<(), LabError> {
        let started = Instant::now();
        let speaking = self.hosts.values().chain([&self.router, admin]);
        let all = self
            .switches
            .iter()
            .map(|switch| (switch, false))
            .chain(speaking.map(|namespace| (namespace, ipv6)));
        all.into_iter()
            .try_for_each(|(namespace, ipv6)| wait_until_ready(namespace, ipv6, started))
    }

    fn address(&self, topology: &Topology, admin: &NetNs) -> Result<(), LabError> {
        let leg = topology.admin();
        inside(&self.router, |network| {
            network.set_up("lo", true)?;
            for (index, subnet) in topology.subnets().iter().enumerate() {
                let addresses = subnet.prefixes().map(|prefix| (prefix.gateway, prefix.network));
                configure(network, &router_leg(index), addresses)?;
            }
            for (index, further) in topology.further().iter().enumerate() {
                let Some(gateway) = further.gateway else {
                    continue;
                };
                let device = router_leg(topology.subnets().len() + index);
                configure(network, &device, [(gateway, further.network)])?;
            }
            let addresses = leg.stands().map(|stand| (stand.gateway, stand.network));
            configure(network, ROUTER_ADMIN_LEG, addresses)
        })?;
        inside(admin, |network| {
            let addresses = leg.stands().map(|stand| (stand.address, stand.network));
            configure(network, ADMIN_DEVICE, addresses)?;
            leg.stands()
                .try_for_each(|stand| network.add_route(default_route(stand.gateway)))
        })?;
        for (name, namespace) in &self.hosts {
            inside(namespace, |network| address_host(network, topology, *name))?;
        }
        Ok(())
    }
}

/// Addresses and default routes of a host.
fn address_host(network: &mut Network, topology: &Topology, name: IpAddr) -> Result<(), route::Error> {
    network.set_up("lo", true)?;
    let (Some(host), Some(subnet)) = (topology.host(name), topology.subnet_of(name)) else {
        return Ok(());
    };
    let pairs = || {
        host.addresses()
            .filter_map(|address| Some((address, subnet.prefix(Family::of(address))?)))
    };
    let addresses = pairs().map(|(address, prefix)| (address, prefix.network));
    configure(network, HOST_DEVICE, addresses)?;
    for (_, prefix) in pairs() {
        network.add_route(default_route(prefix.gateway))?;
    }
    for (device, address, prefix) in further_legs(topology, name) {
        configure(network, &device, [(address, prefix)])?;
    }
    Ok(())
}

/// A host's interfaces in further networks: device, address, prefix.
fn further_legs(topology: &Topology, name: IpAddr) -> Vec<(String, IpAddr, IpNet)> {
    let legs = topology
        .further()
        .iter()
        .filter_map(|further| Some((*further.hosts.get(&name)?, further.network)));
    // The first interface is number 0.
    (1..)
        .zip(legs)
        .map(|(number, (address, network))| (format!("eth{number}"), address, network))
        .collect()
}

/// Removes the workstation's cable, so that the next lab finds the name free at once: namespaces go in the background.
pub(crate) fn unplug_admin(admin: &NetNs) -> Result<(), LabError> {
    inside(admin, |network| network.delete_link(ADMIN_DEVICE))
}

/// The router's device in the network of this index: subnets first, then further networks.
pub(crate) fn router_leg(index: usize) -> String {
    format!("net{index}")
}

/// A bridge to be made.
struct SwitchPlan {
    /// The router's device, if the router is plugged in.
    router: Option<String>,
    /// Port, host, the host's device.
    ports: Vec<(String, IpAddr, String)>,
}

fn switch_plans(topology: &Topology) -> Vec<SwitchPlan> {
    let port = |host: IpAddr| switch_port(topology, host).unwrap_or_default();
    let mut plans = Vec::new();
    for (index, subnet) in topology.subnets().iter().enumerate() {
        let hosts = topology.hosts_of(subnet).map(|host| host.address);
        plans.push(SwitchPlan {
            router: Some(router_leg(index)),
            ports: hosts
                .map(|host| (port(host), host, HOST_DEVICE.to_owned()))
                .collect(),
        });
    }
    for (index, further) in topology.further().iter().enumerate() {
        let device = |host: &IpAddr| {
            let earlier = &topology.further()[..index];
            let before = earlier
                .iter()
                .filter(|other| other.hosts.contains_key(host))
                .count();
            format!("eth{}", before + 1)
        };
        let hosts = further.hosts.keys();
        plans.push(SwitchPlan {
            router: further
                .gateway
                .map(|_| router_leg(topology.subnets().len() + index)),
            ports: hosts.map(|host| (port(*host), *host, device(host))).collect(),
        });
    }
    plans
}

/// The bridge of a network with a port for its router and each of its hosts.
fn plug_all(
    network: &mut Network,
    plan: &SwitchPlan,
    router: &NetNs,
    hosts: &BTreeMap<IpAddr, NetNs>,
) -> Result<(), route::Error> {
    network.add_bridge(BRIDGE)?;
    network.set_up(BRIDGE, true)?;
    let router = plan
        .router
        .as_ref()
        .map(|leg| (SWITCH_ROUTER_PORT, router, leg.as_str()));
    let hosts = plan
        .ports
        .iter()
        .filter_map(|(port, host, device)| Some((port.as_str(), hosts.get(host)?, device.as_str())));
    for (position, (port, namespace, device)) in router.into_iter().chain(hosts).enumerate() {
        plug(network, Some(position), port, (namespace, device))?;
    }
    Ok(())
}

/// A host that is none of the topology: a namespace like that of any other.
pub(crate) fn stranger(ipv6: bool) -> Result<NetNs, LabError> {
    settings::namespace(Kind::Host, ipv6).map_err(LabError::Namespace)
}

/// Waits until the devices of a namespace work, for a while since a moment.
pub(crate) fn wait_until_ready(namespace: &NetNs, ipv6: bool, since: Instant) -> Result<(), LabError> {
    let waiting = inside(namespace, |network| {
        loop {
            let waiting = first_unready(network, ipv6)?;
            if waiting.is_none() || since.elapsed() > CARRIER_PATIENCE {
                return Ok(waiting);
            }
            thread::sleep(CARRIER_POLL);
        }
    })?;
    waiting.map_or(Ok(()), |device| Err(LabError::NoCarrier { device }))
}

/// A cable from a new port of the bridge, with this place among its ports if any, to another namespace.
pub(crate) fn plug(
    network: &mut Network,
    position: Option<usize>,
    port: &str,
    far: (&NetNs, &str),
) -> Result<(), route::Error> {
    let Some(bridge) = network.link(BRIDGE)? else {
        return Ok(());
    };
    cable(network, position, port, far)?;
    network.set_master(port, bridge.index)?;
    network.set_up(port, true)
}

/// The first device that does not work yet, if any.
fn first_unready(network: &mut Network, ipv6: bool) -> Result<Option<String>, route::Error> {
    let links = network.links()?;
    if let Some(link) = links.iter().find(|link| waits(link)) {
        return Ok(Some(link.name.clone()));
    }
    if !ipv6 {
        return Ok(None);
    }
    let addresses = network.addresses()?;
    let has_link_local = |link: &Link| {
        addresses.iter().any(|address| {
            address.link == link.index && address.address.is_ipv6() && address.scope == Scope::Link
        })
    };
    let unready = |link: &&Link| link.kind.as_deref() == Some("veth") && link.up && !has_link_local(link);
    Ok(links.iter().find(unready).map(|link| link.name.clone()))
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
    position: Option<usize>,
    near: &str,
    (namespace, far): (&NetNs, &str),
) -> Result<(), route::Error> {
    let index = position
        .and_then(|position| u32::try_from(position).ok())
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

/// A host's port at each of its switches.
pub(crate) fn switch_port(topology: &Topology, host: IpAddr) -> Option<String> {
    let position = topology.hosts().iter().position(|other| other.address == host)?;
    Some(format!("h{position}"))
}

/// Sets a device up and gives it addresses.
pub(crate) fn configure(
    network: &mut Network,
    device: &str,
    addresses: impl IntoIterator<Item = (IpAddr, IpNet)>,
) -> Result<(), route::Error> {
    network.set_up(device, true)?;
    let Some(link) = network.link(device)? else {
        return Ok(());
    };
    addresses
        .into_iter()
        .try_for_each(|(address, prefix)| network.add_address(link.index, address, prefix.prefix_len()))
}

pub(crate) fn default_route(gateway: IpAddr) -> Route {
    let network = match gateway {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    Route {
        network,
        prefix: 0,
        target: RouteTarget::Via(gateway),
    }
}

/// Does work on a namespace's devices and routes.
pub(crate) fn inside<T: Send>(
    namespace: &NetNs,
    work: impl FnOnce(&mut Network) -> Result<T, route::Error> + Send,
) -> Result<T, LabError> {
    namespace
        .run(|| Network::open().and_then(|mut network| work(&mut network)))
        .map_err(LabError::Namespace)?
        .map_err(LabError::Wire)
}

/// Above the number of legs that a router can have.
const FIRST_NEAR_INDEX: u32 = 2048;
/// The kernel batches carrier changes for at most a second; several on a machine that has better things to do.
const CARRIER_PATIENCE: Duration = Duration::from_secs(10);
/// Carriers usually are there at the first look.
const CARRIER_POLL: Duration = Duration::from_millis(2);

pub(crate) const HOST_DEVICE: &str = "eth0";
const ADMIN_DEVICE: &str = "lab0";
const ROUTER_ADMIN_LEG: &str = "admin";
pub(crate) const SWITCH_ROUTER_PORT: &str = "router";
pub(crate) const BRIDGE: &str = "br0";
