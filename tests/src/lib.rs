//! The tiers of tests that cross crates. What is shared by their test binaries lives here:
//!
//! * [`scenario`]: a scenario file (cluster, faults, what must be found), and how a report is held against it;
//! * [`stage`]: a lab with the real programs in it: the coordinator on the admin workstation, a probe on every host.

pub mod scenario;
pub mod stage;
