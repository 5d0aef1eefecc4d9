//! Who does not find whom (L2-002, L2-004), and who answers in the place of others (L2-003).

use super::*;

#[test]
fn two_that_have_to_be_on_one_link_and_are_not_are_one_finding_of_two_checks() {
    let report = World::new().apart(A, B).report();
    let finding = only(&report);
    assert_eq!(
        (finding.check.as_str(), finding.cause.kind),
        ("L2-002", CauseKind::NotAdjacent)
    );
    assert_eq!(sides(finding), Some([nodes(&[A, B]), nodes(&[A, B])]));
    assert!(statuses(&report, "L2-004").contains(&Status::Fail));
    assert_eq!(report.verdict, Verdict::Failed);
}

#[test]
fn ports_kept_apart_from_each_other_are_one_finding_of_them_alone() {
    let world = World::new().apart(A, B).apart(A, C).apart(B, C);
    let report = world.report();
    let finding = only(&report);
    assert_eq!(sides(finding), Some([nodes(&[A, B, C]), nodes(&[A, B, C])]));
    assert!(
        finding.fix.text.contains("isolated ports"),
        "{}",
        finding.fix.text
    );
}

#[test]
fn a_host_on_another_vlan_is_told_apart_from_the_rest() {
    let report = World::new().apart(A, C).apart(B, C).report();
    assert_eq!(sides(only(&report)), Some([nodes(&[C]), nodes(&[A, B])]));
}

#[test]
fn who_hears_nobody_on_a_fabric_that_answers_for_hosts_is_apart_from_none_that_it_did_not_ask() {
    let mut world = World::new();
    world.more = vec![E, F];
    let link = [A, B, C, E, F];
    world.deaf = link.into_iter().flat_map(|by| link.map(|of| (by, of))).collect();
    for one in [A, B] {
        world = world.answers(one, C, &[]).answers(C, one, &[]);
        for other in [E, F] {
            world.unasked.extend([(one, other), (other, one)]);
        }
    }
    world.unasked.extend([(C, E), (E, C), (C, F), (F, C)]);
    // A hears nothing of B either, who answers it: only C, whom nobody answers, is away from the others.
    assert_eq!(
        sides(only(&world.report())),
        Some([nodes(&[C]), nodes(&[A, B, E, F])])
    );
}

#[test]
fn what_the_matrix_lost_between_the_two_sides_is_told_under_it() {
    let stage = World::new()
        .apart(A, C)
        .apart(B, C)
        .stage()
        .sees(A, C, "4240", Signal::NeighborUnresolved)
        .sees(C, A, "4240", Signal::NeighborUnresolved)
        .sees(B, C, "4240", Signal::NeighborUnresolved)
        .sees(C, B, "4240", Signal::NeighborUnresolved);
    let report = stage.report();
    assert_eq!(only(&report).check, "L2-004");
    assert_eq!(only(&report).affects_total, 4);
}

#[test]
fn a_neighbour_that_answered_nobody_because_its_probe_was_lost_is_no_second_finding() {
    let world = World::new().apart(A, C).apart(B, C);
    let report = world.stage().without(C).report();
    let kinds: Vec<CauseKind> = report.findings.iter().map(|finding| finding.cause.kind).collect();
    assert_eq!(kinds, [CauseKind::ProbeLost]);
}

#[test]
fn silence_of_probes_that_were_cut_short_says_nothing_but_that() {
    let mut world = World::new().answers(A, B, &[]);
    world.unfinished.extend([A, C]);
    let report = world.report();
    let told = only(&report);
    assert_eq!(
        (told.check.as_str(), told.cause.kind),
        ("L2-005", CauseKind::Unmeasured)
    );
    assert_eq!(report.verdict, Verdict::Incomplete);
    let failing = world.stage().silent(A, B, "4240", None, None).report();
    let kinds = failing.findings.iter().map(|finding| finding.cause.kind);
    let unmeasured = kinds.filter(|kind| *kind == CauseKind::Unmeasured).count();
    assert_eq!(unmeasured, 1, "C's, whose tests all passed");
    // B asked A, who answered.
    assert!(statuses(&report, "L2-002").contains(&Status::Pass));
}

#[test]
fn a_gateway_that_answers_beside_the_owners_is_proxy_arp_with_its_link_address() {
    let report = World::new().answers(A, B, &[&mac(B), OF_GATEWAY]).report();
    let finding = only(&report);
    assert_eq!(
        (finding.check.as_str(), finding.cause.kind),
        ("L2-003", CauseKind::ProxyArp)
    );
    assert!(
        finding.cause.detail.contains(OF_GATEWAY),
        "{}",
        finding.cause.detail
    );
    assert_eq!(finding.status, Status::Fail);
}

#[test]
fn a_proxy_that_hides_isolated_ports_is_one_finding_that_says_so() {
    let world = World::new()
        .apart(A, B)
        .answers(A, B, &[OF_GATEWAY])
        .answers(B, A, &[OF_GATEWAY]);
    let report = world.report();
    let finding = only(&report);
    assert_eq!(finding.cause.kind, CauseKind::ProxyArp);
    assert!(
        finding.cause.detail.contains("do not hear each other"),
        "{}",
        finding.cause.detail
    );
    assert!(statuses(&report, "L2-004").contains(&Status::Fail));
}

#[test]
fn a_proxy_for_nodes_that_need_no_common_link_is_a_warning() {
    let mut world = World::new()
        .answers(A, C, &[OF_GATEWAY])
        .answers(B, C, &[OF_GATEWAY]);
    world.balancers.clear();
    let report = world.report();
    assert_eq!(
        (only(&report).status, report.verdict),
        (Status::Warn, Verdict::Warned)
    );
}

#[test]
fn a_proxy_that_delivers_nothing_weighs_as_much_as_the_tests_that_failed() {
    let mut world = World::new()
        .answers(A, C, &[OF_GATEWAY])
        .answers(B, C, &[OF_GATEWAY]);
    world.balancers.clear();
    let stage = world.stage();
    let report = stage.silent(A, C, "4240", Some((1, 0)), Some((0, 0))).report();
    assert_eq!(
        (only(&report).check.as_str(), report.verdict),
        ("L2-003", Verdict::Failed)
    );
}

#[test]
fn a_node_that_answers_for_several_others_is_the_node_to_touch() {
    let world = World::new()
        .answers(A, B, &[&mac(B), &mac(C)])
        .answers(B, A, &[&mac(A), &mac(C)]);
    assert_eq!(only(&world.report()).cause.node, Some(node(C)));
}

#[test]
fn a_control_plane_node_off_the_balancers_subnet_is_told() {
    let mut world = World::new();
    world.balancers.insert(D);
    let report = world.report();
    assert_eq!(only(&report).check, "L2-002");
    assert_eq!(sides(only(&report)), Some([nodes(&[D]), nodes(&[A, B, D])]));
}
