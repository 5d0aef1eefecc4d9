//! How the managers of this host's packet filter are set up, from files and `/proc` alone: nothing is asked and nothing is run.
//!
//! What is in force is read from the kernel (`super::ruleset`); here is what managers would load when they start again.

mod firewalld;
mod reloaders;
mod xml;

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use plumbline_model::observation::{FirewallManager, FirewallSettings, InstalledManager, Unread};
use plumbline_proto::convert::sanitised;
use plumbline_sys::foreign_file;

use super::life::process_here;

/// What files and processes tell of the packet filter's managers. Takes some milliseconds, and blocks.
pub fn firewalls() -> FirewallSettings {
    let firewalld = process_here("firewalld");
    let mut settings = settings_at(Path::new("/"), firewalld.as_deref().map(root_of).as_deref());
    settings.cilium_agent_started_ticks =
        process_here("cilium-agent").and_then(|process| started_ticks(&process));
    if let (Some(own), Some(process)) = (&mut settings.firewalld, firewalld) {
        own.started_ticks = started_ticks(&process);
    }
    settings
}

/// What is told by a system's files below `root`, and by those that a firewalld sees that runs.
fn settings_at(root: &Path, firewalld_root: Option<&Path>) -> FirewallSettings {
    let mut unread = Vec::new();
    let mut settings = FirewallSettings {
        managers: managers(root, &mut unread),
        ..FirewallSettings::default()
    };
    if let Some(firewalld_root) = firewalld_root {
        settings.firewalld = Some(firewalld::read(firewalld_root, &mut unread));
    }
    unread.sort();
    unread.dedup();
    unread.truncate(MAX_UNREAD);
    if firewalld_root.is_some() {
        settings.reloaders = reloaders::find(root, &mut unread);
    }
    settings.unread = unread;
    settings
}

/// The root of the files that a process sees, which may have a mount namespace of its own; ours if we may not look into it, or
/// if it is not root's: anybody may call a program firewalld, and show it any files.
fn root_of(process: &Path) -> PathBuf {
    let own = process.join("root");
    let is_roots = fs::metadata(process).is_ok_and(|process| process.uid() == 0);
    if is_roots && fs::metadata(own.join("etc")).is_ok() {
        own
    } else {
        PathBuf::from("/")
    }
}

/// proc(5), `/proc/PID/stat`: field 22; the name before may hold anything, and ends at the last parenthesis.
fn started_ticks(process: &Path) -> Option<u64> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

/// Which managers are installed, by their units; ufw by its settings.
fn managers(root: &Path, unread: &mut Vec<Unread>) -> Vec<InstalledManager> {
    let wanted = wanted_units(root);
    let by_units = UNITS.iter().filter_map(|(manager, units)| {
        let is_installed = |unit: &str| {
            UNIT_FOLDERS
                .iter()
                .any(|folder| root.join(folder).join(unit).exists())
        };
        units
            .iter()
            .any(|unit| is_installed(unit))
            .then(|| InstalledManager {
                manager: *manager,
                is_enabled: units.iter().any(|unit| wanted.iter().any(|name| name == unit)),
            })
    });
    let mut managers: Vec<InstalledManager> = by_units.collect();
    if let Some(settings) = read(root, UFW_SETTINGS, unread) {
        managers.push(InstalledManager {
            manager: FirewallManager::Ufw,
            is_enabled: setting(&settings, "ENABLED").is_some_and(|value| value.eq_ignore_ascii_case("yes")),
        });
    }
    managers.sort_unstable();
    managers
}

/// Names of the units that a target wants: links that `systemctl enable` makes.
fn wanted_units(root: &Path) -> Vec<String> {
    let folders = UNIT_FOLDERS
        .iter()
        .flat_map(|folder| listed(&root.join(folder)))
        .filter(|folder| {
            let kind = folder.extension().and_then(|kind| kind.to_str());
            matches!(kind, Some("wants" | "requires"))
        });
    folders
        .flat_map(|folder| listed(&folder))
        .filter_map(|link| Some(link.file_name()?.to_str()?.to_owned()))
        .collect()
}

/// What a folder holds, ascending and bounded; nothing if it cannot be read.
fn listed(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.take(MAX_ENTRIES).map(|entry| entry.path()).collect();
    paths.sort_unstable();
    paths
}

/// A file's text; absent if it is not there, and if it cannot be read, which is then said.
fn read(root: &Path, path: &str, unread: &mut Vec<Unread>) -> Option<String> {
    match foreign_file::read_text(&root.join(path), MAX_FILE_BYTES) {
        Ok(text) => Some(text),
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                unread.push(not_read(path, "read", &error));
            }
            None
        }
    }
}

/// A file or folder below the root that could not be read, or listed.
fn not_read(path: &str, verb: &str, error: &io::Error) -> Unread {
    Unread {
        path: sanitised(&format!("/{path}")),
        why: sanitised(&format!("{verb} it: {error}")),
        is_denied: error.kind() == io::ErrorKind::PermissionDenied,
    }
}

/// The value of `NAME=value` in a shell-like file; the last one counts.
fn setting<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut values = text.lines().rev().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == name).then(|| value.trim().trim_matches(['"', '\'']))
    });
    values.next()
}

/// Units by manager (Debian's and Red Hat's names). ufw's own unit does nothing unless its settings say so.
const UNITS: [(FirewallManager, &[&str]); 3] = [
    (FirewallManager::Firewalld, &["firewalld.service"]),
    (
        FirewallManager::Iptables,
        &[
            "ip6tables.service",
            "iptables.service",
            "netfilter-persistent.service",
        ],
    ),
    (FirewallManager::Nftables, &["nftables.service"]),
];
/// Where units are, and below them what targets want (systemd.unit(5)).
const UNIT_FOLDERS: [&str; 3] = [
    "etc/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];
/// ufw(8).
const UFW_SETTINGS: &str = "etc/ufw/ufw.conf";
/// The largest file of firewalld's own is some ten thousand octets; an ipset of a country is larger, and not read.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Entries of one folder that are looked at: a system has some hundreds of units.
const MAX_ENTRIES: usize = 2048;
/// Files of managers that are named as unread.
const MAX_UNREAD: usize = 16;

#[cfg(test)]
mod tests;
