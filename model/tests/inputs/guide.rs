//! The profile of docs/profiles.md: it lints clean, is short, and plans a cluster together with what it extends.

use plumbline_model::{
    inventory::Inventory,
    plan::Plan,
    profile::{self, Misfit},
    source::SourceText,
};

use crate::{HYBRID, parameters};

const EXAMPLE: &str = include_str!("../../../docs/examples/my-distribution.yaml");

fn example() -> SourceText {
    SourceText {
        name: "my-distribution.yaml".to_owned(),
        text: EXAMPLE.to_owned(),
    }
}

fn inventory(with: &[&str], options: &[(&str, &str)]) -> Inventory {
    let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Inventory {
        profile: "my-distribution".to_owned(),
        with: with.iter().map(|name| (*name).to_owned()).collect(),
        options: options.iter().map(text).collect(),
        variables: [("join_port".to_owned(), 9301)].into(),
        ..crate::inventory(HYBRID)
    }
}

/// Rules of the plan with their ports, each once.
fn planned(inventory: &Inventory) -> Vec<String> {
    let texts = profile::texts_for(inventory, vec![example()]).unwrap_or_else(|unknown| panic!("{unknown}"));
    let profiles = profile::all(&texts, None).unwrap_or_else(|refused| panic!("{refused}"));
    assert_eq!(profile::check_options(inventory, &profiles), Vec::<Misfit>::new());
    let plan = Plan::new(inventory, &profiles, &parameters());
    let mut rules: Vec<String> = plan
        .blocks
        .iter()
        .map(|block| format!("{} {}/{}", block.rule, block.ports, block.protocol))
        .collect();
    rules.dedup();
    rules
}

#[test]
fn the_example_of_the_guide_is_short_and_lints_clean() {
    assert!(EXAMPLE.lines().count() <= 60);
    assert_eq!(profile::lint(&example(), &[]), Ok(Vec::new()));
}

#[test]
fn the_example_of_the_guide_plans_with_what_it_extends_and_composes_in() {
    let rules = planned(&inventory(&["cilium"], &[("backup", "true")]));
    let expected = [
        "join 9301/tcp",
        "gossip 7373-7374/tcp",
        "gossip 7373-7374/udp",
        "backup 8800/tcp",
        "local.runtime 10010/tcp",
        "cp.api 6443/tcp",
        "cp.etcd 2379-2380/tcp",
        "cni-cilium.health 4240/tcp",
        "cni-cilium.vxlan 8472/udp",
    ];
    for rule in expected {
        assert!(rules.iter().any(|planned| planned == rule), "{rule}: {rules:#?}");
    }
    assert!(
        !rules.iter().any(|planned| planned.starts_with("w.kubeproxy")),
        "{rules:#?}"
    );
    let other = planned(&inventory(&[], &[("runtime", "crio")]));
    assert!(
        !other.iter().any(|planned| planned.starts_with("backup")
            || planned.starts_with("local.runtime")
            || planned.starts_with("cni-")),
        "{other:#?}"
    );
}
