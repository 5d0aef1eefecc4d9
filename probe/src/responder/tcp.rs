//! The TCP responder: binds a node's ports for an assignment, answers proven hellos and counts what reached it.
//!
//! One responder is one thread with one epoll instance. The thread is owned by [`Responder`]; it ends, and with it every
//! port closes, on [`Responder::release`] or when the value is dropped.
//!
//! ```text
//!   accepted --> asking --(whole request)--> proven: reply --> answered --(RST, FIN, time)--> closed by RST
//!                  |                 |
//!                  |                 '-----> unproven: no reply ----------------------------> closed by RST
//!                  '--(RST, FIN, time)------------------------------------------------------> closed by RST
//! ```
//!
//! It says nothing to anybody who has not proven the pair key from an address of the roster, and a reply is shorter than
//! its request. What an attacker can make it keep is bounded: connections (`serve`) and counters (`tally`).

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use plumbline_model::{
    id::NodeId,
    observation::{Armed, BindFailure, NotBound, Record},
    port::{Family, PortSet, Protocol},
};
use plumbline_sys::{Errno, epoll::Waker, limits, tcp::TcpListener};

use crate::facts::listeners;
use serve::Server;

mod serve;
mod tally;

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

/// Everything that the responder has to know.
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

#[derive(Debug)]
struct Shared {
    waker: Waker,
    released: AtomicBool,
}

/// Binds what can be bound and starts to answer.
///
/// # Errors
///
/// The kernel's error, if there are no descriptors or threads left for a responder; a port that cannot be bound is no
/// error but part of [`Armed`].
pub fn arm(task: ArmTask) -> io::Result<(Responder, Armed)> {
    let (bound, refused) = bind(task.address, &task.ports);
    let armed = Armed {
        family: Family::of(task.address),
        protocol: Protocol::Tcp,
        ports: bound.iter().map(|(port, _)| *port).collect(),
        refused,
    };
    let shared = Arc::new(Shared {
        waker: Waker::new()?,
        released: AtomicBool::new(false),
    });
    let server = Server::new(task, bound, Arc::clone(&shared))?;
    let thread = thread::Builder::new()
        .name("answer-tcp".to_owned())
        .spawn(move || server.run())?;
    Ok((
        Responder {
            shared,
            thread: Some(thread),
        },
        armed,
    ))
}

impl Responder {
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

/// Binds every port that can be bound; the others by reason.
fn bind(address: IpAddr, ports: &PortSet) -> (Vec<(u16, TcpListener)>, Vec<NotBound>) {
    let open_files = usize::try_from(limits::raise_open_files()).unwrap_or(usize::MAX);
    let limit = open_files.saturating_sub(RESERVED_FILES);
    let (mut bound, mut failed) = (Vec::new(), BTreeMap::<u16, Errno>::new());
    for port in ports.iter() {
        let listener = if bound.len() < limit {
            TcpListener::bind(SocketAddr::new(address, port), BACKLOG)
        } else {
            Err(Errno::MFILE)
        };
        match listener {
            Ok(listener) => bound.push((port, listener)),
            Err(errno) => {
                failed.insert(port, errno);
            }
        }
    }
    (bound, reasons(address, &failed))
}

fn reasons(address: IpAddr, failed: &BTreeMap<u16, Errno>) -> Vec<NotBound> {
    let taken: PortSet = failed
        .iter()
        .filter(|(_, errno)| **errno == Errno::ADDRINUSE)
        .map(|(port, _)| *port)
        .collect();
    let mut holders = if taken.is_empty() {
        BTreeMap::new()
    } else {
        listeners::holders(address, &taken)
    };
    let mut by_reason = BTreeMap::<BindFailure, Vec<u16>>::new();
    for (port, errno) in failed {
        let why = match *errno {
            Errno::ADDRINUSE => {
                let holder = holders.remove(port);
                let pid = holder.as_ref().map(|holder| holder.pid);
                BindFailure::Taken {
                    process: holder.and_then(|holder| holder.process),
                    pid,
                }
            }
            Errno::ACCESS | Errno::PERM => BindFailure::Privilege,
            Errno::ADDRNOTAVAIL => BindFailure::AddressMissing,
            Errno::MFILE | Errno::NFILE => BindFailure::OpenFiles,
            other => BindFailure::Other {
                errno: other.raw_os_error().unsigned_abs(),
            },
        };
        by_reason.entry(why).or_default().push(*port);
    }
    by_reason
        .into_iter()
        .map(|(why, ports)| NotBound {
            ports: ports.into_iter().collect(),
            why,
        })
        .collect()
}

/// Descriptors that are not spent on ports: connections to answer, the engine's own, the session.
const RESERVED_FILES: usize = 512;
/// Connections that the kernel keeps for one port until they are taken; net.core.somaxconn may allow fewer. Every node of
/// a large swarm may ask the same port at once.
const BACKLOG: u16 = 4096;
