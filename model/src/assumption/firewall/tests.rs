//! Rules about packet filters over a real firewalld's rules (zone public with 22/tcp, 10250/tcp and more, zone k8s-pods for
//! 192.168.5.0/24) on the nodes of a hand-made run.

use super::{super::Opinion, *};
use crate::{
    assumption::{Lack, Ruling, Scene},
    errand::Errand,
    evidence::Group,
    firewall::Ruleset,
    observation::{FirewallSettings, Firewalld, Record, Target, Zone},
    report::stage::{CP, LB, Stage, W1, W2, firewalld_that_accepts, node, ports},
};

mod agents;

/// A run in which every node was inspected.
fn stage() -> Stage {
    let mut stage = Stage::new();
    stage.parameters.groups = vec![Group::Reach, Group::Host];
    for who in [CP, LB, W1, W2] {
        stage = stage.sends(who, Errand::Inspect);
    }
    let plain = |stage: Stage, who| stage.tells(who, Record::Firewalls(Box::default()));
    [CP, LB, W2].into_iter().fold(stage, plain)
}

/// A zone as a file has it.
fn zone(name: &str, tcp: &str) -> Zone {
    let mut zone = Zone {
        name: name.to_owned(),
        ..Zone::default()
    };
    zone.opened.tcp = ports(tcp);
    zone
}

/// firewalld with these zones on disk.
fn firewalld(zones: Vec<Zone>) -> Firewalld {
    Firewalld {
        started_ticks: Some(1_000),
        default_zone: "public".to_owned(),
        flushes_all_on_reload: true,
        zones,
        ..Firewalld::default()
    }
}

/// On 10.0.1.1 firewalld runs with these rules and this on disk.
fn with_firewalld(stage: Stage, ruleset: Ruleset, firewalld: Firewalld) -> Stage {
    let settings = FirewallSettings {
        firewalld: Some(firewalld),
        ..FirewallSettings::default()
    };
    stage
        .filters(W1, ruleset)
        .tells(W1, Record::Firewalls(Box::new(settings)))
}

/// What a rule says of a run of which no test is known.
fn judged(stage: &Stage, judge: fn(&Scene<'_>) -> Vec<Ruling>) -> Vec<Ruling> {
    stage.looked_at(judge)
}

/// Its opinion in one letter, for each subject; and the complaints.
fn said(rulings: &[Ruling]) -> String {
    rulings
        .iter()
        .map(|ruling| match ruling.opinion {
            Opinion::Pass => 'p',
            Opinion::Warn(_) => 'w',
            Opinion::Fail(_) => 'f',
            Opinion::NotMeasured(_) => '-',
        })
        .collect()
}

/// The only complaint.
fn complaint(rulings: Vec<Ruling>) -> crate::assumption::Complaint {
    let mut complaints = rulings.into_iter().filter_map(|ruling| match ruling.opinion {
        Opinion::Warn(complaint) | Opinion::Fail(complaint) => Some(complaint),
        Opinion::Pass | Opinion::NotMeasured(_) => None,
    });
    let first = complaints.next().unwrap();
    assert!(complaints.next().is_none());
    first
}

#[test]
fn one_manager_or_none_is_as_it_should_be() {
    let stage = with_firewalld(stage(), firewalld_that_accepts(&[10250]), firewalld(Vec::new()));
    assert_eq!(said(&judged(&stage, managers::judge)), "pppp");
}

#[test]
fn ufw_fails_on_a_node_of_bmctl_and_is_a_manager_among_others_elsewhere() {
    let mut ruleset = firewalld_that_accepts(&[10250]);
    let mut chain = ruleset.tables[0].chains[1].clone();
    chain.name = "ufw-user-input".to_owned();
    ruleset.tables[0].chains.push(chain);
    let mut stage = with_firewalld(stage(), ruleset, firewalld(Vec::new()));
    let rulings = judged(&stage, managers::judge);
    assert_eq!(said(&rulings), "ppfp");
    let told = complaint(rulings);
    assert_eq!(told.cause.node, Some(node(W1)));
    assert_eq!(told.fix.commands[0], "ufw disable");
    stage.inventory.profile = "kubeadm".to_owned();
    let rulings = judged(&stage, managers::judge);
    assert_eq!(said(&rulings), "ppwp");
    assert!(
        complaint(rulings)
            .cause
            .detail
            .starts_with("firewalld and ufw are")
    );
}

#[test]
fn a_zone_that_lets_in_everything_that_the_tables_ask_for_passes() {
    let stage = with_firewalld(
        stage(),
        firewalld_that_accepts(&[10250, 4240]),
        firewalld(Vec::new()),
    );
    assert_eq!(said(&judged(&stage, zone_ports::judge)), "p");
}

#[test]
fn ports_that_a_zone_stops_are_named_with_the_commands_that_open_them() {
    let stage = with_firewalld(stage(), firewalld_that_accepts(&[22]), firewalld(Vec::new()));
    let told = complaint(judged(&stage, zone_ports::judge));
    assert!(
        told.cause.detail.contains("firewalld zone public on 10.0.1.1"),
        "{}",
        told.cause.detail
    );
    assert_eq!(
        told.fix.commands,
        [
            "firewall-cmd --zone=public --add-port=4240/tcp",
            "firewall-cmd --zone=public --add-port=10250/tcp",
            "firewall-cmd --permanent --zone=public --add-port=4240/tcp",
            "firewall-cmd --permanent --zone=public --add-port=10250/tcp",
        ]
    );
}

#[test]
fn what_failing_tests_tell_of_a_zone_is_told_once() {
    use crate::observation::Signal;
    let refused = Signal::Icmp {
        icmp_type: 3,
        code: 13,
        offender: Some("10.0.1.1".parse().unwrap()),
    };
    let stage = with_firewalld(stage(), firewalld_that_accepts(&[4240]), firewalld(Vec::new()));
    let seen = [CP, LB, W2].into_iter().fold(stage, |stage, from| {
        stage.sees(from, W1, "10250", refused.clone())
    });
    let report = seen.report();
    // Nothing is said here of what other checks ask for.
    let of_filters = report
        .findings
        .iter()
        .filter(|finding| finding.cause.kind == crate::cause::CauseKind::HostFirewall);
    let told: Vec<&str> = of_filters.map(|finding| finding.check.as_str()).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_ne!(told[0], "FW-002");
    let row = report.checks.iter().find(|row| row.id == "FW-002").unwrap();
    assert!(row.detail.contains("10250/tcp"), "{}", row.detail);
}

#[test]
fn a_zone_of_which_nobody_asks_a_port_is_not_said_to_let_all_in() {
    let mut stage = with_firewalld(stage(), firewalld_that_accepts(&[22]), firewalld(Vec::new()));
    stage.plan.blocks.clear();
    assert_eq!(said(&judged(&stage, zone_ports::judge)), "");
}

#[test]
fn a_port_of_which_rules_do_not_tell_is_no_gap_once_a_test_was_made_of_it() {
    let mut ruleset = firewalld_that_accepts(&[22, 4240]);
    let rate = crate::report::stage::nft_that_limits().tables[0].chains[0].rules[0].expressions[0].clone();
    let chains = ruleset.tables[0].chains.iter_mut();
    let allow = chains.last().unwrap();
    let mut limited = allow.rules[0].clone();
    limited.expressions = vec![rate, limited.expressions.last().unwrap().clone()];
    allow.rules.push(limited);
    let stage = with_firewalld(stage(), ruleset, firewalld(Vec::new()));
    let rulings = judged(&stage, zone_ports::judge);
    assert!(
        matches!(rulings[0].opinion, Opinion::NotMeasured(Lack::Other(..))),
        "{rulings:?}"
    );
    let report = stage.report();
    let row = report.checks.iter().find(|row| row.id == "FW-002").unwrap();
    assert!(
        row.detail.contains("of 10250/tcp the tests that were made tell"),
        "{}",
        row.detail
    );
    let told = report.findings.iter().any(|finding| finding.check == "FW-002");
    assert!(!told);
}

#[test]
fn without_the_right_to_read_rules_a_zone_is_not_measured_and_the_capability_is_named() {
    let settings = FirewallSettings {
        firewalld: Some(firewalld(Vec::new())),
        ..FirewallSettings::default()
    };
    let stage = stage().tells(W1, Record::Firewalls(Box::new(settings)));
    let rulings = judged(&stage, zone_ports::judge);
    assert!(matches!(
        rulings[0].opinion,
        Opinion::NotMeasured(Lack::Capability(who, "CAP_NET_ADMIN")) if who == node(W1)
    ));
}

const FIREWALLD: &str = include_str!("../../firewall/fixtures/firewalld.json");

/// A real firewalld's rules: zone public lets in 22, 10250 and 30000 to 32767, 192.168.5.0/24 is a source of a zone that
/// accepts.
fn real_rules() -> Ruleset {
    serde_json::from_str(FIREWALLD).unwrap()
}

/// The zone of pods.
fn pods(target: Target) -> Zone {
    Zone {
        name: "k8s-pods".to_owned(),
        target,
        sources: vec!["192.168.5.0/24".parse().unwrap()],
        ..Zone::default()
    }
}

#[test]
fn ports_on_disk_alone_that_are_stopped_are_a_reload_that_nobody_did() {
    let disk = firewalld(vec![zone("public", "22,4240,10250")]);
    let stage = with_firewalld(stage(), firewalld_that_accepts(&[22]), disk);
    let told = complaint(judged(&stage, drift::judge));
    assert!(
        told.cause
            .detail
            .contains("4240/tcp, 10250/tcp are in it, and stopped"),
        "{}",
        told.cause.detail
    );
    assert_eq!(told.fix.commands, ["firewall-cmd --reload"]);
    // It is told once.
    assert_eq!(said(&judged(&stage, zone_ports::judge)), "-");
}

#[test]
fn on_a_live_node_nobody_is_told_to_reload() {
    let disk = firewalld(vec![zone("public", "22,4240,10250")]);
    let stage = with_firewalld(stage(), firewalld_that_accepts(&[22]), disk).live(W1);
    let told = complaint(judged(&stage, drift::judge));
    assert_eq!(
        told.fix.commands,
        [
            "firewall-cmd --zone=public --add-port=4240/tcp",
            "firewall-cmd --zone=public --add-port=10250/tcp"
        ]
    );
    assert!(told.fix.text.contains("do not reload"), "{}", told.fix.text);
}

#[test]
fn ports_that_the_next_start_would_shut_are_a_warning() {
    let disk = firewalld(vec![zone("public", "22,4240")]);
    let stage = with_firewalld(stage(), firewalld_that_accepts(&[22, 4240, 10250]), disk);
    let rulings = judged(&stage, drift::judge);
    assert_eq!(said(&rulings), "w");
    assert_eq!(
        complaint(rulings).fix.commands,
        ["firewall-cmd --permanent --zone=public --add-port=10250/tcp"]
    );
}

#[test]
fn ports_that_rich_rules_may_open_are_no_drift() {
    let mut public = zone("public", "22,4240");
    public.sometimes.tcp = ports("10250");
    let stage = with_firewalld(
        stage(),
        firewalld_that_accepts(&[22, 4240, 10250]),
        firewalld(vec![public]),
    );
    assert_eq!(said(&judged(&stage, drift::judge)), "p");
}

#[test]
fn ports_missing_from_both_configurations_are_told_with_those_that_were_not_loaded() {
    let disk = firewalld(vec![zone("public", "22,4240")]);
    let stage = with_firewalld(stage(), firewalld_that_accepts(&[22]), disk);
    assert_eq!(said(&judged(&stage, drift::judge)), "-");
    let told = complaint(judged(&stage, zone_ports::judge));
    assert!(
        told.cause.detail.contains("4240/tcp, 10250/tcp"),
        "{}",
        told.cause.detail
    );
}

#[test]
fn pods_whose_zone_accepts_everything_pass() {
    let disk = firewalld(vec![pods(Target::Accept), zone("public", "22")]);
    let mut stage = with_firewalld(stage(), real_rules(), disk);
    stage.inventory.pods = vec!["192.168.5.0/24".parse().unwrap()];
    assert_eq!(said(&judged(&stage, pod_sources::judge)), "p");
}

#[test]
fn pods_without_a_zone_are_stopped_and_added_to_zone_trusted() {
    let mut stage = with_firewalld(stage(), real_rules(), firewalld(vec![zone("public", "22")]));
    stage.inventory.pods = vec!["172.16.0.0/16".parse().unwrap()];
    let rulings = judged(&stage, pod_sources::judge);
    assert_eq!(said(&rulings), "f");
    assert_eq!(
        complaint(rulings).fix.commands,
        [
            "firewall-cmd --zone=trusted --add-source=172.16.0.0/16",
            "firewall-cmd --permanent --zone=trusted --add-source=172.16.0.0/16"
        ]
    );
}

#[test]
fn pods_whose_zone_is_gone_with_the_next_start_are_a_warning() {
    let mut stage = with_firewalld(stage(), real_rules(), firewalld(vec![zone("public", "22")]));
    stage.inventory.pods = vec!["192.168.5.0/24".parse().unwrap()];
    let rulings = judged(&stage, pod_sources::judge);
    assert_eq!(said(&rulings), "w");
    assert_eq!(
        complaint(rulings).fix.commands,
        ["firewall-cmd --permanent --zone=trusted --add-source=192.168.5.0/24"]
    );
}

#[test]
fn pods_whose_zone_on_disk_forgot_its_target_are_moved_to_zone_trusted() {
    let disk = firewalld(vec![pods(Target::Default), zone("public", "22")]);
    let mut stage = with_firewalld(stage(), firewalld_that_accepts(&[22]), disk);
    stage.inventory.pods = vec!["192.168.5.0/24".parse().unwrap()];
    let told = complaint(judged(&stage, pod_sources::judge));
    assert_eq!(
        told.fix.commands,
        [
            "firewall-cmd --zone=trusted --change-source=192.168.5.0/24",
            "firewall-cmd --permanent --zone=trusted --change-source=192.168.5.0/24"
        ]
    );
}
