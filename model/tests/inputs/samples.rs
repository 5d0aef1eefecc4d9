//! The sample cluster files: roles and plan sizes, worked out by hand.

use plumbline_model::{
    id::Role,
    inventory::Inventory,
    plan::{Plan, Size},
};

use crate::{ADMIN, HYBRID, STANDALONE, USER, gdc, inventory, parameters};

#[test]
fn roles_follow_from_the_file() {
    let (cp, lb, w) = (Role::ControlPlane, Role::LoadBalancer, Role::Worker);
    let dedicated: Vec<(&str, Vec<Role>)> = vec![
        ("10.200.0.11", vec![cp]),
        ("10.200.0.12", vec![cp]),
        ("10.200.0.13", vec![cp]),
        ("10.200.0.25", vec![lb]),
        ("10.200.0.26", vec![lb]),
        ("10.200.0.27", vec![lb]),
        ("10.210.1.11", vec![w]),
        ("10.210.1.12", vec![w]),
        ("10.210.2.11", vec![w]),
        ("10.210.2.12", vec![w]),
    ];
    assert_eq!(roles(USER), owned(dedicated));
    let on_control_plane = vec![
        ("10.200.0.2", vec![cp, lb]),
        ("10.200.0.3", vec![cp, lb]),
        ("10.200.0.4", vec![cp, lb]),
        ("10.200.0.5", vec![w]),
        ("10.200.0.6", vec![w]),
    ];
    assert_eq!(roles(HYBRID), owned(on_control_plane));
    assert_eq!(roles(ADMIN), owned(vec![("10.200.0.3", vec![cp, lb])]));
    let standalone = ["10.0.0.2", "10.0.0.3", "10.0.0.4"].map(|id| (id, vec![cp, lb]));
    assert_eq!(roles(STANDALONE), owned(standalone.to_vec()));
}

#[test]
fn manual_load_balancing_gives_the_role_to_nobody() {
    let text = cut(
        &HYBRID.replacen("mode: bundled", "mode: manual", 1),
        "    addressPools:",
        "  clusterOperations:",
    );
    assert!(
        inventory(&text)
            .nodes
            .iter()
            .all(|node| !node.roles.contains(&Role::LoadBalancer))
    );
}

#[test]
fn separated_load_balancers_give_the_role_to_control_plane_and_pool() {
    let text = USER.replacen("1.29.1100-gke.84", "1.34", 1).replacen(
        "  controlPlane:\n",
        "  controlPlane:\n    loadBalancer:\n      mode: bundled\n",
        1,
    );
    let inventory = inventory(&text);
    let both: Vec<String> = (inventory.nodes.iter())
        .filter(|node| node.roles.contains(&Role::LoadBalancer))
        .map(|node| node.id.to_string())
        .collect();
    let expected = [
        "10.200.0.11",
        "10.200.0.12",
        "10.200.0.13",
        "10.200.0.25",
        "10.200.0.26",
        "10.200.0.27",
    ];
    assert_eq!(both, expected);
}

#[test]
fn a_k8s_ip_is_the_nodes_id_and_its_address_is_for_ssh() {
    let text = USER.replacen(
        "- address: 10.210.1.11",
        "- address: 10.210.1.11\n    k8sIP: 10.220.1.11",
        1,
    );
    let inventory = inventory(&text);
    let node = inventory.node("10.220.1.11".parse().unwrap()).unwrap();
    assert_eq!(
        (node.ssh.to_string().as_str(), node.pool.as_str(), node.line),
        ("10.210.1.11", "np-general", 89)
    );
    assert!(inventory.node("10.210.1.11".parse().unwrap()).is_none());
}

#[test]
fn a_node_pools_own_version_is_its_nodes_version() {
    let text = USER.replacen(
        "clusterName: user-l2",
        "clusterName: user-l2\n  anthosBareMetalVersion: 1.28.400",
        1,
    );
    let inventory = inventory(&text);
    let version = |id: &str| {
        inventory
            .node(id.parse().unwrap())
            .unwrap()
            .version
            .minor()
            .to_string()
    };
    assert_eq!(
        (version("10.210.1.11"), version("10.200.0.25")),
        ("1.28".into(), "1.29".into())
    );
}

#[test]
fn an_annotation_for_node_agent_plans_its_port() {
    let annotations =
        "  namespace: cluster-user-l2\n  annotations:\n    baremetal.cluster.gke.io/node-agent: \"true\"\n";
    let text = USER.replacen("1.29.1100-gke.84", "1.33.0", 1).replacen(
        "  name: user-l2\n  namespace: cluster-user-l2\n",
        &format!("  name: user-l2\n{annotations}"),
        1,
    );
    for (text, expected) in [(text.as_str(), true), (USER, false)] {
        let plan = Plan::new(&inventory(text), &[gdc()], &parameters());
        assert_eq!(
            plan.blocks.iter().any(|block| block.rule == "w.node-agent"),
            expected
        );
    }
}

// Tests by destination. C is the coordinator, cp and w other nodes of that role; TCP unless said otherwise.
//
// admin      1 cp+lb   C: 22 443                                                                     = 2
//
// hybrid     3 cp+lb   C: 22 443 8443                                                             3
//                      2 cp: 22 2379-2384 443 4240 6444 7946 8443 8444 9100 10250 10256 14443    34
//                      2 cp: udp 6081 7946                                                        4
//                      2 w: 443 4240 6444 8443 8444 9100 10256, udp 6081                          16  = 57 x 3
//            2 w       C: 22                                                                       1
//                      3 cp: 22 4240 9100 10250 10256 30000-32767, udp 6081                     8322
//                      1 w: 4240 9100 10256 30000-32767, udp 6081                               2772  = 11095 x 2
//
// standalone 3 cp+lb   C: 22 443 11001, over IPv4 only                                             3
//                      2 cp: 22 2379-2384 443 4240 6444 7946 9100 10250 10256 11000 11001 14443  34
//                      2 cp: udp 6081 7946                                                        4  = (3 + 38 x 2) x 3
//
// user       3 cp      C: 22                                                                       1
//                      2 cp: 2379-2384 4240 6444 9100 10250 10256 14443                          24
//                      3 lb, 4 w: 4240 6444 9100 10256                                           28
//                      9 nodes: udp 6081                                                          9  = 62 x 3
//            3 lb      C: 443 11001                                                                2
//                      9 nodes: 443 4240 9100 10256 11000 11001, udp 6081                        63
//                      2 lb: 7946, udp 7946; 3 cp: 10250; 30000-32767 once                     2775  = 2840 x 3
//            4 w       9 nodes: 4240 9100 10256, udp 6081; 3 cp: 10250; 30000-32767 once       2807  = 2807 x 4
//            inferred: 7 nodes, 8 of 9 sources each, 2768 ports
//
// 9101, which must not answer, is tried by one other node at each control plane node and worker from 1.28 on: hybrid 5,
// standalone 3 in each family, user 7.
#[test]
fn plan_sizes_are_those_worked_out_by_hand() {
    let size = |text: &str| Plan::new(&inventory(text), &[gdc()], &parameters()).size();
    assert_eq!(
        size(ADMIN),
        Size {
            tests: 2,
            inferred: 0,
            pairs: 1
        }
    );
    assert_eq!(
        size(HYBRID),
        Size {
            tests: 57 * 3 + 11_095 * 2 + 5,
            inferred: 0,
            pairs: 5 * 4 + 5
        }
    );
    assert_eq!(
        size(STANDALONE),
        Size {
            tests: (3 + 38 * 2) * 3 + 3 * 2,
            inferred: 0,
            pairs: 3 * 2 + 3
        }
    );
    let user = Size {
        tests: 62 * 3 + 2_840 * 3 + 2_807 * 4 + 7,
        inferred: 7 * 8 * 2_768,
        pairs: 10 * 9 + 6,
    };
    assert_eq!(size(USER), user);
}

fn roles(text: &str) -> Vec<(String, Vec<Role>)> {
    let Inventory { nodes, .. } = inventory(text);
    nodes
        .into_iter()
        .map(|node| (node.id.to_string(), node.roles.into_iter().collect()))
        .collect()
}

fn owned(roles: Vec<(&str, Vec<Role>)>) -> Vec<(String, Vec<Role>)> {
    roles
        .into_iter()
        .map(|(id, roles)| (id.to_owned(), roles))
        .collect()
}

/// The text without the part from one line's start to another's.
fn cut(text: &str, from: &str, to: &str) -> String {
    let start = text.find(from).expect("the sample has this line");
    let end = start + text[start..].find(to).expect("the sample has this line");
    format!("{}{}", &text[..start], &text[end..]).replacen("      ingressVIP: 10.200.0.51\n", "", 1)
}
