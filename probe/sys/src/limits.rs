//! What the kernel grants a process: open files, and its turn on a processor.

use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};

/// Raises this process's soft limit on open files to its hard limit and returns what it then is.
///
/// A responder needs a descriptor for every port of an assignment, some 2,800 for the NodePort range alone, while the
/// usual soft limit is 1,024. Raising the soft limit needs no privilege.
pub fn raise_open_files() -> u32 {
    let limit = getrlimit(Resource::Nofile);
    // The kernel refuses only a soft limit above the hard one; whatever it says, what counts is what holds afterwards.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
    open_files()
}

/// The soft limit on open files; `u32::MAX` stands for no limit.
pub fn open_files() -> u32 {
    getrlimit(Resource::Nofile)
        .current
        .map_or(u32::MAX, |limit| u32::try_from(limit).unwrap_or(u32::MAX))
}

/// Lets the calling thread run before most others, as far as the kernel grants it (CAP_SYS_NICE). Returns whether it does.
///
/// For threads that answer for this host in microseconds: one that waits for its turn behind everything else looks, from
/// outside, like a network that loses packets.
pub fn prefer_this_thread() -> bool {
    // On Linux a priority is of a thread, and 0 is the calling one.
    setpriority_process(None, PREFERRED).is_ok()
}

/// Halfway up: some nine times the share of a thread of the usual priority, and still no claim to all of it.
const PREFERRED: i32 = -10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soft_limit_below_the_hard_one_is_raised_to_it() {
        let limit = getrlimit(Resource::Nofile);
        let hard = limit
            .maximum
            .map_or(u32::MAX, |limit| u32::try_from(limit).unwrap_or(u32::MAX));
        // One below is enough to see it rise, and leaves other tests of this process what they need.
        let lowered = Rlimit {
            current: Some(limit.maximum.map_or(1 << 20, |maximum| maximum - 1)),
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, lowered).unwrap();
        assert_ne!(open_files(), hard);
        assert_eq!(raise_open_files(), hard);
        assert_eq!(open_files(), hard);
    }
}
