//! Who waits on this host for others: by socket what the kernel lists, by process what `/proc` tells.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

use plumbline_model::{
    observation::Listener,
    port::{PortSet, Protocol},
};
use plumbline_proto::convert::sanitised;
use plumbline_sys::sock_diag::{self, Transport, Waiting};

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its name, from `comm`.
    pub process: Option<String>,
}

/// The processes that wait on these ports of this address, or of every address of its family. A port whose holder cannot be seen,
/// because it is another user's, of another process namespace or the kernel itself, is left out.
pub fn holders(protocol: Protocol, address: IpAddr, ports: &PortSet) -> BTreeMap<u16, Holder> {
    let Ok(sockets) = waiting(protocol) else {
        return BTreeMap::new();
    };
    // A socket that serves both families stands at the unspecified address of each.
    let is_at = |at: IpAddr| at == address || at.is_unspecified() && at.is_ipv4() == address.is_ipv4();
    let conflicts = |socket: &&Socket| ports.contains(socket.port) && is_at(socket.address);
    let conflicting: Vec<&Socket> = sockets.iter().filter(conflicts).collect();
    let by_inode = by_inode(conflicting.iter().map(|socket| socket.inode).collect());
    let holder = |socket: &&Socket| Some((socket.port, by_inode.get(&socket.inode)?.clone()));
    conflicting.iter().filter_map(holder).collect()
}

/// Everybody who waits: TCP listeners, and UDP sockets without a peer. A socket that serves both families stands at the
/// unspecified address of each. Ordered; one entry for each transport, address and process.
///
/// # Errors
/// If the kernel lists no sockets.
pub fn listeners() -> Result<Vec<Listener>, sock_diag::Error> {
    let mut sockets = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        sockets.extend(waiting(protocol)?.into_iter().map(|socket| (protocol, socket)));
    }
    let by_inode = by_inode(sockets.iter().map(|(_, socket)| socket.inode).collect());
    let mut listeners: BTreeMap<(Protocol, IpAddr, Option<&Holder>), Vec<u16>> = BTreeMap::new();
    for (protocol, socket) in &sockets {
        let key = (*protocol, socket.address, by_inode.get(&socket.inode));
        listeners.entry(key).or_default().push(socket.port);
    }
    let listener = |((protocol, address, holder), ports): ((_, _, Option<&Holder>), Vec<u16>)| Listener {
        protocol,
        address,
        ports: ports.into_iter().collect(),
        process: holder.and_then(|holder| holder.process.clone()),
        pid: holder.map(|holder| holder.pid),
    };
    Ok(listeners.into_iter().map(listener).collect())
}

/// A socket at one address of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Socket {
    address: IpAddr,
    port: u16,
    inode: u32,
}

/// Sockets of the calling thread's network namespace, which need not be the process's.
fn waiting(protocol: Protocol) -> Result<BTreeSet<Socket>, sock_diag::Error> {
    let transport = match protocol {
        Protocol::Tcp => Transport::Tcp,
        Protocol::Udp => Transport::Udp,
        Protocol::Icmp | Protocol::Ip(_) => return Ok(BTreeSet::new()),
    };
    let mut sockets = BTreeSet::new();
    for Waiting {
        address,
        port,
        dual_stack,
        inode,
    } in sock_diag::waiting(transport)?
    {
        let ipv4 = dual_stack.then_some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let at = [Some(address), ipv4].into_iter().flatten();
        sockets.extend(at.map(|address| Socket { address, port, inode }));
    }
    Ok(sockets)
}

/// The processes that have these sockets open. Of several that share one the lowest process id counts, which is the one that
/// opened it, as far as numbers have not begun anew.
fn by_inode(mut inodes: BTreeSet<u32>) -> BTreeMap<u32, Holder> {
    // The kernel's own have none.
    inodes.remove(&0);
    let mut holders: BTreeMap<u32, Holder> = BTreeMap::new();
    if inodes.is_empty() {
        return holders;
    }
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let held: Vec<u32> = open_sockets(&process.path())
            .filter(|inode| inodes.contains(inode))
            .collect();
        if held.is_empty() {
            continue;
        }
        let name = fs::read_to_string(process.path().join("comm")).ok();
        let process = name.map(|name| sanitised(name.trim_end()));
        for inode in held {
            let holder = Holder {
                pid,
                process: process.clone(),
            };
            let known = holders.entry(inode).or_insert_with(|| holder.clone());
            if pid < known.pid {
                *known = holder;
            }
        }
    }
    holders
}

/// The inodes of the sockets that a process has open. None if it is gone or not ours to see.
fn open_sockets(process: &Path) -> impl Iterator<Item = u32> {
    let links = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    links.filter_map(|link| {
        let target = fs::read_link(link.path()).ok()?;
        target
            .to_str()?
            .strip_prefix("socket:[")?
            .strip_suffix(']')?
            .parse()
            .ok()
    })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, SocketAddr};

    use super::*;

    fn of_port(protocol: Protocol, address: SocketAddr) -> Vec<(IpAddr, Option<u32>, bool)> {
        let listeners = listeners().unwrap();
        let of_port = listeners
            .iter()
            .filter(|listener| listener.protocol == protocol && listener.ports.contains(address.port()));
        of_port
            .map(|listener| (listener.address, listener.pid, listener.process.is_some()))
            .collect()
    }

    #[test]
    fn a_listener_of_this_process_is_found_by_its_pid() {
        let socket = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let address = socket.local_addr().unwrap();
        let ports = [address.port()].into_iter().collect();
        let found = holders(Protocol::Tcp, IpAddr::from([127, 0, 0, 1]), &ports);
        assert_eq!(found[&address.port()].pid, std::process::id());
        assert!(found[&address.port()].process.is_some());
        let in_the_other_family = holders(Protocol::Tcp, Ipv6Addr::LOCALHOST.into(), &ports);
        assert_eq!(in_the_other_family, BTreeMap::new());
        assert_eq!(
            of_port(Protocol::Tcp, address),
            [(address.ip(), Some(std::process::id()), true)]
        );
    }

    #[test]
    fn a_udp_socket_of_this_process_is_found_by_its_pid() {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        let address = socket.local_addr().unwrap();
        let ports = [address.port()].into_iter().collect();
        let found = holders(Protocol::Udp, IpAddr::from([127, 0, 0, 1]), &ports);
        assert_eq!(found[&address.port()].pid, std::process::id());
        assert_eq!(of_port(Protocol::Udp, address).len(), 1);
    }

    #[test]
    fn a_socket_that_serves_both_families_stands_at_all_addresses_of_each() {
        // The standard library leaves IPV6_V6ONLY off.
        let socket = std::net::TcpListener::bind("[::]:0").unwrap();
        let address = socket.local_addr().unwrap();
        let found = of_port(Protocol::Tcp, address);
        let at: Vec<IpAddr> = found.iter().map(|(at, _, _)| *at).collect();
        assert_eq!(at, [IpAddr::from(Ipv4Addr::UNSPECIFIED), address.ip()]);
    }
}
