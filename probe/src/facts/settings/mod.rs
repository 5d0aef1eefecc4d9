//! How the host is set up ([`HostSettings`]): gathered when a run begins, completed when it ends, with what its devices counted
//! meanwhile.
//!
//! Everything is read from `/proc`, `/sys`, `/etc` and asked of the kernel (netlink, `SIOCETHTOOL`, adjtimex(2)); nothing is
//! executed, changed or sent. What cannot be read is left out. Takes some ten milliseconds.
//!
//! | room | what |
//! |---|---|
//! | `root` | reading files of strangers |
//! | `machine` | which machine, its kernel, modules, mounts |
//! | `sysctl` | the kernel's settings, now and after the next start |
//! | `daemons` | NetworkManager, clocks, name servers |
//! | `devices` | the data interface and what it stands on |
//! | `ways` | routes, neighbours, connections |

mod daemons;
mod devices;
mod machine;
mod root;
mod sysctl;
#[cfg(test)]
mod tests;
mod ways;

use std::time::Instant;

use plumbline_model::{
    evidence::Member,
    id::{NodeId, RunId},
    observation::{ClockState, HostSettings},
    port::Family,
};
use plumbline_sys::{clock, route::Network};
use tracing::warn;

use self::root::Root;
use crate::error_chain::chain;

/// What was gathered at the beginning of a run.
#[derive(Debug)]
pub struct Begun {
    settings: HostSettings,
    at: Instant,
}

/// Gathers what there is at the beginning.
pub fn begin(run: &RunId, node: NodeId, members: &[Member]) -> Begun {
    let mut settings = of_files(&Root::at("/"), run);
    if let Err(error) = ask_network(&mut settings, node, members) {
        warn!("failed to {}", chain(&error));
    }
    settings.sysctls = sysctl::sysctls(&Root::at("/"), settings.data_interface.as_deref());
    settings.clock = clock::state().ok().map(|state| ClockState {
        synchronised: state.synchronised,
        max_error_us: state.max_error_us,
        estimated_error_us: state.estimated_error_us,
    });
    Begun {
        settings,
        at: Instant::now(),
    }
}

impl Begun {
    /// Looks at the counters again.
    pub fn end(self) -> HostSettings {
        let Self { mut settings, at } = self;
        if let Ok(now) = Network::open().and_then(|mut network| network.devices()) {
            devices::count_again(&mut settings.devices, &now);
            settings.counted_ms = Some(u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX));
        }
        settings
    }
}

/// What files tell, those of the processes among them.
fn of_files(root: &Root, run: &RunId) -> HostSettings {
    let kernel = root.line("proc/sys/kernel/osrelease").unwrap_or_default();
    // The name goes into paths.
    let kernel = Some(kernel)
        .filter(|kernel| !kernel.contains('/'))
        .unwrap_or_default();
    let (resolvers, search_domains) = daemons::resolvers(root);
    HostSettings {
        machine: machine::machine(root, run),
        sysctl_files: sysctl::persisted(root),
        modules: machine::modules(root, &kernel),
        kernel_options: machine::kernel_options(root, &kernel),
        noexec: machine::noexec(root),
        services: daemons::services(root, super::life::runs_here),
        network_manager_ignores: daemons::network_manager_ignores(root),
        busiest: ways::busiest(root),
        time_sources: daemons::time_sources(root, super::life::runs_here),
        resolvers,
        search_domains,
        ..HostSettings::default()
    }
}

/// What the kernel tells of devices and routes.
fn ask_network(
    settings: &mut HostSettings,
    node: NodeId,
    members: &[Member],
) -> Result<(), plumbline_sys::route::Error> {
    let mut network = Network::open()?;
    let all = network.devices()?;
    let own = network.addresses()?;
    let names: ways::Names = all
        .iter()
        .map(|device| (device.link.index, device.link.name.clone()))
        .collect();
    let data = node
        .address()
        .and_then(|address| devices::of_address(address, &own));
    if let Some(data) = data {
        settings.data_interface = names.get(&data).map(|name| root::sanitised(name));
        settings.devices = devices::devices(data, &all);
        let others = members.iter().filter(|member| member.node != node);
        let addresses = others.flat_map(|member| {
            let families = [Family::Ipv4, Family::Ipv6];
            families
                .into_iter()
                .filter_map(|family| member.data_address(family))
        });
        if let Some((straight, others)) = ways::ways(&mut network, addresses, data, &names) {
            settings.straight_ways = Some(straight);
            settings.other_ways = others;
        }
    }
    if let Some((routes, cut)) = ways::routes(&mut network, &names) {
        (settings.routes, settings.routes_cut) = (Some(routes), cut);
    }
    settings.policy_tables = network.policy_tables().unwrap_or_default();
    settings.neighbors = ways::neighbors(&mut network);
    Ok(())
}
