use super::*;
use crate::{
    cluster,
    evidence::Group,
    id::Role,
    profile::{self, PortSpec},
    report::stage,
    source::SourceText,
};

mod retest;

fn inventory(sample: &str) -> Inventory {
    let text = match sample {
        "user" => include_str!("../../tests/clusters/01-user-l2-dedicated-lb-1.29.yaml"),
        "hybrid" => include_str!("../../tests/clusters/02-hybrid-l2-1.28.yaml"),
        "admin" => include_str!("../../tests/clusters/04-admin-1.16.yaml"),
        _ => include_str!("../../tests/clusters/07-standalone-dualstack-1.31.yaml"),
    };
    let source = SourceText {
        name: sample.to_owned(),
        text: text.to_owned(),
    };
    Inventory::derive(
        &cluster::read(&source)
            .unwrap_or_else(|refused| panic!("{refused}"))
            .cluster,
    )
}

fn profiles() -> Vec<Profile> {
    vec![profile::read(&profile::builtin("gdc-bare-metal").unwrap()).unwrap()]
}

fn parameters() -> Parameters {
    stage::parameters(vec![Group::Config, Group::Reach])
}

fn plan(sample: &str) -> Plan {
    Plan::new(&inventory(sample), &profiles(), &parameters())
}

fn id(text: &str) -> NodeId {
    text.parse().unwrap()
}

#[test]
fn without_the_group_reach_nothing_is_planned() {
    let parameters = Parameters {
        groups: vec![Group::Config],
        ..parameters()
    };
    let plan = Plan::new(&inventory("user"), &profiles(), &parameters);
    assert_eq!(
        (plan.blocks.len(), plan.no_vantage.len(), plan.size()),
        (0, 0, Size::default())
    );
}

#[test]
fn a_user_clusters_ssh_from_its_admin_cluster_has_no_vantage_and_says_so() {
    let plan = plan("user");
    let rules: Vec<&str> = plan.no_vantage.iter().map(|entry| entry.rule.as_str()).collect();
    assert_eq!(rules, ["w.ssh", "lb.ssh", "mc.ssh", "mc.api"]);
    assert!(
        plan.no_vantage
            .iter()
            .all(|entry| entry.source == Source::AdminClusterNodes)
    );
    let ssh = plan.blocks.iter().find(|block| block.rule == "cp.ssh").unwrap();
    assert_eq!(ssh.sources, [NodeId::Coordinator]);
}

#[test]
fn a_self_managed_clusters_nodes_are_provisioned_by_workstation_and_control_plane() {
    let plan = plan("hybrid");
    assert_eq!(plan.no_vantage, []);
    let ssh = plan.blocks.iter().find(|block| block.rule == "w.ssh").unwrap();
    assert_eq!(
        ssh.sources,
        ["10.200.0.2", "10.200.0.3", "10.200.0.4", "coordinator"].map(id)
    );
    assert_eq!(ssh.destinations, ["10.200.0.5", "10.200.0.6"].map(id));
}

#[test]
fn a_target_version_adds_its_ports_to_the_nodes_own() {
    let version = Some("1.29".parse().unwrap());
    let plan = Plan::new(
        &inventory("hybrid"),
        &profiles(),
        &Parameters {
            version,
            ..parameters()
        },
    );
    let ports = plan.ports_at(id("10.200.0.2"), Family::Ipv4, Protocol::Tcp);
    for port in [8443, 8444, 11000, 11001] {
        assert!(ports.contains(port), "{port}");
    }
    assert!(!plan_ports("hybrid", "10.200.0.2").contains(11000));
}

#[test]
fn only_and_exclude_choose_who_takes_part() {
    let nodes = ["10.200.0.2", "10.200.0.3", "10.200.0.5"].map(id).to_vec();
    let exclude = ["10.200.0.3", "coordinator"].map(id).to_vec();
    let plan = Plan::new(
        &inventory("hybrid"),
        &profiles(),
        &Parameters {
            nodes,
            exclude,
            ..parameters()
        },
    );
    assert_eq!(plan.participants, ["10.200.0.2", "10.200.0.5"].map(id));
    assert!(
        plan.no_vantage
            .iter()
            .all(|entry| entry.source == Source::AdminWorkstation)
    );
}

#[test]
fn checks_over_the_file_need_nobody_and_checks_of_access_need_every_node() {
    let participants = |group: Group| {
        let parameters = Parameters {
            groups: vec![Group::Config, group],
            ..parameters()
        };
        Plan::new(&inventory("hybrid"), &profiles(), &parameters)
            .participants
            .len()
    };
    assert_eq!(participants(Group::Config), 0);
    assert_eq!(participants(Group::Access), inventory("hybrid").nodes.len());
}

#[test]
fn loopback_and_self_ports_and_the_outside_are_bound_by_nobody() {
    for sample in ["user", "hybrid", "admin", "standalone"] {
        let plan = plan(sample);
        for node in &inventory(sample).nodes {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                let ports = plan.ports_at(node.id, Family::Ipv4, protocol);
                for port in [9101, 10257, 10259, 11002, 9977, 179, 53, 123] {
                    assert!(!ports.contains(port), "{sample}: {} has {port}", node.id);
                }
            }
        }
    }
}

#[test]
fn udp_rules_are_planned_beside_tcp_rules() {
    let plan = plan("user");
    let udp = |node: &str| plan.ports_at(id(node), Family::Ipv4, Protocol::Udp).to_string();
    // GENEVE everywhere, memberlist between load balancers.
    assert_eq!(udp("10.200.0.11"), "6081");
    assert_eq!(udp("10.200.0.25"), "6081,7946");
    let is_udp = |target: &Target| target.protocol == Protocol::Udp;
    assert!(plan.targets_from(id("10.200.0.11")).iter().any(is_udp));
    assert!(!plan.targets_from(NodeId::Coordinator).iter().any(is_udp));
}

#[test]
fn a_dual_stack_cluster_is_planned_in_both_families_between_its_nodes() {
    let plan = plan("standalone");
    let blocks = |family| {
        let of_family = plan.blocks.iter().filter(move |block| block.family == family);
        of_family
            .map(|block| (block.rule.clone(), block.destinations.clone()))
            .collect::<Vec<_>>()
    };
    let (ipv4, ipv6) = (blocks(Family::Ipv4), blocks(Family::Ipv6));
    let between_nodes = |rule: &str| {
        let block = plan.blocks.iter().find(|block| block.rule == rule).unwrap();
        block.sources != [NodeId::Coordinator]
    };
    let expected: Vec<_> = ipv4.into_iter().filter(|(rule, _)| between_nodes(rule)).collect();
    assert_eq!(ipv6, expected);
    assert!(!ipv6.is_empty());
}

#[test]
fn the_admin_workstation_tests_over_the_family_of_the_files_addresses_only() {
    let plan = plan("standalone");
    let targets = plan.targets_from(NodeId::Coordinator);
    assert!(targets.iter().any(|target| target.family == Family::Ipv4));
    assert!(targets.iter().all(|target| target.family != Family::Ipv6));
}

#[test]
fn without_ranges_of_both_families_a_cluster_is_planned_in_one() {
    let dual = inventory("standalone");
    assert!(dual.is_dual_stack());
    let only_ipv4 = |ranges: &[ipnet::IpNet]| {
        let of_family = ranges.iter().copied().filter(|range| range.addr().is_ipv4());
        of_family.collect::<Vec<_>>()
    };
    let (pods, services) = (only_ipv4(&dual.pods), only_ipv4(&dual.services));
    // The flat IPv6 mode has its IPv6 pod range in another document.
    let flat = Inventory {
        pods: pods.clone(),
        ..dual.clone()
    };
    assert!(flat.is_dual_stack());
    let single = Inventory {
        pods,
        services,
        ..dual
    };
    let plan = Plan::new(&single, &profiles(), &parameters());
    assert!(plan.blocks.iter().all(|block| block.family == Family::Ipv4));
}

#[test]
fn a_cluster_of_ipv6_addresses_is_planned_in_ipv6() {
    let mut inventory = inventory("hybrid");
    for (node, last) in inventory.nodes.iter_mut().zip(2..) {
        node.id = id(&format!("fd00:200::{last}"));
    }
    let plan = Plan::new(&inventory, &profiles(), &parameters());
    assert!(plan.blocks.iter().all(|block| block.family == Family::Ipv6));
    assert!(!plan.targets_from(NodeId::Coordinator).is_empty());
    assert_eq!(plan.size(), self::plan("hybrid").size());
}

#[test]
fn node_ports_are_known_as_ports_of_services() {
    let plan = plan("user");
    let ports = |node: &str| {
        plan.service_ports_at(id(node), Family::Ipv4, Protocol::Tcp)
            .to_string()
    };
    assert_eq!(
        (ports("10.200.0.11"), ports("10.210.1.11")),
        (String::new(), "30000-32767".to_owned())
    );
}

#[test]
fn a_loopback_port_is_tried_by_one_other_node_and_by_all_if_asked_for() {
    let exposed = |plan: &Plan| -> Vec<Block> {
        let blocked = plan.blocks.iter().filter(|block| block.expect == Expect::Blocked);
        blocked.cloned().collect()
    };
    let once = plan("hybrid");
    let [cp, worker] = &exposed(&once)[..] else {
        panic!("a rule for each of two roles")
    };
    assert_eq!(
        (cp.ports.to_string(), cp.severity),
        ("9101".to_owned(), Severity::Warn)
    );
    // The next one in the order of ids, and the first after the last.
    let tries = |block: &Block, source: &str, destination: &str| {
        !block.ports_for(id(source), id(destination)).is_empty()
    };
    assert!(tries(cp, "10.200.0.3", "10.200.0.2") && tries(cp, "10.200.0.5", "10.200.0.4"));
    assert!(tries(worker, "10.200.0.2", "10.200.0.6"));
    assert!(!tries(worker, "10.200.0.3", "10.200.0.6"));
    let exhaustive = Parameters {
        exhaustive: true,
        ..parameters()
    };
    let all = Plan::new(&inventory("hybrid"), &profiles(), &exhaustive);
    assert!(
        exposed(&all)
            .iter()
            .all(|block| block.sharing == Sharing::Exhaustive)
    );
    assert_eq!((once.size().inferred, all.size().inferred), (0, 0));
}

#[test]
fn a_loopback_port_of_one_role_is_no_exposure_where_another_role_must_answer_on_it() {
    let mut profiles = profiles();
    let rules = &mut profiles[0].rules;
    let local = rules
        .iter_mut()
        .find(|rule| rule.id == "w.node-exporter.local")
        .unwrap();
    local.destination = Destination::AnyNode;
    let open = rules.iter_mut().find(|rule| rule.id == "cp.ang").unwrap();
    open.ports = vec![PortSpec::Range("9101".parse().unwrap())];
    rules.retain(|rule| rule.id != "cp.node-exporter.local");
    let plan = Plan::new(&inventory("hybrid"), &profiles, &parameters());
    let blocked = plan.blocks.iter().filter(|block| block.expect == Expect::Blocked);
    let destinations: Vec<NodeId> = blocked.flat_map(|block| block.destinations.clone()).collect();
    assert_eq!(destinations, ["10.200.0.5", "10.200.0.6"].map(id));
}

#[test]
fn what_is_to_be_tried_by_hand_is_tried_over_its_own_transport() {
    let mut profiles = profiles();
    for rule in &mut profiles[0].rules {
        rule.protocol = Protocol::Udp;
    }
    let plan = Plan::new(&inventory("user"), &profiles, &parameters());
    let by_admin_cluster = |missing: &&NoVantage| missing.source == Source::AdminClusterNodes;
    let missing = plan.no_vantage.iter().find(by_admin_cluster).unwrap();
    assert!(missing.remedy.contains("`nc -u "), "{}", missing.remedy);
    assert!(!missing.remedy.contains("nc -vz"), "{}", missing.remedy);
}

#[test]
fn every_nodeport_of_a_destination_is_tested_by_exactly_one_source_whoever_stays_away() {
    let whole = plan("user");
    let absent = BTreeSet::from(["10.210.1.11", "10.200.0.11"].map(id));
    assert!(absent.iter().all(|node| whole.participants.contains(node)));
    let rest = whole.without(&absent);
    assert!(rest.blocks.iter().all(|block| {
        let mut nodes = block.sources.iter().chain(&block.destinations);
        !nodes.any(|node| absent.contains(node))
    }));
    for plan in [whole, rest] {
        assert_every_nodeport_is_tested_by_one_source(&plan);
    }
}

fn assert_every_nodeport_is_tested_by_one_source(plan: &Plan) {
    let block = plan
        .blocks
        .iter()
        .find(|block| block.rule == "w.nodeport")
        .unwrap();
    assert_eq!(block.sharing, Sharing::Strata);
    for destination in &block.destinations {
        let mut seen = PortSet::new();
        let mut sum = 0;
        for source in &block.sources {
            let ports = block.ports_for(*source, *destination);
            sum += ports.count();
            seen.extend(&ports);
        }
        assert_eq!((seen, sum), (block.ports.clone(), 2768));
    }
}

#[test]
fn what_is_cheap_is_tested_exhaustively() {
    // Four control plane rules aside, two workers from four other nodes: 22,144 NodePort tests.
    let is_shared = |plan: &Plan| plan.blocks.iter().any(|block| block.sharing == Sharing::Strata);
    assert!(!is_shared(&plan("hybrid")));
    assert!(is_shared(&plan("user")));
    // 2,768 ports of a pair take 28 s at 100 a second, 138 s at 20.
    let rated = |pair| Parameters {
        max_rate_node: 200,
        max_rate_pair: pair,
        ..parameters()
    };
    assert!(!is_shared(&Plan::new(
        &inventory("hybrid"),
        &profiles(),
        &rated(100)
    )));
    assert!(is_shared(&Plan::new(
        &inventory("hybrid"),
        &profiles(),
        &rated(20)
    )));
    let exhaustive = Parameters {
        exhaustive: true,
        ..parameters()
    };
    assert!(!is_shared(&Plan::new(
        &inventory("user"),
        &profiles(),
        &exhaustive
    )));
}

#[test]
fn a_thousand_nodes_plan_every_sources_targets() {
    let mut inventory = inventory("user");
    let workers = (0..1000u16).map(|index| crate::inventory::Node {
        id: id(&format!("10.220.{}.{}", index / 250, index % 250 + 1)),
        roles: [Role::Worker].into(),
        ..inventory.nodes[9].clone()
    });
    inventory.nodes.extend(workers.collect::<Vec<_>>());
    inventory.nodes.sort_by_key(|node| node.id);
    let plan = Plan::new(&inventory, &profiles(), &parameters());
    let index = plan.index();
    let tests: u64 = (index.sources().iter())
        .flat_map(|source| index.targets_from(*source))
        .map(|target| u64::from(target.ports.count()) * target.destinations.len() as u64)
        .sum();
    assert_eq!(tests, plan.size().tests);
}

fn plan_ports(sample: &str, node: &str) -> PortSet {
    plan(sample).ports_at(id(node), Family::Ipv4, Protocol::Tcp)
}
