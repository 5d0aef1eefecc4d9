//! Faults of cables, addresses, hardware addresses and routes.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Instant,
};

use ipnet::IpNet;
use plumbline_model::{id::NodeId, port::Family};
use plumbline_sys::{
    ns::NetNs,
    route::{self, Network, Route, RouteTarget},
};

use super::{
    BadRoute, FaultError, FaultId, Side,
    advertiser::Advertiser,
    plant::{Place, Planted},
};
use crate::{Host, Lab, LabError, Prefix, Subnet, wiring};

impl Lab {
    /// Does work on the devices and routes of a place.
    pub(super) fn change(
        &self,
        place: Place,
        work: impl FnOnce(&mut Network) -> Result<(), route::Error> + Send,
    ) -> Result<(), FaultError> {
        let namespace = self.place(place)?;
        namespace
            .run(|| Network::open().and_then(|mut network| work(&mut network)))
            .map_err(LabError::Namespace)?
            .map_err(FaultError::Device)
    }

    pub(super) fn misroute(
        &self,
        place: Place,
        to: Side,
        family: Option<Family>,
        target: RouteTarget,
    ) -> Result<Planted, FaultError> {
        let of_hop = |network: &IpNet| match target {
            RouteTarget::Via(hop) => Family::of(hop) == Family::of(network.addr()),
            _ => family.is_none_or(|family| family == Family::of(network.addr())),
        };
        let networks = to.networks(self.topology());
        let routes: Vec<Route> = networks
            .into_iter()
            .filter(of_hop)
            .map(|network| Route {
                network: network.network(),
                prefix: network.prefix_len(),
                target,
            })
            .collect();
        if routes.is_empty() {
            return Err(FaultError::NoSuchAddress);
        }
        self.change(place, |network| {
            routes.iter().try_for_each(|route| network.add_route(*route))
        })?;
        Ok(Planted::Routes { place, routes })
    }

    pub(super) fn cut_cable(&self, host: NodeId) -> Result<Planted, FaultError> {
        let (place, port) = self.port_of(host)?;
        self.change(place, |network| network.set_up(&port, false))?;
        Ok(Planted::Unplugged { place, port })
    }

    pub(super) fn isolate(&self, hosts: [NodeId; 2]) -> Result<Planted, FaultError> {
        let (place, ports) = self.ports_of(hosts)?;
        self.change(place, |network| {
            ports.iter().try_for_each(|port| network.set_isolated(port, true))
        })?;
        Ok(Planted::Isolated { place, ports })
    }

    pub(super) fn lose_ipv6(&self, host: NodeId) -> Result<Planted, FaultError> {
        let (found, subnet) = self.host(host)?;
        let leg = found
            .address_of(Family::Ipv6)
            .zip(subnet.prefix(Family::Ipv6))
            .ok_or(FaultError::NoSuchAddress)?;
        let (address, prefix) = leg;
        self.change(Place::Host(host), |network| {
            change_address(network, Change::Remove, address, prefix.network)
        })?;
        Ok(Planted::Lost {
            host,
            address,
            prefix,
        })
    }

    pub(super) fn duplicate_address(
        &self,
        id: FaultId,
        host: NodeId,
        by: Option<NodeId>,
        family: Option<Family>,
    ) -> Result<Planted, FaultError> {
        let (found, subnet) = self.host(host)?;
        let addresses: Vec<(IpAddr, Prefix)> = found
            .addresses()
            .filter(|address| family.is_none_or(|family| family == Family::of(*address)))
            .filter_map(|address| Some((address, subnet.prefix(Family::of(address))?)))
            .collect();
        if addresses.is_empty() {
            return Err(FaultError::NoSuchAddress);
        }
        let Some(by) = by else {
            return self.plug_in_a_stranger(id, host, &addresses);
        };
        self.ports_of([host, by])?;
        let addresses: Vec<(IpAddr, IpNet)> = addresses
            .into_iter()
            .map(|(address, prefix)| (address, prefix.network))
            .collect();
        self.change(Place::Host(by), |network| {
            addresses
                .iter()
                .try_for_each(|(address, prefix)| change_address(network, Change::Add, *address, *prefix))
        })?;
        Ok(Planted::Added { host: by, addresses })
    }

    /// A host that is none of the topology, with somebody's addresses. Its port is the switch's newest, which a flooded
    /// question reaches first.
    fn plug_in_a_stranger(
        &self,
        id: FaultId,
        host: NodeId,
        addresses: &[(IpAddr, Prefix)],
    ) -> Result<Planted, FaultError> {
        let ipv6 = self.topology().speaks(Family::Ipv6);
        let stranger = wiring::stranger(ipv6)?;
        let place = Place::Switch(host);
        let port = format!("stranger{id}");
        self.change(place, |network| {
            wiring::plug(network, None, &port, (&stranger, wiring::HOST_DEVICE))
        })?;
        wiring::inside(&stranger, |network| {
            network.set_up("lo", true)?;
            let own = addresses
                .iter()
                .map(|(address, prefix)| (*address, prefix.network));
            wiring::configure(network, wiring::HOST_DEVICE, own)?;
            addresses
                .iter()
                .try_for_each(|(_, prefix)| network.add_route(wiring::default_route(prefix.gateway)))
        })?;
        wiring::wait_until_ready(&stranger, ipv6, Instant::now())?;
        Ok(Planted::Stranger {
            place,
            port,
            _namespace: stranger,
            _advertiser: None,
        })
    }

    /// A stranger of this address who advertises a virtual router.
    pub(super) fn advertise(
        &self,
        id: FaultId,
        host: NodeId,
        sender: Ipv4Addr,
        (vrid, address): (u8, Ipv4Addr),
    ) -> Result<Planted, FaultError> {
        let (_, subnet) = self.host(host)?;
        let prefix = subnet.prefix(Family::Ipv4).ok_or(FaultError::NoSuchAddress)?;
        let planted = self.plug_in_a_stranger(id, host, &[(sender.into(), prefix)])?;
        let Planted::Stranger {
            place,
            port,
            _namespace,
            ..
        } = planted
        else {
            return Ok(planted);
        };
        let advertiser = Advertiser::start(&_namespace, sender, vrid, address)?;
        Ok(Planted::Stranger {
            place,
            port,
            _namespace,
            _advertiser: Some(advertiser),
        })
    }

    pub(super) fn duplicate_mac(
        &self,
        host: NodeId,
        of: NodeId,
        floods: bool,
    ) -> Result<Planted, FaultError> {
        let (place, ports) = self.ports_of([host, of])?;
        let mac_of = |node: NodeId| -> Result<[u8; 6], FaultError> {
            let link = wiring::inside(self.namespace(node)?, |network| network.link(wiring::HOST_DEVICE))?;
            link.and_then(|link| link.mac).ok_or(FaultError::NoSuchAddress)
        };
        let (before, twin) = (mac_of(host)?, mac_of(of)?);
        self.change(Place::Host(host), |network| {
            network.set_mac(wiring::HOST_DEVICE, twin)
        })?;
        let deaf = floods.then_some((place, ports));
        if let Some((place, ports)) = &deaf {
            self.change(*place, |network| learn(network, ports, false))?;
        }
        Ok(Planted::Mac { host, before, deaf })
    }

    /// A host of the topology and its subnet.
    pub(super) fn host(&self, node: NodeId) -> Result<(Host, Subnet), LabError> {
        let found = node
            .address()
            .and_then(|name| Some((*self.topology().host(name)?, *self.topology().subnet_of(name)?)));
        found.ok_or(LabError::NoSuchHost(node))
    }

    /// A host's port at the switch of its subnet.
    pub(super) fn port_of(&self, node: NodeId) -> Result<(Place, String), LabError> {
        let (host, _) = self.host(node)?;
        let port = wiring::switch_port(self.topology(), host.address).ok_or(LabError::NoSuchHost(node))?;
        Ok((Place::Switch(node), port))
    }

    /// The ports of two hosts at one switch.
    pub(super) fn ports_of(&self, [one, other]: [NodeId; 2]) -> Result<(Place, [String; 2]), FaultError> {
        if self.host(one)?.1 != self.host(other)?.1 {
            return Err(FaultError::NoSwitchBetween { one, other });
        }
        let (place, port) = self.port_of(one)?;
        Ok((place, [port, self.port_of(other)?.1]))
    }
}

/// Has ports of a bridge learn link addresses or not.
pub(super) fn learn(network: &mut Network, ports: &[String], learns: bool) -> Result<(), route::Error> {
    ports
        .iter()
        .try_for_each(|port| network.set_learning(port, learns))
}

/// What becomes of an address of a host's first interface.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    Add,
    Remove,
}

pub(super) fn change_address(
    network: &mut Network,
    change: Change,
    address: IpAddr,
    prefix: IpNet,
) -> Result<(), route::Error> {
    let Some(link) = network.link(wiring::HOST_DEVICE)? else {
        return Ok(());
    };
    match change {
        Change::Add => network.add_address(link.index, address, prefix.prefix_len()),
        Change::Remove => network.delete_address(link.index, address, prefix.prefix_len()),
    }
}

/// Makes sure that a default route is there; the kernel may have kept it.
pub(super) fn restore_default_route(network: &mut Network, gateway: IpAddr) -> Result<(), route::Error> {
    let is_there = network.gateways()?.iter().any(|found| found.via == Some(gateway));
    if is_there {
        Ok(())
    } else {
        network.add_route(wiring::default_route(gateway))
    }
}

pub(super) fn target(with: BadRoute) -> RouteTarget {
    match with {
        BadRoute::Blackhole => RouteTarget::Blackhole,
        BadRoute::Prohibit => RouteTarget::Prohibit,
        BadRoute::Unreachable => RouteTarget::Unreachable,
        BadRoute::Missing => RouteTarget::Throw,
    }
}

/// Held for as long as the stranger is plugged in.
pub(super) type Stranger = NetNs;
