//! Leaving the machine's network for a private one.

use std::fs;

use plumbline_sys::ns::{self, NetNs, Privilege};

use crate::{neighbours, running::LabError};

/// Proof that this process stands in its own network namespace, where the admin workstation will be.
#[derive(Debug)]
pub struct Entered {
    pub(crate) inside: NetNs,
    pub(crate) outside: NetNs,
    pub(crate) privilege: Privilege,
    /// The machine's limits of neighbour entries.
    pub(crate) neighbour_limits: neighbours::Limits,
}

impl Entered {
    /// By which right: as root, or through a user namespace.
    pub fn privilege(&self) -> Privilege {
        self.privilege
    }
}

/// Moves this process into its own network namespace, and without root into its own user namespace first.
///
/// Call it as the first thing in `main`: threads that exist (an async runtime's, for example) would stay outside, so a
/// process that has any is refused.
///
/// # Errors
/// [`LabError::Enter`] with the system's reason.
pub fn enter() -> Result<Entered, LabError> {
    let outside = NetNs::current().map_err(LabError::Enter)?;
    // Only the machine's own namespace shows the limits, so they are read before leaving.
    let neighbour_limits = neighbours::limits();
    let privilege = ns::enter_private_network().map_err(LabError::Enter)?;
    let inside = NetNs::current().map_err(LabError::Enter)?;
    Ok(Entered {
        inside,
        outside,
        privilege,
        neighbour_limits,
    })
}

/// Why this machine cannot hold a lab.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("build a lab on this machine: {why}")]
pub struct Unavailable {
    /// What is missing and what would help, one sentence.
    pub why: String,
}

/// Whether this process could [`enter`], judged without doing it (and so possible at any time).
///
/// A security module or a container's system call filter may still refuse: [`enter`] has the last word.
///
/// # Errors
/// [`Unavailable`] with the reason.
pub fn capabilities() -> Result<(), Unavailable> {
    if ns::may_make_network().is_ok() {
        return Ok(());
    }
    for (path, forbids, why) in USER_NAMESPACE_SWITCHES {
        // A switch that does not exist forbids nothing.
        if let Ok(value) = fs::read_to_string(path)
            && value.trim() == forbids
        {
            let why = format!("not root, and {why} ({path} is {forbids}); run it as root");
            return Err(Unavailable { why });
        }
    }
    if !fs::exists("/proc/self/ns/user").unwrap_or(false) {
        return Err(Unavailable {
            why: "not root, and the kernel has no user namespaces; run it as root".into(),
        });
    }
    Ok(())
}

/// Switches that forbid user namespaces to those who are not root: file, the value that forbids, in words.
const USER_NAMESPACE_SWITCHES: [(&str, &str, &str); 4] = [
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "the number of user namespaces is limited to none",
    ),
    (
        "/proc/sys/user/max_net_namespaces",
        "0",
        "the number of network namespaces is limited to none",
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "this Debian kernel forbids user namespaces",
    ),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor restricts user namespaces",
    ),
];
