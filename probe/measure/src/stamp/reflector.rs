//! Who is answered: the session reflector (RFC 8762, section 4.3), without its socket.
//!
//! ```text
//!   datagram --> a question? -> a caller's --> HMAC? --> the caller's --> fresh? --> within --> answer
//!                    |           session?         |       own address?        |       rates?
//!                    | no           | no          | no         | no           | no        | no
//!                    v              v             v            v              v           v
//!                    '---------- Unproven --------'   another member's:   Replayed    Throttled
//!                                                     Unproven
//!                                                     nobody's:
//!                                                     Translated
//! ```
//!
//! Only what goes through to the right end is answered, never with more octets than were received: whoever holds no key of the
//! run gets nothing out of it, and whoever holds one gets it at his own address only, once for each packet, at a bounded
//! rate. A question that is padded (RFC 8972 section 4.1) is answered without the padding, so that its size is a matter of the
//! way forth alone. There is no patience with a source as the TCP responder has, since anybody may write a member's address into a
//! datagram.
//!
//! 1. A packet that proves a member's key and comes from an address that is nobody's on the roster shows that sources are
//!    translated on the way. It is counted as proven for that address, and not answered.
//! 2. From the address of another member it proves nothing: a proof counts for the address's owner.
//! 3. What such packets do to the replay window does not concern the caller's own: whoever sends a recorded packet on from
//!    elsewhere, before it arrives, cannot make it old. One window is kept for the caller's own addresses, one for all
//!    others.
//!
//! Memory is bounded: windows by callers and bound ports, since only packets that prove a key make one; counters by
//! themselves.

use std::{collections::HashMap, net::IpAddr};

use super::{
    counters::{Counters, Kind},
    packet::{AUTHENTICATED_LEN, ReflectorPacket, SenderPacket, Sent, TTL_UNKNOWN},
    replay::{Freshness, ReplayWindow},
    session::{SessionId, SessionKey},
    time::{ErrorEstimate, WireTime},
    tlv,
};
use crate::{
    hello::PairKey,
    pacer::{Pacer, Permit},
    time::Timestamp,
};

/// Somebody who may ask.
#[derive(Debug, Clone)]
pub struct Caller {
    /// What identifies it.
    pub session: SessionId,
    /// The addresses that it may come from.
    pub addresses: Vec<IpAddr>,
    /// The directed pair key, the caller to this node.
    pub key: PairKey,
}

/// A datagram, as it came in.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// The local port.
    pub port: u16,
    /// The source address.
    pub from: IpAddr,
    /// What it carries. It may be cut off behind the length of a test packet with the head of an extension.
    pub octets: &'a [u8],
    /// How many octets it carries in all.
    pub length: usize,
    /// Its TTL or hop limit, if the kernel told.
    pub ttl: Option<u8>,
    /// When it was received: T2.
    pub received_at: WireTime,
    /// When its answer will be sent: T3.
    pub answered_at: WireTime,
}

/// What becomes of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It proved the key of the caller whose address it came from: send this back.
    Answer([u8; AUTHENTICATED_LEN]),
    /// It proved a caller's key, but came from an address that is nobody's.
    Translated,
    /// It proved a caller's key, but was received before, or is too old to tell.
    Replayed,
    /// It would have been answered, were it not for the rate. It counts as proven.
    Throttled,
    /// It proved nothing.
    Unproven(Unproven),
}

/// How a datagram proved nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unproven {
    /// It is shorter than a question, something other than padding stands behind it, or its error estimate makes it a
    /// corrupt packet.
    NoQuestion,
    /// It names no caller.
    NoSession,
    /// Its HMAC is not the caller's for this port.
    BadMac,
    /// It proves a caller's key, but the address that it came from is another member's.
    AddressOfAnother,
}

/// Rates of answers. They bound what a member that went bad gets out of a reflector; what an honest one asks for stays
/// below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Answers to one caller a second, and at once.
    pub caller: (u32, u32),
    /// Answers to all callers a second, and at once.
    pub all: (u32, u32),
}

/// The reflector of one node.
#[derive(Debug)]
pub struct Reflector {
    callers: HashMap<SessionId, Known>,
    keys: Keys,
    /// By caller and port.
    own: HashMap<(SessionId, u16), ReplayWindow>,
    elsewhere: HashMap<(SessionId, u16), ReplayWindow>,
    rate: Pacer,
    counters: Counters,
    throttled: u64,
}

#[derive(Debug)]
struct Known {
    caller: Caller,
    rate: Pacer,
}

impl Default for Rates {
    /// Every port once, at once, is what the largest honest assignment asks of a port set, and no caller waits for less
    /// than 20,000 a second afterwards. All together get ten times that a second: 180 Mbit/s of answers at most.
    fn default() -> Self {
        Self {
            caller: (20_000, 65_536),
            all: (200_000, 262_144),
        }
    }
}

impl Reflector {
    /// A reflector for these callers.
    pub fn new(callers: impl IntoIterator<Item = Caller>, rates: Rates) -> Self {
        let known = |caller: Caller| {
            let rate = Pacer::new(rates.caller.0, rates.caller.1);
            (caller.session, Known { caller, rate })
        };
        let callers: HashMap<SessionId, Known> = callers.into_iter().map(known).collect();
        let members = callers.values().flat_map(|known| &known.caller.addresses);
        Self {
            counters: Counters::new(members.copied()),
            callers,
            keys: Keys::default(),
            own: HashMap::new(),
            elsewhere: HashMap::new(),
            rate: Pacer::new(rates.all.0, rates.all.1),
            throttled: 0,
        }
    }

    /// Judges one datagram, and counts it.
    pub fn judge(&mut self, now: Timestamp, datagram: &Datagram<'_>) -> Judgement {
        let judgement = match self.prove(datagram) {
            Ok(question) if question.from_elsewhere => self.note_elsewhere(&question, datagram.port),
            Ok(question) => self.answer(now, &question, datagram),
            Err(how) => Judgement::Unproven(how),
        };
        self.throttled += u64::from(judgement == Judgement::Throttled);
        let kind = match judgement {
            Judgement::Answer(_) | Judgement::Translated | Judgement::Throttled => Kind::Proven,
            Judgement::Replayed => Kind::Replayed,
            Judgement::Unproven(_) => Kind::Unproven,
        };
        self.counters.count(datagram.from, datagram.port, kind);
        judgement
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many packets would have been answered, were it not for the rates.
    pub fn throttled(&self) -> u64 {
        self.throttled
    }

    fn prove(&mut self, datagram: &Datagram<'_>) -> Result<Question, Unproven> {
        if !is_of_a_question(datagram) {
            return Err(Unproven::NoQuestion);
        }
        let claim = SenderPacket::claim(datagram.octets).map_err(|_| Unproven::NoQuestion)?;
        let session = SessionId::from_wire(claim.packet().ssid).ok_or(Unproven::NoSession)?;
        let caller = &self.callers.get(&session).ok_or(Unproven::NoSession)?.caller;
        let key = self.keys.of(session, datagram.port, &caller.key);
        if !claim.is_proven(key) {
            return Err(Unproven::BadMac);
        }
        let from_elsewhere = !caller.addresses.contains(&datagram.from);
        if from_elsewhere && self.counters.is_member(datagram.from) {
            return Err(Unproven::AddressOfAnother);
        }
        Ok(Question {
            session,
            packet: *claim.packet(),
            from_elsewhere,
        })
    }

    fn note_elsewhere(&mut self, question: &Question, port: u16) -> Judgement {
        let (place, sequence) = ((question.session, port), question.packet.sent.sequence);
        let at_home = self
            .own
            .get(&place)
            .map_or(Freshness::Fresh, |window| window.judge(sequence));
        let elsewhere = self.elsewhere.entry(place).or_default().take(sequence);
        match (at_home, elsewhere) {
            (Freshness::Fresh, Freshness::Fresh) => Judgement::Translated,
            _ => Judgement::Replayed,
        }
    }

    fn answer(&mut self, now: Timestamp, question: &Question, datagram: &Datagram<'_>) -> Judgement {
        let place = (question.session, datagram.port);
        let window = self.own.entry(place).or_default();
        if window.take(question.packet.sent.sequence) != Freshness::Fresh {
            return Judgement::Replayed;
        }
        let Some(Known { caller, rate }) = self.callers.get_mut(&question.session) else {
            return Judgement::Unproven(Unproven::NoSession);
        };
        if rate.ready_at(now) != Permit::Granted || self.rate.take(now) != Permit::Granted {
            return Judgement::Throttled;
        }
        rate.take(now);
        let key = self.keys.of(question.session, datagram.port, &caller.key);
        Judgement::Answer(reply(&question.packet, datagram).seal(key))
    }
}

/// Keys of sessions that were derived lately: a session that goes on, or a flood into one, does not derive its key anew for
/// each packet. A session's place is fixed, and the last one keeps it.
#[derive(Debug)]
struct Keys(Vec<Option<(SessionId, u16, SessionKey)>>);

impl Keys {
    fn of(&mut self, session: SessionId, port: u16, pair: &PairKey) -> &SessionKey {
        // Neighbouring ports have places of their own, and a second session begins elsewhere.
        let place = usize::from(session.to_wire().wrapping_mul(31).wrapping_add(port)) % self.0.len();
        let kept = &mut self.0[place];
        let is_it = matches!(kept, Some((of, at, _)) if (*of, *at) == (session, port));
        if !is_it {
            *kept = None;
        }
        &kept
            .get_or_insert_with(|| (session, port, SessionKey::derive(pair, port)))
            .2
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self(std::iter::repeat_with(|| None).take(KEPT_KEYS).collect())
    }
}

/// A datagram that proved a caller's key.
struct Question {
    session: SessionId,
    packet: SenderPacket,
    /// Its source address is nobody's on the roster.
    from_elsewhere: bool,
}

/// Whether a datagram is as long as a question, with nothing behind it or with one extension that is padding and nothing else.
fn is_of_a_question(datagram: &Datagram<'_>) -> bool {
    let Some(behind) = datagram.length.checked_sub(AUTHENTICATED_LEN) else {
        return false;
    };
    let head = datagram.octets.get(AUTHENTICATED_LEN..);
    behind == 0 || head.is_some_and(|head| tlv::is_padding(head, behind))
}

/// A stateless reflector: its sequence number is the sender's (RFC 8762, section 4).
fn reply(packet: &SenderPacket, datagram: &Datagram<'_>) -> ReflectorPacket {
    ReflectorPacket {
        sent: Sent {
            sequence: packet.sent.sequence,
            at: datagram.answered_at,
            error_estimate: ErrorEstimate::UNKNOWN,
        },
        ssid: packet.ssid,
        received_at: datagram.received_at,
        asked: packet.sent,
        ttl: datagram.ttl.unwrap_or(TTL_UNKNOWN),
    }
}

/// A key takes some 200 octets.
const KEPT_KEYS: usize = 256;

#[cfg(test)]
mod tests;
