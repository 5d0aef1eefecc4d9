//! `--swarm joined`: bind, write the join file, wait.

use std::{
    fs, io,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use plumbline_identity::join::JoinString;
use plumbline_model::{
    id::{NodeId, RunId},
    inventory::Inventory,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpSocket},
    process::{Child, Command},
};

use super::{Guard, Invitation, Invited, PROBE_ARGS, Swarm, SwarmError, addresses, invite};
use crate::audit::progress::{Event, Sink};

/// What `--swarm joined` is told.
#[derive(Debug, Clone)]
pub(crate) struct JoinedOptions {
    /// `--listen`.
    pub(crate) listen: SocketAddr,
    /// `--join-file`.
    pub(crate) join_file: Option<PathBuf>,
    /// `--join-timeout`.
    pub(crate) join_timeout: Duration,
}

pub(super) async fn start(
    options: JoinedOptions,
    run: &RunId,
    inventory: &Inventory,
    participants: &[NodeId],
    sink: &mut dyn Sink,
) -> Result<Swarm, SwarmError> {
    let JoinedOptions {
        listen,
        join_file,
        join_timeout,
    } = options;
    let bind = |source| SwarmError::Bind {
        address: listen,
        source,
    };
    let listener = listen_on(listen).map_err(bind)?;
    let bound = listener.local_addr().map_err(bind)?;
    let own_addresses = addresses::global().map_err(SwarmError::Addresses)?;
    let advertised: Vec<SocketAddr> = if bound.ip().is_unspecified() {
        // An IPv4 wildcard does not hear IPv6.
        let reachable = own_addresses
            .iter()
            .filter(|address| bound.is_ipv6() || address.is_ipv4());
        reachable
            .map(|address| SocketAddr::new(*address, bound.port()))
            .collect()
    } else {
        vec![bound]
    };
    if advertised.is_empty() {
        return Err(SwarmError::NoAddress(bound));
    }
    if let Some(error) = unheard(&advertised, inventory, participants) {
        return Err(error);
    }
    let replaced = match &join_file {
        Some(path) => replaces(path)?,
        None => false,
    };
    let Invited { service, mut strings } = invite(Invitation {
        run,
        inventory,
        participants,
        listeners: vec![listener],
        advertised: advertised.clone(),
        own_addresses,
        join_timeout,
    })?;
    let own = strings.remove(&NodeId::Coordinator);
    if let Some(path) = &join_file {
        write_join_file(path, strings.values()).map_err(|source| SwarmError::JoinFile {
            path: path.clone(),
            source,
        })?;
    }
    sink.show(&Event::Listening {
        addresses: advertised.iter().map(ToString::to_string).collect(),
        expected: participants.len(),
        own: participants.contains(&NodeId::Coordinator),
        replaced,
        join_file: join_file.map(|path| path.display().to_string()),
    });
    let vantage = match own {
        Some(string) => Some(start_own_probe(&string).await?),
        None => None,
    };
    Ok(Swarm {
        service,
        join_timeout,
        guard: Guard::Joined(vantage),
    })
}

/// A join string is good from its node's own addresses alone. Where all of these are of the family that is not listened to,
/// nobody could ever join.
fn unheard(advertised: &[SocketAddr], inventory: &Inventory, participants: &[NodeId]) -> Option<SwarmError> {
    let nodes = participants
        .iter()
        .filter_map(|node| Some((*node, node.address()?)));
    let addresses: Vec<IpAddr> = nodes
        .flat_map(|(node, address)| [Some(address), inventory.ssh_of(node)])
        .flatten()
        .collect();
    let is_heard = |address: &IpAddr| advertised.iter().any(|at| at.is_ipv4() == address.is_ipv4());
    let first = addresses.first()?;
    (!addresses.iter().any(is_heard)).then(|| SwarmError::Unheard {
        address: advertised
            .first()
            .copied()
            .unwrap_or_else(|| SocketAddr::new(*first, 0)),
        family: if first.is_ipv4() { "IPv4" } else { "IPv6" },
        wildcard: SocketAddr::from((
            Ipv6Addr::UNSPECIFIED,
            advertised.first().map_or(0, SocketAddr::port),
        )),
    })
}

/// Whether an earlier join file is going to be replaced. What is no join file is not ours to overwrite.
fn replaces(path: &Path) -> Result<bool, SwarmError> {
    let failed = |source| SwarmError::JoinFile {
        path: path.to_owned(),
        source,
    };
    let occupied = || SwarmError::JoinFileOccupied {
        path: path.to_owned(),
    };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => return Err(occupied()),
        Ok(found) if found.len() == 0 => return Ok(false),
        Ok(_) => {}
        // What else is wrong with the place is told when it is written.
        Err(_) => return Ok(false),
    }
    let mut head = [0; JOIN_FILE_HEAD.len()];
    match fs::File::open(path).and_then(|mut file| file.read_exact(&mut head)) {
        Ok(()) if head == *JOIN_FILE_HEAD.as_bytes() => Ok(true),
        Ok(()) => Err(occupied()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(occupied()),
        Err(error) => Err(failed(error)),
    }
}

/// How a join file begins.
const JOIN_FILE_HEAD: &str = "{\"nodes\":{";

/// Binds the listener; the IPv6 wildcard hears IPv4 as well, whatever the host's default is (`net.ipv6.bindv6only`).
fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => {
            let socket = TcpSocket::new_v6()?;
            rustix::net::sockopt::set_ipv6_v6only(&socket, !address.ip().is_unspecified())?;
            socket
        }
    };
    // A coordinator that was ended a moment ago has left connections behind that hold the port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Probes that are started by one command knock at once; the acceptor takes them as fast as it shakes hands.
const BACKLOG: u32 = 1024;

/// Writes `{"nodes":{"<id>":"<string>"}}`, whole or not at all, readable by its owner only from the first moment.
fn write_join_file<'a>(path: &Path, strings: impl Iterator<Item = &'a JoinString>) -> io::Result<()> {
    let mut text = zeroize::Zeroizing::new(String::from(JOIN_FILE_HEAD));
    for (index, string) in strings.enumerate() {
        // Neither an id nor a join string has a character that JSON would escape.
        let separator = if index == 0 { "" } else { "," };
        text.push_str(&format!(
            "{separator}\"{}\":\"{}\"",
            string.node,
            string.to_text().as_str()
        ));
    }
    text.push_str("}}\n");
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let draft = directory.join(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    write().inspect_err(|_| {
        // It may not exist, and the first error is the one to tell.
        let _ = fs::remove_file(&draft);
    })
}

/// Starts this executable as the probe of the admin workstation.
async fn start_own_probe(string: &JoinString) -> Result<Child, SwarmError> {
    let failed = |source| SwarmError::Probe {
        node: NodeId::Coordinator,
        source,
    };
    let mut child = Command::new(std::env::current_exe().map_err(failed)?)
        .args(PROBE_ARGS)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        // The terminal's interrupt is for the coordinator, which tells its probes.
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(string.to_text().as_bytes())
            .await
            .map_err(failed)?;
    }
    Ok(child)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use plumbline_identity::join::OneTimeKey;

    use super::*;

    fn string(node: &str) -> JoinString {
        JoinString {
            coordinator: vec!["192.0.2.1:7443".parse().unwrap()],
            run: RunId::from_bytes([3; 8]),
            node: node.parse().unwrap(),
            one_time_key: OneTimeKey::generate().unwrap(),
            pin: [9; 32],
            expires_unix_s: 1,
        }
    }

    #[tokio::test]
    async fn the_ipv6_wildcard_hears_both_families() {
        let listener = listen_on("[::]:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        for address in ["127.0.0.1", "::1"] {
            let address = SocketAddr::new(address.parse().unwrap(), port);
            let (dialled, accepted) =
                tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
            dialled.unwrap();
            let (_, from) = accepted.unwrap();
            assert_eq!(from.ip().to_canonical(), address.ip());
        }
    }

    #[test]
    fn the_join_file_holds_every_string_and_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("join.json");
        let strings = [string("10.0.0.1"), string("10.0.0.2")];
        write_join_file(&path, strings.iter()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for string in &strings {
            let text = read["nodes"][string.node.to_string()].as_str().unwrap();
            assert_eq!(text.parse::<JoinString>().unwrap().node, string.node);
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_listener_that_no_node_may_join_through_is_refused() {
        let inventory = Inventory::derive(
            &plumbline_model::cluster::read(&crate::demo::cluster())
                .unwrap()
                .cluster,
        );
        let participants: Vec<NodeId> = inventory.nodes.iter().map(|node| node.id).collect();
        let unheard = |advertised: &[&str], participants: &[NodeId]| {
            let advertised: Vec<SocketAddr> = advertised.iter().map(|text| text.parse().unwrap()).collect();
            unheard(&advertised, &inventory, participants).map(|error| error.to_string())
        };
        let refused = unheard(&["[fd00::9]:7443"], &participants).unwrap();
        assert!(
            refused.contains("IPv4") && refused.contains("[::]:7443"),
            "{refused}"
        );
        assert_eq!(unheard(&["10.0.0.9:7443"], &participants), None);
        assert_eq!(unheard(&["[fd00::9]:7443", "10.0.0.9:7443"], &participants), None);
        let ipv6: NodeId = "fd00::1".parse().unwrap();
        assert!(unheard(&["10.0.0.9:7443"], &[ipv6]).unwrap().contains("IPv6"));
        assert_eq!(unheard(&["[fd00::9]:7443"], &[NodeId::Coordinator]), None);
    }

    #[test]
    fn only_a_join_file_is_replaced_by_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("join.json");
        assert!(!replaces(&path).unwrap());
        fs::write(&path, "").unwrap();
        assert!(!replaces(&path).unwrap());
        write_join_file(&path, [string("10.0.0.1")].iter()).unwrap();
        assert!(replaces(&path).unwrap());
        for mine in ["kind: Cluster of some length", "x"] {
            fs::write(&path, mine).unwrap();
            assert!(matches!(
                replaces(&path),
                Err(SwarmError::JoinFileOccupied { .. })
            ));
        }
        assert!(matches!(
            replaces(directory.path()),
            Err(SwarmError::JoinFileOccupied { .. })
        ));
    }

    #[test]
    fn a_join_file_that_cannot_be_written_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), "").unwrap();
        assert!(write_join_file(&path, [string("10.0.0.1")].iter()).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
