//! Site files and admin clusters: labels, vantages, further ports.

use super::*;

const SITE: &str = "\
schema: plumbline/site/v1
labels:
  10.200.0.0/24: {zone: east}
  10.200.0.11-10.200.0.13: {rack: r1}
  10.200.0.25: {rack: r2}
vantages:
- {address: 10.77.0.9, name: office, stands_for: [any_client, client]}
- {address: 10.78.0.9, ssh: 10.9.0.9, stands_for: storage}
ports:
- {name: ingress, to: load_balancer, ports: [80, 443], from: [client], purpose: ingress of the shop}
- {name: iscsi, to: [10.200.0.25-10.200.0.26], protocol: tcp, ports: 3260, from: storage, purpose: storage, severity: warn}
- {name: syslog, to: any_node, protocol: udp, ports: [514], from: [worker], purpose: logs}
";

const ADMIN: &str = include_str!("../../clusters/04-admin-1.16.yaml");

#[test]
fn a_site_file_labels_nodes_and_declares_vantages_and_ports() {
    let understood = read(&[(Purpose::Cluster, USER), (Purpose::Site, SITE)])
        .unwrap_or_else(|refused| panic!("{refused}"));
    let node = understood.inventory.node(id("10.200.0.25")).unwrap();
    assert_eq!(
        (node.labels["rack"].as_str(), node.labels["zone"].as_str()),
        ("r2", "east")
    );
    let vantage = understood.inventory.vantage(id("10.77.0.9")).unwrap();
    assert_eq!(vantage.name, "office");
    assert!(vantage.stands_for.contains(&Source::AnyClient) && vantage.stands_for.len() == 2);
    assert_eq!(
        understood.inventory.ssh_of(id("10.78.0.9")).unwrap().to_string(),
        "10.9.0.9"
    );
    let declared = understood.declared.unwrap();
    let ids: Vec<&str> = declared.rules.iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(ids, ["user.ingress", "user.iscsi", "user.syslog"]);
    assert_eq!(declared.rules[1].destination, Destination::ListedNodes);
    assert_eq!(declared.rules[1].cited, ["site.yaml:11"]);
}

#[test]
fn vantages_ask_what_their_sources_ask_and_are_asked_nothing() {
    let plan = plan_with(&[(Purpose::Cluster, USER), (Purpose::Site, SITE)], |_| {});
    let (office, storage) = (id("10.77.0.9"), id("10.78.0.9"));
    assert!(plan.participants.contains(&office) && plan.participants.contains(&storage));
    assert!(
        plan.blocks
            .iter()
            .all(|block| !block.destinations.contains(&office))
    );
    let block = |rule: &str| plan.blocks.iter().find(|block| block.rule == rule).unwrap();
    assert_eq!(block("user.ingress").sources, [office]);
    assert_eq!(
        block("user.iscsi").destinations,
        ["10.200.0.25", "10.200.0.26"].map(id)
    );
    assert_eq!(block("user.iscsi").sources, [storage]);
    // A rule of the tables that is open to all is tried from there, too.
    let open_to_all = plan
        .blocks
        .iter()
        .filter(|block| block.sources.contains(&NodeId::Coordinator));
    assert!(open_to_all.clone().any(|block| block.sources.contains(&office)));
    assert!(open_to_all.clone().all(|block| !block.sources.contains(&storage)));
}

#[test]
fn named_vantages_are_the_only_ones_that_take_part_and_excluded_ones_do_not() {
    let texts = [(Purpose::Cluster, USER), (Purpose::Site, SITE)];
    let (office, storage) = (id("10.77.0.9"), id("10.78.0.9"));
    let only_office = plan_with(&texts, |parameters| parameters.nodes = vec![office]);
    assert!(only_office.participants.contains(&office) && !only_office.participants.contains(&storage));
    assert!(only_office.participants.contains(&id("10.200.0.25")));
    assert_eq!(
        only_office
            .no_vantage
            .iter()
            .filter(|gap| gap.rule == "user.iscsi")
            .count(),
        1
    );
    let some_nodes = plan_with(&texts, |parameters| {
        parameters.nodes = vec![id("10.200.0.25"), id("10.200.0.26")]
    });
    assert!(
        some_nodes.participants.contains(&office) && !some_nodes.participants.contains(&id("10.200.0.11"))
    );
    let without = plan_with(&texts, |parameters| parameters.exclude = vec![storage]);
    assert!(!without.participants.contains(&storage) && without.participants.contains(&office));
}

#[test]
fn the_admin_clusters_nodes_stand_for_it_and_the_gap_is_gone() {
    let alone = plan_with(&[(Purpose::Cluster, USER)], |_| {});
    let is_of_admin = |source: &Source| *source == Source::AdminClusterNodes;
    assert!(alone.no_vantage.iter().any(|gap| is_of_admin(&gap.source)));
    let admin = "\
schema: plumbline/inventory/v1
name: admin
profile: gdc-bare-metal
version: \"1.29\"
nodes: [{address: 10.60.0.1, roles: [control_plane]}, {address: 10.60.0.2, roles: [control_plane]}]
";
    let texts = [(Purpose::Cluster, USER), (Purpose::AdminCluster, admin)];
    let plan = plan_with(&texts, |_| {});
    assert!(plan.no_vantage.iter().all(|gap| !is_of_admin(&gap.source)));
    let ssh = plan.blocks.iter().find(|block| block.rule == "w.ssh").unwrap();
    assert!(ssh.sources.contains(&id("10.60.0.1")) && ssh.sources.contains(&id("10.60.0.2")));
    let understood = read(&[(Purpose::Cluster, USER), (Purpose::AdminCluster, ADMIN)]).unwrap();
    assert!(!understood.inventory.vantages.is_empty());
}

#[test]
fn a_file_that_manages_nobody_is_no_admin_cluster() {
    let complaints = refused(&[(Purpose::Cluster, USER), (Purpose::AdminCluster, USER)]);
    assert!(
        says(
            &complaints,
            "admin.yaml",
            1,
            &["of type user", "manages no other"]
        ),
        "{complaints:#?}"
    );
    assert!(
        complaints
            .iter()
            .any(|complaint| complaint.message.contains("nodes of")),
        "{complaints:#?}"
    );
    let complaints = refused(&[(Purpose::Cluster, ADMIN), (Purpose::AdminCluster, ADMIN)]);
    assert!(
        says(&complaints, "admin.yaml", 1, &["no admin cluster manages"]),
        "{complaints:#?}"
    );
}

#[test]
fn every_mistake_of_a_site_file_is_told_at_once_with_its_line() {
    let complaints = refused(&[
        (Purpose::Cluster, USER),
        (
            Purpose::Site,
            "\
schema: plumbline/site/v1
labels:
  10.200.0.250: {rack: r1}
  172.16.0.0/24: {rack: r1}
  rack-1: {rack: r1}
  10.200.0.11: {rack: r1}
  10.200.0.11-10.200.0.12: {rack: r2}
vantages:
- {address: 10.200.0.11, stands_for: [any_client]}
- {address: 10.77.0.9, stands_for: [any_clients]}
- {address: 10.77.0.8, stands_for: [worker]}
- {address: 10.77.0.7, stands_for: [storage]}
- {address: 10.77.0.7, stands_for: [any_client]}
- {address: 10.77.0.6, stands_for: [unused]}
- {address: 10.77.0.5}
ports:
- {name: a, to: gpu, ports: [1], from: [any_client], purpose: p}
- {name: b, to: worker, ports: [0], from: [any_client], purpose: p}
- {name: c, to: worker, ports: [1], from: [storag], purpose: p}
- {name: c, to: [10.200.0.251], ports: [1], from: [storage], purpose: p}
- {name: D!, to: worker, protocol: icmp, ports: [1], from: [], purpose: p}
- {name: e, to: worker, ports: [1], from: [worker]}
",
        ),
    ]);
    let file = "site.yaml";
    assert_says(&complaints, file, 3, &["no node has the address 10.200.0.250"]);
    assert_says(&complaints, file, 4, &["no node is in it"]);
    assert_says(&complaints, file, 5, &["rack-1"]);
    assert_says(&complaints, file, 7, &["rack: r1 already", "line 6"]);
    assert_says(&complaints, file, 9, &["is a node of the cluster"]);
    assert_says(
        &complaints,
        file,
        10,
        &["any_clients", "did you mean `any_client`"],
    );
    assert_says(&complaints, file, 11, &["the cluster's own nodes"]);
    assert_says(&complaints, file, 13, &["written twice", "line 12"]);
    assert_says(
        &complaints,
        file,
        14,
        &["no declared port has the source `unused`"],
    );
    assert_says(&complaints, file, 15, &["stands_for` is missing", "any_client"]);
    assert_says(
        &complaints,
        file,
        17,
        &["neither a role nor an address", "any_node"],
    );
    assert_says(&complaints, file, 18, &["not a port"]);
    assert_says(
        &complaints,
        file,
        19,
        &["no vantage stands for `storag`", "did you mean `storage`"],
    );
    assert_says(&complaints, file, 20, &["10.200.0.251, which is no node"]);
    assert_says(&complaints, file, 20, &["declared twice", "line 19"]);
    assert_says(&complaints, file, 21, &["no name of a port"]);
    assert_says(&complaints, file, 21, &["icmp", "valid: tcp, udp"]);
    assert_says(&complaints, file, 21, &["`ports[4].from` is empty"]);
    assert_says(&complaints, file, 22, &["purpose` is missing"]);
    assert_eq!(complaints.len(), 19, "{complaints:#?}");
}

#[test]
fn mistakes_of_several_files_are_told_together() {
    let complaints = refused(&[
        (Purpose::Cluster, &SMALL.replace("name: small", "nme: small")),
        (Purpose::Site, "schema: plumbline/site/v1\nport: []\n"),
    ]);
    assert_says(&complaints, "cluster.yaml", 2, &["did you mean `name`"]);
    assert_says(&complaints, "site.yaml", 2, &["did you mean `ports`"]);
}

#[test]
fn a_source_for_which_nobody_stands_is_listed_and_warns() {
    let site = "\
schema: plumbline/site/v1
ports:
- {name: backup, to: worker, ports: [10006], from: [backup_server], purpose: backups}
";
    let plan = plan_with(&[(Purpose::Cluster, USER), (Purpose::Site, site)], |_| {});
    let gap = plan
        .no_vantage
        .iter()
        .find(|gap| gap.rule == "user.backup")
        .unwrap();
    assert!(
        gap.remedy.contains("stands for `backup_server`"),
        "{}",
        gap.remedy
    );
}
