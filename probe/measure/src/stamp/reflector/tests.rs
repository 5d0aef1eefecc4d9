use std::{net::Ipv4Addr, time::Duration};

use super::*;
use crate::stamp::counters::Counts;

const PORT: u16 = 6081;
const CALLER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const OTHER_CALLER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const NOW: Timestamp = Timestamp::from_nanos(1);
const T2: WireTime = WireTime::from_bits(2);
const T3: WireTime = WireTime::from_bits(3);

fn caller(index: u32, address: IpAddr) -> Caller {
    Caller {
        session: SessionId::of_member(index).unwrap(),
        addresses: vec![address],
        key: pair(index),
    }
}

fn pair(index: u32) -> PairKey {
    PairKey::new(&[u8::try_from(index).unwrap(); 32])
}

fn reflector() -> Reflector {
    Reflector::new([caller(0, CALLER), caller(1, OTHER_CALLER)], Rates::default())
}

fn asked(sequence: u32) -> Sent {
    Sent {
        sequence,
        at: WireTime::from_bits(1),
        error_estimate: ErrorEstimate::UNKNOWN,
    }
}

fn question(index: u32, port: u16, sequence: u32) -> [u8; AUTHENTICATED_LEN] {
    let packet = SenderPacket {
        sent: asked(sequence),
        ssid: SessionId::of_member(index).unwrap().to_wire(),
    };
    packet.seal(&SessionKey::derive(&pair(index), port))
}

fn datagram(from: IpAddr, octets: &[u8]) -> Datagram<'_> {
    Datagram {
        port: PORT,
        from,
        octets,
        length: octets.len(),
        ttl: Some(63),
        received_at: T2,
        answered_at: T3,
    }
}

fn judge(reflector: &mut Reflector, from: IpAddr, octets: &[u8]) -> Judgement {
    reflector.judge(NOW, &datagram(from, octets))
}

fn is_answer(judgement: Judgement) -> bool {
    matches!(judgement, Judgement::Answer(_))
}

#[test]
fn a_caller_is_answered_with_what_it_asked_and_when_it_arrived() {
    let octets = question(0, PORT, 42);
    let Judgement::Answer(answer) = judge(&mut reflector(), CALLER, &octets) else {
        panic!("no answer");
    };
    assert_eq!(answer.len(), octets.len());
    let (packet, _) = ReflectorPacket::open(&answer, &SessionKey::derive(&pair(0), PORT)).unwrap();
    assert_eq!((packet.asked, packet.ssid, packet.ttl), (asked(42), 1, 63));
    assert_eq!(
        (packet.received_at, packet.sent.at, packet.sent.sequence),
        (T2, T3, 42)
    );
}

#[test]
fn an_answer_sent_back_is_not_answered_again() {
    let mut reflector = reflector();
    let Judgement::Answer(answer) = judge(&mut reflector, CALLER, &question(0, PORT, 42)) else {
        panic!("no answer");
    };
    assert_eq!(judge(&mut reflector, CALLER, &answer), Judgement::Replayed);
}

#[test]
fn what_is_no_question_of_a_caller_at_this_port_proves_nothing() {
    let good = question(0, PORT, 1);
    let long: Vec<u8> = good.iter().copied().chain([0]).collect();
    let mut no_multiplier = good;
    no_multiplier[25] = 0;
    let mut unnamed = good;
    unnamed[26..28].copy_from_slice(&[0, 0]);
    let mut unknown = good;
    unknown[26..28].copy_from_slice(&[0, 3]);
    let mut altered = good;
    altered[111] ^= 1;
    let cases: [(&[u8], Unproven); 9] = [
        (&[], Unproven::NoQuestion),
        (&good[..111], Unproven::NoQuestion),
        (&long, Unproven::NoQuestion),
        (&no_multiplier, Unproven::NoQuestion),
        (&unnamed, Unproven::NoSession),
        (&unknown, Unproven::NoSession),
        (&altered, Unproven::BadMac),
        (&question(0, PORT + 1, 1), Unproven::BadMac),
        (&question(1, PORT, 1), Unproven::AddressOfAnother),
    ];
    let mut reflector = reflector();
    for (octets, how) in cases {
        assert_eq!(judge(&mut reflector, CALLER, octets), Judgement::Unproven(how));
    }
    assert!(
        is_answer(judge(&mut reflector, CALLER, &good)),
        "none of them may have used it up"
    );
}

#[test]
fn a_replayed_packet_is_never_answered_and_ports_and_callers_do_not_share_a_window() {
    let mut reflector = reflector();
    assert!(is_answer(judge(&mut reflector, CALLER, &question(0, PORT, 100))));
    for sequence in [100, 100, 36] {
        assert_eq!(
            judge(&mut reflector, CALLER, &question(0, PORT, sequence)),
            Judgement::Replayed
        );
    }
    assert!(is_answer(judge(&mut reflector, CALLER, &question(0, PORT, 37))));
    assert!(is_answer(judge(
        &mut reflector,
        OTHER_CALLER,
        &question(1, PORT, 100)
    )));
    let at_another_port = question(0, PORT + 1, 100);
    let elsewhere = Datagram {
        port: PORT + 1,
        ..datagram(CALLER, &at_another_port)
    };
    assert!(is_answer(reflector.judge(NOW, &elsewhere)));
}

#[test]
fn a_proof_from_an_address_that_is_nobody_s_tells_of_translation_and_is_not_answered() {
    let mut reflector = reflector();
    assert_eq!(
        judge(&mut reflector, STRANGER, &question(0, PORT, 1)),
        Judgement::Translated
    );
    assert_eq!(
        judge(&mut reflector, STRANGER, &question(0, PORT, 1)),
        Judgement::Replayed
    );
}

#[test]
fn whoever_sends_a_recorded_packet_from_elsewhere_neither_uses_it_up_nor_passes_for_translation() {
    let mut reflector = reflector();
    assert_eq!(
        judge(&mut reflector, STRANGER, &question(0, PORT, 1)),
        Judgement::Translated
    );
    assert!(is_answer(judge(&mut reflector, CALLER, &question(0, PORT, 1))));
    assert!(is_answer(judge(&mut reflector, CALLER, &question(0, PORT, 2))));
    assert_eq!(
        judge(&mut reflector, STRANGER, &question(0, PORT, 2)),
        Judgement::Replayed
    );
}

#[test]
fn answers_keep_to_the_rate_of_the_caller_and_of_all() {
    let rates = Rates {
        caller: (10, 2),
        all: (10, 3),
    };
    let mut reflector = Reflector::new([caller(0, CALLER), caller(1, OTHER_CALLER)], rates);
    let mut answered = |from, index, sequence, now| {
        let octets = question(index, PORT, sequence);
        let judgement = reflector.judge(now, &datagram(from, &octets));
        assert!(is_answer(judgement) || judgement == Judgement::Throttled);
        is_answer(judgement)
    };
    let first: Vec<bool> = (1..=3)
        .map(|sequence| answered(CALLER, 0, sequence, NOW))
        .collect();
    assert_eq!(first, [true, true, false], "the caller's burst");
    let second: Vec<bool> = (1..=2)
        .map(|sequence| answered(OTHER_CALLER, 1, sequence, NOW))
        .collect();
    assert_eq!(second, [true, false], "what is left of everybody's");
    assert!(answered(CALLER, 0, 4, NOW + Duration::from_millis(200)));
}

#[test]
fn the_default_rates_let_a_caller_ask_every_port_at_once() {
    let mut reflector = reflector();
    for port in 1..=u16::MAX {
        let octets = question(0, port, port.into());
        let at_port = Datagram {
            port,
            ..datagram(CALLER, &octets)
        };
        assert!(is_answer(reflector.judge(NOW, &at_port)), "{port}");
    }
}

#[test]
fn everything_is_counted_for_the_address_that_it_came_from() {
    let mut reflector = reflector();
    judge(&mut reflector, CALLER, &question(0, PORT, 1));
    judge(&mut reflector, CALLER, &question(0, PORT, 1));
    judge(&mut reflector, CALLER, &[]);
    judge(&mut reflector, STRANGER, &question(0, PORT, 2));
    let mut counts: Vec<_> = reflector.counters().counts().collect();
    counts.sort();
    let of = |received, proven, unproven, replayed| Counts {
        received,
        proven,
        unproven,
        replayed,
    };
    assert_eq!(
        counts,
        [(CALLER, PORT, of(3, 1, 1, 1)), (STRANGER, PORT, of(1, 1, 0, 0))]
    );
}

#[test]
fn a_padded_question_is_answered_without_its_padding_and_anything_else_behind_it_is_not() {
    let mut reflector = reflector();
    let padded = |sequence, octets: usize| {
        let mut question = question(0, PORT, sequence).to_vec();
        question.extend(tlv::padding(octets).unwrap());
        question
    };
    let whole = padded(50, 1360);
    let as_received = Datagram {
        length: whole.len(),
        ..datagram(CALLER, &whole[..128])
    };
    let Judgement::Answer(answer) = reflector.judge(NOW, &as_received) else {
        panic!("padding is no obstacle");
    };
    assert_eq!(answer.len(), AUTHENTICATED_LEN);
    let whole = padded(51, 1360);
    for length in [1471, 1473, 116] {
        let cut = Datagram {
            length,
            ..datagram(CALLER, &whole[..128])
        };
        assert_eq!(
            reflector.judge(NOW, &cut),
            Judgement::Unproven(Unproven::NoQuestion),
            "{length}"
        );
    }
}
