//! The link on which this node's data address is: what ARP and ND are about.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use plumbline_model::{errand::GATEWAYS, observation::UndoneWhy};
use plumbline_sys::{
    link::{LinkError, LinkSocket},
    route::{self, Address, Network, Scope, Way},
};

use super::Post;
use crate::error_chain::chain;

/// The data interface as it is now.
#[derive(Debug, Clone)]
pub(super) struct DataLink {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) mac: [u8; 6],
    /// Its addresses that may be spoken from, with their prefixes.
    own: Vec<IpNet>,
    /// Next hops of default routes over it.
    pub(super) gateways: Vec<IpAddr>,
}

impl DataLink {
    /// The interface that has the data address. `None` where there is no link to speak of: the data address is of loopback or
    /// not here, or its interface has no link address of Ethernet.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(super) fn find(post: &Post) -> Result<Option<Self>, UndoneWhy> {
        let Some(address) = post.node.address().filter(|address| !address.is_loopback()) else {
            return Ok(None);
        };
        look(address).map_err(|error| UndoneWhy::Failed {
            reason: format!("failed to {}", chain(&error)),
        })
    }

    /// Whether an address is on this link by one of its prefixes.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        self.own
            .iter()
            .any(|own| own.prefix_len() < own.max_prefix_len() && own.contains(&address))
    }

    /// Whether this host looks for an address on this link: by one of its prefixes, or by a route without a next hop.
    pub(super) fn looks_for(&self, address: IpAddr) -> bool {
        let is_straight = |way: &Way| way.via.is_none() && way.link == self.index;
        let way = || Network::open().and_then(|mut network| network.way_to(address));
        self.has(address) || way().is_ok_and(|way| way.as_ref().is_some_and(is_straight))
    }

    /// Whether an address is this host's, on this interface.
    pub(super) fn owns(&self, address: IpAddr) -> bool {
        self.own.iter().any(|own| own.addr() == address)
    }

    /// The link-local address of IPv6.
    pub(super) fn link_local(&self) -> Option<Ipv6Addr> {
        self.own.iter().find_map(|own| match own.addr() {
            IpAddr::V6(address) if address.is_unicast_link_local() => Some(address),
            _ => None,
        })
    }

    /// A packet socket on it.
    ///
    /// # Errors
    /// Why an errand cannot be done.
    pub(super) fn open(&self) -> Result<LinkSocket, UndoneWhy> {
        LinkSocket::open(self.index).map_err(|error: LinkError| {
            if error.is_privilege() {
                let name = "CAP_NET_RAW".to_owned();
                return UndoneWhy::Capability { name };
            }
            let reason = format!("failed to {}", chain(&error));
            UndoneWhy::Failed { reason }
        })
    }
}

fn look(address: IpAddr) -> Result<Option<DataLink>, route::Error> {
    let mut network = Network::open()?;
    let (links, addresses, routes) = (network.links()?, network.addresses()?, network.gateways()?);
    let index = addresses
        .iter()
        .find(|own| own.address == address)
        .map(|own| own.link);
    let link = links
        .into_iter()
        .find(|link| Some(link.index) == index && !link.loopback);
    let Some((link, mac)) = link.and_then(|link| link.mac.map(|mac| (link, mac))) else {
        return Ok(None);
    };
    let usable = |own: &&Address| {
        own.link == link.index && own.usable && matches!(own.scope, Scope::Global | Scope::Link)
    };
    let own = addresses.iter().filter(usable);
    let mut found = DataLink {
        index: link.index,
        name: link.name,
        mac,
        own: own
            .filter_map(|own| IpNet::new(own.address, own.prefix).ok())
            .collect(),
        gateways: Vec::new(),
    };
    let mut gateways: Vec<IpAddr> = routes
        .into_iter()
        .filter_map(|route| Some((route.via?, route.link)))
        // Of several next hops no interface is told.
        .filter(|(via, of)| of.map_or_else(|| found.has(*via), |of| of == found.index))
        .map(|(via, _)| via)
        .collect();
    gateways.sort_unstable();
    gateways.dedup();
    let (four, six): (Vec<IpAddr>, Vec<IpAddr>) = gateways.into_iter().partition(IpAddr::is_ipv4);
    found.gateways = [four, six]
        .into_iter()
        .flat_map(|of_family| of_family.into_iter().take(GATEWAYS))
        .collect();
    Ok(Some(found))
}

/// A link address as people write it.
pub(super) fn text(mac: [u8; 6]) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}
