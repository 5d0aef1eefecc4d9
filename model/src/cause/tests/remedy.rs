//! What mends a fault, and nothing beside it.

use super::*;
use crate::firewall::Policy;

/// One port of each family on the control plane, from everybody, without an answer.
fn silent_in_both(at: &str) -> Stage {
    let mut stage = Stage::of(&[CP, LB, W1]).dual();
    for family in [Family::Ipv4, Family::Ipv6] {
        stage = stage
            .over(family, Protocol::Tcp)
            .rule("cp.api", at, &[LB, W1], &[CP]);
        stage = silent_at(stage, &[LB, W1], CP, at);
    }
    stage
}

#[test]
fn a_zone_of_firewalld_gets_each_port_once_though_both_families_lack_it() {
    let report = silent_in_both("6444")
        .filters(CP, firewalld_that_accepts(&[10250]))
        .report();
    assert_eq!(
        only(&report).fix.commands,
        [
            "firewall-cmd --zone=public --add-port=6444/tcp",
            "firewall-cmd --permanent --zone=public --add-port=6444/tcp"
        ]
    );
}

#[test]
fn the_zone_of_an_interface_gets_each_port_once_though_both_families_lack_it() {
    let report = silent_in_both("6444")
        .knows(CP, |facts| facts.firewalld = true)
        .report();
    let commands = &only(&report).fix.commands;
    assert_eq!(commands.len(), 2, "{commands:#?}");
}

/// A rule that stops everything, whoever asks; W1 and W2 ask for one port, LB for others.
fn asked_for_different_ports(family: TableFamily, name: &str) -> Report {
    let mut ruleset = nft_that_drops(Hook::Input, &[]);
    let table = &mut ruleset.tables[0];
    table.family = family;
    let chain = &mut table.chains[0];
    name.clone_into(&mut chain.name);
    chain.base.as_mut().unwrap().policy = Policy::Drop;
    let stage = Stage::of(&[CP, LB, W1, W2])
        .rule("cp.api", "6444", &[W1, W2], &[CP])
        .rule("cp.lb", "7000,7100-7200", &[LB], &[CP]);
    let stage = silent_at(stage, &[W1, W2], CP, "6444");
    silent_at(stage, &[LB], CP, "7000,7100-7200")
        .filters(CP, ruleset)
        .report()
}

#[test]
fn nft_opens_to_each_source_what_it_asks_for_and_no_more() {
    let report = asked_for_different_ports(TableFamily::Inet, "input");
    let commands = &only(&report).fix.commands;
    let opened: Vec<&String> = commands
        .iter()
        .filter(|command| command.contains("insert"))
        .collect();
    assert_eq!(
        opened,
        [
            "nft insert rule inet filter input ip saddr { 10.0.1.1, 10.0.1.2 } tcp dport { 6444 } accept",
            "nft insert rule inet filter input ip saddr { 10.0.0.2 } tcp dport { 7000, 7100-7200 } accept",
        ]
    );
}

#[test]
fn iptables_opens_to_each_source_what_it_asks_for_and_no_more() {
    let report = asked_for_different_ports(TableFamily::Ip, "INPUT");
    assert_eq!(
        only(&report).fix.commands,
        [
            "iptables -I INPUT -s 10.0.1.1,10.0.1.2 -p tcp --dport 6444 -j ACCEPT",
            "iptables -I INPUT -s 10.0.0.2 -p tcp -m multiport --dports 7000,7100:7200 -j ACCEPT",
        ]
    );
}

#[test]
fn rules_of_the_legacy_ip6tables_are_sought_with_their_own_program() {
    let mut ruleset = nft_that_drops(Hook::Input, &[1]);
    ruleset.legacy_tables.push("ip6 filter".to_owned());
    let report = silent_in_both("6444").filters(CP, ruleset).report();
    let commands: Vec<&String> = report
        .findings
        .iter()
        .flat_map(|finding| &finding.fix.commands)
        .collect();
    let has = |command: &str| commands.iter().any(|own| *own == command);
    assert!(
        has("ip6tables-legacy-save") && !has("iptables-legacy-save"),
        "{commands:?}"
    );
    assert!(has("ip6tables-save"), "{commands:?}");
}

#[test]
fn a_range_that_sources_share_is_opened_to_each_of_them_whole() {
    let mut ruleset = nft_that_drops(Hook::Input, &[]);
    ruleset.tables[0].chains[0].base.as_mut().unwrap().policy = Policy::Drop;
    let stage = Stage::of(&[CP, LB, W1])
        .rule("worker.nodeport", "30000-30099", &[CP, LB], &[W1])
        .shared();
    let stage = silent_at(stage, &[CP, LB], W1, "30000-30099");
    let report = stage.filters(W1, ruleset).report();
    assert_eq!(
        only(&report).fix.commands[0],
        "nft insert rule inet filter input ip saddr { 10.0.0.1, 10.0.0.2 } tcp dport { 30000-30099 } accept"
    );
}
