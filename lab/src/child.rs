//! Programs on the lab's hosts.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use plumbline_model::id::NodeId;
use plumbline_sys::ns::NetNs;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::{LabError, fault::Skew};

/// What to start on a host.
#[derive(Debug)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Its arguments, without its name. Everybody on the machine can read them.
    pub args: Vec<OsString>,
    /// What it reads from standard input before the end of file: the place for a secret. At most 65,536 octets.
    pub stdin: Vec<u8>,
    /// Where its standard error goes; the same as ours if absent. Its standard output goes nowhere.
    pub stderr: Option<File>,
}

/// A program on a host. It is ended with the lab at the latest; to drop this handle does nothing to it.
#[derive(Debug, Clone)]
pub struct LabChild {
    node: NodeId,
    pid: u32,
    process: Arc<Mutex<Child>>,
}

impl LabChild {
    pub(crate) fn spawn(
        node: NodeId,
        namespace: &NetNs,
        program: Program,
        skew: Option<&Skew>,
    ) -> Result<Self, LabError> {
        let Program {
            path,
            args,
            stdin,
            stderr,
        } = program;
        if stdin.len() > MOST_STDIN_BYTES {
            return Err(LabError::TooMuchInput { octets: stdin.len() });
        }
        let mut command = Command::new(path);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::null());
        command.stderr(stderr.map_or_else(Stdio::inherit, Stdio::from));
        command.envs(skew.into_iter().flat_map(Skew::environment));
        let mut process = start(node, namespace, &mut command)?;
        // Dropped at the end of this block, which is the end of file for the program.
        if let Some(mut pipe) = process.stdin.take() {
            match pipe.write_all(&stdin) {
                // It has ended without reading: its exit status says why.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                Err(source) => {
                    end(&mut process);
                    return Err(LabError::Feed { node, source });
                }
                Ok(()) => {}
            }
        }
        Ok(Self::of(node, process))
    }

    /// Starts a command whose standard streams are set up already.
    pub(crate) fn start(node: NodeId, namespace: &NetNs, mut command: Command) -> Result<Self, LabError> {
        Ok(Self::of(node, start(node, namespace, &mut command)?))
    }

    fn of(node: NodeId, process: Child) -> Self {
        Self {
            node,
            pid: process.id(),
            process: Arc::new(Mutex::new(process)),
        }
    }

    /// The host that it runs on.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended, or nothing while it runs.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.lock().try_wait()
    }

    /// Kills it, with what it started, and waits until it is gone. Nothing happens if it has ended.
    pub fn kill(&self) {
        end(&mut self.lock());
    }

    /// Asks it to end (SIGTERM). Nothing happens if it has ended.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Stops it (SIGSTOP): its sockets stay, and the kernel goes on accepting connections for them.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn freeze(&self) -> io::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// If the system refuses.
    pub fn thaw(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        send(&mut self.lock(), signal)
    }

    fn lock(&self) -> MutexGuard<'_, Child> {
        // A panic elsewhere does not make the process less ours.
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start(node: NodeId, namespace: &NetNs, command: &mut Command) -> Result<Child, LabError> {
    // A group of its own: what it starts is signalled with it, and a Ctrl-C at the terminal reaches the coordinator alone,
    // which decides what becomes of its probes.
    command.process_group(0);
    namespace
        .spawn(command, Some(&host_name(node)))
        .map_err(LabError::Namespace)
}

fn end(process: &mut Child) {
    // Both fail only for a process that has ended and been waited for.
    let _ = send(process, Signal::KILL);
    let _ = process.wait();
}

/// Signals a process's group, unless the process has ended: its id may then be another's.
fn send(process: &mut Child, signal: Signal) -> io::Result<()> {
    if process.try_wait()?.is_some() {
        return Ok(());
    }
    let group = i32::try_from(process.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(io::ErrorKind::InvalidInput)?;
    Ok(kill_process_group(group, signal)?)
}

/// The host name that programs on a node see.
pub(crate) fn host_name(node: NodeId) -> String {
    match node {
        NodeId::Address(address) => format!("lab-{}", address.to_string().replace(['.', ':'], "-")),
        NodeId::Coordinator => "lab-admin".to_owned(),
    }
}

/// What a pipe holds: more would block until the program reads, and the program may wait for us.
const MOST_STDIN_BYTES: usize = 65_536;
