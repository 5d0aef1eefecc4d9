//! Network namespaces: making them, working inside them, starting programs inside them.
//!
//! A namespace belongs to a thread, so whatever is done in another one is done on a thread of its own that joins it, does
//! the work and ends before the call returns; no thread of the caller ever changes. A [`NetNs`] is a descriptor: the
//! namespace and everything in it goes once the last descriptor and the last process are gone.

use std::{
    fs::{self, File},
    io,
    os::fd::AsFd,
    panic,
    process::{Child, Command},
    thread,
};

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

/// Why something about a namespace failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process has more than one thread.
    #[error("leave the network namespace: the process has {threads} threads, and only a process of one can")]
    Threaded {
        /// How many.
        threads: u32,
    },
    /// A system call or a file of /proc.
    #[error("{operation}")]
    Failed {
        /// What was tried.
        operation: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl Error {
    fn failed(operation: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let operation = operation.into();
        move |source| Self::Failed { operation, source }
    }
}

/// By which right the process entered its own namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// CAP_SYS_ADMIN: settings of the machine as a whole can be changed too.
    Root,
    /// A user namespace of its own, in which it is root and outside of which it is what it was before.
    UserNamespace,
}

/// Moves the process into a new network namespace, which has nothing but a loopback device that is down; without the
/// privilege for that, into a new user namespace first.
///
/// To be called before any thread is started: a user namespace is refused to a process with several threads, and threads
/// that exist would stay in the old network.
///
/// # Errors
/// [`Error::Threaded`]; or the system call that was refused, with EPERM where namespaces are forbidden.
pub fn enter_private_network() -> Result<Privilege, Error> {
    let threads = threads()?;
    if threads != 1 {
        return Err(Error::Threaded { threads });
    }
    match unshare(UnshareFlags::NEWNET) {
        Ok(()) => return Ok(Privilege::Root),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        Err(error) => return Err(Error::failed("unshare the network namespace")(error)),
    }
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET)
        .map_err(Error::failed("unshare the user and the network namespace"))?;
    // The kernel takes a group map from an unprivileged process only after it gave up setgroups (user_namespaces(7)).
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("0 {user} 1", user = user.as_raw()))?;
    write(
        "/proc/self/gid_map",
        &format!("0 {group} 1", group = group.as_raw()),
    )?;
    Ok(Privilege::UserNamespace)
}

/// Whether the calling thread may make a network namespace as it is. Nothing of the caller changes.
///
/// # Errors
/// The system's answer if not.
pub fn may_make_network() -> Result<(), Error> {
    NetNs::create().map(drop)
}

/// A network namespace that lives as long as this value, its clones, and processes inside.
#[derive(Debug)]
pub struct NetNs {
    file: File,
}

impl NetNs {
    /// A new one.
    ///
    /// # Errors
    /// If the system refuses; EPERM without privilege, ENOSPC at the limit of /proc/sys/user/max_net_namespaces.
    pub fn create() -> Result<Self, Error> {
        on_a_thread(|| {
            unshare(UnshareFlags::NEWNET).map_err(Error::failed("unshare the network namespace"))?;
            Self::current()
        })?
    }

    /// That of the calling thread.
    ///
    /// # Errors
    /// If /proc does not give it.
    pub fn current() -> Result<Self, Error> {
        let path = "/proc/thread-self/ns/net";
        let file = File::open(path).map_err(Error::failed(format!("open {path}")))?;
        Ok(Self { file })
    }

    /// Another handle to the same namespace.
    ///
    /// # Errors
    /// If the process is out of descriptors.
    pub fn try_clone(&self) -> Result<Self, Error> {
        let file = self
            .file
            .try_clone()
            .map_err(Error::failed("duplicate a namespace's descriptor"))?;
        Ok(Self { file })
    }

    /// Does work inside, on a thread of its own, and waits for it. Sockets that the work opens stay in the namespace.
    ///
    /// # Errors
    /// If the thread cannot join the namespace.
    ///
    /// # Panics
    /// If the work does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        on_a_thread(|| {
            self.join()?;
            Ok(work())
        })?
    }

    /// Starts a program inside, under a host name of its own if one is given.
    ///
    /// # Errors
    /// If the namespace cannot be joined or the program not be started.
    pub fn spawn(&self, command: &mut Command, host_name: Option<&str>) -> Result<Child, Error> {
        on_a_thread(|| {
            self.join()?;
            if let Some(name) = host_name {
                unshare(UnshareFlags::NEWUTS).map_err(Error::failed("unshare the host name"))?;
                set_host_name(name).map_err(Error::failed(format!("set the host name to {name}")))?;
            }
            // The child is made of this thread, and so is in its namespaces.
            let program = command.get_program().to_string_lossy().into_owned();
            command.spawn().map_err(Error::failed(format!("start {program}")))
        })?
    }

    fn join(&self) -> Result<(), Error> {
        move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|error| Error::failed("join a network namespace")(error.into()))
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Writes a network setting of the calling thread's namespace, for example `net/ipv4/ip_forward`.
///
/// # Errors
/// If the kernel has no such setting (ENOENT) or refuses the value.
pub fn set_sysctl(name: &str, value: &str) -> Result<(), Error> {
    write(&format!("/proc/sys/{name}"), value)
}

/// Reads a setting, without the line's end.
///
/// # Errors
/// If the kernel has no such setting here.
pub fn sysctl(name: &str) -> Result<String, Error> {
    let path = format!("/proc/sys/{name}");
    let text = fs::read_to_string(&path).map_err(Error::failed(format!("read {path}")))?;
    Ok(text.trim_end().to_owned())
}

/// How many threads the process has.
fn threads() -> Result<u32, Error> {
    let path = "/proc/self/status";
    let status = fs::read_to_string(path).map_err(Error::failed(format!("read {path}")))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:")?.trim().parse().ok())
        .ok_or_else(|| {
            Error::failed(format!("find the number of threads in {path}"))(io::ErrorKind::InvalidData.into())
        })
}

/// Runs work on a thread that dies with it, whatever namespaces it has moved to.
fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("namespace".into())
            .spawn_scoped(scope, work)
            .map_err(Error::failed("start a thread"))?;
        Ok(thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic)))
    })
}

fn unshare(flags: UnshareFlags) -> io::Result<()> {
    debug_assert!(!flags.contains(UnshareFlags::FILES));
    // SAFETY: unsafe only for CLONE_FILES, which no caller in this file passes: descriptors stay shared by all threads.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(io::Error::from)
}

fn set_host_name(name: &str) -> io::Result<()> {
    // SAFETY: pointer and length are those of one live string; the kernel copies it.
    let result = unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn write(path: &str, value: &str) -> Result<(), Error> {
    fs::write(path, value).map_err(Error::failed(format!("write {value:?} to {path}")))
}
