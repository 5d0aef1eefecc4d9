//! What is said of tests of which only some were made.

use super::*;
use crate::{evidence::Retest, id::RunId};

/// Two ports of the nodes of the first subnet, closed to one node of the second over IPv6.
fn closed_over_ipv6(participants: &[&str]) -> Stage {
    let mut stage = Stage::of(participants)
        .dual()
        .over(Family::Ipv6, Protocol::Tcp)
        .rule("cp.api", "6444,9100", &[W1], &[CP, LB]);
    for dst in [CP, LB] {
        stage = stage.silent(W1, dst, "6444,9100", Some((1, 0)), Some((0, 0)));
    }
    stage
}

#[test]
fn a_retest_names_the_nodes_that_it_asked_and_concludes_nothing_about_others() {
    let detail = |stage: Stage| only(&stage.report()).cause.detail.clone();
    let first = detail(closed_over_ipv6(&[CP, LB, W1]));
    assert!(
        first.starts_with("nothing passes from 10.0.1.1")
            && first.contains("to fd00::/64 (asked: 6444/tcp and 9100/tcp over IPv6)"),
        "{first}"
    );
    let mut again = closed_over_ipv6(&[CP, LB, W1]);
    again.parameters.retest = Some(Retest {
        run: RunId::from_bytes([9; 8]),
        report_sha256: "ab".repeat(32),
        tests: Vec::new(),
    });
    let again = detail(again);
    assert!(
        again.contains("6444/tcp and 9100/tcp over IPv6 from 10.0.1.1")
            && again.contains(" to 10.0.0.1 and 10.0.0.2 is dropped on the way"),
        "{again}"
    );
}

#[test]
fn a_prefix_is_not_named_while_an_address_of_one_on_its_link_is_not_known() {
    let report = closed_over_ipv6(&[CP, LB, "10.0.0.3", W1])
        .without("10.0.0.3")
        .report();
    let mut findings = report.findings.iter();
    let filter = findings.find(|finding| finding.cause.kind == CauseKind::PathFilter);
    let detail = &filter.unwrap().cause.detail;
    assert!(detail.contains(" to 10.0.0.1 and 10.0.0.2"), "{detail}");
}

#[test]
fn a_finding_counts_a_pair_once_over_families_and_transports() {
    let mut stage = Stage::of(&[CP, LB, W1]).dual();
    for family in [Family::Ipv4, Family::Ipv6] {
        for (protocol, at) in [(Protocol::Tcp, "10250"), (Protocol::Udp, "6081")] {
            stage = stage.over(family, protocol).rule("both", at, &[LB, W1], &[CP]);
            stage = silent_at(stage, &[LB, W1], CP, at);
        }
    }
    let report = stage.report();
    let detail = &only(&report).cause.detail;
    assert!(detail.contains("8 tests over 2 pairs"), "{detail}");
}
