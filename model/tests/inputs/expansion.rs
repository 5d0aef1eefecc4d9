//! The plan against a naive expansion: for each source, destination, family, transport and port the rules are asked one by
//! one, in the words of the profile.

use std::collections::{BTreeMap, BTreeSet};

use plumbline_model::{
    evidence::Parameters,
    id::{NodeId, Role},
    inventory::Inventory,
    plan::{Expect, Plan, Sharing},
    port::{Family, PortRange, PortSet, Protocol},
    profile::{Destination, PortSpec, Profile, Rule, Scope, Source},
};
use proptest::{collection::btree_set, prelude::*, sample::select};

use crate::{gdc, parameters, properties::clusters};

/// One test, and whether it is one that must find the port open.
type Test = (NodeId, NodeId, Family, Protocol, u16);

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_test_that_a_rule_demands_is_made_once_and_nothing_else(
        inventory in clusters(),
        profile in profiles(),
        parameters in choices(),
    ) {
        let parameters = Parameters { exhaustive: true, ..parameters };
        let plan = Plan::new(&inventory, std::slice::from_ref(&profile), &parameters);
        prop_assert!(plan.blocks.iter().all(|block| block.sharing == Sharing::Exhaustive));
        let demanded: BTreeSet<Test> = demanded(&inventory, &profile, &parameters).into_keys().collect();
        prop_assert_eq!(&open_tests(&plan), &demanded);
    }

    #[test]
    fn a_shared_range_is_tested_whole_at_each_destination_and_everything_else_by_everybody(
        inventory in clusters(),
        profile in profiles(),
        parameters in choices(),
        rate in 1_u32..4,
    ) {
        let parameters = Parameters { exhaustive: false, max_rate_pair: rate, max_rate_node: 50 * rate, ..parameters };
        let plan = Plan::new(&inventory, std::slice::from_ref(&profile), &parameters);
        let demanded = demanded(&inventory, &profile, &parameters);
        let tested = open_tests(&plan);
        prop_assert!(tested.is_subset(&demanded.keys().copied().collect()));
        let at: BTreeSet<_> = tested.iter().map(|(_, to, family, protocol, port)| (*to, *family, *protocol, *port)).collect();
        for ((from, to, family, protocol, port), smallest) in demanded {
            if smallest <= plumbline_model::plan::STRATA_ABOVE {
                prop_assert!(tested.contains(&(from, to, family, protocol, port)), "{from} {to} {protocol} {port}");
            }
            prop_assert!(at.contains(&(to, family, protocol, port)), "{to} {protocol} {port}");
        }
    }

    #[test]
    fn blocks_of_a_port_are_those_that_test_it_and_responders_listen_where_they_do(
        inventory in clusters(),
        profile in profiles(),
        parameters in choices(),
    ) {
        let plan = Plan::new(&inventory, std::slice::from_ref(&profile), &parameters);
        let mut listens: BTreeMap<(NodeId, Family, Protocol), PortSet> = BTreeMap::new();
        for source in &plan.participants {
            for target in plan.targets_from(*source) {
                let transport = (target.family, target.protocol);
                for destination in &target.destinations {
                    for port in target.ports.ranges().iter().flat_map(|range| [range.first(), range.last()]) {
                        let blocks: Vec<_> = plan.blocks_of(*source, *destination, transport, port).collect();
                        prop_assert!(!blocks.is_empty());
                        prop_assert!(blocks.iter().all(|block| block.ports_for(*source, *destination).contains(port)));
                        if blocks.iter().any(|block| block.expect == Expect::Open) {
                            let key = (*destination, target.family, target.protocol);
                            listens.entry(key).or_default().insert_port(port);
                        }
                    }
                }
            }
        }
        for ((destination, family, protocol), ports) in listens {
            let bound = plan.ports_at(destination, family, protocol);
            prop_assert_eq!(bound.intersection(&ports), ports);
        }
        for block in &plan.blocks {
            prop_assert!(block.sources.is_sorted() && block.destinations.is_sorted());
            prop_assert!(block.sources.iter().chain(&block.destinations).all(|node| plan.participants.contains(node)));
        }
    }
}

/// What blocks test that must be open; panics on a test that stands twice in the targets of one source.
fn open_tests(plan: &Plan) -> BTreeSet<Test> {
    let mut tests = BTreeSet::new();
    for source in &plan.participants {
        for target in plan.targets_from(*source) {
            let transport = (target.family, target.protocol);
            for destination in &target.destinations {
                for port in target.ports.iter() {
                    let mut blocks = plan.blocks_of(*source, *destination, transport, port);
                    if blocks.any(|block| block.expect == Expect::Open) {
                        let new = tests.insert((*source, *destination, target.family, target.protocol, port));
                        assert!(new, "{source} tests {destination} twice at {port}");
                    }
                }
            }
        }
    }
    tests
}

/// What the rules demand, with the size of the smallest rule that demands it.
fn demanded(inventory: &Inventory, profile: &Profile, parameters: &Parameters) -> BTreeMap<Test, u32> {
    let mut demanded = BTreeMap::new();
    let takes_part = |node: NodeId| match node {
        NodeId::Coordinator => !parameters.exclude.contains(&node),
        NodeId::Address(_) => {
            (parameters.nodes.is_empty() || parameters.nodes.contains(&node))
                && !parameters.exclude.contains(&node)
        }
    };
    let nodes = inventory.nodes.iter().map(|node| node.id);
    let sources: Vec<NodeId> = nodes
        .chain([NodeId::Coordinator])
        .filter(|node| takes_part(*node))
        .collect();
    for rule in profile.rules.iter().filter(|rule| is_asked(rule, inventory)) {
        let ports = rule.ports_in(inventory);
        for to in inventory.nodes.iter().filter(|node| takes_part(node.id)) {
            let versions = [
                Some(to.version.minor()),
                parameters.version.as_ref().map(|version| version.minor()),
            ];
            let applies = versions
                .into_iter()
                .flatten()
                .any(|version| rule.applies_to(version));
            let is_meant = rule
                .destination
                .role()
                .is_none_or(|role| to.roles.contains(&role));
            if !(applies && is_meant) {
                continue;
            }
            for from in sources
                .iter()
                .filter(|from| **from != to.id && is_source(**from, rule, profile, inventory))
            {
                for family in both(inventory, *from, to.id) {
                    for port in ports.iter() {
                        let smallest = demanded
                            .entry((*from, to.id, family, rule.protocol, port))
                            .or_insert(u32::MAX);
                        *smallest = ports.count().min(*smallest);
                    }
                }
            }
        }
    }
    demanded
}

/// Whether anything is tested for a rule at all.
fn is_asked(rule: &Rule, inventory: &Inventory) -> bool {
    matches!(rule.protocol, Protocol::Tcp | Protocol::Udp)
        && rule.scope == Scope::Remote
        && !matches!(
            rule.destination,
            Destination::External | Destination::AddedClusterVip
        )
        && rule.when.as_ref().is_none_or(|when| when.holds_for(inventory))
}

fn is_source(from: NodeId, rule: &Rule, profile: &Profile, inventory: &Inventory) -> bool {
    let has = |role| {
        inventory
            .node(from)
            .is_some_and(|node| node.roles.contains(&role))
    };
    let is = |source: Source| match source {
        Source::AdminWorkstation => from == NodeId::Coordinator,
        Source::ControlPlane => has(Role::ControlPlane),
        Source::LoadBalancer => has(Role::LoadBalancer),
        Source::Worker => has(Role::Worker),
        Source::ClusterNodes => from != NodeId::Coordinator,
        Source::AnyClient => true,
        Source::AdminClusterNodes
        | Source::ExternalLoadBalancer
        | Source::SelfNode
        | Source::Loopback
        | Source::FloatingIp
        | Source::Named(_) => false,
    };
    rule.sources
        .iter()
        .flat_map(|source| profile.standing_for(*source, inventory))
        .any(is)
}

/// The families in which two participants speak: in a dual-stack cluster nodes in both, otherwise in that of their ids; the
/// workstation in that of the file's addresses.
fn both(inventory: &Inventory, from: NodeId, to: NodeId) -> Vec<Family> {
    let listed: BTreeSet<Family> = inventory
        .nodes
        .iter()
        .filter_map(|node| node.id.address())
        .map(Family::of)
        .collect();
    let speaks = |node: NodeId, family: Family| match node.address() {
        None => listed.contains(&family),
        Some(address) => inventory.is_dual_stack() || Family::of(address) == family,
    };
    [Family::Ipv4, Family::Ipv6]
        .into_iter()
        .filter(|family| speaks(from, *family) && speaks(to, *family))
        .collect()
}

/// Which nodes take part, and by which version they are judged.
fn choices() -> impl Strategy<Value = Parameters> {
    let node = (1..250_u8).prop_map(|host| NodeId::from(std::net::IpAddr::from([10, 9, 8, host])));
    let excluded = prop_oneof![3 => node, 1 => Just(NodeId::Coordinator)];
    let version = prop_oneof![Just(None), select(vec!["1.15", "1.29", "1.34"]).prop_map(Some)];
    (proptest::collection::vec(excluded, 0..3), version).prop_map(|(exclude, version)| Parameters {
        exclude,
        version: version.map(|version| version.parse().expect("one of the versions above")),
        ..parameters()
    })
}

/// The vendor's profile with its rules mixed up: ports, transports, senders, receivers, versions and scopes at random.
fn profiles() -> impl Strategy<Value = Profile> {
    let profile = gdc();
    let rule = rules(Rule {
        when: None,
        ..profile.rules[0].clone()
    });
    proptest::collection::vec(rule, 1..8).prop_map(move |mut rules| {
        for (index, rule) in rules.iter_mut().enumerate() {
            rule.id = format!("rule.{index}");
        }
        Profile {
            rules,
            ..profile.clone()
        }
    })
}

fn rules(template: Rule) -> impl Strategy<Value = Rule> {
    let destinations = select(vec![
        Destination::ControlPlane,
        Destination::LoadBalancer,
        Destination::Worker,
        Destination::AnyNode,
        Destination::AddedClusterNode,
        Destination::External,
    ]);
    let sources = btree_set(
        select(vec![
            Source::AdminWorkstation,
            Source::AdminClusterNodes,
            Source::ControlPlane,
            Source::LoadBalancer,
            Source::Worker,
            Source::ClusterNodes,
            Source::AnyClient,
            Source::SelfNode,
            Source::FloatingIp,
        ]),
        1..3,
    );
    let protocols = select(vec![Protocol::Tcp, Protocol::Tcp, Protocol::Udp, Protocol::Icmp]);
    // Narrow, so that rules overlap; now and then a range that may be shared.
    let ports = (100..106_u16, prop_oneof![4 => 0..4_u16, 1 => 60..90_u16]);
    let scopes = prop_oneof![6 => Just(Scope::Remote), 1 => Just(Scope::SelfNode)];
    let since = select(vec![None, None, Some("1.16"), Some("1.33")]);
    let until = select(vec![None, None, Some("1.28")]);
    (destinations, sources, protocols, ports, scopes, since, until).prop_map(
        move |(destination, sources, protocol, (first, length), scope, since, until)| {
            let minor = |version: Option<&str>| {
                version.map(|version| version.parse().expect("one of the versions above"))
            };
            let range = PortRange::new(first, first + length).expect("the range is not reversed");
            Rule {
                destination,
                protocol,
                scope,
                ports: vec![PortSpec::Range(range)],
                sources,
                since: minor(since),
                until: minor(until),
                ..template.clone()
            }
        },
    )
}
