//! Protocols, port ranges and sets of ports.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};

/// The address family of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: std::net::IpAddr) -> Self {
        if address.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }

    /// The word of files and of the kernel's settings; in sentences it is written as it is displayed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

/// A transport or IP protocol, written `tcp`, `udp`, `icmp` or `ip:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP (RFC 9293).
    Tcp,
    /// UDP (RFC 768).
    Udp,
    /// ICMP; a rule's "ports" are then type/code and are not tested as ports.
    Icmp,
    /// Another IP protocol by its number, for example 112 for VRRP.
    Ip(u8),
}

impl Protocol {
    /// The protocol in a sentence, by the name that people know (IANA, protocol numbers).
    pub fn words(self) -> String {
        match self {
            Self::Tcp => "TCP".to_owned(),
            Self::Udp => "UDP".to_owned(),
            Self::Icmp => "ICMP".to_owned(),
            Self::Ip(4) => "IP-in-IP (IP protocol 4)".to_owned(),
            Self::Ip(47) => "GRE (IP protocol 47)".to_owned(),
            Self::Ip(50) => "ESP (IP protocol 50)".to_owned(),
            Self::Ip(51) => "AH (IP protocol 51)".to_owned(),
            Self::Ip(89) => "OSPF (IP protocol 89)".to_owned(),
            Self::Ip(112) => "VRRP (IP protocol 112)".to_owned(),
            Self::Ip(132) => "SCTP (IP protocol 132)".to_owned(),
            Self::Ip(number) => format!("IP protocol {number}"),
        }
    }
}

/// Text that names no protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read protocol {0:?}: expected tcp, udp, icmp or ip:N with N from 0 to 255")]
pub struct InvalidProtocol(pub String);

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.pad("tcp"),
            Self::Udp => f.pad("udp"),
            Self::Icmp => f.pad("icmp"),
            Self::Ip(number) => f.pad(&format!("ip:{number}")),
        }
    }
}

impl FromStr for Protocol {
    type Err = InvalidProtocol;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "icmp" => Ok(Self::Icmp),
            _ => text
                .strip_prefix("ip:")
                .and_then(|number| number.parse().ok())
                .map(Self::Ip)
                .ok_or_else(|| InvalidProtocol(text.to_owned())),
        }
    }
}

impl Serialize for Protocol {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// An inclusive range of ports, never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// Ports that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPorts {
    /// Not a number from 1 to 65535, or not `A-B`.
    #[error("read ports {0:?}: expected N or A-B with numbers from 1 to 65535")]
    Syntax(String),
    /// The first port is above the last.
    #[error("read ports {0:?}: the range is reversed")]
    Reversed(String),
    /// A list with ranges that overlap or are out of order.
    #[error("read ports {0:?}: ranges overlap or are not in ascending order")]
    Order(String),
}

impl PortRange {
    /// The range from `first` to `last`, both included; `None` if reversed or if `first` is 0.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first != 0 && first <= last).then_some(Self { first, last })
    }

    /// The range of one port; `None` for port 0.
    pub fn single(port: u16) -> Option<Self> {
        Self::new(port, port)
    }

    /// The lowest port.
    pub fn first(self) -> u16 {
        self.first
    }

    /// The highest port.
    pub fn last(self) -> u16 {
        self.last
    }

    /// How many ports, from 1 to 65535.
    pub fn count(self) -> u32 {
        u32::from(self.last) - u32::from(self.first) + 1
    }

    /// Whether the port is inside.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// Every port, ascending.
    pub fn iter(self) -> impl Iterator<Item = u16> {
        self.first..=self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        padded(f, |out| self.write(out))
    }
}

impl PortRange {
    fn write(self, out: &mut dyn fmt::Write) -> fmt::Result {
        if self.first == self.last {
            write!(out, "{}", self.first)
        } else {
            write!(out, "{}-{}", self.first, self.last)
        }
    }
}

/// Writes straight to `f` where no padding is asked for: every record of the evidence and every row of the report writes
/// ports.
fn padded(f: &mut fmt::Formatter<'_>, write: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result) -> fmt::Result {
    if f.width().is_none() {
        return write(f);
    }
    let mut text = String::new();
    write(&mut text)?;
    f.pad(&text)
}

impl FromStr for PortRange {
    type Err = InvalidPorts;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let syntax = || InvalidPorts::Syntax(text.to_owned());
        let number = |field: &str| -> Result<u16, InvalidPorts> {
            if field.is_empty() || !field.bytes().all(|b| b.is_ascii_digit()) {
                return Err(syntax());
            }
            field.parse().map_err(|_| syntax())
        };
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(text)?, number(text)?),
        };
        if first == 0 {
            return Err(syntax());
        }
        Self::new(first, last).ok_or_else(|| InvalidPorts::Reversed(text.to_owned()))
    }
}

/// A set of ports, kept as disjoint ranges in ascending order with no two adjacent; written `22,30000-32767`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PortSet {
    ranges: Vec<PortRange>,
}

impl PortSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a range, merging it with what it touches.
    pub fn insert(&mut self, range: PortRange) {
        // Sets are mostly built in ascending order.
        let is_beyond = |last: &PortRange| u32::from(last.last) + 1 < u32::from(range.first);
        if self.ranges.last().is_none_or(is_beyond) {
            self.ranges.push(range);
            return;
        }
        let mut merged = range;
        let touches = |a: PortRange, b: PortRange| {
            u32::from(a.first) <= u32::from(b.last) + 1 && u32::from(b.first) <= u32::from(a.last) + 1
        };
        // Everything from the first to the last range that touches is replaced by one.
        let start = self
            .ranges
            .partition_point(|r| u32::from(r.last) + 1 < u32::from(range.first));
        let mut end = start;
        while end < self.ranges.len() && touches(self.ranges[end], merged) {
            merged.first = merged.first.min(self.ranges[end].first);
            merged.last = merged.last.max(self.ranges[end].last);
            end += 1;
        }
        self.ranges.splice(start..end, [merged]);
    }

    /// Adds one port; port 0 is ignored, since it names no port.
    pub fn insert_port(&mut self, port: u16) {
        if let Some(range) = PortRange::single(port) {
            self.insert(range);
        }
    }

    /// Beyond this many ranges a list is not read any more.
    pub const READABLE: usize = 8;

    /// For a person: a set of hundreds of single ports is told by its number and its ends, a shorter one as it is.
    pub fn in_brief(&self) -> String {
        match self.ranges() {
            [first, .., last] if self.ranges().len() > Self::READABLE => {
                format!("{} ports within {}-{}", self.count(), first.first(), last.last())
            }
            _ => self.to_string(),
        }
    }

    /// The ranges, ascending.
    pub fn ranges(&self) -> &[PortRange] {
        &self.ranges
    }

    /// Every port, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.ranges.iter().flat_map(|range| range.iter())
    }

    /// How many ports.
    pub fn count(&self) -> u32 {
        self.ranges.iter().map(|range| range.count()).sum()
    }

    /// Whether the set has no port.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether the port is in the set.
    pub fn contains(&self, port: u16) -> bool {
        let index = self.ranges.partition_point(|range| range.last < port);
        self.ranges.get(index).is_some_and(|range| range.contains(port))
    }

    /// Adds every port of another set.
    pub fn extend(&mut self, other: &Self) {
        if self.is_empty() {
            self.ranges.clone_from(&other.ranges);
            return;
        }
        for range in &other.ranges {
            self.insert(*range);
        }
    }

    /// The ports that are in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        let mut ranges = Vec::new();
        let (mut i, mut j) = (0, 0);
        while let (Some(a), Some(b)) = (self.ranges.get(i), other.ranges.get(j)) {
            // Pieces ascend, and two that touched would be of one range in both sets, hence one piece.
            ranges.extend(PortRange::new(a.first.max(b.first), a.last.min(b.last)));
            if a.last < b.last { i += 1 } else { j += 1 }
        }
        Self { ranges }
    }

    /// The ports that are here and not in the other set.
    pub fn difference(&self, other: &Self) -> Self {
        let mut ranges = Vec::new();
        let mut taken = other.ranges.iter().copied().peekable();
        for range in &self.ranges {
            let mut first = u32::from(range.first);
            let end = u32::from(range.last) + 1;
            while let Some(hole) = taken.peek().filter(|hole| u32::from(hole.first) < end) {
                if u32::from(hole.first) > first {
                    ranges.push(Self::between(first, hole.first.into()));
                }
                first = first.max(u32::from(hole.last) + 1);
                if first >= end {
                    // The hole may reach into the next range.
                    break;
                }
                taken.next();
            }
            if first < end {
                ranges.push(Self::between(first, end));
            }
        }
        Self { ranges }
    }

    /// The range from `first` up to but without `end`, both of which are within the port space.
    fn between(first: u32, end: u32) -> PortRange {
        let port = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        PortRange {
            first: port(first),
            last: port(end - 1),
        }
    }
}

impl FromIterator<u16> for PortSet {
    fn from_iter<I: IntoIterator<Item = u16>>(ports: I) -> Self {
        let mut ports: Vec<u16> = ports.into_iter().filter(|port| *port != 0).collect();
        ports.sort_unstable();
        let mut ranges: Vec<PortRange> = Vec::new();
        for port in ports {
            match ranges.last_mut() {
                Some(range) if u32::from(port) <= u32::from(range.last) + 1 => {
                    range.last = range.last.max(port)
                }
                _ => ranges.push(PortRange {
                    first: port,
                    last: port,
                }),
            }
        }
        Self { ranges }
    }
}

impl From<PortRange> for PortSet {
    fn from(range: PortRange) -> Self {
        Self { ranges: vec![range] }
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        padded(f, |out| {
            for (index, range) in self.ranges.iter().enumerate() {
                if index > 0 {
                    out.write_char(',')?;
                }
                range.write(out)?;
            }
            Ok(())
        })
    }
}

impl FromStr for PortSet {
    type Err = InvalidPorts;

    /// Reads the canonical form only: ascending, disjoint, not adjacent.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self::new());
        }
        let ranges: Vec<PortRange> = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
        let ordered = ranges
            .windows(2)
            .all(|pair| u32::from(pair[0].last) + 1 < u32::from(pair[1].first));
        if ordered {
            Ok(Self { ranges })
        } else {
            Err(InvalidPorts::Order(text.to_owned()))
        }
    }
}

impl Serialize for PortSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PortSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> PortSet {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_that_touch_are_merged() {
        let mut ports = set("22,30000-30010");
        for range in ["23", "30011", "29000-29999", "80"] {
            ports.insert(range.parse().unwrap());
        }
        assert_eq!(ports.to_string(), "22-23,80,29000-30011");
    }

    #[test]
    fn a_range_at_either_end_of_the_port_space_is_kept() {
        let mut ports = PortSet::new();
        for port in [65535, 1, 65534, 2] {
            ports.insert_port(port);
        }
        assert_eq!(ports.to_string(), "1-2,65534-65535");
    }

    #[test]
    fn collecting_inserting_and_parsing_agree() {
        let ports: PortSet = [5u16, 3, 4, 9, 9, 1].into_iter().collect();
        assert_eq!(ports.to_string(), "1,3-5,9");
        assert_eq!(set("1,3-5,9"), ports);
        assert_eq!(ports.count(), 5);
        assert!(ports.contains(4) && !ports.contains(2) && !ports.contains(10));
    }

    #[test]
    fn difference_and_intersection_are_complements() {
        let (a, b) = (set("1-10,20-30"), set("5-25"));
        assert_eq!(a.intersection(&b).to_string(), "5-10,20-25");
        assert_eq!(a.difference(&b).to_string(), "1-4,26-30");
    }

    #[test]
    fn ports_that_are_not_canonical_are_refused() {
        for text in [
            "0", "70000", "5-3", "1,1", "2,1", "1-2,3", "x", "1-", "-1", "1,,2", "+1",
        ] {
            assert!(text.parse::<PortSet>().is_err(), "{text:?}");
        }
    }
}
