//! Lines to a peer: what sends one packet of a given size and hears what becomes of it. One speaks STAMP, one ICMP echo.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant, SystemTime},
};

use plumbline_measure::stamp::{
    packet::{AUTHENTICATED_LEN, ReflectorPacket, SenderPacket, Sent},
    session::{SessionId, SessionKey},
    time::{ErrorEstimate, WireTime},
    tlv,
};
use plumbline_model::{
    observation::{Hops, TooBig},
    port::Family,
};
use plumbline_sys::{
    Errno,
    echo::EchoSocket,
    epoll::{Epoll, Events, Interest},
    icmp_error::{Origin, QueuedError},
    udp::{Handling, Inbox, UdpSocket},
};

use crate::runner::udp::next_sequence;

/// A line to one peer.
pub(super) trait Line {
    /// Sends a packet of so many octets, IP header included, and returns by what its answer is known.
    fn send(&mut self, octets: u32) -> Result<u32, Unsent>;

    /// Waits for something to be heard, for so long at most, and takes all that is there.
    fn listen(&mut self, patience: Duration) -> Vec<Heard>;
}

/// Why a packet did not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsent {
    /// The interface takes no packet larger than this.
    TooBig(u32),
    /// Anything else: a full queue, no route, a packet filter of this host.
    Otherwise,
}

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// The answer to a packet.
    Answer(u32),
    /// Some packet was too big for somebody on the way.
    TooBig(TooBig),
    /// Nobody waits at this port.
    Refused(u16),
}

/// A line that speaks STAMP to one or more ports of a peer, from one port of this host.
pub(super) struct StampLine {
    peer: IpAddr,
    socket: UdpSocket,
    epoll: Epoll,
    inbox: Inbox,
    session: SessionId,
    /// The ports that are spoken to, the current one last.
    keys: Vec<(u16, SessionKey)>,
    /// What has not been answered.
    asked: Vec<(u32, u16)>,
    /// What the last answer said of the way.
    hops: Option<Hops>,
    /// ICMP errors that were met while sending: to be told with what is heard next.
    met: Vec<TooBig>,
}

impl StampLine {
    pub(super) fn open(
        peer: IpAddr,
        local: Option<IpAddr>,
        session: SessionId,
        handling: Handling,
    ) -> Result<Self, Errno> {
        let socket = UdpSocket::of_size(peer, local, handling)?;
        let epoll = Epoll::new()?;
        epoll.add(&socket, 0, Interest::Readable)?;
        Ok(Self {
            peer,
            socket,
            epoll,
            inbox: Inbox::new(),
            session,
            keys: Vec::new(),
            asked: Vec::new(),
            hops: None,
            met: Vec::new(),
        })
    }

    /// Speaks to this port from now on.
    pub(super) fn turn_to(&mut self, port: u16, key: SessionKey) {
        self.keys.retain(|(known, _)| *known != port);
        self.keys.push((port, key));
    }

    /// By how many routers the last answer and its question were handed on.
    pub(super) fn hops(&self) -> Option<Hops> {
        self.hops
    }

    /// Which port a question went to.
    pub(super) fn port_of(&self, sequence: u32) -> Option<u16> {
        let asked = self.asked.iter().find(|(asked, _)| *asked == sequence);
        asked.map(|(_, port)| *port)
    }

    fn question(&self, key: &SessionKey, sequence: u32, octets: u32) -> Vec<u8> {
        let wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let packet = SenderPacket {
            sent: Sent {
                sequence,
                at: WireTime::ntp(wall),
                error_estimate: ErrorEstimate::UNKNOWN,
            },
            ssid: self.session.to_wire(),
        };
        let mut question = packet.seal(key).to_vec();
        let payload = octets.saturating_sub(headers(Family::of(self.peer)));
        let behind = usize::try_from(payload)
            .unwrap_or(0)
            .saturating_sub(AUTHENTICATED_LEN);
        question.extend(tlv::padding(behind).unwrap_or_default());
        question
    }

    fn take_answers(&mut self, heard: &mut Vec<Heard>) {
        // A pending error is in the error queue as well.
        while let Ok(count @ 1..) = self.socket.receive_many(&mut self.inbox) {
            for received in self
                .inbox
                .iter()
                .filter(|received| received.from.ip() == self.peer)
            {
                let key = self.keys.iter().find(|(port, _)| *port == received.from.port());
                let opened = key.and_then(|(_, key)| ReflectorPacket::open(received.octets, key).ok());
                let Some((answer, _)) = opened else { continue };
                let sequence = answer.asked.sequence;
                if !self.asked.contains(&(sequence, received.from.port())) {
                    continue;
                }
                if let Some(ttl) = received.ttl {
                    self.hops = Some(Hops {
                        forth: u8::MAX - answer.ttl,
                        back: u8::MAX - ttl,
                    });
                }
                heard.push(Heard::Answer(sequence));
            }
            if count < Inbox::capacity() {
                break;
            }
        }
    }
}

impl Line for StampLine {
    fn send(&mut self, octets: u32) -> Result<u32, Unsent> {
        let (port, key) = self.keys.last().ok_or(Unsent::Otherwise)?;
        let port = *port;
        let sequence = next_sequence().ok_or(Unsent::Otherwise)?;
        let question = self.question(key, sequence, octets);
        let to = SocketAddr::new(self.peer, port);
        send(
            octets,
            &mut self.met,
            || self.socket.send_to(&question, to),
            || self.socket.take_icmp_error().map(|(error, _)| error),
        )?;
        if self.asked.len() >= REMEMBERED {
            self.asked.remove(0);
        }
        self.asked.push((sequence, port));
        Ok(sequence)
    }

    fn listen(&mut self, patience: Duration) -> Vec<Heard> {
        let mut heard: Vec<Heard> = self.met.drain(..).map(Heard::TooBig).collect();
        await_any(
            &self.epoll,
            if heard.is_empty() {
                patience
            } else {
                Duration::ZERO
            },
        );
        for _ in 0..MOST_ERRORS {
            let Some((error, to)) = self.socket.take_icmp_error() else {
                break;
            };
            match too_big(&error) {
                Some(too_big) => heard.push(Heard::TooBig(too_big)),
                None if error.errno == Errno::CONNREFUSED => {
                    heard.extend(to.map(|to| Heard::Refused(to.port())));
                }
                None => {}
            }
        }
        self.take_answers(&mut heard);
        heard
    }
}

/// A line that speaks ICMP echo.
pub(super) struct EchoLine {
    peer: IpAddr,
    socket: EchoSocket,
    epoll: Epoll,
    identifier: u16,
    sequence: u16,
    met: Vec<TooBig>,
}

impl EchoLine {
    pub(super) fn open(peer: IpAddr, local: Option<IpAddr>) -> Result<Self, Errno> {
        let socket = EchoSocket::toward(peer, local)?;
        let epoll = Epoll::new()?;
        epoll.add(&socket, 0, Interest::Readable)?;
        // A raw socket hears the answers to other lines as well; one process has no two lines of one number at a time.
        let identifier = next_sequence().unwrap_or_default();
        Ok(Self {
            peer,
            socket,
            epoll,
            identifier: u16::try_from(identifier & 0xffff).unwrap_or_default() ^ process_part(),
            sequence: 0,
            met: Vec::new(),
        })
    }
}

impl Line for EchoLine {
    fn send(&mut self, octets: u32) -> Result<u32, Unsent> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = usize::try_from(octets).unwrap_or(0);
        send(
            octets,
            &mut self.met,
            || {
                self.socket
                    .send(self.peer, self.identifier, self.sequence, length)
            },
            || self.socket.take_icmp_error(),
        )?;
        Ok(self.sequence.into())
    }

    fn listen(&mut self, patience: Duration) -> Vec<Heard> {
        let mut heard: Vec<Heard> = self.met.drain(..).map(Heard::TooBig).collect();
        await_any(
            &self.epoll,
            if heard.is_empty() {
                patience
            } else {
                Duration::ZERO
            },
        );
        let errors = std::iter::from_fn(|| self.socket.take_icmp_error()).take(MOST_ERRORS);
        heard.extend(errors.filter_map(|error| too_big(&error)).map(Heard::TooBig));
        while let Ok(Some(answer)) = self.socket.receive() {
            let is_ours = answer
                .identifier
                .is_none_or(|identifier| identifier == self.identifier);
            if is_ours && answer.from == self.peer {
                heard.push(Heard::Answer(answer.sequence.into()));
            }
        }
        heard
    }
}

/// Sends, and again where an error about an earlier packet was told in place of it. What it said of sizes goes to `met`.
fn send(
    octets: u32,
    met: &mut Vec<TooBig>,
    mut send: impl FnMut() -> Result<(), Errno>,
    mut error: impl FnMut() -> Option<QueuedError>,
) -> Result<(), Unsent> {
    for _ in 0..MOST_ERRORS {
        let errno = match send() {
            Ok(()) => return Ok(()),
            // A socket that hears of errors is told of what a device drops at once; to the sender it is a packet that was lost.
            Err(Errno::NOBUFS) => return Ok(()),
            Err(errno) => errno,
        };
        let queued: Vec<QueuedError> = std::iter::from_fn(&mut error).take(MOST_ERRORS).collect();
        met.extend(queued.iter().filter_map(too_big));
        met.truncate(MOST_ERRORS);
        match errno {
            // What this host's own interface says is final.
            Errno::MSGSIZE => {
                let own = queued.iter().rfind(|error| error.origin == Origin::Local);
                if let Some(own) = own {
                    return Err(Unsent::TooBig(own.info.min(octets)));
                }
            }
            Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH if !queued.is_empty() => {}
            _ => return Err(Unsent::Otherwise),
        }
    }
    Err(Unsent::Otherwise)
}

fn await_any(epoll: &Epoll, patience: Duration) {
    let mut events = Events::with_capacity(1);
    let until = Instant::now() + patience;
    // A signal ends a wait early; whoever waits looks at the time anyway.
    let _ = epoll.wait(&mut events, Some(until.saturating_duration_since(Instant::now())));
}

/// ICMP 3/4, or ICMPv6 2.
fn too_big(error: &QueuedError) -> Option<TooBig> {
    let is_too_big = match error.origin {
        Origin::Icmp => (error.icmp_type, error.code) == (3, 4),
        Origin::Icmp6 => error.icmp_type == 2,
        Origin::Local | Origin::Other(_) => false,
    };
    is_too_big.then_some(TooBig {
        mtu: error.info,
        by: error.offender,
    })
}

/// What IP and UDP take of a packet.
pub(super) fn headers(family: Family) -> u32 {
    match family {
        Family::Ipv4 => 28,
        Family::Ipv6 => 48,
    }
}

/// Sets the identifiers of two probes on one host apart, as good as it goes.
fn process_part() -> u16 {
    u16::try_from(std::process::id() & 0xffff).unwrap_or_default()
}

/// Questions that are remembered: an answer to an earlier one is nobody's business any more.
const REMEMBERED: usize = 64;

/// Entries of an error queue that are taken at once.
const MOST_ERRORS: usize = 16;
