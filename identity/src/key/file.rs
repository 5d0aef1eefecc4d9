//! The coordinator's persistent key: one PEM file that nobody but its owner may read.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::SigningKey;
use crate::{hex, random, random::NoRandomness};

/// Why a key file was not used. Every message says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Others may read or write it.
    #[error("use the key {path}: others have access to it (mode {mode:04o}); run: chmod 600 {path}", path = .path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is a directory, a pipe, a device.
    #[error("use the key {path}: it is not a regular file; name the file itself, for example {path}/identity.pem", path = .path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// It is no unencrypted P-256 key.
    #[error("use the key {path}: {what}", path = .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What it is instead, and the remedy.
        what: &'static str,
    },
    /// It could not be read.
    #[error("read the key {path}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It could not be created.
    #[error("create the key {path}", path = .path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No randomness to make one from.
    #[error("create a key")]
    Randomness(#[from] NoRandomness),
}

impl SigningKey {
    /// Loads the key at `path`, or makes one there if there is none.
    ///
    /// A new file appears whole, with mode 0600, or not at all; of two processes that create it at once both use the one
    /// that was first.
    ///
    /// # Errors
    /// If the file is open to others, is no key, or cannot be read or created.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyFileError> {
        match load(path) {
            Err(KeyFileError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                create(path)
            }
            loaded => loaded,
        }
    }

    /// Loads the key at `path`.
    ///
    /// # Errors
    /// If the file is open to others, is no key, or cannot be read.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        load(path)
    }
}

fn load(path: &Path) -> Result<SigningKey, KeyFileError> {
    let read = |source| KeyFileError::Read {
        path: path.to_owned(),
        source,
    };
    // Asked before it is opened: opening a pipe would wait for its writer.
    if !fs::metadata(path).map_err(read)?.is_file() {
        return Err(KeyFileError::NotAFile {
            path: path.to_owned(),
        });
    }
    let file = fs::File::open(path).map_err(read)?;
    let mode = file.metadata().map_err(read)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut pem = Zeroizing::new(Vec::with_capacity(MAX_KEY_FILE));
    file.take(MAX_KEY_FILE as u64)
        .read_to_end(&mut pem)
        .map_err(read)?;
    std::str::from_utf8(&pem)
        .ok()
        .and_then(|text| SigningKey::from_pkcs8_pem(text).ok())
        .ok_or_else(|| KeyFileError::Corrupt {
            path: path.to_owned(),
            what: what_it_is(&pem),
        })
}

fn create(path: &Path) -> Result<SigningKey, KeyFileError> {
    let failed = |source| KeyFileError::Create {
        path: path.to_owned(),
        source,
    };
    let key = SigningKey::generate()?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let staged = directory.join(format!(".plumbline-key-{}", hex::encode(&random::bytes::<8>()?)));
    let written = write_private(&staged, key.to_pkcs8_pem().as_bytes())
        // A link fails where a rename would replace what somebody else has just put there.
        .and_then(|()| fs::hard_link(&staged, path));
    // The staged name has served whether or not the link was made, and it may not even exist.
    let _ = fs::remove_file(&staged);
    match written {
        Ok(()) => {
            fs::File::open(directory)
                .and_then(|directory| directory.sync_all())
                .map_err(failed)?;
            Ok(key)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => load(path),
        Err(error) => Err(failed(error)),
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn what_it_is(bytes: &[u8]) -> &'static str {
    let has = |label: &str| {
        bytes
            .windows(label.len())
            .any(|window| window == label.as_bytes())
    };
    if bytes.is_empty() {
        "it is empty; remove it and it is made anew, or restore it from a backup"
    } else if has("BEGIN ENCRYPTED PRIVATE KEY") {
        "it is encrypted with a passphrase; decrypt it with: openssl pkcs8 -in OLD -out NEW"
    } else if has("BEGIN EC PRIVATE KEY") {
        "it is in the older SEC1 form; convert it with: openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW"
    } else if has("BEGIN OPENSSH PRIVATE KEY") {
        "it is in OpenSSH's form; only PKCS#8 PEM is read"
    } else if has("BEGIN PUBLIC KEY") || has("BEGIN CERTIFICATE") {
        "it holds no private key"
    } else if has("BEGIN PRIVATE KEY") {
        "it is damaged, or not a P-256 key; restore it from a backup, or move it away and a new one is made"
    } else {
        "it is not a PEM file; restore it from a backup, or move it away and a new one is made"
    }
}

/// A PKCS#8 P-256 key in PEM has about 240 octets; whatever is longer than this is none.
const MAX_KEY_FILE: usize = 16 * 1024;

#[cfg(test)]
mod tests;
