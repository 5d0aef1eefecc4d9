//! Binds ports, and says of those that cannot be bound why.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, AsRawFd},
};

use plumbline_model::{
    observation::{Armed, BindFailure, NotBound},
    port::{Family, PortSet, Protocol},
};
use plumbline_sys::{Errno, limits};

use crate::facts::listeners;

/// Binds every port that can be bound.
pub(super) fn bind<Socket: AsFd>(
    protocol: Protocol,
    address: IpAddr,
    ports: &PortSet,
    open: impl Fn(SocketAddr) -> Result<Socket, Errno>,
) -> (Vec<(u16, Socket)>, Armed) {
    let open_files = i32::try_from(limits::raise_open_files()).unwrap_or(i32::MAX);
    let (mut bound, mut failed) = (Vec::new(), BTreeMap::<u16, Errno>::new());
    for port in ports.iter() {
        // A new descriptor gets the lowest free number, so that the number tells how many are open, whoever opened them.
        let within_limit = |socket: &Socket| socket.as_fd().as_raw_fd() < open_files - RESERVED_FILES;
        match open(SocketAddr::new(address, port)) {
            Ok(socket) if within_limit(&socket) => bound.push((port, socket)),
            Ok(_) => {
                failed.insert(port, Errno::MFILE);
            }
            Err(errno) => {
                failed.insert(port, errno);
            }
        }
    }
    let armed = Armed {
        family: Family::of(address),
        protocol,
        ports: bound.iter().map(|(port, _)| *port).collect(),
        refused: reasons(protocol, address, &failed),
    };
    (bound, armed)
}

fn reasons(protocol: Protocol, address: IpAddr, failed: &BTreeMap<u16, Errno>) -> Vec<NotBound> {
    let taken: PortSet = failed
        .iter()
        .filter(|(_, errno)| **errno == Errno::ADDRINUSE)
        .map(|(port, _)| *port)
        .collect();
    let mut holders = if taken.is_empty() {
        BTreeMap::new()
    } else {
        listeners::holders(protocol, address, &taken)
    };
    let mut by_reason = BTreeMap::<BindFailure, Vec<u16>>::new();
    for (port, errno) in failed {
        let why = match *errno {
            Errno::ADDRINUSE => {
                let holder = holders.remove(port);
                let pid = holder.as_ref().map(|holder| holder.pid);
                BindFailure::Taken {
                    process: holder.and_then(|holder| holder.process),
                    pid,
                }
            }
            Errno::ACCESS | Errno::PERM => BindFailure::Privilege,
            Errno::ADDRNOTAVAIL => BindFailure::AddressMissing,
            Errno::MFILE | Errno::NFILE => BindFailure::OpenFiles,
            other => BindFailure::Other {
                errno: other.raw_os_error().unsigned_abs(),
            },
        };
        by_reason.entry(why).or_default().push(*port);
    }
    by_reason
        .into_iter()
        .map(|(why, ports)| NotBound {
            ports: ports.into_iter().collect(),
            why,
        })
        .collect()
}

/// Descriptors that are not spent on ports: connections to answer, the engine's own, the session.
const RESERVED_FILES: i32 = 512;
