//! Lists of nodes as people write them: single addresses and ranges of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    source::{Complaints, Place, Placed},
    yaml::fields::At,
};

/// The most addresses of one range: more nodes than any cluster of the supported distributions may have, so that a slip in a
/// range is told instead of planned.
const MAX_IN_RANGE: u128 = 5_000;

/// The most nodes of one file: twice what the largest distribution supports in one cluster.
const MAX_NODES: usize = 10_000;

/// The most addresses that all declared ports, or all labels, of one file list.
const MAX_LISTED: usize = 100_000;

/// How many addresses a file may still list: each range alone is bounded, a thousand of them are not.
#[derive(Debug)]
pub(super) struct Room {
    most: usize,
    left: usize,
    is_told: bool,
}

impl Room {
    /// For the nodes of a file.
    pub(super) fn of_nodes() -> Self {
        Self::new(MAX_NODES)
    }

    /// For what refers to nodes.
    pub(super) fn of_references() -> Self {
        Self::new(MAX_LISTED)
    }

    fn new(most: usize) -> Self {
        Self {
            most,
            left: most,
            is_told: false,
        }
    }

    /// Whether `count` more find room; the first that do not are complained about.
    pub(super) fn take(&mut self, count: usize, place: Place, complaints: &mut Complaints) -> bool {
        if let Some(left) = self.left.checked_sub(count) {
            self.left = left;
            return true;
        }
        self.left = 0;
        if !self.is_told {
            self.is_told = true;
            let message = format!("more than {} addresses are listed", self.most);
            complaints.add_with_help(place, message, "look for a slip in the ranges above");
        }
        false
    }
}

/// What people call a machine: as long as a DNS name may be (RFC 1035, section 2.3.4), since every row about it repeats it.
pub(super) fn name(at: &At<'_>, complaints: &mut Complaints) -> Option<Placed<String>> {
    const MOST: usize = 253;
    let name = at.text(complaints)?;
    if !name.value.is_empty() && name.value.chars().count() <= MOST {
        return Some(name);
    }
    let message = format!("`{}` has 1 to {MOST} characters", at.path);
    complaints.add_with_help(name.place, message, "write what people call the machine");
    None
}

/// What to write where one address is meant.
pub(super) const ONE_ADDRESS: &str = "write an IP address, for example 10.0.0.5 or fd00::5";

/// An address that a machine can have.
pub(super) fn address(at: &At<'_>, complaints: &mut Complaints) -> Option<Placed<IpAddr>> {
    let address = at.parsed::<IpAddr>(complaints, "an IP address", ONE_ADDRESS)?;
    is_usable(address.value, address.place, &at.path, complaints).then_some(address)
}

/// An address, or every address of a range `FIRST-LAST`, ascending; nothing if it is neither.
pub(super) fn addresses(at: &At<'_>, room: &mut Room, complaints: &mut Complaints) -> Vec<Placed<IpAddr>> {
    let Some(text) = at.text(complaints) else {
        return Vec::new();
    };
    match read(&text.value) {
        Ok(listed) if !room.take(listed.len(), text.place, complaints) => Vec::new(),
        Ok(listed) => {
            let is_usable = listed
                .first()
                .into_iter()
                .chain(listed.last())
                .all(|address| is_usable(*address, text.place, &at.path, complaints));
            let placed = listed.into_iter().map(|value| Placed {
                value,
                place: text.place,
            });
            if is_usable { placed.collect() } else { Vec::new() }
        }
        Err(why) => {
            let message = format!("`{}`: \"{}\" {why}", at.path, text.value);
            complaints.add_with_help(
                text.place,
                message,
                "write 10.0.0.5, or 10.0.0.5-10.0.0.9 for a range",
            );
            Vec::new()
        }
    }
}

/// The addresses that a text lists, or what keeps it from being one.
pub(super) fn read(text: &str) -> Result<Vec<IpAddr>, String> {
    const NEITHER: &str = "is neither an IP address nor a range of them";
    let Some((first, last)) = text.split_once('-') else {
        return text
            .parse()
            .map(|address| vec![address])
            .map_err(|_| NEITHER.to_owned());
    };
    let end = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| NEITHER.to_owned());
    let (first, last) = (end(first)?, end(last)?);
    if first.is_ipv4() != last.is_ipv4() {
        return Err("is a range between two address families".to_owned());
    }
    let (low, high) = (number(first), number(last));
    if low > high {
        return Err("is a range that is reversed".to_owned());
    }
    if high - low >= MAX_IN_RANGE {
        return Err(format!("is a range of more than {MAX_IN_RANGE} addresses"));
    }
    Ok((low..=high)
        .map(|number| address_of(number, first.is_ipv4()))
        .collect())
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn address_of(number: u128, is_ipv4: bool) -> IpAddr {
    match u32::try_from(number) {
        Ok(number) if is_ipv4 => Ipv4Addr::from(number).into(),
        _ => Ipv6Addr::from(number).into(),
    }
}

fn is_usable(address: IpAddr, place: Place, path: &str, complaints: &mut Complaints) -> bool {
    let is_link_local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    let is_mapped = matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    let is_bad = address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || is_link_local
        || is_mapped
        || is_broadcast;
    if is_bad {
        let message = format!("`{path}`: {address} is no address by which others reach a machine");
        complaints.add_with_help(place, message, "write the machine's own unicast address");
    }
    !is_bad
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_both_families_are_expanded_and_slips_are_told() {
        let texts =
            |text: &str| read(text).map(|listed| listed.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(
            texts("10.0.0.255-10.0.1.1").unwrap(),
            ["10.0.0.255", "10.0.1.0", "10.0.1.1"]
        );
        assert_eq!(texts("fd00::9 - fd00::a").unwrap(), ["fd00::9", "fd00::a"]);
        for (text, why) in [
            ("10.0.0.9-10.0.0.5", "reversed"),
            ("10.0.0.9-fd00::1", "families"),
            ("10.0.0.0-10.1.0.0", "5000"),
            ("10.0.0.5-9", "neither"),
            ("node-1", "neither"),
            ("10.0.0", "neither"),
        ] {
            assert!(texts(text).unwrap_err().contains(why), "{text}");
        }
    }
}
