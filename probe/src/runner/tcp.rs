//! The connect engine: asks the TCP ports of peers.
//!
//! One task is one thread, owned by [`Asking`].
//!
//! ```text
//!   queue (who is next, rates) --> engine (sockets, deadlines) --> ledger (outcomes) --> records
//!                                   |  attempt: what to do next
//!                                   |  hello:   who answered
//!                                   |  window:  how many at a time
//!                                   |  signal:  what the kernel said
//!                                   |  leave:   how services are left in order
//! ```
//!
//! A connection's life, in the fast case, is five system calls: connect, send, recv, disconnect by RST, and clearing the
//! error that this leaves. Sockets are used again, and stay registered with epoll, which is why they are not closed.
//!
//! To a service of the peer no octet and no RST is ever sent; `engine/leave.rs` says how.

use std::sync::Arc;

use super::asking::{AskTask, Asking, Shared};
use engine::Engine;

mod engine;
mod flight;
mod nonces;

/// Starts to ask.
///
/// # Errors
///
/// The kernel's error, if there are no descriptors or threads left for an engine.
pub fn start(task: AskTask) -> std::io::Result<Asking> {
    let shared = Shared::new(&task)?;
    let engine = Engine::new(task, Arc::clone(&shared))?;
    Asking::spawn("ask-tcp", shared, move || engine.run())
}

#[cfg(test)]
mod tests;
