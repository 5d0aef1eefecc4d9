//! On what certificates stand. What the host itself trusts does not count: a middlebox that signs certificates of its own has its
//! root there, and that it is there is what has to be told.

use std::sync::{Arc, Mutex, PoisonError};

use plumbline_model::{
    errand::Anchors,
    observation::{Issued, MAX_CHAIN, Untrusted},
};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use x509_cert::{
    Certificate,
    der::{Decode as _, SliceReader},
    name::Name,
};

/// Roots that count.
#[derive(Debug)]
pub(super) struct Trust {
    public: Arc<RootCertStore>,
    given: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

/// What a server showed, and what is to be thought of it.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) chain: Vec<Issued>,
    pub(super) verdict: Option<Untrusted>,
}

impl Trust {
    /// The public roots, and those given in PEM; what is no certificate is passed over.
    pub(super) fn new(given: &[String]) -> Self {
        let public = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        let mut with_given = public.clone();
        for pem in given {
            let certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok);
            with_given.add_parsable_certificates(certificates);
        }
        Self {
            public: Arc::new(public),
            given: Arc::new(with_given),
            provider: Arc::new(rustls::crypto::ring::default_provider()),
        }
    }

    /// For one connection: its configuration, and where what the server shows is written.
    ///
    /// # Errors
    /// If the provider cannot do TLS at all.
    pub(super) fn client(&self, anchors: Anchors) -> Result<(Arc<ClientConfig>, Arc<Mutex<Shown>>), Error> {
        let roots = match anchors {
            Anchors::Public => &self.public,
            Anchors::Given => &self.given,
        };
        let judge =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(&self.provider))
                .build()
                .map_err(|error| Error::General(error.to_string()))?;
        let shown = Arc::new(Mutex::new(Shown::default()));
        let verifier = Witness {
            judge,
            shown: Arc::clone(&shown),
        };
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Ok((Arc::new(config), shown))
    }
}

/// Judges as any client does, and remembers what it saw.
#[derive(Debug)]
struct Witness {
    judge: Arc<WebPkiServerVerifier>,
    shown: Arc<Mutex<Shown>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judged =
            self.judge
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let chain = std::iter::once(end_entity).chain(intermediates).take(MAX_CHAIN);
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Shown {
            chain: chain.filter_map(|der| issued(der)).collect(),
            verdict: judged.as_ref().err().map(untrusted),
        };
        judged
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

fn untrusted(error: &Error) -> Untrusted {
    match error {
        Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer => Untrusted::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Untrusted::OtherName
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Untrusted::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Untrusted::NotYetValid
            }
            _ => Untrusted::Invalid,
        },
        _ => Untrusted::Invalid,
    }
}

/// Whose a certificate is and who signed it; nothing of what cannot be read.
pub(super) fn issued(der: &[u8]) -> Option<Issued> {
    let mut reader = SliceReader::new(der).ok()?;
    let certificate = Certificate::decode(&mut reader).ok()?.tbs_certificate;
    Some(Issued {
        subject: text(&certificate.subject),
        issuer: text(&certificate.issuer),
    })
}

/// A distinguished name (RFC 4514), with nothing in it that a terminal obeys.
fn text(name: &Name) -> String {
    let text = name.to_string();
    let plain = text
        .chars()
        .map(|char| if char.is_control() { '?' } else { char });
    plain.take(MAX_DISTINGUISHED_NAME).collect()
}

/// Characters of a distinguished name that are told.
const MAX_DISTINGUISHED_NAME: usize = 200;
