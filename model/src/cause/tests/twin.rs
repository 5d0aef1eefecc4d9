//! One address on two hosts, and routers that answer for others.

use super::*;
use crate::observation::{HostFacts, Neighbor};

const OF_W1: &str = "02:00:00:00:01:01";
const OF_W2: &str = "02:00:00:00:01:02";
const STRANGE: &str = "02:00:00:00:99:99";

fn has_mac(mac: &'static str) -> impl Fn(&mut HostFacts) {
    move |facts| mac.clone_into(&mut facts.interfaces[0].mac)
}

fn knows_neighbor(address: &'static str, mac: &'static str) -> impl Fn(&mut HostFacts) {
    move |facts| {
        facts.neighbors.push(Neighbor {
            address: address.parse().unwrap(),
            mac: mac.to_owned(),
            interface: "eth0".to_owned(),
        });
    }
}

fn with_macs() -> Stage {
    Stage::new().knows(W1, has_mac(OF_W1)).knows(W2, has_mac(OF_W2))
}

/// What became of tests with W1 while two hosts had its address: some answered, some refused, some lost either way.
fn confused(stage: Stage) -> Stage {
    stage
        .sees(CP, W1, "4240", Signal::Silence)
        .sees_again(CP, W1, "4240", Signal::Verified)
        .silent(LB, W1, "4240,10250", Some((1, 0)), Some((0, 0)))
        .sees(W2, W1, "4240", Signal::NeighborUnresolved)
        .sees(CP, W1, "10250", Signal::Refused)
        .sees_again(CP, W1, "10250", Signal::Refused)
        .silent(W1, CP, "4240", Some((1, 0)), Some((1, 1)))
}

#[test]
fn an_address_that_another_node_has_too_is_one_finding_between_the_two() {
    let stage = with_macs().learns(W2, |facts| {
        facts.interfaces[0].addresses.push(format!("{W1}/24"));
    });
    let report = confused(stage).report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::DuplicateAddress, None)
    );
    assert_eq!(finding.cause.between, Some([nodes(&[W1]), nodes(&[W2])]));
    assert_eq!(finding.affects_total, 6);
    assert!(
        finding.cause.detail.contains(W1) && finding.cause.detail.contains(W2),
        "{}",
        finding.cause.detail
    );
    assert_eq!(
        finding.fix.commands[0],
        "ssh 10.0.1.2 ip address del 10.0.1.1/24 dev eth0"
    );
}

#[test]
fn what_a_twin_asks_under_the_others_address_is_the_same_finding() {
    let all = [W1, W2, "10.0.1.3"];
    // The smaller prefix is the better route to neighbours, and brings its own source address.
    let stage = Stage::of(&all)
        .rule("node.kubelet", "4240,10250", &all, &all)
        .learns(W2, |facts| {
            facts.interfaces[0].addresses.push(format!("{W1}/25"));
        });
    let how = Unproven::Closed;
    let report = stage
        .silent(W2, "10.0.1.3", "4240", Some((1, 0)), Some((0, 0)))
        .sees(W2, "10.0.1.3", "10250", Signal::Unproven { how })
        .sees_again(W2, "10.0.1.3", "10250", Signal::Unproven { how })
        .report();
    assert_eq!(only(&report).cause.kind, CauseKind::DuplicateAddress);
    assert_eq!(only(&report).affects_total, 2);
}

#[test]
fn a_twin_speaks_under_its_own_address_beyond_the_prefix_that_it_shares() {
    let stage = with_macs().learns(W2, |facts| {
        facts.interfaces[0].addresses.push(format!("{W1}/25"));
    });
    let report = stage
        .silent(W2, CP, "4240,10250", Some((1, 0)), Some((0, 0)))
        .report();
    assert_eq!(only(&report).cause.kind, CauseKind::PathFilter);
}

#[test]
fn an_address_that_a_stranger_answers_for_is_found_by_the_neighbours_link_addresses() {
    let stage = with_macs().learns(W2, knows_neighbor(W1, STRANGE));
    let report = confused(stage).report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::DuplicateAddress, Some(node(W1)))
    );
    assert!(finding.cause.detail.contains(STRANGE), "{}", finding.cause.detail);
    assert!(
        finding.fix.commands[0].starts_with("arping "),
        "{:?}",
        finding.fix.commands
    );
}

#[test]
fn a_neighbour_table_alone_is_no_finding() {
    let report = with_macs().learns(W2, knows_neighbor(W1, STRANGE)).report();
    assert_eq!(report.findings, []);
}

#[test]
fn a_neighbour_table_that_names_the_owners_own_link_address_blames_nobody() {
    let stage = with_macs().learns(W2, knows_neighbor(W1, OF_W1));
    let report = stage
        .silent(W2, W1, "4240,10250", Some((1, 0)), Some((0, 0)))
        .report();
    assert_eq!(only(&report).cause.kind, CauseKind::PathFilter);
}

fn answered_by_the_gateway() -> Stage {
    with_macs()
        .learns(W2, |facts| facts.gateways.push("10.0.1.254".parse().unwrap()))
        .learns(W2, knows_neighbor("10.0.1.254", STRANGE))
        .learns(W2, knows_neighbor(W1, STRANGE))
}

#[test]
fn a_gateway_that_answers_for_a_neighbour_and_delivers_nothing_is_proxy_arp() {
    let stage = answered_by_the_gateway();
    let report = stage
        .silent(W2, W1, "4240,10250", Some((1, 0)), Some((0, 0)))
        .report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::ProxyArp, None)
    );
    assert_eq!(finding.cause.between, Some([nodes(&[W2]), nodes(&[W1])]));
    assert!(finding.cause.detail.contains(STRANGE), "{}", finding.cause.detail);
}

#[test]
fn what_is_to_be_done_about_a_twin_or_a_proxy_goes_where_ssh_goes() {
    let twin = with_macs().learns(W2, |facts| {
        facts.interfaces[0].addresses.push(format!("{W1}/24"));
    });
    let report = confused(twin.with_ssh_elsewhere()).report();
    assert_eq!(
        commands_by_ssh(&report)[0],
        "ssh -p 2222 172.31.1.2 ip address del 10.0.1.1/24 dev eth0"
    );
    // Its own address is not told of, only the link address that answers.
    let untold = with_macs()
        .learns(W2, knows_neighbor(W1, OF_W2))
        .with_ssh_elsewhere();
    let asked = commands_by_ssh(&confused(untold).report());
    assert!(
        asked
            .iter()
            .all(|command| command.starts_with("ssh -p 2222 172.31.1.1 arping")),
        "{asked:?}"
    );
    let proxy = answered_by_the_gateway().with_ssh_elsewhere();
    let proxy = proxy.silent(W2, W1, "4240,10250", Some((1, 0)), Some((0, 0)));
    assert_eq!(
        commands_by_ssh(&proxy.report()),
        [
            format!("ssh -p 2222 172.31.1.2 'ip neighbour show | grep -i {STRANGE}'"),
            "ssh -p 2222 172.31.1.2 ip neighbour flush all".to_owned()
        ]
    );
}

#[test]
fn a_gateway_that_answers_for_everybody_and_delivers_is_no_cause_of_a_closed_port() {
    let stage = answered_by_the_gateway();
    let report = stage.silent(W2, W1, "10250", Some((1, 0)), Some((0, 0))).report();
    assert_eq!(only(&report).cause.kind, CauseKind::PathFilter);
}

#[test]
fn a_rule_that_stops_a_port_is_told_beside_an_address_that_two_have() {
    let stage = with_macs()
        .learns(W2, |facts| {
            facts.interfaces[0].addresses.push(format!("{W1}/24"));
        })
        .filters(W1, nft_that_drops(Hook::Input, &[10250]));
    let stage = stage.silent(LB, W1, "4240", Some((1, 0)), Some((0, 0)));
    let report = silent_at(stage, &[CP], W1, "10250").report();
    let kinds: Vec<CauseKind> = report.findings.iter().map(|finding| finding.cause.kind).collect();
    assert!(kinds.contains(&CauseKind::HostFirewall), "{kinds:?}");
    assert!(kinds.contains(&CauseKind::DuplicateAddress), "{kinds:?}");
    assert_eq!(kinds.len(), 2);
}

/// On one link some of the questions to W1 are answered late, and others are reset by somebody before they arrive.
fn reset_on_the_link() -> Stage {
    Stage::new()
        .sees(W2, W1, "10250", Signal::Refused)
        .sees_again(W2, W1, "10250", Signal::Refused)
        .captures(W1, End::Destination, W2, "10250", 0, 0, 0)
}

#[test]
fn connections_that_somebody_on_the_link_resets_now_and_then_are_a_double_without_a_name() {
    let report = reset_on_the_link()
        .sees(W2, W1, "4240", Signal::Silence)
        .sees_again(W2, W1, "4240", Signal::Verified)
        .report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::DuplicateAddress, Some(node(W1)))
    );
    assert_eq!(finding.affects_total, 2);
}

#[test]
fn resets_that_nobody_saw_again_are_a_doubles_beside_late_answers() {
    let report = Stage::new()
        .sees(W2, W1, "10250", Signal::Refused)
        .sees(W2, W1, "4240", Signal::Silence)
        .sees_again(W2, W1, "4240", Signal::Verified)
        .report();
    assert_eq!(only(&report).cause.kind, CauseKind::DuplicateAddress);
}

#[test]
fn connections_that_something_on_the_link_always_resets_are_rejected_there() {
    let report = reset_on_the_link().report();
    assert_eq!(only(&report).cause.kind, CauseKind::PathReject);
}

#[test]
fn resets_that_a_second_look_places_at_the_host_are_its_own_beside_lost_packets() {
    let report = Stage::new()
        .sees(W2, W1, "10250", Signal::Refused)
        .sees_again(W2, W1, "10250", Signal::Refused)
        .captures(W1, End::Destination, W2, "10250", 1, 0, 1)
        .sees(W2, W1, "4240", Signal::Silence)
        .sees_again(W2, W1, "4240", Signal::Verified)
        .report();
    let mut kinds: Vec<CauseKind> = report.findings.iter().map(|finding| finding.cause.kind).collect();
    kinds.sort();
    assert_eq!(kinds, [CauseKind::HostFirewall, CauseKind::LossyPath]);
}
