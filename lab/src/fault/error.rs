//! Why a fault could not be planted or healed.

use std::io;

use plumbline_model::id::NodeId;
use plumbline_sys::{netlink, nft::WriteError, ns, route};

use super::{RejectWith, Side, clock, impostor::MOST_IMPOSTOR_PORTS, plant::FaultId};
use crate::LabError;

/// Why a fault could not be planted or healed.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The place that it names.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// Traffic inside a subnet does not pass the router.
    #[error("plant a fault between {from} and {to}: they share a subnet, so no router is between them")]
    NoRouterBetween {
        /// Who asks.
        from: Side,
        /// Who is asked.
        to: Side,
    },
    /// Hosts of two subnets.
    #[error(
        "plant a fault between {one} and {other}: they are in different subnets, so no one switch is between them"
    )]
    NoSwitchBetween {
        /// A host.
        one: NodeId,
        /// Another.
        other: NodeId,
    },
    /// Nothing of the family that the fault is about.
    #[error("plant a fault on an address that the lab does not have; is it a dual-stack lab?")]
    NoSuchAddress,
    /// Words that no family has that the fault is about.
    #[error("refuse packets with {0:?}: ICMP has no such code for the family that the fault is about")]
    NoSuchReject(RejectWith),
    /// A setting of the whole machine.
    #[error(
        "change a setting of the machine: only root can, and this process is root in a user namespace of its own"
    )]
    NotRoot,
    /// A setting.
    #[error("change a setting of the kernel")]
    Setting(#[source] ns::Error),
    /// Connections that should fill a table.
    #[error("fill the host's connection tracking")]
    Fill(#[source] io::Error),
    /// No packet filter in this kernel, or no permission.
    #[error("open the packet filter")]
    OpenFilter(#[source] netlink::Error),
    /// The packet filter refused a rule.
    #[error("change table {table} of the packet filter")]
    Filter {
        /// The fault's own table.
        table: String,
        /// Why.
        #[source]
        source: WriteError,
    },
    /// A device, an address or a route.
    #[error("change a device or route of the lab")]
    Device(#[source] route::Error),
    /// A port could not be held.
    #[error("hold port {port} on {host}")]
    Hold {
        /// The host.
        host: NodeId,
        /// The port.
        port: u16,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Advertisements could not be sent.
    #[error("advertise a virtual router")]
    Advertise(#[source] io::Error),
    /// An empty set would be a fault that does nothing, and leaving `ports` out means all.
    #[error("plant a fault on no port at all; leave `ports` out to mean every port")]
    NoPorts,
    /// More ports than one program should listen on in a lab.
    #[error("answer on {ports} ports in a host's place: {MOST_IMPOSTOR_PORTS} are the most")]
    TooManyPorts {
        /// How many were asked for.
        ports: u32,
    },
    /// No library that tells programs another time.
    #[error(
        "set the clock of a host: no {} below {}; is libfaketime installed?",
        clock::LIBRARY,
        clock::FOLDER
    )]
    NoFaketime,
    /// There is nothing to stop or kill.
    #[error("stop the programs on {0}: none was started through the lab")]
    NoProgram(NodeId),
    /// A signal could not be sent.
    #[error("signal the program on {host}")]
    Signal {
        /// The host.
        host: NodeId,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is not there.
    #[error("heal fault {0}: it is not planted")]
    NotPlanted(FaultId),
    /// What is dead stays dead.
    #[error("heal fault {0}: a killed program does not come back")]
    Permanent(FaultId),
}
