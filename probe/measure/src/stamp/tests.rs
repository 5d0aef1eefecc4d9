use std::time::Duration;

use proptest::prelude::*;

use super::{
    packet::{
        AUTHENTICATED_LEN, Maker, Malformed, ReflectorPacket, SenderPacket, Sent, UNAUTHENTICATED_LEN,
        Unbelievable,
    },
    session::{SessionId, SessionKey},
    time::{ErrorEstimate, Format, WireTime},
    tlv::{CutOff, Tlv},
};
use crate::hello::PairKey;

/// From a live exchange of stamp-suite 1.0.0 with an independent sender.
const OPEN_QUESTION: &str =
    "00000000 eeadbe6a010eece0 8001 beef 00000000000000000000000000000000000000000000000000000000";
const OPEN_ANSWER: &str =
    "00000000 eeadbe6a011de231 8001 beef eeadbe6a011d1399 00000000 eeadbe6a010eece0 8001 0000 40 000000";
const SEALED_QUESTION: &str = "00000000 000000000000000000000000 eeadbe6a37c4950d 8001 beef \
     00000000000000000000000000000000000000000000000000000000000000000000\
     00000000000000000000000000000000000000000000000000000000000000000000 f4ba97fb2f69da2a880abecef1e70dd9";
/// Put together field by field, and signed, by another program.
const SEALED_ANSWER: &str = "00000000 000000000000000000000000 eeadbe6a38000000 8001 beef 00000000 eeadbe6a37f00000 \
     0000000000000000 00000000 000000000000000000000000 eeadbe6a37c4950d 8001 000000000000 40 \
     000000000000000000000000000000 11ab7e10f60bef4722d9df942226be50";

fn key() -> SessionKey {
    SessionKey::new(&octets(
        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
    ))
}

fn octets(hexadecimal: &str) -> Vec<u8> {
    let digits: Vec<u8> = hexadecimal.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

fn sent(sequence: u32, at: u64) -> Sent {
    Sent {
        sequence,
        at: WireTime::from_bits(at),
        error_estimate: ErrorEstimate::from_bits(0x8001).unwrap(),
    }
}

fn question(at: u64) -> SenderPacket {
    SenderPacket {
        sent: sent(0, at),
        ssid: 0xbeef,
    }
}

fn answer(at: u64, received_at: u64, asked_at: u64) -> ReflectorPacket {
    ReflectorPacket {
        sent: sent(0, at),
        ssid: 0xbeef,
        received_at: WireTime::from_bits(received_at),
        asked: sent(0, asked_at),
        ttl: 64,
    }
}

#[test]
fn packets_are_those_of_another_implementation_octet_for_octet() {
    let asked = question(0xeead_be6a_010e_ece0);
    assert_eq!(asked.to_octets()[..], octets(OPEN_QUESTION));
    let answered = answer(
        0xeead_be6a_011d_e231,
        0xeead_be6a_011d_1399,
        0xeead_be6a_010e_ece0,
    );
    assert_eq!(answered.to_octets()[..], octets(OPEN_ANSWER));
    let asked = question(0xeead_be6a_37c4_950d);
    assert_eq!(asked.seal(&key())[..], octets(SEALED_QUESTION));
    let answered = answer(
        0xeead_be6a_3800_0000,
        0xeead_be6a_37f0_0000,
        0xeead_be6a_37c4_950d,
    );
    assert_eq!(answered.seal(&key())[..], octets(SEALED_ANSWER));
}

#[test]
fn packets_of_another_implementation_are_read() {
    let asked = octets(OPEN_QUESTION);
    let (packet, tlvs) = SenderPacket::parse(&asked).unwrap();
    assert_eq!((packet, tlvs.is_empty()), (question(0xeead_be6a_010e_ece0), true));
    let answered = octets(OPEN_ANSWER);
    let (packet, _) = ReflectorPacket::parse(&answered).unwrap();
    assert_eq!(
        packet,
        answer(
            0xeead_be6a_011d_e231,
            0xeead_be6a_011d_1399,
            0xeead_be6a_010e_ece0
        )
    );
    let asked = octets(SEALED_QUESTION);
    let claim = SenderPacket::claim(&asked).unwrap();
    assert_eq!(claim.packet(), &question(0xeead_be6a_37c4_950d));
    assert!(claim.is_proven(&key()));
    let answered = octets(SEALED_ANSWER);
    let (packet, _) = ReflectorPacket::open(&answered, &key()).unwrap();
    assert_eq!(
        packet,
        answer(
            0xeead_be6a_3800_0000,
            0xeead_be6a_37f0_0000,
            0xeead_be6a_37c4_950d
        )
    );
}

#[test]
fn an_altered_octet_anywhere_breaks_the_proof() {
    for at in 0..AUTHENTICATED_LEN {
        let (mut asked, mut answered) = (octets(SEALED_QUESTION), octets(SEALED_ANSWER));
        asked[at] ^= 1;
        // An error estimate without a multiplier is no packet to begin with.
        assert!(
            SenderPacket::claim(&asked).map_or(true, |claim| !claim.is_proven(&key())),
            "{at}"
        );
        answered[at] ^= 1;
        assert_eq!(
            ReflectorPacket::open(&answered, &key()),
            Err(Unbelievable::BadMac),
            "{at}"
        );
    }
}

#[test]
fn the_time_of_a_packet_is_read_as_its_error_estimate_says() {
    let second = Duration::new(1_795_374_698, 500_000_000);
    let ntp = WireTime::ntp(second);
    assert_eq!(ntp.since_1970(Format::Ntp), Some(second));
    let ptp = WireTime::from_bits(second.as_secs() << 32 | 500_000_000);
    assert_eq!(ptp.since_1970(Format::Ptp), Some(second));
    assert_eq!(ErrorEstimate::from_bits(0x8001).unwrap().format(), Format::Ntp);
    assert_eq!(ErrorEstimate::from_bits(0xc001).unwrap().format(), Format::Ptp);
    assert_eq!(
        WireTime::from_bits(1_000_000_000).since_1970(Format::Ptp),
        None,
        "no such nanosecond"
    );
    assert_eq!(WireTime::from_bits(1 << 63).since_1970(Format::Ntp), None, "1968");
}

#[test]
fn ntp_time_goes_on_after_its_era_ends() {
    let after_2036 = Duration::new(2_085_978_496 + 5, 0);
    assert_eq!(WireTime::ntp(after_2036).bits(), 5 << 32);
    assert_eq!(
        WireTime::ntp(after_2036).since_1970(Format::Ntp),
        Some(after_2036)
    );
}

#[test]
fn an_error_estimate_is_multiplier_times_a_power_of_two() {
    let estimate = |bits| ErrorEstimate::from_bits(bits).unwrap();
    assert_eq!(estimate(0x8001 | 32 << 8).error(), Duration::from_secs(1));
    assert_eq!(estimate(3 | 31 << 8).error(), Duration::from_millis(1500));
    assert!(estimate(0x8001).is_synchronised() && !ErrorEstimate::UNKNOWN.is_synchronised());
    assert!(ErrorEstimate::UNKNOWN.error() > Duration::from_secs(u32::MAX.into()));
    assert_eq!(ErrorEstimate::from_bits(0xff00), None);
}

#[test]
fn extensions_behind_a_packet_are_handed_on_and_cut_off_ones_named() {
    let mut asked = octets(SEALED_QUESTION);
    asked.extend([0x80, 1, 0, 3, 7, 7, 7, 0, 200, 0, 0]);
    let padding = Tlv {
        flags: 0x80,
        kind: 1,
        value: &[7, 7, 7],
    };
    let empty = Tlv {
        flags: 0,
        kind: 200,
        value: &[],
    };
    let claim = SenderPacket::claim(&asked).unwrap();
    assert!(claim.is_proven(&key()));
    assert_eq!(claim.tlvs().collect::<Vec<_>>(), [Ok(padding), Ok(empty)]);
    for cut in [1, 2, 3] {
        let short = &asked[..asked.len() - cut];
        let tlvs: Vec<_> = SenderPacket::claim(short).unwrap().tlvs().collect();
        assert_eq!(tlvs, [Ok(padding), Err(CutOff)]);
    }
}

#[test]
fn questions_and_answers_are_told_apart_without_a_key() {
    assert_eq!(Maker::of(&octets(SEALED_QUESTION)), Some(Maker::Sender));
    assert_eq!(Maker::of(&octets(SEALED_ANSWER)), Some(Maker::Reflector));
    assert_eq!(Maker::of(&octets(SEALED_ANSWER)[..111]), None);
    assert_eq!(Maker::of(&[0; 112]), None);
}

#[test]
fn what_is_too_short_or_has_no_multiplier_is_no_packet() {
    let mut open = octets(OPEN_QUESTION);
    assert_eq!(SenderPacket::parse(&open[..43]), Err(Malformed::TooShort(43)));
    open[13] = 0;
    assert_eq!(SenderPacket::parse(&open), Err(Malformed::NoMultiplier));
    let sealed = octets(SEALED_QUESTION);
    assert_eq!(SenderPacket::claim(&sealed[..111]), Err(Malformed::TooShort(111)));
}

#[test]
fn a_session_s_key_is_of_its_pair_and_port_alone() {
    let pair: [u8; 32] = std::array::from_fn(|index| u8::try_from(index).unwrap());
    let mac = |key: &SessionKey| key.mac(b"anything");
    let key = SessionKey::derive(&PairKey::new(&pair), 6081);
    // HMAC-SHA-256 by another program.
    let expected = octets("231bfaf2cf94ee7f08d4a562b973217bcb0f88d94f389df9e0b2430d66f431eb");
    assert_eq!(mac(&key), mac(&SessionKey::new(&expected)));
    assert_ne!(mac(&key), mac(&SessionKey::derive(&PairKey::new(&pair), 6082)));
    assert_ne!(mac(&key), mac(&SessionKey::derive(&PairKey::new(&[0; 32]), 6081)));
    assert_eq!(format!("{key:?}"), "SessionKey(..)");
}

#[test]
fn a_session_is_identified_up_to_the_last_number_that_a_packet_can_carry() {
    let wire = |index| SessionId::of_member(index).map(SessionId::to_wire);
    assert_eq!((wire(0), wire(65_534)), (Some(1), Some(65_535)));
    assert_eq!((wire(65_535), wire(u32::MAX)), (None, None));
    assert_eq!(SessionId::from_wire(0), None);
    assert_eq!(SessionId::from_wire(1), SessionId::of_member(0));
}

fn any_sent() -> impl Strategy<Value = Sent> {
    (
        any::<u32>(),
        any::<u64>(),
        any::<u16>().prop_filter_map("a multiplier", ErrorEstimate::from_bits),
    )
        .prop_map(|(sequence, at, error_estimate)| Sent {
            sequence,
            at: WireTime::from_bits(at),
            error_estimate,
        })
}

proptest! {
    #[test]
    fn every_packet_is_read_as_it_was_written(
        sent in any_sent(), asked in any_sent(), ssid in any::<u16>(), received_at in any::<u64>(), ttl in any::<u8>()
    ) {
        let asking = SenderPacket { sent, ssid };
        prop_assert_eq!(SenderPacket::parse(&asking.to_octets()).unwrap().0, asking);
        let sealed = asking.seal(&key());
        let claim = SenderPacket::claim(&sealed).unwrap();
        prop_assert_eq!((*claim.packet(), claim.is_proven(&key())), (asking, true));
        let received_at = WireTime::from_bits(received_at);
        let answering = ReflectorPacket { sent, ssid, received_at, asked, ttl };
        prop_assert_eq!(ReflectorPacket::parse(&answering.to_octets()).unwrap().0, answering);
        prop_assert_eq!(ReflectorPacket::open(&answering.seal(&key()), &key()).unwrap().0, answering);
    }

    #[test]
    fn a_time_survives_a_packet_to_the_nanosecond(seconds in 0u64..1 << 32, nanos in 0u32..1_000_000_000) {
        let time = Duration::new(seconds, nanos);
        // NTP's two eras reach from 1968 to 2104.
        prop_assume!(seconds < (1 << 32) + (1 << 31) - 2_208_988_800);
        prop_assert_eq!(WireTime::ntp(time).since_1970(Format::Ntp), Some(time));
    }

    #[test]
    fn no_octets_whatsoever_cause_a_panic_or_pass_for_proven(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok((packet, tlvs)) = SenderPacket::parse(&octets) {
            prop_assert!(octets.len() >= UNAUTHENTICATED_LEN);
            packet.sent.at.since_1970(packet.sent.error_estimate.format());
            packet.sent.error_estimate.error();
            prop_assert!(tlvs.count() <= octets.len());
        }
        if let Ok((packet, _)) = ReflectorPacket::parse(&octets) {
            packet.received_at.since_1970(packet.asked.error_estimate.format());
        }
        prop_assert!(SenderPacket::claim(&octets).map_or(true, |claim| !claim.is_proven(&key())));
        prop_assert!(ReflectorPacket::open(&octets, &key()).is_err());
    }
}
