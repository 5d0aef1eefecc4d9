//! Many questions to one plan: destinations that every block treats alike are looked at once.

use std::collections::{BTreeMap, BTreeSet};

use super::{Block, Expect, Plan, Sharing, Size, Stratum, Target};
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
    /// Blocks with these destinations, ascending.
    blocks: Vec<usize>,
    /// Ascending.
    nodes: Vec<NodeId>,
}

/// What a source has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Tests in all.
    pub tests: u64,
    /// Of these, tests over UDP.
    pub udp: u64,
    /// Of these, tests over IPv6.
    pub ipv6: u64,
    /// Tests of its longest pair.
    pub longest_pair: u64,
    /// Destinations.
    pub pairs: u64,
}

/// What one source asks of nodes that it asks the same.
#[derive(Debug)]
pub(crate) struct Asked<'i> {
    /// Family and transport.
    pub(crate) transport: Transport,
    /// Blocks by index with the source's share, which may be empty where ports are shared: others of the block may be asked
    /// in the course of a run.
    pub(crate) shares: Vec<(usize, PortSet)>,
    /// Whom, ascending.
    pub(crate) nodes: &'i [NodeId],
}

/// Family and transport of a set of ports.
type Transport = (Family, Protocol);

impl<'a> Index<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        // The flag keeps nodes apart that are sources of a block and nodes that are not: their shares differ.
        let mut blocks_at: Vec<Vec<(usize, bool)>> = vec![Vec::new(); plan.participants.len()];
        for (index, block) in plan.blocks.iter().enumerate() {
            // All three ascend, so that one walk beside each other finds what they have in common.
            let mut destinations = block.destinations.iter().copied().peekable();
            let mut sources = block.sources.iter().copied().peekable();
            for (node, blocks) in plan.participants.iter().zip(&mut blocks_at) {
                while destinations.next_if(|other| other < node).is_some() {}
                while sources.next_if(|other| other < node).is_some() {}
                if destinations.peek() == Some(node) {
                    blocks.push((index, sources.peek() == Some(node)));
                }
            }
        }
        let mut kinds: BTreeMap<Vec<(usize, bool)>, Vec<NodeId>> = BTreeMap::new();
        for (node, blocks) in plan.participants.iter().zip(blocks_at) {
            if !blocks.is_empty() {
                kinds.entry(blocks).or_default().push(*node);
            }
        }
        let kinds = kinds
            .into_iter()
            .map(|(blocks, nodes)| Kind {
                blocks: blocks.into_iter().map(|(index, _)| index).collect(),
                nodes,
            })
            .collect();
        Self { plan, kinds }
    }

    /// Everybody who tests something, ascending.
    pub fn sources(&self) -> BTreeSet<NodeId> {
        let sources = self.plan.blocks.iter().flat_map(|block| block.sources.iter());
        sources.copied().filter(|node| self.plan.has(*node)).collect()
    }

    /// As [`Plan::targets_from`].
    pub fn targets_from(&self, source: NodeId) -> Vec<Target> {
        let view = View::of(self.plan, source);
        let mut targets: BTreeMap<(Transport, PortSet), Vec<NodeId>> = BTreeMap::new();
        for (kind, nodes) in self.segments(&view) {
            for (transport, ports) in view.ports(kind, nodes, Shares::AsPlanned) {
                if !ports.is_empty() {
                    targets.entry((transport, ports)).or_default().extend(nodes);
                }
            }
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

    /// What the source asks, block by block; destinations that are asked the same are together.
    pub(crate) fn asked_by(&self, source: NodeId) -> Vec<Asked<'_>> {
        let view = View::of(self.plan, source);
        let mut out = Vec::new();
        for (kind, nodes) in self.segments(&view) {
            let mut shares: BTreeMap<Transport, Vec<(usize, PortSet)>> = BTreeMap::new();
            for (index, block, stratum) in view.strata(kind, nodes, Shares::AsPlanned) {
                let ports = stratum.of(&block.ports);
                if !ports.is_empty() || block.sharing == Sharing::Strata {
                    let of_transport = shares.entry((block.family, block.protocol)).or_default();
                    of_transport.push((index, ports));
                }
            }
            out.extend(shares.into_iter().map(|(transport, shares)| Asked {
                transport,
                shares,
                nodes,
            }));
        }
        out
    }

    /// What the source does.
    pub fn planned_load(&self, source: NodeId) -> Load {
        self.load_of(source, Shares::AsPlanned)
    }

    /// What the source would do if nothing were shared.
    pub(super) fn load(&self, source: NodeId) -> Load {
        self.load_of(source, Shares::Everything)
    }

    fn load_of(&self, source: NodeId, shares: Shares) -> Load {
        // A pair may have tests of several transports, so destinations are counted by kind and segment, not by entry.
        let view = View::of(self.plan, source);
        let mut load = Load::default();
        for (kind, nodes) in self.segments(&view) {
            let ports = view.ports(kind, nodes, shares);
            let each_of = |is_meant: fn(&Transport) -> bool| -> u64 {
                let meant = ports.iter().filter(|(transport, _)| is_meant(transport));
                meant.map(|(_, ports)| u64::from(ports.count())).sum()
            };
            let each = each_of(|_| true);
            let nodes = nodes.len() as u64;
            if each > 0 {
                load.tests += each * nodes;
                load.udp += each_of(|(_, protocol)| *protocol == Protocol::Udp) * nodes;
                load.ipv6 += each_of(|(family, _)| *family == Family::Ipv6) * nodes;
                load.pairs += nodes;
                load.longest_pair = load.longest_pair.max(each);
            }
        }
        load
    }

    /// Runs of nodes of a kind that every block treats alike as destinations of the source, which is in none of them.
    fn segments(&self, view: &View<'_>) -> Vec<(&Kind, &[NodeId])> {
        let mut out = Vec::new();
        for kind in &self.kinds {
            let before = |node: NodeId| kind.nodes.partition_point(|other| *other < node);
            let own = before(view.source);
            let after = own + usize::from(kind.nodes.get(own) == Some(&view.source));
            let mut cuts = BTreeSet::from([0, own, after, kind.nodes.len()]);
            cuts.extend(view.predecessors(kind).into_iter().map(before));
            let cuts: Vec<usize> = cuts.into_iter().collect();
            let runs = cuts.windows(2).map(|ends| (ends[0], ends[1]));
            let others = runs.filter(|run| *run != (own, own + 1) || own == after);
            out.extend(others.map(|(start, end)| (kind, &kind.nodes[start..end])));
        }
        out
    }
}

/// One source's place in the blocks of a plan.
struct View<'a> {
    plan: &'a Plan,
    source: NodeId,
    /// By block; absent where it is no source.
    ranks: Vec<Option<usize>>,
}

impl<'a> View<'a> {
    fn of(plan: &'a Plan, source: NodeId) -> Self {
        let rank = |block: &Block| block.sources.binary_search(&source).ok();
        let ranks = if plan.has(source) {
            plan.blocks.iter().map(rank).collect()
        } else {
            vec![None; plan.blocks.len()]
        };
        Self { plan, source, ranks }
    }

    /// The sources before this one (the last, before the first) in blocks of which it tests what follows these.
    fn predecessors(&self, kind: &Kind) -> BTreeSet<NodeId> {
        let blocks = kind
            .blocks
            .iter()
            .map(|index| (&self.plan.blocks[*index], self.ranks[*index]));
        let ones = blocks.filter(|(block, _)| block.sharing == Sharing::One);
        ones.filter_map(|(block, rank)| {
            let before = rank?.checked_sub(1).unwrap_or(block.sources.len() - 1);
            Some(block.sources[before])
        })
        .collect()
    }

    /// What the blocks of a kind ask of nodes that they treat alike.
    fn strata(
        &self,
        kind: &Kind,
        nodes: &[NodeId],
        shares: Shares,
    ) -> impl Iterator<Item = (usize, &'a Block, Stratum)> {
        let like = nodes.first().copied();
        kind.blocks.iter().filter_map(move |index| {
            let block = &self.plan.blocks[*index];
            let rank = self.ranks[*index]?;
            // Nothing is claimed about a port that must not answer and was not tried.
            let stratum = match (shares, block.expect) {
                (Shares::Everything, Expect::Open) => Stratum::WHOLE,
                _ => block.stratum_of(rank, like?)?,
            };
            Some((*index, block, stratum))
        })
    }

    /// The union of the blocks' shares at nodes that they treat alike.
    fn ports(&self, kind: &Kind, nodes: &[NodeId], shares: Shares) -> BTreeMap<Transport, PortSet> {
        let mut union: BTreeMap<Transport, PortSet> = BTreeMap::new();
        for (_, block, stratum) in self.strata(kind, nodes, shares) {
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
