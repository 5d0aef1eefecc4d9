//! A link that goes down and comes back.

use super::*;
use crate::firewall::{Expression, RejectWith, Verdict};

/// While the link of W1 was down nobody resolved it, it had no route, and some attempts vanished.
fn flapped() -> Stage {
    let mut stage = Stage::new();
    for peer in [CP, LB, W2] {
        stage = stage
            .sees(W1, peer, "4240", Signal::NoRoute)
            .sees(peer, W1, "10250", Signal::Silence)
            .sees_again(peer, W1, "10250", Signal::Verified);
    }
    stage
        .sees(W2, W1, "4240", Signal::NeighborUnresolved)
        .sees(W1, CP, "6444", Signal::NoRoute)
}

#[test]
fn a_link_that_was_down_for_a_moment_is_one_warning_at_its_node() {
    let report = flapped().report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.status),
        (CauseKind::LossyPath, Status::Warn)
    );
    let sides = finding.cause.between.clone().unwrap();
    assert!(sides.contains(&nodes(&[W1])), "{sides:?}");
    assert_eq!(finding.affects_total, 8);
}

#[test]
fn a_neighbour_that_never_answers_on_any_port_is_not_a_moment() {
    let mut stage = flapped();
    for (src, dst) in [(LB, CP), (CP, LB)] {
        stage = stage.sees(src, dst, "4240,10250", Signal::NeighborUnresolved);
    }
    let report = stage.sees(LB, CP, "6444", Signal::NeighborUnresolved).report();
    let kinds: Vec<CauseKind> = report.findings.iter().map(|finding| finding.cause.kind).collect();
    assert_eq!(kinds, [CauseKind::NotAdjacent, CauseKind::LossyPath]);
}

fn own_question_without_a_route(stops: Expression) -> CauseKind {
    let mut ruleset = nft_that_drops(Hook::Output, &[6444]);
    let expressions = &mut ruleset.tables[0].chains[0].rules[0].expressions;
    *expressions.last_mut().unwrap() = stops;
    let report = Stage::new()
        .filters(W1, ruleset)
        .sees(W1, CP, "6444", Signal::NoRoute)
        .sees_again(W1, CP, "6444", Signal::NoRoute)
        .report();
    only(&report).cause.kind
}

#[test]
fn a_rule_that_rejects_own_questions_as_a_missing_route_does_is_that_rule() {
    let with = RejectWith::Icmpx { code: 0 };
    let kind = own_question_without_a_route(Expression::Reject { with });
    assert_eq!(kind, CauseKind::HostFirewall);
}

#[test]
fn a_rule_that_would_drop_a_question_without_a_route_is_not_asked() {
    let verdict = Verdict::Drop;
    let kind = own_question_without_a_route(Expression::Verdict { verdict });
    assert_eq!(kind, CauseKind::HostSetting);
}

/// Everybody's questions to W1 vanished for a while; of those that were asked again all were answered.
fn stood_still() -> Stage {
    let mut stage = Stage::new();
    for peer in [CP, LB, W2] {
        stage = stage
            .sees(peer, W1, "4240,10250", Signal::Silence)
            .sees_again(peer, W1, "10250", Signal::Verified)
            .hears(W1, peer, "4240", 1, 1);
    }
    stage
}

#[test]
fn what_nobody_asked_again_is_lost_for_the_same_moment_as_what_was_answered_then() {
    let report = stood_still().report();
    let finding = only(&report);
    assert_eq!(finding.cause.kind, CauseKind::LossyPath);
    assert_eq!(finding.affects_total, 6);
}

#[test]
fn a_port_that_stays_silent_for_one_who_asks_again_is_not_a_moments_for_others() {
    let stage = stood_still();
    let report = stage.sees_again(CP, W1, "4240", Signal::Silence).report();
    let mut kinds: Vec<CauseKind> = report.findings.iter().map(|finding| finding.cause.kind).collect();
    kinds.sort();
    assert_eq!(kinds, [CauseKind::ReturnPathFilter, CauseKind::LossyPath]);
    let of_filter = report
        .findings
        .iter()
        .find(|finding| finding.cause.kind == CauseKind::ReturnPathFilter);
    assert_eq!(of_filter.unwrap().affects_total, 3);
}
