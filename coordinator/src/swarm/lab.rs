//! `--swarm lab`: every node a namespace of this machine, with a probe in each.

use std::{
    ffi::OsString,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use plumbline_lab::{Entered, Fault, Lab, Program, Stack, Topology};
use plumbline_model::{
    id::{NodeId, RunId},
    inventory::Inventory,
};
use tokio::net::TcpListener;

use super::{Guard, Invitation, Invited, PROBE_ARGS, Swarm, SwarmError, invite};
use crate::audit::progress::{Event, Sink};

/// What `--swarm lab` is told.
#[derive(Debug)]
pub(crate) struct LabOptions {
    /// Proof that this process left the machine's network.
    pub(crate) entered: Entered,
    /// What is wrong in it from the beginning.
    pub(crate) faults: Vec<Fault>,
}

pub(super) async fn start(
    options: LabOptions,
    run: &RunId,
    inventory: &Inventory,
    participants: &[NodeId],
    sink: &mut dyn Sink,
) -> Result<Swarm, SwarmError> {
    // A vantage is a host like every other; where it stands, its address says.
    let nodes = inventory.nodes.iter().map(|node| node.id);
    let vantages = inventory.vantages.iter().map(|vantage| vantage.id);
    let nodes: Vec<IpAddr> = nodes.chain(vantages).filter_map(NodeId::address).collect();
    let vips = inventory.control_plane_vip.iter().chain(&inventory.ingress_vip);
    let taken: Vec<(IpAddr, IpAddr)> = vips.map(|vip| (*vip, *vip)).collect();
    let stack = if inventory.is_dual_stack() {
        Stack::Dual
    } else {
        Stack::Single
    };
    let topology = Topology::from_addresses(&nodes, &taken, stack).map_err(plumbline_lab::LabError::from)?;
    sink.show(&Event::LabBuilding { hosts: nodes.len() });
    let LabOptions { entered, faults } = options;
    let lab = tokio::task::spawn_blocking(move || -> Result<Lab, SwarmError> {
        let mut lab = Lab::up(&entered, topology)?;
        for fault in &faults {
            lab.apply(fault)?;
        }
        Ok(lab)
    });
    let lab = lab.await;
    let mut lab = lab.map_err(SwarmError::Thread)??;
    let address = SocketAddr::new(lab.admin_address(), 0);
    let bind = |source| SwarmError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(bind)?;
    let bound = listener.local_addr().map_err(bind)?;
    let Invited { service, strings } = invite(Invitation {
        run,
        inventory,
        participants,
        listeners: vec![listener],
        advertised: vec![bound],
        own_addresses: vec![bound.ip()],
        join_timeout: JOIN_TIMEOUT,
    })?;
    sink.show(&Event::Listening {
        addresses: vec![bound.to_string()],
        expected: participants.len(),
        own: participants.contains(&NodeId::Coordinator),
        join_file: None,
        replaced: false,
    });
    // Namespaces are entered on threads that are waited for, so this blocks, too.
    let lab = tokio::task::spawn_blocking(move || -> Result<Lab, SwarmError> {
        let path = std::env::current_exe().map_err(|source| SwarmError::Probe {
            node: NodeId::Coordinator,
            source,
        })?;
        for (node, string) in strings {
            let program = Program {
                path: path.clone(),
                args: PROBE_ARGS.map(OsString::from).to_vec(),
                stdin: string.to_text().as_bytes().to_vec(),
                stderr: None,
            };
            lab.spawn_in(node, program)?;
        }
        Ok(lab)
    });
    let lab = lab.await.map_err(SwarmError::Thread)??;
    Ok(Swarm {
        service,
        join_timeout: JOIN_TIMEOUT,
        guard: Guard::Lab(Box::new(lab)),
    })
}

/// A hundred probes that start at once on two cores take a few seconds.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);
