//! What each participant has to do in a run, taken out of the plan once.

use std::collections::{BTreeMap, BTreeSet};

use plumbline_model::{
    errand::{self, Errand},
    id::NodeId,
    plan::{Plan, Target},
    port::{Family, PortSet, Protocol},
};
use plumbline_proto::convert::ArmPorts;

/// Family and protocol of a test.
pub(crate) type Transport = (Family, Protocol);

/// What is tested by ports. Rules of other protocols are none of the probes' business.
pub(super) const TRANSPORTS: [Transport; 4] = [
    (Family::Ipv4, Protocol::Tcp),
    (Family::Ipv4, Protocol::Udp),
    (Family::Ipv6, Protocol::Tcp),
    (Family::Ipv6, Protocol::Udp),
];

/// Every participant with its duty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Duties(pub(crate) BTreeMap<NodeId, Duty>);

/// What one participant has to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Duty {
    /// What its responders bind: the ports that it must answer on. A node without an address of a family is told all the
    /// same, and testifies that it has none.
    pub(crate) arm: Vec<ArmPorts>,
    /// What it tests, ports that must not answer included.
    pub(crate) targets: Vec<Target>,
    /// Of the ports that it must answer on, those that only Services would serve if it is live; no element is empty.
    pub(crate) services: Vec<(Transport, PortSet)>,
    /// What it does beside its tests.
    pub(crate) errands: Vec<Errand>,
}

impl Duties {
    /// The duties that a plan gives to its participants.
    pub(crate) fn of(plan: &Plan) -> Self {
        let index = plan.index();
        let duty = |node: NodeId| {
            let arm = TRANSPORTS.map(|(family, protocol)| ArmPorts {
                family,
                protocol,
                ports: plan.ports_at(node, family, protocol),
            });
            let mut targets = index.targets_from(node);
            targets.retain(|target| TRANSPORTS.contains(&(target.family, target.protocol)));
            let services = TRANSPORTS.map(|(family, protocol)| {
                let ports = plan.service_ports_at(node, family, protocol);
                ((family, protocol), ports)
            });
            Duty {
                arm: arm.into_iter().filter(|set| !set.ports.is_empty()).collect(),
                targets,
                services: services
                    .into_iter()
                    .filter(|(_, ports)| !ports.is_empty())
                    .collect(),
                errands: plan.errands.get(&node).cloned().unwrap_or_default(),
            }
        };
        Self(
            plan.participants
                .iter()
                .map(|node| (*node, duty(*node)))
                .collect(),
        )
    }

    /// Takes out of everybody's errands what they would do with those who are not on the roster: they cannot be named to a probe.
    pub(super) fn leave_out_of_errands(&mut self, absent: &BTreeSet<NodeId>) {
        for duty in self.0.values_mut() {
            let errands = std::mem::take(&mut duty.errands).into_iter();
            duty.errands = errands.filter_map(|errand| errand.without(absent)).collect();
        }
    }

    /// Whether anybody has anything to do.
    pub(super) fn has_work(&self) -> bool {
        self.0
            .values()
            .any(|duty| !duty.targets.is_empty() || !duty.errands.is_empty())
    }

    /// The errands of a moment, in the order of those who do them.
    pub(super) fn errands(&self, moment: errand::Moment) -> Vec<(NodeId, Errand)> {
        let of_all = self.0.iter().flat_map(|(node, duty)| {
            let errands = duty.errands.iter().cloned();
            errands.map(|errand| (*node, errand))
        });
        of_all.filter(|(_, errand)| errand.moment() == moment).collect()
    }

    /// Whether a participant has an errand of a kind.
    pub(super) fn has_errand(&self, node: NodeId, kind: errand::Kind) -> bool {
        let duty = self.0.get(&node);
        duty.is_some_and(|duty| duty.errands.iter().any(|errand| errand.kind() == kind))
    }

    /// The ports that a node must answer on.
    pub(super) fn answers_on(&self, node: NodeId, transport: Transport) -> Option<&PortSet> {
        let sets = &self.0.get(&node)?.arm;
        let set = sets.iter().find(|set| (set.family, set.protocol) == transport);
        set.map(|set| &set.ports)
    }

    /// The ports of a node that only Services would serve if it is live.
    pub(super) fn served_by_services(&self, node: NodeId, transport: Transport) -> Option<&PortSet> {
        let mut services = self.0.get(&node)?.services.iter();
        services.find_map(|(of, ports)| (*of == transport).then_some(ports))
    }
}
