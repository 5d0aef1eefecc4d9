//! One TLS connection as tonic sees it, with what the handshake proved about its peer.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use plumbline_identity::tls;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::Sleep,
};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// The peer of a connection. Every request on it carries this.
#[derive(Debug, Clone)]
pub(super) struct Peer(Arc<Proven>);

#[derive(Debug)]
struct Proven {
    address: SocketAddr,
    tls_key_sha256: [u8; 32],
    exporter: [u8; 32],
    enrolled: AtomicBool,
}

/// A handshake that proves nothing: it was complete, so this is a bug of ours or of rustls.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeFault {
    /// No certificate, although one is demanded.
    #[error("find the peer's certificate")]
    NoCertificate,
    /// The certificate does not read, although the verifier read it.
    #[error("read the peer's key")]
    Certificate(#[source] tls::BadCertificate),
    /// No exporter.
    #[error("derive the session's exporter")]
    Exporter(#[source] rustls::Error),
}

impl Peer {
    /// Reads what a complete handshake proved.
    pub(super) fn of(stream: &TlsStream<TcpStream>, address: SocketAddr) -> Result<Self, HandshakeFault> {
        let session = stream.get_ref().1;
        let certificate = session.peer_certificates().and_then(|chain| chain.first());
        let certificate = certificate.ok_or(HandshakeFault::NoCertificate)?;
        Ok(Self(Arc::new(Proven {
            address,
            tls_key_sha256: tls::spki_sha256(certificate).map_err(HandshakeFault::Certificate)?,
            exporter: tls::exporter(session).map_err(HandshakeFault::Exporter)?,
            enrolled: AtomicBool::new(false),
        })))
    }

    /// From where it came.
    pub(super) fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// The key that it proved in the handshake.
    pub(super) fn tls_key_sha256(&self) -> [u8; 32] {
        self.0.tls_key_sha256
    }

    /// What ties a proof to this one session.
    pub(super) fn exporter(&self) -> &[u8; 32] {
        &self.0.exporter
    }

    /// The connection belongs to a member: it may stay.
    pub(super) fn mark_enrolled(&self) {
        self.0.enrolled.store(true, Ordering::Relaxed);
    }

    fn is_enrolled(&self) -> bool {
        self.0.enrolled.load(Ordering::Relaxed)
    }
}

/// A connection. One that nobody enrolls on ends after [`ENROL_TIMEOUT`], so that strangers cannot hold the places of probes.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    enrol_by: Option<Pin<Box<Sleep>>>,
    /// Its place among the connections.
    _place: OwnedSemaphorePermit,
}

impl Connection {
    pub(super) fn new(stream: TlsStream<TcpStream>, peer: Peer, place: OwnedSemaphorePermit) -> Self {
        let enrol_by = Some(Box::pin(tokio::time::sleep(ENROL_TIMEOUT)));
        Self {
            stream,
            peer,
            enrol_by,
            _place: place,
        }
    }

    /// Whether the time to enrol is over without anybody's having done so.
    fn is_too_late(&mut self, cx: &mut Context<'_>) -> bool {
        if self.peer.is_enrolled() {
            self.enrol_by = None;
        }
        self.enrol_by
            .as_mut()
            .is_some_and(|timer| timer.as_mut().poll(cx).is_ready() && !self.peer.is_enrolled())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_too_late(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

/// A probe joins in its first flight after the handshake; ten seconds cover a path that loses half its packets.
const ENROL_TIMEOUT: Duration = Duration::from_secs(10);
