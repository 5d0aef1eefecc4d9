//! Tests under way: what was asked, and what an arriving datagram is to it.

use std::net::{IpAddr, SocketAddr};

use plumbline_measure::{
    attempt::Attempts,
    stamp::{
        packet::{AUTHENTICATED_LEN, Maker, ReflectorPacket, Sent},
        session::SessionKey,
    },
    time::Timestamp,
};
use plumbline_model::observation::{Signal, Unproven};
use plumbline_sys::udp::UdpSocket;

/// A place for a socket and the test that it is used for. A slot's index is the token of its socket with epoll.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Kept from test to test while peers answer.
    pub(super) socket: Option<UdpSocket>,
    /// The family of the socket.
    pub(super) ipv6: bool,
    pub(super) flight: Option<Flight>,
    /// Counts launches, so that a timer knows whether its launch is over.
    pub(super) serial: u32,
}

/// A test under way: from its first launch to its outcome.
#[derive(Debug)]
pub(super) struct Flight {
    /// Index of the target.
    pub(super) target: usize,
    /// Whom it asks.
    pub(super) peer: SocketAddr,
    pub(super) attempts: Attempts,
    pub(super) key: SessionKey,
    /// What each attempt said of itself: an answer may be to any of them.
    pub(super) asked: Vec<Sent>,
    /// The last thing that came from the peer's port and proves nothing.
    pub(super) heard: Option<Unproven>,
    /// The local address that the last attempt left from.
    pub(super) from: Option<IpAddr>,
    /// Whether the window counts it: from launch to end or timeout.
    pub(super) in_window: bool,
    /// Whether the window counts it as quiet.
    pub(super) quiet: bool,
}

/// The beginning of an attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timer {
    pub(super) at: Timestamp,
    pub(super) slot: usize,
    pub(super) serial: u32,
}

impl Flight {
    pub(super) fn new(target: usize, peer: SocketAddr, key: SessionKey) -> Self {
        Self {
            target,
            peer,
            attempts: Attempts::new(),
            key,
            asked: Vec::new(),
            heard: None,
            from: None,
            in_window: false,
            quiet: false,
        }
    }

    /// What a datagram says about this test, if it says something for good:
    ///
    /// 1. It proves the session's key, answers one of the attempts, and comes from the address and port that were asked: the
    ///    peer's responder.
    /// 2. The same from another address: an answer that whoever asks in earnest would not take.
    /// 3. Anything else from the address and port that were asked proves nothing, and is remembered. So does a proof from
    ///    another port of that address, and a question of ours that somebody sent back.
    /// 4. Anything else from elsewhere is noise.
    pub(super) fn hear(&mut self, from: SocketAddr, octets: &[u8]) -> Option<Signal> {
        let is_proven = octets.len() == AUTHENTICATED_LEN
            && ReflectorPacket::open(octets, &self.key)
                .is_ok_and(|(packet, _)| self.asked.contains(&packet.asked));
        let (same_address, same_port) = (from.ip() == self.peer.ip(), from.port() == self.peer.port());
        match (is_proven, same_address, same_port) {
            (true, true, true) => return Some(Signal::Verified),
            (true, false, _) => return Some(Signal::AnsweredFrom { address: from.ip() }),
            (true, true, false) => self.heard = Some(Unproven::BadProof),
            (false, true, true) => {
                self.heard = Some(match Maker::of(octets) {
                    Some(Maker::Reflector) => Unproven::BadProof,
                    Some(Maker::Sender) | None => Unproven::Garbage,
                });
            }
            (false, ..) => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use plumbline_measure::{
        hello::PairKey,
        stamp::{
            packet::SenderPacket,
            time::{ErrorEstimate, WireTime},
        },
    };

    use super::*;

    const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 6081);
    const ELSEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 1, 2)), 6081);

    fn key(octet: u8) -> SessionKey {
        SessionKey::derive(&PairKey::new(&[octet; 32]), PEER.port())
    }

    fn sent(sequence: u32) -> Sent {
        Sent {
            sequence,
            at: WireTime::from_bits(7),
            error_estimate: ErrorEstimate::UNKNOWN,
        }
    }

    fn flight() -> Flight {
        Flight {
            asked: vec![sent(1), sent(5)],
            ..Flight::new(0, PEER, key(1))
        }
    }

    fn answer(to: Sent, key: &SessionKey) -> [u8; AUTHENTICATED_LEN] {
        let packet = ReflectorPacket {
            sent: to,
            ssid: 1,
            received_at: WireTime::from_bits(8),
            asked: to,
            ttl: 64,
        };
        packet.seal(key)
    }

    #[test]
    fn an_answer_to_any_attempt_verifies_and_one_from_elsewhere_says_from_where() {
        for sequence in [1, 5] {
            let octets = answer(sent(sequence), &key(1));
            assert_eq!(flight().hear(PEER, &octets), Some(Signal::Verified));
            let address = ELSEWHERE.ip();
            assert_eq!(
                flight().hear(ELSEWHERE, &octets),
                Some(Signal::AnsweredFrom { address })
            );
        }
    }

    #[test]
    fn what_proves_nothing_is_remembered_only_if_it_comes_from_where_was_asked() {
        let own_question = SenderPacket {
            sent: sent(1),
            ssid: 1,
        };
        let echoed = own_question.seal(&key(1));
        let long = [&answer(sent(1), &key(1))[..], &[0]].concat();
        let cases: [(&[u8], Unproven); 6] = [
            (&answer(sent(1), &key(2)), Unproven::BadProof),
            (&answer(sent(2), &key(1)), Unproven::BadProof),
            (&long, Unproven::BadProof),
            (&echoed, Unproven::Garbage),
            (b"SSH-2.0-", Unproven::Garbage),
            (&[], Unproven::Garbage),
        ];
        for (octets, how) in cases {
            let mut flight = flight();
            assert_eq!((flight.hear(ELSEWHERE, octets), flight.heard), (None, None));
            assert_eq!((flight.hear(PEER, octets), flight.heard), (None, Some(how)));
            let proof = answer(sent(1), &key(1));
            assert_eq!(
                flight.hear(PEER, &proof),
                Some(Signal::Verified),
                "a proof outranks it"
            );
        }
    }

    #[test]
    fn a_proof_from_another_port_of_the_peer_is_no_answer_of_the_port_that_was_asked() {
        let (mut flight, port) = (flight(), 6082);
        let from = SocketAddr::new(PEER.ip(), port);
        assert_eq!(flight.hear(from, &answer(sent(1), &key(1))), None);
        assert_eq!(flight.heard, Some(Unproven::BadProof));
    }
}
