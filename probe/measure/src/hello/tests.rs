use proptest::prelude::*;

use super::*;

const REQUEST: Request = Request {
    run: *b"a run id",
    source: 3,
    destination: 7,
    port: 10250,
    nonce: *b"sixteen octets!!",
};

fn key(octet: u8) -> PairKey {
    PairKey::new(&[octet; 32])
}

fn claim(octets: &[u8]) -> Claim {
    match ReadRequest::from_octets(octets) {
        ReadRequest::Claimed(claim) => claim,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reply_proves_the_peer_and_is_shorter_than_the_request() {
    let (octets, asked) = REQUEST.seal(&key(1));
    let claim = claim(&octets);
    assert_eq!(claim.request(), &REQUEST);
    let reply = claim.reply(&key(1)).expect("the key is the same");
    assert!(reply.len() < octets.len());
    assert_eq!(asked.read_reply(&key(1), &reply), ReadReply::Proven);
}

#[test]
fn a_request_with_another_key_gets_no_reply() {
    let (octets, _) = REQUEST.seal(&key(1));
    assert_eq!(claim(&octets).reply(&key(2)), None);
}

#[test]
fn a_reply_with_another_key_is_a_bad_proof() {
    let (octets, asked) = REQUEST.seal(&key(1));
    let reply = claim(&octets).reply(&key(1)).expect("the key is the same");
    assert_eq!(asked.read_reply(&key(2), &reply), ReadReply::BadProof);
}

#[test]
fn a_reply_to_another_connection_is_a_bad_proof() {
    let others = [
        Request {
            nonce: [0; 16],
            ..REQUEST
        },
        Request {
            port: 10251,
            ..REQUEST
        },
        Request {
            destination: 8,
            ..REQUEST
        },
        Request { source: 4, ..REQUEST },
        Request {
            run: [0; 8],
            ..REQUEST
        },
    ];
    let (_, asked) = REQUEST.seal(&key(1));
    for other in others {
        let (octets, _) = other.seal(&key(1));
        let reply = claim(&octets).reply(&key(1)).expect("the key is the same");
        assert_eq!(
            asked.read_reply(&key(1), &reply),
            ReadReply::BadProof,
            "{other:?}"
        );
    }
}

#[test]
fn a_request_that_is_sent_back_is_no_reply() {
    let (octets, asked) = REQUEST.seal(&key(1));
    assert_eq!(asked.read_reply(&key(1), &octets), ReadReply::Garbage);
    assert_eq!(
        asked.read_reply(&key(1), &octets[..REPLY_LEN]),
        ReadReply::Garbage
    );
}

#[test]
fn the_banner_of_another_program_is_garbage_from_its_first_octet_on() {
    let (_, asked) = REQUEST.seal(&key(1));
    let banner = b"SSH-2.0-OpenSSH_9.2p1\r\n";
    for len in 1..=banner.len() {
        assert_eq!(asked.read_reply(&key(1), &banner[..len]), ReadReply::Garbage);
    }
}

#[test]
fn octets_behind_a_hello_are_garbage() {
    let (octets, asked) = REQUEST.seal(&key(1));
    let reply = claim(&octets).reply(&key(1)).expect("the key is the same");
    assert_eq!(
        asked.read_reply(&key(1), &[&reply[..], &[0]].concat()),
        ReadReply::Garbage
    );
    assert_eq!(
        ReadRequest::from_octets(&[&octets[..], &[0]].concat()),
        ReadRequest::Garbage
    );
}

#[test]
fn a_hello_may_arrive_octet_by_octet() {
    let (octets, asked) = REQUEST.seal(&key(1));
    for len in 0..octets.len() {
        assert_eq!(ReadRequest::from_octets(&octets[..len]), ReadRequest::Incomplete);
    }
    let reply = claim(&octets).reply(&key(1)).expect("the key is the same");
    for len in 0..reply.len() {
        assert_eq!(asked.read_reply(&key(1), &reply[..len]), ReadReply::Incomplete);
    }
}

#[test]
fn the_octets_on_the_wire_are_these() {
    let (octets, _) = REQUEST.seal(&key(1));
    assert_eq!(
        &octets[..24],
        b"PLBH\x01\x01\x28\x0aa run id\x00\x00\x00\x03\x00\x00\x00\x07"
    );
    let reply = claim(&octets).reply(&key(1)).expect("the key is the same");
    assert_eq!(&reply[..24], b"PLBH\x01\x02\x28\x0asixteen octets!!");
}

/// What a fuzz target does: every octet string is judged without a panic, and none that was not sealed gets a reply.
fn judge(octets: &[u8]) {
    let (_, asked) = REQUEST.seal(&key(1));
    assert_ne!(asked.read_reply(&key(1), octets), ReadReply::Proven);
    if let ReadRequest::Claimed(claim) = ReadRequest::from_octets(octets) {
        assert_eq!(claim.reply(&key(1)), None);
    }
}

proptest! {
    #[test]
    fn arbitrary_octets_are_never_proven(octets in proptest::collection::vec(any::<u8>(), 0..80)) {
        judge(&octets);
    }

    #[test]
    fn octets_framed_like_a_hello_are_never_proven(tail in proptest::collection::vec(any::<u8>(), 0..60), kind in 1u8..=2) {
        judge(&[&MAGIC[..], &[VERSION, kind], &tail].concat());
    }

    #[test]
    fn no_single_bit_of_a_request_can_be_changed(bit in 0..REQUEST_LEN * 8) {
        let (mut octets, _) = REQUEST.seal(&key(1));
        octets[bit / 8] ^= 1 << (bit % 8);
        judge(&octets);
    }

    #[test]
    fn no_single_bit_of_a_reply_can_be_changed(bit in 0..REPLY_LEN * 8) {
        let (octets, asked) = REQUEST.seal(&key(1));
        let mut reply = claim(&octets).reply(&key(1)).expect("the key is the same");
        reply[bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(asked.read_reply(&key(1), &reply), ReadReply::Proven);
    }
}
