//! Where probes come from. Each kind of swarm binds the service where its probes can reach it, gives every participant its
//! join string, and holds what must live as long as the run.
//!
//! | kind | who starts the probes | how a string gets there |
//! |---|---|---|
//! | `joined` | the user's own tool | `--join-file`, readable by its owner only |
//! | `lab` | we do, one for each namespace | standard input |
//!
//! The coordinator's own vantage is always a child of ours that reads its string from standard input: a secret never stands
//! in an argument, which everybody on the machine can read.

mod addresses;
mod joined;
mod lab;

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use plumbline_identity::{
    NoRandomness,
    ca::{CaError, RunCa},
    enrol::{Admission, Expected, Origin},
    join::{JoinString, MAX_ADDRESSES, OneTimeKey},
    tls,
};
use plumbline_lab::{FaultError, LabError};
use plumbline_model::{
    id::{NodeId, RunId},
    inventory::Inventory,
};
use tokio::{net::TcpListener, process::Child};

pub(crate) use self::{joined::JoinedOptions, lab::LabOptions};
use crate::{
    audit::progress::Sink,
    service::{Service, Setup},
};

/// Which kind of swarm.
#[derive(Debug)]
pub(crate) enum SwarmOptions {
    /// Namespaces on this machine.
    Lab(LabOptions),
    /// Somebody else starts the probes.
    Joined(JoinedOptions),
}

/// A swarm on its way: the service listens, probes are started or waited for.
#[derive(Debug)]
pub(crate) struct Swarm {
    /// Where they arrive.
    pub(crate) service: Service,
    /// How long they may take.
    pub(crate) join_timeout: Duration,
    /// What lives as long as the run.
    pub(crate) guard: Guard,
}

/// What a swarm holds; dropped or ended, its probes are gone.
#[derive(Debug)]
pub(crate) enum Guard {
    /// The lab, with every program in it.
    Lab(Box<plumbline_lab::Lab>),
    /// The coordinator's own vantage, if the plan has it.
    Joined(Option<Child>),
}

/// Why a swarm could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SwarmError {
    /// The listening address.
    #[error("bind the listener on {address}{}", remedy(source))]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A wildcard address was asked for and the host's addresses cannot be told.
    #[error("find the addresses of this host")]
    Addresses(#[source] io::Error),
    /// A wildcard address was asked for and there is nothing to advertise.
    #[error("advertise {0}: this host has no global address; give --listen one that the nodes reach")]
    NoAddress(SocketAddr),
    /// Nobody could join through what is listened to.
    #[error(
        "listen on {address}: every node is known by {family} alone, and a join string counts from its node's own addresses \
         only; give --listen {wildcard}, which hears both families, or an {family} address of this machine"
    )]
    Unheard {
        /// Where.
        address: SocketAddr,
        /// That of the nodes.
        family: &'static str,
        /// What would do.
        wildcard: SocketAddr,
    },
    /// The join file would take the place of something else.
    #[error("write the join file {}: there is something else of that name; give --join-file another name", path.display())]
    JoinFileOccupied {
        /// Which.
        path: PathBuf,
    },
    /// The join file.
    #[error("write the join file {}", path.display())]
    JoinFile {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A probe of ours.
    #[error("start the probe of {node}")]
    Probe {
        /// Where.
        node: NodeId,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The run's certificates.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The TLS configuration.
    #[error("configure TLS")]
    Tls(#[source] rustls::Error),
    /// The one-time keys.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The lab.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// A fault that should be planted.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// A thread of ours ended: a bug.
    #[error("build the lab: its thread has ended")]
    Thread(#[source] tokio::task::JoinError),
    /// The user interrupted before there was anything to sign.
    #[error("start the swarm: interrupted before any probe joined, nothing was measured")]
    Abandoned,
}

/// What helps where a listener cannot be bound; nothing if we do not know.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            " (another program holds the port, perhaps another run: give --listen another port)"
        }
        io::ErrorKind::AddrNotAvailable => {
            " (no interface of this machine has that address: give --listen one of its own, or [::]:PORT for all of them)"
        }
        io::ErrorKind::PermissionDenied => " (ports below 1024 need privilege: give --listen a higher one)",
        _ => "",
    }
}

/// Starts a swarm for these participants.
pub(crate) async fn start(
    options: SwarmOptions,
    run: &RunId,
    inventory: &Inventory,
    participants: &[NodeId],
    sink: &mut dyn Sink,
) -> Result<Swarm, SwarmError> {
    match options {
        SwarmOptions::Lab(options) => lab::start(options, run, inventory, participants, sink).await,
        SwarmOptions::Joined(options) => joined::start(options, run, inventory, participants, sink).await,
    }
}

impl Guard {
    /// Ends what is left of the probes.
    pub(crate) async fn end(self) {
        match self {
            Self::Lab(lab) => {
                // Taking namespaces down and waiting for processes blocks; a thread that ended has dropped it, too.
                let _ = tokio::task::spawn_blocking(move || drop(lab)).await;
            }
            Self::Joined(Some(mut child)) => {
                if tokio::time::timeout(CHILD_GRACE, child.wait()).await.is_err() {
                    // It has ended already if this fails.
                    let _ = child.kill().await;
                }
            }
            Self::Joined(None) => {}
        }
    }
}

/// The listening service with a join string for every participant.
struct Invited {
    service: Service,
    strings: BTreeMap<NodeId, JoinString>,
}

/// Whom to invite, and where they find us.
struct Invitation<'a> {
    run: &'a RunId,
    inventory: &'a Inventory,
    participants: &'a [NodeId],
    listeners: Vec<TcpListener>,
    advertised: Vec<SocketAddr>,
    /// This machine's addresses, from which its own vantage may come.
    own_addresses: Vec<IpAddr>,
    join_timeout: Duration,
}

/// Makes the run's CA, a one-time key for everybody, and starts the service.
fn invite(invitation: Invitation<'_>) -> Result<Invited, SwarmError> {
    let Invitation {
        run,
        inventory,
        participants,
        listeners,
        advertised,
        own_addresses,
        join_timeout,
    } = invitation;
    let now_unix_s = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let ca = RunCa::new(run, now_unix_s, CA_LIFETIME)?;
    let expires_unix_s = now_unix_s + join_timeout.as_secs();
    let (mut strings, mut expected) = (BTreeMap::new(), Vec::new());
    for node in participants {
        let one_time_key = OneTimeKey::generate()?;
        let origin = match node {
            NodeId::Coordinator => Origin::ThisMachine(own_addresses.clone()),
            NodeId::Address(address) => Origin::Addresses(
                inventory
                    .ssh_of(*node)
                    .map_or_else(|| vec![*address], |ssh| vec![*address, ssh]),
            ),
        };
        expected.push(Expected {
            node: *node,
            origin,
            one_time_public: one_time_key.public(),
            expires_unix_s,
        });
        strings.insert(
            *node,
            JoinString {
                coordinator: in_order_for(*node, &advertised),
                run: run.clone(),
                node: *node,
                one_time_key,
                pin: ca.pin(),
                expires_unix_s,
            },
        );
    }
    let service = Service::start(Setup {
        listeners,
        tls: tls::server_config(&ca).map_err(SwarmError::Tls)?,
        run: run.clone(),
        admission: Admission::new(run.clone(), expected),
        probes: participants.len(),
    });
    Ok(Invited { service, strings })
}

/// The addresses of the coordinator as a node tries them: first those of its own family, since the cluster file gives its
/// address in that one, and a join string is good from there alone.
fn in_order_for(node: NodeId, advertised: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_of_its_family = |address: &SocketAddr| {
        let family = node.address().map(|own| own.is_ipv4());
        family.is_none_or(|is_ipv4| is_ipv4 == address.is_ipv4())
    };
    let mut addresses = advertised.to_vec();
    // Stable: within a family the order stays.
    addresses.sort_by_key(|address| !is_of_its_family(address));
    addresses.truncate(MAX_ADDRESSES);
    addresses
}

/// The arguments with which this executable is a probe that reads its join string from standard input. It ends by itself
/// a minute after the last word of a coordinator that was killed: four leases, so that a reconnection is not cut short.
const PROBE_ARGS: [&str; 6] = ["probe", "--quiet", "join", "--give-up", "60", "-"];

/// A run that lasts longer is not one audit.
const CA_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// It was told to finish before; a second is what closing its sockets may take.
const CHILD_GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_tries_the_coordinators_addresses_of_its_own_family_first() {
        let address = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let advertised = [
            address("10.0.0.9:7443"),
            address("10.1.0.9:7443"),
            address("[fd00::9]:7443"),
        ];
        let order = |node: &str| in_order_for(node.parse().unwrap(), &advertised);
        assert_eq!(order("10.0.0.1"), advertised);
        assert_eq!(order("fd00::1"), [advertised[2], advertised[0], advertised[1]]);
        assert_eq!(order("coordinator"), advertised);
    }

    #[test]
    fn a_host_with_many_addresses_of_one_family_still_tells_some_of_the_other() {
        let mut advertised: Vec<SocketAddr> = (0..200u8)
            .map(|last| SocketAddr::from(([10, 0, 0, last], 7443)))
            .collect();
        advertised.push("[fd00::9]:7443".parse().unwrap());
        let order = in_order_for("fd00::1".parse().unwrap(), &advertised);
        assert!(order.len() <= MAX_ADDRESSES && order[0].is_ipv6());
    }
}
