//! What holds for every plan and every set of ports.

use std::collections::{BTreeMap, BTreeSet};

use plumbline_model::{
    id::{NodeId, Role},
    inventory::{Inventory, Node},
    plan::{Expect, Plan, Sharing},
    port::{Family, PortRange, PortSet, Protocol},
};
use proptest::prelude::*;

use crate::{USER, gdc, inventory, parameters};

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn targets_hold_each_test_of_the_blocks_exactly_once(inventory in clusters(), rate in prop_oneof![Just(0u32), 1u32..40]) {
        let parameters = plumbline_model::evidence::Parameters { max_rate_pair: rate, ..parameters() };
        let plan = Plan::new(&inventory, &[gdc()], &parameters);
        let mut from_blocks: BTreeMap<(NodeId, NodeId, Family, Protocol), PortSet> = BTreeMap::new();
        for block in &plan.blocks {
            for source in &block.sources {
                for destination in &block.destinations {
                    let ports = block.ports_for(*source, *destination);
                    if !ports.is_empty() {
                        let key = (*source, *destination, block.family, block.protocol);
                        from_blocks.entry(key).or_default().extend(&ports);
                    }
                }
            }
        }
        let mut from_targets: BTreeMap<(NodeId, NodeId, Family, Protocol), PortSet> = BTreeMap::new();
        for source in &plan.participants {
            for target in plan.targets_from(*source) {
                prop_assert!(target.destinations.is_sorted());
                for destination in &target.destinations {
                    let key = (*source, *destination, target.family, target.protocol);
                    let ports = from_targets.entry(key).or_default();
                    prop_assert!(ports.intersection(&target.ports).is_empty());
                    ports.extend(&target.ports);
                }
            }
        }
        prop_assert_eq!(&from_targets, &from_blocks);
        let tests: u64 = from_blocks.values().map(|ports| u64::from(ports.count())).sum();
        let pairs: BTreeSet<(NodeId, NodeId)> = from_blocks.keys().map(|(source, destination, ..)| (*source, *destination)).collect();
        let size = plan.size();
        prop_assert_eq!((size.tests, size.pairs), (tests, pairs.len() as u64));
        prop_assert!(pairs.iter().all(|(source, destination)| source != destination));
    }

    #[test]
    fn strata_are_disjoint_and_complete_at_every_destination(inventory in clusters()) {
        let plan = Plan::new(&inventory, &[gdc()], &plumbline_model::evidence::Parameters { max_rate_pair: 1, ..parameters() });
        for block in plan.blocks.iter().filter(|block| block.sharing == Sharing::Strata) {
            for destination in &block.destinations {
                let shares: Vec<PortSet> =
                    block.sources.iter().map(|source| block.ports_for(*source, *destination)).collect();
                let mut union = PortSet::new();
                for (source, share) in block.sources.iter().zip(&shares) {
                    union.extend(share);
                    for port in share.iter() {
                        prop_assert!(block.tests(*source, *destination, port));
                    }
                }
                let sum: u32 = shares.iter().map(PortSet::count).sum();
                let others = block.sources.iter().any(|source| source != destination);
                let expected = if others { block.ports.clone() } else { PortSet::new() };
                prop_assert_eq!((&union, sum), (&expected, expected.count()));
            }
        }
    }

    #[test]
    fn what_must_not_answer_is_tried_once_at_each_node_and_evenly(inventory in clusters()) {
        let plan = Plan::new(&inventory, &[gdc()], &parameters());
        for block in plan.blocks.iter().filter(|block| block.expect == Expect::Blocked) {
            prop_assert_eq!(block.sharing, Sharing::One);
            for destination in &block.destinations {
                let tried: Vec<PortSet> =
                    block.sources.iter().map(|source| block.ports_for(*source, *destination)).filter(|ports| !ports.is_empty()).collect();
                prop_assert_eq!(tried, vec![block.ports.clone()]);
            }
            let most = block.sources.iter().map(|source| {
                block.destinations.iter().filter(|destination| !block.ports_for(*source, **destination).is_empty()).count()
            });
            prop_assert!(most.max() <= Some(1), "every node of a cluster is a source, so none has two to try");
        }
    }

    #[test]
    fn responders_listen_on_exactly_the_ports_that_somebody_wants_open(inventory in clusters()) {
        let plan = Plan::new(&inventory, &[gdc()], &parameters());
        let mut asked: BTreeMap<(NodeId, Family, Protocol), PortSet> = BTreeMap::new();
        for source in &plan.participants {
            for target in plan.targets_from(*source) {
                for destination in &target.destinations {
                    asked.entry((*destination, target.family, target.protocol)).or_default().extend(&target.ports);
                }
            }
        }
        for block in plan.blocks.iter().filter(|block| block.expect == Expect::Blocked) {
            for destination in &block.destinations {
                let ports = asked.entry((*destination, block.family, block.protocol)).or_default();
                *ports = ports.difference(&block.ports);
            }
        }
        for node in &inventory.nodes {
            for (family, protocol) in [Family::Ipv4, Family::Ipv6].into_iter().flat_map(|family| [(family, Protocol::Tcp), (family, Protocol::Udp)]) {
                let expected = asked.get(&(node.id, family, protocol)).cloned().unwrap_or_default();
                prop_assert_eq!(plan.ports_at(node.id, family, protocol), expected);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn port_sets_are_sets(a in port_sets(), b in port_sets()) {
        let (in_a, in_b): (BTreeSet<u16>, BTreeSet<u16>) = (a.iter().collect(), b.iter().collect());
        let mut union = a.clone();
        union.extend(&b);
        prop_assert_eq!(union.iter().collect::<BTreeSet<_>>(), &in_a | &in_b);
        prop_assert_eq!(a.intersection(&b).iter().collect::<BTreeSet<_>>(), &in_a & &in_b);
        prop_assert_eq!(a.difference(&b).iter().collect::<BTreeSet<_>>(), &in_a - &in_b);
        prop_assert_eq!(a.count() as usize, in_a.len());
        prop_assert!(in_a.iter().all(|port| a.contains(*port)));
        prop_assert_eq!(a.iter().collect::<PortSet>(), a.clone());
    }

    #[test]
    fn a_port_set_is_written_in_ranges_that_neither_overlap_nor_touch(a in port_sets(), order in any::<u64>()) {
        let apart = |pair: &[PortRange]| u32::from(pair[0].last()) + 1 < u32::from(pair[1].first());
        prop_assert!(a.ranges().windows(2).all(apart), "{}", a);
        // In whichever order ranges come, they make the same set.
        let mut ranges = a.ranges().to_vec();
        let turn = usize::try_from(order % 8).unwrap_or(0).min(ranges.len());
        ranges.rotate_left(turn);
        let mut again = PortSet::new();
        ranges.iter().for_each(|range| again.insert(*range));
        prop_assert_eq!(&again, &a);
        prop_assert_eq!((a.is_empty(), a.contains(0)), (a.count() == 0, false));
    }

    #[test]
    fn sets_add_up(a in port_sets(), b in port_sets(), c in port_sets()) {
        let union = |a: &PortSet, b: &PortSet| {
            let mut union = a.clone();
            union.extend(b);
            union
        };
        prop_assert_eq!(union(&a, &b), union(&b, &a));
        prop_assert_eq!(union(&union(&a, &b), &c), union(&a, &union(&b, &c)));
        prop_assert_eq!(a.intersection(&union(&b, &c)), union(&a.intersection(&b), &a.intersection(&c)));
        prop_assert_eq!(a.difference(&b).count() + a.intersection(&b).count(), a.count());
        prop_assert!(a.difference(&b).intersection(&b).is_empty());
    }

    #[test]
    fn a_port_set_reads_as_it_is_written(a in port_sets()) {
        prop_assert_eq!(a.to_string().parse::<PortSet>().unwrap(), a);
    }

    #[test]
    fn no_text_makes_the_reader_of_cluster_files_panic(cut in 0..USER.len(), insert in "\\PC{0,8}") {
        let at = (cut..USER.len()).find(|at| USER.is_char_boundary(*at)).unwrap_or(USER.len());
        for text in [format!("{}{insert}", &USER[..at]), format!("{}{insert}{}", &USER[..at], &USER[at..])] {
            let source = plumbline_model::source::SourceText { name: "f".into(), text };
            if let Err(refused) = plumbline_model::cluster::read(&source) {
                prop_assert!(!refused.0.is_empty());
                prop_assert!(refused.0.iter().all(|complaint| complaint.line >= 1 && complaint.column >= 1));
            }
        }
    }
}

/// Clusters of up to eighteen nodes with roles and versions at random, of IPv4 or of both families.
pub(crate) fn clusters() -> impl Strategy<Value = Inventory> {
    let roles = proptest::sample::subsequence(Role::ALL.to_vec(), 1..=3);
    let versions = proptest::sample::select(vec!["1.15.2", "1.16.0", "1.28.400", "1.29.1100-gke.84", "1.33"]);
    let nodes = proptest::collection::vec((1..250u8, roles, versions), 1..18);
    (nodes, any::<bool>()).prop_map(|(nodes, dual)| {
        let mut inventory = inventory(USER);
        if dual {
            inventory
                .services
                .push("fd00:96::/112".parse().expect("a range of addresses"));
        }
        let nodes: BTreeMap<NodeId, Node> = nodes
            .into_iter()
            .map(|(host, roles, version)| {
                let address = std::net::IpAddr::from([10, 9, 8, host]);
                let node = Node {
                    labels: BTreeMap::new(),
                    id: address.into(),
                    ssh: address,
                    ssh_port: None,
                    name: None,
                    roles: roles.into_iter().collect(),
                    version: version.parse().expect("one of the versions above"),
                    pool: "pool".to_owned(),
                    line: 1,
                };
                (node.id, node)
            })
            .collect();
        inventory.nodes = nodes.into_values().collect();
        inventory
    })
}

/// Sets with ranges that overlap, touch and reach both ends of the port space.
pub(crate) fn port_sets() -> impl Strategy<Value = PortSet> {
    let port = prop_oneof![1..40u16, 65_500..=u16::MAX, 1..=u16::MAX];
    proptest::collection::vec((port, 0..20u16), 0..8).prop_map(|ranges| {
        let mut ports = PortSet::new();
        for (first, length) in ranges {
            ports.insert(PortRange::new(first, first.saturating_add(length)).expect("first is at least 1"));
        }
        ports
    })
}
