//! `--swarm joined`: bind, write the join file, wait.

use std::{
    fs, io,
    io::Write as _,
    net::SocketAddr,
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
    let mut text = zeroize::Zeroizing::new(String::from("{\"nodes\":{"));
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
    fn a_join_file_that_cannot_be_written_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), "").unwrap();
        assert!(write_join_file(&path, [string("10.0.0.1")].iter()).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
