//! Reads files whose names others chose: a path in somebody's command line may be a pipe that nobody writes into, a device, or
//! have no end.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// The text of a plain file of at most `limit` octets. Does not wait.
///
/// # Errors
/// If it cannot be read, is no plain file, is longer, or is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    // Looked at before it is opened, since opening a device may do something, and after, since it may be another by then.
    require_plain(&fs::metadata(path)?)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    require_plain(&file.metadata()?)?;
    let mut octets = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut octets)?;
    if octets.len() as u64 > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    String::from_utf8(octets).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn require_plain(metadata: &fs::Metadata) -> io::Result<()> {
    if metadata.is_file() {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(path: &Path, limit: u64) -> Result<String, io::ErrorKind> {
        read_text(path, limit).map_err(|error| error.kind())
    }

    #[test]
    fn a_plain_file_is_read_up_to_its_limit_and_not_beyond() {
        let name = format!("plumbline-foreign-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, "seven o").unwrap();
        let read = (kind(&path, 7), kind(&path, 6));
        fs::remove_file(&path).unwrap();
        assert_eq!(read, (Ok("seven o".to_owned()), Err(io::ErrorKind::FileTooLarge)));
        assert_eq!(kind(&path, 7), Err(io::ErrorKind::NotFound));
    }

    #[test]
    fn what_has_no_end_or_is_no_file_is_refused_unread() {
        for path in ["/dev/zero", "/proc"] {
            let refused = kind(Path::new(path), 1 << 20);
            assert!(refused.is_err(), "{path}: {refused:?}");
        }
        assert_eq!(
            kind(Path::new("/dev/zero"), 1 << 20),
            Err(io::ErrorKind::InvalidInput)
        );
    }
}
