//! One cause over transports and families.

use super::*;

const TRANSPORTS: [(Family, Protocol); 4] = [
    (Family::Ipv4, Protocol::Tcp),
    (Family::Ipv4, Protocol::Udp),
    (Family::Ipv6, Protocol::Tcp),
    (Family::Ipv6, Protocol::Udp),
];

/// Both transports in both families, everybody to everybody.
fn both_of_both() -> Stage {
    let all = [CP, LB, W1, W2];
    TRANSPORTS
        .iter()
        .fold(Stage::of(&all).dual(), |stage, (family, protocol)| {
            let stage = stage.over(*family, *protocol);
            match protocol {
                Protocol::Tcp => stage.rule("node.kubelet", "10250", &all, &all),
                _ => stage.rule("node.overlay", "6081", &all, &all),
            }
        })
}

fn port(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "10250",
        _ => "6081",
    }
}

/// Every pair that crosses between the two subnets.
fn crossing() -> Vec<(&'static str, &'static str)> {
    let there = [(CP, W1), (CP, W2), (LB, W1), (LB, W2)];
    there
        .into_iter()
        .chain(there.map(|(src, dst)| (dst, src)))
        .collect()
}

#[test]
fn masquerade_between_two_subnets_is_one_finding_over_transports_families_and_directions() {
    let mut stage = both_of_both();
    for (family, protocol) in TRANSPORTS {
        for (src, dst) in crossing() {
            let at = port(protocol);
            // A router has an address of its own on each link, and in each family.
            let router = match (family, dst.starts_with("10.0.1.")) {
                (Family::Ipv4, true) => "10.0.1.254",
                (Family::Ipv4, false) => "10.0.0.254",
                (Family::Ipv6, true) => "fd00:1::fe",
                (Family::Ipv6, false) => "fd00::fe",
            };
            stage = stage.over(family, protocol);
            stage = match protocol {
                Protocol::Tcp => {
                    let how = Unproven::Closed;
                    let closed = Signal::Unproven { how };
                    stage
                        .sees(src, dst, at, closed.clone())
                        .sees_again(src, dst, at, closed)
                }
                _ => stage.silent(src, dst, at, Some((1, 0)), Some((0, 0))),
            };
            stage = stage.hears_a_stranger(dst, router, at, 1);
        }
    }
    let report = stage.report();
    let cause = &only(&report).cause;
    assert_eq!((cause.kind, cause.node), (CauseKind::SourceNat, None));
    for router in ["10.0.0.254", "10.0.1.254", "fd00::fe", "fd00:1::fe"] {
        assert!(
            cause.detail.contains(router),
            "{router} is not in: {}",
            cause.detail
        );
    }
    assert_eq!(only(&report).affects_total, 32);
}

fn dropped_between_subnets(only_in: Option<Family>) -> Report {
    let mut stage = both_of_both();
    for (family, protocol) in TRANSPORTS {
        if only_in.is_some_and(|only| only != family) {
            continue;
        }
        for (src, dst) in crossing() {
            let at = port(protocol);
            stage = stage
                .over(family, protocol)
                .silent(src, dst, at, Some((1, 0)), Some((0, 0)));
        }
    }
    stage.report()
}

#[test]
fn a_link_that_drops_both_transports_of_both_families_is_one_finding_that_names_each_port_once() {
    let report = dropped_between_subnets(None);
    let detail = &only(&report).cause.detail;
    assert_eq!(detail.matches("6081/udp").count(), 1, "{detail}");
    assert_eq!(detail.matches("10250/tcp").count(), 1, "{detail}");
    assert!(detail.contains("10.0.0.0/24 (fd00::/64)"), "{detail}");
}

#[test]
fn what_only_ipv6_drops_is_told_with_its_prefixes_and_a_command_that_asks_over_ipv6() {
    let report = dropped_between_subnets(Some(Family::Ipv6));
    let finding = only(&report);
    let detail = &finding.cause.detail;
    assert!(detail.contains("over IPv6"), "{detail}");
    assert!(detail.contains("fd00:1::/64"), "{detail}");
    assert!(!detail.contains("10.0.0.0"), "{detail}");
    let command = &finding.fix.commands[0];
    assert!(
        command.contains("nc -6 ") && command.contains("fd00:"),
        "{command}"
    );
}

#[test]
fn what_only_ipv4_drops_in_a_cluster_of_both_families_says_so() {
    let report = dropped_between_subnets(Some(Family::Ipv4));
    let detail = &only(&report).cause.detail;
    assert!(
        detail.contains("over IPv4") && !detail.contains("fd00"),
        "{detail}"
    );
}

#[test]
fn a_lost_datagram_is_sought_with_a_capture_where_it_should_arrive() {
    let stage =
        Stage::of(&[CP, W1])
            .over(Family::Ipv4, Protocol::Udp)
            .rule("node.overlay", "6081", &[CP], &[W1]);
    let report = stage.silent(CP, W1, "6081", Some((1, 0)), Some((0, 0))).report();
    assert_eq!(only(&report).check, "PORT-002");
    let commands = &only(&report).fix.commands;
    assert!(
        commands[0].starts_with("ssh 10.0.1.1 ") && commands[0].contains("tcpdump"),
        "{commands:?}"
    );
    assert!(
        commands[1].contains("ssh 10.0.0.1 ") && commands[1].contains("nc -u"),
        "{commands:?}"
    );
}

#[test]
fn a_port_that_only_one_direction_asks_for_is_lost_with_those_that_both_do() {
    // The admin workstation, in the same subnet, gets through on it.
    let all = [CP, LB, W1, W2];
    let admin = "10.0.0.9";
    let mut stage = Stage::of(&[CP, LB, admin, W1, W2])
        .rule("node.kubelet", "4240,10250", &all, &all)
        .rule("node.ssh", "22", &[CP, admin], &[W1, W2]);
    for (src, dst) in crossing() {
        stage = stage.silent(src, dst, "4240,10250", Some((1, 0)), Some((0, 0)));
    }
    for dst in [W1, W2] {
        stage = stage.silent(CP, dst, "22", Some((1, 0)), Some((0, 0)));
    }
    let report = stage.report();
    assert_eq!(only(&report).affects_total, 18);
}
