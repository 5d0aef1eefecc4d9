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

pub(super) fn advert(vrid: u8, sender: &str, address: &str) -> Advert {
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
    stage.parameters.swarm = SwarmKind::Joined;
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

#[test]
fn a_vip_that_nobody_has_though_the_whole_control_plane_is_live_fails() {
    let run = |world: World, live: &'static str| {
        let mut stage = world.stage().live(live).with_inventory(|inventory| {
            let control_plane = inventory.nodes.iter_mut().filter(|own| own.id == node(C));
            control_plane.for_each(|own| {
                own.roles.insert(Role::ControlPlane);
            });
        });
        stage.parameters.swarm = SwarmKind::Joined;
        for balancer in [A, B] {
            stage = stage.tells(balancer, Record::Host(Box::default()));
        }
        stage
    };
    let lost = run(World::new(), C).report();
    assert_eq!(statuses(&lost, "VIP-004"), [Status::Fail]);
    let finding = lost.findings.iter().find(|finding| finding.check == "VIP-004");
    let finding = finding.unwrap();
    assert_eq!(finding.cause.kind, CauseKind::VipUnreachable);
    assert_eq!(finding.fix.commands.len(), 2, "one a load balancer node");
    // A worker that is live may be of a cluster that is being built, and parts of one machine have no VIP unless they were given one.
    let by_worker = run(World::new(), D).report();
    assert_eq!(statuses(&by_worker, "VIP-004"), [Status::NotMeasured]);
    let mut rehearsed = run(World::new(), C);
    rehearsed.parameters.swarm = SwarmKind::Lab;
    assert_eq!(statuses(&rehearsed.report(), "VIP-004"), [Status::NotMeasured]);
    let mut part = HostSettings::default();
    part.machine.is_part = Some(true);
    let acted = run(World::new(), C).tells(B, Record::Host(Box::new(part)));
    assert_eq!(statuses(&acted.report(), "VIP-004"), [Status::NotMeasured]);
    let mut cut_short = World::new();
    cut_short.unfinished.insert(B);
    assert_eq!(
        statuses(&run(cut_short, C).report(), "VIP-004"),
        [Status::NotMeasured]
    );
}

#[test]
fn a_vip_that_the_gateway_or_nobody_but_its_only_asker_has_is_taken() {
    let at_gateway = World::new()
        .answers(A, VIP, &[OF_GATEWAY])
        .answers(B, VIP, &[OF_GATEWAY])
        .report();
    assert_eq!(only(&at_gateway).check, "VIP-001");
    assert_eq!(only(&at_gateway).cause.kind, CauseKind::VipTaken);
    let mut world = World::new();
    world.balancers = BTreeSet::from([A]);
    let own = world.answers(A, VIP, &[]).stage().knows(A, |facts| {
        facts.interfaces[0].addresses.push(format!("{VIP}/32"));
    });
    let report = own.report();
    assert_eq!(
        (only(&report).check.as_str(), only(&report).cause.node),
        ("VIP-001", Some(node(A)))
    );
}

#[test]
fn a_vip_that_only_a_proxy_answers_for_does_not_pass() {
    let report = World::new()
        .answers(A, C, &[OF_GATEWAY])
        .answers(A, VIP, &[OF_GATEWAY])
        .report();
    assert_eq!(statuses(&report, "VIP-001"), [Status::NotMeasured]);
    assert_eq!(only(&report).check, "L2-003");
}

#[test]
fn a_stranger_that_alone_has_the_vip_of_a_live_cluster_is_one_finding() {
    let world = world_with(&[advert(9, "10.0.0.77", VIP)])
        .answers(A, VIP, &[STRANGE])
        .answers(B, VIP, &[STRANGE]);
    let report = world.stage().live(C).report();
    assert_eq!(statuses(&report, "VIP-004"), [Status::Fail]);
    let of_vip = |finding: &&Finding| ["VIP-004", "L2-008"].contains(&finding.check.as_str());
    assert_eq!(report.findings.iter().filter(of_vip).count(), 1);
    // The VIP's own node answers, so that the stranger who only advertises it is told of.
    let world = world_with(&[advert(9, "10.0.0.77", VIP)]).answers(A, VIP, &[&mac(B)]);
    let report = world.stage().live(C).report();
    assert!(report.findings.iter().any(|finding| finding.check == "L2-008"));
}

#[test]
fn a_virtual_router_of_a_node_that_takes_no_part_or_of_another_link_is_not_foreign() {
    let left_out = world_with(&[advert(5, "10.0.0.9", VIP)]).stage().live(C);
    let report = left_out
        .with_inventory(|inventory| {
            let mut further = inventory.nodes[0].clone();
            further.id = node("10.0.0.9");
            further.ssh = "10.0.0.9".parse().unwrap();
            inventory.nodes.push(further);
            inventory.nodes.sort_by_key(|node| node.id);
        })
        .report();
    assert_eq!(statuses(&report, "L2-008"), [Status::Pass]);
    // The same VRID on two links is two virtual routers: the foreign one there is a warning only.
    let mut world = world_with(&[advert(5, B, "10.0.0.99")]);
    world.adverts.insert(D, vec![advert(5, "10.0.1.77", "10.0.1.78")]);
    assert_eq!(statuses(&world.report(), "L2-008"), [Status::Warn]);
}

/// A and D have a router each with the same link-local address.
fn two_racks() -> Stage {
    let mut stage = World::new().stage();
    for (of, router) in [(A, "02:00:00:00:00:fe"), (D, "02:00:00:00:01:fe")] {
        let mut seen = World::new().seen(of);
        seen.asked.push(Asked {
            address: "169.254.0.1".parse().unwrap(),
            subject: Subject::Gateway,
            sent: 1,
            not_on_link: false,
            macs: vec![router.to_owned()],
        });
        stage = stage.tells(of, Record::Link(seen));
    }
    stage
}

#[test]
fn routers_of_two_subnets_with_one_link_local_address_are_two_gateways() {
    let report = two_racks().report();
    assert_eq!(report.findings, []);
    let racks = rows(&report, "L2-007");
    let racks: Vec<_> = racks.iter().filter(|row| row.subject.contains("169")).collect();
    assert!(
        racks.len() == 2 && racks.iter().all(|row| row.status == Status::Pass),
        "{racks:?}"
    );
}

#[test]
fn a_silent_gateway_of_a_spare_route_is_a_warning() {
    let route = |via: &str, metric| RouteEntry {
        to: "0.0.0.0/0".parse().unwrap(),
        forwards: true,
        hops: vec![RouteHop {
            via: via.parse().ok(),
            device: Some("eth0".to_owned()),
        }],
        metric,
        protocol: 3,
    };
    let mut host = HostSettings {
        routes: Some(vec![route("10.0.0.253", 10), route(GATEWAY, 100)]),
        ..HostSettings::default()
    };
    let silent = || World::new().answers(B, GATEWAY, &[]).stage();
    let status = |host: &HostSettings| {
        let report = silent().tells(B, Record::Host(Box::new(host.clone()))).report();
        statuses(&report, "L2-007")
    };
    assert_eq!(status(&host), [Status::Warn]);
    host.routes = Some(vec![route("10.0.0.253", 100), route(GATEWAY, 10)]);
    assert_eq!(status(&host), [Status::Fail]);
}

#[test]
fn a_silent_gateway_explains_nothing_between_hosts_of_its_subnet() {
    let world = World::new()
        .answers(A, GATEWAY, &[])
        .answers(B, GATEWAY, &[])
        .answers(C, GATEWAY, &[]);
    let lost = |src, dst| {
        let stage = world.stage().sees(src, dst, "4240", Signal::NeighborUnresolved);
        stage.report().findings.len()
    };
    assert_eq!((lost(A, B), lost(A, D)), (2, 1));
}

#[test]
fn a_clone_that_never_joined_is_told_of_by_the_twin_that_heard_it() {
    let mut world = World::new();
    world.macs.insert(B, mac(A));
    let report = world.stage().without(B).report();
    let finding = report.findings.iter().find(|found| found.check == "L2-006");
    assert_eq!(finding.and_then(sides), Some([nodes(&[A]), nodes(&[B])]));
}

#[test]
fn an_absent_node_whose_address_another_holds_is_no_clone() {
    let mut world = World::new();
    world.macs.insert(B, mac(A));
    let stage = world.stage().without(B);
    let holds = stage.knows(A, |facts| facts.interfaces[0].addresses.push(format!("{B}/24")));
    let report = holds.report();
    let finding = report.findings.iter().find(|found| found.check == "L2-006");
    assert_eq!(finding, None);
}

#[test]
fn a_clone_of_an_image_is_one_finding_whatever_it_kept() {
    let mut stage = World::new().stage();
    stage.parameters.swarm = SwarmKind::Joined;
    for (of, id) in [(A, "a"), (B, "a"), (C, "c")] {
        let mut host = HostSettings::default();
        host.machine.machine_id = Some(id.to_owned());
        host.machine.product_uuid = Some(id.to_owned());
        stage = stage
            .sends(of, errand::Errand::Inspect)
            .tells(of, Record::Host(Box::new(host)));
    }
    let report = stage.report();
    let finding = only(&report);
    assert_eq!(sides(finding), Some([nodes(&[A]), nodes(&[B])]));
    for word in ["machine-id", "product UUID"] {
        assert!(finding.cause.detail.contains(word), "{}", finding.cause.detail);
    }
    for of in [A, B] {
        let at = format!("ssh {of} ");
        let commands = finding.fix.commands.iter();
        assert_eq!(commands.filter(|command| command.starts_with(&at)).count(), 2);
    }
}
