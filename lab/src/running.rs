//! A lab that is up.

use std::{collections::BTreeMap, net::IpAddr};

use plumbline_model::{id::NodeId, port::Family};
use plumbline_sys::{
    ns::{self, NetNs, Privilege},
    route,
};

use crate::{
    Entered, FaultId, LabChild, Program, Subnet, Topology, TopologyError,
    fault::Planted,
    neighbours::Raised,
    wiring::{self, Wiring},
};

/// Why a lab could not be built or used.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The process could not leave the machine's network.
    #[error("enter a network of its own")]
    Enter(#[source] ns::Error),
    /// The topology makes no network.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// A mesh of that size needs more neighbour entries than the machine allows, and only root can allow more.
    #[error(
        "build a lab of {hosts} hosts: its mesh needs {entries} neighbour entries, the machine allows {limit} in all \
         (net.{}.neigh.default.gc_thresh3), and only root can raise that; run it as root, or with fewer hosts",
        family.word()
    )]
    NeighbourTable {
        /// How many hosts were asked for.
        hosts: usize,
        /// Whose table it is.
        family: Family,
        /// How many entries their mesh needs.
        entries: u32,
        /// How many the machine allows.
        limit: u32,
    },
    /// Root could not raise the limit either.
    #[error("raise the machine's limit of neighbour entries to {needed}")]
    RaiseNeighbourTable {
        /// What was tried.
        needed: u32,
        /// Why not.
        #[source]
        source: ns::Error,
    },
    /// A namespace, or a program inside one.
    #[error("use a host of the lab")]
    Namespace(#[source] ns::Error),
    /// A cable, address or route.
    #[error("wire the lab")]
    Wire(#[source] route::Error),
    /// A cable was plugged in, and nothing came of it.
    #[error("wire the lab: device {device} has no carrier")]
    NoCarrier {
        /// The device's name in its namespace.
        device: String,
    },
    /// No host has that address.
    #[error("find host {0} in the lab")]
    NoSuchHost(NodeId),
    /// More standard input than a pipe holds.
    #[error("hand {octets} octets to a program's standard input, which takes 65536")]
    TooMuchInput {
        /// How many.
        octets: usize,
    },
    /// A program that was started could not be given its input.
    #[error("write to the program on {node}")]
    Feed {
        /// Where it ran.
        node: NodeId,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// A lab that is up. Dropping it ends every program that was started through it and takes everything down.
#[derive(Debug)]
pub struct Lab {
    topology: Topology,
    wiring: Wiring,
    admin: NetNs,
    children: Vec<LabChild>,
    pub(crate) planted: BTreeMap<FaultId, Planted>,
    pub(crate) next_fault: u32,
    /// The machine's own namespace, if its settings may be changed.
    machine: Option<NetNs>,
    /// Held for its drop.
    _neighbours: Option<Raised>,
}

impl Lab {
    /// Builds a network. One at a time in a process: the admin workstation has one cable.
    ///
    /// A mesh of more than about thirty hosts in one subnet overflows the kernel's neighbour table, which all namespaces of
    /// the machine share; as root the limits (`net.ipv4.neigh.default.gc_thresh1..3`, and those of IPv6) are raised for the
    /// life of the lab, and without root such a topology is refused.
    ///
    /// # Errors
    /// [`LabError`]; nothing is left behind.
    pub fn up(entered: &Entered, topology: Topology) -> Result<Self, LabError> {
        let neighbours = Raised::ensure(entered, &topology)?;
        let admin = entered.inside.try_clone().map_err(LabError::Namespace)?;
        let machine = match entered.privilege() {
            Privilege::Root => Some(entered.outside.try_clone().map_err(LabError::Namespace)?),
            Privilege::UserNamespace => None,
        };
        let wiring = Wiring::build(&topology, &admin).inspect_err(|_| {
            // It may not have been made yet, and the first error is the one to tell.
            let _ = wiring::unplug_admin(&admin);
        })?;
        Ok(Self {
            topology,
            wiring,
            admin,
            children: Vec::new(),
            planted: BTreeMap::new(),
            next_fault: 0,
            machine,
            _neighbours: neighbours,
        })
    }

    /// What was built.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The admin workstation's address, of the family of the hosts' names: where this process is reached from the hosts.
    pub fn admin_address(&self) -> IpAddr {
        self.topology.admin().first.address
    }

    /// Starts a program on a host, or with [`NodeId::Coordinator`] on the admin workstation.
    ///
    /// # Errors
    /// If there is no such host or the program cannot be started.
    pub fn spawn_in(&mut self, node: NodeId, program: Program) -> Result<LabChild, LabError> {
        let child = LabChild::spawn(node, self.namespace(node)?, program, self.skew(node))?;
        self.children.push(child.clone());
        Ok(child)
    }

    /// Does work on a host, on a thread of its own, and waits for it. Sockets that it opens stay on that host.
    ///
    /// # Errors
    /// If there is no such host or its namespace cannot be joined.
    pub fn in_host<T: Send>(&self, node: NodeId, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        self.namespace(node)?.run(work).map_err(LabError::Namespace)
    }

    /// Does work on the router.
    ///
    /// # Errors
    /// If its namespace cannot be joined.
    pub fn in_router<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        self.wiring.router.run(work).map_err(LabError::Namespace)
    }

    /// Does work on the switch of a host's subnet.
    ///
    /// # Errors
    /// If there is no such host or the namespace cannot be joined.
    pub fn in_switch_of<T: Send>(
        &self,
        node: NodeId,
        work: impl FnOnce() -> T + Send,
    ) -> Result<T, LabError> {
        let switch = self.switch_of(node)?;
        switch.run(work).map_err(LabError::Namespace)
    }

    /// The programs that were started on a host, ended ones included.
    pub fn children(&self, node: NodeId) -> impl Iterator<Item = &LabChild> {
        self.children.iter().filter(move |child| child.node() == node)
    }

    pub(crate) fn router(&self) -> &NetNs {
        &self.wiring.router
    }

    /// The machine's own namespace, if its settings may be changed.
    pub(crate) fn machine(&self) -> Option<&NetNs> {
        self.machine.as_ref()
    }

    /// The switch of a host's subnet.
    pub(crate) fn switch_of(&self, node: NodeId) -> Result<&NetNs, LabError> {
        let missing = || LabError::NoSuchHost(node);
        let address = node.address().ok_or_else(missing)?;
        let subnets = self.topology.subnets();
        let has = |subnet: &Subnet| subnet.first.network.contains(&address);
        let index = subnets.iter().position(has).ok_or_else(missing)?;
        self.wiring.switches.get(index).ok_or_else(missing)
    }

    pub(crate) fn namespace(&self, node: NodeId) -> Result<&NetNs, LabError> {
        let namespace = match node {
            NodeId::Coordinator => Some(&self.admin),
            NodeId::Address(address) => self.wiring.hosts.get(&address),
        };
        namespace.ok_or(LabError::NoSuchHost(node))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for child in &self.children {
            child.kill();
        }
        // Most faults would go with their namespaces; the workstation's, which is this process's, stays. Nobody is left to
        // be told of a failure.
        for id in self.planted.keys().copied().collect::<Vec<_>>() {
            let _ = self.heal(id);
        }
        // The rest goes with its descriptors.
        let _ = wiring::unplug_admin(&self.admin);
    }
}
