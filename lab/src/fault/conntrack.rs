//! A connection tracking table that is full.
//!
//! The limit is the machine's, the count is each namespace's own, and a namespace only counts once a rule asks for the state
//! of connections. So the host gets such a rule and connections that the kernel does not give up (it evicts what it believes
//! to be dead or unanswered), and then the machine's limit is lowered to what the host has. A program that waits for our end
//! puts it back, so that it is put back even if we are killed.

use std::{
    fs::File,
    io::{self, PipeWriter},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

use plumbline_model::id::NodeId;
use plumbline_sys::{
    nft::{Action, Hook, Match, NewRule},
    ns::{self, NetNs},
};
use rustix::fs::{FlockOperation, flock};

use super::{
    FaultError,
    filter::{self, Chain, Filter},
    plant::Place,
};
use crate::{Lab, LabError};

/// A host whose table is full. Dropping it restores the machine's limit; the rule on the host has to be removed apart.
#[derive(Debug)]
pub(crate) struct Full {
    /// Writes the old limit at the end of its standard input.
    restorer: Child,
    end_of_file: Option<PipeWriter>,
    /// Locked for as long as the limit is ours.
    _lock: File,
    /// Both ends of the connections that fill the table.
    _held: Vec<(TcpStream, TcpStream)>,
}

impl Full {
    pub(super) fn plant(lab: &Lab, host: NodeId, room: u32, table: &str) -> Result<Self, FaultError> {
        let machine = lab.machine().ok_or(FaultError::NotRoot)?;
        let rules = |hook| Filter {
            place: Place::Host(host),
            chain: Chain::Filter(hook),
            rules: vec![NewRule {
                matches: vec![Match::NewConnection],
                action: Action::Count,
            }],
        };
        let namespace = lab.namespace(host)?;
        let filter = rules(Hook::Input);
        filter.plant(namespace, table)?;
        let full = fill(namespace).and_then(|(held, count)| Self::lower(machine, held, count + room));
        if full.is_err() {
            // The first error is the one to tell.
            let _ = filter::remove(namespace, filter.chain.family(), table);
        }
        full
    }

    fn lower(machine: &NetNs, held: Vec<(TcpStream, TcpStream)>, limit: u32) -> Result<Self, FaultError> {
        let lock = || -> Result<(String, File), ns::Error> {
            let path = format!("/proc/sys/{LIMIT}");
            let failed = |operation: String| move |source| ns::Error::Failed { operation, source };
            let lock = File::open(&path).map_err(failed(format!("open {path}")))?;
            flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
                failed(format!("lock {path}, which another lab has lowered"))(error.into())
            })?;
            Ok((ns::sysctl(LIMIT)?, lock))
        };
        let locked = machine.run(lock).map_err(LabError::Namespace)?;
        let (before, lock) = locked.map_err(FaultError::Setting)?;
        let (input, end_of_file) = io::pipe().map_err(FaultError::Fill)?;
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("cat >/dev/null; echo {before} >/proc/sys/{LIMIT}")])
            .stdin(input)
            .stdout(Stdio::null());
        // What ends the programs of a terminal must not end this one before its work is done.
        command.process_group(0);
        let full = Self {
            restorer: machine.spawn(&mut command, None).map_err(LabError::Namespace)?,
            end_of_file: Some(end_of_file),
            _lock: lock,
            _held: held,
        };
        let lowered = machine.run(|| ns::set_sysctl(LIMIT, &limit.to_string()));
        lowered
            .map_err(LabError::Namespace)?
            .map_err(FaultError::Setting)?;
        Ok(full)
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        drop(self.end_of_file.take());
        // Nobody is left to be told.
        let _ = self.restorer.wait();
    }
}

/// Fills a host's table with connections to itself; how many entries it has then.
fn fill(namespace: &NetNs) -> Result<(Vec<(TcpStream, TcpStream)>, u32), FaultError> {
    let connect = || -> io::Result<Vec<(TcpStream, TcpStream)>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        (0..HELD_CONNECTIONS)
            .map(|_| Ok((TcpStream::connect(address)?, listener.accept()?.0)))
            .collect()
    };
    let held = namespace
        .run(connect)
        .map_err(LabError::Namespace)?
        .map_err(FaultError::Fill)?;
    let count = namespace
        .run(|| ns::sysctl(COUNT))
        .map_err(LabError::Namespace)?
        .map_err(FaultError::Setting)?;
    Ok((held, count.parse().unwrap_or(HELD_CONNECTIONS)))
}

/// Enough that other namespaces on the machine, whose tables the limit holds for, too, are not full by it; few enough for the
/// usual limit of open files.
const HELD_CONNECTIONS: u32 = 300;
const LIMIT: &str = "net/netfilter/nf_conntrack_max";
const COUNT: &str = "net/netfilter/nf_conntrack_count";
