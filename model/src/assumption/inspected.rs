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

    /// Whether hosts share a kernel, a clock and a disk, so that what is of the machine says nothing of a node.
    pub(super) fn is_lab(&self) -> bool {
        self.ledger.run.parameters.swarm == SwarmKind::Lab
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
