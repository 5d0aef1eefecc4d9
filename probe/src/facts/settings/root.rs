//! Reading the files of a host, or of a tree that was recorded from one. Whoever may write there is a stranger: what is no plain
//! file, too long, or no text is not known.

use std::{
    fs,
    path::{Path, PathBuf},
};

use plumbline_sys::foreign_file;

/// Where the host's files begin.
#[derive(Debug, Clone)]
pub(super) struct Root(PathBuf);

impl Root {
    /// Everything below a directory.
    pub(super) fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The text of a file of at most [`MAX_FILE_BYTES`].
    pub(super) fn text(&self, path: &str) -> Option<String> {
        self.text_of(path, MAX_FILE_BYTES)
    }

    /// The text of a file of at most so many octets.
    pub(super) fn text_of(&self, path: &str, limit: u64) -> Option<String> {
        foreign_file::read_text(&self.path(path), limit).ok()
    }

    /// The first line of a file, without what surrounds it.
    pub(super) fn line(&self, path: &str) -> Option<String> {
        let text = self.text(path)?;
        Some(sanitised(text.lines().next()?))
    }

    /// The names in a directory, ascending; of too many the first. Empty if it cannot be read.
    pub(super) fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(directory)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .take(MAX_NAMES)
            .collect();
        names.sort_unstable();
        names
    }

    /// To what a symbolic link leads.
    pub(super) fn link(&self, path: &str) -> Option<PathBuf> {
        fs::read_link(self.path(path)).ok()
    }

    /// Whether there is something of this name.
    pub(super) fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.join(Path::new(path.trim_start_matches('/')))
    }
}

/// A text of others, cut and without control characters.
pub(super) fn sanitised(text: &str) -> String {
    plumbline_proto::convert::sanitised(text.trim())
}

/// Configurations have some thousand octets; lists of a kernel's modules some hundred thousand.
const MAX_FILE_BYTES: u64 = 2 << 20;
/// Directories of configurations have some tens of files.
const MAX_NAMES: usize = 4096;
