//! Names to addresses as this host does it, without its libraries: `/etc/hosts`, then each name server in turn.
//!
//! A name is asked for its addresses of both families, as hosts do that have both. Other sources that a host may have (sssd,
//! mDNS) are not asked. A name is asked for as it stands: what search domains make of
//! it is no business of a name with dots in it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io::Read as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    time::Duration,
};

use plumbline_measure::dns::{Answer, Question, Record, Told};
use plumbline_model::observation::{self, MAX_DNS_ANSWERS, Unresolved};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use super::DialPace;

/// How this host resolves names.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    servers: Vec<Server>,
    search: Vec<String>,
    ndots: u8,
    is_unread: bool,
    hosts: BTreeMap<String, Vec<IpAddr>>,
    /// Whether the host has an IPv6 address beyond its links.
    has_ipv6: bool,
    silence: Silence,
    /// Whether a name that has IPv4 addresses was asked for the others, and nobody had a word: some middleboxes drop such
    /// questions, and each would cost the whole wait.
    drops_ipv6: Cell<bool>,
    known: RefCell<BTreeMap<String, Result<Vec<IpAddr>, Unresolved>>>,
}

/// What name servers leave unanswered. They may have no word for one name, whose own servers are dead, and for all others.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// Names that no server had any word for.
    names: Cell<u32>,
    /// Whether a server ever had a word.
    was_broken: Cell<bool>,
}

impl Silence {
    pub(super) fn unheard(&self) {
        self.names.update(|names| names + 1);
    }

    pub(super) fn heard(&self) {
        self.was_broken.set(true);
    }

    /// Whether no further name would fare better.
    pub(super) fn is_hopeless(&self) -> bool {
        !self.was_broken.get() && self.names.get() >= ENOUGH_SILENCE
    }
}

/// A name server of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Server {
    /// Its address.
    pub(super) address: IpAddr,
    /// The interface's index by which a link-local address is reached; 0 for others.
    scope: u32,
}

impl Server {
    /// As resolv.conf(5) has it: an address, of IPv6 with a zone maybe (`fe80::1%eth0`, RFC 4007 section 11), as routers announce
    /// themselves (RFC 8106).
    fn read(word: &str, index_of: &impl Fn(&str) -> Option<u32>) -> Option<Self> {
        let (address, zone) = word
            .split_once('%')
            .map_or((word, None), |(address, zone)| (address, Some(zone)));
        let scope = zone.and_then(|zone| zone.parse().ok().or_else(|| index_of(zone)));
        Some(Self {
            address: address.parse().ok()?,
            scope: scope.unwrap_or(0),
        })
    }

    pub(super) fn socket(self) -> SocketAddr {
        match self.address {
            IpAddr::V4(address) => SocketAddr::new(address.into(), DNS_PORT),
            IpAddr::V6(address) => SocketAddrV6::new(address, DNS_PORT, 0, self.scope).into(),
        }
    }
}

impl From<IpAddr> for Server {
    fn from(address: IpAddr) -> Self {
        Self { address, scope: 0 }
    }
}

/// Why there are no addresses to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAddresses {
    /// The name was looked up.
    Unresolved(Unresolved),
    /// It was not: no server ever had a word for any name before it.
    Hopeless,
}

/// Why one server's word was not had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoWord {
    Silent,
    Refused,
    Unreachable,
    Garbage,
}

impl Resolver {
    /// As the files of this host say.
    pub(super) fn of_host() -> Self {
        let resolv = read_file("/etc/resolv.conf");
        let own_addresses = Ipv6Table::of_host();
        let index_of = |name: &str| own_addresses.index_of(name);
        let mut resolver = Self {
            is_unread: resolv.is_none(),
            has_ipv6: own_addresses.is_global,
            ..Self::read(&resolv.unwrap_or_default(), &index_of)
        };
        resolver.hosts = hosts(&read_file("/etc/hosts").unwrap_or_default());
        resolver
    }

    /// As `/etc/resolv.conf` says (resolv.conf(5)), on a host whose interfaces have these indices.
    pub(super) fn read(text: &str, index_of: &impl Fn(&str) -> Option<u32>) -> Self {
        let mut resolver = Self {
            ndots: 1,
            ..Self::default()
        };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server = words.next().and_then(|word| Server::read(word, index_of));
                    resolver.servers.extend(server);
                }
                Some("search" | "domain") => resolver.search = words.map(cut).collect(),
                Some("options") => {
                    for option in words {
                        if let Some(dots) = option.strip_prefix("ndots:") {
                            resolver.ndots = dots.parse().unwrap_or(1).min(MAX_NDOTS);
                        }
                    }
                }
                _ => {}
            }
        }
        resolver.servers.dedup();
        resolver.servers.truncate(MAX_SERVERS);
        resolver.search.truncate(MAX_DNS_ANSWERS);
        resolver
    }

    /// What is told of it.
    pub(super) fn told(&self) -> observation::Resolver {
        observation::Resolver {
            servers: self.servers.iter().map(|server| server.address).collect(),
            search: self.search.clone(),
            ndots: self.ndots,
            unread: self.is_unread,
        }
    }

    /// Its name servers.
    pub(super) fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The addresses of a name, IPv4 first; of an address its own.
    pub(super) async fn addresses(&self, name: &str, pace: &DialPace) -> Result<Vec<IpAddr>, NoAddresses> {
        if let Ok(address) = name.parse() {
            return Ok(vec![address]);
        }
        let name = name.to_ascii_lowercase();
        if let Some(addresses) = self.hosts.get(&name) {
            return Ok(addresses.clone());
        }
        if let Some(known) = self.known.borrow().get(&name) {
            return known.clone().map_err(NoAddresses::Unresolved);
        }
        if self.silence.is_hopeless() {
            return Err(NoAddresses::Hopeless);
        }
        let found = self.look_up(&name, pace).await;
        self.known.borrow_mut().insert(name, found.clone());
        found.map_err(NoAddresses::Unresolved)
    }

    async fn look_up(&self, name: &str, pace: &DialPace) -> Result<Vec<IpAddr>, Unresolved> {
        if self.servers.is_empty() {
            return Err(Unresolved::NoServer);
        }
        let mut found = match self.look_up_of(name, Record::A, pace).await {
            Err(Unresolved::NoAddress) => return self.look_up_of(name, Record::Aaaa, pace).await,
            found => found?,
        };
        if self.has_ipv6 && !self.drops_ipv6.get() {
            match self.look_up_of(name, Record::Aaaa, pace).await {
                Ok(others) => found.extend(others),
                Err(Unresolved::Silent) => self.drops_ipv6.set(true),
                // What it has is enough.
                Err(_) => {}
            }
        }
        Ok(found)
    }

    /// Asks each server in turn, twice: the first word that tells something stands, as resolvers do it.
    async fn look_up_of(
        &self,
        name: &str,
        record: Record,
        pace: &DialPace,
    ) -> Result<Vec<IpAddr>, Unresolved> {
        let mut worst = Unresolved::Silent;
        for _ in 0..ROUNDS {
            for server in &self.servers {
                pace.wait().await;
                let Ok(question) = Question::new(identity(), name, record) else {
                    return Err(Unresolved::NoSuchName);
                };
                let mut answer = over_udp(*server, &question).await;
                if answer.as_ref().is_ok_and(|answer| answer.truncated) {
                    pace.wait().await;
                    answer = over_tcp(*server, &question).await;
                }
                let answer = match answer {
                    Ok(answer) => answer,
                    Err(NoWord::Silent) => continue,
                    Err(NoWord::Refused | NoWord::Unreachable | NoWord::Garbage) => {
                        worst = worst.max(Unresolved::Refused);
                        continue;
                    }
                };
                self.silence.heard();
                match answer.rcode {
                    0 => {
                        let addresses = answer.told.into_iter().filter_map(|told| match told {
                            Told::Address(address) => Some(address),
                            Told::Name(_) => None,
                        });
                        let addresses: Vec<IpAddr> = addresses.collect();
                        return match addresses.is_empty() {
                            true => Err(Unresolved::NoAddress),
                            false => Ok(addresses),
                        };
                    }
                    3 => return Err(Unresolved::NoSuchName),
                    5 => worst = worst.max(Unresolved::Refused),
                    _ => worst = Unresolved::Failed,
                }
            }
            if worst != Unresolved::Silent {
                break;
            }
        }
        if worst == Unresolved::Silent {
            self.silence.unheard();
        }
        Err(worst)
    }
}

/// One question in a datagram.
pub(super) async fn over_udp(server: Server, question: &Question) -> Result<Answer, NoWord> {
    let any: IpAddr = match server.address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let ask = async {
        let socket = UdpSocket::bind((any, 0)).await.map_err(|error| no_word(&error))?;
        socket
            .connect(server.socket())
            .await
            .map_err(|error| no_word(&error))?;
        socket
            .send(&question.datagram())
            .await
            .map_err(|error| no_word(&error))?;
        let mut octets = vec![0; MAX_DATAGRAM];
        let mut strays = 0;
        loop {
            let length = socket.recv(&mut octets).await.map_err(|error| no_word(&error))?;
            match question.answer(&octets[..length]) {
                Ok(answer) => return Ok(answer),
                // Not to this question: a late one, or a guess of somebody.
                Err(_) if strays < MAX_STRAYS => strays += 1,
                Err(_) => return Err(NoWord::Garbage),
            }
        }
    };
    timeout(WAIT, ask).await.unwrap_or(Err(NoWord::Silent))
}

/// One question on a stream.
pub(super) async fn over_tcp(server: Server, question: &Question) -> Result<Answer, NoWord> {
    let ask = async {
        let mut stream = TcpStream::connect(server.socket())
            .await
            .map_err(|error| no_word(&error))?;
        let closed = |error: std::io::Error| match no_word(&error) {
            NoWord::Silent => NoWord::Silent,
            _ => NoWord::Garbage,
        };
        stream.write_all(&question.on_stream()).await.map_err(closed)?;
        let length = stream.read_u16().await.map_err(closed)?;
        let mut message = vec![0; length.into()];
        stream.read_exact(&mut message).await.map_err(closed)?;
        question.answer(&message).map_err(|_| NoWord::Garbage)
    };
    timeout(WAIT, ask).await.unwrap_or(Err(NoWord::Silent))
}

fn no_word(error: &std::io::Error) -> NoWord {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => NoWord::Refused,
        std::io::ErrorKind::TimedOut => NoWord::Silent,
        std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset => NoWord::Garbage,
        _ => NoWord::Unreachable,
    }
}

/// What nobody can guess.
pub(super) fn identity() -> u16 {
    let mut octets = [0; 2];
    // Without randomness an answer is easier to forge, which is no reason to ask nothing.
    let _ = getrandom::fill(&mut octets);
    u16::from_be_bytes(octets)
}

/// The host's own IPv6 addresses.
#[derive(Debug, Default)]
pub(super) struct Ipv6Table {
    /// The index of every interface that has one, by its name.
    indices: BTreeMap<String, u32>,
    /// Whether there is one of more than a link or a host.
    pub(super) is_global: bool,
}

impl Ipv6Table {
    fn of_host() -> Self {
        Self::read(&read_file("/proc/thread-self/net/if_inet6").unwrap_or_default())
    }

    /// As if_inet6 has it (proc_pid_net(5)): `fe80...01 02 40 20 80     eth0`: address, index, length of the prefix, scope,
    /// flags, name; the first in hexadecimal.
    pub(super) fn read(text: &str) -> Self {
        let mut table = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            if let [_, index, _, scope, _, name] = words[..]
                && let Ok(index) = u32::from_str_radix(index, 16)
            {
                table.indices.insert(name.to_owned(), index);
                table.is_global |= scope == GLOBAL_SCOPE;
            }
        }
        table
    }

    pub(super) fn index_of(&self, name: &str) -> Option<u32> {
        self.indices.get(name).copied()
    }
}

/// Of several addresses of a name those to try: one of each family, in the order of the families that this host has a way to;
/// two of a family that is alone.
pub(super) fn to_try(addresses: &[IpAddr], has_route: impl Fn(IpAddr) -> bool) -> Vec<IpAddr> {
    let first_of = |is_ipv4: bool| {
        let of_family = || {
            addresses
                .iter()
                .copied()
                .filter(move |own| own.is_ipv4() == is_ipv4)
        };
        of_family()
            .find(|own| has_route(*own))
            .or_else(|| of_family().next())
    };
    let (ipv4, ipv6) = (first_of(true), first_of(false));
    match (ipv4, ipv6) {
        (Some(ipv4), Some(ipv6)) if has_route(ipv6) && !has_route(ipv4) => vec![ipv6, ipv4],
        (Some(ipv4), Some(ipv6)) => vec![ipv4, ipv6],
        _ => addresses.iter().copied().take(MAX_TRIED).collect(),
    }
}

/// `/etc/hosts` (hosts(5)): every name with its addresses.
fn hosts(text: &str) -> BTreeMap<String, Vec<IpAddr>> {
    let mut hosts: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse().ok()) else {
            continue;
        };
        for name in words {
            hosts.entry(name.to_ascii_lowercase()).or_default().push(address);
        }
    }
    hosts
}

/// The beginning of a file; longer ones are nobody's.
fn read_file(path: &str) -> Option<String> {
    let mut text = String::new();
    std::fs::File::open(path)
        .ok()?
        .take(MAX_FILE)
        .read_to_string(&mut text)
        .ok()?;
    Some(text)
}

fn cut(word: &str) -> String {
    let word = word.strip_suffix('.').unwrap_or(word);
    word.chars()
        .filter(|char| char.is_ascii_graphic())
        .take(MAX_DOMAIN)
        .collect()
}

/// RFC 1035 section 4.2.
const DNS_PORT: u16 = 53;

/// How long one server's word is waited for: resolvers of hosts wait for five seconds, and who waits longer than two for every name
/// installs nothing: they ask again sooner or later, and so is done here.
const WAIT: Duration = Duration::from_millis(1_500);

/// How often all servers are asked before their silence is believed.
const ROUNDS: u32 = 2;

/// Names that no server had a word for, and none for any other: the next ones would not fare better.
const ENOUGH_SILENCE: u32 = 2;

/// Addresses of one name that are tried.
const MAX_TRIED: usize = 2;

/// `IPV6_ADDR_ANY` (net/ipv6.h), which is what if_inet6 calls the scope of global and unique local addresses.
const GLOBAL_SCOPE: &str = "00";

/// Name servers that a host's resolver asks (resolv.conf(5), MAXNS).
const MAX_SERVERS: usize = 3;

/// What the host's resolver caps it to (resolv.conf(5)).
const MAX_NDOTS: u8 = 15;

/// Octets of an answer in a datagram: without EDNS 512, and some send more.
const MAX_DATAGRAM: usize = 4096;

/// Datagrams to other questions that are passed over.
const MAX_STRAYS: u32 = 8;

/// Octets of a file: an `/etc/hosts` of a large site has some hundred thousand.
const MAX_FILE: u64 = 1 << 20;

/// Octets of a search domain.
const MAX_DOMAIN: usize = 253;
