//! The certificate authority of one run: it lives in the coordinator's memory and dies with the run. Probes know it by the
//! hash of its key, which stands in their join strings.

use std::{fmt, time::Duration};

use plumbline_model::id::RunId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData as _,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// The name in the coordinator's certificate, whatever its addresses are. `.invalid` never resolves (RFC 2606).
pub const SERVER_NAME: &str = "coordinator.plumbline.invalid";

/// How far before now a certificate's validity starts: clocks of bare nodes are not synchronised yet.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// A run's CA with the coordinator's certificate under it. The CA's private key is dropped once it has signed: a one-shot
/// run issues nothing else.
pub struct RunCa {
    ca: CertificateDer<'static>,
    pin: [u8; 32],
    server: CertificateDer<'static>,
    server_pkcs8: Zeroizing<Vec<u8>>,
}

/// The CA or the server certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("make the run's certificate authority")]
pub struct CaError(#[from] rcgen::Error);

impl RunCa {
    /// A new CA with new keys, valid from [`CLOCK_SKEW`] before `now_unix_s` for `lifetime`.
    ///
    /// # Errors
    /// If the operating system gives no random bytes.
    pub fn new(run: &RunId, now_unix_s: u64, lifetime: Duration) -> Result<Self, CaError> {
        let ca_pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut ca_params = CertificateParams::default();
        ca_params.distinguished_name = named(&format!("plumbline run {run}"));
        ca_params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca_params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        set_validity(&mut ca_params, now_unix_s, lifetime);
        let ca = ca_params.self_signed(&ca_pair)?.der().clone();
        let pin = Sha256::digest(ca_pair.subject_public_key_info()).into();
        let issuer = Issuer::new(ca_params, ca_pair);

        let server_pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(vec![SERVER_NAME.to_owned()])?;
        params.distinguished_name = named("plumbline coordinator");
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now_unix_s, lifetime);
        let server = params.signed_by(&server_pair, &issuer)?.der().clone();
        Ok(Self {
            ca,
            pin,
            server,
            server_pkcs8: Zeroizing::new(server_pair.serialize_der()),
        })
    }

    /// SHA-256 of the CA key's SubjectPublicKeyInfo: what a join string pins.
    pub fn pin(&self) -> [u8; 32] {
        self.pin
    }

    /// What the coordinator shows: its certificate, then the CA's (a probe knows only the hash of its key).
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.server.clone(), self.ca.clone()]
    }

    /// A copy of the coordinator's private key for rustls.
    pub(crate) fn server_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.server_pkcs8.to_vec()).into()
    }
}

impl fmt::Debug for RunCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunCa(pin {})", crate::hex::encode(&self.pin))
    }
}

/// Sets the validity: from [`CLOCK_SKEW`] before `now_unix_s` for `lifetime`. rcgen's own default ends in the year 4096.
pub(crate) fn set_validity(params: &mut CertificateParams, now_unix_s: u64, lifetime: Duration) {
    let at = |unix_s: u64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(unix_s.min(LAST_UNIX_S));
    params.not_before = at(now_unix_s.saturating_sub(CLOCK_SKEW.as_secs()));
    params.not_after = at(now_unix_s.saturating_add(lifetime.as_secs()));
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// 2199-12-31T23:59:59Z: a certificate has no encoding for years beyond 9999, and a clock may say anything.
const LAST_UNIX_S: u64 = 7_258_118_399;
