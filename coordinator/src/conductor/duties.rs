//! What each participant has to do in a run, taken out of the plan once.

use std::collections::BTreeMap;

use plumbline_model::{
    id::NodeId,
    plan::{Plan, Target},
    port::{Family, Protocol},
};
use plumbline_proto::convert::ArmPorts;

/// Every participant with its duty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Duties(pub(crate) BTreeMap<NodeId, Duty>);

/// What one participant has to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Duty {
    /// What its responders bind.
    pub(crate) arm: Vec<ArmPorts>,
    /// What it tests.
    pub(crate) targets: Vec<Target>,
}

impl Duties {
    /// The duties that a plan gives to its participants: TCP over IPv4, which is what this version measures.
    pub(crate) fn of(plan: &Plan) -> Self {
        let index = plan.index();
        let duty = |node: NodeId| {
            let ports = plan.ports_at(node, Family::Ipv4, Protocol::Tcp);
            let arm = ArmPorts {
                family: Family::Ipv4,
                protocol: Protocol::Tcp,
                ports,
            };
            let mut targets = index.targets_from(node);
            targets.retain(|target| target.family == Family::Ipv4 && target.protocol == Protocol::Tcp);
            Duty {
                arm: if arm.ports.is_empty() {
                    Vec::new()
                } else {
                    vec![arm]
                },
                targets,
            }
        };
        Self(
            plan.participants
                .iter()
                .map(|node| (*node, duty(*node)))
                .collect(),
        )
    }
}

/// How many tests there are in some targets.
pub(super) fn count(targets: &[Target]) -> u64 {
    targets
        .iter()
        .map(|target| u64::from(target.ports.count()) * target.destinations.len() as u64)
        .sum()
}
