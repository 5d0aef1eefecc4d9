use std::{io::Cursor, time::Duration};

use plumbline_model::id::RunId;
use rustls::{ClientConnection, ServerConnection};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn now() -> u64 {
    UnixTime::now().as_secs()
}

fn ca_at(unix_s: u64) -> RunCa {
    RunCa::new(&RunId::from_bytes([1; 8]), unix_s, HOUR).unwrap()
}

fn key() -> TlsKey {
    TlsKey::generate(now(), HOUR).unwrap()
}

/// Hands the bytes of a handshake to and fro until both ends are content or one refuses.
fn shake(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<(ServerConnection, ClientConnection), Error> {
    let mut server = ServerConnection::new(server)?;
    let mut client = ClientConnection::new(client, name)?;
    // TLS 1.3 needs two round trips at most, alerts and tickets included.
    for _ in 0..4 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        server.read_tls(&mut Cursor::new(&bytes)).unwrap();
        server.process_new_packets()?;
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        client.read_tls(&mut Cursor::new(&bytes)).unwrap();
        client.process_new_packets()?;
    }
    assert!(!server.is_handshaking() && !client.is_handshaking());
    Ok((server, client))
}

fn session(ca: &RunCa, key: &TlsKey) -> Result<(ServerConnection, ClientConnection), Error> {
    shake(server_config(ca)?, client_config(key, ca.pin())?, server_name())
}

#[test]
fn a_session_is_tls_13_with_http_2_and_both_ends_export_the_same() {
    let (ca, key) = (ca_at(now()), key());
    let (server, client) = session(&ca, &key).unwrap();
    assert_eq!(server.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(
        (server.alpn_protocol(), client.alpn_protocol()),
        (Some(ALPN), Some(ALPN))
    );
    assert_eq!(exporter(&server).unwrap(), exporter(&client).unwrap());
    let certificate = &server.peer_certificates().unwrap()[0];
    assert_eq!(spki_sha256(certificate), Ok(key.spki_sha256()));
}

#[test]
fn two_sessions_of_the_same_keys_export_different_values() {
    let (ca, key) = (ca_at(now()), key());
    let (one, _) = session(&ca, &key).unwrap();
    let (two, _) = session(&ca, &key).unwrap();
    assert_ne!(exporter(&one).unwrap(), exporter(&two).unwrap());
}

#[test]
fn nothing_is_resumed() {
    let (ca, key) = (ca_at(now()), key());
    let (server, client) = (
        server_config(&ca).unwrap(),
        client_config(&key, ca.pin()).unwrap(),
    );
    for _ in 0..2 {
        let (server, _) = shake(Arc::clone(&server), Arc::clone(&client), server_name()).unwrap();
        assert_eq!(server.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}

#[test]
fn another_ca_than_the_pinned_one_is_refused() {
    let (real, impostor) = (ca_at(now()), ca_at(now()));
    let client = client_config(&key(), real.pin()).unwrap();
    let error = shake(server_config(&impostor).unwrap(), client, server_name()).unwrap_err();
    assert_eq!(error, CertificateError::UnknownIssuer.into());
}

#[test]
fn the_pinned_ca_shown_beside_a_certificate_that_it_did_not_sign_is_refused() {
    let (real, impostor) = (ca_at(now()), ca_at(now()));
    let leaf = &impostor.chain()[0];
    let chain = [real.chain()[1].clone()];
    let verifier = PinnedCa {
        pin: real.pin(),
        provider: provider(),
    };
    let verdict = verifier.verify_server_cert(leaf, &chain, &server_name(), &[], UnixTime::now());
    assert!(verdict.is_err());
}

#[test]
fn another_name_is_refused() {
    let ca = ca_at(now());
    let client = client_config(&key(), ca.pin()).unwrap();
    let name = ServerName::try_from("elsewhere.plumbline.invalid").unwrap();
    assert!(shake(server_config(&ca).unwrap(), client, name).is_err());
}

#[test]
fn a_clock_that_is_hours_wrong_is_forgiven_and_one_that_is_days_wrong_is_not() {
    for wrong_by in [6 * 3600, 20 * 3600] {
        for started in [now() - wrong_by, now() + wrong_by] {
            assert!(session(&ca_at(started), &key()).is_ok(), "{wrong_by} s");
        }
    }
    for started in [now() - 3 * 86_400, now() + 3 * 86_400] {
        assert!(session(&ca_at(started), &key()).is_err());
    }
}

#[test]
fn certificates_end_when_they_should() {
    let (ca, key) = (
        ca_at(1_700_000_000),
        TlsKey::generate(1_700_000_000, HOUR).unwrap(),
    );
    let chain = ca.chain();
    for der in [&chain[0], &chain[1], key.certificate()] {
        let validity = parse(der).unwrap().tbs_certificate.validity;
        let unix_s = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
        assert_eq!(unix_s(validity.not_before), 1_700_000_000 - 300);
        assert_eq!(unix_s(validity.not_after), 1_700_000_000 + 3600);
    }
    assert!(
        TlsKey::generate(u64::MAX, HOUR).is_ok(),
        "a mad clock is no panic"
    );
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let ca = ca_at(now());
    let provider = provider();
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PinnedCa {
            pin: ca.pin(),
            provider,
        }))
        .with_no_client_auth();
    let error = shake(server_config(&ca).unwrap(), Arc::new(client), server_name()).unwrap_err();
    assert_eq!(error, Error::NoCertificatesPresented);
}

#[test]
fn a_client_with_a_key_of_another_kind_is_refused() {
    for algorithm in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&pair).unwrap();
        let verdict = AnyP256Client { provider: provider() }.verify_client_cert(
            certificate.der(),
            &[],
            UnixTime::now(),
        );
        assert!(verdict.is_err());
    }
}

#[test]
fn a_client_that_shows_a_certificate_of_somebody_else_is_refused() {
    let (ca, own, stolen) = (ca_at(now()), key(), key());
    let provider = provider();
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PinnedCa {
            pin: ca.pin(),
            provider: Arc::clone(&provider),
        }));
    // rustls notices the mismatch itself unless the pair is put together by hand.
    let signing = provider.key_provider.load_private_key(own.private_key()).unwrap();
    let mismatched = rustls::sign::CertifiedKey::new(vec![stolen.certificate().clone()], signing);
    let config = config.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(mismatched)));
    let error = shake(server_config(&ca).unwrap(), Arc::new(config), server_name()).unwrap_err();
    assert!(
        matches!(error, Error::InvalidCertificate(CertificateError::BadSignature)),
        "{error:?}"
    );
}

#[test]
fn bytes_that_are_no_certificate_have_no_key() {
    let certificate = key().certificate().to_vec();
    for bytes in [
        &[][..],
        b"-----BEGIN",
        &certificate[..certificate.len() - 1],
        &[certificate.clone(), vec![0]].concat(),
    ] {
        assert_eq!(spki_sha256(bytes), Err(BadCertificate));
    }
}

#[test]
fn debug_shows_no_private_key() {
    let (ca, key) = (ca_at(now()), key());
    let shown = format!("{ca:?} {key:?}");
    assert!(shown.len() < 200, "{shown}");
}
