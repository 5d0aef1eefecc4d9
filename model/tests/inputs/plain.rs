//! Plain inventories, site files and admin clusters: what they yield, and what they are told.

use plumbline_model::{
    evidence::{Group, Parameters},
    id::{NodeId, Role},
    input::{self, InputText, Purpose, Understood},
    inventory::Inventory,
    plan::Plan,
    profile::{self, Destination, Source},
    source::{Diagnostic, Gravity, Refused, SourceText},
};

fn source(name: &str, text: &str) -> SourceText {
    SourceText {
        name: name.to_owned(),
        text: text.to_owned(),
    }
}

fn read(texts: &[(Purpose, &str)]) -> Result<Understood, Refused> {
    let text = |(purpose, text): &(Purpose, &str)| {
        let name = match purpose {
            Purpose::Cluster => "cluster.yaml",
            Purpose::AdminCluster => "admin.yaml",
            Purpose::Site => "site.yaml",
            Purpose::Waivers => "waivers.yaml",
        };
        InputText::new(*purpose, source(name, text))
    };
    input::read(&texts.iter().map(text).collect::<Vec<_>>(), &[])
}

fn inventory(text: &str) -> Inventory {
    read(&[(Purpose::Cluster, text)])
        .unwrap_or_else(|refused| panic!("{refused}"))
        .inventory
}

/// The complaints as `line: message / help`.
fn refused(texts: &[(Purpose, &str)]) -> Vec<Diagnostic> {
    match read(texts) {
        Ok(understood) => panic!("it was read: {:?}", understood.inventory.nodes),
        Err(Refused(complaints)) => complaints,
    }
}

fn says(complaints: &[Diagnostic], file: &str, line: u32, words: &[&str]) -> bool {
    complaints.iter().any(|complaint| {
        let all = format!(
            "{} {}",
            complaint.message,
            complaint.help.as_deref().unwrap_or_default()
        );
        complaint.file == file && complaint.line == line && words.iter().all(|word| all.contains(word))
    })
}

#[track_caller]
fn assert_says(complaints: &[Diagnostic], file: &str, line: u32, words: &[&str]) {
    assert!(
        says(complaints, file, line, words),
        "{file}:{line} {words:?} is not among {complaints:#?}"
    );
}

fn parameters() -> Parameters {
    Parameters {
        groups: vec![Group::Config, Group::Access, Group::Reach],
        ..crate::parameters()
    }
}

fn plan_with(texts: &[(Purpose, &str)], change: impl Fn(&mut Parameters)) -> Plan {
    let understood = read(texts).unwrap_or_else(|refused| panic!("{refused}"));
    let profiles =
        profile::texts_for(&understood.inventory, Vec::new()).unwrap_or_else(|unknown| panic!("{unknown}"));
    let profiles =
        profile::all(&profiles, understood.declared.as_ref()).unwrap_or_else(|refused| panic!("{refused}"));
    let mut parameters = parameters();
    change(&mut parameters);
    Plan::new(&understood.inventory, &profiles, &parameters)
}

fn id(text: &str) -> NodeId {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

const SMALL: &str = "\
schema: plumbline/inventory/v1
name: small
profile: gdc-bare-metal
version: v1.31.4+k3s1
groups:
  servers:
    roles: [control_plane, load_balancer]
    labels: {zone: east, rack: r1}
    nodes:
    - 10.0.0.1
    - {address: 10.0.0.2, name: cp-2, ssh: 10.9.0.2, port: 2222, labels: {rack: r2}, roles: worker}
  workers:
    roles: worker
    version: \"1.30\"
    nodes: [10.0.1.5-10.0.1.7]
nodes:
- {address: 10.0.2.7, roles: [worker]}
";

#[test]
fn groups_and_ranges_give_nodes_their_roles_labels_and_versions() {
    let inventory = inventory(SMALL);
    assert_eq!(
        (inventory.name.as_str(), inventory.profile.as_str()),
        ("small", "gdc-bare-metal")
    );
    let ids: Vec<String> = inventory.nodes.iter().map(|node| node.id.to_string()).collect();
    assert_eq!(
        ids,
        [
            "10.0.0.1", "10.0.0.2", "10.0.1.5", "10.0.1.6", "10.0.1.7", "10.0.2.7"
        ]
    );
    let node = |text: &str| inventory.node(id(text)).unwrap();
    assert_eq!(
        node("10.0.0.1").roles,
        [Role::ControlPlane, Role::LoadBalancer].into()
    );
    let cp = node("10.0.0.2");
    assert_eq!(
        cp.roles,
        [Role::ControlPlane, Role::LoadBalancer, Role::Worker].into()
    );
    assert_eq!(
        (cp.name.as_deref(), cp.ssh.to_string().as_str(), cp.ssh_port),
        (Some("cp-2"), "10.9.0.2", Some(2222))
    );
    assert_eq!(
        (cp.labels["rack"].as_str(), cp.labels["zone"].as_str()),
        ("r2", "east")
    );
    assert_eq!((cp.line, cp.pool.as_str()), (11, "servers"));
    assert_eq!(node("10.0.1.6").version.to_string(), "1.30");
    assert_eq!(
        (
            node("10.0.2.7").version.to_string().as_str(),
            node("10.0.2.7").line
        ),
        ("v1.31.4+k3s1", 17)
    );
}

#[test]
fn json_reads_as_yaml_does() {
    let json = r#"{"schema": "plumbline/inventory/v1", "name": "six", "profile": "gdc-bare-metal", "version": "1.31",
        "nodes": [{"address": "fd00::1", "roles": ["control_plane"]}, {"address": "fd00::2", "roles": ["worker"]}]}"#;
    let inventory = inventory(json);
    assert_eq!(inventory.nodes.len(), 2);
    assert_eq!(inventory.listed_families().len(), 1);
}

#[test]
fn every_mistake_of_an_inventory_is_told_at_once_with_its_line() {
    let complaints = refused(&[(
        Purpose::Cluster,
        "\
schema: plumbline/inventory/v1
nam: small
profile: gdc-bare-metall
version: latest
nodes:
- 10.0.0.1
- {address: 10.0.0.2, roles: [control_plan]}
- {address: 10.0.0.3, roles: [worker]}
- {address: 10.0.0.3, roles: [control_plane]}
- {address: 10.0.0.9-10.0.0.4, roles: [worker]}
- {address: 127.0.0.1, roles: [worker]}
- {address: 10.0.0.7, roles: [worker], labels: {rack: [r1]}}
vips: {controlplane: 10.0.0.100}
pods: [10.244.0.1/16]
",
    )]);
    let file = "cluster.yaml";
    assert!(
        !says(&complaints, file, 1, &["`name` is missing"]),
        "{complaints:?}"
    );
    assert_says(
        &complaints,
        file,
        2,
        &["unknown field `nam`", "did you mean `name`"],
    );
    assert_says(
        &complaints,
        file,
        3,
        &["gdc-bare-metall", "did you mean `gdc-bare-metal`"],
    );
    assert_says(&complaints, file, 4, &["latest", "v1.31.4+k3s1"]);
    assert_says(
        &complaints,
        file,
        6,
        &["10.0.0.1 has no roles", "control_plane, load_balancer, worker"],
    );
    assert_says(
        &complaints,
        file,
        7,
        &["control_plan", "did you mean `control_plane`"],
    );
    assert_says(
        &complaints,
        file,
        9,
        &["10.0.0.3 in the control plane is already a node", "line 8"],
    );
    assert_says(&complaints, file, 10, &["not an IP address"]);
    assert_says(&complaints, file, 11, &["127.0.0.1 is no address"]);
    assert_says(
        &complaints,
        file,
        12,
        &["nodes[6].labels.rack", "expected one value"],
    );
    assert_says(
        &complaints,
        file,
        13,
        &["controlplane", "did you mean `control_plane`"],
    );
    assert_says(&complaints, file, 14, &["host bits", "10.244.0.0/16"]);
    assert_eq!(complaints.len(), 11, "{complaints:#?}");
}

#[test]
fn an_inventory_of_another_schema_or_of_two_documents_is_refused() {
    let complaints = refused(&[(Purpose::Cluster, &SMALL.replace("inventory/v1", "inventory/v2"))]);
    assert_says(
        &complaints,
        "cluster.yaml",
        1,
        &["plumbline/inventory/v2", "plumbline/inventory/v1"],
    );
    let complaints = refused(&[(Purpose::Cluster, &format!("{SMALL}---\nkind: Cluster\n"))]);
    assert_says(&complaints, "cluster.yaml", 19, &["one document, found 2"]);
}

#[test]
fn a_file_that_stands_beside_a_clusters_file_is_told_how_to_be_given() {
    let site = "schema: plumbline/site/v1\nlabels:\n  10.0.0.0/24: {rack: r1}\n";
    let complaints = refused(&[(Purpose::Cluster, site)]);
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert_says(
        &complaints,
        "cluster.yaml",
        1,
        &["this is a site file", "`--site FILE`"],
    );
}

#[test]
fn an_inventory_without_nodes_says_so_once() {
    let complaints = refused(&[(
        Purpose::Cluster,
        "schema: plumbline/inventory/v1\nname: none\nprofile: gdc-bare-metal\nversion: \"1.31\"\n",
    )]);
    assert_eq!(complaints.len(), 1);
    assert_says(&complaints, "cluster.yaml", 1, &["lists no nodes", "`groups:`"]);
}

const SOUND: &str = "\
schema: plumbline/inventory/v1
name: sound
profile: kubeadm
version: v1.31.4
vips: {control_plane: 10.0.0.100, ingress: 10.0.0.101}
pods: [10.244.0.0/20]
services: [10.96.0.0/12]
groups:
  servers: {roles: [control_plane], nodes: [10.0.0.1, 10.0.0.2, 10.0.0.3]}
  workers:
    roles: [worker]
    nodes: [10.0.1.5-10.0.1.7]
nodes:
- {address: 192.168.122.7, roles: [worker], ssh: 192.0.2.1, port: 2201}
- {address: 192.168.122.8, roles: [worker], ssh: 192.0.2.1, port: 2202}
";

#[test]
fn the_checks_that_make_sense_for_every_distribution_are_made() {
    let understood = read(&[(Purpose::Cluster, SOUND)]).unwrap_or_else(|refused| panic!("{refused}"));
    assert_eq!(understood.findings, [], "bounds of bmctl are none of others");
}

#[test]
fn one_mistake_in_an_inventory_is_one_finding_at_its_line() {
    let mistakes = [
        (
            "10.0.0.1, 10.0.0.2, 10.0.0.3",
            "10.0.0.1, 10.0.0.2",
            "CFG-011",
            Gravity::Warn,
            9,
            "of an even number",
        ),
        (
            "10.0.0.1, 10.0.0.2, 10.0.0.3",
            "10.0.0.1",
            "CFG-011",
            Gravity::Warn,
            9,
            "not highly available",
        ),
        (
            "10.0.1.7]",
            "10.0.1.7, 10.0.1.6-10.0.1.8]",
            "CFG-012",
            Gravity::Contradiction,
            12,
            "group `workers`",
        ),
        (
            "10.0.1.7]",
            "10.0.1.7, 10.0.0.2]",
            "CFG-012",
            Gravity::Contradiction,
            12,
            "the control plane",
        ),
        (
            "{address: 192.168.122.8",
            "{address: 192.168.122.7",
            "CFG-012",
            Gravity::Contradiction,
            15,
            "line 14",
        ),
        (
            "10.0.0.100",
            "10.0.1.6",
            "CFG-006",
            Gravity::Contradiction,
            5,
            "a node of group `workers` (line 12)",
        ),
        (
            "10.0.0.101",
            "10.0.0.100",
            "CFG-006",
            Gravity::Contradiction,
            5,
            "ingress VIP 10.0.0.100 is the control plane VIP",
        ),
        (
            "10.244.0.0/20",
            "10.0.1.0/24",
            "CFG-009",
            Gravity::Fail,
            6,
            "3 nodes (the first is 10.0.1.5, line 12)",
        ),
        (
            "10.96.0.0/12",
            "10.244.0.0/16",
            "CFG-009",
            Gravity::Fail,
            7,
            "overlaps the pod range 10.244.0.0/20 (line 6)",
        ),
        (
            "10.244.0.0/20",
            "10.0.0.96/28",
            "CFG-009",
            Gravity::Fail,
            6,
            "the control plane VIP 10.0.0.100 (line 5)",
        ),
        (
            "10.244.0.0/20",
            "100.64.0.0/16",
            "CFG-013",
            Gravity::Warn,
            6,
            "not private",
        ),
    ];
    for (right, wrong, check, gravity, line, words) in mistakes {
        let text = SOUND.replacen(right, wrong, 1);
        let understood = read(&[(Purpose::Cluster, &text)]).unwrap_or_else(|refused| panic!("{refused}"));
        let [finding] = &understood.findings[..] else {
            panic!("{wrong}: {:#?}", understood.findings);
        };
        assert_eq!(
            (finding.check, finding.gravity, finding.line),
            (Some(check), gravity, line),
            "{finding:?}"
        );
        let all = format!(
            "{}; {}",
            finding.message,
            finding.help.as_deref().unwrap_or_default()
        );
        assert!(all.contains(words), "{all}");
    }
}

#[test]
fn what_contradicts_itself_in_an_inventory_is_found() {
    let text = format!(
        "{SMALL}vips: {{control_plane: 10.0.0.1, ingress: 10.0.0.50}}\npods: [10.0.0.0/16]\nservices: [10.0.64.0/20]\n"
    );
    let understood = read(&[(Purpose::Cluster, &text)]).unwrap();
    let found = &understood.findings;
    let is = |check: &str, gravity, line| {
        found
            .iter()
            .any(|finding| (finding.check, finding.gravity, finding.line) == (Some(check), gravity, line))
    };
    assert!(is("CFG-006", Gravity::Contradiction, 18), "{found:#?}");
    assert!(
        is("CFG-009", Gravity::Fail, 19) && is("CFG-009", Gravity::Fail, 20),
        "{found:#?}"
    );
}

#[test]
fn a_setting_that_no_profile_knows_is_told_with_its_line() {
    let text = SMALL.replace(
        "groups:\n",
        "options: {tunel: vxlan}\nvariables: {controlPlanLBPort: 443}\ngroups:\n",
    );
    let complaints = refused(&[(Purpose::Cluster, &text)]);
    assert_says(&complaints, "cluster.yaml", 5, &["tunel"]);
    assert_says(
        &complaints,
        "cluster.yaml",
        6,
        &["controlPlanLBPort", "did you mean `controlPlaneLBPort`"],
    );
}

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

const USER: &str = include_str!("../clusters/01-user-l2-dedicated-lb-1.29.yaml");
const ADMIN: &str = include_str!("../clusters/04-admin-1.16.yaml");

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

const CALICO: &str = "\
schema: plumbline/inventory/v1
name: tunnels
profile: kubeadm
with: [calico]
version: v1.31.4
options: {encap: ipip}
nodes:
- {address: 10.0.0.1, roles: [control_plane]}
- {address: 10.0.0.2, roles: [worker]}
";

#[test]
fn what_has_no_ports_is_listed_and_not_tested() {
    let not_tested = |plan: Plan| -> Vec<(String, String)> {
        let rules = plan.not_tested.iter();
        rules
            .map(|rule| (rule.rule.clone(), rule.protocol.to_string()))
            .collect()
    };
    let texts = [(Purpose::Cluster, CALICO)];
    let ipip = [("cni-calico.ipip".to_owned(), "ip:4".to_owned())];
    assert_eq!(not_tested(plan_with(&texts, |_| {})), ipip);
    assert_eq!(
        not_tested(plan_with(&texts, |given| given.groups = vec![Group::Config])),
        []
    );
    let vxlan = CALICO.replace("encap: ipip", "encap: vxlan");
    assert_eq!(not_tested(plan_with(&[(Purpose::Cluster, &vxlan)], |_| {})), []);
    let alone = CALICO.replace("- {address: 10.0.0.2, roles: [worker]}\n", "");
    assert_eq!(
        not_tested(plan_with(&[(Purpose::Cluster, &alone)], |_| {})),
        [],
        "a node does not ask itself"
    );
}

/// The blocks of YAML in docs/inventory.md.
fn documented() -> Vec<&'static str> {
    let text = include_str!("../../../docs/inventory.md");
    let blocks = text.split("```yaml\n").skip(1);
    blocks.filter_map(|block| block.split("```").next()).collect()
}

#[test]
fn the_documented_examples_read_and_plan() {
    let examples = documented();
    let [inventory, site, outside] = examples[..] else {
        panic!("{} examples", examples.len());
    };
    let understood = read(&[(Purpose::Cluster, inventory)]).unwrap_or_else(|refused| panic!("{refused}"));
    assert!(understood.findings.is_empty(), "{:?}", understood.findings);
    assert_eq!(
        (
            understood.inventory.nodes.len(),
            understood.inventory.vantages.len()
        ),
        (36, 2)
    );
    let plan = plan_with(&[(Purpose::Cluster, inventory)], |_| {});
    assert!(plan.no_vantage.is_empty(), "{:?}", plan.no_vantage);
    for rule in ["cp.api", "cni-cilium.vxlan", "user.ingress", "user.iscsi-replies"] {
        assert!(plan.blocks.iter().any(|block| block.rule == rule), "{rule}");
    }
    let plan = plan_with(&[(Purpose::Cluster, USER), (Purpose::Site, site)], |_| {});
    assert!(plan.blocks.iter().any(|block| block.rule == "user.backup"));
    let outside = format!("schema: plumbline/site/v1\n{outside}");
    let texts = [(Purpose::Cluster, inventory), (Purpose::Site, outside.as_str())];
    let outward = read(&texts)
        .unwrap_or_else(|refused| panic!("{refused}"))
        .inventory
        .outward;
    assert_eq!(
        (
            outward.sites.len(),
            outward.name_servers.len(),
            outward.roots.len()
        ),
        (1, 1, 1)
    );
    assert!(outward.proxy.is_some_and(|proxy| proxy.port == 3128));
}

#[test]
fn a_distributions_own_words_name_its_roles() {
    let text = "\
schema: plumbline/inventory/v1
name: edge
profile: k3s
version: v1.31.4+k3s1
options: {flannel_backend: wireguard}
nodes:
- {address: 10.0.0.1, roles: [server]}
- {address: 10.0.0.2, roles: agent}
";
    let node_roles = |text: &str| {
        inventory(text)
            .nodes
            .iter()
            .map(|node| node.roles.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        node_roles(text),
        [[Role::ControlPlane].into(), [Role::Worker].into()]
    );
    let plan = plan_with(&[(Purpose::Cluster, text)], |_| {});
    let has = |port: u16| plan.blocks.iter().any(|block| block.ports.contains(port));
    assert!(has(51_820) && !has(8_472));
    let complaints = refused(&[(
        Purpose::Cluster,
        &text.replace("agent", "agents").replace("wireguard", "wiregard"),
    )]);
    assert_says(
        &complaints,
        "cluster.yaml",
        8,
        &["did you mean `agent`", "server"],
    );
    assert_says(
        &complaints,
        "cluster.yaml",
        5,
        &["wiregard", "did you mean `wireguard`"],
    );
}
