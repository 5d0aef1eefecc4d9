//! One address on two hosts (L2-005).

use super::*;

#[test]
fn a_stranger_with_a_nodes_address_is_one_finding_at_the_node() {
    let report = World::new().answers(A, A, &[STRANGE]).report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::DuplicateAddress, Some(node(A)))
    );
    assert!(finding.cause.detail.contains(STRANGE), "{}", finding.cause.detail);
}

#[test]
fn a_twin_that_only_others_hear_is_found_by_them() {
    let report = World::new().answers(C, A, &[&mac(A), STRANGE]).report();
    assert_eq!(only(&report).check, "L2-005");
    assert_eq!(only(&report).cause.node, Some(node(A)));
}

#[test]
fn a_member_with_anothers_address_is_between_the_two() {
    let report = World::new().answers(A, A, &[&mac(C)]).report();
    assert_eq!(sides(only(&report)), Some([nodes(&[A]), nodes(&[C])]));
}

#[test]
fn what_a_twin_does_not_explain_stays_a_finding_of_its_own() {
    // Somebody answers for the address, so that who finds nobody has another trouble.
    let stage = World::new()
        .answers(A, A, &[&mac(C)])
        .stage()
        .sees(B, A, "4240", Signal::NeighborUnresolved);
    let kinds: Vec<CauseKind> = stage
        .report()
        .findings
        .iter()
        .map(|finding| finding.cause.kind)
        .collect();
    assert_eq!(kinds.len(), 2, "{kinds:?}");
    assert!(kinds.contains(&CauseKind::DuplicateAddress), "{kinds:?}");
}

#[test]
fn a_node_that_could_not_ask_to_the_end_does_not_pass() {
    let mut world = World::new();
    world.unfinished.insert(B);
    let report = world.report();
    let status = |of: &str| {
        let rows = rows(&report, "L2-005");
        rows.iter()
            .find(|row| row.subject.starts_with(of))
            .map(|row| row.status)
    };
    assert_eq!(status(B), Some(Status::NotMeasured));
    assert_eq!(status(A), Some(Status::Pass));
    assert_eq!(
        only(&report).cause.kind,
        CauseKind::Unmeasured,
        "nobody else tells of it"
    );
}

#[test]
fn a_twin_that_does_not_answer_who_asks_under_its_own_address_is_not_apart_from_it() {
    let report = World::new()
        .answers(A, A, &[&mac(C)])
        .answers(A, C, &[])
        .answers(C, A, &[])
        .report();
    assert_eq!(only(&report).cause.kind, CauseKind::DuplicateAddress);
}

#[test]
fn a_gateway_that_has_a_nodes_address_is_its_twin() {
    let report = World::new().answers(A, A, &[OF_GATEWAY]).report();
    assert_eq!(only(&report).check, "L2-005");
}
