//! The key that a participant opens sessions with, under a certificate that it signs itself: nobody vouches for it, the
//! handshake proves that its holder is there, and enrolment binds it to a node.

use std::{fmt, time::Duration};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData as _,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::ca::set_validity;

/// A P-256 key with a self-signed certificate.
pub struct TlsKey {
    certificate: CertificateDer<'static>,
    pkcs8: Zeroizing<Vec<u8>>,
    spki_sha256: [u8; 32],
}

/// The key or its certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("make a TLS key and its certificate")]
pub struct TlsKeyError(#[from] rcgen::Error);

impl TlsKey {
    /// A new random key; its certificate is valid from [`crate::ca::CLOCK_SKEW`] before `now_unix_s` for `lifetime`.
    ///
    /// # Errors
    /// If the operating system gives no random bytes.
    pub fn generate(now_unix_s: u64, lifetime: Duration) -> Result<Self, TlsKeyError> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "plumbline probe");
        set_validity(&mut params, now_unix_s, lifetime);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.self_signed(&pair)?.der().clone();
        Ok(Self {
            certificate,
            spki_sha256: Sha256::digest(pair.subject_public_key_info()).into(),
            pkcs8: Zeroizing::new(pair.serialize_der()),
        })
    }

    /// SHA-256 of the key's SubjectPublicKeyInfo.
    pub fn spki_sha256(&self) -> [u8; 32] {
        self.spki_sha256
    }

    /// The certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// A copy of the private key for rustls, which keeps it for as long as the configuration lives.
    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.pkcs8.to_vec()).into()
    }
}

impl fmt::Debug for TlsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsKey(of {})", crate::hex::encode(&self.spki_sha256))
    }
}
