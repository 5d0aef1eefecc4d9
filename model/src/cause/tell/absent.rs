//! What was not measured, and why.

use crate::{
    evidence::LostWhy,
    id::NodeId,
    report::{Status, check},
    verdict::Why,
};

use super::{
    super::{CauseKind, Fix, blame::Tests},
    Teller, Told,
};

impl Teller<'_> {
    pub(super) fn probe_lost(&self, node: NodeId, tests: &Tests) -> Told {
        let name = self.name(node);
        // A run that asks for access alone has no tests to miss.
        let missed = match tests.total() {
            0 => String::new(),
            _ => format!("; {} not measured", self.count(tests)),
        };
        let log = self.ledger.node(node);
        let lost = log.and_then(|log| log.lost).map(|told| told.what);
        let late = if log.is_some_and(|log| log.late.is_some()) {
            "; it came back too late to be used"
        } else {
            ""
        };
        let what = match lost {
            Some((why, at_ms)) => {
                let how = match why {
                    LostWhy::StreamEnded => "its connection to the coordinator ended",
                    LostWhy::Silent => "it fell silent for longer than its lease",
                    LostWhy::Overdue => "it did not finish its work in time",
                };
                let seconds = at_ms / 1_000;
                format!("the probe on {name} was lost {seconds} s after the start: {how}{late}")
            }
            None => match log.and_then(|log| log.turned_away) {
                Some(why) => format!(
                    "the probe on {name} did not join: it was refused ({})",
                    why.trim_start_matches("join: ")
                ),
                None => format!("the probe on {name} did not join"),
            },
        };
        let coordinator = self.ledger.node(NodeId::Coordinator).and_then(|log| log.joined);
        let coordinator = coordinator.and_then(|joined| joined.what.addresses.first());
        let mut commands = vec![
            "pgrep -a plumbline".to_owned(),
            "journalctl --since -1h | grep -i plumbline".to_owned(),
        ];
        if let Some(address) = coordinator {
            commands.push(format!("ip route get {address}"));
        }
        Told {
            check: check::SWARM.id,
            kind: CauseKind::ProbeLost,
            node: Some(node),
            detail: format!("{what}{missed}"),
            fix: Fix {
                text: "See whether the host is up and its probe runs and reaches the coordinator, then audit again with --retest \
                       DIR (the directory of this report); what other nodes measured stands."
                    .to_owned(),
                commands,
            },
            most: Status::NotMeasured,
        }
    }

    pub(super) fn unmeasured(&self, why: Why, node: Option<NodeId>, tests: &Tests) -> Told {
        let count = self.count(tests);
        let name = node.map_or_else(String::new, |node| self.name(node));
        let refusal = node
            .and_then(|node| self.ledger.node(node))
            .and_then(|log| log.refused);
        let (detail, text) = match why {
            Why::Policy => (
                match refusal {
                    Some(told) => format!(
                        "the probe on {name} refused the work ({}): {count} not made",
                        told.what
                    ),
                    None => format!("the local policy on {name} refuses the targets: {count} not made"),
                },
                "Widen the probe's policy file on this node, or leave these tests out.",
            ),
            Why::LiveNode => (
                format!("{name} is live, its ports are not disturbed: {count} not made"),
                "Nothing to mend; what a live node serves is judged by its services.",
            ),
            Why::NoAddress => (
                format!("{name} has no address of the family of these tests: {count} not made"),
                "Configure the address on the data interface, or take the family out of the cluster file.",
            ),
            Why::BusyUdp => (
                format!(
                    "{name} is live, nothing is sent to its UDP services, and the filters do not tell: {count} not made"
                ),
                "The packet filters of both ends judge in place of a test: let the probes read them (CAP_NET_ADMIN). A rule \
                 that depends on more than a packet, such as a limit, is not judged: look at it by hand.",
            ),
            Why::NoService => (
                format!("no Service of {name} uses the ports: {count} not made"),
                "Nothing to mend.",
            ),
            Why::Interrupted => (
                format!("the run was interrupted: {count} not made"),
                "Audit again with --retest DIR (the directory of this report), and let it end.",
            ),
            Why::Unsupported => (
                format!("this build cannot make them: {count} not made"),
                "Use a build that can, or leave the group out.",
            ),
            Why::Unreported => (
                format!("the probe on {name} did not report them: {count} without an outcome"),
                "Audit again with --retest DIR (the directory of this report); if it happens again, send the evidence to the \
                 makers.",
            ),
            Why::NotArmed => (
                match refusal {
                    Some(told) => format!(
                        "the probe on {name} opened no ports ({}): {count} not made",
                        told.what
                    ),
                    None => {
                        format!("the probe on {name} did not say that it opened its ports: {count} not made")
                    }
                },
                "Mend what it says, and audit again with --retest DIR (the directory of this report).",
            ),
            Why::SourceLost | Why::DestinationLost => (
                format!("{name} was not on the roster or stopped early: {count} not made"),
                "Audit again with --retest DIR (the directory of this report).",
            ),
        };
        Told {
            check: check::REACH_TCP.id,
            kind: CauseKind::Unmeasured,
            node,
            detail,
            fix: Fix {
                text: text.to_owned(),
                commands: Vec::new(),
            },
            most: Status::NotMeasured,
        }
    }
}
