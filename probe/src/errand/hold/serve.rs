//! Answers for a VIP: proven hellos of those who are expected, and nobody else. Never blocks.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use plumbline_measure::hello::{PairKey, REQUEST_LEN, ReadRequest};
use plumbline_model::{id::NodeId, observation::CallerHeard};
use plumbline_sys::tcp::{Received, TcpListener, TcpSocket};

use crate::errand::Post;

/// Listeners and the connections of their callers.
pub(super) struct Server {
    run: [u8; 8],
    own_index: u32,
    port: u16,
    /// The one at the VIP, and the one for comparison.
    listeners: Vec<(IpAddr, TcpListener)>,
    vip: IpAddr,
    callers: BTreeMap<u32, Caller>,
    open: Vec<Connection>,
}

struct Caller {
    node: NodeId,
    addresses: Vec<IpAddr>,
    key: PairKey,
    /// Proven connections to the VIP: how many, the first and the last.
    heard: Option<(u32, Instant, Instant)>,
}

struct Connection {
    socket: TcpSocket,
    from: IpAddr,
    at_vip: bool,
    since: Instant,
    answered: bool,
    request: [u8; REQUEST_LEN + 1],
    length: usize,
}

impl Server {
    pub(super) fn new(
        post: &Post,
        vip: IpAddr,
        port: u16,
        callers: &[NodeId],
        listeners: Vec<(IpAddr, TcpListener)>,
    ) -> Self {
        let known = callers.iter().filter_map(|node| post.peers.get(node));
        let callers = known.map(|peer| {
            let caller = Caller {
                node: peer.member.node,
                addresses: peer.member.addresses.clone(),
                key: PairKey::new(&peer.key_back),
                heard: None,
            };
            (peer.index, caller)
        });
        Self {
            run: post.run.to_bytes(),
            own_index: post.own_index,
            port,
            listeners,
            vip,
            callers: callers.collect(),
            open: Vec::new(),
        }
    }

    /// Takes and answers what there is.
    pub(super) fn serve(&mut self, now: Instant) {
        self.accept(now);
        let mut open = std::mem::take(&mut self.open);
        open.retain_mut(|connection| {
            now.saturating_duration_since(connection.since) < PATIENCE && self.goes_on(connection, now)
        });
        self.open = open;
    }

    /// Whether everybody who is expected reached the VIP, and went on for so long.
    pub(super) fn has_heard_everybody_for(&self, while_: Duration) -> bool {
        self.callers.values().all(|caller| {
            let heard = caller.heard;
            heard.is_some_and(|(_, first, last)| last.saturating_duration_since(first) >= while_)
        })
    }

    /// Who reached the VIP, and how long after a moment.
    pub(super) fn callers(&self, since: Instant) -> Vec<CallerHeard> {
        let heard = self.callers.values().filter_map(|caller| {
            let (times, first, _) = caller.heard?;
            let first = first.saturating_duration_since(since).as_millis();
            Some(CallerHeard {
                node: caller.node,
                times,
                first_ms: u32::try_from(first).unwrap_or(u32::MAX),
            })
        });
        let mut heard: Vec<CallerHeard> = heard.collect();
        heard.sort_unstable_by_key(|caller| caller.node);
        heard
    }

    fn accept(&mut self, now: Instant) {
        for (address, listener) in &self.listeners {
            // A connection that was reset before it was taken looks like none: the next round takes what is behind it.
            while let Ok(Some((socket, from))) = listener.accept() {
                if self.open.len() >= MAX_OPEN {
                    // The oldest has had its time.
                    self.open.remove(0);
                }
                self.open.push(Connection {
                    socket,
                    from: from.ip(),
                    at_vip: *address == self.vip,
                    since: now,
                    answered: false,
                    request: [0; REQUEST_LEN + 1],
                    length: 0,
                });
            }
        }
    }

    /// Reads on, and answers a request that is whole; whether the connection stays.
    fn goes_on(&mut self, connection: &mut Connection, now: Instant) -> bool {
        let received = connection
            .socket
            .receive(&mut connection.request[connection.length..]);
        match received {
            Ok(Received::Nothing) => return true,
            Ok(Received::Octets(count)) if !connection.answered => connection.length += count,
            // Whoever was answered closes.
            Ok(Received::Octets(_) | Received::Closed) | Err(_) => return false,
        }
        let claim = match ReadRequest::from_octets(&connection.request[..connection.length]) {
            ReadRequest::Incomplete => return true,
            ReadRequest::Garbage => return false,
            ReadRequest::Claimed(claim) => claim,
        };
        let request = claim.request();
        let is_meant =
            request.run == self.run && request.destination == self.own_index && request.port == self.port;
        let Some(caller) = self.callers.get_mut(&request.source).filter(|_| is_meant) else {
            return false;
        };
        // Nobody is answered at an address that is not his.
        let Some(reply) = claim
            .reply(&caller.key)
            .filter(|_| caller.addresses.contains(&connection.from))
        else {
            return false;
        };
        if connection.at_vip {
            let (times, first, _) = caller.heard.unwrap_or((0, now, now));
            caller.heard = Some((times.saturating_add(1), first, now));
        }
        connection.answered = true;
        connection.length = 0;
        connection.socket.send(&reply).is_ok()
    }
}

/// Opens a listener.
pub(super) fn listen(address: IpAddr, port: u16) -> Result<TcpListener, plumbline_sys::Errno> {
    TcpListener::bind(SocketAddr::new(address, port), BACKLOG)
}

/// Connections that are open at most: some for each caller.
const MAX_OPEN: usize = 256;
/// Connections that the kernel keeps until they are taken.
const BACKLOG: u16 = 256;
/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(1);
