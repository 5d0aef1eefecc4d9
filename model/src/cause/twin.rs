//! One address on two hosts, and a router that answers in a host's place: what the hosts' own addresses and the neighbour
//! tables of those who asked tell.
//!
//! ```text
//!    asks 10.0.0.8 ----> [ 10.0.0.8 | member, MAC a ]      the neighbour table says b: b is
//!                   \--> [ 10.0.0.8 | twin,   MAC b ]      another member's, the gateway's, or a stranger's
//! ```
//!
//! It explains only what a wrong receiver explains: a wrong answer, a reset by somebody who was not asked, a question that
//! never reached its host, an answer that went elsewhere, or now the one and now the other. A table alone, while every test
//! passes, is no finding: a cloud's network answers for all of its hosts.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use crate::{
    id::NodeId,
    ledger::{Ledger, NodeLog},
    port::Family,
    verdict::{Cell, Mismatch, Outcome, PairVerdict, Spot},
};

use super::subnet::Subnets;

/// Who else has, or answers for, a node's data address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Twin {
    /// Another node has the address, too, by its own word or because its link address answers.
    Member(NodeId),
    /// A host that is no node answers for it, with this link address.
    Stranger(String),
    /// Somebody on its link answers in its place, and nobody's neighbour table tells who.
    Unknown,
    /// The gateway answers for it, with this link address: proxy ARP.
    Gateway(String),
}

/// The twins of every data address.
#[derive(Debug, Default)]
pub(super) struct Twins {
    /// Two hosts with one address: that holds for everybody who asks, whomever of the two he happens to know now.
    doubles: BTreeMap<(NodeId, Family), Twin>,
    /// Who has been told the gateway's link address for whose, and gets nothing through.
    proxied: BTreeMap<(NodeId, NodeId, Family), Twin>,
    /// Whose address a node puts on its questions to another, as it has that address on a smaller prefix than its own.
    speaks_as: BTreeMap<(NodeId, NodeId, Family), NodeId>,
}

impl Twins {
    pub(super) fn of(ledger: &Ledger<'_>, pairs: &[PairVerdict], subnets: &Subnets) -> Self {
        let owners = owners(ledger);
        let mut twins = Self::default();
        for (node, log) in &ledger.nodes {
            for own in addresses(log) {
                if let Some((owner, family)) = owners.get(&own.addr()).filter(|(owner, _)| owner != node) {
                    let twin = Twin::Member(*node);
                    twins.doubles.entry((*owner, *family)).or_insert(twin);
                    twins.add_what_speaks_as(*owner, (*node, log), own, &owners);
                }
            }
        }
        twins.ask_neighbors(ledger, &owners);
        for key in impersonated(pairs, subnets) {
            twins.doubles.entry(key).or_insert(Twin::Unknown);
        }
        if !twins.proxied.is_empty() {
            for pair in pairs {
                // A proxy that delivers is none that anybody suffers from.
                if pair.cells.iter().any(|cell| cell.outcome.is_open()) {
                    twins.proxied.remove(&(pair.src, pair.dst, pair.transport.0));
                }
            }
        }
        twins
    }

    /// A kernel speaks to a neighbour with its address on the smallest prefix that has the neighbour.
    fn add_what_speaks_as(
        &mut self,
        owner: NodeId,
        (twin, log): (NodeId, &NodeLog<'_>),
        double: IpNet,
        owners: &Owners,
    ) {
        for (address, (peer, family)) in owners {
            let is_smaller = |own: IpNet| own.contains(address) && own.prefix_len() >= double.prefix_len();
            let others = addresses(log).filter(|own| *own != double);
            if double.contains(address) && !others.into_iter().any(is_smaller) {
                self.speaks_as.insert((twin, *peer, *family), owner);
            }
        }
    }

    fn ask_neighbors(&mut self, ledger: &Ledger<'_>, owners: &Owners) {
        let macs: BTreeMap<NodeId, BTreeSet<&str>> = ledger
            .nodes
            .iter()
            .map(|(node, log)| (*node, macs(log)))
            .collect();
        for (asker, log) in &ledger.nodes {
            let Some(facts) = log.facts.map(|told| told.what) else {
                continue;
            };
            let of_gateways = facts
                .neighbors
                .iter()
                .filter(|entry| facts.gateways.contains(&entry.address));
            let gateways: BTreeSet<&str> = of_gateways.map(|entry| entry.mac.as_str()).collect();
            for entry in &facts.neighbors {
                let Some((owner, family)) = owners.get(&entry.address).filter(|(owner, _)| owner != asker)
                else {
                    continue;
                };
                // Of a host that told no link address any may be its own.
                let own = macs.get(owner).filter(|own| !own.is_empty());
                if own.is_none_or(|own| own.contains(entry.mac.as_str())) {
                    continue;
                }
                let is_its = |(_, macs): &(&NodeId, &BTreeSet<&str>)| macs.contains(entry.mac.as_str());
                let twin = match macs.iter().find(is_its) {
                    Some((member, _)) => Twin::Member(*member),
                    None if gateways.contains(entry.mac.as_str()) => {
                        let twin = Twin::Gateway(entry.mac.clone());
                        self.proxied.insert((*asker, *owner, *family), twin);
                        continue;
                    }
                    None => Twin::Stranger(entry.mac.clone()),
                };
                self.doubles.entry((*owner, *family)).or_insert(twin);
            }
        }
    }

    /// Whose address is double, and who is the other, if that explains what became of a test.
    pub(super) fn explain(&self, pair: &PairVerdict, cell: &Cell) -> Option<(NodeId, Twin)> {
        let (src, dst, family) = (pair.src, pair.dst, pair.transport.0);
        if asked_the_wrong_one(&cell.outcome, cell.spot) {
            let double = self.doubles.get(&(dst, family));
            if let Some(twin) = double.or_else(|| self.proxied.get(&(src, dst, family))) {
                return Some((dst, twin.clone()));
            }
        }
        if answered_the_wrong_one(&cell.outcome, cell.spot)
            && let Some(twin) = self.doubles.get(&(src, family))
        {
            return Some((src, twin.clone()));
        }
        let owner = self
            .speaks_as
            .get(&(src, dst, family))
            .filter(|_| came_as_another(&cell.outcome));
        owner.map(|owner| (*owner, Twin::Member(src)))
    }
}

/// Whose connections somebody on their own link resets now and then: no router is there who could, and a filter in a bridge
/// would always do it.
fn impersonated(pairs: &[PairVerdict], subnets: &Subnets) -> BTreeSet<(NodeId, Family)> {
    let (mut reset, mut lossy) = (BTreeSet::new(), BTreeSet::new());
    for pair in pairs {
        let (src, dst, family) = (pair.src, pair.dst, pair.transport.0);
        let place = subnets.get(dst, family);
        if place.is_none() || place != subnets.get(src, family) {
            continue;
        }
        for cell in &pair.cells {
            match (&cell.outcome, cell.spot) {
                // Where the host's own filter resets, a second look places it there.
                (Outcome::Rejected { icmp: None, .. }, Spot::Forward | Spot::Return | Spot::Unknown) => {
                    reset.insert((src, dst, family))
                }
                (Outcome::Lossy { .. }, _) => lossy.insert((src, dst, family)),
                _ => continue,
            };
        }
    }
    let both = reset.intersection(&lossy);
    both.map(|(_, dst, family)| (*dst, *family)).collect()
}

/// Whether somebody else in the destination's place explains it.
fn asked_the_wrong_one(outcome: &Outcome, spot: Spot) -> bool {
    match outcome {
        Outcome::IdentityMismatch { how } => matches!(how, Mismatch::Unproven | Mismatch::Unverified),
        // The twin's own questions to that address never leave it.
        Outcome::Closed
        | Outcome::FilteredForward
        | Outcome::NeighborUnresolved
        | Outcome::LocalBlocked
        | Outcome::Lossy { .. }
        // The twin refuses in the destination's name.
        | Outcome::Rejected { .. } => true,
        Outcome::Filtered => matches!(spot, Spot::Unknown | Spot::Forward),
        Outcome::Open
        | Outcome::OpenUnverified
        | Outcome::FilteredReturn
        | Outcome::NoRoute
        | Outcome::Resource { .. }
        | Outcome::NotMeasured(_) => false,
    }
}

/// Whether an answer to somebody else in the source's place explains it.
fn answered_the_wrong_one(outcome: &Outcome, spot: Spot) -> bool {
    match outcome {
        Outcome::NeighborUnresolved | Outcome::Lossy { .. } => true,
        Outcome::FilteredReturn => spot != Spot::SourceIn,
        Outcome::Filtered => matches!(spot, Spot::Unknown | Spot::Return),
        // A stray answer makes the twin reset what it does not know.
        Outcome::Rejected { icmp: None, .. } => true,
        _ => false,
    }
}

/// Whether a question under another node's address explains it.
fn came_as_another(outcome: &Outcome) -> bool {
    let unproven = Outcome::IdentityMismatch {
        how: Mismatch::Unproven,
    };
    *outcome == unproven
        || matches!(
            outcome,
            Outcome::FilteredForward
                | Outcome::Filtered
                | Outcome::FilteredReturn
                | Outcome::NeighborUnresolved
                | Outcome::Rejected { .. }
                | Outcome::Lossy { .. }
        )
}

type Owners = BTreeMap<IpAddr, (NodeId, Family)>;

/// Every data address with its node.
fn owners(ledger: &Ledger<'_>) -> Owners {
    let families = [Family::Ipv4, Family::Ipv6];
    let nodes = ledger.nodes.keys();
    nodes
        .flat_map(|node| families.map(|family| (*node, family)))
        .filter_map(|(node, family)| Some((ledger.data_address(node, family)?, (node, family))))
        .collect()
}

/// Every address of a host, with its prefix.
fn addresses<'l>(log: &'l NodeLog<'_>) -> impl Iterator<Item = IpNet> + 'l {
    let interfaces = log.facts.map_or(&[][..], |facts| &facts.what.interfaces);
    let written = interfaces.iter().flat_map(|interface| &interface.addresses);
    written.filter_map(|with_length| with_length.parse().ok())
}

/// Every link address of a host: bond slaves' and further interfaces' are its own.
fn macs<'l>(log: &NodeLog<'l>) -> BTreeSet<&'l str> {
    let interfaces = log.facts.map_or(&[][..], |facts| &facts.what.interfaces);
    let macs = interfaces.iter().map(|interface| interface.mac.as_str());
    macs.filter(|mac| !mac.is_empty() && *mac != NO_MAC).collect()
}

/// What loopback has for a link address.
const NO_MAC: &str = "00:00:00:00:00:00";
