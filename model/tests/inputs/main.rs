//! Inputs as the administrator gives them: the sample cluster files, mistakes in them, and the document's own tables.

mod config;
mod containers;
mod encoding;
mod expansion;
mod guide;
mod mess;
mod other_tables;
mod plain;
mod properties;
mod refused;
mod replay;
mod samples;
mod shapes;
mod tables;

use plumbline_model::{
    cluster,
    evidence::{Group, Parameters, SwarmKind},
    inventory::Inventory,
    profile::{self, Profile},
    source::SourceText,
};

/// User cluster, dedicated load balancers, 1.29.
const USER: &str = include_str!("../clusters/01-user-l2-dedicated-lb-1.29.yaml");
/// Hybrid cluster, load balancers on the control plane, 1.28.
const HYBRID: &str = include_str!("../clusters/02-hybrid-l2-1.28.yaml");
/// Admin cluster, 1.16.
const ADMIN: &str = include_str!("../clusters/04-admin-1.16.yaml");
/// Standalone cluster, dual stack, 1.31.
const STANDALONE: &str = include_str!("../clusters/07-standalone-dualstack-1.31.yaml");

fn inventory(text: &str) -> Inventory {
    let source = SourceText {
        name: "cluster.yaml".to_owned(),
        text: text.to_owned(),
    };
    Inventory::derive(
        &cluster::read(&source)
            .unwrap_or_else(|refused| panic!("{refused}"))
            .cluster,
    )
}

fn gdc() -> Profile {
    profile::read(&profile::builtin("gdc-bare-metal").expect("a name of BUILTIN"))
        .unwrap_or_else(|refused| panic!("{refused}"))
}

/// A run in a lab, without limits.
fn parameters() -> Parameters {
    Parameters {
        swarm: SwarmKind::Lab,
        groups: vec![Group::Config, Group::Reach],
        nodes: Vec::new(),
        exclude: Vec::new(),
        version: None,
        exhaustive: false,
        seed: 1,
        attempts: 3,
        attempt_timeout_ms: 500,
        max_rate_node: 0,
        max_rate_pair: 0,
        partial: false,
        retest: None,
        active: false,
    }
}
