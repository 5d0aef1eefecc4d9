//! What may let firewalld reload without anybody asking: cron tables, dispatchers of network events, units of the
//! administrator's. A best effort: what a configuration manager runs from elsewhere is not seen.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use plumbline_model::observation::Unread;
use plumbline_proto::convert::sanitised;
use plumbline_sys::foreign_file;

use super::{listed, not_read};

/// The files in which such a command stands, ascending; what may not be looked at is said.
pub(super) fn find(root: &Path, unread: &mut Vec<Unread>) -> Vec<String> {
    let folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| root.join(folder)).collect();
    let mut denied: Vec<Unread> = folders
        .iter()
        .filter_map(|folder| denied(root, folder, "list", fs::read_dir(folder).err()))
        .collect();
    // Dispatchers have folders for single events (`pre-up.d`).
    let files = folders
        .iter()
        .flat_map(|folder| listed(folder))
        .flat_map(|path| if path.is_dir() { listed(&path) } else { vec![path] });
    let single = FILES.iter().map(|file| root.join(file));
    let mut found = Vec::new();
    for path in single.chain(files).take(MAX_FILES) {
        match foreign_file::read_text(&path, MAX_FILE_BYTES) {
            Ok(text) if text.lines().any(is_reload) => found.push(said(root, &path)),
            Ok(_) => {}
            Err(error) => denied.extend(self::denied(root, &path, "read", Some(error))),
        }
    }
    denied.truncate(MAX_DENIED);
    unread.append(&mut denied);
    found.sort_unstable();
    found.dedup();
    found.truncate(MAX_FOUND);
    found
}

fn said(root: &Path, path: &Path) -> String {
    sanitised(&format!("/{}", below(root, path).display()))
}

fn below<'a>(root: &Path, path: &'a Path) -> &'a Path {
    path.strip_prefix(root).unwrap_or(path)
}

/// What the probe has no right to read. What is not there, is no text or is too long is no cron table.
fn denied(root: &Path, path: &Path, verb: &str, error: Option<io::Error>) -> Option<Unread> {
    let error = error.filter(|error| error.kind() == io::ErrorKind::PermissionDenied)?;
    Some(not_read(&below(root, path).to_string_lossy(), verb, &error))
}

/// `firewall-cmd --reload`, `systemctl restart firewalld`, `service firewalld reload` and their like.
fn is_reload(line: &str) -> bool {
    let line = line.trim_start();
    if line.starts_with('#') {
        return false;
    }
    let by_client =
        line.contains("firewall-cmd") && (line.contains("--reload") || line.contains("--complete-reload"));
    let says = |word: &str| {
        line.split([' ', '\t', '/', ';', '"', '\''])
            .any(|own| own == word)
    };
    let is_of_firewalld = says("firewalld") || says("firewalld.service");
    let by_manager =
        (says("systemctl") || says("service")) && is_of_firewalld && RESTARTS.iter().any(|word| says(word));
    by_client || by_manager
}

/// Commands of systemctl(1) that load the rules again.
const RESTARTS: [&str; 6] = [
    "force-reload",
    "reload",
    "reload-or-restart",
    "restart",
    "try-reload-or-restart",
    "try-restart",
];
/// Where periodic commands and those of network events are kept.
const FOLDERS: [&str; 14] = [
    "etc/NetworkManager/dispatcher.d",
    "etc/cron.d",
    "etc/cron.daily",
    "etc/cron.hourly",
    "etc/cron.monthly",
    "etc/cron.weekly",
    "etc/network/if-post-down.d",
    "etc/network/if-pre-up.d",
    "etc/network/if-up.d",
    "etc/networkd-dispatcher",
    "etc/periodic",
    "etc/systemd/system",
    "var/spool/cron",
    "var/spool/cron/crontabs",
];
/// Single ones.
const FILES: [&str; 2] = ["etc/anacrontab", "etc/crontab"];
/// Files that are looked at, over all folders.
const MAX_FILES: usize = 2048;
/// A script longer than this is no cron table.
const MAX_FILE_BYTES: u64 = 256 << 10;
/// Files that are told.
const MAX_FOUND: usize = 16;
/// Of what may not be read, so many are named: one tells enough.
const MAX_DENIED: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_read_is_said_and_what_is_not_there_is_not() {
        let root = Path::new("/somewhere");
        let of = |kind: io::ErrorKind| {
            denied(root, &root.join("etc/cron.d/a"), "read", Some(kind.into())).map(|unread| unread.path)
        };
        assert_eq!(
            of(io::ErrorKind::PermissionDenied).as_deref(),
            Some("/etc/cron.d/a")
        );
        for harmless in [
            io::ErrorKind::NotFound,
            io::ErrorKind::FileTooLarge,
            io::ErrorKind::InvalidData,
        ] {
            assert_eq!(of(harmless), None);
        }
    }

    #[test]
    fn commands_that_load_the_rules_again_are_told_from_others() {
        for line in [
            "*/5 * * * * root firewall-cmd --reload",
            "  /usr/bin/firewall-cmd -q --complete-reload",
            "systemctl restart firewalld",
            "/usr/bin/systemctl reload-or-restart firewalld.service;",
            "service firewalld reload",
        ] {
            assert!(is_reload(line), "{line}");
        }
        for line in [
            "# firewall-cmd --reload",
            "firewall-cmd --zone=public --list-ports",
            "systemctl restart sshd",
            "systemctl status firewalld",
            "After=firewalld.service",
        ] {
            assert!(!is_reload(line), "{line}");
        }
    }
}
