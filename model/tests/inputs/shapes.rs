//! Every shape of a cluster's file plans right: roles, VIPs, ports and counts of the samples, worked out by hand; the same content
//! in other containers gives the same plan.

use std::collections::BTreeSet;

use plumbline_model::{
    cluster::{self, BgpUse},
    id::Role,
    inventory::{Inventory, LoadBalancerMode, LoadBalancerType},
    plan::{Plan, Size},
    source::SourceText,
};

use crate::{gdc, inventory, parameters};

/// BGP across three racks, 1.32.
const RACKS: &str = include_str!("../clusters/03-user-bgp-racks-1.32.yaml");
/// Standalone with profile edge, manual load balancing, Node Agent, 1.33.
const EDGE: &str = include_str!("../clusters/05-standalone-edge-manual-1.33.yaml");
/// Hybrid with separated load balancers, `k8sIP` and direct server return, 1.34.
const APART: &str = include_str!("../clusters/06-hybrid-separated-k8sip-dsr-1.34.yaml");
/// User cluster whose node pools lag, 1.30 with 1.29 and 1.28.
const LAG: &str = include_str!("../clusters/08-user-lagging-pools-1.30.yaml");

fn read(text: &str) -> cluster::Read {
    let source = SourceText {
        name: "c.yaml".to_owned(),
        text: text.to_owned(),
    };
    cluster::read(&source).unwrap_or_else(|refused| panic!("{refused}"))
}

/// `ID ROLES`, one node a line.
fn roles(text: &str) -> Vec<String> {
    let Inventory { nodes, .. } = inventory(text);
    let short = |role: &Role| match role {
        Role::ControlPlane => "cp",
        Role::LoadBalancer => "lb",
        Role::Worker => "w",
    };
    let line = |node: &plumbline_model::inventory::Node| {
        let roles: Vec<&str> = node.roles.iter().map(short).collect();
        format!("{} {}", node.id, roles.join("+"))
    };
    nodes.iter().map(line).collect()
}

fn plan(text: &str) -> Plan {
    Plan::new(&inventory(text), &[gdc()], &parameters())
}

fn rules(text: &str) -> BTreeSet<String> {
    plan(text).blocks.into_iter().map(|block| block.rule).collect()
}

#[test]
fn bgp_across_racks_is_load_balanced_by_the_control_plane_and_its_peers_are_known() {
    let expected = [
        "10.11.0.11 cp+lb",
        "10.11.0.21 w",
        "10.11.0.22 w",
        "10.12.0.11 cp+lb",
        "10.12.0.21 w",
        "10.12.0.22 w",
        "10.13.0.11 cp+lb",
        "10.13.0.21 w",
    ];
    assert_eq!(roles(RACKS), expected);
    let inventory = inventory(RACKS);
    assert_eq!(inventory.load_balancer_type, LoadBalancerType::Bgp);
    assert_eq!(inventory.control_plane_vip.unwrap().to_string(), "10.99.0.5");
    assert_eq!(inventory.ingress_vip.unwrap().to_string(), "10.99.1.1");
    let cluster = read(RACKS).cluster;
    let peers: Vec<_> = (cluster.bgp_peers.iter())
        .map(|peer| {
            (
                peer.address.to_string(),
                peer.asn,
                peer.local_asn.unwrap(),
                peer.used_by,
            )
        })
        .collect();
    let expected = [
        ("10.11.0.1", 65011, 65001, BgpUse::ControlPlane),
        ("10.12.0.1", 65012, 65001, BgpUse::ControlPlane),
        ("10.13.0.1", 65013, 65001, BgpUse::ControlPlane),
        ("10.11.0.1", 65011, 65001, BgpUse::Services),
        ("10.12.0.1", 65012, 65002, BgpUse::Services),
    ]
    .map(|(address, asn, own, used_by)| (address.to_owned(), asn, own, used_by));
    assert_eq!(peers, expected);
    assert_eq!(cluster.floating_ips.len(), 2);
    let by_hand = &cluster.load_balancer.address_pools[1];
    assert_eq!(
        (
            by_hand.name.as_str(),
            by_hand.manual_assign,
            by_hand.avoid_buggy_ips
        ),
        ("by-hand", true, true)
    );
    // MetalLB's memberlist is for layer 2 only.
    assert!(!rules(RACKS).contains("lb.memberlist.tcp"));
}

#[test]
fn a_manual_edge_cluster_gives_no_node_the_load_balancer_role_and_plans_node_agent() {
    let expected = [
        "172.20.8.11 cp",
        "172.20.8.12 cp",
        "172.20.8.13 cp",
        "172.20.8.21 w",
        "172.20.8.22 w",
    ];
    assert_eq!(roles(EDGE), expected);
    let inventory = inventory(EDGE);
    assert_eq!(inventory.load_balancer_mode, LoadBalancerMode::Manual);
    assert_eq!(inventory.control_plane_vip.unwrap().to_string(), "172.20.8.250");
    assert_eq!(inventory.variables["controlPlaneLBPort"], 8443);
    let rules = rules(EDGE);
    assert!(rules.contains("cp.node-agent") && rules.contains("w.node-agent"));
    assert!(!rules.iter().any(|rule| rule.starts_with("lb.")), "{rules:?}");
    let cluster = read(EDGE).cluster;
    assert_eq!(
        cluster.annotations["baremetal.cluster.gke.io/private-mode"],
        "true"
    );
    assert_eq!(cluster.gke_connect_location, None);
}

#[test]
fn separated_load_balancers_are_met_on_their_data_addresses_and_at_their_own_port() {
    let expected = [
        "10.30.0.11 cp+lb",
        "10.30.0.12 cp+lb",
        "10.30.0.13 cp+lb",
        "10.30.0.21 lb",
        "10.30.0.22 lb",
        "10.30.0.31 w",
        "10.30.0.32 w",
        "10.30.0.33 w",
    ];
    assert_eq!(roles(APART), expected);
    let inventory = inventory(APART);
    let ssh: Vec<String> = inventory.nodes.iter().map(|node| node.ssh.to_string()).collect();
    assert_eq!((ssh[0].as_str(), ssh[7].as_str()), ("10.20.0.11", "10.20.0.33"));
    let api = plan(APART)
        .blocks
        .into_iter()
        .find(|block| block.rule == "lb.api");
    assert_eq!(api.unwrap().ports.to_string(), "6443");
    let cluster = read(APART).cluster;
    assert!(cluster.network.direct_server_return);
    let mirrors: Vec<_> = (cluster.header.registry_mirrors.iter())
        .map(|mirror| (mirror.endpoint.as_str(), mirror.hosts.len(), mirror.line))
        .collect();
    assert_eq!(
        mirrors,
        [
            ("https://10.30.0.5:5000/v2/library", 2, 6),
            ("https://10.30.0.6:5000", 0, 12)
        ]
    );
    let keys: Vec<&str> = (cluster.header.key_paths.iter())
        .map(|key| key.path.as_str())
        .collect();
    assert_eq!(
        keys,
        ["bmctl-workspace/.sa-keys/gcr.json", "/home/abm/.ssh/id_rsa"]
    );
}

#[test]
fn node_pools_that_lag_keep_their_own_versions() {
    let versions: Vec<String> = inventory(LAG)
        .nodes
        .iter()
        .map(|node| format!("{} {} {}", node.id, node.pool, node.version.minor()))
        .collect();
    let expected = [
        "10.40.0.11 control plane 1.30",
        "10.40.0.21 load balancer 1.30",
        "10.40.0.31 current 1.30",
        "10.40.0.32 one-behind 1.29",
        "10.40.0.33 two-behind 1.28",
    ];
    assert_eq!(versions, expected);
}

#[test]
fn exceptions_of_a_proxy_are_read_from_a_text_and_from_a_list() {
    let exceptions = |text: &str| read(text).cluster.proxy.unwrap().no_proxy;
    assert_eq!(
        exceptions(LAG),
        ["10.40.0.0/24", "192.168.0.0/16", "10.96.0.0/20", "localhost"]
    );
    assert_eq!(
        exceptions(EDGE),
        [
            "172.20.8.0/24",
            "192.168.0.0/18",
            "10.96.0.0/24",
            "localhost",
            "127.0.0.1"
        ]
    );
}

// Tests by destination, as in samples.rs; C is the coordinator.
//
// racks  3 cp+lb  C: 22 443 11001                                                                3
//                 2 cp: 2379-2384 443 4240 6444 9100 10250 10256 11000 11001 14443              30
//                 5 w: 443 4240 6444 9100 10256 11000 11001; udp 6081 from 7                    42  = 75 x 3
//        5 w      3 cp: 4240 9100 10250 10256; 4 w: 4240 9100 10256; udp 6081 from 7            31
//                 30000-32767 from 7                                                         19376  = 19407 x 5
// edge   3 cp     C: 22 9192                                                                     2
//                 2 cp: 2379-2384 4240 6444 9100 9192 10250 10256 14443                         26
//                 2 w: 4240 6444 9100 10256; udp 6081 from 4                                    12  = 40 x 3
//        2 w      C: 22 9192; 3 cp: 22 4240 9100 9192 10250 10256; 1 w: 4240 9100 10256         23
//                 udp 6081 and 30000-32767 from 4                                            11076  = 11099 x 2
// apart  3 cp+lb  C: 22 6443 11001                                                               3
//                 2 cp: 22 2379-2384 4240 6443 6444 7946 9100 10250 10256 11000 11001 14443     34
//                 2 lb: 4240 6443 6444 7946 9100 10256 11000 11001                              16
//                 3 w: 4240 6443 6444 9100 10256 11000 11001                                    21
//                 udp 6081 from 7, 7946 from 4; 30000-32767 once                              2779  = 2853 x 3
//        2 lb     C: 22 6443 11001                                                               3
//                 3 cp: 22 4240 6443 7946 9100 10250 10256 11000 11001                          27
//                 1 lb: 4240 6443 7946 9100 10256 11000 11001                                    7
//                 3 w: 4240 6443 9100 10256 11000 11001                                         18
//                 udp 6081 from 7, 7946 from 4; 30000-32767 once                              2779  = 2834 x 2
//        3 w      C: 22; 3 cp: 22 4240 9100 10250 10256; 2 lb, 2 w: 4240 9100 10256             28
//                 udp 6081 from 7; 30000-32767 once                                           2775  = 2803 x 3
//                 inferred: 8 nodes, 6 of 7 sources each, 2768 ports
// lag    1 cp     C: 22; 4 nodes: 4240 6444 9100 10256, udp 6081                                21
//        1 lb     C: 443 11001; 4 nodes: 443 4240 9100 10256 11000 11001, udp 6081              30
//                 cp: 10250; 30000-32767 from 4                                              11073
//        3 w      4 nodes: 4240 9100 10256, udp 6081; cp: 10250; 30000-32767 from 4          11089  x 3
//
// 9101, which must not answer, is tried by one other node at each control plane node and worker.
#[test]
fn plan_sizes_of_every_shape_are_those_worked_out_by_hand() {
    let size = |tests, inferred, pairs| Size {
        tests,
        inferred,
        pairs,
    };
    assert_eq!(plan(RACKS).size(), size(75 * 3 + 19_407 * 5 + 8, 0, 8 * 7 + 3));
    assert_eq!(plan(EDGE).size(), size(40 * 3 + 11_099 * 2 + 5, 0, 5 * 4 + 5));
    let apart = size(2_853 * 3 + 2_834 * 2 + 2_803 * 3 + 6, 8 * 6 * 2_768, 8 * 7 + 8);
    assert_eq!(plan(APART).size(), apart);
    assert_eq!(plan(LAG).size(), size(21 + 11_103 + 11_089 * 3 + 4, 0, 5 * 4 + 2));
}

#[test]
fn only_a_single_control_plane_node_and_a_single_router_of_each_are_remarked_in_the_samples() {
    let checks =
        |text: &str| -> Vec<&str> { read(text).findings.iter().filter_map(|one| one.check).collect() };
    assert_eq!(
        [RACKS, EDGE, APART, LAG].map(checks),
        [vec!["CFG-015"], vec![], vec![], vec!["CFG-011"]]
    );
}
