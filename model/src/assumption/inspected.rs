//! What rules over the settings of hosts (errand inspect) share.

use crate::{
    cause::{Cause, CauseKind, Fix},
    errand::{self, Errand},
    evidence::SwarmKind,
    id::NodeId,
    ledger::Told,
    observation::{Device, HostSettings},
};

use super::{Complaint, Explains, Ruling, Scene};

impl<'a> Scene<'a> {
    /// The settings of each node that was asked for them, and a ruling for each that did not tell.
    pub(super) fn inspected(&self) -> (Vec<(NodeId, Told<&'a HostSettings>)>, Vec<Ruling>) {
        let (mut told, mut silent) = (Vec::new(), Vec::new());
        for node in self.nodes() {
            let errands = self.plan.errands.get(&node).map_or(&[][..], Vec::as_slice);
            if !errands.contains(&Errand::Inspect) {
                continue;
            }
            match self.host(node) {
                Ok(host) => told.push((node, host)),
                // A probe that is there and told nothing is one finding, whichever checks miss it.
                Err(lack) => {
                    let lack = self.undone(node, errand::Kind::Inspect).unwrap_or(lack);
                    silent.push(Ruling::not_measured(self.name(node), lack));
                }
            }
        }
        (told, silent)
    }

    /// Whether a node is a machine of its own, as far as is known: no other node runs on its kernel, and it is no namespace of a
    /// greater one. What is of the machine (its clock, files, modules) says nothing of a node that is only a part of it.
    pub(in crate::assumption) fn is_machine(&self, node: NodeId, host: &HostSettings) -> bool {
        let is_same = |other: &Told<&HostSettings>| {
            host.machine.boot.is_some() && other.what.machine.boot == host.machine.boot
        };
        let mut others = self.plan.participants.iter().filter(|other| **other != node);
        self.ledger.run.parameters.swarm != SwarmKind::Lab
            && host.machine.is_part != Some(true)
            && !is_behind_veth(host)
            && !others.any(|other| self.host(*other).as_ref().is_ok_and(is_same))
    }
}

/// Whether the data interface is one end of a veth pair: the other end is in the namespace of a greater machine (veth(4)). Only
/// root may compare a namespace with that of the first process, and not everywhere; this everybody sees.
fn is_behind_veth(host: &HostSettings) -> bool {
    let is_veth = |device: &Device| device.kind.as_deref() == Some("veth");
    let mut devices = host.devices.iter();
    devices.any(|device| Some(&device.name) == host.data_interface.as_ref() && is_veth(device))
}

/// A complaint about a setting of one node.
pub(super) fn of_setting(
    node: NodeId,
    line: u32,
    detail: String,
    text: &str,
    commands: Vec<String>,
) -> Complaint {
    Complaint {
        cause: Cause {
            kind: CauseKind::HostSetting,
            node: Some(node),
            between: None,
            detail,
        },
        fix: Fix {
            text: text.to_owned(),
            commands,
        },
        evidence: vec![line],
        explains: Explains::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_that_is_there_and_told_nothing_is_one_finding_and_one_that_is_gone_is_none_more() {
        use crate::{
            evidence::Group,
            report::stage::{CP, Stage, W1, node},
        };
        let mut stage = Stage::new().without(W1);
        stage.parameters.groups = vec![Group::L2, Group::Reach];
        for who in [CP, W1] {
            stage = stage.sends(who, Errand::Inspect);
        }
        let report = stage.report();
        let untold: Vec<_> = report
            .findings
            .iter()
            .filter(|finding| finding.cause.detail.contains("told nothing of it"))
            .collect();
        assert_eq!(untold.len(), 1, "{untold:?}");
        assert_eq!(untold[0].cause.node, Some(node(CP)));
        assert!(untold[0].cause.detail.contains("L2-001") && untold[0].cause.detail.contains("L2-011"));
    }

    #[test]
    fn a_host_behind_a_veth_is_a_part_and_one_that_merely_has_some_is_not() {
        let device = |name: &str, kind: Option<&str>| Device {
            name: name.to_owned(),
            kind: kind.map(str::to_owned),
            ..Device::default()
        };
        let host = |data: &str| HostSettings {
            data_interface: Some(data.to_owned()),
            devices: vec![device("eth0", Some("veth")), device("eno1", None)],
            ..HostSettings::default()
        };
        assert!(is_behind_veth(&host("eth0")));
        assert!(!is_behind_veth(&host("eno1")));
        assert!(!is_behind_veth(&HostSettings::default()));
    }
}
