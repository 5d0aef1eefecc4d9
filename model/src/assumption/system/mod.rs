//! Checks of what a host brings along.

pub(super) mod clock;
pub(super) mod conntrack;
pub(super) mod forwarding;
pub(super) mod kernel;
pub(super) mod known_bad;
pub(super) mod local_ports;
pub(super) mod managers;
pub(super) mod noexec;
pub(super) mod offload;
pub(super) mod reverse_path;
pub(super) mod source_ports;
