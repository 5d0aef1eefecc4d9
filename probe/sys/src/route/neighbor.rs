//! Whether the next hop toward an address answers ARP or neighbour discovery.

use std::net::IpAddr;

use super::{AF_INET, AF_INET6, Error, Network, ip, read};
use crate::netlink::{self, Attributes, Reply};

/// An entry of the neighbour table (arp(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbor {
    /// The device's index.
    pub link: u32,
    /// The address that was asked for.
    pub address: IpAddr,
    /// `NUD_*`.
    pub state: u16,
    /// Its hardware address, if it is known and has six octets.
    pub mac: Option<[u8; 6]>,
}

impl Neighbor {
    /// The entry of an RTM_NEWNEIGH; `None` for another message, or without an address.
    ///
    /// # Errors
    /// If the message is shorter than its fixed part, or its attributes do not add up.
    pub fn read(reply: &Reply) -> Result<Option<Self>, netlink::Error> {
        read(libc::RTM_NEWNEIGH, reply, entry)
    }
}

/// What the kernel knows of the next hop toward an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextHop {
    /// Its hardware address is known, or none is needed.
    Resolved,
    /// It was asked for its hardware address and has not answered.
    Unresolved(IpAddr),
    /// There is no route, or nobody has asked.
    Unknown,
}

impl Network {
    /// Looks up the route to `destination` and the neighbour entry of its next hop. Sends nothing on the network.
    ///
    /// A connection attempt whose next hop does not resolve fails only after three seconds (`mcast_solicit` times
    /// `retrans_time_ms`, arp(7)), longer than a test waits; this tells it from a packet filter's silence at once.
    ///
    /// # Errors
    /// If the kernel does not list its neighbours.
    pub fn next_hop(&mut self, destination: IpAddr) -> Result<NextHop, Error> {
        let Some(way) = self.way_to(destination)? else {
            return Ok(NextHop::Unknown);
        };
        // Whom ARP or neighbour discovery asks for.
        let (hop, link) = (way.via.unwrap_or(destination), way.link);
        let mut fixed = [0; NDMSG_BYTES];
        fixed[0] = if hop.is_ipv4() { AF_INET } else { AF_INET6 };
        let entries = self.list(libc::RTM_GETNEIGH, &fixed, "list the neighbours", Neighbor::read)?;
        let of_hop = |entry: &&Neighbor| entry.link == link && entry.address == hop;
        Ok(match entries.iter().find(of_hop) {
            None => NextHop::Unknown,
            Some(entry) if entry.state & (libc::NUD_INCOMPLETE | libc::NUD_FAILED) != 0 => {
                NextHop::Unresolved(hop)
            }
            Some(_) => NextHop::Resolved,
        })
    }

    /// Everybody whose hardware address was learned, or configured, on the links of this host. Groups and what needs no
    /// resolution are left out.
    ///
    /// # Errors
    /// If the kernel does not list its neighbours.
    pub fn neighbors(&mut self) -> Result<Vec<Neighbor>, Error> {
        let mut neighbors = Vec::new();
        for family in [AF_INET, AF_INET6] {
            let mut fixed = [0; NDMSG_BYTES];
            fixed[0] = family;
            neighbors.extend(self.list(libc::RTM_GETNEIGH, &fixed, "list the neighbours", Neighbor::read)?);
        }
        neighbors.retain(|entry| entry.mac.is_some() && entry.state & NOT_LEARNED == 0);
        Ok(neighbors)
    }
}

/// `struct ndmsg`: family, pad (3), index (4), state (2), flags, type.
fn entry(fixed: &[u8; NDMSG_BYTES], attributes: Attributes<'_>) -> Option<Neighbor> {
    let [_, _, _, _, i0, i1, i2, i3, s0, s1, ..] = *fixed;
    Some(Neighbor {
        link: u32::from_ne_bytes([i0, i1, i2, i3]),
        address: ip(attributes.get(libc::NDA_DST)?.bytes())?,
        state: u16::from_ne_bytes([s0, s1]),
        mac: attributes
            .get(libc::NDA_LLADDR)
            .and_then(|mac| mac.bytes().try_into().ok()),
    })
}

const NDMSG_BYTES: usize = 12;
const NOT_LEARNED: u16 = libc::NUD_NOARP | libc::NUD_INCOMPLETE | libc::NUD_FAILED;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_asks_for_the_hardware_address_of_this_host() {
        let localhost = IpAddr::from([127, 0, 0, 1]);
        let state = Network::open().unwrap().next_hop(localhost).unwrap();
        assert!(!matches!(state, NextHop::Unresolved(_)), "{state:?}");
    }
}
