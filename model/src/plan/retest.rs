//! A plan cut down to tests of an earlier run.

use std::collections::{BTreeMap, BTreeSet};

use super::{Block, Plan, Sharing};
use crate::{
    evidence::Retest,
    id::NodeId,
    port::{Family, PortSet, Protocol},
};

/// Listed tests by transport and ordered pair.
type Listed = BTreeMap<(Family, Protocol), BTreeMap<(NodeId, NodeId), PortSet>>;

/// Keeps exactly the listed tests, with the rules that ask for them, and those who make them.
pub(super) fn restrict(plan: &mut Plan, retest: &Retest) {
    let mut listed = Listed::new();
    for test in &retest.tests {
        let pairs = listed.entry((test.family, test.protocol)).or_default();
        pairs.entry((test.src, test.dst)).or_default().extend(&test.ports);
    }
    plan.blocks = plan.blocks.iter().flat_map(|block| cut(block, &listed)).collect();
    let ends = plan
        .blocks
        .iter()
        .flat_map(|block| block.sources.iter().chain(&block.destinations));
    let participants: BTreeSet<NodeId> = ends.copied().collect();
    plan.participants = participants.into_iter().collect();
    plan.no_vantage.clear();
    plan.not_tested.clear();
}

/// The block's listed tests as few blocks: destinations that the same sources test on the same ports are together, so that
/// a host that failed from everywhere is one block.
fn cut(block: &Block, listed: &Listed) -> Vec<Block> {
    let Some(pairs) = listed.get(&(block.family, block.protocol)) else {
        return Vec::new();
    };
    let mut by_destination: BTreeMap<(NodeId, PortSet), BTreeSet<NodeId>> = BTreeMap::new();
    for ((src, dst), ports) in pairs {
        let ports = ports.intersection(&block.ports);
        let is_asked = src != dst
            && !ports.is_empty()
            && block.sources.binary_search(src).is_ok()
            && block.destinations.binary_search(dst).is_ok();
        if is_asked {
            by_destination.entry((*dst, ports)).or_default().insert(*src);
        }
    }
    let mut together: BTreeMap<(PortSet, BTreeSet<NodeId>), Vec<NodeId>> = BTreeMap::new();
    for ((dst, ports), mut sources) in by_destination {
        // Nobody tests itself: with itself among the sources, a node of a mesh has the same sources as the others.
        if block.sources.binary_search(&dst).is_ok() {
            sources.insert(dst);
        }
        together.entry((ports, sources)).or_default().push(dst);
    }
    let blocks = together.into_iter().map(|((ports, mut sources), destinations)| {
        if let [alone] = destinations[..] {
            sources.remove(&alone);
        }
        Block {
            ports,
            sources: sources.into_iter().collect(),
            destinations,
            sharing: Sharing::Exhaustive,
            ..block.clone()
        }
    });
    blocks.collect()
}
