//! What both kinds of report directory have: a statement, the two signatures over it, and the key that made them.

use std::collections::BTreeMap;

use plumbline_model::canonical;
use serde::{Serialize, de::DeserializeOwned};

use super::{ALLOWED_SIGNERS, ATTESTATION_JSON, ATTESTATION_SIG, BundleFault, SIGNER_PEM, capped};
use crate::{
    attest::PAYLOAD_TYPE,
    dsse::{Envelope, EnvelopeFault},
    key::{SigningKey, VerifyingKey},
    sshsig,
};

/// The four files that seal the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The statement in its DSSE envelope.
    pub attestation_json: Vec<u8>,
    /// SSHSIG over attestation.json, for ssh-keygen.
    pub attestation_sig: Vec<u8>,
    /// The key of both signatures.
    pub signer_pem: Vec<u8>,
    /// The same key, for ssh-keygen.
    pub allowed_signers: Vec<u8>,
}

impl Sealed {
    /// Signs a statement.
    pub(super) fn of<S: Serialize>(statement: &S, key: &SigningKey) -> Self {
        let attestation_json = Envelope::sign(key, PAYLOAD_TYPE, &canonical::encode(statement)).to_bytes();
        let public = key.verifying_key();
        Self {
            attestation_sig: sshsig::sign(key, &attestation_json).into_bytes(),
            attestation_json,
            signer_pem: public.to_pem().into_bytes(),
            allowed_signers: sshsig::allowed_signers(&public).into_bytes(),
        }
    }
}

/// A directory that has all of its files and whose signer is known.
pub(super) struct Opened<'a, S> {
    files: &'a BTreeMap<String, Vec<u8>>,
    /// The key of signer.pem.
    pub(super) signer: VerifyingKey,
    /// What it signed; `None` if that does not hold, which is among the faults.
    pub(super) attested: Option<S>,
    /// What is wrong so far, in the order of the chain of trust.
    pub(super) faults: Vec<BundleFault>,
}

impl<S> Opened<'_, S> {
    /// The contents of a file that belongs to the directory.
    pub(super) fn file(&self, name: &str) -> &[u8] {
        content(self.files, name)
    }
}

fn content<'a>(files: &'a BTreeMap<String, Vec<u8>>, name: &str) -> &'a [u8] {
    files.get(name).map_or(&[], Vec::as_slice)
}

/// Looks who signed a directory of the files `wanted`, and what; with `trust`, that it was this key.
///
/// # Errors
/// If a file is missing, or there is no one signer: nothing else could be said of the directory.
pub(super) fn open<'a, S: Serialize + DeserializeOwned>(
    files: &'a BTreeMap<String, Vec<u8>>,
    wanted: &[&'static str],
    trust: Option<&VerifyingKey>,
) -> Result<Opened<'a, S>, Vec<BundleFault>> {
    let file = |name| content(files, name);
    let mut faults = names(files, wanted);
    let is_missing = |fault: &BundleFault| matches!(fault, BundleFault::Missing { .. });
    if faults.iter().any(is_missing) {
        return Err(capped(faults));
    }
    let Some(signer) = signer(file(SIGNER_PEM)) else {
        faults.push(BundleFault::SignerPem);
        return Err(capped(faults));
    };
    if let Some(trusted) = trust.filter(|trusted| **trusted != signer) {
        faults.push(BundleFault::NotTrusted {
            signer: signer.fingerprint(),
            trusted: trusted.fingerprint(),
        });
    }
    let is_allowed = file(ALLOWED_SIGNERS) == sshsig::allowed_signers(&signer).as_bytes();
    if !is_allowed {
        faults.push(BundleFault::AllowedSigners);
    }
    let attested = match attested(file(ATTESTATION_JSON), &signer) {
        Ok(statement) => Some(statement),
        // Two against one: signer.pem is the stranger, and whatever else was signed would be called foreign, too.
        Err(BundleFault::Attestation(EnvelopeFault::OtherKey { found, expected })) if !is_allowed => {
            let other = BundleFault::OtherSigner {
                found: expected,
                attested: found,
            };
            faults.insert(0, other);
            return Err(capped(faults));
        }
        Err(fault) => {
            faults.push(fault);
            None
        }
    };
    if sshsig::verify(&signer, file(ATTESTATION_JSON), file(ATTESTATION_SIG)).is_err() {
        faults.push(BundleFault::SshSignature);
    }
    Ok(Opened {
        files,
        signer,
        attested,
        faults,
    })
}

fn names(files: &BTreeMap<String, Vec<u8>>, wanted: &[&'static str]) -> Vec<BundleFault> {
    let missing = wanted
        .iter()
        .filter(|file| !files.contains_key(**file))
        .map(|file| BundleFault::Missing { file });
    let further = files.keys().filter(|name| !wanted.contains(&name.as_str()));
    missing
        .chain(further.map(|name| BundleFault::Further { name: name.clone() }))
        .collect()
}

fn signer(pem: &[u8]) -> Option<VerifyingKey> {
    let key = VerifyingKey::from_pem(std::str::from_utf8(pem).ok()?).ok()?;
    (key.to_pem().as_bytes() == pem).then_some(key)
}

fn attested<S: Serialize + DeserializeOwned>(bytes: &[u8], signer: &VerifyingKey) -> Result<S, BundleFault> {
    let payload = Envelope::parse(bytes)
        .and_then(|envelope| envelope.verify(signer, PAYLOAD_TYPE))
        .map_err(BundleFault::Attestation)?;
    canonical::decode(&payload).map_err(BundleFault::Statement)
}
