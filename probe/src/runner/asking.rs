//! A task that asks: what it has to know, and the thread that does it.
//!
//! One task is one thread with one epoll instance, apart from the probe's async runtime: a control message must not wait
//! for a scan, nor a scan for a control message. The thread is owned by [`Asking`]; it ends when every test has its
//! outcome, when the lease ends, or soon after [`AskControl::cancel`], and dropping [`Asking`] waits for it.

use std::{
    fmt, io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use plumbline_model::{
    id::NodeId,
    observation::{NotTried, Record},
    port::PortSet,
};
use plumbline_sys::epoll::Waker;

use super::rates::Rates;

/// Somebody to ask.
#[derive(Clone)]
pub struct Peer {
    /// Index into the roster's members.
    pub index: u32,
    /// Who.
    pub node: NodeId,
    /// The data address to connect to.
    pub address: IpAddr,
    /// The directed pair key, this node to the peer.
    pub key: [u8; 32],
}

/// Without the key.
impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("index", &self.index)
            .field("node", &self.node)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Ports of one peer.
#[derive(Debug, Clone)]
pub struct AskTarget {
    /// Whom.
    pub peer: Peer,
    /// Which ports.
    pub ports: PortSet,
    /// Who is expected there.
    pub occupant: Occupant,
}

/// Who is expected on a peer's port, which decides how it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occupant {
    /// A responder of ours: asked for its proof, left by RST.
    Responder,
    /// A service of the peer, or nobody: connected to once, never spoken to, what it says is thrown away, left by FIN.
    Service,
    /// An SSH server: as a service, and its banner is waited for, so that it sees a client that changed its mind. Few sources
    /// at a time.
    Sshd,
}

/// Everything that the engine has to know.
#[derive(Debug, Clone)]
pub struct AskTask {
    /// The run's id, as bytes.
    pub run: [u8; 8],
    /// This node's index into the roster's members.
    pub own_index: u32,
    /// How many members the roster has: every one of them may be about to ask the same SSH server.
    pub members: u32,
    /// The local address to connect from. Usually absent: the kernel chooses, as it does for what will really be sent.
    pub local: Option<IpAddr>,
    /// The own data addresses, at most one of a family: an attempt that leaves from another address says so.
    pub data_addresses: Vec<IpAddr>,
    /// Whom to ask what.
    pub targets: Vec<AskTarget>,
    /// Attempts before silence is believed; 0 counts as 1.
    pub attempts: u32,
    /// How long one attempt waits for an answer. Below a second, so that the kernel's own retransmission of the SYN
    /// does not count as an attempt of its own.
    pub attempt_timeout: Duration,
    /// New connections per second of this node; 0 means no limit.
    pub max_rate_node: u32,
    /// New connections per second to one peer; 0 means no limit.
    pub max_rate_pair: u32,
    /// What this node has spent of both, in this task and in others.
    pub rates: Arc<Rates>,
    /// Whether this is the second look, which is only noted in the records.
    pub second_look: bool,
    /// How long the task may go on unless [`AskControl::extend_lease`] is called.
    pub lease: Duration,
}

/// A task under way. Dropping it cancels the task and waits for its thread.
#[derive(Debug)]
pub struct Asking {
    control: AskControl,
    /// Present until [`Asking::finish`] takes it.
    thread: Option<JoinHandle<Vec<Record>>>,
}

/// Follows and steers a task from any thread.
#[derive(Debug, Clone)]
pub struct AskControl(Arc<Shared>);

/// What a task's thread and its owner share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) waker: Waker,
    pub(super) started: Instant,
    lease: Duration,
    /// When the lease ends, in nanoseconds after `started`.
    lease_until_ns: AtomicU64,
    cancelled: AtomicBool,
    done: AtomicU64,
    total: u64,
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(task: &AskTask) -> io::Result<Arc<Self>> {
        let ports = task.targets.iter().map(|target| target.ports.count());
        Ok(Arc::new(Self {
            waker: Waker::new()?,
            started: Instant::now(),
            lease: task.lease,
            lease_until_ns: AtomicU64::new(nanos(task.lease)),
            cancelled: AtomicBool::new(false),
            done: AtomicU64::new(0),
            total: ports.map(u64::from).sum(),
        }))
    }

    /// Why the task is to end now, if it is.
    pub(super) fn stopped(&self) -> Option<NotTried> {
        if self.cancelled.load(Ordering::Relaxed) {
            Some(NotTried::Cancelled)
        } else if nanos(self.started.elapsed()) >= self.lease_until_ns.load(Ordering::Relaxed) {
            Some(NotTried::Lease)
        } else {
            None
        }
    }

    /// One more test has its outcome.
    pub(super) fn count_done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }
}

// === impl Asking ===

impl Asking {
    /// Starts the thread of a task.
    pub(super) fn spawn(
        name: &str,
        shared: Arc<Shared>,
        ask: impl FnOnce() -> Vec<Record> + Send + 'static,
    ) -> io::Result<Self> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(ask)?;
        Ok(Self {
            control: AskControl(shared),
            thread: Some(thread),
        })
    }

    /// A handle to follow and steer the task while somebody waits in [`Asking::finish`].
    pub fn control(&self) -> AskControl {
        self.control.clone()
    }

    /// Tests that have an outcome.
    pub fn done(&self) -> u64 {
        self.control.done()
    }

    /// All tests of the task.
    pub fn total(&self) -> u64 {
        self.control.total()
    }

    /// Whether [`Asking::finish`] would return at once.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// See [`AskControl::cancel`].
    pub fn cancel(&self) {
        self.control.cancel();
    }

    /// See [`AskControl::extend_lease`].
    pub fn extend_lease(&self) {
        self.control.extend_lease();
    }

    /// Waits for the end of the task (blocking) and returns one record for each destination and equal outcome.
    pub fn finish(mut self) -> Vec<Record> {
        let thread = self
            .thread
            .take()
            .expect("only this method takes the thread, and it takes the whole value");
        match thread.join() {
            Ok(records) => records,
            // A bug of the engine is a bug of the caller's task.
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.control.cancel();
            // Nobody is left to hear what it saw; a panic was reported by its own thread.
            let _ = thread.join();
        }
    }
}

// === impl AskControl ===

impl AskControl {
    /// Tests that have an outcome.
    pub fn done(&self) -> u64 {
        self.0.done.load(Ordering::Relaxed)
    }

    /// All tests of the task.
    pub fn total(&self) -> u64 {
        self.0.total
    }

    /// Ends the task at once; what has no outcome yet becomes `not_tried` with the reason `cancelled`.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
        self.0.waker.wake();
    }

    /// Starts the lease anew: the coordinator was heard.
    pub fn extend_lease(&self) {
        let until = self.0.started.elapsed().saturating_add(self.0.lease);
        self.0.lease_until_ns.store(nanos(until), Ordering::Relaxed);
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
