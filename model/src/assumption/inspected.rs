//! What rules over the settings of hosts (errand inspect) share.

use crate::{
    cause::{Cause, CauseKind, Fix},
    errand::Errand,
    evidence::SwarmKind,
    id::NodeId,
    ledger::Told,
    observation::HostSettings,
};

use super::{Complaint, Explains, Lack, Ruling, Scene};

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
                // Why nothing was told is a finding of its own, which needs no second one for each check.
                Err(_) => silent.push(Ruling::not_measured(self.name(node), Lack::ProbeGone(node))),
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
            && !others.any(|other| self.host(*other).as_ref().is_ok_and(is_same))
    }
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
