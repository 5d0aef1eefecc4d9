//! Faults of what devices and routes carry.

use ipnet::IpNet;
use plumbline_model::{id::NodeId, port::Family};
use plumbline_sys::route::{Route, RouteTarget};

use super::{
    FaultError, Side,
    plant::{Place, Planted},
};
use crate::{Lab, wiring};

impl Lab {
    /// Gives a host's own device another MTU.
    pub(super) fn resize_host(&self, host: NodeId, mtu: u32) -> Result<Planted, FaultError> {
        self.set_mtus(vec![(Place::Host(host), wiring::HOST_DEVICE.to_owned(), mtu)])
    }

    /// Gives the switch port of a host another MTU.
    pub(super) fn resize_port(&self, host: NodeId, mtu: u32) -> Result<Planted, FaultError> {
        let (place, port) = self.port_of(host)?;
        self.set_mtus(vec![(place, port, mtu)])
    }

    /// Gives devices another MTU.
    pub(super) fn set_mtus(&self, devices: Vec<(Place, String, u32)>) -> Result<Planted, FaultError> {
        let mut before = Vec::new();
        for (place, device, mtu) in devices {
            let changed = self.change(place, |network| {
                let had = network.link(&device)?.map(|link| link.mtu);
                network.set_mtu(&device, mtu)?;
                before.extend(had.map(|had| (place, device.clone(), had)));
                Ok(())
            });
            if let Err(error) = changed {
                // The first error is the one to tell.
                let _ = self.restore_mtus(&before);
                return Err(error);
            }
        }
        Ok(Planted::Mtus(before))
    }

    /// Gives devices back the MTU that they had, the last one first.
    pub(super) fn restore_mtus(&self, before: &[(Place, String, u32)]) -> Result<(), FaultError> {
        before
            .iter()
            .rev()
            .try_for_each(|(place, device, mtu)| self.change(*place, |network| network.set_mtu(device, *mtu)))
    }

    /// The devices of a network, or of all: those of its switch, and unless only these are meant the hosts' and the router's.
    pub(super) fn devices_of(
        &self,
        network: Option<Side>,
        mtu: u32,
        switch_only: bool,
    ) -> Result<Vec<(Place, String, u32)>, FaultError> {
        let mut devices = Vec::new();
        for (index, subnet) in self.topology().subnets().iter().enumerate() {
            if network.is_some_and(|network| network.network() != subnet.first.network) {
                continue;
            }
            for (number, host) in self.topology().hosts_of(subnet).enumerate() {
                let (place, port) = self.port_of(host.address.into())?;
                if number == 0 {
                    devices.push((place, wiring::BRIDGE.to_owned(), mtu));
                    devices.push((place, wiring::SWITCH_ROUTER_PORT.to_owned(), mtu));
                }
                devices.push((place, port, mtu));
                if !switch_only {
                    let device = wiring::HOST_DEVICE.to_owned();
                    devices.push((Place::Host(host.address.into()), device, mtu));
                }
            }
            if !switch_only {
                devices.push((Place::Router, wiring::router_leg(index), mtu));
            }
        }
        match devices.is_empty() {
            true => Err(FaultError::NoSuchAddress),
            false => Ok(devices),
        }
    }

    /// Has the router answer what is too large for its way to there.
    pub(super) fn narrow_route(
        &self,
        to: Side,
        mtu: u32,
        family: Option<Family>,
    ) -> Result<Planted, FaultError> {
        let subnets = self.topology().subnets().iter().enumerate();
        let networks = to.networks(self.topology());
        let mut routes = Vec::new();
        for (index, subnet) in subnets {
            let own = networks.iter().filter(|network| {
                let is_inside = |prefix: crate::Prefix| prefix.network.contains(*network);
                subnet.prefixes().any(is_inside)
                    && family.is_none_or(|family| family == Family::of(network.addr()))
            });
            let own: Vec<IpNet> = own.copied().collect();
            if own.is_empty() {
                continue;
            }
            let leg = wiring::router_leg(index);
            self.change(Place::Router, |network| {
                let Some(link) = network.link(&leg)?.map(|link| link.index) else {
                    return Ok(());
                };
                for part in own.iter().flat_map(|network| halves(*network)) {
                    let route = Route {
                        network: part.network(),
                        prefix: part.prefix_len(),
                        target: RouteTarget::Link { link, mtu },
                    };
                    network.add_route(route)?;
                    routes.push(route);
                }
                Ok(())
            })?;
        }
        match routes.is_empty() {
            true => Err(FaultError::NoSuchAddress),
            false => Ok(Planted::Routes {
                place: Place::Router,
                routes,
            }),
        }
    }
}

/// The two halves of a network, which come before the router's own route to the whole of it; a single address is one already.
fn halves(network: IpNet) -> Vec<IpNet> {
    match network.subnets(network.prefix_len().saturating_add(1)) {
        Ok(halves) => halves.collect(),
        Err(_) => vec![network],
    }
}
