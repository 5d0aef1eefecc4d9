//! `Profile` against the tables of other distributions and of network plugins, both ways and in their order.

use plumbline_model::profile::{
    self, Destination, Direction, PortSpec, Profile, Rule, Scope, Severity, Source,
};

/// The documents' tables; see the file's head for its form.
const TABLES: &str = include_str!("other_tables.txt");

fn builtin(name: &str) -> Profile {
    let text = profile::builtin(name).unwrap_or_else(|| panic!("{name} is not built in"));
    profile::read(&text).unwrap_or_else(|refused| panic!("{refused}"))
}

#[test]
fn every_rule_of_the_other_profiles_is_exactly_a_row_of_their_tables() {
    let mut compared = Vec::new();
    let mut seen = 0;
    for (name, rows) in tables() {
        let ours: Vec<String> = builtin(name).rules.iter().map(written).collect();
        let theirs: Vec<String> = rows.iter().flat_map(|row| expected(row)).collect();
        assert_eq!(ours, theirs, "{name}");
        seen += theirs.len();
        compared.push(name);
    }
    let others: Vec<&str> = profile::BUILTIN
        .into_iter()
        .filter(|name| *name != "gdc-bare-metal")
        .collect();
    assert_eq!(compared, others);
    // 108 rows, three of them of TCP and UDP.
    assert_eq!(seen, 111);
}

#[test]
fn every_rule_of_the_other_profiles_is_a_row_that_cites_its_revision() {
    for (name, _) in tables() {
        let profile = builtin(name);
        let rows = profile.rows_of_every_version(None);
        assert_eq!(rows.len(), profile.rules.len(), "{name}");
        for row in rows {
            assert!(
                !row.cited.is_empty() && row.cited.iter().all(|cited| cited.len() > 10),
                "{}",
                row.id
            );
        }
    }
}

#[test]
fn what_a_document_does_not_say_about_its_users_has_a_reading() {
    for (name, _) in tables() {
        for rule in builtin(name).rules {
            let used_by = rule.doc_used_by.as_deref().unwrap_or_default();
            let is_clear =
                rule.verified && !["", "Self", "All"].contains(&used_by) && rule.scope != Scope::Loopback;
            assert!(is_clear || rule.reading.is_some(), "{name}: {}", rule.id);
        }
    }
}

#[test]
fn the_same_port_is_local_to_one_distribution_and_remote_in_another() {
    let scopes = |name: &str| -> Vec<Scope> {
        let is_6444 = |rule: &&Rule| rule.ports == ["6444".parse().map(PortSpec::Range).unwrap()];
        let profile = builtin(name);
        profile
            .rules
            .iter()
            .filter(is_6444)
            .map(|rule| rule.scope)
            .collect()
    };
    assert_eq!(scopes("k3s"), [Scope::Loopback]);
    assert_eq!(scopes("gdc-bare-metal"), [Scope::Remote]);
}

fn tables() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut tables: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in TABLES
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => tables.push((name, Vec::new())),
            None => tables.last_mut().expect("rows stand below a name").1.push(line),
        }
    }
    tables
}

/// A row in our words; `tcp+udp` is two rules.
fn expected(row: &str) -> Vec<String> {
    let mut columns = row.split('|').map(str::trim);
    let mut next = || columns.next().unwrap_or_default();
    let (to, transport, from) = (next(), next(), next());
    let (used_by, when, properties) = (next(), next(), next());
    let (protocols, ports) = transport.split_once(' ').expect("protocol and ports");
    let has = |property: &str| properties.split(' ').any(|word| word == property);
    let to = match to {
        "control_plane" | "server" | "etcd_host" => Destination::ControlPlane,
        "worker" | "agent" => Destination::Worker,
        "all_nodes" | "all_machines" | "typha_host" => Destination::AnyNode,
        other => panic!("no role is called {other}"),
    };
    let mut from: Vec<Source> = from.split(' ').map(source).collect();
    from.sort_unstable();
    let direction = match has("both") {
        true => Direction::Both,
        false => Direction::Inbound,
    };
    // What nobody verified can only warn, whatever the table says.
    let severity = match has("warn") || has("unverified") {
        true => Severity::Warn,
        false => Severity::Fail,
    };
    let (is_loopback, is_verified, services) = (has("loopback"), !has("unverified"), has("services"));
    let row = |protocol: &str| {
        format!(
            "{to:?} {protocol} {ports} {from:?} {used_by:?} {when:?} {direction:?} {severity:?} loopback {is_loopback} verified {is_verified} services {services}"
        )
    };
    protocols.split('+').map(row).collect()
}

fn source(word: &str) -> Source {
    match word {
        "any_client" => Source::AnyClient,
        "control_plane" | "server" => Source::ControlPlane,
        "worker" | "agent" => Source::Worker,
        "all_nodes" | "all_machines" => Source::ClusterNodes,
        "self_node" => Source::SelfNode,
        "loopback" => Source::Loopback,
        "load_balancer_external" => Source::ExternalLoadBalancer,
        "talosctl_client" | "ansible_host" => Source::AdminWorkstation,
        other => panic!("no source is called {other}"),
    }
}

fn written(rule: &Rule) -> String {
    let port = |spec: &PortSpec| match spec {
        PortSpec::Range(range) => range.to_string(),
        PortSpec::Variable { default, .. } => default.to_string(),
    };
    let ports: Vec<String> = rule.ports.iter().map(port).collect();
    let ports = match ports.as_slice() {
        [] => "-".to_owned(),
        ports => ports.join(","),
    };
    let from: Vec<Source> = rule.sources.iter().copied().collect();
    let used_by = rule.doc_used_by.as_deref().unwrap_or_default();
    let when = rule.when.as_ref().map_or("", |when| &when.text);
    format!(
        "{:?} {} {ports} {from:?} {used_by:?} {when:?} {:?} {:?} loopback {} verified {} services {}",
        rule.destination,
        rule.protocol,
        rule.direction,
        rule.severity,
        rule.scope == Scope::Loopback,
        rule.verified,
        rule.through_services
    )
}
