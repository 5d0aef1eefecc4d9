//! Which tests a run makes: rules x nodes, kept as blocks (rule, sources, destinations) and expanded on demand, so that a
//! thousand nodes plan in a moment. The same inputs give the same plan, on the coordinator and in `plumbline verify`.

use serde::{Deserialize, Serialize};

use crate::{
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
    /// Who takes part, ascending: the nodes, and the coordinator where a rule needs it as a source.
    pub participants: Vec<NodeId>,
    /// The tests, in the order of the profile's rules.
    pub blocks: Vec<Block>,
    /// Rules without a vantage.
    pub no_vantage: Vec<NoVantage>,
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
        let _ = (inventory, profiles, parameters);
        unimplemented!("owned by the inputs step")
    }

    /// What this source tests: the union over its blocks, each (destination, protocol, port) once, grouped by equal ports.
    pub fn targets_from(&self, source: NodeId) -> Vec<Target> {
        let _ = source;
        unimplemented!("owned by the inputs step")
    }

    /// The ports that this destination must answer on, which is what its responders bind.
    pub fn ports_at(&self, destination: NodeId, protocol: Protocol) -> PortSet {
        let _ = (destination, protocol);
        unimplemented!("owned by the inputs step")
    }

    /// Counts.
    pub fn size(&self) -> Size {
        unimplemented!("owned by the inputs step")
    }
}

impl Block {
    /// The ports of this block that `source` tests at `destination`; empty if either is not in the block or both are one.
    pub fn ports_for(&self, source: NodeId, destination: NodeId) -> PortSet {
        let _ = (source, destination);
        unimplemented!("owned by the inputs step")
    }
}
