//! A server outside that speaks TLS: name, connection, proxy, handshake. Nothing is asked of it.

use std::{
    cell::Cell,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::PoisonError,
    time::Duration,
};

use plumbline_measure::connect::{self, Heard};
use plumbline_model::{
    errand::{ProxyServer, Site, Via},
    observation::{Connected, MAX_SITE_ADDRESSES, NoConnection, SiteOutcome, SiteSeen, TlsFailure, Unasked},
};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;

use super::{
    Desk, no_connection,
    resolver::{NoAddresses, to_try},
};

impl Desk<'_> {
    /// Connects to a site.
    pub(super) async fn site(&self, site: &Site) -> SiteSeen {
        let mut seen = SiteSeen {
            host: site.host.clone(),
            port: site.port,
            via: site.via,
            anchors: site.anchors,
            addresses: Vec::new(),
            outcome: SiteOutcome::Unasked { why: Unasked::Time },
        };
        if !self.has_time() {
            return seen;
        }
        if self.in_vain(site.via).get() >= ENOUGH_IN_VAIN {
            seen.outcome = SiteOutcome::Unasked {
                why: Unasked::Hopeless,
            };
            return seen;
        }
        let (host, port, proxy) = match (site.via, &self.errand.proxy) {
            (Via::Direct, _) => (site.host.as_str(), site.port, None),
            (Via::Proxy, Some(proxy)) => (proxy.host.as_str(), proxy.port, Some(proxy)),
            // It was refused when it was read.
            (Via::Proxy, None) => return seen,
        };
        let addresses = match self.resolver.addresses(host, self.pace).await {
            Ok(addresses) => addresses,
            Err(NoAddresses::Unresolved(why)) => {
                seen.outcome = SiteOutcome::Unresolved { why };
                return seen;
            }
            Err(NoAddresses::Hopeless) => {
                seen.outcome = SiteOutcome::Unasked {
                    why: Unasked::Hopeless,
                };
                return seen;
            }
        };
        seen.addresses = addresses.iter().copied().take(MAX_SITE_ADDRESSES).collect();
        seen.outcome = self.reach(site, &addresses, port, proxy).await;
        match seen.outcome {
            // It was not tried: nothing is known of the others.
            SiteOutcome::NoConnection {
                why: NoConnection::Policy,
            } => {}
            // A proxy that does not answer as one does costs each server behind it the whole time.
            SiteOutcome::NoConnection { .. } | SiteOutcome::NoProxy { .. } => {
                self.in_vain(site.via).update(|count| count + 1);
            }
            _ => self.in_vain(site.via).set(0),
        }
        seen
    }

    /// The one way says nothing of the other: where a proxy is dead, what is reached without it is asked all the same.
    fn in_vain(&self, via: Via) -> &Cell<u32> {
        let [direct, by_proxy] = &self.in_vain;
        match via {
            Via::Direct => direct,
            Via::Proxy => by_proxy,
        }
    }

    async fn reach(
        &self,
        site: &Site,
        addresses: &[IpAddr],
        port: u16,
        proxy: Option<&ProxyServer>,
    ) -> SiteOutcome {
        let started = Instant::now();
        let mut why = None;
        let mut had_way = false;
        for address in to_try(addresses, has_route) {
            let has_way = has_route(address);
            match self.connect(SocketAddr::new(address, port)).await {
                Ok(mut stream) => {
                    if let Some(proxy) = proxy
                        && let Err(outcome) = tunnel(&mut stream, site, proxy).await
                    {
                        return outcome;
                    }
                    return self.handshake(stream, site, started).await;
                }
                // What was tried tells more than what was forbidden.
                Err(NoConnection::Policy) if why.is_some() => {}
                // That there is no way to the other family says nothing of a server that did not answer in this one.
                Err(_) if had_way && !has_way => {}
                Err(failed) => why = Some(failed),
            }
            had_way |= has_way;
        }
        SiteOutcome::NoConnection {
            why: why.unwrap_or(NoConnection::Silent),
        }
    }

    async fn connect(&self, to: SocketAddr) -> Result<TcpStream, NoConnection> {
        // A name may lead anywhere: to the host itself, to a cloud's metadata service, out of the networks that are allowed.
        if !self.policy.allows(to, self.local.is_some()) {
            return Err(NoConnection::Policy);
        }
        self.pace.wait().await;
        let socket = match to {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        };
        let connecting = socket.map_err(|error| no_connection(&error))?.connect(to);
        match timeout(CONNECT_TIME, connecting).await {
            Ok(connected) => connected.map_err(|error| no_connection(&error)),
            Err(_) => Err(NoConnection::Silent),
        }
    }

    async fn handshake(&self, stream: TcpStream, site: &Site, started: Instant) -> SiteOutcome {
        let garbage = SiteOutcome::NoTls {
            how: TlsFailure::Garbage,
        };
        let Ok(name) = ServerName::try_from(site.host.clone()) else {
            return garbage;
        };
        let Ok((config, shown)) = self.trust.client(site.anchors) else {
            return garbage;
        };
        let shaken = timeout(HANDSHAKE_TIME, TlsConnector::from(config).connect(name, stream)).await;
        let shown = std::mem::take(&mut *shown.lock().unwrap_or_else(PoisonError::into_inner));
        match shaken {
            Ok(Ok(mut session)) => {
                // The other end learns that nothing will come; whether it hears it does not matter.
                let _ = timeout(GOODBYE_TIME, session.shutdown()).await;
                SiteOutcome::Trusted(Connected {
                    took_ms: u32::try_from(started.elapsed().as_millis()).unwrap_or(u32::MAX),
                    issuer: shown
                        .chain
                        .into_iter()
                        .next()
                        .map(|first| first.issuer)
                        .unwrap_or_default(),
                })
            }
            Ok(Err(error)) => match shown.verdict {
                Some(why) => SiteOutcome::Untrusted {
                    why,
                    chain: shown.chain,
                },
                None => SiteOutcome::NoTls { how: failure(&error) },
            },
            Err(_) => SiteOutcome::NoTls {
                how: TlsFailure::Silent,
            },
        }
    }
}

/// Asks a proxy for a tunnel to a site.
async fn tunnel(stream: &mut TcpStream, site: &Site, proxy: &ProxyServer) -> Result<(), SiteOutcome> {
    let target = match site.host.parse() {
        Ok(IpAddr::V6(address)) => format!("[{address}]:{}", site.port),
        _ => format!("{}:{}", site.host, site.port),
    };
    let login = proxy.login.as_ref();
    let request = connect::request(
        &target,
        login.map(|login| (login.user.as_str(), login.password.as_str())),
    );
    let asking = async {
        stream
            .write_all(&request)
            .await
            .map_err(|error| failure(&error))?;
        let mut octets = Vec::new();
        loop {
            match connect::read(&octets) {
                Heard::Answer { status, .. } => return Ok(status),
                Heard::Garbage => return Err(TlsFailure::Garbage),
                Heard::More => {}
            }
            // One octet after the other: what follows the head is the server's.
            let octet = stream.read_u8().await.map_err(|error| failure(&error))?;
            octets.push(octet);
        }
    };
    match timeout(PROXY_TIME, asking).await {
        Ok(Ok(200..=299)) => Ok(()),
        Ok(Ok(status)) => Err(SiteOutcome::ProxyDenied { status }),
        Ok(Err(how)) => Err(SiteOutcome::NoProxy { how }),
        Err(_) => Err(SiteOutcome::NoProxy {
            how: TlsFailure::Silent,
        }),
    }
}

/// What became of a conversation that should have been a handshake.
fn failure(error: &io::Error) -> TlsFailure {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::AlertReceived(alert)) => TlsFailure::Alert {
            alert: (*alert).into(),
        },
        Some(rustls::Error::PeerIncompatible(_)) => TlsFailure::Incompatible,
        Some(_) => TlsFailure::Garbage,
        None => match error.kind() {
            io::ErrorKind::ConnectionReset => TlsFailure::Reset,
            io::ErrorKind::TimedOut => TlsFailure::Silent,
            _ => TlsFailure::Closed,
        },
    }
}

/// Whether the kernel has a route to an address. Nothing is sent: it is what connect(2) of a datagram socket asks.
fn has_route(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0));
    socket.is_ok_and(|socket| socket.connect((address, TLS_PORT)).is_ok())
}

/// Any would do.
const TLS_PORT: u16 = 443;

/// How long a connection is waited for: the second SYN leaves after a second, the third after three (RFC 6298).
const CONNECT_TIME: Duration = Duration::from_secs(4);

/// How long a proxy may take to reach the server: it has its own names to look up.
const PROXY_TIME: Duration = Duration::from_secs(8);

/// How long a handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// How long the end of a session may take to be written.
const GOODBYE_TIME: Duration = Duration::from_millis(200);

/// Connections in a row one way that did not come to be, after which the rest is not tried.
const ENOUGH_IN_VAIN: u32 = 6;
