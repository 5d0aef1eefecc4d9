//! Another time for the programs of a host: libfaketime, preloaded, adds a constant to what the wall clock tells them.

use std::{ffi::OsString, fs, path::PathBuf};

/// What a program has to be told.
#[derive(Debug)]
pub(crate) struct Skew {
    library: PathBuf,
    ms: i64,
}

impl Skew {
    /// So many milliseconds ahead; nothing if the library is not installed.
    pub(super) fn of(ms: i64) -> Option<Self> {
        let folders = fs::read_dir(FOLDER).ok()?.filter_map(Result::ok);
        let mut libraries = folders.map(|folder| folder.path().join(LIBRARY));
        let library = libraries.find(|library| library.exists())?;
        Some(Self { library, ms })
    }

    /// Variables of its environment.
    pub(crate) fn environment(&self) -> [(&'static str, OsString); 3] {
        let sign = if self.ms < 0 { '-' } else { '+' };
        let ms = self.ms.unsigned_abs();
        let offset = format!("{sign}{}.{:03}s", ms / 1_000, ms % 1_000);
        [
            ("LD_PRELOAD", self.library.clone().into()),
            ("FAKETIME", offset.into()),
            // Intervals pass as everywhere: only the wall clock of a host is set.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }
}

/// Below which folder, one further down for each architecture, Debian has libraries.
pub(super) const FOLDER: &str = "/usr/lib";

/// libfaketime, for programs with threads.
pub(super) const LIBRARY: &str = "faketime/libfaketimeMT.so.1";
