//! What `plumbline demo` shows: a sample cluster, the faults that are planted in its lab, and whether the audit found exactly
//! these. Pure but for the two texts that are compiled in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
};

use plumbline_lab::Fault;
use plumbline_model::{
    cause::CauseKind,
    id::NodeId,
    port::PortSet,
    report::{Report, Status},
    source::SourceText,
};
use serde::Deserialize;

/// The sample cluster: three control plane nodes, two load balancers, four workers over two subnets.
pub(crate) fn cluster() -> SourceText {
    SourceText {
        name: "demo/cluster.yaml".to_owned(),
        text: CLUSTER.to_owned(),
    }
}

/// The faults of the demonstration.
pub(crate) fn planted() -> Vec<Planted> {
    serde_json::from_str(FAULTS).expect("demo/faults.json is compiled in, and a test reads it")
}

/// One fault with the finding that it must lead to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Planted {
    /// In words.
    pub(crate) what: String,
    /// What is planted.
    pub(crate) fault: Fault,
    /// What must be found.
    pub(crate) finding: Signature,
}

/// A finding as far as the demonstration compares it: kind, place and ports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signature {
    /// What kind of thing is wrong.
    kind: CauseKind,
    /// The node to touch.
    #[serde(default)]
    node: Option<NodeId>,
    /// Sources and destinations of a cause between nodes.
    #[serde(default)]
    between: Option<[BTreeSet<NodeId>; 2]>,
    /// The ports under it.
    ports: PortSet,
}

/// Planted against found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// Each planted fault, with the finding that names it.
    rows: Vec<(Planted, Option<String>)>,
    /// Findings that nothing was planted for.
    invented: Vec<(String, Signature)>,
}

impl Comparison {
    /// Compares a report with what was planted. What only warns about the sample file (a source that nobody can stand for) is no
    /// finding about the network.
    pub(crate) fn new(planted: Vec<Planted>, report: &Report) -> Self {
        let mut found: BTreeMap<Signature, String> = report
            .findings
            .iter()
            .filter(|finding| matches!(finding.status, Status::Fail | Status::NotMeasured))
            .map(|finding| (Signature::of(finding), finding.id.clone()))
            .collect();
        let rows = planted.into_iter().map(|planted| {
            let id = found.remove(&planted.finding);
            (planted, id)
        });
        let rows = rows.collect();
        Self {
            rows,
            invented: found.into_iter().map(|(signature, id)| (id, signature)).collect(),
        }
    }

    /// Whether everything planted was found, and nothing else.
    pub(crate) fn is_exact(&self) -> bool {
        self.invented.is_empty() && self.rows.iter().all(|(_, id)| id.is_some())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (planted, id) in &self.rows {
            let found = id
                .as_ref()
                .map_or_else(|| "MISSED".to_owned(), |id| format!("found as {id}"));
            writeln!(f, "  planted: {}\n           {found}", planted.what)?;
        }
        for (id, signature) in &self.invented {
            writeln!(f, "  NOT PLANTED, but found as {id}: {signature}")?;
        }
        let verdict = if self.is_exact() {
            "found exactly what was planted"
        } else {
            "found something else than was planted"
        };
        write!(f, "{verdict}")
    }
}

impl Signature {
    fn of(finding: &plumbline_model::report::Finding) -> Self {
        let side = |nodes: &Vec<NodeId>| nodes.iter().copied().collect();
        Self {
            kind: finding.cause.kind,
            node: finding.cause.node,
            between: finding
                .cause
                .between
                .as_ref()
                .map(|[from, to]| [side(from), side(to)]),
            ports: finding.affects.iter().map(|affect| affect.port).collect(),
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |nodes: &BTreeSet<NodeId>| {
            let mut text = String::new();
            for node in nodes {
                // Writing to a string does not fail.
                let _ = write!(text, " {node}");
            }
            text
        };
        write!(f, "{:?}", self.kind)?;
        if let Some(node) = self.node {
            write!(f, " on {node}")?;
        }
        if let Some([from, to]) = &self.between {
            write!(f, " from{} to{}", list(from), list(to))?;
        }
        write!(f, ", ports {}", self.ports)
    }
}

const CLUSTER: &str = include_str!("../demo/cluster.yaml");
const FAULTS: &str = include_str!("../demo/faults.json");

#[cfg(test)]
mod tests {
    use plumbline_model::{cluster, inventory::Inventory};

    use super::*;

    #[test]
    fn the_sample_reads_and_has_nine_nodes_in_two_subnets() {
        let inventory = Inventory::derive(&cluster::read(&cluster()).unwrap().cluster);
        assert_eq!(inventory.nodes.len(), 9);
        let addresses: Vec<_> = inventory
            .nodes
            .iter()
            .filter_map(|node| node.id.address())
            .collect();
        let topology =
            plumbline_lab::Topology::from_addresses(&addresses, &[], plumbline_lab::Stack::Single).unwrap();
        assert_eq!(topology.subnets().len(), 2);
    }

    #[test]
    fn three_faults_of_different_kinds_are_planted() {
        let kinds: BTreeSet<CauseKind> = planted().iter().map(|planted| planted.finding.kind).collect();
        assert_eq!(kinds.len(), 3);
    }
}
