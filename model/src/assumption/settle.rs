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
    /// it: several checks may see one fault, and each may explain other tests. It weighs as much as the heaviest of what it
    /// explains.
    fn complain(&mut self, check: &'static str, status: Status, complaint: Complaint) {
        let Complaint {
            cause,
            fix,
            evidence,
            explains,
        } = complaint;
        let is_consequence = |finding: &Finding| {
            finding.affects_total > 0
                && finding.cause != cause
                && explains.kinds.contains(&finding.cause.kind)
                && finding
                    .affects
                    .iter()
                    .all(|affect| explains.have(finding.cause.kind, affect.src, affect.dst))
        };
        let (consequences, mut kept): (Vec<Finding>, Vec<Finding>) = std::mem::take(&mut self.findings)
            .into_iter()
            .partition(is_consequence);
        let known = kept.iter().position(|finding| finding.cause == cause);
        let mut finding = match known {
            Some(at) => kept.remove(at),
            None => told(check, status, cause, fix),
        };
        // Who finds it wrong tells of it, not who merely doubts it.
        if status == Status::Fail && finding.status == Status::Warn {
            finding.status = status;
            check.clone_into(&mut finding.check);
        }
        finding.evidence.extend(evidence);
        for consequence in consequences {
            finding.status = finding.status.max(consequence.status);
            finding.affects_total += consequence.affects_total;
            finding.attempts += consequence.attempts;
            finding.affects.extend(consequence.affects);
            finding.evidence.extend(consequence.evidence);
        }
        bound(&mut finding);
        kept.insert(known.unwrap_or(kept.len()), finding);
        self.findings = kept;
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

/// A finding that explains nothing yet.
fn told(check: &str, status: Status, cause: Cause, fix: Fix) -> Finding {
    Finding {
        id: String::new(),
        check: check.to_owned(),
        status,
        severity: FindingSeverity::Warn,
        cause,
        nodes: Vec::new(),
        places: Vec::new(),
        affects: Vec::new(),
        affects_total: 0,
        attempts: 0,
        evidence: Vec::new(),
        fix,
        waived: None,
    }
}

/// Puts what a finding took up in order, within what a report holds of it, and its weight with its status.
fn bound(finding: &mut Finding) {
    finding.affects.sort_unstable();
    finding.affects.dedup();
    finding.affects.truncate(MAX_AFFECTS);
    finding.evidence.sort_unstable();
    finding.evidence.dedup();
    finding.evidence.truncate(MAX_EVIDENCE);
    finding.severity = match finding.status {
        Status::Fail => FindingSeverity::Fail,
        Status::Pass | Status::Warn | Status::NotMeasured => FindingSeverity::Warn,
    };
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
    let cause = Cause {
        kind: CauseKind::Unmeasured,
        node,
        between: None,
        detail,
    };
    told(check, Status::NotMeasured, cause, fix)
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
    use crate::{
        assumption::{Explains, Pairs},
        port::{Family, Protocol},
        report::{
            Affect,
            stage::{CP, W1, node},
        },
    };

    /// A cause with one failing test, from the control plane node to a worker.
    fn failing(kind: CauseKind) -> Finding {
        let cause = Cause {
            kind,
            node: None,
            between: None,
            detail: "of the matrix".to_owned(),
        };
        let mut finding = told("REACH-001", Status::Fail, cause, nothing());
        finding.affects = vec![Affect {
            src: node(CP),
            dst: node(W1),
            family: Family::Ipv4,
            protocol: Protocol::Tcp,
            port: 6444,
        }];
        finding.affects_total = 1;
        finding
    }

    fn nothing() -> Fix {
        Fix {
            text: String::new(),
            commands: Vec::new(),
        }
    }

    fn complaint(line: u32, explains: Explains) -> Complaint {
        Complaint {
            cause: Cause {
                kind: CauseKind::PmtudBlackHole,
                node: None,
                between: None,
                detail: "a black hole".to_owned(),
            },
            fix: nothing(),
            evidence: vec![line],
            explains,
        }
    }

    #[test]
    fn a_complaint_that_joins_another_still_explains_what_only_it_knows_of() {
        let explains = || Explains {
            kinds: &[CauseKind::LossyPath],
            pairs: Pairs::Between(vec![node(CP)], vec![node(W1)]),
        };
        for explaining in 0..2 {
            let mut settled = Settled {
                findings: vec![failing(CauseKind::LossyPath), failing(CauseKind::HostFirewall)],
                rows: Vec::new(),
            };
            for (line, check) in ["MTU-002", "MTU-004"].into_iter().enumerate() {
                let explains = if line == explaining {
                    explains()
                } else {
                    Explains::default()
                };
                let line = u32::try_from(line).unwrap();
                settled.complain(check, Status::Warn, complaint(line, explains));
            }
            let [firewall, told] = settled.findings.as_slice() else {
                panic!("{:?}", settled.findings)
            };
            assert_eq!(firewall.cause.kind, CauseKind::HostFirewall);
            assert_eq!((told.affects_total, told.evidence.as_slice()), (1, &[0, 1][..]));
            let weight = (told.status, told.severity);
            assert_eq!(
                weight,
                (Status::Fail, FindingSeverity::Fail),
                "as heavy as what it explains"
            );
        }
    }

    #[test]
    fn capabilities_are_given_as_one_set_since_setcap_replaces_it() {
        assert_eq!(
            setcap(&["CAP_NET_RAW", "CAP_NET_ADMIN"]).as_deref(),
            Some("setcap cap_net_raw,cap_net_admin+ep $(command -v plumbline-probe)")
        );
        assert_eq!(setcap(&[]), None, "a privilege that has no name");
    }
}
