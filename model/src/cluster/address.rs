//! Addresses, ranges and prefixes as cluster files write them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::IpNet;

use serde::{Deserialize, Serialize};

use crate::{
    report::check,
    source::{Complaints, Gravity, Placed},
    yaml::fields::At,
};

/// Addresses of a load balancer pool, both ends included, both of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressRange {
    /// The lowest.
    pub first: IpAddr,
    /// The highest.
    pub last: IpAddr,
}

impl AddressRange {
    /// Whether the address is inside.
    pub fn contains(self, address: IpAddr) -> bool {
        // IpAddr orders families apart, so an address of the other family is never between the two.
        (self.first..=self.last).contains(&address)
    }

    /// Whether the two have an address in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-{}", self.first, self.last))
    }
}

/// An IPv4 address that a host can have.
pub(super) fn host_v4(at: &At<'_>, complaints: &mut Complaints) -> Option<Placed<IpAddr>> {
    let help = "write an IPv4 address, for example 10.200.0.11";
    let address = at.parsed::<IpAddr>(complaints, "an IP address", help)?;
    match address.value {
        IpAddr::V6(_) => {
            let message = format!(
                "`{}`: {} is IPv6, and the vendor takes IPv4 here",
                at.path, address.value
            );
            complaints.add_with_help(address.place, message, help);
            None
        }
        IpAddr::V4(v4) if !is_host(v4) => {
            let message = format!("`{}`: no host can have the address {v4}", at.path);
            complaints.add_with_help(address.place, message, "write the host's own unicast address");
            None
        }
        IpAddr::V4(_) => Some(address),
    }
}

/// A prefix; one with host bits is read as the prefix that it is in.
pub(super) fn prefix(at: &At<'_>, complaints: &mut Complaints) -> Option<Placed<IpNet>> {
    let help = "write ADDRESS/LENGTH, for example 192.168.0.0/16 (length at most 32, for IPv6 128)";
    let prefix = at.parsed::<IpNet>(complaints, "an address range in CIDR notation", help)?;
    let (net, place) = (prefix.value, prefix.place);
    let value = net.trunc();
    if net != value {
        let message = format!("`{}`: {net} has host bits set", at.path);
        complaints.find(place, MALFORMED, message, format!("write {value}"));
    }
    Some(Placed { value, place })
}

/// A range of a load balancer pool: `FIRST-LAST` without spaces, or a prefix.
pub(super) fn range(at: &At<'_>, complaints: &mut Complaints) -> Option<Placed<AddressRange>> {
    let text = at.text(complaints)?;
    let (path, place, written) = (&at.path, text.place, text.value.as_str());
    if written.contains(char::is_whitespace) {
        let tight: String = written.chars().filter(|c| !c.is_whitespace()).collect();
        let message = format!("`{path}`: \"{written}\" has spaces, which bmctl does not read");
        complaints.find(place, MALFORMED, message, format!("write {tight}"));
        return ends(&tight)
            .filter(|range| range.first <= range.last)
            .map(|value| Placed { value, place });
    }
    if written.contains('/') {
        let prefix = prefix(at, complaints)?;
        // `broadcast` is the highest address of either family.
        let value = AddressRange {
            first: prefix.value.network(),
            last: prefix.value.broadcast(),
        };
        return Some(Placed { value, place });
    }
    let Some(AddressRange { first, last }) = ends(written) else {
        let message = format!("`{path}`: \"{written}\" is not a range of addresses");
        complaints.add_with_help(place, message, "write 10.0.0.50-10.0.0.70 or 10.0.0.240/28");
        return None;
    };
    if first > last {
        let message = format!("`{path}`: the range {written} is reversed");
        complaints.find(place, MALFORMED, message, format!("write {last}-{first}"));
    }
    // One that is reversed is read as it was meant, so that the rest of the file can be judged.
    let value = AddressRange {
        first: first.min(last),
        last: first.max(last),
    };
    Some(Placed { value, place })
}

fn is_host(address: Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || address.is_broadcast())
}

/// `FIRST-LAST` of one family, in whichever order.
fn ends(text: &str) -> Option<AddressRange> {
    let (first, last) = text.split_once('-')?;
    let (first, last): (IpAddr, IpAddr) = (first.parse().ok()?, last.parse().ok()?);
    (first.is_ipv4() == last.is_ipv4()).then_some(AddressRange { first, last })
}

/// What bmctl refuses and can be understood.
const MALFORMED: (&str, Gravity) = (check::CFG_RANGES.id, Gravity::Contradiction);
