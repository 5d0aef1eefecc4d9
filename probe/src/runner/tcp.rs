//! The connect engine: asks the TCP ports of peers.

use std::{net::IpAddr, time::Duration};

use plumbline_model::{
    id::NodeId,
    observation::{NotTried, Reach, Record, Signal},
    port::{Family, PortSet, Protocol},
};

/// Somebody to ask.
#[derive(Debug, Clone)]
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

/// Ports of one peer.
#[derive(Debug, Clone)]
pub struct AskTarget {
    /// Whom.
    pub peer: Peer,
    /// Which ports.
    pub ports: PortSet,
    /// Whether the peer is a live node: one connection, no payload, closed by FIN.
    pub live: bool,
}

/// Everything that the engine has to know.
#[derive(Debug, Clone)]
pub struct AskTask {
    /// The run's id, as bytes.
    pub run: [u8; 8],
    /// This node's index into the roster's members.
    pub own_index: u32,
    /// The local address to connect from; the kernel chooses if absent.
    pub local: Option<IpAddr>,
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
    /// Whether this is the second look, which is only noted in the records.
    pub second_look: bool,
    /// How long the task may go on unless [`Asking::extend_lease`] is called.
    pub lease: Duration,
}

/// A task under way. Dropping it cancels the task and waits for its thread.
#[derive(Debug)]
pub struct Asking {
    task: AskTask,
}

/// Starts to ask.
///
/// # Errors
///
/// The kernel's error, if there are no descriptors or threads left for an engine.
pub fn start(task: AskTask) -> std::io::Result<Asking> {
    Ok(Asking { task })
}

impl Asking {
    /// Tests that have an outcome.
    pub fn done(&self) -> u64 {
        0
    }

    /// All tests of the task.
    pub fn total(&self) -> u64 {
        self.task
            .targets
            .iter()
            .map(|target| u64::from(target.ports.count()))
            .sum()
    }

    /// Whether [`Asking::finish`] would return at once.
    pub fn is_finished(&self) -> bool {
        true
    }

    /// Ends the task soon; what has no outcome yet becomes [`NotTried::Cancelled`].
    pub fn cancel(&self) {}

    /// Starts the lease anew: the coordinator was heard.
    pub fn extend_lease(&self) {}

    /// Waits for the end of the task (blocking) and returns one record for each destination and equal outcome.
    pub fn finish(self) -> Vec<Record> {
        let second_look = self.task.second_look;
        let unsupported = |target: AskTarget| {
            Record::Reach(Reach {
                dst: target.peer.node,
                family: Family::of(target.peer.address),
                protocol: Protocol::Tcp,
                ports: target.ports,
                signal: Signal::NotTried {
                    why: NotTried::Unsupported,
                },
                attempts: 0,
                answered: 0,
                second_look,
            })
        };
        self.task.targets.into_iter().map(unsupported).collect()
    }
}
