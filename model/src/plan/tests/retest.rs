//! Plans of a part: retests, and what is left when somebody stays away.

use std::collections::BTreeSet;

use super::{id, inventory, parameters, plan, profiles};
use crate::{
    evidence::{Parameters, Retest, Retested},
    id::{NodeId, RunId},
    plan::{Plan, Sharing},
    port::{Family, PortSet, Protocol},
    profile::Severity,
};

fn retest(tests: &[(&str, &str, Protocol, &str)]) -> Parameters {
    let tests = tests.iter().map(|(src, dst, protocol, ports)| Retested {
        src: id(src),
        dst: id(dst),
        family: Family::Ipv4,
        protocol: *protocol,
        ports: ports.parse().unwrap(),
        was: "filtered".to_owned(),
    });
    Parameters {
        retest: Some(Retest {
            run: RunId::from_bytes([1; 8]),
            report_sha256: String::new(),
            tests: tests.collect(),
        }),
        ..parameters()
    }
}

#[test]
fn a_retest_holds_exactly_the_listed_tests_that_a_rule_still_asks_for() {
    use Protocol::{Tcp, Udp};
    let parameters = retest(&[
        ("10.200.0.2", "10.200.0.5", Tcp, "10250"),
        ("10.200.0.2", "10.200.0.5", Udp, "6081"),
        ("10.200.0.5", "10.200.0.6", Tcp, "30000-30999"),
        // No rule asks a worker for the kubelet of another, nor anybody for this port.
        ("10.200.0.5", "10.200.0.6", Tcp, "10250"),
        ("10.200.0.2", "10.200.0.5", Tcp, "12345"),
    ]);
    let plan = Plan::new(&inventory("hybrid"), &profiles(), &parameters);
    let mut tests = Vec::new();
    for source in &plan.participants {
        for target in plan.targets_from(*source) {
            for destination in target.destinations {
                tests.push(format!(
                    "{source} {destination} {} {}",
                    target.protocol, target.ports
                ));
            }
        }
    }
    assert_eq!(
        tests,
        [
            "10.200.0.2 10.200.0.5 tcp 10250",
            "10.200.0.2 10.200.0.5 udp 6081",
            "10.200.0.5 10.200.0.6 tcp 30000-30999"
        ]
    );
    assert_eq!(
        plan.participants,
        ["10.200.0.2", "10.200.0.5", "10.200.0.6"].map(id)
    );
    assert_eq!((plan.size().inferred, plan.no_vantage), (0, Vec::new()));
    let severities: Vec<Severity> = plan.blocks.iter().map(|block| block.severity).collect();
    assert_eq!(severities, [Severity::Fail, Severity::Fail, Severity::Warn]);
}

#[test]
fn a_retest_of_what_failed_everywhere_is_as_few_blocks_as_the_plan_had() {
    let full = plan("hybrid");
    let kubelet = full
        .blocks
        .iter()
        .find(|block| block.rule == "cp.kubelet")
        .unwrap();
    let nodes: Vec<String> = kubelet.sources.iter().map(ToString::to_string).collect();
    let pairs = nodes
        .iter()
        .flat_map(|src| nodes.iter().map(move |dst| (src.as_str(), dst.as_str())));
    let tests: Vec<_> = pairs
        .filter(|(src, dst)| src != dst)
        .map(|(src, dst)| (src, dst, Protocol::Tcp, "10250"))
        .collect();
    let of = |tests: &[(&str, &str, Protocol, &str)]| {
        let plan = Plan::new(&inventory("hybrid"), &profiles(), &retest(tests));
        plan.blocks
            .into_iter()
            .map(|block| (block.sources, block.destinations))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of(&tests),
        [(kubelet.sources.clone(), kubelet.destinations.clone())]
    );
    // One host from everybody: one block, without the host among its own sources.
    let one: Vec<_> = tests
        .iter()
        .filter(|(_, dst, ..)| *dst == "10.200.0.3")
        .copied()
        .collect();
    assert_eq!(
        of(&one),
        [(
            ["10.200.0.2", "10.200.0.4"].map(id).to_vec(),
            vec![id("10.200.0.3")]
        )]
    );
}

#[test]
fn nodes_that_do_not_take_part_are_in_no_retest() {
    let parameters = Parameters {
        exclude: vec![id("10.200.0.2")],
        ..retest(&[
            ("10.200.0.2", "10.200.0.3", Protocol::Tcp, "10250"),
            ("10.200.0.3", "10.200.0.4", Protocol::Tcp, "10250"),
        ])
    };
    let plan = Plan::new(&inventory("hybrid"), &profiles(), &parameters);
    assert_eq!(plan.participants, ["10.200.0.3", "10.200.0.4"].map(id));
}

#[test]
fn without_some_of_its_participants_the_others_test_the_same() {
    let full = plan("user");
    let absent = BTreeSet::from(["10.210.1.11", "10.200.0.11"].map(id));
    let rest = full.without(&absent);
    let mut dealt = PortSet::new();
    for block in full
        .blocks
        .iter()
        .filter(|block| block.sharing != Sharing::Exhaustive)
    {
        dealt.extend(&block.ports);
    }
    let of = |plan: &Plan, source: NodeId| {
        let targets = plan.targets_from(source).into_iter();
        let mut tests: Vec<_> = targets
            .flat_map(|target| {
                let transport = (target.family, target.protocol);
                // What one of them tests for all is dealt anew.
                let ports = target.ports.difference(&dealt);
                let destinations = target.destinations.into_iter();
                destinations.map(move |destination| (destination, transport, ports.clone()))
            })
            .filter(|(destination, _, ports)| !absent.contains(destination) && !ports.is_empty())
            .collect();
        tests.sort();
        tests
    };
    for source in &full.participants {
        let expected = if absent.contains(source) {
            Vec::new()
        } else {
            of(&full, *source)
        };
        assert_eq!(of(&rest, *source), expected, "{source}");
    }
    assert_eq!(rest.participants.len(), full.participants.len() - 2);
}
