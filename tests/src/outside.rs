//! Servers outside the cluster, on the lab's router: what nodes look up and connect to beyond themselves.
//!
//! One thread a server and one a connection; all end with the process, which is a scenario's own.

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write as _},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::Command,
    sync::Arc,
    thread,
};

use plumbline_lab::Lab;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use serde::Deserialize;

/// A server outside. Its address is given to the router.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "serves", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outsider {
    /// TLS, as whoever it is taken for: its certificate is for the name that the client asks for, or for its address.
    Tls {
        /// Where.
        at: SocketAddr,
        /// Who signs.
        signer: Signer,
        /// The one name that its certificate is for, whatever the client asks for.
        #[serde(default)]
        named: Option<String>,
    },
    /// CONNECT to any server outside.
    Proxy {
        /// Where.
        at: SocketAddr,
        /// Answers this instead of letting anybody through.
        #[serde(default)]
        denies: Option<u16>,
        /// The login that it wants, `USER:PASSWORD` in base64; whoever has none is told 407.
        #[serde(default)]
        login: Option<String>,
        /// Speaks TLS in the servers' place, with certificates of its own.
        #[serde(default)]
        intercepts: bool,
    },
    /// DNS over UDP and TCP.
    Names {
        /// Where, at port 53.
        at: IpAddr,
        /// Names with an address; those below `*.` too.
        #[serde(default)]
        zone: BTreeMap<String, IpAddr>,
        /// Whether it says nothing over TCP.
        #[serde(default)]
        udp_only: bool,
    },
}

/// Who signs certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signer {
    /// The plant's own root, which site files give: "Plant Root".
    Plant,
    /// Somebody in between: "Middlebox Inspection".
    Middlebox,
}

/// Opens them all; they serve until the process ends.
///
/// # Errors
/// A sentence.
pub fn open(lab: &Lab, outsiders: &[Outsider]) -> Result<(), String> {
    for outsider in outsiders {
        lab.in_router(|| outsider.open())
            .map_err(|error| error.to_string())?
            .map_err(|error| format!("open {outsider:?}: {error}"))?;
    }
    Ok(())
}

impl Outsider {
    fn open(&self) -> io::Result<()> {
        let at = match self {
            Self::Tls { at, .. } | Self::Proxy { at, .. } => *at,
            Self::Names { at, .. } => SocketAddr::new(*at, 53),
        };
        // A second server at one address finds it there.
        let _ = Command::new("ip")
            .args(["address", "add", &at.ip().to_string(), "dev", "lo"])
            .output()?;
        let listener = TcpListener::bind(at)?;
        match self.clone() {
            Self::Tls { signer, named, .. } => {
                let config = config(signer, named, at.ip())?;
                serve(listener, move |stream| {
                    let _ = shake_hands(stream, &config);
                });
            }
            Self::Proxy {
                denies,
                login,
                intercepts,
                ..
            } => serve(listener, move |stream| {
                let _ = proxy(stream, denies, login.as_deref(), intercepts);
            }),
            Self::Names { zone, udp_only, .. } => {
                let socket = UdpSocket::bind(at)?;
                let of_datagrams = zone.clone();
                thread::spawn(move || {
                    let mut octets = [0; 512];
                    while let Ok((length, from)) = socket.recv_from(&mut octets) {
                        if let Some(answer) = answer(&octets[..length], &of_datagrams) {
                            let _ = socket.send_to(&answer, from);
                        }
                    }
                });
                serve(listener, move |stream| {
                    if !udp_only {
                        let _ = answer_on_stream(stream, &zone);
                    }
                });
            }
        }
        Ok(())
    }
}

fn serve(listener: TcpListener, work: impl Fn(TcpStream) + Send + Sync + 'static) {
    let work = Arc::new(work);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let work = Arc::clone(&work);
            thread::spawn(move || work(stream));
        }
    });
}

fn shake_hands(mut stream: TcpStream, config: &Arc<ServerConfig>) -> io::Result<()> {
    let mut session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    session.complete_io(&mut stream)?;
    let mut rest = Vec::new();
    // Until the client has enough.
    rustls::Stream::new(&mut session, &mut stream).read_to_end(&mut rest)?;
    Ok(())
}

fn proxy(
    mut stream: TcpStream,
    denies: Option<u16>,
    login: Option<&str>,
    intercepts: bool,
) -> io::Result<()> {
    let mut head = Vec::new();
    let mut octet = [0];
    while !head.ends_with(b"\r\n\r\n") && head.len() < 4096 {
        stream.read_exact(&mut octet)?;
        head.extend(octet);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default();
    let has_login =
        login.is_none_or(|login| head.contains(&format!("Proxy-Authorization: Basic {login}\r\n")));
    let status = denies.or_else(|| (!has_login).then_some(407));
    if let Some(status) = status {
        return stream.write_all(format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n").as_bytes());
    }
    if intercepts {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        return shake_hands(
            stream,
            &config(Signer::Middlebox, None, IpAddr::from([0, 0, 0, 0]))?,
        );
    }
    let Ok(mut server) = TcpStream::connect(target) else {
        return stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
    };
    stream.write_all(b"HTTP/1.1 200 OK\r\nVia: 1.1 lab\r\n\r\n")?;
    let (mut from, mut to) = (server.try_clone()?, stream.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    io::copy(&mut stream, &mut server)?;
    server.shutdown(Shutdown::Write)
}

fn config(signer: Signer, named: Option<String>, address: IpAddr) -> io::Result<Arc<ServerConfig>> {
    let forger = Forger::new(signer, named, address).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(forger));
    Ok(Arc::new(config))
}

/// Makes a certificate for whatever name is asked for.
struct Forger {
    issuer: Issuer<'static, KeyPair>,
    root: Option<CertificateDer<'static>>,
    named: Option<String>,
    address: IpAddr,
}

impl std::fmt::Debug for Forger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Forger(..)")
    }
}

impl Forger {
    fn new(signer: Signer, named: Option<String>, address: IpAddr) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let (key, name) = match signer {
            Signer::Plant => (KeyPair::from_pem(PLANT_KEY)?, "Plant Root"),
            Signer::Middlebox => (KeyPair::generate()?, "Middlebox Inspection"),
        };
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        // Middleboxes send their own root along.
        let root = match signer {
            Signer::Plant => None,
            Signer::Middlebox => Some(params.self_signed(&key)?.der().clone()),
        };
        Ok(Self {
            issuer: Issuer::new(params, key),
            root,
            named,
            address,
        })
    }

    fn forge(&self, name: &str) -> Result<CertifiedKey, rcgen::Error> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, &self.issuer)?;
        let chain = std::iter::once(certificate.der().clone()).chain(self.root.clone());
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signing = rustls::crypto::ring::sign::any_supported_type(&private)
            .map_err(|_| rcgen::Error::UnsupportedSignatureAlgorithm)?;
        Ok(CertifiedKey::new(chain.collect(), signing))
    }
}

impl ResolvesServerCert for Forger {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name().map(str::to_owned);
        let name = self
            .named
            .clone()
            .or(asked)
            .unwrap_or_else(|| self.address.to_string());
        self.forge(&name).ok().map(Arc::new)
    }
}

fn answer_on_stream(mut stream: TcpStream, zone: &BTreeMap<String, IpAddr>) -> io::Result<()> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut question = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut question)?;
    let answer = answer(&question, zone).unwrap_or_default();
    let length = u16::try_from(answer.len()).unwrap_or(0).to_be_bytes();
    stream.write_all(&[&length, answer.as_slice()].concat())
}

/// An A record for a name of the zone; that there is none such for every other.
fn answer(question: &[u8], zone: &BTreeMap<String, IpAddr>) -> Option<Vec<u8>> {
    let mut name = String::new();
    let mut at = 12;
    while let Some(length @ 1..=63) = question.get(at).copied() {
        let label = question.get(at + 1..at + 1 + usize::from(length))?;
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&String::from_utf8_lossy(label));
        at += 1 + usize::from(length);
    }
    let end = at + 5;
    let kind = question.get(at + 1..at + 3)?;
    let below = |name: &str| {
        name.split_once('.')
            .and_then(|(_, rest)| zone.get(&format!("*.{rest}")).copied())
    };
    let address = zone.get(&name).copied().or_else(|| below(&name));
    let mut answer = question.get(..end)?.to_vec();
    answer[2..4].copy_from_slice(&[0x81, if address.is_some() { 0x80 } else { 0x83 }]);
    answer[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    if let (Some(IpAddr::V4(address)), [0, 1]) = (address, kind) {
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

/// The key of "Plant Root", whose certificate stands in tests/clusters/outside-site.yaml. It signs for nobody else.
const PLANT_KEY: &str = include_str!("outside/plant.key.pem");
