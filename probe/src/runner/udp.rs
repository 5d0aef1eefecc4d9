//! The UDP runner: asks the UDP ports of peers with authenticated STAMP packets (RFC 8762).
//!
//! One task is one thread, owned by [`Asking`].
//!
//! ```text
//!   queue (who is next, rates) --> engine (sockets, deadlines) --> ledger (outcomes) --> records
//!                                   |  attempt: what to do next
//!                                   |  flight:  what was asked, and whether this answers it
//!                                   |  window:  how many at a time
//!                                   |  signal:  what the kernel said
//! ```
//!
//! A test has a socket of its own for as long as it lasts, so that all of its attempts are of one 5-tuple and an ICMP error is
//! of one test. The socket is bound and not connected: an answer from another address than the one that was asked is news, and
//! a connected socket would not hear it. The source address is left to the kernel, as it is for what will really be sent.
//!
//! Only a proof ends a test well. What proves nothing is remembered until the attempt is over, since a proof may still come,
//! and anybody may write the peer's address into a datagram.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use plumbline_measure::stamp::session::SessionId;

use super::asking::{AskTask, Asking, Shared};
use engine::Engine;

mod engine;
mod flight;
mod sources;

/// Starts to ask the targets of a task, all of which are responders of ours.
///
/// # Errors
///
/// The kernel's error, if there are no descriptors or threads left for an engine, and InvalidInput for a roster with more
/// members than a packet can name.
pub fn start(task: AskTask) -> io::Result<Asking> {
    let session = SessionId::of_member(task.own_index).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "the roster has more than 65,535 members, which is all that the session identifiers of STAMP can tell apart",
        )
    })?;
    let shared = Shared::new(&task)?;
    let engine = Engine::new(task, session, Arc::clone(&shared))?;
    Asking::spawn("ask-udp", shared, move || engine.run())
}

/// The next sequence number; `None` when all are used up.
///
/// One count for the whole process, whatever the task or the peer: a port that is asked again, in a second look, is asked with
/// higher numbers than before, as the replay window at its responder wants it.
pub(crate) fn next_sequence() -> Option<u32> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| next.checked_add(1));
    next.ok()
}

#[cfg(test)]
mod tests;
