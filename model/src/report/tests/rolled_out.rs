//! One setting that came to every node.

use super::*;
use crate::{
    errand::Errand,
    evidence::{Group, SwarmKind},
    observation::{HostSettings, Record},
    report::{Finding, stage::node},
};

const ALL: [&str; 4] = [CP, LB, W1, W2];

/// A role of somebody's automation has mounted /tmp without programs, everywhere.
pub(super) fn cluster() -> Stage {
    let mut stage = Stage::new();
    (stage.parameters.groups, stage.parameters.swarm) = (vec![Group::Reach, Group::Host], SwarmKind::Joined);
    for on in ALL {
        let own = stage.plan.errands.entry(node(on)).or_default();
        own.push(Errand::Inspect);
        let settings = HostSettings {
            noexec: [("/tmp".to_owned(), true)].into(),
            ..HostSettings::default()
        };
        stage = stage.tells(on, Record::Host(Box::new(settings)));
    }
    stage
}

fn of_tmp(stage: &Stage) -> Vec<Finding> {
    let mut findings = stage.report().findings;
    findings.retain(|finding| finding.cause.detail.contains("/tmp"));
    findings
}

#[test]
fn a_setting_of_every_node_is_one_finding_that_lists_them() {
    let findings = of_tmp(&cluster());
    let [told] = findings.as_slice() else {
        panic!("{findings:?}")
    };
    assert_eq!(
        (told.cause.node, told.nodes.as_slice()),
        (None, ALL.map(node).as_slice())
    );
    assert_eq!(told.evidence.len(), 4, "what each of them told");
}

#[test]
fn somebody_may_answer_for_one_of_the_nodes_alone() {
    let mut stage = cluster();
    let check = of_tmp(&stage)[0].check.clone();
    let selector = Selector {
        node: Some(W1.to_owned()),
        ..Selector::default()
    };
    stage.waivers.push(waiver(&check, selector, "2024-03-31"));
    let waived: Vec<_> = of_tmp(&stage)
        .into_iter()
        .filter(|finding| finding.waived.is_some())
        .map(|finding| finding.cause.node)
        .collect();
    assert_eq!(waived, [Some(node(W1))]);
}
