//! Room in the kernel's neighbour table.
//!
//! All namespaces of a machine share one table of at most `gc_thresh3` (1024) entries. A mesh of 60 hosts needs 3540 and
//! would lose most of its pairs, which looks like a broken network and is none. So a large lab raises the limit, which only
//! root can, and puts it back.

use std::fs::File;

use plumbline_sys::ns::{self, NetNs, Privilege};
use rustix::fs::{FlockOperation, flock};

use crate::{Entered, LabError, Topology};

/// The machine's limit; to be asked in the machine's own namespace.
pub(crate) fn limit() -> Option<u32> {
    ns::sysctl(THRESHOLDS[2]).ok()?.parse().ok()
}

/// Limits that were raised; dropping it restores them, unless another lab still counts on them.
#[derive(Debug)]
pub(crate) struct Raised {
    machine: NetNs,
    /// Setting, the value that we found, the value that we wrote.
    changed: Vec<(&'static str, u32, u32)>,
    /// Locked shared by each lab that counts on the limits: the last one out restores what it found.
    lock: File,
}

impl Raised {
    /// Makes sure that a topology's neighbours have room; `None` if they have it already.
    pub(crate) fn ensure(entered: &Entered, topology: &Topology) -> Result<Option<Self>, LabError> {
        let entries = entries(topology);
        let limit = entered.neighbour_limit.unwrap_or(USUAL_LIMIT);
        let needed = entries.saturating_mul(2);
        if needed <= limit {
            return Ok(None);
        }
        if entered.privilege != Privilege::Root || entered.neighbour_limit.is_none() {
            let refused = LabError::NeighbourTable {
                hosts: topology.hosts().len(),
                entries,
                limit,
            };
            return if entries <= limit { Ok(None) } else { Err(refused) };
        }
        let raised = entered
            .outside
            .run(|| Self::raise(&entered.outside, needed))
            .and_then(|raised| raised);
        raised
            .map(Some)
            .map_err(|source| LabError::RaiseNeighbourTable { needed, source })
    }

    fn raise(machine: &NetNs, needed: u32) -> Result<Self, ns::Error> {
        let path = format!("/proc/sys/{}", THRESHOLDS[2]);
        let failed = |operation: String| move |source| ns::Error::Failed { operation, source };
        let lock = File::open(&path).map_err(failed(format!("open {path}")))?;
        flock(&lock, FlockOperation::LockShared)
            .map_err(|error| failed(format!("lock {path}"))(error.into()))?;
        let mut raised = Self {
            machine: machine.try_clone()?,
            changed: Vec::new(),
            lock,
        };
        // Below the first threshold nothing is ever collected, so that is the one that must hold the whole mesh. From the
        // top down: the kernel collects early if an upper one is the smallest.
        for (name, factor) in THRESHOLDS.into_iter().zip([1, 2, 4]).rev() {
            let found: u32 = ns::sysctl(name)?.parse().unwrap_or(0);
            let wanted = needed.saturating_mul(factor);
            if found < wanted {
                ns::set_sysctl(name, &wanted.to_string())?;
                raised.changed.push((name, found, wanted));
            }
        }
        Ok(raised)
    }

    fn restore(&self) {
        for (name, found, written) in self.changed.iter().rev() {
            // What somebody else has set since is theirs.
            if ns::sysctl(name).is_ok_and(|value| value == written.to_string()) {
                // Nobody to report to; a limit that stays raised does no harm.
                let _ = ns::set_sysctl(name, &found.to_string());
            }
        }
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        if flock(&self.lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = self.machine.run(|| self.restore());
        }
    }
}

/// Entries of a full mesh: each host knows the others of its subnet and the router, and the router knows every host.
/// Comfort is twice that, because entries of a lab that has just gone linger.
fn entries(topology: &Topology) -> u32 {
    let per_subnet = |subnet| {
        let hosts = topology.hosts_of(subnet).count();
        hosts * hosts + hosts
    };
    let entries: usize = topology.subnets().iter().map(per_subnet).sum();
    u32::try_from(entries).unwrap_or(u32::MAX)
}

const THRESHOLDS: [&str; 3] = [
    "net/ipv4/neigh/default/gc_thresh1",
    "net/ipv4/neigh/default/gc_thresh2",
    "net/ipv4/neigh/default/gc_thresh3",
];
/// The kernel's default of `gc_thresh3`, assumed where it cannot be read.
const USUAL_LIMIT: u32 = 1024;
