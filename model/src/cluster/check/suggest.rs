//! A range that nothing in the file uses: a remedy that can be typed.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::{
    Layout,
    overlap::{overlap, reaches},
};

/// A private IPv4 range of this length that overlaps nothing in the file. `None` if none was found among the first few.
pub(super) fn free_range(layout: &Layout, length: u8) -> Option<IpNet> {
    SPACES
        .iter()
        .filter_map(|(address, space)| Ipv4Net::new(Ipv4Addr::from(*address), (*space).max(length)).ok())
        .flat_map(|first| (0..CANDIDATES).map_while(move |step| shifted(first, step)))
        .map(IpNet::V4)
        .find(|range| is_private(range) && is_free(layout, range))
}

fn shifted(first: Ipv4Net, step: u32) -> Option<Ipv4Net> {
    let size = 1_u32.checked_shl(u32::from(32 - first.prefix_len()))?;
    let address = u32::from(first.network()).checked_add(size.checked_mul(step)?)?;
    Ipv4Net::new(Ipv4Addr::from(address), first.prefix_len()).ok()
}

fn is_private(range: &IpNet) -> bool {
    matches!(range, IpNet::V4(net) if net.network().is_private() && net.broadcast().is_private())
}

fn is_free(layout: &Layout, range: &IpNet) -> bool {
    let is_clear = |address: IpAddr| !range.contains(&address);
    let singles = layout
        .nodes
        .iter()
        .flat_map(|node| node.addresses())
        .chain(&layout.control_plane_vip)
        .chain(&layout.ingress_vip)
        .chain(&layout.floating_ips)
        .chain(&layout.peers)
        .chain(layout.outside.iter().map(|(_, address)| address));
    singles.into_iter().all(|address| is_clear(address.value))
        && layout.ranges().all(|addresses| !reaches(range, addresses.value))
        && layout
            .pods
            .iter()
            .chain(&layout.services)
            .all(|block| !overlap(&block.value, range))
}

/// Where to look, the least used by data centres first (RFC 1918).
const SPACES: [([u8; 4], u8); 3] = [([172, 16, 0, 0], 12), ([192, 168, 0, 0], 16), ([10, 0, 0, 0], 8)];

/// How many ranges of each are tried: a file that covers all of these is beyond a suggestion.
const CANDIDATES: u32 = 64;
