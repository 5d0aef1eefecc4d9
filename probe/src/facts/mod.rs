//! What the host is: gathered when the probe starts and again when it is asked to, as testimony of its own.
//!
//! Everything is read from `/proc`, `/etc` and netlink; nothing is executed and nothing is changed. What cannot be read is
//! left empty, which says "not known" and never "not there": no check may pass on an empty fact.

mod host;
mod life;
pub mod listeners;
mod ruleset;

use std::net::{IpAddr, Ipv6Addr};

use plumbline_model::{
    canonical,
    observation::{Capabilities, HostFacts, Interface},
};
use plumbline_proto::limits;
use plumbline_sys::route::{Address, Link, Network, Scope};
use tracing::warn;

pub use life::life;
pub use ruleset::tables;

use crate::error_chain::chain;

/// Gathers everything. Takes some milliseconds, and blocks.
pub fn gather() -> HostFacts {
    let mut facts = HostFacts {
        hostname: host::hostname(),
        kernel: host::kernel(),
        os: host::os(),
        probe_version: env!("CARGO_PKG_VERSION").to_owned(),
        life: life(),
        capabilities: Capabilities {
            bind_low_ports: host::may_bind_low_ports(),
            capture: host::may_capture(),
            read_ruleset: false,
        },
        firewalld: life::runs_here("firewalld"),
        open_files: host::open_files(),
        ..HostFacts::default()
    };
    match ruleset::read() {
        Ok(ruleset) => {
            facts.capabilities.read_ruleset = true;
            facts.ruleset = Some(ruleset);
        }
        Err(error) => facts.ruleset_unread = Some(chain(&error)),
    }
    match read_network() {
        Ok((interfaces, gateways)) => (facts.interfaces, facts.gateways) = (interfaces, gateways),
        Err(error) => warn!("failed to {}", chain(&error)),
    }
    within_batch(facts)
}

/// A packet filter too large for any batch is left out, and that is said.
fn within_batch(mut facts: HostFacts) -> HostFacts {
    let octets = facts
        .ruleset
        .as_ref()
        .map_or(0, |ruleset| canonical::encode(ruleset).len());
    if octets > MAX_RULESET_BYTES {
        facts.ruleset = None;
        facts.ruleset_unread = Some(format!(
            "it has {octets} octets, more than the {MAX_RULESET_BYTES} that can be reported"
        ));
    }
    facts
}

/// Global unicast addresses of the host: what it is known by in a Join. Empty if they cannot be read.
pub fn global_addresses() -> Vec<IpAddr> {
    let addresses = Network::open()
        .and_then(|mut network| network.addresses())
        .unwrap_or_else(|error| {
            warn!("failed to {}", chain(&error));
            Vec::new()
        });
    addresses
        .into_iter()
        .filter(|address| address.scope == Scope::Global && address.usable && !address.address.is_loopback())
        .map(|address| address.address)
        .collect()
}

/// The IPv6 data address of a node that is known by this address of another family: the lowest global one of the interface
/// that has the data address. `None` if it is an IPv6 address itself, or if there is none.
pub fn data_ipv6(data_address: IpAddr) -> Option<Ipv6Addr> {
    if data_address.is_ipv6() {
        return None;
    }
    let own = Network::open().and_then(|mut network| network.addresses()).ok()?;
    let link = own.iter().find(|own| own.address == data_address)?.link;
    own.iter()
        .filter(|own| own.link == link && own.scope == Scope::Global && own.usable)
        .filter_map(|own| match own.address {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        })
        .min()
}

fn read_network() -> Result<(Vec<Interface>, Vec<IpAddr>), plumbline_sys::route::Error> {
    let mut network = Network::open()?;
    let links = network.links()?;
    let addresses = network.addresses()?;
    let mut gateways: Vec<IpAddr> = network
        .gateways()?
        .into_iter()
        .filter_map(|gateway| gateway.via)
        .collect();
    gateways.sort_unstable();
    gateways.dedup();
    Ok((interfaces(&links, &addresses), gateways))
}

fn interfaces(links: &[Link], addresses: &[Address]) -> Vec<Interface> {
    let of_link = |link: &Link| {
        let own = addresses.iter().filter(|address| address.link == link.index);
        Interface {
            name: link.name.clone(),
            mac: link.mac.map(mac).unwrap_or_default(),
            mtu: link.mtu,
            up: link.up && link.running,
            addresses: own
                .map(|address| format!("{}/{}", address.address, address.prefix))
                .collect(),
        }
    };
    links
        .iter()
        .map(of_link)
        .filter(|interface| interface.up || !interface.addresses.is_empty())
        .collect()
}

fn mac(octets: [u8; 6]) -> String {
    octets.map(|octet| format!("{octet:02x}")).join(":")
}

/// Leaves room in a batch for everything else that is known of a host.
const MAX_RULESET_BYTES: usize = limits::MAX_BATCH_PAYLOAD_BYTES - (256 << 10);

#[cfg(test)]
mod tests {
    use plumbline_sys::route::OperState;

    use super::*;

    #[test]
    fn this_very_host_has_a_name_a_kernel_and_a_loopback_interface() {
        let facts = gather();
        assert!(!facts.hostname.is_empty() && !facts.kernel.is_empty());
        assert!(facts.open_files >= 64, "{}", facts.open_files);
        assert!(facts.interfaces.iter().any(|interface| interface.name == "lo"));
    }

    #[test]
    fn an_interface_counts_if_it_is_up_or_has_an_address() {
        let link = |index, name: &str, up| Link {
            index,
            name: name.to_owned(),
            mtu: 1500,
            mac: Some([2, 0, 0, 0, 0xab, 0]),
            up,
            running: up,
            loopback: false,
            kind: None,
            master: None,
            state: OperState::Up,
        };
        let address = Address {
            link: 2,
            address: [10, 0, 0, 2].into(),
            prefix: 24,
            scope: Scope::Global,
            usable: true,
        };
        let links = [
            link(1, "up", true),
            link(2, "down-with-address", false),
            link(3, "down", false),
        ];
        let seen = interfaces(&links, &[address]);
        let names: Vec<&str> = seen.iter().map(|interface| interface.name.as_str()).collect();
        assert_eq!(names, ["up", "down-with-address"]);
        assert_eq!(
            (seen[1].mac.as_str(), seen[1].addresses[0].as_str()),
            ("02:00:00:00:ab:00", "10.0.0.2/24")
        );
    }
}
