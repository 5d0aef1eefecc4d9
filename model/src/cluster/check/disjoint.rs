//! Addresses: each used once; the control plane VIP outside the pools, the ingress VIP inside.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    Checking, Dialect, Layout, counted, listed,
    nodes::{Owner, Owners},
};
use crate::{
    cluster::AddressRange,
    inventory::LoadBalancerMode,
    report::check,
    source::{Gravity, Place, Placed},
};

/// CFG-006 for single addresses, then CFG-004 and CFG-005.
pub(super) fn addresses(layout: &Layout, owners: &Owners, checking: &mut Checking<'_>) {
    let taken = single_addresses(layout, owners, checking);
    let pool_of = |address: IpAddr| layout.ranges().find(|range| range.value.contains(address));
    if let Some(vip) = &layout.control_plane_vip {
        // An address that somebody else has must be changed anyway.
        let is_told =
            taken.contains(&vip.place) || layout.ingress_vip.as_ref().is_some_and(|i| i.value == vip.value);
        if let Some(range) = pool_of(vip.value).filter(|_| !is_told) {
            let message = format!(
                "controlPlaneVIP {} is inside the address pool {} (line {})",
                vip.value, range.value, range.place.line
            );
            let weight = (check::CFG_VIP_OUTSIDE_POOLS, Gravity::Contradiction);
            let help = "choose an address outside the pools, or shrink the pool";
            checking.complain(vip.place, weight, message, help);
        }
        if layout.ranges().next().is_some() {
            let detail = format!("controlPlaneVIP {} is in no address pool", vip.value);
            checking.made(check::CFG_VIP_OUTSIDE_POOLS, detail);
        }
    }
    // A device outside announces the ingress VIP from wherever it likes.
    let needs_pool = layout.mode == Some(LoadBalancerMode::Bundled) && layout.are_pools_complete;
    if let Some(ingress) = layout.ingress_vip.as_ref().filter(|_| needs_pool) {
        if let Some(range) = pool_of(ingress.value) {
            let detail = format!("ingressVIP {} is in {}", ingress.value, range.value);
            checking.made(check::CFG_INGRESS_IN_POOL, detail);
        } else if !taken.contains(&ingress.place) {
            let message = format!("ingressVIP {} is in no address pool", ingress.value);
            let help = match layout.ranges().next() {
                Some(range) => format!("choose an address from {}, or extend a pool", range.value),
                None => format!("write `addressPools:` with a pool that has {}", ingress.value),
            };
            let weight = (check::CFG_INGRESS_IN_POOL, Gravity::Contradiction);
            checking.complain(ingress.place, weight, message, help);
            checking.made(check::CFG_INGRESS_IN_POOL, "the ingressVIP is in an address pool");
        }
    }
}

/// Returns where addresses stand that somebody else has.
fn single_addresses(layout: &Layout, owners: &Owners, checking: &mut Checking<'_>) -> Vec<Place> {
    let mut taken = Vec::new();
    let mut users: BTreeMap<IpAddr, (&str, Place)> = BTreeMap::new();
    let named =
        |name: &'static str, addresses: &'_ [Placed<IpAddr>]| -> Vec<(&'static str, Placed<IpAddr>)> {
            addresses.iter().map(|address| (name, address.clone())).collect()
        };
    let vips = layout.vips().map(|(name, vip)| (name, vip.clone()));
    let others = named("floating IP", &layout.floating_ips)
        .into_iter()
        .chain(named("BGP peer", &layout.peers));
    for (name, address) in vips.chain(others) {
        let message = if let Some(Owner { place, list }) = owners.get(&address.value) {
            format!(
                "{name} {} is the address of a node of {list} (line {})",
                address.value, place.line
            )
        } else {
            match users.get(&address.value) {
                // Control plane and Services may speak with the same router.
                Some((other, _)) if *other == name && name == "BGP peer" => continue,
                Some((other, _)) if layout.vips().any(|(vip, _)| vip == name) => {
                    format!("{name} {} is the {other}", address.value)
                }
                Some((other, place)) => {
                    format!("{name} {} is also a {other} (line {})", address.value, place.line)
                }
                None => {
                    users.insert(address.value, (name, address.place));
                    continue;
                }
            }
        };
        taken.push(address.place);
        let help = match name {
            "ingressVIP" => "choose another address from the pools",
            "control plane VIP" | "ingress VIP" => {
                "write an address that nobody has, or leave it out if none moves between nodes"
            }
            "BGP peer" => "write the router's address, which nobody else has",
            _ => "choose an address that nobody has",
        };
        let weight = (check::CFG_DISJOINT_ADDRESSES, Gravity::Contradiction);
        checking.complain(address.place, weight, message, help);
    }
    let mut uses = vec![
        counted(layout.nodes.len(), "node"),
        counted(layout.vips().count(), "VIP"),
    ];
    if layout.dialect == Dialect::Bmctl {
        uses.push(counted(layout.ranges().count(), "pool range"));
        uses.push(counted(layout.floating_ips.len(), "floating IP"));
        uses.push(counted(layout.peers.len(), "BGP peer"));
    }
    let detail = format!("{} share no address", listed(&uses));
    checking.made(check::CFG_DISJOINT_ADDRESSES, detail);
    taken
}

/// CFG-006 for pools: nobody's address is in one.
pub(super) fn pools(layout: &Layout, owners: &Owners, checking: &mut Checking<'_>) {
    for range in layout.ranges() {
        let within = range.value;
        let mut inside = Vec::new();
        let mut nodes = owners.range(within.first..=within.last);
        if let Some((address, Owner { place, list })) = nodes.next() {
            let more = nodes.count();
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            inside.push(format!(
                "the node {address} of {list} (line {}){more}",
                place.line
            ));
        }
        inside.extend(first_of("floating IP", &layout.floating_ips, within));
        inside.extend(first_of("BGP peer", &layout.peers, within));
        if !inside.is_empty() {
            let message = format!("the range {within} has {}", listed(&inside));
            let weight = (check::CFG_DISJOINT_ADDRESSES, Gravity::Contradiction);
            let help = "leave the addresses of nodes out of the pools, and those of routers";
            checking.complain(range.place, weight, message, help);
        }
    }
}

/// The first of some addresses that are in a range, and how many more.
fn first_of(name: &str, addresses: &[Placed<IpAddr>], range: AddressRange) -> Option<String> {
    let mut inside = addresses.iter().filter(|address| range.contains(address.value));
    let first = inside.next()?;
    let more = match inside.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "the {name} {} (line {}){more}",
        first.value, first.place.line
    ))
}
