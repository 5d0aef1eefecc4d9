//! Which tests a run makes: rules x nodes, kept as blocks (rule, sources, destinations) and expanded on demand, so that a
//! thousand nodes plan in a moment. The same inputs give the same plan, on the coordinator and in `plumbline verify`.
//!
//! # Families
//!
//! Every rule is planned once for each family in which the cluster's nodes speak ([`Inventory::families`]): that of the
//! file's addresses, and both where the file asks for dual stack. The admin workstation tests over the family of the file's
//! addresses only, since these are what it works with: `bmctl` and its users reach nodes by the addresses that they wrote,
//! never by those that probes find.
//!
//! # Vantages
//!
//! A vantage takes part as every other source: it asks what the rules ask of the sources that it stands for, over the family
//! of its address, and is asked nothing. `any_client` is every node, the workstation and every vantage that stands for it;
//! `admin_workstation` is the coordinator unless a vantage takes its place.
//!
//! # Sharing
//!
//! A rule of more than [`STRATA_ABOVE`] ports (NodePort) is shared among its sources, unless testing everything costs
//! little: within [`PAIR_PORTS_BUDGET`] tests where no rate is set (a lab), else if the longest source and the longest
//! pair are done within [`AFFORDABLE_SECONDS`] at the given rates. `--exhaustive` never shares. The choice is made once
//! for the whole plan, so that all large blocks of a report read the same.
//!
//! # Exposure
//!
//! A port of loopback scope must not answer over the network. Each destination is tried by one other node, the next one in
//! the order of ids ([`Sharing::One`]): whether a service listens at the data address is the same for everybody, and no node
//! is asked twice for it. `--exhaustive` lets everybody try. Such a port is bound by nobody, and pair-ports that stay untried
//! are not inferred: nothing is claimed about them.
//!
//! # Retests
//!
//! With [`Parameters::retest`] the plan holds exactly the listed tests, as far as rules still ask for them and their nodes
//! take part, and nothing is shared. A rule without a vantage is no test and is not listed again.

mod build;
mod index;
mod retest;
mod selection;

pub use self::{
    index::{Index, Load},
    selection::Selection,
};

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    errand::{self, Errands},
    evidence::Parameters,
    id::NodeId,
    inventory::Inventory,
    port::{Family, PortSet, Protocol},
    profile::{Destination, Profile, Severity, Source},
};

/// What a test is expected to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// The port answers.
    Open,
    /// The port does not answer.
    Blocked,
}

/// How a block's ports are shared among its sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// Every source tests every port.
    Exhaustive,
    /// Sources take disjoint strata, so that each port of each destination is tested by exactly one source; the pair-ports
    /// that stay untested count as `coverage.inferred`.
    Strata,
    /// Each destination is tested by one source: the next one after it in the order of ids, the first one after the last.
    One,
}

/// One rule over its sources and destinations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Block {
    /// The rule's id.
    pub rule: String,
    /// Family of the addresses.
    pub family: Family,
    /// Transport.
    pub protocol: Protocol,
    /// The rule's ports with variables filled in.
    pub ports: PortSet,
    /// How ports are shared among sources.
    pub sharing: Sharing,
    /// Who tests, ascending.
    pub sources: Vec<NodeId>,
    /// Who is tested, ascending. A node never tests itself.
    pub destinations: Vec<NodeId>,
    /// What is expected.
    pub expect: Expect,
    /// What a failure does to the verdict.
    pub severity: Severity,
    /// Whether the ports are served by Services where these exist ([`crate::profile::Rule::through_services`]).
    pub through_services: bool,
    /// The rule's purpose, for people.
    pub purpose: String,
}

/// A rule whose source nobody can stand for: listed, and a warning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NoVantage {
    /// The rule's id.
    pub rule: String,
    /// The source without a vantage.
    pub source: Source,
    /// Where the traffic would arrive.
    pub destination: Destination,
    /// Transport.
    pub protocol: Protocol,
    /// Ports.
    pub ports: PortSet,
    /// What would give a vantage.
    pub remedy: String,
}

/// A rule that the tables have and that no test is made of, since its protocol has no ports: listed, so that nobody takes
/// silence for a pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotTested {
    /// The rule's id.
    pub rule: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Where the traffic would arrive.
    pub destination: Destination,
    /// What a failure would do to the verdict.
    pub severity: Severity,
    /// The rule's purpose, for people.
    pub purpose: String,
}

/// What one source does toward a set of destinations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Family of the addresses.
    pub family: Family,
    /// Transport.
    pub protocol: Protocol,
    /// Ports to test.
    pub ports: PortSet,
    /// Whom, ascending.
    pub destinations: Vec<NodeId>,
}

/// The plan of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Who takes part, ascending: the nodes and vantages, and the coordinator where a rule needs it as a source; nobody if
    /// every check asked for is over the file. Blocks may name others; with these nothing is tested.
    pub participants: Vec<NodeId>,
    /// The tests, in the order of the profile's rules.
    pub blocks: Vec<Block>,
    /// Rules without a vantage.
    pub no_vantage: Vec<NoVantage>,
    /// Rules of protocols without ports; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_tested: Vec<NotTested>,
    /// What participants do beside the tests; absent if nobody does anything.
    #[serde(skip_serializing_if = "Errands::is_empty")]
    pub errands: Errands,
}

/// How many tests a plan holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Size {
    /// Distinct (source, destination, family, protocol, port) that are tested.
    pub tests: u64,
    /// Pair-ports that are left to inference.
    pub inferred: u64,
    /// Ordered pairs with at least one test.
    pub pairs: u64,
}

impl Plan {
    /// Plans a run. Pure and deterministic; a node's rules are the union over its roles and over its own version and the
    /// target's.
    pub fn new(inventory: &Inventory, profiles: &[Profile], parameters: &Parameters) -> Self {
        build::plan(inventory, profiles, parameters)
    }

    /// The same plan without some of its participants. Their shares of ranges, and what they alone would have tried, fall to
    /// the others, so that each port of each destination is still tested by somebody; what is not shared stays as it is.
    #[must_use]
    pub fn without(&self, left_out: &BTreeSet<NodeId>) -> Self {
        let those_who_stay = |nodes: &[NodeId]| -> Vec<NodeId> {
            let stays = |node: &&NodeId| !left_out.contains(*node);
            nodes.iter().filter(stays).copied().collect()
        };
        // Blocks in which nobody is left stay, so that every rule keeps its place.
        let without = |block: &Block| Block {
            sources: those_who_stay(&block.sources),
            destinations: those_who_stay(&block.destinations),
            ..block.clone()
        };
        Self {
            participants: those_who_stay(&self.participants),
            blocks: self.blocks.iter().map(without).collect(),
            no_vantage: self.no_vantage.clone(),
            not_tested: self.not_tested.clone(),
            errands: errand::without(&self.errands, left_out),
        }
    }

    /// What several questions about the plan share; cheap next to asking [`Plan::targets_from`] for every source.
    pub fn index(&self) -> Index<'_> {
        Index::new(self)
    }

    /// What this source tests: the union over its blocks, each (destination, protocol, port) once, grouped by equal ports.
    /// For many sources take [`Plan::index`] once and ask that.
    pub fn targets_from(&self, source: NodeId) -> Vec<Target> {
        self.index().targets_from(source)
    }

    /// The ports that this destination must answer on, which is what its responders bind. What must not answer is bound by
    /// nobody.
    pub fn ports_at(&self, destination: NodeId, family: Family, protocol: Protocol) -> PortSet {
        let mut ports = PortSet::new();
        for block in self.open_at(destination, family, protocol) {
            ports.extend(&block.ports);
        }
        ports
    }

    /// The ports among [`Plan::ports_at`] that only Services would serve: on a live node, those without a Service are not
    /// worth a test.
    pub fn service_ports_at(&self, destination: NodeId, family: Family, protocol: Protocol) -> PortSet {
        let (mut through, mut others) = (PortSet::new(), PortSet::new());
        for block in self.open_at(destination, family, protocol) {
            let ports = if block.through_services {
                &mut through
            } else {
                &mut others
            };
            ports.extend(&block.ports);
        }
        through.difference(&others)
    }

    /// Blocks of ports that this destination must answer on.
    fn open_at(
        &self,
        destination: NodeId,
        family: Family,
        protocol: Protocol,
    ) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(move |block| {
            (block.family, block.protocol, block.expect) == (family, protocol, Expect::Open)
                && block.is_at(destination)
        })
    }

    /// The blocks that test this port of this pair: the rules behind a result, in the profile's order.
    pub fn blocks_of(
        &self,
        source: NodeId,
        destination: NodeId,
        (family, protocol): (Family, Protocol),
        port: u16,
    ) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(move |block| {
            (block.family, block.protocol) == (family, protocol) && block.tests(source, destination, port)
        })
    }

    /// Whether somebody takes part.
    fn has(&self, node: NodeId) -> bool {
        self.participants.binary_search(&node).is_ok()
    }

    /// Counts.
    pub fn size(&self) -> Size {
        self.index().size()
    }
}

impl Block {
    /// The ports of this block that `source` tests at `destination`; empty if either is not in the block or both are one.
    pub fn ports_for(&self, source: NodeId, destination: NodeId) -> PortSet {
        match self.stratum(source, destination) {
            None => PortSet::new(),
            Some(stratum) => stratum.of(&self.ports),
        }
    }

    /// Those of the sources who may test this destination, itself perhaps among them: few where they share, so that walking
    /// all pairs of a large cluster is not needed.
    pub fn sources_at(&self, destination: NodeId) -> &[NodeId] {
        match (self.sharing, self.sources.len()) {
            (Sharing::One, 1..) => {
                let next = self.sources.partition_point(|source| *source <= destination) % self.sources.len();
                &self.sources[next..=next]
            }
            _ => &self.sources,
        }
    }

    /// Whether `source` tests this port at `destination`.
    pub fn tests(&self, source: NodeId, destination: NodeId, port: u16) -> bool {
        self.ports.contains(port)
            && self
                .stratum(source, destination)
                .is_some_and(|stratum| stratum.has(&self.ports, port))
    }

    /// Whether somebody tests somebody.
    fn has_pair(&self) -> bool {
        let mut destinations = self.destinations.iter();
        destinations.any(|destination| self.sources.iter().any(|source| source != destination))
    }

    /// Whether somebody tests this destination.
    fn is_at(&self, destination: NodeId) -> bool {
        self.destinations.binary_search(&destination).is_ok()
            && self.sources.iter().any(|source| *source != destination)
    }

    /// The share of `source` at `destination`; `None` if it tests nothing there.
    fn stratum(&self, source: NodeId, destination: NodeId) -> Option<Stratum> {
        if self.destinations.binary_search(&destination).is_err() {
            return None;
        }
        let rank = self.sources.binary_search(&source).ok()?;
        self.stratum_of(rank, destination)
    }

    /// As [`Block::stratum`], for a source by its rank and a node that is a destination.
    fn stratum_of(&self, rank: usize, destination: NodeId) -> Option<Stratum> {
        if self.sources[rank] == destination {
            return None;
        }
        match self.sharing {
            Sharing::Exhaustive => Some(Stratum::WHOLE),
            // The k-th of the n sources other than the destination.
            Sharing::Strata => {
                let own_rank = self.sources.binary_search(&destination);
                let is_before = own_rank.is_ok_and(|own_rank| own_rank < rank);
                Some(Stratum {
                    index: rank - usize::from(is_before),
                    count: self.sources.len() - usize::from(own_rank.is_ok()),
                })
            }
            Sharing::One => {
                let next = self.sources.partition_point(|source| *source <= destination);
                (next % self.sources.len() == rank).then_some(Stratum::WHOLE)
            }
        }
    }
}

/// A share of a set of ports: those at distance `index`, `index + count`, ... from the lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Stratum {
    index: usize,
    /// At least 1.
    count: usize,
}

impl Stratum {
    const WHOLE: Self = Self { index: 0, count: 1 };

    fn of(self, ports: &PortSet) -> PortSet {
        if self.count == 1 {
            return ports.clone();
        }
        let (Some(first), Some(last)) = (ports.ranges().first(), ports.ranges().last()) else {
            return PortSet::new();
        };
        // Stepping over the few ports of the share is cheaper than filtering all of them.
        (usize::from(first.first()) + self.index..=usize::from(last.last()))
            .step_by(self.count)
            .filter_map(|port| u16::try_from(port).ok())
            .filter(|port| ports.contains(*port))
            .collect()
    }

    fn has(self, ports: &PortSet, port: u16) -> bool {
        let first = ports.ranges().first().map_or(0, |range| range.first());
        usize::from(port.wrapping_sub(first)) % self.count == self.index
    }
}

/// A rule of more ports than this is shared among its sources. Every table row but NodePort has at most three ports, so
/// anything between three and the 2,768 of NodePort separates them; 64 leaves room for small ranges of other vendors.
pub const STRATA_ABOVE: u32 = 64;

/// Where no rate is set, a plan of at most this many tests is not shared: a lab on two cores makes ten thousand
/// connections a second and more, so this is a matter of ten seconds.
pub const PAIR_PORTS_BUDGET: u64 = 100_000;

/// With rates, a plan is not shared if nobody has to wait longer than this for its slowest source or pair: a minute is what
/// an administrator waits for without asking why. At the default rates the NodePort range of one pair alone takes 138 s.
pub const AFFORDABLE_SECONDS: u64 = 60;

#[cfg(test)]
mod tests;
