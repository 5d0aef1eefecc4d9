//! What comes off the network: hellos, captured packets, and the errors that the kernel makes of ICMP.

use plumbline_measure::hello::{PairKey, REPLY_LEN, REQUEST_LEN, ReadReply, ReadRequest, Request};
use plumbline_sys::{capture::Packet, icmp_error::QueuedError};

use crate::Reading;

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

/// A packet that was captured, from its IP header on.
///
/// # Panics
/// If a packet that is cut off means something else than the whole one.
pub fn captured_packet(data: &[u8]) -> Reading {
    let whole = Packet::parse(data);
    for cut in 0..data.len().min(MOST_CUTS) {
        let part = Packet::parse(&data[..cut]);
        assert!(part.is_none() || part == whole, "cut at {cut}: {part:?}");
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
/// The longest header chain that is read is far shorter.
const MOST_CUTS: usize = 192;
