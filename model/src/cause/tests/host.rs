//! Causes on a host: its packet filter, its routes, its settings.

use super::*;

#[test]
fn a_port_that_a_firewalld_zone_lacks_is_one_finding_with_the_zones_own_commands() {
    let rejected = Signal::Icmp {
        icmp_type: 3,
        code: 13,
        offender: Some(CP.parse().unwrap()),
    };
    let stage = [LB, W1, W2].iter().fold(Stage::new(), |stage, src| {
        stage.sees(src, CP, "6444", rejected.clone())
    });
    let report = stage.filters(CP, firewalld_that_accepts(&[10250, 4240])).report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::HostFirewall, Some(node(CP)))
    );
    assert_eq!(
        (finding.status, finding.affects_total, finding.attempts),
        (Status::Fail, 3, 9)
    );
    assert!(
        finding.cause.detail.contains("firewalld zone public on 10.0.0.1"),
        "{}",
        finding.cause.detail
    );
    assert!(
        finding.cause.detail.contains("lacks 6444/tcp"),
        "{}",
        finding.cause.detail
    );
    assert_eq!(
        finding.fix.commands,
        [
            "firewall-cmd --zone=public --add-port=6444/tcp",
            "firewall-cmd --permanent --zone=public --add-port=6444/tcp"
        ]
    );
    assert_eq!(report.verdict, Verdict::Failed);
}

#[test]
fn on_a_live_node_nobody_is_told_to_reload_firewalld() {
    let stage = silent_at(Stage::new(), &[LB, W1, W2], CP, "6444")
        .filters(CP, firewalld_that_accepts(&[10250, 4240]))
        .knows(CP, |facts| facts.life = Life::Live);
    let report = stage.report();
    let fix = &only(&report).fix;
    assert!(fix.text.contains("do not reload"), "{}", fix.text);
    assert!(fix.commands.iter().all(|command| !command.contains("reload")));
}

#[test]
fn the_packet_filter_that_is_read_last_counts() {
    let stage = silent_at(Stage::new(), &[LB, W1, W2], CP, "6444").learns(CP, |facts| {
        facts.ruleset = Some(nft_that_drops(Hook::Input, &[6444]))
    });
    let report = stage.report();
    assert!(only(&report).cause.detail.contains("rule with handle 1"));
}

#[test]
fn an_nftables_rule_is_named_and_opened_ahead_of_itself() {
    let stage = silent_at(Stage::new(), &[LB, W1, W2], CP, "6444");
    let report = stage.filters(CP, nft_that_drops(Hook::Input, &[6444])).report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::HostFirewall, Some(node(CP)))
    );
    assert!(
        finding
            .cause
            .detail
            .contains("table inet filter, chain input, rule with handle 1"),
        "{}",
        finding.cause.detail
    );
    assert_eq!(
        finding.fix.commands[0],
        "nft insert rule inet filter input ip saddr { 10.0.0.2, 10.0.1.1, 10.0.1.2 } tcp dport { 6444 } accept"
    );
}

#[test]
fn two_rules_on_one_node_are_two_findings() {
    let stage = silent_at(Stage::new(), &[LB, W1, W2], CP, "6444,10250");
    let report = stage
        .filters(CP, nft_that_drops(Hook::Input, &[6444, 10250]))
        .report();
    assert_eq!(report.findings.len(), 2, "{:#?}", report.findings);
    assert!(report.findings.iter().all(|finding| finding.affects_total == 3));
}

#[test]
fn a_rule_that_stops_both_transports_in_both_families_is_one_finding() {
    let mut stage = Stage::new().dual();
    for family in [Family::Ipv4, Family::Ipv6] {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            stage = stage
                .over(family, protocol)
                .rule("both", "7946", &[LB, W1], &[CP]);
            stage = silent_at(stage, &[LB, W1], CP, "7946");
        }
    }
    let report = stage.filters(CP, nft_that_drops(Hook::Input, &[7946])).report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node, finding.affects_total),
        (CauseKind::HostFirewall, Some(node(CP)), 8)
    );
}

#[test]
fn a_node_that_drops_everything_is_one_finding_even_without_its_rules() {
    let report = silent_at(Stage::new(), &[LB, W1, W2], CP, "4240,6444,10250").report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::HostFirewall, Some(node(CP)))
    );
    assert_eq!(finding.affects_total, 9);
    assert!(
        finding.cause.detail.contains("by its capture"),
        "{}",
        finding.cause.detail
    );
}

#[test]
fn questions_that_vanish_behind_a_filter_that_accepts_are_a_host_setting() {
    let stage = silent_at(Stage::new(), &[W1], CP, "6444").filters(CP, nft_that_drops(Hook::Input, &[1]));
    let report = stage.report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::HostSetting, Some(node(CP)))
    );
    assert!(
        finding
            .fix
            .commands
            .iter()
            .any(|command| command.contains("rp_filter"))
    );
}

#[test]
fn a_node_that_does_not_let_its_own_questions_out_is_to_blame_itself() {
    let stage = [CP, LB, W2].iter().fold(Stage::new(), |stage, dst| {
        stage.silent(W1, dst, "10250", Some((0, 0)), Some((0, 0)))
    });
    let report = stage.filters(W1, nft_that_drops(Hook::Output, &[10250])).report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::HostFirewall, Some(node(W1)))
    );
    assert!(
        finding.fix.commands[0].starts_with("nft insert rule inet filter output ip daddr"),
        "{:?}",
        finding.fix
    );
}

#[test]
fn answers_that_arrive_and_go_no_further_are_the_sources_own_filter() {
    let report = Stage::new()
        .silent(W1, CP, "6444", Some((1, 1)), Some((1, 1)))
        .report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::HostFirewall, Some(node(W1)))
    );
}

#[test]
fn a_host_that_swallows_its_own_answers_is_named_for_tests_that_nobody_watched() {
    let stage = silent_at(Stage::new(), &[LB], CP, "6444").sees(W1, CP, "6444", Signal::Silence);
    let report = stage.filters(CP, nft_that_drops_answers(6444)).report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.affects_total),
        (CauseKind::HostFirewall, 2)
    );
    assert!(
        finding.fix.commands[0].contains("sport { 6444 }"),
        "{:?}",
        finding.fix
    );
}

#[test]
fn a_rule_in_another_table_of_iptables_is_opened_in_that_table() {
    let mut ruleset = nft_that_drops(Hook::Prerouting, &[6444]);
    let table = &mut ruleset.tables[0];
    table.family = TableFamily::Ip;
    "raw".clone_into(&mut table.name);
    "PREROUTING".clone_into(&mut table.chains[0].name);
    let report = silent_at(Stage::new(), &[LB, W1, W2], CP, "6444")
        .filters(CP, ruleset)
        .report();
    assert_eq!(
        only(&report).fix.commands,
        ["iptables -t raw -I PREROUTING -s 10.0.0.2,10.0.1.1,10.0.1.2 -p tcp --dport 6444 -j ACCEPT"]
    );
}

#[test]
fn rules_of_the_legacy_iptables_are_named_as_what_was_not_read() {
    let mut ruleset = nft_that_drops(Hook::Input, &[1]);
    ruleset.legacy_tables.push("ip filter".to_owned());
    let report = silent_at(Stage::new(), &[LB, W1, W2], CP, "6444")
        .filters(CP, ruleset)
        .report();
    let finding = only(&report);
    assert!(
        finding
            .cause
            .detail
            .ends_with("since the legacy iptables (ip filter) were not read"),
        "{}",
        finding.cause.detail
    );
    assert!(
        finding.fix.commands.contains(&"iptables-legacy-save".to_owned()),
        "{:?}",
        finding.fix
    );
    assert!(
        !finding.fix.text.contains("CAP_NET_ADMIN"),
        "{}",
        finding.fix.text
    );
}

#[test]
fn no_privilege_is_asked_for_where_a_packet_filter_was_too_large_to_report() {
    let stage = silent_at(Stage::new(), &[CP, LB, W2], W1, "10250");
    let text = |why: &'static str, may_read: bool| {
        let report = stage
            .clone()
            .knows(W1, move |facts| {
                facts.capabilities.read_ruleset = may_read;
                facts.ruleset_unread = Some(why.to_owned());
            })
            .report();
        let finding = only(&report);
        assert_eq!(finding.cause.node, Some(node(W1)));
        assert!(finding.cause.detail.contains(why), "{}", finding.cause.detail);
        finding.fix.text.clone()
    };
    assert!(!text("it has 9 octets", true).contains("CAP_NET_ADMIN"));
    assert!(text("read the packet filter: CAP_NET_ADMIN is missing", false).contains("CAP_NET_ADMIN"));
}

#[test]
fn a_missing_route_explains_the_answers_that_do_not_leave() {
    for (signal, kind_of_route) in [
        (Signal::NoRoute, "blackhole"),
        (Signal::LocalDenied { errno: 13 }, "prohibit"),
    ] {
        let stage = Stage::of(&[CP, W1])
            .rule("there", "10250", &[CP], &[W1])
            .rule("back", "4240", &[W1], &[CP])
            .sees(CP, W1, "10250", signal);
        let report = silent_at(stage, &[W1], CP, "4240")
            .filters(CP, nft_that_drops(Hook::Input, &[1]))
            .report();
        let finding = only(&report);
        assert_eq!(
            (finding.cause.kind, finding.cause.node, finding.affects_total),
            (CauseKind::HostSetting, Some(node(CP)), 2)
        );
        assert!(finding.fix.text.contains(kind_of_route), "{}", finding.fix.text);
        assert_eq!(finding.fix.commands[0], "ip route get 10.0.1.1");
    }
}
