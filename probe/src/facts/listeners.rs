//! Who holds a port, as far as `/proc` tells: the waiting socket's inode, and the process that has it open.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use plumbline_model::port::{PortSet, Protocol};

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its name, from `comm`.
    pub process: Option<String>,
}

/// The processes that wait on these ports of this address, or of every address. A port whose holder cannot be seen,
/// because it is another user's, of another process namespace or the kernel itself, is left out.
pub fn holders(protocol: Protocol, address: IpAddr, ports: &PortSet) -> BTreeMap<u16, Holder> {
    let mut sockets = BTreeMap::new();
    // Sockets of the calling thread's network namespace, which need not be the process's.
    let (tables, waiting) = match protocol {
        Protocol::Tcp => (
            ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"],
            LISTEN,
        ),
        Protocol::Udp => (
            ["/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"],
            UNCONNECTED,
        ),
        Protocol::Icmp | Protocol::Ip(_) => return BTreeMap::new(),
    };
    for table in tables {
        let listening = fs::read_to_string(table).unwrap_or_default();
        let conflicting = listening
            .lines()
            .filter_map(|line| listener(line, waiting))
            .filter(|socket| socket.conflicts_with(address));
        sockets.extend(
            conflicting
                .filter(|socket| ports.contains(socket.port))
                .map(|socket| (socket.inode, socket.port)),
        );
    }
    let mut holders = BTreeMap::new();
    if sockets.is_empty() {
        return holders;
    }
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        for inode in open_sockets(&process.path()) {
            if let Some(port) = sockets.remove(&inode) {
                let process = fs::read_to_string(process.path().join("comm")).ok();
                let process = process.map(|name| name.trim_end().to_owned());
                holders.insert(port, Holder { pid, process });
            }
        }
        if sockets.is_empty() {
            break;
        }
    }
    holders
}

#[derive(Debug, PartialEq, Eq)]
struct Listener {
    address: IpAddr,
    port: u16,
    inode: u64,
}

impl Listener {
    fn conflicts_with(&self, address: IpAddr) -> bool {
        self.address.is_unspecified() || self.address == address
    }
}

/// A line of `/proc/net/tcp`, `tcp6`, `udp` or `udp6` (proc_net_tcp in the kernel's documentation), if it is of a socket in
/// the state `waiting`: `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode ...`.
fn listener(line: &str, waiting: &str) -> Option<Listener> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    if *fields.get(3)? != waiting {
        return None;
    }
    let (address, port) = fields.get(1)?.split_once(':')?;
    Some(Listener {
        address: hexadecimal_address(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// Words of four octets, each printed as a number of the host's byte order.
fn hexadecimal_address(text: &str) -> Option<IpAddr> {
    let mut octets = Vec::with_capacity(16);
    for word in text.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        octets.extend(word.to_ne_bytes());
    }
    if let Ok(octets) = <[u8; 4]>::try_from(&octets[..]) {
        return Some(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(&octets[..])
        .ok()
        .map(|octets| Ipv6Addr::from(octets).to_canonical())
}

/// The inodes of the sockets that a process has open. None if it is gone or not ours to see.
fn open_sockets(process: &Path) -> impl Iterator<Item = u64> {
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

/// TCP_LISTEN of the kernel's `tcp_states.h`.
const LISTEN: &str = "0A";
/// TCP_CLOSE, which for UDP says that the socket is not connected.
const UNCONNECTED: &str = "07";

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0";
    const LINE6: &str = "   1: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A \
                         00000000:00000000 00:00000000 00000000     0        0 815 1 0";

    #[test]
    #[cfg(target_endian = "little")]
    fn listening_sockets_of_both_families_are_read() {
        let localhost = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(
            listener(LINE, LISTEN),
            Some(Listener {
                address: localhost,
                port: 8080,
                inode: 4711
            })
        );
        let wildcard = listener(LINE6, LISTEN).unwrap();
        assert_eq!((wildcard.port, wildcard.inode), (22, 815));
        assert!(wildcard.conflicts_with(localhost));
    }

    #[test]
    fn headings_connections_and_torn_lines_are_no_listeners() {
        assert_eq!(
            listener("  sl  local_address rem_address   st tx_queue rx_queue", LISTEN),
            None
        );
        assert_eq!(listener(&LINE.replace(" 0A ", " 01 "), LISTEN), None);
        for len in 0..LINE.len() - 8 {
            assert_eq!(listener(&LINE[..len], LISTEN), None, "{len}");
        }
    }

    #[test]
    fn a_listener_of_this_process_is_found_by_its_pid() {
        let socket = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let ports = [port].into_iter().collect();
        let found = holders(Protocol::Tcp, IpAddr::from([127, 0, 0, 1]), &ports);
        assert_eq!(found[&port].pid, std::process::id());
        assert!(found[&port].process.is_some());
    }

    #[test]
    fn a_udp_socket_of_this_process_is_found_by_its_pid() {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let ports = [port].into_iter().collect();
        let found = holders(Protocol::Udp, IpAddr::from([127, 0, 0, 1]), &ports);
        assert_eq!(found[&port].pid, std::process::id());
    }
}
