//! Many questions to one plan: destinations that every block treats alike are looked at once.

use std::collections::{BTreeMap, BTreeSet};

use super::{Plan, Size, Stratum, Target};
use crate::{
    id::NodeId,
    port::{Family, PortSet, Protocol},
};

/// A plan with its destinations sorted into kinds.
#[derive(Debug)]
pub struct Index<'a> {
    plan: &'a Plan,
    kinds: Vec<Kind>,
}

/// Nodes that are a destination of the same blocks and a source of the same blocks among these.
#[derive(Debug)]
struct Kind {
    /// Blocks with these destinations, and whether the nodes are sources there, too.
    blocks: Vec<(usize, bool)>,
    /// Ascending.
    nodes: Vec<NodeId>,
}

/// What a source has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Load {
    /// Tests in all.
    pub(super) tests: u64,
    /// Tests of its longest pair.
    pub(super) longest_pair: u64,
    /// Destinations.
    pub(super) pairs: u64,
}

/// Family and transport of a set of ports.
type Transport = (Family, Protocol);

impl<'a> Index<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        let mut blocks_at: BTreeMap<NodeId, Vec<(usize, bool)>> = BTreeMap::new();
        for (index, block) in plan.blocks.iter().enumerate() {
            for destination in &block.destinations {
                let is_source = block.sources.binary_search(destination).is_ok();
                blocks_at
                    .entry(*destination)
                    .or_default()
                    .push((index, is_source));
            }
        }
        let mut kinds: BTreeMap<Vec<(usize, bool)>, Vec<NodeId>> = BTreeMap::new();
        for (node, blocks) in blocks_at {
            kinds.entry(blocks).or_default().push(node);
        }
        let kinds = kinds
            .into_iter()
            .map(|(blocks, nodes)| Kind { blocks, nodes })
            .collect();
        Self { plan, kinds }
    }

    /// Everybody who tests something, ascending.
    pub fn sources(&self) -> BTreeSet<NodeId> {
        self.plan
            .blocks
            .iter()
            .flat_map(|block| block.sources.iter().copied())
            .collect()
    }

    /// As [`Plan::targets_from`].
    pub fn targets_from(&self, source: NodeId) -> Vec<Target> {
        let mut targets: BTreeMap<(Transport, PortSet), Vec<NodeId>> = BTreeMap::new();
        for (transport, ports, nodes) in self.shares(source, Shares::AsPlanned) {
            targets.entry((transport, ports)).or_default().extend(nodes);
        }
        targets
            .into_iter()
            .map(|(((family, protocol), ports), mut destinations)| {
                destinations.sort_unstable();
                Target {
                    family,
                    protocol,
                    ports,
                    destinations,
                }
            })
            .collect()
    }

    /// As [`Plan::size`].
    pub fn size(&self) -> Size {
        let mut size = Size::default();
        for source in self.sources() {
            let planned = self.load_of(source, Shares::AsPlanned);
            size.tests += planned.tests;
            size.pairs += planned.pairs;
            size.inferred += self.load_of(source, Shares::Everything).tests - planned.tests;
        }
        size
    }

    /// What the source would do if nothing were shared.
    pub(super) fn load(&self, source: NodeId) -> Load {
        self.load_of(source, Shares::Everything)
    }

    fn load_of(&self, source: NodeId, shares: Shares) -> Load {
        // A pair may have tests of several transports, so destinations are counted by kind and side, not by entry.
        let mut load = Load::default();
        for kind in &self.kinds {
            for (side, nodes) in kind.sides(source) {
                let ports = self.ports(kind, source, side, shares);
                let each: u64 = ports.values().map(|ports| u64::from(ports.count())).sum();
                let nodes = nodes.len() as u64;
                if each > 0 {
                    load.tests += each * nodes;
                    load.pairs += nodes;
                    load.longest_pair = load.longest_pair.max(each);
                }
            }
        }
        load
    }

    /// What the source tests at which nodes.
    fn shares(&self, source: NodeId, shares: Shares) -> Vec<(Transport, PortSet, &[NodeId])> {
        let mut out = Vec::new();
        for kind in &self.kinds {
            for (side, nodes) in kind.sides(source) {
                for (transport, ports) in self.ports(kind, source, side, shares) {
                    if !ports.is_empty() {
                        out.push((transport, ports, nodes));
                    }
                }
            }
        }
        out
    }

    /// The union of the blocks' shares at the nodes of a kind on one side of the source.
    fn ports(&self, kind: &Kind, source: NodeId, side: Side, shares: Shares) -> BTreeMap<Transport, PortSet> {
        let mut union: BTreeMap<Transport, PortSet> = BTreeMap::new();
        for (index, is_source) in &kind.blocks {
            let block = &self.plan.blocks[*index];
            let Ok(rank) = block.sources.binary_search(&source) else {
                continue;
            };
            let stratum = match shares {
                Shares::AsPlanned => block.stratum_of(rank, *is_source, side == Side::Before),
                Shares::Everything => Stratum { index: 0, count: 1 },
            };
            union
                .entry((block.family, block.protocol))
                .or_default()
                .extend(&stratum.of(&block.ports));
        }
        union
    }
}

/// Whether sharing counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shares {
    AsPlanned,
    Everything,
}

/// Where destinations stand from a source, in the order of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

impl Kind {
    /// The nodes before and after the source, where there are any; the source itself is in neither.
    fn sides(&self, source: NodeId) -> impl Iterator<Item = (Side, &[NodeId])> {
        let start = self.nodes.partition_point(|node| *node < source);
        let end = self.nodes.partition_point(|node| *node <= source);
        [
            (Side::Before, &self.nodes[..start]),
            (Side::After, &self.nodes[end..]),
        ]
        .into_iter()
        .filter(|(_, nodes)| !nodes.is_empty())
    }
}
