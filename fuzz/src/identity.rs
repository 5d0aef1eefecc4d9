//! Keys, signatures, join strings, report directories.

use std::{collections::BTreeMap, sync::LazyLock};

use plumbline_identity::{
    attest::Statement,
    bundle,
    dsse::Envelope,
    enrol::{Admission, CameFrom, Claim, Expected, Origin},
    join::JoinString,
    key::{SigningKey, VerifyingKey},
    sshsig, tls,
};
use plumbline_model::{canonical, evidence::PAYLOAD_TYPE, id::NodeId, report};
use plumbline_proto::v1;
use prost::Message as _;

use crate::Reading;

/// A join string.
///
/// # Panics
/// If it is not written back as it was, or a refusal quotes it.
pub fn join_string(data: &[u8]) -> Reading {
    let Ok(text) = std::str::from_utf8(data) else {
        return Reading::Refused;
    };
    let read = text.parse::<JoinString>();
    match &read {
        Ok(join) => assert_eq!(*join.to_text(), text.trim()),
        Err(refused) => assert!(!refused.to_string().is_empty()),
    }
    Reading::of(&read)
}

/// A signed envelope, which for [`known_key`] is accepted only if that key would sign it like this.
///
/// # Panics
/// If it is not written back as it was, or passes for signed without being so.
pub fn envelope(data: &[u8]) -> Reading {
    let read = Envelope::parse(data);
    if let Ok(envelope) = &read {
        assert_eq!(envelope.to_bytes(), data);
        let verified = envelope.verify(&KNOWN_KEY.verifying_key(), PAYLOAD_TYPE);
        if let Ok(payload) = &verified {
            assert_eq!(envelope.unverified_payload().ok().as_ref(), Some(payload));
            // Signing draws no random number, so what the key signed is what it signs again.
            assert_eq!(Envelope::sign(&KNOWN_KEY, PAYLOAD_TYPE, payload), *envelope);
        }
        return Reading::of(&verified);
    }
    Reading::of(&read)
}

/// An SSH signature over a message that everybody knows.
///
/// # Panics
/// If anything passes for the signature but the signature.
pub fn ssh_signature(data: &[u8]) -> Reading {
    let verified = sshsig::verify(&KNOWN_KEY.verifying_key(), MESSAGE, data);
    assert_eq!(
        verified.is_ok(),
        data == sshsig::sign(&KNOWN_KEY, MESSAGE).as_bytes()
    );
    Reading::of(&verified)
}

/// The statement inside of an attestation.
///
/// # Panics
/// If it is not written back as it was.
pub fn statement(data: &[u8]) -> Reading {
    let read = canonical::decode::<Statement>(data);
    if let Ok(statement) = &read {
        assert_eq!(canonical::encode(statement), data);
        let _ = statement.evidence();
    }
    Reading::of(&read)
}

/// Keys in each of their forms.
///
/// # Panics
/// If one that was read is not the same in its other forms.
pub fn key(data: &[u8]) -> Reading {
    let text = std::str::from_utf8(data).unwrap_or_default();
    let public = [
        VerifyingKey::from_point(data),
        VerifyingKey::from_point_hex(text),
        VerifyingKey::from_pem(text),
    ];
    for key in public.iter().flatten() {
        assert_eq!(VerifyingKey::from_point(&key.point()), Ok(*key));
        assert_eq!(VerifyingKey::from_point_hex(&key.point_hex()), Ok(*key));
        assert_eq!(VerifyingKey::from_pem(&key.to_pem()), Ok(*key));
    }
    let private = SigningKey::from_pkcs8_pem(text);
    if let Ok(key) = &private {
        let again = SigningKey::from_pkcs8_pem(&key.to_pkcs8_pem()).map(|key| key.verifying_key());
        assert_eq!(again, Ok(key.verifying_key()));
    }
    if private.is_ok() || public.iter().any(Result::is_ok) {
        Reading::Accepted
    } else {
        Reading::Refused
    }
}

/// A certificate as a peer shows it.
pub fn certificate(data: &[u8]) -> Reading {
    Reading::of(&tls::spki_sha256(data))
}

/// A claim to be let in, as it comes off the wire, before a table that waits for one node.
///
/// # Panics
/// If anybody is let in without the one-time key's signature, or a refusal changes the table.
pub fn join_claim(data: &[u8]) -> Reading {
    let Ok(wire) = v1::JoinRequest::decode(data) else {
        return Reading::Refused;
    };
    let claim = Claim {
        protocol: wire.protocol,
        run: wire.run,
        node: wire.node,
        signing_key: wire.signing_key,
        agreement_key: wire.agreement_key,
        one_time_signature: wire.one_time_signature,
        possession_signature: wire.possession_signature,
        addresses: wire
            .addresses
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect(),
        data_ipv6: wire.data_ipv6.parse().ok(),
    };
    let join = &*JOIN;
    let expected = Expected {
        node: join.node,
        origin: Origin::Addresses(join.node.address().into_iter().collect()),
        one_time_public: join.one_time_key.public(),
        expires_unix_s: join.expires_unix_s,
    };
    let mut admission = Admission::new(join.run.clone(), vec![expected]);
    let came_from = CameFrom::OwnStream(join.node);
    let admitted = admission.admit(0, came_from, &EXPORTER, &TLS_KEY_SHA256, &claim);
    match &admitted {
        Ok(member) => {
            assert_eq!(member.node, join.node);
            assert_eq!(admission.is_member(&TLS_KEY_SHA256), Some(join.node));
            assert_eq!(
                member.addresses.first().copied().map(NodeId::Address),
                Some(join.node),
                "the data address comes first"
            );
        }
        Err(refused) => {
            assert!(!refused.to_string().is_empty());
            assert_eq!((admission.members().count(), admission.refused()), (0, 1));
        }
    }
    Reading::of(&admitted)
}

/// A whole report directory: for each file a line `NAME LENGTH` and its octets.
///
/// # Panics
/// If a directory of which everything holds gives evidence that is out of order, or faults do not name their file.
pub fn report_directory(data: &[u8]) -> Reading {
    let files = unpack(data);
    let checked = bundle::check(&files, None);
    match &checked {
        Ok(checked) => {
            assert!(bundle::FILES.iter().all(|name| files.contains_key(*name)));
            assert!(
                checked
                    .evidence
                    .windows(2)
                    .all(|pair| pair[0].line < pair[1].line)
            );
            if !checked.evidence.is_empty() {
                let _ = report::report(&checked.evidence);
            }
        }
        Err(faults) => {
            assert!(!faults.is_empty() && faults.len() <= bundle::MAX_FAULTS + 1);
            for fault in faults {
                assert!(!fault.to_string().is_empty());
            }
        }
    }
    Reading::of(&checked)
}

/// The form in which [`report_directory`] takes a directory.
pub fn pack<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut packed = Vec::new();
    for (name, octets) in files {
        packed.extend(format!("{name} {}\n", octets.len()).as_bytes());
        packed.extend(octets);
    }
    packed
}

/// What is cut off or makes no sense ends the list.
fn unpack(mut data: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    while let Some(end) = data.iter().position(|octet| *octet == b'\n') {
        let head = String::from_utf8_lossy(&data[..end]);
        let rest = &data[end + 1..];
        let Some((name, Ok(length))) = head.split_once(' ').map(|(name, length)| (name, length.parse()))
        else {
            break;
        };
        let Some((octets, further)) = rest.split_at_checked(length) else {
            break;
        };
        files.insert(name.to_owned(), octets.to_vec());
        data = further;
    }
    files
}

/// The key whose signatures bodies believe. It is no secret.
pub fn known_key() -> &'static SigningKey {
    &KNOWN_KEY
}

static KNOWN_KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::from_scalar(&[1; 32]).expect("a small number is a scalar"));

/// The join string of the node that [`join_claim`] waits for.
static JOIN: LazyLock<JoinString> = LazyLock::new(|| {
    include_str!("../corpus/join_string/node")
        .parse()
        .expect("the sample is a join string")
});

/// What [`ssh_signature`] is over.
pub const MESSAGE: &[u8] = b"{\"a\":1}";
/// The exporter of the session in which [`join_claim`] is made.
pub const EXPORTER: [u8; 32] = [9; 32];
/// The hash of the TLS key of that session.
pub const TLS_KEY_SHA256: [u8; 32] = [8; 32];
