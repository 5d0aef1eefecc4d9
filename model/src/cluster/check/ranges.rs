//! Ranges: of sensible length, in order, private, and away from those that the installer uses.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::{Checking, Layout, counted};
use crate::{
    cluster::AddressRange,
    report::check,
    source::{Gravity, Place, Placed},
};

/// CFG-007: ranges of pools share no address, and none is one that old routers drop. What is not even a range was said when
/// it was read.
pub(super) fn pools(layout: &Layout, checking: &mut Checking<'_>) {
    let mut sorted: Vec<&Placed<AddressRange>> = layout.ranges().collect();
    if sorted.is_empty() {
        return;
    }
    sorted.sort_by_key(|range| (range.value.first, range.value.last));
    let mut reach: Option<&Placed<AddressRange>> = None;
    for range in sorted.iter().copied() {
        if let Some(before) = reach.filter(|before| before.value.overlaps(range.value)) {
            let (early, late) = if before.place < range.place {
                (before, range)
            } else {
                (range, before)
            };
            let message = format!(
                "the range {} overlaps {} (line {})",
                late.value, early.value, early.place.line
            );
            let weight = (check::CFG_RANGES, Gravity::Contradiction);
            checking.complain(late.place, weight, message, "make the ranges disjoint");
        }
        if reach.is_none_or(|before| range.value.last > before.value.last) {
            reach = Some(range);
        }
    }
    for pool in layout.pools.iter().filter(|pool| !pool.avoids_buggy_ips) {
        let mut buggy = pool
            .ranges
            .iter()
            .filter_map(|range| Some((range, first_buggy(range.value)?)));
        if let Some((range, address)) = buggy.next() {
            let message = format!(
                "the range {} has {address}, which some clients and routers take for a broadcast address and drop",
                range.value
            );
            let weight = (check::CFG_RANGES, Gravity::Warn);
            let help =
                "write `avoidBuggyIPs: true` in this pool, or leave addresses that end in .0 and .255 out";
            checking.complain(range.place, weight, message, help);
        }
    }
    let detail = format!(
        "{} of {} in order and disjoint",
        counted(sorted.len(), "range"),
        counted(layout.pools.len(), "pool")
    );
    checking.made(check::CFG_RANGES, detail);
}

/// The first address of a range that ends in .0 or .255.
fn first_buggy(range: AddressRange) -> Option<Ipv4Addr> {
    let (IpAddr::V4(first), IpAddr::V4(last)) = (range.first, range.last) else {
        return None;
    };
    let first = u32::from(first);
    let next = match first & 0xff {
        0 | 0xff => first,
        _ => first | 0xff,
    };
    (next <= u32::from(last)).then(|| Ipv4Addr::from(next))
}

/// CFG-008: the lengths that bmctl takes.
pub(super) fn lengths(layout: &Layout, checking: &mut Checking<'_>) {
    let kinds = [
        ("pods", &layout.pods, POD_PREFIXES),
        ("services", &layout.services, SERVICE_PREFIXES),
    ];
    for (kind, blocks, (shortest, longest)) in kinds {
        for block in blocks {
            let length = block.value.prefix_len();
            let (message, help) = match block.value {
                IpNet::V4(_) if !(shortest..=longest).contains(&length) => (
                    format!("`spec.clusterNetwork.{kind}`: /{length} is outside /{shortest} to /{longest}"),
                    format!("write a prefix length from {shortest} to {longest}"),
                ),
                IpNet::V6(_) if kind == "services" && length < SHORTEST_IPV6_SERVICES => (
                    format!(
                        "`spec.clusterNetwork.services`: /{length} has more addresses than the API server takes"
                    ),
                    format!("write a prefix length of at least {SHORTEST_IPV6_SERVICES}"),
                ),
                _ => continue,
            };
            let weight = (check::CFG_RANGE_LENGTHS, Gravity::Contradiction);
            checking.complain(block.place, weight, message, help);
        }
    }
    let said: Vec<String> = layout
        .pods
        .iter()
        .map(|block| format!("pods {}", block.value))
        .chain(
            layout
                .services
                .iter()
                .map(|block| format!("services {}", block.value)),
        )
        .collect();
    if !said.is_empty() {
        checking.made(check::CFG_RANGE_LENGTHS, said.join(", "));
    }
}

/// Whether bmctl takes a pod range of this length; otherwise nothing follows from its size.
pub(super) fn is_pod_length(layout: &Layout, block: &IpNet) -> bool {
    let (shortest, longest) = POD_PREFIXES;
    layout.cluster_type.is_none()
        || block.addr().is_ipv6()
        || (shortest..=longest).contains(&block.prefix_len())
}

/// CFG-013: IPv4 ranges of pods and Services are private.
pub(super) fn private(layout: &Layout, checking: &mut Checking<'_>) {
    let named = layout
        .pods
        .iter()
        .map(|block| ("pod", block))
        .chain(layout.services.iter().map(|block| ("service", block)));
    let mut count = 0;
    for (kind, block) in named {
        let IpNet::V4(net) = block.value else { continue };
        // A range that is too large for bmctl is in none.
        if net.prefix_len() < PRIVATE[0].1 {
            continue;
        }
        count += 1;
        let is_private = PRIVATE
            .iter()
            .filter_map(|(address, length)| Ipv4Net::new(Ipv4Addr::from(*address), *length).ok())
            .any(|private| private.contains(&net));
        if !is_private {
            let message = format!(
                "the {kind} range {net} is not private: its owners' hosts cannot be reached from pods"
            );
            let weight = (check::CFG_PRIVATE, Gravity::Warn);
            let help = "write a range of RFC 1918: in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16";
            checking.complain(block.place, weight, message, help);
        }
    }
    if count > 0 {
        let detail = format!(
            "{} of pods and Services in RFC 1918",
            counted(count, "IPv4 range")
        );
        checking.made(check::CFG_PRIVATE, detail);
    }
}

/// CFG-017: no node has an address that the bootstrap cluster uses for itself.
pub(super) fn bootstrap(layout: &Layout, checking: &mut Checking<'_>) {
    for (address, length, kind, flag) in BOOTSTRAP {
        let Ok(net) = Ipv4Net::new(Ipv4Addr::from(address), length) else {
            continue;
        };
        let is_inside = |address: IpAddr| matches!(address, IpAddr::V4(v4) if net.contains(&v4));
        let inside: Vec<(IpAddr, Place)> = layout
            .nodes
            .iter()
            .filter_map(|node| node.addresses().find(|address| is_inside(address.value)))
            .map(|address| (address.value, address.place))
            .collect();
        let Some((first, place)) = inside.first() else {
            continue;
        };
        let nodes = if inside.len() == 1 {
            format!("node {first} is")
        } else {
            format!("{} (the first is {first}) are", counted(inside.len(), "node"))
        };
        let message = format!("{nodes} inside {net}, which the bootstrap cluster uses for its {kind}s");
        let help = format!(
            "give bmctl another range for the bootstrap cluster: `{flag}`, or give the nodes other addresses"
        );
        checking.complain(*place, (check::CFG_BOOTSTRAP, Gravity::Fail), message, help);
    }
    let own = BOOTSTRAP.map(|(address, length, ..)| format!("{}/{length}", Ipv4Addr::from(address)));
    let detail = format!(
        "no node is inside {}, the bootstrap cluster's own ranges",
        own.join(" or ")
    );
    checking.made(check::CFG_BOOTSTRAP, detail);
}

/// Shortest and longest IPv4 prefix of `pods.cidrBlocks` (field reference).
const POD_PREFIXES: (u8, u8) = (8, 18);

/// Shortest and longest IPv4 prefix of `services.cidrBlocks` (field reference).
const SERVICE_PREFIXES: (u8, u8) = (12, 24);

/// The API server takes service ranges of at most 2^20 addresses (Kubernetes, `--service-cluster-ip-range`).
const SHORTEST_IPV6_SERVICES: u8 = 108;

/// Private ranges (RFC 1918 section 3), the largest first.
const PRIVATE: [([u8; 4], u8); 3] = [([10, 0, 0, 0], 8), ([172, 16, 0, 0], 12), ([192, 168, 0, 0], 16)];

/// What the bootstrap cluster uses on the admin workstation unless bmctl is told otherwise (bmctl reference).
const BOOTSTRAP: [([u8; 4], u8, &str, &str); 2] = [
    ([192, 168, 122, 0], 24, "pod", "--bootstrap-cluster-pod-cidr"),
    ([10, 96, 0, 0], 27, "service", "--bootstrap-cluster-service-cidr"),
];
