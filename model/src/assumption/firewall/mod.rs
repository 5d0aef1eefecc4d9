//! The host's firewall as it is: who manages it, whether firewalld's zones let in what the tables ask for, now and after the
//! next start, whether they are set up for pods and for Cilium, and what may undo that.
//!
//! What is in force is asked of the kernel's own rules ([`node::NodeFilter`]); what firewalld would load comes from its files.
//! Where the port matrix has measured, it is the matrix that complains: here stands a row then.

mod asked;
pub(super) mod cilium_chains;
pub(super) mod drift;
pub(super) mod flush_on_reload;
pub(super) mod forward;
pub(super) mod host_policy;
pub(super) mod managers;
mod node;
pub(super) mod pod_sources;
pub(super) mod reloaders;
pub(super) mod vrrp;
pub(super) mod zone_ports;

pub(super) use self::node::uses_cilium;

#[cfg(test)]
mod tests;
