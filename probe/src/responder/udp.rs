//! The UDP responder: binds a node's ports for an assignment, reflects authenticated STAMP packets (RFC 8762) and counts
//! what reached it.
//!
//! ```text
//!   sockets (one a port) --> recvmmsg --> reflector: who is answered, who is counted as what --> sendmmsg, from the same socket
//!                            64 at most                (plumbline_measure::stamp::reflector)
//! ```
//!
//! The thread waits for all sockets with one epoll instance and takes a bounded number of datagrams from each in turn, so
//! that a flood into one port delays the others by little, and the end of the assignment by less than a second. The sockets
//! hear of no ICMP error. A reply is never longer than its question.

use std::{io, sync::Arc};

use plumbline_model::{observation::Armed, port::Protocol};
use plumbline_sys::udp::UdpSocket;

use super::{ArmTask, Responder, Shared, bind::bind};
use serve::Server;

mod serve;
#[cfg(test)]
mod tests;

/// Binds what can be bound and starts to answer.
///
/// # Errors
///
/// The kernel's error, if there are no descriptors or threads left for a responder, and InvalidInput for a roster with more
/// members than a packet can name. A port that cannot be bound is no error but part of [`Armed`].
pub fn arm(task: ArmTask) -> io::Result<(Responder, Armed)> {
    let (bound, armed) = bind(Protocol::Udp, task.address, &task.ports, UdpSocket::bind);
    let shared = Shared::new()?;
    let server = Server::new(task, bound, Arc::clone(&shared))?;
    let responder = Responder::spawn("answer-udp", shared, move || server.run())?;
    Ok((responder, armed))
}
