//! SIGINT and SIGTERM: the first asks for an end, the second ends.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals since the beginning of the command; one that comes between two waits is not lost.
#[derive(Debug)]
pub(super) struct Interrupts {
    int: Signal,
    term: Signal,
}

impl Interrupts {
    /// Takes the signals over from their default, which is to end the process where it stands.
    pub(super) fn catch() -> io::Result<Self> {
        Ok(Self {
            int: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
        })
    }

    /// The next one. Cancel-safe.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }
}
