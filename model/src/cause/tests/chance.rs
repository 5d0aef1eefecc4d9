//! Rules that stop some packets and let others pass.

use super::*;
use crate::report::stage::{nft_that_draws_lots, nft_that_limits};

/// A port from each of these is answered in the second look only.
fn lossy(stage: Stage, sources: &[&str], destinations: &[&str], at: &str) -> Stage {
    let pairs = sources
        .iter()
        .flat_map(|src| destinations.iter().map(move |dst| (*src, *dst)));
    pairs.fold(stage, |stage, (src, dst)| {
        stage
            .sees(src, dst, at, Signal::Silence)
            .sees_again(src, dst, at, Signal::Verified)
    })
}

#[test]
fn a_limit_on_a_host_that_stops_some_questions_and_some_answers_is_one_finding() {
    let stage = lossy(Stage::new(), &[LB, W1, W2], &[CP], "10250");
    let stage = lossy(stage, &[CP], &[LB, W1], "4240").sees(W2, CP, "6444", Signal::Silence);
    let unread = stage.clone().report();
    assert!(
        unread
            .findings
            .iter()
            .all(|finding| finding.cause.kind != CauseKind::HostFirewall),
        "{:#?}",
        unread.findings
    );
    let report = stage.filters(CP, nft_that_limits()).report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node, finding.affects_total),
        (CauseKind::HostFirewall, Some(node(CP)), 6)
    );
    assert_eq!(
        (finding.status, finding.severity),
        (Status::Fail, FindingSeverity::Fail)
    );
    let detail = &finding.cause.detail;
    assert!(
        detail.contains("6 tests over 5 pairs")
            && detail.contains("table inet filter, chain input, rule with handle 7: "),
        "{detail}"
    );
    assert!(
        finding
            .fix
            .commands
            .contains(&"nft delete rule inet filter input handle 7".to_owned()),
        "{:?}",
        finding.fix
    );
}

#[test]
fn a_rule_that_draws_lots_is_found_at_the_input_of_who_asks_and_at_the_output_and_warns() {
    for hook in [Hook::Input, Hook::Output] {
        let stage = lossy(Stage::new(), &[W1], &[CP, LB, W2], "10250");
        let report = stage.filters(W1, nft_that_draws_lots(hook)).report();
        let finding = only(&report);
        assert_eq!(
            (finding.cause.kind, finding.cause.node),
            (CauseKind::HostFirewall, Some(node(W1)))
        );
        assert_eq!(finding.status, Status::Warn);
        let detail = &finding.cause.detail;
        assert!(detail.contains("rule with handle 9: "), "{detail}");
    }
}

#[test]
fn what_a_rule_by_chance_does_not_see_is_lost_elsewhere() {
    let stage = Stage::new()
        .over(Family::Ipv4, Protocol::Udp)
        .rule("overlay", "6081", &[LB, W1, W2], &[CP]);
    let stage = lossy(stage, &[LB, W1, W2], &[CP], "6081");
    let report = stage.filters(CP, nft_that_draws_lots(Hook::Input)).report();
    assert_eq!(only(&report).cause.kind, CauseKind::LossyPath);
}

#[test]
fn silence_that_captures_place_on_the_way_is_no_doing_of_a_rule_by_chance() {
    let stage = lossy(Stage::new(), &[LB, W1], &[CP], "10250");
    let stage = stage.silent(W2, CP, "6444", Some((1, 0)), Some((0, 0)));
    let report = stage.filters(CP, nft_that_limits()).report();
    let kinds: Vec<CauseKind> = report.findings.iter().map(|finding| finding.cause.kind).collect();
    assert_eq!(kinds, [CauseKind::PathFilter, CauseKind::HostFirewall]);
}

#[test]
fn a_rule_that_leaves_all_peers_alone_but_one_is_not_what_loses_that_ones_packets() {
    let all = [CP, LB, W1, W2];
    let stage = lossy(
        Stage::of(&all).rule("range", "30000-30009", &[LB, W1, W2], &[CP]),
        &[W2],
        &[CP],
        "30000-30009",
    );
    let report = stage.filters(CP, nft_that_limits()).report();
    assert_eq!(only(&report).cause.kind, CauseKind::LossyPath);
}
