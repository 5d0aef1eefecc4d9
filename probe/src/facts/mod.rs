//! What the host is: gathered when the probe starts and again when it is asked to, as testimony of its own.
//!
//! Everything is read from `/proc`, `/etc` and netlink; nothing is executed and nothing is changed. What cannot be read is
//! left empty, which says "not known" and never "not there": no check may pass on an empty fact.

mod counters;
mod firewalls;
mod host;
mod life;
pub mod listeners;
mod network;
mod node_ports;
mod ruleset;
pub mod settings;

use plumbline_model::{
    canonical,
    observation::{Capabilities, HostFacts},
};
use plumbline_proto::limits;
use tracing::warn;

pub use firewalls::firewalls;
pub use life::life;
pub use network::{data_ipv6, global_addresses};
pub use node_ports::node_ports;
pub use ruleset::tables;

use crate::error_chain::chain;

/// Gathers everything but what only tests bring about. Takes some milliseconds, and blocks.
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
        conntrack: counters::conntrack(),
        counters: counters::counters(),
        ..HostFacts::default()
    };
    match ruleset::read() {
        Ok(ruleset) => {
            facts.capabilities.read_ruleset = true;
            facts.node_ports = node_ports(&ruleset);
            facts.ruleset = Some(ruleset);
        }
        Err(error) => facts.ruleset_unread = Some(chain(&error)),
    }
    match network::interfaces_and_gateways() {
        Ok((interfaces, gateways)) => (facts.interfaces, facts.gateways) = (interfaces, gateways),
        Err(error) => warn!("failed to {}", chain(&error)),
    }
    match listeners::listeners() {
        Ok(listeners) => (facts.listeners, facts.listeners_cut) = at_most(MAX_LISTENERS, listeners),
        Err(error) => warn!("failed to {}", chain(&error)),
    }
    within_batch(facts)
}

/// Gathers everything, and whom this host has met on its links by now.
pub fn survey() -> HostFacts {
    let mut facts = gather();
    match network::neighbors() {
        Ok(neighbors) => facts.neighbors = neighbors,
        Err(error) => warn!("failed to {}", chain(&error)),
    }
    facts
}

/// The first of a list, and whether there were more.
fn at_most<T>(most: usize, mut all: Vec<T>) -> (Vec<T>, bool) {
    let are_more = all.len() > most;
    all.truncate(most);
    (all, are_more)
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

/// A process that listens on thousands of ports is one entry, so that even a busy node has some hundreds.
const MAX_LISTENERS: usize = 768;

/// Leaves room in a batch for everything else that is known of a host.
const MAX_RULESET_BYTES: usize = limits::MAX_BATCH_PAYLOAD_BYTES - (256 << 10);

#[cfg(test)]
mod tests {
    use plumbline_model::observation::Listener;

    use super::*;

    #[test]
    fn a_list_that_is_cut_says_so() {
        assert_eq!(at_most(2, vec![1, 2]), (vec![1, 2], false));
        assert_eq!(at_most(2, vec![1, 2, 3]), (vec![1, 2], true));
    }

    #[test]
    fn this_very_host_has_a_name_a_kernel_a_loopback_interface_and_counters() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let facts = gather();
        assert!(!facts.hostname.is_empty() && !facts.kernel.is_empty());
        assert!(facts.open_files >= 64, "{}", facts.open_files);
        assert!(facts.interfaces.iter().any(|interface| interface.name == "lo"));
        assert!(facts.counters.contains_key("TcpExt.ListenDrops"));
        let port = socket.local_addr().unwrap().port();
        let own =
            |listener: &Listener| listener.ports.contains(port) && listener.pid == Some(std::process::id());
        assert!(facts.listeners.iter().any(own), "{:?}", facts.listeners);
    }
}
