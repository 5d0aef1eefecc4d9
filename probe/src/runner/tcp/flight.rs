//! Tests under way and the sockets that they use.

use std::net::IpAddr;

use plumbline_measure::{
    attempt::Attempts,
    banner::Banner,
    hello::{Asked, REPLY_LEN},
    time::Timestamp,
};
use plumbline_sys::tcp::TcpSocket;

use crate::runner::asking::Occupant;

/// A place for a socket and the test that it is used for. A slot's index is the token of its socket with epoll.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Kept from test to test where that is possible, unconnected in between.
    pub(super) socket: Option<TcpSocket>,
    /// The family of the socket.
    pub(super) ipv6: bool,
    pub(super) flight: Option<Flight>,
    /// Present while a service is taken leave of: the test is over, the socket is not yet free.
    pub(super) leaving: Option<Leaving>,
    /// Counts launches, so that a timer knows whether its launch is over.
    pub(super) serial: u32,
}

/// A test under way: from its first launch to its outcome.
#[derive(Debug)]
pub(super) struct Flight {
    /// Index of the target.
    pub(super) target: usize,
    pub(super) port: u16,
    pub(super) attempts: Attempts,
    /// Only a responder's connection ends by RST, so that the socket can be used again.
    pub(super) occupant: Occupant,
    /// The socket's port is bound for this test's further attempts, so that no other test may use the socket.
    pub(super) keeps_port: bool,
    /// Whether the window counts it: from launch to end or timeout.
    pub(super) in_window: bool,
    /// Whether the window counts it as quiet.
    pub(super) quiet: bool,
    /// The local address that the last attempt left from.
    pub(super) from: Option<IpAddr>,
    /// How often it began anew with another port, because its own was taken.
    pub(super) restarts: u32,
    /// What an SSH server has said.
    pub(super) banner: Banner,
    /// The hello that was sent.
    pub(super) asked: Option<Asked>,
    /// What came back; one octet longer than a reply, to notice what stands behind it.
    pub(super) reply: [u8; REPLY_LEN + 1],
    pub(super) reply_len: usize,
}

impl Flight {
    pub(super) fn new(target: usize, port: u16, occupant: Occupant) -> Self {
        Self {
            target,
            port,
            attempts: Attempts::new(),
            occupant,
            keeps_port: false,
            in_window: false,
            quiet: false,
            from: None,
            restarts: 0,
            banner: Banner::default(),
            asked: None,
            reply: [0; REPLY_LEN + 1],
            reply_len: 0,
        }
    }
}

/// A connection to a service whose end is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaving {
    /// Octets that are still read and thrown away.
    pub(super) patience: usize,
}

/// A deadline of one launch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timer {
    pub(super) at: Timestamp,
    pub(super) slot: usize,
    pub(super) serial: u32,
}
