//! A transfer through a real tunnel, with `--active`: whether what the cluster's overlay will send arrives whole. ICMP through
//! a tunnel works where a network card breaks checksums or segments of what is inside, TCP does not.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Commission, Errand, Errands};
use crate::{
    evidence::Group,
    id::NodeId,
    inventory::Inventory,
    port::{Family, Protocol},
    profile::{PortSpec, Profile, Rule},
};

/// One end's part in a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TunnelErrand {
    /// Which turn of the run it is; both ends are given theirs together.
    pub turn: u32,
    /// How packets are wrapped.
    pub encapsulation: Encapsulation,
    /// The UDP port of the tunnel, free on both ends.
    pub port: u16,
    /// The other end.
    pub peer: NodeId,
    /// Whether this end takes the transfer; the other one sends it.
    pub takes: bool,
}

/// How packets are wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encapsulation {
    /// RFC 7348.
    Vxlan,
    /// RFC 8926.
    Geneve,
}

impl Encapsulation {
    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vxlan => "VXLAN",
            Self::Geneve => "GENEVE",
        }
    }
}

/// Gives out the transfers: a ring over a sample of the nodes, so that each of the sample is once at either end.
pub(super) fn plan(commission: &Commission<'_>, errands: &mut Errands) {
    if !commission.asks_for(Group::Host) {
        return;
    }
    let Some((encapsulation, port)) = overlay_of(commission.inventory, commission.profiles) else {
        return;
    };
    let nodes: Vec<NodeId> = commission.nodes().collect();
    let step = nodes.len().div_ceil(MAX_ENDS).max(1);
    let sample: Vec<NodeId> = nodes.into_iter().step_by(step).collect();
    if sample.len() < 2 {
        return;
    }
    let ring = sample.iter().zip(sample.iter().cycle().skip(1));
    // A ring of two is one pair.
    let pairs = if sample.len() == 2 { 1 } else { sample.len() };
    for (turn, (from, to)) in (FIRST_TURN..).zip(ring).take(pairs) {
        for (node, peer, takes) in [(*to, *from, true), (*from, *to, false)] {
            errands
                .entry(node)
                .or_default()
                .push(Errand::Tunnel(TunnelErrand {
                    turn,
                    encapsulation,
                    port,
                    peer,
                    takes,
                }));
        }
    }
}

/// The overlay's port among the rules that hold for this cluster: which encapsulation it is, its number says (RFC 7348, RFC
/// 8926, and what Linux and Cilium take for VXLAN).
pub(crate) fn overlay_of(inventory: &Inventory, profiles: &[Profile]) -> Option<(Encapsulation, u16)> {
    let has_ipv4 = inventory.listed_families().contains(&Family::Ipv4);
    let known = [
        (Encapsulation::Geneve, GENEVE_PORT),
        (Encapsulation::Vxlan, CILIUM_VXLAN_PORT),
        (Encapsulation::Vxlan, VXLAN_PORT),
    ];
    let rules = || profiles.iter().flat_map(|profile| &profile.rules);
    let in_force = |rule: &&Rule| {
        rule.protocol == Protocol::Udp
            && rule.applies_to(inventory.version.minor())
            && rule.holds_for(inventory)
    };
    let tables = rules().filter(in_force).flat_map(|rule| &rule.ports);
    let ports: BTreeSet<u16> = tables
        .filter_map(|spec| match spec {
            PortSpec::Range(range) if range.first() == range.last() => Some(range.first()),
            _ => None,
        })
        .collect();
    known
        .into_iter()
        .find(|(_, port)| has_ipv4 && ports.contains(port))
}

impl TunnelErrand {
    /// Whether anything is left to do when these are left out.
    pub(super) fn is_void(&self, left_out: &BTreeSet<NodeId>) -> bool {
        left_out.contains(&self.peer)
    }
}

/// Octets of a transfer.
pub const TRANSFER_OCTETS: u64 = 10_000_000;

/// How long a transfer may take at most, in milliseconds; a hundredth of the slowest supported link needs a tenth of it.
pub const MAX_TRANSFER_MS: u32 = 10_000;

/// Nodes that are ends of transfers at most.
const MAX_ENDS: usize = 8;

/// Turns of tunnels come behind those of VIPs, of which there are a handful.
const FIRST_TURN: u32 = 1_000;

const GENEVE_PORT: u16 = 6081;
const CILIUM_VXLAN_PORT: u16 = 8472;
const VXLAN_PORT: u16 = 4789;
