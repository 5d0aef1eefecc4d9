//! What comes off the network: hellos, captured packets, and the errors that the kernel makes of ICMP.

use std::{collections::BTreeSet, time::Duration};

use plumbline_measure::{
    bgp::Message,
    connect::{self, Heard},
    dns,
    hello::{PairKey, REPLY_LEN, REQUEST_LEN, ReadReply, ReadRequest, Request},
    stamp::{
        packet::{AUTHENTICATED_LEN, ReflectorPacket, SenderPacket, Sent},
        reflector::{Caller, Datagram, Judgement, Rates, Reflector},
        session::{SessionId, SessionKey},
        time::WireTime,
        tlv::Tlvs,
    },
    time::Timestamp,
};
use plumbline_sys::{capture::Packet, icmp_error::QueuedError};

use crate::Reading;

/// What a name server says to a question for `mirror.example`.
///
/// # Panics
/// If more is told than is kept, or a name in it is longer than any.
pub fn dns_answer(data: &[u8]) -> Reading {
    let Ok(question) = dns::Question::new(QUESTION_ID, "mirror.example", dns::Record::A) else {
        return Reading::Refused;
    };
    let answer = question.answer(data).ok();
    if let Some(answer) = &answer {
        assert!(answer.told.len() <= dns::MAX_TOLD);
        let names = answer.told.iter().filter_map(|told| match told {
            dns::Told::Name(name) => Some(name),
            dns::Told::Address(_) => None,
        });
        for name in names {
            assert!(name.len() <= 253 && !name.chars().any(char::is_control));
        }
    }
    Reading::of_option(&answer)
}

/// What a proxy says to CONNECT.
///
/// # Panics
/// If what is complete ends beyond its end, or depends on what follows it.
pub fn proxy_answer(data: &[u8]) -> Reading {
    match connect::read(data) {
        Heard::Answer { status, head } => {
            assert!((100..=999).contains(&status) && head <= data.len());
            assert_eq!(connect::read(&data[..head]), Heard::Answer { status, head });
            Reading::of_option(&Some(status))
        }
        Heard::More | Heard::Garbage => Reading::Refused,
    }
}

/// The number of [`dns_answer`]'s question.
const QUESTION_ID: u16 = 0x1234;

/// What a responder hears on a TCP connection.
///
/// # Panics
/// If a request is answered that this key did not make, or a longer one than it.
pub fn hello_request(data: &[u8]) -> Reading {
    let key = PairKey::new(&PAIR_KEY);
    let claim = match ReadRequest::from_octets(data) {
        ReadRequest::Claimed(claim) => claim,
        ReadRequest::Incomplete => {
            assert!(data.len() < REQUEST_LEN, "whole, and still waited for");
            return Reading::Refused;
        }
        ReadRequest::Garbage => return Reading::Refused,
    };
    assert_eq!(data.len(), REQUEST_LEN);
    let reply = claim.reply(&key);
    if let Some(reply) = &reply {
        assert_eq!(
            claim.request().seal(&key).0,
            data,
            "only what the key makes is answered"
        );
        assert!(
            reply.len() <= data.len(),
            "an answer is never longer than its question"
        );
    }
    Reading::of_option(&reply)
}

/// What a router says: one message after the other.
///
/// # Panics
/// If a message reaches beyond what came, or an OPEN that is written again is another.
pub fn bgp_message(data: &[u8]) -> Reading {
    let mut rest = data;
    loop {
        match Message::read(rest) {
            Err(_) => return Reading::Refused,
            Ok(None) => return Reading::of_option(&(!data.is_empty() && rest.is_empty()).then_some(())),
            Ok(Some((message, length))) => {
                assert!(
                    (1..=rest.len()).contains(&length),
                    "a message has an end within what came"
                );
                if let Message::Open(open) = message {
                    let again = Message::read(&open.encode());
                    assert!(matches!(again, Ok(Some((Message::Open(same), _))) if same == open));
                }
                rest = rest.get(length..).unwrap_or_default();
            }
        }
    }
}

/// What a source hears on a TCP connection after it sent [`asked`].
///
/// # Panics
/// If anything passes for the reply but the reply.
pub fn hello_reply(data: &[u8]) -> Reading {
    let key = PairKey::new(&PAIR_KEY);
    let (request, asked) = asked().seal(&key);
    match asked.read_reply(&key, data) {
        ReadReply::Proven => {
            let reply = match ReadRequest::from_octets(&request) {
                ReadRequest::Claimed(claim) => claim.reply(&key),
                _ => None,
            };
            assert_eq!(reply.as_ref().map(|reply| &reply[..]), Some(data));
            Reading::Accepted
        }
        ReadReply::Incomplete => {
            assert!(data.len() < REPLY_LEN, "whole, and still waited for");
            Reading::Refused
        }
        ReadReply::BadProof | ReadReply::Garbage => Reading::Refused,
    }
}

/// A STAMP packet of either end, with and without a proof under [`STAMP_KEY`], and what stands behind it.
///
/// # Panics
/// If a packet is not the same after it was written and read again, or a proof is believed that the key did not make.
pub fn stamp_packet(data: &[u8]) -> Reading {
    let key = SessionKey::new(&STAMP_KEY);
    let mut read = false;
    if let Ok((packet, tlvs)) = SenderPacket::parse(data) {
        let again = packet.to_octets();
        assert_eq!(SenderPacket::parse(&again).map(|(packet, _)| packet), Ok(packet));
        read = check_stamp(&packet.sent, tlvs, data.len() - again.len());
    }
    if let Ok((packet, tlvs)) = ReflectorPacket::parse(data) {
        let again = packet.to_octets();
        assert_eq!(
            ReflectorPacket::parse(&again).map(|(packet, _)| packet),
            Ok(packet)
        );
        read |= check_stamp(&packet.asked, tlvs, data.len() - again.len());
    }
    if let Ok(claim) = SenderPacket::claim(data) {
        let sealed = claim.packet().seal(&key);
        // What must be zero is covered by the proof, so that only packets without it can be told from ours.
        assert!(claim.is_proven(&key) || !data.starts_with(&sealed));
        read |= check_stamp(&claim.packet().sent, claim.tlvs(), data.len() - AUTHENTICATED_LEN);
    }
    if let Ok((packet, tlvs)) = ReflectorPacket::open(data, &key) {
        let again = packet.seal(&key);
        assert_eq!(
            ReflectorPacket::open(&again, &key).map(|(packet, _)| packet),
            Ok(packet)
        );
        read |= check_stamp(&packet.sent, tlvs, data.len() - AUTHENTICATED_LEN);
    }
    if read { Reading::Accepted } else { Reading::Refused }
}

fn check_stamp(sent: &Sent, tlvs: Tlvs<'_>, behind: usize) -> bool {
    let format = sent.error_estimate.format();
    let _ = (sent.at.since_1970(format), sent.error_estimate.error());
    let octets: usize = tlvs
        .map(|tlv| tlv.map_or(0, |tlv| TLV_HEADER + tlv.value.len()))
        .sum();
    assert!(octets <= behind, "extensions of {octets} octets in {behind}");
    true
}

/// Datagrams before a reflector of two callers, one after the other: for each its source (one octet), its port (two, big
/// endian), its length (two), and its octets.
///
/// # Panics
/// If a datagram is answered that proves no key of the owner of its address, twice, or by more octets than it has.
pub fn stamp_reflector(data: &[u8]) -> Reading {
    let callers = [0, 1].map(|index: u8| Caller {
        session: SessionId::of_member(index.into()).expect("small numbers are sessions"),
        addresses: vec![[10, 77, 0, index].into()],
        key: PairKey::new(&[index; 32]),
    });
    let mut reflector = Reflector::new(callers.clone(), Rates::default());
    let mut answered = BTreeSet::new();
    let mut rest = data;
    for second in 0_u64.. {
        let Some(([from, p0, p1, l0, l1], further)) = rest.split_first_chunk() else {
            break;
        };
        let (port, length) = (u16::from_be_bytes([*p0, *p1]), u16::from_be_bytes([*l0, *l1]));
        let (octets, further) = further.split_at(further.len().min(length.into()));
        rest = further;
        let at = Duration::from_secs(second);
        let datagram = Datagram {
            port,
            from: [10, 77, 0, *from].into(),
            octets,
            length: octets.len(),
            ttl: Some(64),
            received_at: WireTime::ntp(at),
            answered_at: WireTime::ntp(at),
        };
        if let Judgement::Answer(answer) =
            reflector.judge(Timestamp::from_nanos(second * 1_000_000_000), &datagram)
        {
            assert!(
                answer.len() <= octets.len(),
                "an answer is never longer than its question"
            );
            let key = SessionKey::derive(&callers[usize::from(*from)].key, port);
            assert!(SenderPacket::claim(octets).is_ok_and(|claim| claim.is_proven(&key)));
            assert!(ReflectorPacket::open(&answer, &key).is_ok());
            assert!(answered.insert((port, octets)), "answered twice");
        }
    }
    if answered.is_empty() {
        Reading::Refused
    } else {
        Reading::Accepted
    }
}

/// A packet that was captured, from its IP header on.
///
/// # Panics
/// If a packet that is cut off means something else than the whole one.
pub fn captured_packet(data: &[u8]) -> Reading {
    let whole = Packet::parse(data);
    for cut in 0..data.len().min(MOST_CUTS) {
        let Some(part) = Packet::parse(&data[..cut]) else {
            continue;
        };
        let same = match (&part, &whole) {
            // As much of what it carries as there is.
            (Packet::Udp(part), Some(Packet::Udp(whole))) => {
                part.tuple == whole.tuple && whole.payload.starts_with(&part.payload)
            }
            _ => whole.as_ref() == Some(&part),
        };
        assert!(same, "cut at {cut}: {part:?}");
    }
    if let Some(Packet::Tcp(segment)) = &whole {
        let kinds = [segment.is_question(), segment.is_answer(), segment.is_reset()];
        assert!(kinds.into_iter().filter(|is| *is).count() <= 1, "{segment:?}");
    }
    Reading::of_option(&whole)
}

/// Control messages of a socket's error queue.
///
/// # Panics
/// If messages that are cut off mean another error than the whole ones.
pub fn queued_error(data: &[u8]) -> Reading {
    let whole = QueuedError::parse(data);
    for cut in 0..data.len().min(MOST_CUTS) {
        if let Some(part) = QueuedError::parse(&data[..cut]) {
            let same = whole.is_some_and(|whole| {
                (whole.errno, whole.icmp_type, whole.code) == (part.errno, part.icmp_type, part.code)
            });
            assert!(same, "cut at {cut}: {part:?}");
        }
    }
    Reading::of_option(&whole)
}

/// The question whose answer [`hello_reply`] reads.
pub fn asked() -> Request {
    Request {
        run: *b"a sample",
        source: 1,
        destination: 2,
        port: 10_250,
        nonce: *b"sixteen octets!!",
    }
}

/// The pair key of every hello.
pub const PAIR_KEY: [u8; 32] = [7; 32];
/// The key of the published STAMP packets.
pub const STAMP_KEY: [u8; 32] = [
    0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00,
    0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
];
/// Flags, type and length of an extension.
const TLV_HEADER: usize = 4;
/// The longest header chain that is read is far shorter.
const MOST_CUTS: usize = 192;
