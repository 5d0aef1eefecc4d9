//! Report directories on disk: staged beside their final name and renamed, so that no half report ever bears it.

use std::{
    collections::BTreeMap,
    fs, io,
    io::{BufRead, Read, Write},
    path::{Path, PathBuf},
};

use plumbline_identity::bundle::ATTESTATION_JSON;

/// A directory that was claimed for a report and is being filled beside its final name.
///
/// Dropped without [`Staging::publish`], it removes what it wrote.
#[derive(Debug)]
pub(crate) struct Staging {
    target: PathBuf,
    dir: PathBuf,
    published: bool,
}

/// Why a report directory could not be claimed, read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// `--out` names something that is in use.
    #[error("take {} for the report: it is not an empty directory; name another with --out", .0.display())]
    Occupied(PathBuf),
    /// `--out` names a place in a report, which would not verify with it.
    #[error("take {} for the report: it would lie in that in {}, which would no longer verify; name another with --out", .target.display(), .report.display())]
    Within {
        /// What `--out` names.
        target: PathBuf,
        /// The report around it.
        report: PathBuf,
    },
    /// The file system refused.
    #[error("{what} {}", path.display())]
    Io {
        /// What was attempted.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// A file is larger than anything that we write.
    #[error("read {}: it is larger than {} MiB", .0.display(), MAX_FILE_BYTES / (1024 * 1024))]
    TooLarge(PathBuf),
    /// Something in a report directory is not a plain file.
    #[error("read {}: it is not a plain file", .0.display())]
    NotAFile(PathBuf),
}

/// The evidence of a thousand nodes is a tenth of this; what is larger was not written by us and is not read into memory.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// A report directory has seven files; a directory with many more is something else and is not listed to its end.
const MAX_FILES: usize = 1_000;

impl Staging {
    /// Claims `target`: it must not exist, or be an empty directory. Creates a hidden directory beside it.
    ///
    /// # Errors
    /// If it is in use, or the file system refuses.
    pub(crate) fn claim(target: &Path) -> Result<Self, StoreError> {
        let whole = std::path::absolute(target).map_err(|error| io_error("look into", target, error))?;
        let mut around = whole.ancestors().skip(1);
        if let Some(report) = around.find(|dir| dir.join(ATTESTATION_JSON).is_file()) {
            return Err(StoreError::Within {
                target: target.to_owned(),
                report: report.to_owned(),
            });
        }
        match fs::read_dir(target) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(StoreError::Occupied(target.to_owned()));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(StoreError::Occupied(target.to_owned()));
            }
            Err(error) => return Err(io_error("look into", target, error)),
        }
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        fs::create_dir_all(&parent).map_err(|error| io_error("create the directory", &parent, error))?;
        let name = target
            .file_name()
            .ok_or_else(|| StoreError::Occupied(target.to_owned()))?;
        let dir = claim_beside(&parent, &name.to_string_lossy())?;
        Ok(Self {
            target: target.to_owned(),
            dir,
            published: false,
        })
    }

    /// Where files are written until the report is complete.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes the files, makes them durable and gives the directory its final name.
    ///
    /// # Errors
    /// If the file system refuses (a full disk, say); nothing then stands under the final name.
    pub(crate) fn publish(mut self, files: &BTreeMap<String, Vec<u8>>) -> Result<PathBuf, StoreError> {
        // What was spooled here while the run went on is part of `files` by now.
        clear(&self.dir)?;
        for (name, bytes) in files {
            let path = self.dir.join(name);
            let write = || -> io::Result<()> {
                let mut file = fs::File::create_new(&path)?;
                file.write_all(bytes)?;
                file.sync_all()
            };
            write().map_err(|error| io_error("write", &path, error))?;
        }
        let sync = |dir: &Path| fs::File::open(dir).and_then(|dir| dir.sync_all());
        sync(&self.dir).map_err(|error| io_error("write", &self.dir, error))?;
        // Renaming over an empty directory is atomic; over anything else it fails.
        fs::rename(&self.dir, &self.target)
            .map_err(|error| io_error("name the report", &self.target, error))?;
        self.published = true;
        if let Some(parent) = self
            .target
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            // The report stands already; a parent that cannot be synced loses at most its newest name in a power cut.
            let _ = sync(parent);
        }
        Ok(self.target.clone())
    }
}

/// Makes a directory beside the target, so that the rename stays within one file system. The process id keeps two runs apart;
/// one that was killed under the same id, or in another container, may have left its own.
fn claim_beside(parent: &Path, name: &str) -> Result<PathBuf, StoreError> {
    let mut turn = 0;
    loop {
        let dir = parent.join(format!(".{name}.partial-{}-{turn}", std::process::id()));
        match fs::create_dir(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && turn < MAX_LEFTOVERS => turn += 1,
            Err(error) => return Err(io_error("create the directory", &dir, error)),
        }
    }
}

/// Directories of killed runs that are stepped over before somebody has to look.
const MAX_LEFTOVERS: u32 = 100;

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.published {
            // Nothing is left to tell; what stays behind is a hidden directory whose name says that it is partial.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

fn clear(dir: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(dir).map_err(|error| io_error("look into", dir, error))? {
        let path = entry.map_err(|error| io_error("look into", dir, error))?.path();
        fs::remove_file(&path).map_err(|error| io_error("remove", &path, error))?;
    }
    Ok(())
}

/// Every file of a report directory by name, with the bytes of those that a report has: what else lies there is as wrong
/// whatever it holds, and is not read.
///
/// # Errors
/// If the directory or a file in it cannot be read.
pub(crate) fn read_dir(dir: &Path, wanted: &[&str]) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir)
        .map_err(|error| io_error("read", dir, error))?
        .take(MAX_FILES)
    {
        let entry = entry.map_err(|error| io_error("read", dir, error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry
            .file_type()
            .map_err(|error| io_error("read", &entry.path(), error))?;
        // A further directory or device is as wrong as a further file: it is listed, and its content is not read.
        let bytes = if kind.is_file() && wanted.contains(&name.as_str()) {
            read_file(dir, &name)?
        } else {
            Vec::new()
        };
        files.insert(name, bytes);
    }
    Ok(files)
}

/// One file of a report directory.
///
/// # Errors
/// If it cannot be read, is no plain file or is larger than anything that we write.
pub(crate) fn read_file(dir: &Path, name: &str) -> Result<Vec<u8>, StoreError> {
    let path = dir.join(name);
    let metadata = fs::symlink_metadata(&path).map_err(|error| io_error("read", &path, error))?;
    if !metadata.is_file() {
        return Err(StoreError::NotAFile(path));
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(StoreError::TooLarge(path));
    }
    let mut bytes = Vec::new();
    fs::File::open(&path)
        .and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut bytes))
        .map_err(|error| io_error("read", &path, error))?;
    Ok(bytes)
}

/// The first line of a file of a report directory, without its line feed.
///
/// # Errors
/// If it cannot be read, or is longer than `max` octets.
pub(crate) fn first_line(dir: &Path, name: &str, max: u64) -> Result<Vec<u8>, StoreError> {
    let path = dir.join(name);
    let read = || -> io::Result<Vec<u8>> {
        let file = io::BufReader::new(fs::File::open(&path)?.take(max));
        match file.split(b'\n').next() {
            Some(line) => line,
            None => Ok(Vec::new()),
        }
    };
    let metadata = fs::symlink_metadata(&path).map_err(|error| io_error("read", &path, error))?;
    if !metadata.is_file() {
        return Err(StoreError::NotAFile(path));
    }
    read().map_err(|error| io_error("read", &path, error))
}

fn io_error(what: &'static str, path: &Path, error: io::Error) -> StoreError {
    StoreError::Io {
        what,
        path: path.to_owned(),
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> BTreeMap<String, Vec<u8>> {
        BTreeMap::from([("a".to_owned(), b"1".to_vec()), ("b".to_owned(), b"2".to_vec())])
    }

    #[test]
    fn a_report_appears_whole_under_its_name_and_nothing_stays_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("deep").join("report");
        let staging = Staging::claim(&target).unwrap();
        fs::write(staging.dir().join("spool"), b"x").unwrap();
        assert!(!target.exists());
        staging.publish(&files()).unwrap();
        assert_eq!(read_dir(&target, &["a", "b"]).unwrap(), files());
        assert_eq!(read_dir(&target, &["a"]).unwrap()["b"], b"");
        assert_eq!(fs::read_dir(root.path().join("deep")).unwrap().count(), 1);
    }

    #[test]
    fn an_empty_directory_is_taken_and_a_full_one_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("report");
        fs::create_dir(&target).unwrap();
        Staging::claim(&target).unwrap().publish(&files()).unwrap();
        assert!(matches!(Staging::claim(&target), Err(StoreError::Occupied(_))));
        assert!(matches!(
            Staging::claim(&target.join("a")),
            Err(StoreError::Occupied(_))
        ));
    }

    #[test]
    fn what_a_killed_run_left_behind_stops_nobody() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("report");
        std::mem::forget(Staging::claim(&target).unwrap());
        Staging::claim(&target).unwrap().publish(&files()).unwrap();
    }

    #[test]
    fn a_run_that_is_given_up_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let staging = Staging::claim(&root.path().join("report")).unwrap();
        fs::write(staging.dir().join("spool"), b"x").unwrap();
        drop(staging);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
