//! What `plumbline demo` shows: a sample cluster, the faults that are planted in its lab, and whether the audit found exactly
//! these. Pure but for the texts that are compiled in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
};

use clap::ValueEnum;
use plumbline_lab::Fault;
use plumbline_model::{
    cause::CauseKind,
    id::NodeId,
    port::PortSet,
    report::{Report, Status},
    source::SourceText,
};
use serde::Deserialize;

/// A cluster that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Sample {
    /// GDC bare metal: three control plane nodes, two load balancers, four workers over two subnets.
    #[default]
    Gdc,
    /// kubeadm with Cilium: three control plane nodes and three workers over two racks.
    KubeadmCilium,
    /// K3s: three servers and three agents over two sites.
    K3s,
}

impl Sample {
    #[cfg(test)]
    const ALL: [Self; 3] = [Self::Gdc, Self::KubeadmCilium, Self::K3s];

    fn texts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Gdc => (
                "demo/cluster.yaml",
                include_str!("../demo/cluster.yaml"),
                include_str!("../demo/faults.json"),
            ),
            Self::KubeadmCilium => (
                "demo/kubeadm-cilium.yaml",
                include_str!("../demo/kubeadm-cilium.yaml"),
                include_str!("../demo/kubeadm-cilium-faults.json"),
            ),
            Self::K3s => (
                "demo/k3s.yaml",
                include_str!("../demo/k3s.yaml"),
                include_str!("../demo/k3s-faults.json"),
            ),
        }
    }

    /// Its file.
    pub(crate) fn cluster(self) -> SourceText {
        let (name, text, _) = self.texts();
        SourceText {
            name: name.to_owned(),
            text: text.to_owned(),
        }
    }

    /// The faults that are planted in its lab.
    pub(crate) fn planted(self) -> Vec<Planted> {
        let (_, _, faults) = self.texts();
        serde_json::from_str(faults).expect("faults are compiled in, and a test reads them")
    }
}

/// The sample cluster of GDC.
#[cfg(test)]
pub(crate) fn cluster() -> SourceText {
    Sample::Gdc.cluster()
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

#[cfg(test)]
mod tests {
    use plumbline_model::input::{self, InputText, Purpose};

    use super::*;

    #[test]
    fn every_sample_reads_and_lies_in_two_subnets() {
        for (sample, nodes) in Sample::ALL.into_iter().zip([9, 6, 6]) {
            let text = InputText::new(Purpose::Cluster, sample.cluster());
            let inventory = input::read(&[text], &[]).unwrap().inventory;
            assert_eq!(inventory.nodes.len(), nodes, "{sample:?}");
            let addresses: Vec<_> = inventory
                .nodes
                .iter()
                .filter_map(|node| node.id.address())
                .collect();
            let topology =
                plumbline_lab::Topology::from_addresses(&addresses, &[], plumbline_lab::Stack::Single)
                    .unwrap();
            assert_eq!(topology.subnets().len(), 2, "{sample:?}");
        }
    }

    #[test]
    fn three_faults_of_different_kinds_are_planted_in_each() {
        for sample in Sample::ALL {
            let planted = sample.planted();
            let kinds: BTreeSet<CauseKind> = planted.iter().map(|planted| planted.finding.kind).collect();
            assert_eq!((planted.len(), kinds.len()), (3, 3), "{sample:?}");
        }
    }
}
