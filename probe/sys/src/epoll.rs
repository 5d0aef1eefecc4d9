//! Readiness of many descriptors, and a way to wake the thread that waits for it.

use std::{
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::{
    event::{EventfdFlags, Timespec, epoll, eventfd},
    io::Errno,
};

/// An epoll instance (epoll(7)). Every registration carries a token that its events repeat.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

/// When a registration reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// As long as there is something to read or to accept.
    Readable,
    /// Each time that something changes: connected, readable, closed by the peer, failed. A connection needs only one
    /// registration for its whole life.
    EveryChange,
    /// Each time that something arrives, or fails. It is to be read until there is nothing more.
    EveryArrival,
}

/// Room for the events of one wait.
pub struct Events(Vec<epoll::Event>);

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// The token of the registration.
    pub token: u64,
    /// There is something to read or to accept, or the peer closed its direction.
    pub readable: bool,
    /// It can be written, which is how a connection attempt says that it stands.
    pub writable: bool,
    /// There is an error to be read (SO_ERROR or the error queue), or both directions are closed.
    pub failed: bool,
}

/// Wakes a thread out of [`Epoll::wait`]: an eventfd(2) that counts.
#[derive(Debug)]
pub struct Waker(OwnedFd);

// === impl Epoll ===

impl Epoll {
    /// A new instance.
    ///
    /// # Errors
    ///
    /// EMFILE, ENFILE, ENOMEM.
    pub fn new() -> Result<Self, Errno> {
        epoll::create(epoll::CreateFlags::CLOEXEC).map(Self)
    }

    /// Registers a descriptor. Closing the descriptor ends the registration.
    ///
    /// # Errors
    ///
    /// ENOSPC if the user's limit on watches is reached, ENOMEM, EEXIST.
    pub fn add(&self, source: impl AsFd, token: u64, interest: Interest) -> Result<(), Errno> {
        let flags = match interest {
            Interest::Readable => epoll::EventFlags::IN,
            Interest::EveryArrival => epoll::EventFlags::IN | epoll::EventFlags::ET,
            Interest::EveryChange => {
                epoll::EventFlags::IN
                    | epoll::EventFlags::OUT
                    | epoll::EventFlags::RDHUP
                    | epoll::EventFlags::ET
            }
        };
        epoll::add(&self.0, source, epoll::EventData::new_u64(token), flags)
    }

    /// Waits until something is ready, at most for `timeout`; without one, until then. A signal ends it with no events.
    ///
    /// # Errors
    ///
    /// None that a caller could meet: EBADF and EINVAL cannot happen to an instance that this type made.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> Result<(), Errno> {
        events.0.clear();
        let timeout = timeout.map(|timeout| Timespec {
            // A century is as good as for ever, and fits.
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        match epoll::wait(
            &self.0,
            rustix::buffer::spare_capacity(&mut events.0),
            timeout.as_ref(),
        ) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

// === impl Events ===

impl Events {
    /// Room for so many events.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity.max(1)))
    }

    /// The events of the last wait.
    pub fn iter(&self) -> impl Iterator<Item = Ready> + '_ {
        self.0.iter().map(|event| {
            let (flags, data) = (event.flags, event.data);
            Ready {
                token: data.u64(),
                readable: flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::RDHUP),
                writable: flags.contains(epoll::EventFlags::OUT),
                failed: flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP),
            }
        })
    }

    /// Whether the last wait ended without an event.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the last wait filled the room, so that there may be more.
    pub fn is_full(&self) -> bool {
        self.0.len() == self.0.capacity()
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

// === impl Waker ===

impl Waker {
    /// A waker that nobody waits for yet; register it as [`Interest::Readable`].
    ///
    /// # Errors
    ///
    /// EMFILE, ENFILE, ENOMEM.
    pub fn new() -> Result<Self, Errno> {
        eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map(Self)
    }

    /// Makes the descriptor readable until [`Waker::clear`].
    pub fn wake(&self) {
        // The one error, EAGAIN, says that the counter is full: it is readable already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Takes back what [`Waker::wake`] did.
    pub fn clear(&self) {
        // The one error, EAGAIN, says that there is nothing to take back.
        let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waker_ends_a_wait_from_another_thread_and_can_be_cleared() {
        let (epoll, waker) = (Epoll::new().unwrap(), Waker::new().unwrap());
        epoll.add(&waker, 42, Interest::Readable).unwrap();
        let mut events = Events::with_capacity(4);
        std::thread::scope(|scope| {
            scope.spawn(|| waker.wake());
            epoll.wait(&mut events, None).unwrap();
        });
        assert_eq!(events.iter().map(|ready| ready.token).collect::<Vec<_>>(), [42]);
        waker.clear();
        epoll.wait(&mut events, Some(Duration::ZERO)).unwrap();
        assert!(events.is_empty());
    }
}
