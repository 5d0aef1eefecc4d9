//! The nouns of Plumbline and the decisions about them, in the order in which data flows:
//!
//! ```text
//! input (cluster, waiver) -> inventory -> profile -> plan, errand -> observation -> verdict -> cause, assumption -> report
//! ```
//!
//! Everything here is pure: no clock, no I/O, no async, no global randomness. What needs the time takes it as an
//! argument; what needs chance takes a seed. `clippy.toml` beside this crate keeps it that way. The door to the rest of
//! the house is [`report::report`]: evidence in, report out, the same bytes every time, which is what lets
//! `plumbline verify` recompute a report from its evidence.

mod assumption;
pub mod canonical;
pub mod cause;
pub mod cluster;
pub mod errand;
pub mod evidence;
pub mod firewall;
pub mod id;
pub mod input;
pub mod inventory;
mod ledger;
pub mod observation;
pub mod plan;
pub mod port;
pub mod profile;
mod range_map;
pub mod report;
pub mod source;
mod sysctl;
pub mod verdict;
pub mod version;
pub mod waiver;
mod yaml;
