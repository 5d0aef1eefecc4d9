//! From listening sockets to proven connections. Tasks: one for each listener, which owns those of its handshakes; they end
//! when the set that [`accept`] gives is dropped or shut down.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::connection::{Connection, Peer};

/// Accepts on every listener; at most `limit` connections exist at a time.
pub(super) fn accept(
    listeners: Vec<TcpListener>,
    tls: Arc<ServerConfig>,
    limit: usize,
    connections: mpsc::Sender<io::Result<Connection>>,
) -> JoinSet<()> {
    let door = Door {
        tls: TlsAcceptor::from(tls),
        places: Arc::new(Semaphore::new(limit)),
        handshakes: Arc::new(Semaphore::new(MOST_HANDSHAKES)),
        connections,
    };
    let mut tasks = JoinSet::new();
    for listener in listeners {
        tasks.spawn(door.clone().listen(listener));
    }
    tasks
}

#[derive(Clone)]
struct Door {
    tls: TlsAcceptor,
    places: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    connections: mpsc::Sender<io::Result<Connection>>,
}

impl Door {
    async fn listen(self, listener: TcpListener) {
        let mut handshakes = JoinSet::new();
        loop {
            // Who cannot be served waits in the kernel's queue instead of in our memory.
            let Ok(turn) = Arc::clone(&self.handshakes).acquire_owned().await else {
                return;
            };
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, address)) => {
                    handshakes.spawn(self.clone().welcome(stream, address, place, turn));
                }
                Err(error) => {
                    // Too few descriptors, or a peer that left again. The first passes when a connection ends.
                    tracing::warn!(%error, "accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
            while handshakes.try_join_next().is_some() {}
        }
    }

    async fn welcome(
        self,
        stream: TcpStream,
        address: SocketAddr,
        place: OwnedSemaphorePermit,
        turn: OwnedSemaphorePermit,
    ) {
        if let Err(error) = set_options(&stream) {
            tracing::debug!(%address, %error, "set the options of a connection");
        }
        let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, self.tls.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%address, %error, "a handshake failed"),
            Err(_) => return tracing::debug!(%address, "a handshake took too long"),
        };
        drop(turn);
        match Peer::of(&stream, address) {
            // Only a service that has ended does not take it.
            Ok(peer) => drop(
                self.connections
                    .send(Ok(Connection::new(stream, peer, place)))
                    .await,
            ),
            Err(error) => tracing::warn!(%address, %error, "a handshake proves nothing"),
        }
    }
}

fn set_options(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;

    stream.set_nodelay(true)?;
    // Heartbeats tell a lost probe within the lease; this frees the socket of one whose host vanished.
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_COUNT)?;
    Ok(())
}

/// A handshake is two round trips and two signatures; five seconds cover one retransmission on a very slow path.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// A thousand probes that start at once get through in seconds, and a stranger who opens connections and says nothing
/// holds no more than these up, for no longer than [`HANDSHAKE_TIMEOUT`].
const MOST_HANDSHAKES: usize = 64;

/// Long enough not to spin while there are no descriptors, short enough not to be noticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_COUNT: u32 = 3;
