//! The packet filter (nf_tables) over netlink: [`read()`] takes it down whole, [`Batch`] changes it in one transaction.
//!
//! No `nft` binary is needed. Both work on the network namespace of the thread that opened the socket, as root or as root of
//! the user namespace that owns it. The reader keeps expressions as the kernel writes them; what they mean is not decided
//! here.

pub mod kernel;
mod raw;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use raw::{Base, Chain, Data, Element, Expression, Rule, Ruleset, Set, Table, Verdict};
pub use read::{ReadError, legacy_tables, read, read_tables};
pub use write::{Action, Batch, Family, Hook, IpVersion, Match, NewRule, Policy, Transport, WriteError};
