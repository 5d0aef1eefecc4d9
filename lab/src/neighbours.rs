//! Room in the kernel's neighbour tables.
//!
//! All namespaces of a machine share one table for each family, of at most `gc_thresh3` (1024) entries. A mesh of 60 hosts
//! needs 3540 and would lose most of its pairs, which looks like a broken network and is none. So a large lab raises the
//! limits, which only root can, and puts them back.

use std::fs::File;

use plumbline_model::port::Family;
use plumbline_sys::ns::{self, NetNs, Privilege};
use rustix::fs::{FlockOperation, flock};

use crate::{Entered, LabError, Topology};

/// The machine's limits as far as they could be read, one for each of [`FAMILIES`].
pub(crate) type Limits = [Option<u32>; 2];

/// The machine's limits; to be asked in the machine's own namespace.
pub(crate) fn limits() -> Limits {
    FAMILIES.map(|family| ns::sysctl(&setting(family, 3)).ok()?.parse().ok())
}

/// Limits that were raised; dropping it restores them, unless another lab still counts on them.
#[derive(Debug)]
pub(crate) struct Raised {
    machine: NetNs,
    /// Setting, the value that we found, the value that we wrote.
    changed: Vec<(String, u32, u32)>,
    /// Locked shared by each lab that counts on the limits: the last one out restores what it found.
    lock: File,
}

impl Raised {
    /// Makes sure that a topology's neighbours have room; `None` if they have it already.
    pub(crate) fn ensure(entered: &Entered, topology: &Topology) -> Result<Option<Self>, LabError> {
        let mut needed = Vec::new();
        for (family, known) in FAMILIES.into_iter().zip(entered.neighbour_limits) {
            let entries = entries(topology, family);
            let limit = known.unwrap_or(USUAL_LIMIT);
            let comfort = entries.saturating_mul(2);
            if comfort <= limit {
                continue;
            }
            if entered.privilege == Privilege::Root && known.is_some() {
                needed.push((family, comfort));
            } else if entries > limit {
                return Err(LabError::NeighbourTable {
                    hosts: topology.hosts().len(),
                    family,
                    entries,
                    limit,
                });
            }
        }
        if needed.is_empty() {
            return Ok(None);
        }
        let raised = entered
            .outside
            .run(|| Self::raise(&entered.outside, &needed))
            .and_then(|raised| raised);
        let most = needed.iter().map(|(_, needed)| *needed).max().unwrap_or(0);
        raised
            .map(Some)
            .map_err(|source| LabError::RaiseNeighbourTable { needed: most, source })
    }

    fn raise(machine: &NetNs, needed: &[(Family, u32)]) -> Result<Self, ns::Error> {
        let path = format!("/proc/sys/{}", setting(Family::Ipv4, 3));
        let failed = |operation: String| move |source| ns::Error::Failed { operation, source };
        let lock = File::open(&path).map_err(failed(format!("open {path}")))?;
        flock(&lock, FlockOperation::LockShared)
            .map_err(|error| failed(format!("lock {path}"))(error.into()))?;
        let mut raised = Self {
            machine: machine.try_clone()?,
            changed: Vec::new(),
            lock,
        };
        for (family, needed) in needed {
            // Below the first threshold nothing is ever collected, so that is the one that must hold the whole mesh. From
            // the top down: the kernel collects early if an upper one is the smallest.
            for (number, factor) in [(3, 4), (2, 2), (1, 1)] {
                let name = setting(*family, number);
                let found: u32 = ns::sysctl(&name)?.parse().unwrap_or(0);
                let wanted = needed.saturating_mul(factor);
                if found < wanted {
                    ns::set_sysctl(&name, &wanted.to_string())?;
                    raised.changed.push((name, found, wanted));
                }
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

/// Entries of a full mesh: each host knows the others of its network and the router, and the router knows every host.
/// Comfort is twice that, because entries of a lab that has just gone linger, and IPv6 hosts know each other by their
/// link-local addresses, too.
fn entries(topology: &Topology, family: Family) -> u32 {
    let mesh = |hosts: usize| hosts * hosts + hosts;
    let subnets = topology
        .subnets()
        .iter()
        .filter(|subnet| subnet.prefix(family).is_some());
    let further = topology
        .further()
        .iter()
        .filter(|further| Family::of(further.network.addr()) == family);
    let entries: usize = subnets
        .map(|subnet| topology.hosts_of(subnet).count())
        .chain(further.map(|further| further.hosts.len()))
        .map(mesh)
        .sum();
    u32::try_from(entries).unwrap_or(u32::MAX)
}

/// `gc_thresh1` to `gc_thresh3` of a family.
fn setting(family: Family, number: u8) -> String {
    format!("net/{}/neigh/default/gc_thresh{number}", family.word())
}

const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];
/// The kernel's default of `gc_thresh3`, assumed where it cannot be read.
const USUAL_LIMIT: u32 = 1024;
