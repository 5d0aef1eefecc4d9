//! Link addresses (L2-006), gateways (L2-007), virtual routers (L2-008), ARP flux (L2-010), and VIPs (VIP-002, VIP-004).

use super::*;

#[test]
fn one_link_address_on_two_nodes_is_one_finding_between_them() {
    let mut world = World::new();
    world.macs.insert(B, mac(A));
    let report = world.report();
    let finding = only(&report);
    assert_eq!(
        (finding.check.as_str(), finding.cause.kind),
        ("L2-006", CauseKind::DuplicateMac)
    );
    assert_eq!(sides(finding), Some([nodes(&[A]), nodes(&[B])]));
}

#[test]
fn what_two_with_one_link_address_do_not_hear_of_others_is_no_further_finding() {
    let mut world = World::new()
        .apart(A, B)
        .answers(C, A, &[])
        .answers(B, GATEWAY, &[]);
    world.macs.insert(B, mac(A));
    assert_eq!(only(&world.report()).check, "L2-006");
}

#[test]
fn one_link_address_in_two_subnets_harms_nobody() {
    let mut world = World::new();
    world.macs.insert(D, mac(A));
    assert_eq!(world.report().findings, []);
}

#[test]
fn a_gateway_that_answers_nobody_is_one_finding() {
    let world = World::new()
        .answers(A, GATEWAY, &[])
        .answers(B, GATEWAY, &[])
        .answers(C, GATEWAY, &[]);
    let report = world.report();
    let finding = only(&report);
    assert_eq!((finding.check.as_str(), finding.cause.node), ("L2-007", None));
    assert!(finding.cause.detail.contains(GATEWAY), "{}", finding.cause.detail);
    assert_eq!(report.verdict, Verdict::Failed);
}

#[test]
fn a_gateway_that_answers_all_but_one_is_told_at_that_one() {
    let report = World::new().answers(B, GATEWAY, &[]).report();
    assert_eq!(only(&report).cause.node, Some(node(B)));
}

#[test]
fn the_gateway_on_the_other_side_of_a_split_is_no_second_finding() {
    let world = World::new().apart(A, C).apart(B, C).answers(C, GATEWAY, &[]);
    let report = world.report();
    assert_eq!(only(&report).check, "L2-004");
    assert_eq!(statuses(&report, "L2-007"), [Status::Fail]);
}

#[test]
fn a_gateway_with_two_link_addresses_is_a_warning() {
    let report = World::new().answers(B, GATEWAY, &["02:00:00:00:00:fd"]).report();
    assert_eq!(
        (only(&report).check.as_str(), report.verdict),
        ("L2-007", Verdict::Warned)
    );
}

fn advert(vrid: u8, sender: &str, address: &str) -> Advert {
    Advert {
        vrid,
        sender: sender.parse().unwrap(),
        mac: format!("00:00:5e:00:01:{vrid:02x}"),
        version: 3,
        priority: 100,
        ttl: 255,
        addresses: vec![address.parse().unwrap()],
        count: 5,
    }
}

fn world_with(adverts: &[Advert]) -> World {
    let mut world = World::new();
    for by in [A, B, C] {
        world.adverts.insert(by, adverts.to_vec());
    }
    world
}

#[test]
fn a_foreign_virtual_router_is_one_warning_with_its_vrid() {
    let report = world_with(&[advert(51, "10.0.0.77", "10.0.0.78")]).report();
    assert_eq!(
        (only(&report).cause.kind, report.verdict),
        (CauseKind::ForeignVrrp, Verdict::Warned)
    );
    assert!(only(&report).cause.detail.contains("VRID 51"));
}

#[test]
fn the_gateways_own_virtual_router_is_as_it_should_be() {
    let report = world_with(&[advert(1, "10.0.0.252", GATEWAY)]).report();
    assert_eq!(report.findings, []);
    let rows = rows(&report, "L2-008");
    assert!(
        rows[0].subject == "VRID 1" && rows[0].status == Status::Pass,
        "{rows:?}"
    );
}

#[test]
fn a_foreign_virtual_router_with_the_clusters_vip_fails() {
    let report = world_with(&[advert(9, "10.0.0.77", VIP)]).report();
    assert_eq!(
        (only(&report).check.as_str(), report.verdict),
        ("L2-008", Verdict::Failed)
    );
}

#[test]
fn a_vip_that_is_answered_for_and_advertised_is_one_finding() {
    let world = world_with(&[advert(9, "10.0.0.77", VIP)]).answers(A, VIP, &[STRANGE]);
    assert_eq!(only(&world.report()).check, "VIP-001");
}

#[test]
fn a_vrid_that_nodes_and_strangers_advertise_fails() {
    let adverts = [advert(5, B, "10.0.0.99"), advert(5, "10.0.0.77", "10.0.0.78")];
    assert_eq!(world_with(&adverts).report().verdict, Verdict::Failed);
}

#[test]
fn two_interfaces_that_answer_for_one_balancer_are_a_warning_at_it() {
    let second = "02:00:00:00:77:02";
    let world = World::new().answers(A, B, &[&mac(B), second]);
    let stage = world.stage().knows(B, move |facts| {
        let mut further = facts.interfaces[0].clone();
        further.name = "eth1".to_owned();
        further.mac = second.to_owned();
        further.addresses = vec!["10.9.0.2/24".to_owned()];
        facts.interfaces.push(further);
    });
    let report = stage.report();
    assert_eq!(
        (only(&report).check.as_str(), only(&report).cause.node),
        ("L2-010", Some(node(B)))
    );
    assert_eq!(report.verdict, Verdict::Warned);
}

#[test]
fn a_vip_off_the_subnet_of_one_balancer_is_told_at_it() {
    let mut stage = World::new().stage().knows(B, |facts| {
        facts.interfaces[0].addresses = vec![format!("{B}/28")];
    });
    stage.parameters.swarm = crate::evidence::SwarmKind::Joined;
    let report = stage.report();
    let finding = report.findings.iter().find(|finding| finding.check == "VIP-002");
    assert_eq!(finding.and_then(|finding| finding.cause.node), Some(node(B)));
}

#[test]
fn on_a_live_cluster_a_vip_on_one_host_passes_and_on_two_fails() {
    let live = |world: World| world.stage().live(C).report();
    let one = live(World::new().answers(A, VIP, &[&mac(B)]).answers(B, VIP, &[]));
    assert_eq!(statuses(&one, "VIP-004"), [Status::Pass]);
    assert_eq!(rows(&one, "VIP-001").len(), 0);
    let two = live(World::new().answers(A, VIP, &[&mac(B), STRANGE]));
    assert_eq!(statuses(&two, "VIP-004"), [Status::Fail]);
    let none = live(World::new());
    assert_eq!(statuses(&none, "VIP-004"), [Status::NotMeasured]);
    assert!(none.findings.iter().all(|finding| finding.check != "VIP-004"));
}
