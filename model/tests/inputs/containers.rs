//! The same cluster in other containers: what kubectl prints as YAML and as JSON, one document after another, the file inside a
//! PreflightCheck; and what is none of them is told what it is.

use plumbline_model::{
    cluster::{self, Read},
    inventory::Inventory,
    source::{Gravity, Refused, SourceText},
};

use crate::USER;

/// What `kubectl get clusters,nodepools --all-namespaces` prints: a user cluster, the node pools that its controllers made of its
/// own nodes, a worker pool, and a worker pool of another cluster.
const LIST: &str = include_str!("../clusters/09-kubectl-list-user-1.31.yaml");
/// The same with `-o json`.
const JSON: &str = include_str!("../clusters/09-kubectl-list-user-1.31.json");

fn read(text: &str) -> Result<Read, Refused> {
    cluster::read(&SourceText {
        name: "c.yaml".to_owned(),
        text: text.to_owned(),
    })
}

fn told(text: &str) -> String {
    match read(text) {
        Ok(read) => panic!("was accepted: {}", read.cluster),
        Err(refused) => refused.to_string(),
    }
}

fn remarks(text: &str) -> String {
    let read = read(text).unwrap_or_else(|refused| panic!("{refused}"));
    assert!(read.findings.iter().all(|one| one.gravity == Gravity::Warn));
    Refused(read.findings).to_string()
}

/// The nodes with their pools.
fn nodes(text: &str) -> Vec<String> {
    let read = read(text).unwrap_or_else(|refused| panic!("{refused}"));
    let inventory = Inventory::derive(&read.cluster);
    let line = |node: &plumbline_model::inventory::Node| format!("{} {}", node.id, node.pool);
    inventory.nodes.iter().map(line).collect()
}

const NODES: [&str; 7] = [
    "10.50.0.11 control plane",
    "10.50.0.12 control plane",
    "10.50.0.13 control plane",
    "10.50.0.21 load balancer",
    "10.50.0.22 load balancer",
    "10.50.1.31 np1",
    "10.50.1.32 np1",
];

/// The list's items one after another, as several calls of kubectl print them.
fn one_by_one() -> String {
    let items = LIST.split("\n- ").skip(1);
    let unindented = items.map(|item| {
        let item = item.split("\nkind: List").next().unwrap_or_default();
        format!("---\n{}\n", item.replace("\n  ", "\n"))
    });
    unindented.collect()
}

/// The sample as a PreflightCheck holds it, indented by four.
fn preflight(text: &str) -> String {
    let lines: String = text
        .lines()
        .map(|line| {
            if line.is_empty() {
                "\n".to_owned()
            } else {
                format!("    {line}\n")
            }
        })
        .collect();
    format!(
        "apiVersion: baremetal.cluster.gke.io/v1\nkind: PreflightCheck\nmetadata:\n  name: create-cluster\n  \
         namespace: cluster-user-l2\nspec:\n  checkImageVersion: latest\n  configYAML: |\n{lines}status:\n  pass: false\n"
    )
}

#[test]
fn what_kubectl_prints_is_the_cluster_without_the_pools_that_repeat_it() {
    for text in [LIST, JSON, &one_by_one()] {
        assert_eq!(nodes(text), NODES);
        let remarks = remarks(text);
        assert!(
            remarks.contains("NodePool `np1` belongs to the cluster `other` and is left out"),
            "{remarks}"
        );
        assert_eq!(remarks.lines().count(), 2, "{remarks}");
    }
    assert!(remarks(LIST).starts_with("c.yaml:186:5: "), "{}", remarks(LIST));
}

#[test]
fn json_on_one_line_and_json_indented_with_tabs_read_the_same() {
    let one_line: String = JSON.lines().map(str::trim_start).collect();
    assert_eq!(nodes(&one_line), NODES);
    assert_eq!(nodes(&JSON.replace("    ", "\t")), NODES);
}

#[test]
fn of_several_clusters_none_is_taken_and_all_are_named() {
    let second = LIST.replacen(
        "- apiVersion: baremetal.cluster.gke.io/v1\n  kind: NodePool",
        "- apiVersion: baremetal.cluster.gke.io/v1\n  kind: Cluster\n  metadata: {name: other, namespace: cluster-other}\n- \
         apiVersion: baremetal.cluster.gke.io/v1\n  kind: NodePool",
        1,
    );
    let told = told(&second);
    assert!(
        told.contains(
            "more than one document of kind Cluster: live in namespace cluster-live (line 3), other in namespace cluster-other"
        ),
        "{told}"
    );
    assert!(told.contains("--namespace NAMESPACE -o yaml"), "{told}");
}

#[test]
fn a_pool_of_control_plane_nodes_in_a_file_for_bmctl_is_a_mistake_unless_controllers_named_it() {
    let pool = |name: &str| {
        format!(
            "{USER}---\napiVersion: baremetal.cluster.gke.io/v1\nkind: NodePool\nmetadata: {{name: {name}, namespace: \
             cluster-user-l2}}\nspec:\n  clusterName: user-l2\n  nodes:\n  - address: 10.200.0.25\n"
        )
    };
    let mistake = match read(&pool("more")) {
        Ok(read) => Refused(read.findings).to_string(),
        Err(refused) => refused.to_string(),
    };
    assert!(mistake.contains("10.200.0.25"), "{mistake}");
    for name in ["user-l2-lb", "cluster-user-l2-lb"] {
        assert_eq!(nodes(&pool(name)), nodes(USER));
    }
}

#[test]
fn the_file_inside_a_preflight_check_is_read_with_the_lines_of_the_outer_file() {
    let outer = preflight(USER);
    assert_eq!(nodes(&outer), nodes(USER));
    // `spec.type` stands in line 19 of the sample, which starts in line 9 of the check.
    let slip = outer.replacen("type: user", "type: usr", 1);
    assert!(
        told(&slip).starts_with("c.yaml:27:13: `spec.type`"),
        "{}",
        told(&slip)
    );
    let twice = outer.replacen("  profile: default", "  type: user", 1);
    assert!(
        told(&twice).contains("c.yaml:28:7: key `type` is written twice"),
        "{}",
        told(&twice)
    );
    assert!(told(&twice).contains("in line 27"), "{}", told(&twice));
    let broken = outer.replacen("  type: user", "  type user", 1);
    assert!(told(&broken).starts_with("c.yaml:28:"), "{}", told(&broken));
}

#[test]
fn a_preflight_check_reads_in_a_list_and_on_windows_too() {
    let listed: String = preflight(USER)
        .lines()
        .map(|line| format!("  {line}\n"))
        .collect();
    let listed = format!("apiVersion: v1\nkind: List\nitems:\n- {}", &listed[2..]);
    assert_eq!(nodes(&listed), nodes(USER));
    let slip = listed.replacen("type: user", "type: usr", 1);
    assert!(told(&slip).starts_with("c.yaml:30:15: "), "{}", told(&slip));
    let windows = preflight(USER)
        .replacen("type: user", "type: usr", 1)
        .replace('\n', "\r\n");
    assert!(told(&windows).starts_with("c.yaml:27:13: "), "{}", told(&windows));
}

#[test]
fn a_text_with_escapes_in_a_preflight_check_has_one_place() {
    let escaped = format!("{:?}", USER.replacen("type: user", "type: usr", 1));
    let text = format!(
        "{{\"apiVersion\": \"baremetal.cluster.gke.io/v1\", \"kind\": \"PreflightCheck\",\n\"spec\": {{\"configYAML\":\n{escaped}}}}}\n"
    );
    assert!(
        told(&text).starts_with("c.yaml:3:1: `spec.type`"),
        "{}",
        told(&text)
    );
}

#[test]
fn beside_its_cluster_a_preflight_check_is_a_remark_and_two_alone_are_refused() {
    let check = preflight(USER);
    let beside = format!("{USER}---\n{check}");
    assert!(
        remarks(&beside).contains("a document of kind `PreflightCheck`"),
        "{}",
        remarks(&beside)
    );
    let two = format!("{check}---\n{check}");
    assert!(
        told(&two).contains("more than one PreflightCheck"),
        "{}",
        told(&two)
    );
    let without =
        "apiVersion: baremetal.cluster.gke.io/v1\nkind: PreflightCheck\nspec: {checkImageVersion: latest}\n";
    assert!(
        told(without).contains("holds no cluster file"),
        "{}",
        told(without)
    );
}

#[test]
fn what_is_no_cluster_file_is_told_what_it_is_in_one_message() {
    let kubeconfig = "apiVersion: v1\nkind: Config\nclusters:\n- name: a\nusers: []\n";
    let nodes = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Node, metadata: {name: a}}\n- {apiVersion: v1, \
                 kind: Node, metadata: {name: b}}\n";
    let kubeadm = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nnetworking: {podSubnet: 10.244.0.0/16}\n";
    let of_another_project = "apiVersion: cluster.x-k8s.io/v1beta1\nkind: Cluster\nmetadata: {name: a}\n";
    let pools = USER.split("---\n").last().unwrap();
    for (text, message, help) in [
        (kubeconfig, "2:7: this is a kubeconfig", "kubectl get clusters"),
        (
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n",
            "2:7: no document of kind Cluster, but a document of kind `Deployment` of apps",
            "give the file that bmctl reads",
        ),
        (nodes, "but 2 documents of kind `Node`", "kubectl get clusters"),
        (
            kubeadm,
            "kind `ClusterConfiguration` of kubeadm.k8s.io",
            "plumbline/inventory/v1",
        ),
        (
            of_another_project,
            "kind `Cluster` of cluster.x-k8s.io",
            "give the file",
        ),
        (pools, "only node pools", "kubectl get clusters"),
        (
            "apiVersion: v1\nkind: List\nitems: []\n",
            "the list is empty",
            "kubectl get clusters",
        ),
        (
            "# nothing\n---\n# else\n",
            "1:1: no document of kind Cluster",
            "give the file that bmctl reads",
        ),
        (
            "version: '3'\nservices:\n  web: {image: nginx}\n",
            "no field of bmctl's header",
            "give the file that bmctl reads",
        ),
        ("just words\n", "expected a mapping", ""),
    ] {
        let told = told(text);
        assert!(told.contains(message) && told.contains(help), "{text:?}: {told}");
        assert_eq!(told.lines().count(), 2, "{told}");
    }
}

#[test]
fn further_kinds_are_remarks_each_kind_once_and_slips_of_known_kinds_are_refused() {
    let mut text = USER.to_owned();
    for name in ["a", "b", "c"] {
        text += &format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
    }
    text += "---\napiVersion: v1\nkind: Secret\nmetadata: {name: key}\ndata: {key: aGVsbG8=}\n";
    let remarks = remarks(&text);
    assert!(remarks.contains("3 documents of kind `ConfigMap`"), "{remarks}");
    assert!(
        remarks.contains("kind `Secret`: the evidence of a run holds the whole file"),
        "{remarks}"
    );
    assert_eq!(remarks.matches(" of kind ").count(), 2, "{remarks}");
    for (kind, nearest) in [
        ("BGPPeers", "BGPPeer"),
        ("Nodepool", "NodePool"),
        ("NetworkGatewaygroup", "NetworkGatewayGroup"),
    ] {
        let text =
            format!("{USER}---\napiVersion: networking.gke.io/v1\nkind: {kind}\nmetadata: {{name: a}}\n");
        assert!(
            told(&text).contains(&format!("did you mean `{nearest}`?")),
            "{}",
            told(&text)
        );
    }
}

#[test]
fn fields_of_later_releases_are_remarks_and_slips_are_refused() {
    let later = USER
        .replacen(
            "  bypassPreflightCheck: false",
            "  quantumEntanglement: {pairs: 2}",
            1,
        )
        .replace("  - address: 10.210", "  - rackUnit: 7\n    address: 10.210");
    let remarks = remarks(&later);
    assert!(
        remarks.contains("c.yaml:22:3: unknown field `spec.quantumEntanglement`: it is not looked at"),
        "{remarks}"
    );
    // One for all the nodes of the pool.
    assert_eq!(remarks.matches("rackUnit").count(), 1, "{remarks}");
    let slip = USER.replacen("bypassPreflightCheck", "bypassPreflightChek", 1);
    assert!(told(&slip).contains("did you mean `bypassPreflightCheck`?"));
}

#[test]
fn early_versions_of_the_kinds_are_read_and_later_ones_refused() {
    let written = "baremetal.cluster.gke.io/v1\nkind: Cluster";
    let early = USER.replacen(written, "baremetal.cluster.gke.io/v1alpha1\nkind: Cluster", 1);
    assert!(
        remarks(&early).contains("an early version of Cluster"),
        "{}",
        remarks(&early)
    );
    for version in ["v2", "v1alpha", "1"] {
        let text = USER.replacen(
            written,
            &format!("baremetal.cluster.gke.io/{version}\nkind: Cluster"),
            1,
        );
        assert!(
            told(&text).contains("valid: baremetal.cluster.gke.io/v1"),
            "{}",
            told(&text)
        );
    }
}
