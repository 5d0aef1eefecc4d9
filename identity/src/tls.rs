//! TLS for the control session: version 1.3 only, ring as the explicit provider, mutual, nothing resumed, nothing sent early.
//!
//! Each side is known by a key, not by a name that somebody vouches for. The probe accepts whoever holds a certificate under
//! the CA whose key hash its join string pins. The coordinator accepts any P-256 client certificate, for the handshake proves
//! only that the client holds the key; [`crate::enrol`] binds that key to a node, and the exporter binds the enrolment to this
//! session.

use std::sync::Arc;

use rustls::{
    CertificateError, ClientConfig, ConnectionCommon, DigitallySignedStruct, DistinguishedName, Error,
    RootCertStore, ServerConfig, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use sha2::{Digest as _, Sha256};
use x509_cert::{
    Certificate,
    der::{Decode as _, Encode as _},
};

use crate::{
    ca::{RunCa, SERVER_NAME},
    key::{TlsKey, VerifyingKey},
};

/// The label under which both ends derive the value that binds an enrolment to its session (RFC 8446 section 7.5).
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-plumbline-join-v1";

/// The application protocol: gRPC over HTTP/2.
pub const ALPN: &[u8] = b"h2";

/// How wrong a probe's clock may be before it refuses the coordinator's certificate, in seconds. What authenticates the
/// coordinator is the pin, and the CA lives no longer than its run, so a bare node with a bad clock is let in: its clock
/// is then a finding instead of a riddle. A day covers every time zone mistake.
pub const CLOCK_TOLERANCE_S: u64 = 24 * 60 * 60;

/// The certificate is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("read the peer's certificate")]
pub struct BadCertificate;

/// The coordinator's configuration. Every client must show a certificate; see [`spki_sha256`] for what to do with it.
///
/// # Errors
/// If the CA's own certificate or key is refused by rustls: a bug.
pub fn server_config(ca: &RunCa) -> Result<Arc<ServerConfig>, Error> {
    let provider = provider();
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(AnyP256Client { provider }))
        .with_single_cert(ca.chain(), ca.server_key())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session has another exporter and proves no certificate: every session is a full handshake.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// A probe's configuration: only the holder of a certificate under the CA whose key hash is `pin` is spoken to. Connect with
/// [`server_name`].
///
/// # Errors
/// If the key's own certificate is refused by rustls: a bug.
pub fn client_config(key: &TlsKey, pin: [u8; 32]) -> Result<Arc<ClientConfig>, Error> {
    let provider = provider();
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PinnedCa { pin, provider }))
        .with_client_auth_cert(vec![key.certificate().clone()], key.private_key())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    // The pin says who it is; the name would only tell an eavesdropper what runs here.
    config.enable_sni = false;
    Ok(Arc::new(config))
}

/// The name that a probe expects in the coordinator's certificate.
pub fn server_name() -> ServerName<'static> {
    ServerName::try_from(SERVER_NAME).expect("a constant that is a DNS name")
}

/// The value that binds an enrolment to this session; the same at both ends. `connection` is what
/// `tokio_rustls::TlsStream::get_ref().1` gives.
///
/// # Errors
/// If the handshake is not complete.
pub fn exporter<Data>(connection: &ConnectionCommon<Data>) -> Result<[u8; 32], Error> {
    connection.export_keying_material([0; 32], EXPORTER_LABEL, None)
}

/// SHA-256 of the SubjectPublicKeyInfo of a certificate in DER: the name of a TLS key.
///
/// # Errors
/// If it is no certificate.
pub fn spki_sha256(certificate_der: &[u8]) -> Result<[u8; 32], BadCertificate> {
    Ok(Sha256::digest(spki_der(&parse(certificate_der)?)?).into())
}

fn parse(der: &[u8]) -> Result<Certificate, BadCertificate> {
    Certificate::from_der(der).map_err(|_| BadCertificate)
}

/// The SubjectPublicKeyInfo of a certificate. DER has one encoding of everything, so this is what stands there.
fn spki_der(certificate: &Certificate) -> Result<Vec<u8>, BadCertificate> {
    let spki = &certificate.tbs_certificate.subject_public_key_info;
    spki.to_der().map_err(|_| BadCertificate)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Accepts any client that proves a P-256 key.
#[derive(Debug)]
struct AnyP256Client {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AnyP256Client {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if !intermediates.is_empty() || end_entity.len() > MAX_CLIENT_CERTIFICATE {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        let bad = |BadCertificate| Error::from(CertificateError::BadEncoding);
        let certificate = parse(end_entity).map_err(bad)?;
        // The key must be one that we would write: this refuses other curves, algorithms and encodings alike.
        let spki = &certificate.tbs_certificate.subject_public_key_info;
        match VerifyingKey::from_point(spki.subject_public_key.raw_bytes()) {
            Ok(point) if point.spki_der() == spki_der(&certificate).map_err(bad)? => {
                Ok(ClientCertVerified::assertion())
            }
            _ => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// Accepts the holder of a certificate for [`SERVER_NAME`] under the CA with this key hash.
#[derive(Debug)]
struct PinnedCa {
    pin: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let ca = intermediates
            .iter()
            .find(|certificate| spki_sha256(certificate) == Ok(self.pin))
            .ok_or_else(|| Error::from(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
                .build()
                .map_err(|_| Error::from(CertificateError::UnknownIssuer))?;
        let leaf = parse(end_entity).map_err(|BadCertificate| Error::from(CertificateError::BadEncoding))?;
        verifier.verify_server_cert(end_entity, &[], server_name, ocsp_response, forgiving(now, &leaf))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// `now`, moved into the certificate's validity if it is no farther from it than [`CLOCK_TOLERANCE_S`].
fn forgiving(now: UnixTime, certificate: &Certificate) -> UnixTime {
    let validity = &certificate.tbs_certificate.validity;
    let first = validity.not_before.to_unix_duration().as_secs();
    let last = validity.not_after.to_unix_duration().as_secs().max(first);
    let inside = now.as_secs().clamp(first, last);
    if inside.abs_diff(now.as_secs()) <= CLOCK_TOLERANCE_S {
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(inside))
    } else {
        now
    }
}

/// Neither configuration offers TLS 1.2, so rustls never asks.
fn tls12() -> Error {
    Error::General("TLS 1.2 is not spoken".to_owned())
}

/// Ours has about 400 octets. What is longer is not worth parsing for somebody who is not enrolled.
const MAX_CLIENT_CERTIFICATE: usize = 4096;

#[cfg(test)]
mod tests;
