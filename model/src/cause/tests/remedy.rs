//! What mends a fault, and nothing beside it.

use super::*;
use crate::{firewall::Policy, observation::HostFacts};

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

/// Silence on one port, of which no capture tells the place.
fn silent_somewhere() -> Stage {
    Stage::of(&[CP, W1])
        .rule("node.health", "4240", &[CP], &[W1])
        .sees(CP, W1, "4240", Signal::Silence)
}

/// As a probe is that runs as root.
fn privileged(facts: &mut HostFacts) {
    facts.capabilities.capture = true;
    facts.capabilities.read_ruleset = true;
}

#[test]
fn without_privilege_at_the_ends_the_remedy_is_the_privilege_and_the_network_team_is_left_alone() {
    let denied = |facts: &mut HostFacts| {
        let why = "read the packet filter of this host: read the packet filter: CAP_NET_ADMIN is missing";
        facts.ruleset_unread = Some(why.to_owned());
    };
    let report = silent_somewhere().knows(CP, denied).knows(W1, denied).report();
    let finding = only(&report);
    let (detail, text) = (&finding.cause.detail, &finding.fix.text);
    assert!(
        detail.contains("lack the privilege to capture and read the packet filter"),
        "{detail}"
    );
    assert!(
        text.starts_with("Run the probes on every participant as root"),
        "{text}"
    );
    for word in ["CAP_NET_RAW to capture", "CAP_NET_ADMIN to read", "--retest DIR"] {
        assert!(text.contains(word), "{word} is not in: {text}");
    }
    assert!(
        text.contains("Until then look at the packet filter of 10.0.1.1"),
        "{text}"
    );
    assert!(!text.contains("network team"), "{text}");
    assert_eq!(finding.fix.commands[0], "ssh 10.0.1.1 nft list ruleset");
}

#[test]
fn only_the_end_without_privilege_is_named() {
    let report = silent_somewhere()
        .knows(W1, privileged)
        .filters(W1, nft_that_drops(Hook::Input, &[1]))
        .report();
    let text = &only(&report).fix.text;
    assert!(
        text.starts_with("Run the probes on 10.0.0.1 (host-10-0-0-1) as root"),
        "{text}"
    );
    assert!(
        text.contains("Until then look at the packet filter of 10.0.0.1"),
        "{text}"
    );
}

#[test]
fn the_network_team_is_asked_where_both_ends_were_looked_at_and_let_it_pass() {
    let accepts = || nft_that_drops(Hook::Input, &[1]);
    let stage = silent_somewhere().knows(CP, privileged).knows(W1, privileged);
    let report = stage
        .clone()
        .filters(CP, accepts())
        .filters(W1, accepts())
        .report();
    let text = &only(&report).fix.text;
    assert!(
        text.starts_with("Ask the network team to allow 4240/tcp"),
        "{text}"
    );
    let too_large = |facts: &mut HostFacts| facts.ruleset_unread = Some("it has 9 octets".to_owned());
    let report = stage.filters(CP, accepts()).knows(W1, too_large).report();
    let text = &only(&report).fix.text;
    assert!(
        text.starts_with("Look at the packet filter of 10.0.1.1") && text.contains("it has 9 octets"),
        "{text}"
    );
}

#[test]
fn what_was_lost_is_tried_again_by_a_retest_and_a_refusal_by_hand_is_explained() {
    let report = Stage::new()
        .silent(CP, W1, "10250", Some((1, 0)), Some((0, 0)))
        .report();
    let fix = &only(&report).fix;
    assert!(
        fix.text.contains("--retest DIR") && !fix.text.contains("--only"),
        "{}",
        fix.text
    );
    assert!(
        fix.text.contains("\"refused\" means that the path is open"),
        "{}",
        fix.text
    );
    assert!(fix.commands[0].contains("nc -vz"), "{:?}", fix.commands);
}

#[test]
fn a_missing_route_is_added_through_the_gateway_of_a_neighbour_or_of_whoever_knows_one() {
    let stage = Stage::of(&[CP, LB, W1])
        .rule("there", "10250", &[CP], &[W1])
        .sees(CP, W1, "10250", Signal::NoRoute);
    let fix = |stage: Stage| only(&stage.report()).fix.clone();
    let unknown = fix(stage.clone());
    assert_eq!(unknown.commands[3], "ip route add 10.0.1.0/24 via GATEWAY");
    assert!(unknown.text.contains("in place of GATEWAY"), "{}", unknown.text);
    let known = fix(stage.knows(LB, |facts| facts.gateways = vec!["10.0.0.254".parse().unwrap()]));
    assert_eq!(known.commands[3], "ip route add 10.0.1.0/24 via 10.0.0.254");
    assert!(!known.text.contains("GATEWAY"), "{}", known.text);
}

#[test]
fn the_unit_of_a_process_that_holds_a_port_is_found_and_disabled() {
    let why = BindFailure::Taken {
        process: Some("python3".to_owned()),
        pid: Some(4711),
    };
    let report = Stage::new().cannot_bind(W1, "10250", why).report();
    assert_eq!(
        only(&report).fix.commands,
        [
            "ss -H -l -n -p --tcp 'sport = :10250'",
            "ps -o unit= -p 4711",
            "systemctl disable --now UNIT"
        ]
    );
}

#[test]
fn where_nothing_listens_the_very_port_is_looked_at() {
    let report = Stage::new().live(W1).serves(W1, "4240", "cilium-agent").report();
    assert_eq!(
        only(&report).fix.commands,
        ["ss -H -l -n -p --tcp 'sport = :10250'"]
    );
}

#[test]
fn a_fault_of_both_families_names_both() {
    let report = silent_in_both("6444").report();
    let detail = &only(&report).cause.detail;
    assert!(detail.contains("6444/tcp over IPv4 and IPv6"), "{detail}");
}
