//! Plain inventories: what they yield, and what they are told.

mod findings;
mod site;

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

const USER: &str = include_str!("../clusters/01-user-l2-dedicated-lb-1.29.yaml");

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
