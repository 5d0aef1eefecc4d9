//! Ports, transports and families.

use plumbline_model::port::{Family, PortRange, PortSet, Protocol};

use super::{FieldError, Invalid, at_most};
use crate::v1;

/// The most ranges a set of ports can have: every second port.
const MAX_RANGES: usize = 32_768;

/// Ranges in any order, overlapping or not, to a set of at least one port.
pub(super) fn ports(ranges: &[v1::PortRange]) -> Result<PortSet, Invalid> {
    if ranges.is_empty() {
        return Err(FieldError::Empty.at("ports"));
    }
    at_most("ports", ranges.len(), MAX_RANGES)?;
    let mut set = PortSet::new();
    for (index, range) in ranges.iter().enumerate() {
        set.insert(port_range(range).map_err(|e| e.within(format_args!("ports[{index}]")))?);
    }
    Ok(set)
}

fn port_range(range: &v1::PortRange) -> Result<PortRange, Invalid> {
    let first = port("first", range.first)?;
    let last = port("last", range.last)?;
    PortRange::new(first, last).ok_or_else(|| {
        FieldError::Reversed {
            first: range.first,
            last: range.last,
        }
        .at("last")
    })
}

fn port(field: &str, found: u32) -> Result<u16, Invalid> {
    match u16::try_from(found) {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(FieldError::OutOfRange {
            found: found.into(),
            least: 1,
            most: u16::MAX.into(),
        }
        .at(field)),
    }
}

pub(super) fn wire_ports(ports: &PortSet) -> Vec<v1::PortRange> {
    ports
        .ranges()
        .iter()
        .map(|range| v1::PortRange {
            first: range.first().into(),
            last: range.last().into(),
        })
        .collect()
}

pub(super) fn protocol(transport: i32) -> Result<Protocol, Invalid> {
    match v1::Transport::try_from(transport) {
        Ok(v1::Transport::Tcp) => Ok(Protocol::Tcp),
        Ok(v1::Transport::Udp) => Ok(Protocol::Udp),
        Ok(v1::Transport::Unspecified) | Err(_) => Err(FieldError::Absent.at("transport")),
    }
}

/// The wire knows the transports that have ports; anything else is never assigned and becomes "unspecified", which a probe
/// refuses.
pub(super) fn wire_transport(protocol: Protocol) -> i32 {
    let transport = match protocol {
        Protocol::Tcp => v1::Transport::Tcp,
        Protocol::Udp => v1::Transport::Udp,
        Protocol::Icmp | Protocol::Ip(_) => v1::Transport::Unspecified,
    };
    transport.into()
}

pub(super) fn family(ipv6: bool) -> Family {
    if ipv6 { Family::Ipv6 } else { Family::Ipv4 }
}
