//! The probe: one light process on a node that does what its coordinator asks, within what its host allows, and testifies.
//!
//! | module | what |
//! |---|---|
//! | [`cli`] | `plumbline-probe join`, and the same as `plumbline probe join` |
//! | [`session`] | the life of a probe: dial, join, serve, come back, end |
//! | [`guard`] | the host's own policy, before anything runs |
//! | [`runner`] | what asks the peers |
//! | [`responder`] | what answers them |
//! | [`facts`] | what the host is |
//!
//! One thread runs the session; runners and responders have threads of their own that end with their assignment. Nothing on
//! the host is changed, and nothing listens but responders.

pub mod cli;
pub mod errand;
mod error_chain;
pub mod facts;
pub mod guard;
#[cfg(test)]
mod own_address;
pub mod responder;
pub mod runner;
pub mod session;
