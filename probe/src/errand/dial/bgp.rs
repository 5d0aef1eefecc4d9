//! A router that speaks BGP: a connection, what it says by itself, and, if asked for, an OPEN and what it says to that.
//!
//! ```text
//!   probe                                   router
//!     SYN ---------------------------------->
//!     <---------------------------------- OPEN          (or nothing until it hears one, or the end)
//!     OPEN --------------------------------->           only with Depth::Open
//!     <------------------- KEEPALIVE, or NOTIFICATION
//!     NOTIFICATION (cease) ----------------->           instead of the KEEPALIVE that would make it a session
//!     FIN ---------------------------------->
//! ```
//!
//! No session comes to be, since no KEEPALIVE is ever sent. A host on which somebody speaks BGP is left alone: a router may take
//! a second connection of the same host for its restart, and end the session that it has (RFC 4724 section 4.2).
//! One thread a router with a runtime of its own, which ends within [`LONGEST_NAP`] of being told to stop.

use std::{
    collections::BTreeSet,
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use plumbline_measure::bgp::{LONGEST, Message, Notification, Open, PORT};
use plumbline_model::{
    errand::{Depth, PeerTarget},
    observation::{Dialled, NoConnection, PeerOutcome, PeerSeen, PeerWord, Unasked},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::{
    no_connection,
    pace::{CONNECTIONS_A_ROUTER, DialPace},
};
use crate::errand::Stop;

/// Within what a router is connected to.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    /// One with all others whom this probe asks.
    pub(super) pace: DialPace,
    /// When no connection is begun any more.
    pub(super) ends_at: Instant,
    pub(super) stop: Stop,
}

/// Connects to a router, unless somebody speaks BGP on this host.
pub(super) fn connect(peer: &PeerTarget, is_occupied: bool, bounds: &Bounds) -> Option<Dialled> {
    let outcome = if is_occupied {
        Some(PeerOutcome::Occupied)
    } else {
        // Whoever calls may be inside a runtime, in which no other can be entered.
        std::thread::scope(|scope| scope.spawn(|| run(peer, bounds)).join().ok()?)
    };
    outcome.map(|outcome| {
        Dialled::Peer(PeerSeen {
            address: peer.address,
            outcome,
        })
    })
}

fn run(peer: &PeerTarget, bounds: &Bounds) -> Option<PeerOutcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    runtime.block_on(async {
        tokio::select! {
            outcome = visit(peer, bounds) => Some(outcome),
            () = stopped(&bounds.stop) => None,
        }
    })
}

async fn stopped(stop: &Stop) {
    while !stop.is_asked_for() {
        sleep(LONGEST_NAP).await;
    }
}

/// Tries again what did not come to be: a router that has just closed a connection may want a moment.
async fn visit(peer: &PeerTarget, bounds: &Bounds) -> PeerOutcome {
    let mut outcome = match bounds.turn(peer).await {
        Ok(()) => once(peer).await,
        Err(why) => return PeerOutcome::Unasked { why },
    };
    for _ in 1..CONNECTIONS_A_ROUTER {
        let is_settled = match &outcome {
            PeerOutcome::NoConnection { .. } => false,
            PeerOutcome::Connected { said, .. } => {
                let ended = [PeerWord::Closed, PeerWord::Reset];
                !ended.contains(said) && !matches!(said, PeerWord::Notification { .. })
            }
            PeerOutcome::Unasked { .. } | PeerOutcome::Occupied => true,
        };
        if is_settled {
            break;
        }
        sleep(PAUSE).await;
        if bounds.turn(peer).await.is_err() {
            break;
        }
        outcome = once(peer).await;
    }
    outcome
}

impl Bounds {
    /// Waits until a connection to a router may be begun.
    async fn turn(&self, peer: &PeerTarget) -> Result<(), Unasked> {
        let is_over = || Instant::now() >= self.ends_at;
        if is_over() {
            return Err(Unasked::Time);
        }
        self.pace.wait().await;
        // Others may have been before it for long.
        if is_over() {
            return Err(Unasked::Time);
        }
        match self.pace.admits(peer.address) {
            true => Ok(()),
            false => Err(Unasked::Policy),
        }
    }
}

async fn once(peer: &PeerTarget) -> PeerOutcome {
    let connecting = TcpStream::connect(SocketAddr::new(peer.address, PORT));
    let stream = match timeout(CONNECT_TIME, connecting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            return PeerOutcome::NoConnection {
                why: no_connection(&error),
            };
        }
        Err(_) => {
            return PeerOutcome::NoConnection {
                why: NoConnection::Silent,
            };
        }
    };
    let identifier = match stream.local_addr().map(|local| local.ip()) {
        Ok(IpAddr::V4(address)) => address,
        _ => Ipv4Addr::LOCALHOST,
    };
    let introduced = (peer.depth == Depth::Open).then_some(Open {
        asn: peer.local_as,
        hold_time_s: HOLD_TIME_S,
        identifier,
    });
    converse(stream, introduced).await
}

/// Hears what a router says by itself, and what it says to an OPEN.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(stream: S, introduced: Option<Open>) -> PeerOutcome {
    let mut line = Line {
        stream,
        heard: Vec::new(),
    };
    let mut said = line.word().await;
    let mut answered = None;
    if let Some(open) = introduced
        && matches!(said, PeerWord::Open { .. } | PeerWord::Nothing)
    {
        if line.send(&open.encode()).await.is_ok() {
            let mut answer = line.word().await;
            if let (PeerWord::Nothing, PeerWord::Open { .. }) = (said, answer) {
                said = answer;
                answer = line.word().await;
            }
            answered = Some(answer);
        }
        // Nobody waits for what becomes of it.
        let _ = line.send(&Notification::ADMINISTRATIVE_RESET.encode()).await;
    }
    let _ = timeout(GOODBYE_TIME, line.stream.shutdown()).await;
    PeerOutcome::Connected { said, answered }
}

/// A connection, and what came over it that was not read as a message yet.
struct Line<S> {
    stream: S,
    heard: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    /// The next message, or what came instead of it.
    async fn word(&mut self) -> PeerWord {
        match timeout(WORD_TIME, self.next()).await {
            Ok(word) => word,
            Err(_) if self.heard.is_empty() => PeerWord::Nothing,
            // A message that does not end is none.
            Err(_) => PeerWord::Garbage,
        }
    }

    async fn next(&mut self) -> PeerWord {
        loop {
            match Message::read(&self.heard) {
                Ok(Some((message, length))) => {
                    self.heard.drain(..length);
                    return word(message);
                }
                Ok(None) if self.heard.len() < LONGEST => {}
                Ok(None) | Err(_) => return PeerWord::Garbage,
            }
            let mut octets = [0; 512];
            match self.stream.read(&mut octets).await {
                Ok(0) if self.heard.is_empty() => return PeerWord::Closed,
                Ok(0) => return PeerWord::Garbage,
                Ok(length) => self.heard.extend(octets.iter().take(length)),
                Err(_) => return PeerWord::Reset,
            }
        }
    }

    async fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        let sending = self.stream.write_all(octets);
        timeout(GOODBYE_TIME, sending).await.map_err(io::Error::other)?
    }
}

fn word(message: Message) -> PeerWord {
    match message {
        Message::Open(open) => PeerWord::Open {
            asn: open.asn,
            hold_time_s: open.hold_time_s,
            identifier: open.identifier,
        },
        Message::Keepalive => PeerWord::Keepalive,
        Message::Notification(notification) => PeerWord::Notification {
            code: notification.code,
            subcode: notification.subcode,
        },
        // Nobody sends routes to whom it did not greet.
        Message::Update | Message::Other(_) => PeerWord::Garbage,
    }
}

/// Whether somebody else on this host listens at the port of BGP or is connected to another's. Whoever cannot tell is careful
/// only where the kernel has such a table. Responders of this probe hold the port as well where a test asks for it: they are
/// known by their descriptors.
pub(super) fn is_spoken_here() -> bool {
    let tables: Vec<String> = ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect();
    // After the tables: a socket of ours that is in one is among the descriptors, too, unless it was closed since.
    let own = own_sockets();
    tables.iter().any(|table| speaks(table, &own))
}

/// The inodes of this process's sockets: `/proc/self/fd/7 -> socket:[4711]` (proc_pid_fd(5)).
fn own_sockets() -> BTreeSet<u64> {
    let Ok(descriptors) = fs::read_dir("/proc/self/fd") else {
        return BTreeSet::new();
    };
    let links = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let inode = |link: std::path::PathBuf| {
        let number = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        number.parse().ok()
    };
    links.filter_map(inode).collect()
}

/// As proc_net_tcp(5) has it: `  0: 0100007F:00B3 00000000:0000 0A ... 4711`, where the tenth word is the inode: 0 for a
/// connection that no listener has taken yet, who counts by himself. What is closed waits in states of its own.
fn speaks(table: &str, own: &BTreeSet<u64>) -> bool {
    table.lines().skip(1).any(|line| {
        let inode = line.split_whitespace().nth(9).and_then(|word| word.parse().ok());
        if inode.is_some_and(|inode| inode == 0 || own.contains(&inode)) {
            return false;
        }
        let mut words = line.split_whitespace().skip(1);
        let is_bgp = |end: Option<&str>| {
            let port = end.and_then(|end| end.rsplit_once(':')).map(|(_, port)| port);
            port.and_then(|port| u16::from_str_radix(port, 16).ok()) == Some(PORT)
        };
        let (local, remote) = (is_bgp(words.next()), is_bgp(words.next()));
        (local || remote)
            && words
                .next()
                .is_some_and(|state| [ESTABLISHED, LISTEN].contains(&state))
    })
}

const ESTABLISHED: &str = "01";
const LISTEN: &str = "0A";

/// A lost SYN is sent again after one second.
const CONNECT_TIME: Duration = Duration::from_secs(3);
/// How long a router may take for a word. Those that speak first do so at once; the rest is for a busy one.
const WORD_TIME: Duration = Duration::from_secs(3);
/// Between them.
const PAUSE: Duration = Duration::from_secs(1);
/// For what nobody waits for.
const GOODBYE_TIME: Duration = Duration::from_millis(200);
/// RFC 4271 section 10 suggests it.
const HOLD_TIME_S: u16 = 90;
/// How soon it is noticed that the errand has to stop.
const LONGEST_NAP: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    const THEIRS: Open = Open {
        asn: 65_000,
        hold_time_s: 180,
        identifier: Ipv4Addr::new(10, 0, 0, 1),
    };
    const OURS: Open = Open {
        asn: 65_001,
        hold_time_s: HOLD_TIME_S,
        identifier: Ipv4Addr::new(10, 0, 0, 2),
    };
    const SAID: PeerWord = PeerWord::Open {
        asn: 65_000,
        hold_time_s: 180,
        identifier: Ipv4Addr::new(10, 0, 0, 1),
    };

    async fn against<F: Future<Output = ()>>(
        introduced: Option<Open>,
        router: impl FnOnce(DuplexStream) -> F,
    ) -> PeerOutcome {
        let (ours, theirs) = duplex(4_096);
        let (outcome, ()) = tokio::join!(converse(ours, introduced), router(theirs));
        outcome
    }

    async fn read_all(mut stream: DuplexStream) -> Vec<u8> {
        let mut octets = Vec::new();
        stream.read_to_end(&mut octets).await.unwrap();
        octets
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_open_of_ours_nothing_is_said() {
        let outcome = against(None, async |mut stream| {
            stream.write_all(&THEIRS.encode()).await.unwrap();
            assert!(read_all(stream).await.is_empty());
        });
        let expected = PeerOutcome::Connected {
            said: SAID,
            answered: None,
        };
        assert_eq!(outcome.await, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_router_that_waits_for_an_open_hears_one_and_then_a_goodbye_and_never_a_keepalive() {
        let outcome = against(Some(OURS), async |mut stream| {
            let mut open = vec![0; OURS.encode().len()];
            stream.read_exact(&mut open).await.unwrap();
            assert_eq!(open, OURS.encode());
            stream.write_all(&THEIRS.encode()).await.unwrap();
            let mut keepalive = vec![0xff; 16];
            keepalive.extend([0, 19, 4]);
            stream.write_all(&keepalive).await.unwrap();
            assert_eq!(
                read_all(stream).await,
                Notification::ADMINISTRATIVE_RESET.encode()
            );
        });
        let expected = PeerOutcome::Connected {
            said: SAID,
            answered: Some(PeerWord::Keepalive),
        };
        assert_eq!(outcome.await, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_router_that_expects_another_as_says_so() {
        let outcome = against(Some(OURS), async |mut stream| {
            let mut octets = THEIRS.encode();
            octets.extend(Notification::BAD_PEER_AS.encode());
            stream.write_all(&octets).await.unwrap();
            read_all(stream).await;
        });
        let expected = PeerOutcome::Connected {
            said: SAID,
            answered: Some(PeerWord::Notification { code: 2, subcode: 2 }),
        };
        assert_eq!(outcome.await, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_router_that_hangs_up_speaks_no_bgp_with_us() {
        let outcome = against(Some(OURS), async |stream| drop(stream));
        let expected = PeerOutcome::Connected {
            said: PeerWord::Closed,
            answered: None,
        };
        assert_eq!(outcome.await, expected);
    }

    /// A table of one socket.
    fn table(row: &str, inode: u64) -> String {
        let rest = "00000000:00000000 00:00000000 00000000     0        0";
        format!(
            "  sl  local_address rem_address   st tx_queue\n   0: {row} {rest} {inode} 1 0 100 0 0 10 0\n"
        )
    }

    #[tokio::test]
    async fn no_router_is_connected_to_once_the_time_is_over_or_its_two_connections_are_used_up() {
        let peer = PeerTarget {
            address: [127, 0, 0, 1].into(),
            local_as: 65_001,
            peer_as: 65_000,
            depth: Depth::Connect,
        };
        let mut bounds = Bounds {
            pace: DialPace::default(),
            ends_at: Instant::now(),
            stop: Stop::default(),
        };
        let unasked = |why| PeerOutcome::Unasked { why };
        assert_eq!(visit(&peer, &bounds).await, unasked(Unasked::Time));
        bounds.ends_at += Duration::from_secs(60);
        assert!(bounds.pace.admits(peer.address) && bounds.pace.admits(peer.address));
        assert_eq!(visit(&peer, &bounds).await, unasked(Unasked::Policy));
    }

    #[test]
    fn who_listens_or_is_connected_at_the_port_speaks_bgp() {
        let speaks = |row: &str| speaks(&table(row, 4711), &BTreeSet::new());
        assert!(speaks("00000000:00B3 00000000:0000 0A"));
        assert!(speaks("0200000A:C350 0100000A:00B3 01"));
        assert!(!speaks("0200000A:C350 0100000A:00B3 06"), "closed before");
        assert!(!speaks("0200000A:00B4 0100000A:0016 01"));
    }

    #[test]
    fn a_responder_of_ours_at_the_port_is_no_speaker() {
        let listener = table("00000000:00B3 00000000:0000 0A", 4711);
        assert!(!speaks(&listener, &BTreeSet::from([4711])));
        assert!(speaks(&listener, &BTreeSet::from([4712])));
        let untaken = table("0200000A:00B3 0100000A:C350 01", 0);
        assert!(!speaks(&untaken, &BTreeSet::new()), "its listener counts");
    }

    #[test]
    fn the_sockets_of_this_process_are_known_by_their_inodes() {
        let before = own_sockets();
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = own_sockets();
        let tables = fs::read_to_string("/proc/self/net/tcp").unwrap();
        let row = tables
            .lines()
            .find(|line| line.contains(&format!(":{port:04X} 00000000:0000 0A")));
        let inode = row.unwrap().split_whitespace().nth(9).unwrap().parse().unwrap();
        assert!(own.contains(&inode) && !before.contains(&inode));
    }
}
