//! Responders: what answers the peers, for the length of an assignment and never longer.
//!
//! One responder is one thread with one epoll instance, for one address and transport. The thread is owned by [`Responder`];
//! it ends, and with it every port closes, on [`Responder::release`] or when the value is dropped.

use std::{
    fmt, io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use plumbline_model::{id::NodeId, observation::Record, port::PortSet};
use plumbline_sys::epoll::Waker;

mod bind;
pub mod tcp;
pub mod udp;

/// Somebody who may ask.
#[derive(Clone)]
pub struct Caller {
    /// Index into the roster's members.
    pub index: u32,
    /// Who.
    pub node: NodeId,
    /// The addresses that it may come from.
    pub addresses: Vec<IpAddr>,
    /// The directed pair key, the caller to this node.
    pub key: [u8; 32],
}

/// Without the key.
impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("index", &self.index)
            .field("node", &self.node)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// Everything that a responder has to know.
#[derive(Debug, Clone)]
pub struct ArmTask {
    /// The run's id, as bytes.
    pub run: [u8; 8],
    /// This node's index into the roster's members.
    pub own_index: u32,
    /// The data address to bind.
    pub address: IpAddr,
    /// The ports to bind.
    pub ports: PortSet,
    /// Who may ask.
    pub callers: Vec<Caller>,
}

/// Bound ports and the thread that answers on them. Dropping it closes them.
#[derive(Debug)]
pub struct Responder {
    shared: Arc<Shared>,
    /// Present until [`Responder::release`] takes it.
    thread: Option<JoinHandle<Vec<Record>>>,
}

/// How a responder's thread is told to end.
#[derive(Debug)]
struct Shared {
    waker: Waker,
    released: AtomicBool,
}

impl Shared {
    fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            waker: Waker::new()?,
            released: AtomicBool::new(false),
        }))
    }

    fn is_released(&self) -> bool {
        self.released.load(Ordering::Relaxed)
    }
}

impl Responder {
    /// Starts the thread, which answers until `shared` says that it is released and returns what was heard.
    fn spawn(
        name: &str,
        shared: Arc<Shared>,
        serve: impl FnOnce() -> Vec<Record> + Send + 'static,
    ) -> io::Result<Self> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(serve)?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Closes every port and returns what was heard, one record for each source address and equal counts.
    pub fn release(mut self) -> Vec<Record> {
        let thread = self
            .thread
            .take()
            .expect("only this method takes the thread, and it takes the whole value");
        self.stop();
        match thread.join() {
            Ok(records) => records,
            // A bug of the responder is a bug of the caller's task.
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    fn stop(&self) {
        self.shared.released.store(true, Ordering::Relaxed);
        self.shared.waker.wake();
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.stop();
            // Nobody is left to hear what it heard; a panic was reported by its own thread.
            let _ = thread.join();
        }
    }
}
