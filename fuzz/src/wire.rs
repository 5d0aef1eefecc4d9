//! The messages of a session: protocol buffers in, typed values out, and back.

use std::{fmt::Debug, sync::LazyLock};

use plumbline_proto::{
    Invalid,
    convert::{Assignment, FromProbe, Join, JoinAccepted, Roster, ToProbe, roster_of},
    v1,
};
use prost::Message;

use crate::Reading;

/// A message from a probe.
///
/// # Panics
/// If it means something else after it was written and read again.
pub fn from_probe(data: &[u8]) -> Reading {
    round_trip::<v1::FromProbe, FromProbe>(data)
}

/// A message to a probe; assignments are read against a roster of three.
///
/// # Panics
/// If it means something else after it was written and read again.
pub fn to_probe(data: &[u8]) -> Reading {
    let Some(read) = read::<v1::ToProbe, ToProbe>(data) else {
        return Reading::Refused;
    };
    let ToProbe::Assignment(wire) = &read else {
        let again = ToProbe::try_from(v1::ToProbe::from(read.clone()));
        assert_eq!(again.as_ref(), Ok(&read));
        return Reading::Accepted;
    };
    // Whatever roster it names, so that everything behind the digest is read.
    let mut wire = wire.clone();
    let named = roster_of(&wire);
    if named.is_ok_and(|digest| digest != ROSTER.digest()) {
        assert!(
            Assignment::from_wire(&wire, &ROSTER).is_err(),
            "another roster is refused"
        );
        wire.roster_sha256 = ROSTER.digest().0.to_vec();
    }
    let assignment = Assignment::from_wire(&wire, &ROSTER);
    match &assignment {
        Ok(assignment) => {
            let again = assignment
                .to_wire(&ROSTER)
                .and_then(|wire| Assignment::from_wire(&wire, &ROSTER));
            assert_eq!(again.as_ref(), Ok(assignment));
        }
        Err(invalid) => check_complaint(invalid),
    }
    Reading::of(&assignment)
}

/// A request to be let in.
///
/// # Panics
/// If it means something else after it was written and read again.
pub fn join_request(data: &[u8]) -> Reading {
    round_trip::<v1::JoinRequest, Join>(data)
}

/// The answer to it.
///
/// # Panics
/// If it means something else after it was written and read again.
pub fn join_reply(data: &[u8]) -> Reading {
    round_trip::<v1::JoinReply, JoinAccepted>(data)
}

fn round_trip<W, T>(data: &[u8]) -> Reading
where
    W: Message + Default + From<T> + PartialEq,
    T: TryFrom<W, Error = Invalid> + Clone + PartialEq + Debug,
{
    let Some(value) = read::<W, T>(data) else {
        return Reading::Refused;
    };
    let octets = W::from(value.clone()).encode_to_vec();
    assert_eq!(read::<W, T>(&octets).as_ref(), Some(&value));
    Reading::Accepted
}

fn read<W: Message + Default, T: TryFrom<W, Error = Invalid>>(data: &[u8]) -> Option<T> {
    let wire = W::decode(data).ok()?;
    T::try_from(wire).inspect_err(check_complaint).ok()
}

/// A refusal names the field, and what it quotes can be put into a log.
fn check_complaint(invalid: &Invalid) {
    assert!(!invalid.field.is_empty());
    let words = invalid.to_string();
    assert!(!words.chars().any(char::is_control), "{words:?}");
}

/// The roster that assignments are read against.
static ROSTER: LazyLock<Roster> = LazyLock::new(|| {
    let wire = v1::ToProbe::decode(&include_bytes!("../corpus/to_probe/roster")[..])
        .expect("the sample is a message");
    match ToProbe::try_from(wire) {
        Ok(ToProbe::Roster(roster)) => roster,
        other => panic!("the sample is a roster: {other:?}"),
    }
});
