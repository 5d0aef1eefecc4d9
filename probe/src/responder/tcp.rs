//! The TCP responder: binds a node's ports for an assignment, answers proven hellos and counts what reached it.
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

use std::{io, sync::Arc};

use plumbline_model::{observation::Armed, port::Protocol};
use plumbline_sys::tcp::TcpListener;

use super::{ArmTask, Responder, Shared, bind::bind};
use serve::Server;

mod serve;
mod tally;

/// Binds what can be bound and starts to answer.
///
/// # Errors
///
/// The kernel's error, if there are no descriptors or threads left for a responder; a port that cannot be bound is no
/// error but part of [`Armed`].
pub fn arm(task: ArmTask) -> io::Result<(Responder, Armed)> {
    let listen = |local| TcpListener::bind(local, BACKLOG);
    let (bound, armed) = bind(Protocol::Tcp, task.address, &task.ports, listen);
    let shared = Shared::new()?;
    let server = Server::new(task, bound, Arc::clone(&shared))?;
    let responder = Responder::spawn("answer-tcp", shared, move || server.run())?;
    Ok((responder, armed))
}

/// Connections that the kernel keeps for one port until they are taken; net.core.somaxconn may allow fewer. Every node of
/// a large swarm may ask the same port at once.
const BACKLOG: u16 = 4096;
