//! Rulings and the causes of failing tests made into one list: a cause that a ruling explains is told under the ruling, rulings
//! that lack the same capability are one finding, and every ruling is a row.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    cause::{Cause, CauseKind, Fix},
    id::NodeId,
    report::{CheckRow, Finding, FindingSeverity, MAX_AFFECTS, MAX_EVIDENCE, Status},
};

use super::{Complaint, Lack, Opinion, RULES, Ruling, Scene};

/// What the rules come to.
pub(crate) struct Settled {
    /// Causes of failing tests that no ruling explains, and the complaints of rulings; ids still empty.
    pub(crate) findings: Vec<Finding>,
    /// One row a ruling, in the order of the rules.
    pub(crate) rows: Vec<CheckRow>,
}

/// Applies every rule that was asked for, and settles what they say with the causes of failing tests.
pub(crate) fn settle(scene: &Scene<'_>, causes: Vec<Finding>) -> Settled {
    let mut settled = Settled {
        findings: causes,
        rows: Vec::new(),
    };
    let mut lacking: BTreeMap<(NodeId, &'static str), BTreeSet<&'static str>> = BTreeMap::new();
    let mut others: BTreeMap<(Option<NodeId>, String), BTreeSet<&'static str>> = BTreeMap::new();
    for rule in RULES.iter().filter(|rule| scene.asks_for(rule.group)) {
        for ruling in (rule.judge)(scene) {
            settled.rows.push(row(rule.check.id, &ruling));
            match ruling.opinion {
                Opinion::Pass => {}
                Opinion::Fail(complaint) => settled.complain(rule.check.id, Status::Fail, complaint),
                Opinion::Warn(complaint) => settled.complain(rule.check.id, Status::Warn, complaint),
                Opinion::NotMeasured(
                    Lack::NotActive
                    | Lack::LiveNode
                    | Lack::ProbeGone(_)
                    | Lack::ToldElsewhere(_)
                    | Lack::FailsElsewhere(_),
                ) => {}
                Opinion::NotMeasured(Lack::Capability(node, capability)) => {
                    lacking
                        .entry((node, capability))
                        .or_default()
                        .insert(rule.check.id);
                }
                Opinion::NotMeasured(Lack::Other(node, why)) => {
                    others.entry((node, why)).or_default().insert(rule.check.id);
                }
            }
        }
    }
    for ((node, capability), checks) in &lacking {
        let of_node = lacking.keys().filter(|(other, _)| other == node);
        let set = needed(scene, *node, capability, of_node.map(|(_, other)| *other));
        settled.lacks(scene, *node, capability, checks, &set);
    }
    for ((node, why), checks) in others {
        settled.unmeasured(scene, node, &why, &checks);
    }
    settled
}

impl Settled {
    /// Takes a complaint, with the tests of the causes that it explains. A complaint of the same cause as an earlier one joins
    /// it: several checks may see one fault. It weighs as much as the heaviest of what it explains.
    fn complain(&mut self, check: &'static str, status: Status, complaint: Complaint) {
        let Complaint {
            cause,
            fix,
            mut evidence,
            explains,
        } = complaint;
        // Two checks may come upon one cause, and then say the same of it.
        let joined = self.findings.iter_mut().find(|finding| finding.cause == cause);
        if let Some(finding) = joined {
            finding.evidence.extend(evidence);
            finding.evidence.sort_unstable();
            finding.evidence.dedup();
            finding.evidence.truncate(MAX_EVIDENCE);
            if status == Status::Fail && finding.status == Status::Warn {
                (finding.status, finding.severity) = (Status::Fail, FindingSeverity::Fail);
                check.clone_into(&mut finding.check);
            }
            return;
        }
        let is_consequence = |finding: &Finding| {
            finding.affects_total > 0
                && explains.kinds.contains(&finding.cause.kind)
                && finding
                    .affects
                    .iter()
                    .all(|affect| explains.have(finding.cause.kind, affect.src, affect.dst))
        };
        let mut affects = Vec::new();
        let (mut affects_total, mut attempts) = (0, 0);
        let (mut status, mut check) = (status, check.to_owned());
        let mut kept = Vec::with_capacity(self.findings.len());
        for finding in std::mem::take(&mut self.findings) {
            let is_same = finding.cause == cause;
            if is_same {
                check.clone_from(&finding.check);
            }
            if is_same || is_consequence(&finding) {
                status = status.max(finding.status);
                affects_total += finding.affects_total;
                attempts += finding.attempts;
                affects.extend(finding.affects);
                evidence.extend(finding.evidence);
            } else {
                kept.push(finding);
            }
        }
        self.findings = kept;
        affects.sort_unstable();
        affects.dedup();
        affects.truncate(MAX_AFFECTS);
        evidence.sort_unstable();
        evidence.dedup();
        evidence.truncate(MAX_EVIDENCE);
        self.findings.push(Finding {
            id: String::new(),
            check,
            status,
            severity: match status {
                Status::Fail => FindingSeverity::Fail,
                Status::Pass | Status::Warn | Status::NotMeasured => FindingSeverity::Warn,
            },
            cause,
            places: Vec::new(),
            affects,
            affects_total,
            attempts,
            evidence,
            fix,
            waived: None,
        });
    }

    fn unmeasured(
        &mut self,
        scene: &Scene<'_>,
        node: Option<NodeId>,
        why: &str,
        checks: &BTreeSet<&'static str>,
    ) {
        let Some(first) = checks.first() else { return };
        let listed: Vec<&str> = checks.iter().copied().collect();
        let (listed, were) = (listed.join(", "), if listed.len() == 1 { "was" } else { "were" });
        let place = node.map_or_else(String::new, |node| format!(" on {}", scene.name(node)));
        self.findings.push(not_measured(
            first,
            node,
            format!("{listed} {were} not measured{place}: {why}"),
            Fix {
                text: String::new(),
                commands: Vec::new(),
            },
        ));
    }

    fn lacks(
        &mut self,
        scene: &Scene<'_>,
        node: NodeId,
        capability: &str,
        checks: &BTreeSet<&'static str>,
        set: &[&'static str],
    ) {
        let Some(first) = checks.first() else { return };
        let listed: Vec<&str> = checks.iter().copied().collect();
        self.findings.push(not_measured(
            first,
            Some(node),
            format!(
                "the probe on {} lacks {capability}, so that {} were not measured there",
                scene.name(node),
                listed.join(", ")
            ),
            Fix {
                text: format!("Start the probe as root, or give its program {capability}."),
                commands: setcap(set).into_iter().collect(),
            },
        ));
    }
}

/// The capabilities that a probe's program is to have: the one that is lacking first, then the others that are, then those that
/// it has, since setcap(8) replaces what the file had.
fn needed(
    scene: &Scene<'_>,
    node: NodeId,
    capability: &'static str,
    lacking: impl Iterator<Item = &'static str>,
) -> Vec<&'static str> {
    let held = scene.facts(node).map(|facts| facts.what.capabilities);
    let held = held.map_or_else(
        |_| Vec::new(),
        |held| {
            vec![
                (held.capture, "CAP_NET_RAW"),
                (held.read_ruleset, "CAP_NET_ADMIN"),
                (held.bind_low_ports, "CAP_NET_BIND_SERVICE"),
            ]
        },
    );
    let held = held.into_iter().filter_map(|(holds, name)| holds.then_some(name));
    let mut set = Vec::new();
    for name in [capability].into_iter().chain(lacking).chain(held) {
        if name.starts_with("CAP_") && !set.contains(&name) {
            set.push(name);
        }
    }
    set
}

/// The command that gives a set to the probe's program; `None` if there is none to give.
fn setcap(set: &[&str]) -> Option<String> {
    let set = set.join(",").to_lowercase();
    (!set.is_empty()).then(|| format!("setcap {set}+ep $(command -v plumbline-probe)"))
}

fn not_measured(check: &str, node: Option<NodeId>, detail: String, fix: Fix) -> Finding {
    Finding {
        id: String::new(),
        check: check.to_owned(),
        status: Status::NotMeasured,
        severity: FindingSeverity::Warn,
        cause: Cause {
            kind: CauseKind::Unmeasured,
            node,
            between: None,
            detail,
        },
        places: Vec::new(),
        affects: Vec::new(),
        affects_total: 0,
        attempts: 0,
        evidence: Vec::new(),
        fix,
        waived: None,
    }
}

fn row(check: &str, ruling: &Ruling) -> CheckRow {
    CheckRow {
        id: check.to_owned(),
        status: ruling.status(),
        subject: ruling.subject.clone(),
        detail: ruling.detail.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_given_as_one_set_since_setcap_replaces_it() {
        assert_eq!(
            setcap(&["CAP_NET_RAW", "CAP_NET_ADMIN"]).as_deref(),
            Some("setcap cap_net_raw,cap_net_admin+ep $(command -v plumbline-probe)")
        );
        assert_eq!(setcap(&[]), None, "a privilege that has no name");
    }
}
